package cmdline

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Naive is what a command line looks like without understanding: the program's
// name and the words between blanks. It is the yardstick that [Parse] is measured
// against and has no other use.
func Naive(in Input) Result {
	words := strings.Fields(in.Text)
	if len(words) == 0 {
		return Result{}
	}
	p := &parser{in: in, win: in.Platform == evidence.Windows}
	tool := unixBase(words[0])
	if p.win {
		tool = winargv.Base(words[0])
	}
	p.emit(strings.ToLower(tool), false, dialect.Simple{Argv: words, Raw: in.Text, Next: -1}, scope{cwd: in.CWD})
	return p.res
}
