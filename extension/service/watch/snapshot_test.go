package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func big(n int) *snapshot {
	s := newSnapshot()
	s.Time = 1_700_000_000
	s.Noted[7] = true
	for i := range n {
		r := &record{Kind: "systemd", Type: "service", Scope: "system", Name: fmt.Sprintf("unit-%x.service", sum(fmt.Sprint(i))[:12]), Seen: int64(i), On: i%2 == 0, Told: i%3 == 0, Image: "/usr/sbin/x"}
		r.Values[unitPath] = "/etc/systemd/system/" + r.Name
		r.Values[contents] = sum(fmt.Sprint("c", i))[:16]
		r.Commands = []string{"ExecStart=/usr/sbin/daemon-" + fmt.Sprint(i) + " --config /etc/daemon.conf"}
		s.Records[strings.Join([]string{r.Kind, r.Type, r.Scope, r.Username, r.Name}, "\x00")] = r
	}
	return s
}

func TestCursor(t *testing.T) {
	for _, n := range []int{0, 1, 400, 20000} {
		s := big(n)
		began := time.Now()
		cursor, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(cursor)
		if err != nil {
			t.Fatal(err)
		}
		if n < 1000 {
			if d := cmp.Diff(s, back); d != "" {
				t.Errorf("%d (-want +got):\n%s", n, d)
			}
		}
		t.Logf("%d services: %d bytes, %v both ways", n, len(cursor), time.Since(began))
		if n > 0 && len(cursor) > 200*n+1000 {
			t.Errorf("%d services take %d bytes", n, len(cursor))
		}
	}
	huge := big(1)
	for _, r := range huge.Records {
		for i := range r.Values {
			r.Values[i] = brief(strings.Repeat("a\xff", 100000))
		}
	}
	if cursor, err := huge.encode(); err != nil || len(cursor) > 20000 {
		t.Errorf("%d bytes, %v", len(cursor), err)
	}
}

func TestTrimGone(t *testing.T) {
	s := big(10)
	n := int64(0)
	for _, r := range s.Records {
		if n++; n <= 4 {
			r.Gone = 1_000_000 + n
		}
	}
	s.trimGone(1_000_100)
	if len(s.Records) != 10 {
		t.Error("forgotten too early")
	}
	s.trimGone(1_000_003 + int64(goneFor/time.Second))
	if len(s.Records) != 8 {
		t.Errorf("%d left", len(s.Records))
	}
}

func TestShape(t *testing.T) {
	for name, want := range map[string]string{
		"run-u123.service":       "run-u#.service",
		"run-r0f3ab2c9d.service": "run-r#.service",
		"nginx.service":          "nginx.service",
		"podman-1a2b3c.timer":    "podman-#.timer",
		"4f5e6d7c8b9a.service":   "#.service",
		"":                       "",
		"\xff1":                  "\xff#",
	} {
		if got := shape(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestBrief(t *testing.T) {
	long := strings.Repeat("a", 5000)
	if a, b := brief(long+"b"), brief(long+"c"); a == b || len(a) > maxValue {
		t.Errorf("%d bytes, same: %v", len(a), a == b)
	}
	if got := brief("/bin/x --password=hunter2"); strings.Contains(got, "hunter2") {
		t.Error(got)
	}
}

func TestDiffCommands(t *testing.T) {
	for _, c := range []struct{ was, now, want string }{
		{"a=1|b=2", "a=1|b=2", ""},
		{"a=1|b=2", "b=2|a=1", "commands: in another order"},
		{"a=1", "a=2", "a: 1 -> 2"},
		{"a=1", "a=1|b=2", "b: none -> 2"},
		{"a=1|b=2", "a=1", "b: 2 -> none"},
		{"a=1", "a=1|a=1", "a: none -> 1"},
		{"a=1|a=2", "a=3|a=1", "a: 2 -> 3"},
		{"", "a=1", "a: none -> 1"},
	} {
		split := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.Split(s, "|")
		}
		if got := strings.Join(diffCommands(split(c.was), split(c.now)), "; "); got != c.want {
			t.Errorf("%s to %s: %q, want %q", c.was, c.now, got, c.want)
		}
	}
}

func TestKeys(t *testing.T) {
	a := inventory.Service{Kind: "systemd", Type: "service", Scope: "system", Name: "a.service", UnitPath: "/etc/systemd/system/a.service"}
	b := a
	b.UnitPath = "/usr/lib/systemd/system/a.service"
	if keyOf(&a) != keyOf(&b) {
		t.Error("a unit that is overridden is the same unit")
	}
	b.Scope = "user"
	if keyOf(&a) == keyOf(&b) {
		t.Error("a user's unit is another one")
	}
}

func FuzzCursor(f *testing.F) {
	good, err := big(3).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add(cursorPrefix + "AAAAAAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		s, err := decode(cursor)
		if err != nil {
			if !errors.Is(err, errCursor) {
				t.Fatal(err)
			}
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(again); err != nil {
			t.Fatal(err)
		}
	})
}
