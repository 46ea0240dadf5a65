package fieldmap

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
)

// join makes a command line of words, so that the platform's rules split it into
// the same ones.
func join(words []string, platform evidence.Platform) string {
	if platform != evidence.Windows {
		return auditlog.Quote(words)
	}
	out := make([]string, len(words))
	for i, w := range words {
		if w != "" && !strings.ContainsAny(w, " \t\"") {
			out[i] = w
			continue
		}
		// Backslashes count only before a quote: there, each needs another.
		var b strings.Builder
		b.WriteByte('"')
		slashes := 0
		for _, c := range []byte(w) {
			switch c {
			case '\\':
				slashes++
			case '"':
				b.WriteString(strings.Repeat(`\`, slashes+1))
				slashes = 0
			default:
				slashes = 0
			}
			b.WriteByte(c)
		}
		b.WriteString(strings.Repeat(`\`, slashes))
		b.WriteByte('"')
		out[i] = b.String()
	}
	return strings.Join(out, " ")
}
