package core_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

// asSent is what osquery makes of an argv: a std::map keyed "a0", "a1", ...
func asSent(argv []string) string {
	keys := make([]string, len(argv))
	values := map[string]string{}
	for i, arg := range argv {
		keys[i] = fmt.Sprintf("a%d", i)
		values[keys[i]] = arg
	}
	slices.Sort(keys)
	sent := make([]string, len(keys))
	for i, key := range keys {
		sent[i] = values[key]
	}
	return strings.Join(sent, " ")
}

func TestRestoreArgs(t *testing.T) {
	for _, n := range []int{1, 2, 9, 10, 11, 12, 19, 20, 21, 25, 99, 100, 101, 120, 1001} {
		argv := make([]string, n)
		for i := range argv {
			argv[i] = fmt.Sprintf("w%d", i)
		}
		got, ok := core.RestoreArgs(asSent(argv))
		if want := strings.Join(argv, " "); got != want || !ok {
			t.Errorf("%d arguments: %v\n got %s\nwant %s", n, ok, got, want)
		}
	}
	for _, tt := range []struct {
		name string
		argv []string
		want string // empty: as sent
		ok   bool
	}{
		{"wrapped systemctl", strings.Fields("sudo -n -u root env A=1 timeout 5 nohup systemctl list-units --type=service --all"),
			"sudo -n -u root env A=1 timeout 5 nohup systemctl list-units --type=service --all", true},
		{"a script of many words", []string{"sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; done"}, "", false},
		{"a harmless looking script", []string{"sh", "-c", "cat a b c d e f g h i j k l"}, "", false},
		{"login shell", []string{"bash", "-lc", "cat a b c d e f g h i j k l"}, "", false},
		{"a commit message", []string{"git", "commit", "-m", "fix the thing that was broken since the day before last"}, "", false},
		{"an empty argument", append([]string{"x", ""}, strings.Fields("a b c d e f g h i j k")...), "", false},
		{"a line break", append([]string{"x", "a\nb"}, strings.Fields("a b c d e f g h i j k")...), "", false},
		{"few words", []string{"sc", "query", "a b"}, "", true},
		{"nothing", nil, "", true},
		{"only blanks", []string{strings.Repeat(" ", 40)}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent := asSent(tt.argv)
			want := tt.want
			if want == "" {
				want = sent
			}
			if got, ok := core.RestoreArgs(sent); got != want || ok != tt.ok {
				t.Errorf("got %q, %v; want %q, %v", got, ok, want, tt.ok)
			}
		})
	}
}

func FuzzRestoreArgs(f *testing.F) {
	f.Add("a b c")
	f.Add(strings.Repeat("a ", 30))
	f.Add(asSent(strings.Fields("a b c d e f g h i j k l m n")))
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := core.RestoreArgs(s)
		if !ok && got != s {
			t.Fatalf("%q changed to %q without being sure", s, got)
		}
		a, b := strings.Split(s, " "), strings.Split(got, " ")
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Fatalf("%q and %q differ in more than order", s, got)
		}
	})
}
