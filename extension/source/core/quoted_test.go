package core

import (
	"slices"
	"strings"
	"testing"
)

// quoted is what es_process_events makes of an argv (std::quoted, and a blank).
func quoted(argv []string) string {
	var b strings.Builder
	for _, arg := range argv {
		if strings.ContainsAny(arg, ` "`) {
			arg = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(arg) + `"`
		}
		b.WriteString(arg + " ")
	}
	return b.String()
}

func TestSplitQuoted(t *testing.T) {
	for _, argv := range [][]string{
		{"launchctl", "list"}, {"sh", "-c", `launchctl list | grep "com.x"`}, {"a", "", "b"}, {`back\slash`, `back \slash\`, `"`}, {""}, {"tab\tand\nline"},
	} {
		got, ok := splitQuoted(quoted(argv))
		if !ok || !slices.Equal(got, argv) {
			t.Errorf("%q: got %q, %v", argv, got, ok)
		}
	}
	for _, s := range []string{"no blank behind", `"open `, `"a"b `, `"`, `"\`, "a  b"} {
		if got, ok := splitQuoted(s); ok {
			t.Errorf("%q: got %q", s, got)
		}
	}
}

func FuzzSplitQuoted(f *testing.F) {
	f.Add("sh", "-c", `a "b" \c`)
	f.Add("", " ", `"`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		argv := []string{a, b, c}
		if got, ok := splitQuoted(quoted(argv)); !ok || !slices.Equal(got, argv) {
			t.Fatalf("%q: got %q, %v", argv, got, ok)
		}
		splitQuoted(a)
	})
}

func TestLogQueryText(t *testing.T) {
	q := logQuery{channel: "Security", ids: []int64{1, 2}, from: 1_700_000_000, to: 1_700_000_059}
	const when = "TimeCreated[@SystemTime&gt;='2023-11-14T22:13:20.000Z' and @SystemTime&lt;='2023-11-14T22:14:20.000Z']"
	for _, tt := range []struct{ got, want string }{
		{q.text(), `<QueryList><Query Id="0"><Select Path="Security">*[System[(EventID=1 or EventID=2) and ` + when + `]]</Select></Query></QueryList>`},
		{logQuery{channel: "System"}.text(), `<QueryList><Query Id="0"><Select Path="System">*</Select></Query></QueryList>`},
		{logQuery{channel: "S", ids: []int64{3}, from: maxTime}.text(), `<QueryList><Query Id="0"><Select Path="S">*[System[(EventID=3) and TimeCreated[@SystemTime&gt;='9999-12-31T23:59:59.000Z']]]</Select></Query></QueryList>`},
		{q.and(logQuery{channel: "Security", ids: []int64{7}}), `<QueryList><Query Id="0"><Select Path="Security">*[System[(EventID=1 or EventID=2) and ` + when +
			`]]</Select><Select Path="Security">*[System[(EventID=7)]]</Select></Query></QueryList>`},
	} {
		if tt.got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", tt.got, tt.want)
		}
	}
}
