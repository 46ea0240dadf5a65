package logline_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/logline"
)

// TestOneMessageIsOneLine logs what an intruder may have called a file.
func TestOneMessageIsOneLine(t *testing.T) {
	for _, hostile := range []string{
		"x\n2026-11-26T00:00:00Z [INFO]  rollcall: all is well", "x\r[INFO] fine", "x\x1b[2K\x1b[1A", "x\u2028y", "x\u202egnp", "x\u0085y", "\xff\xfe", "x\x00y", "x\u200by", "\n\n\n",
	} {
		var out bytes.Buffer
		log := hclog.New(&hclog.LoggerOptions{Name: "rollcall", Output: logline.Writer(&out)})
		log.Error("could not read "+hostile, "path", hostile, "error", errors.New("open "+hostile+": refused"))
		got := out.String()
		if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") || !utf8.ValidString(got) {
			t.Errorf("%q is %q", hostile, got)
		}
		if i := strings.IndexFunc(strings.TrimSuffix(got, "\n"), func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }); i >= 0 {
			t.Errorf("%q leaves %q", hostile, got[i:])
		}
	}
	var out bytes.Buffer
	if n, err := fmt.Fprintln(logline.Writer(&out), "plain", "text:\tzwölf"); n != len("plain text:\tzwölf\n") || err != nil || out.String() != "plain text:\tzwölf\n" {
		t.Errorf("%d, %v, %q", n, err, out.String())
	}
}
