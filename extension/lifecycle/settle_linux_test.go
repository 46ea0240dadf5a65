package lifecycle

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnwritten: only what cannot be written and was not is given back.
func TestUnwritten(t *testing.T) {
	const smaps = `00400000-00ba7000 r-xp 00000000 08:01 123 /usr/lib/rollcall/rollcall.ext
Size:               7836 kB
Rss:                6000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00ba7000-012e8000 r--p 007a7000 08:01 123                        /usr/lib/rollcall/rollcall.ext
Anonymous:             0 kB
012e8000-012f0000 r--p 00ee8000 08:01 123                        /usr/lib/rollcall/rollcall.ext
Anonymous:             8 kB
012f0000-01300000 rw-p 00ef0000 08:01 123                        /usr/lib/rollcall/rollcall.ext
Anonymous:             0 kB
01300000-01400000 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 08:01 9                  /usr/lib/other.so
Anonymous:             0 kB
7f0000001000-7f0000000000 r-xp 00000000 08:01 123                /usr/lib/rollcall/rollcall.ext
Anonymous:             0 kB
x-y r-xp 00000000 08:01 123                /usr/lib/rollcall/rollcall.ext
Anonymous:             0 kB
7f0000002000-7f0000003000 r-xp 00000000 08:01 123 /usr/lib/rollcall/rollcall.ext (deleted)
Anonymous:             0 kB

Anonymous:
`
	got, err := unwritten(strings.NewReader(smaps), "/usr/lib/rollcall/rollcall.ext")
	if d := cmp.Diff([]span{{0x400000, 0xba7000}, {0xba7000, 0x12e8000}}, got, cmp.AllowUnexported(span{})); d != "" || err != nil {
		t.Errorf("(-want +got)\n%s %v", d, err)
	}
}

// TestSettle: the program goes on from where it was.
func TestSettle(t *testing.T) {
	for range 3 {
		if err := Settle(); err != nil {
			t.Fatal(err)
		}
	}
}
