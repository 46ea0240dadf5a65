package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func runInstalls(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	err := runScore(context.Background(), &environment{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs}, append([]string{"--installs"}, args...))
	return out.String(), err
}

func TestInstallLines(t *testing.T) {
	lines := []string{
		`{"id":"a","ServiceName":"tfmqxw","ImagePath":"cmd.exe /c echo tfmqxw > \\\\.\\pipe\\tfmqxw","ServiceType":"user mode service","StartType":"demand start","AccountName":"LocalSystem","event":"7045","time":"x","host":"y","more":{"z":[1]}}`,
		`{"id":7,"ServiceName":"gupdate","ImagePath":"\"C:\\Program Files\\Google\\Update\\GoogleUpdate.exe\" /svc","ServiceType":16,"StartType":"0x2","AccountName":null}`,
		`{"id":"c"}`,
		`{"id":"d","ServiceFileName":"C:\\Users\\Public\\x.exe","ServiceType":"0x10"}`,
		`not json`,
		`["a"]`,
		``,
		`{"id":"e","ImagePath":["a"],"ServiceType":{"b":1}}`,
	}
	got, err := runInstalls(t, strings.Join(lines, "\n"), "--format", "json", "-")
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ id, severity, err string }{
		{"a", "critical", ""}, {"7", "informational", ""}, {"c", "informational", ""}, {"d", "high", ""},
		{"", "informational", "not a JSON object"}, {"", "informational", "not a JSON object"}, {"e", "informational", ""},
	}
	out := strings.Split(strings.TrimSpace(got), "\n")
	if len(out) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(out), len(want), got)
	}
	for i, line := range out {
		var o installOutput
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if o.ID != want[i].id || o.Severity != want[i].severity || !strings.HasPrefix(o.Error, want[i].err) || (o.Error == "") != (want[i].err == "") || o.Reasons == nil {
			t.Errorf("line %d: %s, want %+v", i, line, want[i])
		}
	}
}

func TestInstallLinesKeepOrder(t *testing.T) {
	var in strings.Builder
	const rows = 5000
	for i := range rows {
		fmt.Fprintf(&in, `{"id":"%d","ServiceName":"s","ImagePath":"C:\\Program Files\\x\\s.exe"}`+"\n", i)
	}
	got, err := runInstalls(t, in.String(), "--format", "json", "-")
	if err != nil {
		t.Fatal(err)
	}
	out := strings.Split(strings.TrimSpace(got), "\n")
	if len(out) != rows {
		t.Fatalf("%d lines", len(out))
	}
	for i, line := range out {
		if !strings.HasPrefix(line, fmt.Sprintf(`{"id":"%d",`, i)) {
			t.Fatalf("line %d: %s", i, line)
		}
	}
}

func TestInstallForAPerson(t *testing.T) {
	got, err := runInstalls(t, "", "--name", "gupdate", `"C:\Program Files\Google\Update\GoogleUpdate.exe" /svc`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Program: C:\\Program Files\\Google\\Update\\GoogleUpdate.exe\n", "Arguments: /svc\n", "Kind: windows_service\n", "Verdict: 5 (informational)\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	got, err = runInstalls(t, "", "--format", "json", "--name", "x", `C:\Users\Public\x.exe --password=hunter2secret`)
	if err != nil || !strings.HasPrefix(got, `{"id":"","score":`) || strings.Contains(got, "hunter2secret") {
		t.Errorf("%v: %s", err, got)
	}
	if _, err := runInstalls(t, "", "-"); err == nil {
		t.Error("lines without --format json are accepted")
	}
	if _, err := runInstalls(t, "", "--format", "json"); err == nil {
		t.Error("nothing to score is accepted")
	}
	err = runScore(context.Background(), &environment{stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}, []string{"--name", "x", "sc query"})
	if err == nil {
		t.Error("--name without --installs is accepted")
	}
}
