package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
	"github.com/osquery-rollcall/rollcall/extension/doctor"
)

func examined(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	err = runDoctor(context.Background(), env, args)
	if errs.Len() > 0 {
		t.Errorf("on standard error: %s", errs.String())
	}
	return out.String(), err
}

func TestDoctorMistakes(t *testing.T) {
	var u *usageError
	for _, args := range [][]string{{"x"}, {"--format", "xml"}} {
		if out, err := examined(t, args...); !errors.As(err, &u) || out != "" {
			t.Errorf("%q: %v, %q", args, err, out)
		}
	}
}

// TestDoctorOnThisHost has a state that is not there, which is a failure wherever it runs.
func TestDoctorOnThisHost(t *testing.T) {
	state := filepath.Join(t.TempDir(), "none")
	out, err := examined(t, "--format", "json", "--state", state)
	var end *status
	if !errors.As(err, &end) || end.code != 2 {
		t.Errorf("ended with %v, want status 2", err)
	}
	var got struct {
		State  string
		Time   int64
		Checks []doctor.Check
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got.State != doctor.Fail || got.Time == 0 || len(got.Checks) < 15 {
		t.Errorf("%+v", got)
	}
	text, err := examined(t, "--state", state)
	if !errors.As(err, &end) || end.code != 2 {
		t.Errorf("ended with %v, want status 2", err)
	}
	if !strings.HasPrefix(text, "rollcall ") || !strings.Contains(text, "\nfail  state_directory") || strings.Contains(text, "\x1b") {
		t.Errorf("%s", text)
	}
	for _, c := range got.Checks {
		if !strings.Contains(text, c.Name) {
			t.Errorf("the text lacks %s", c.Name)
		}
	}
}

func TestDoctorText(t *testing.T) {
	checks := []doctor.Check{
		{Name: "one", State: doctor.OK, Detail: "all is well"},
		{Name: "source x\x1b[2J", State: doctor.Warn, Detail: "three words that are many more than three, and \x07", Remedy: "do this and that and yet something else with it"},
		{Name: "three", State: doctor.Fail, Detail: strings.Repeat("x", 60), Remedy: "mend"},
		{Name: "four", State: doctor.Skip, Detail: "optional", Remedy: "turn it on"},
	}
	for name, c := range map[string]struct {
		opts term.Options
		want string
	}{
		"a pipe": {term.Options{}, `ok    one              all is well
warn  source x\x1b[2J  three words that are many more than three, and \x07
                       -> do this and that and yet something else with it
fail  three            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
                       -> mend
skip  four             optional

1 ok, 1 warnings, 1 failures, 1 not looked at or optional
`},
		"a narrow terminal": {term.Options{Terminal: true, Width: 50}, `ok    one              all is well
warn  source x\x1b[2J  three words that are many
                       more than three, and \x07
                       -> do this and that and yet
                          something else with it
fail  three            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
                       -> mend
skip  four             optional

1 ok, 1 warnings, 1 failures, 1 not looked at or optional
`},
	} {
		var out bytes.Buffer
		showChecks(&out, c.opts, checks, false)
		if d := cmp.Diff(c.want, out.String()); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
	var out bytes.Buffer
	showChecks(&out, term.Options{Terminal: true, Width: 120, Color: true}, checks, true)
	for _, want := range []string{"\x1b[32mok\x1b[0m    one", "\x1b[33mwarn\x1b[0m  source", "\x1b[1;31mfail\x1b[0m  three", "\x1b[2mskip\x1b[0m  four", "-> turn it on"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("in colour it lacks %q: %q", want, out.String())
		}
	}
}
