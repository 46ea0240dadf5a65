package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/packs"
)

// TestPacksWritesEveryFormat: what is written to a folder is what the generator says,
// and standard output is its first file.
func TestPacksWritesEveryFormat(t *testing.T) {
	c, err := packs.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		format string
		flags  []string
		o      packs.Options
	}{
		{packs.Osquery, nil, packs.Options{}},
		{packs.Osquery, []string{"--shard", "10"}, packs.Options{Shard: 10}},
		{packs.Fleet, nil, packs.Options{}},
		{packs.Fleet, []string{"--fleet-queries", "--fleet-free"}, packs.Options{FleetQueries: true, FleetFree: true}},
		{packs.FleetLegacy, nil, packs.Options{}},
		{packs.Osctrl, nil, packs.Options{}},
	} {
		want, err := c.Generate(x.format, x.o)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "new")
		code, stdout, stderr := call(t, "", append([]string{"packs", "--format", x.format, "--out", dir}, x.flags...)...)
		if code != 0 || stderr != "" || strings.Count(stdout, "\n") != len(want) {
			t.Errorf("%s: %d, %s%s", x.format, code, stdout, stderr)
		}
		for _, f := range want {
			got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Name)))
			if err != nil || string(got) != string(f.Data) {
				t.Errorf("%s: %s: %v", x.format, f.Name, err)
			}
		}
		if code, stdout, _ := call(t, "", append([]string{"packs", "--format", x.format}, x.flags...)...); code != 0 || stdout != string(want[0].Data) {
			t.Errorf("%s: standard output is another file", x.format)
		}
	}
}

func TestPacksMistakes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"packs", "--format", "xml"}, "--format is osquery, fleet, fleet-legacy, osctrl, not"},
		{[]string{"packs", "--fleet-free"}, "need --format fleet"},
		{[]string{"packs", "--shard", "0"}, "--shard is a percentage"},
		{[]string{"packs", "--shard", "101"}, "--shard is a percentage"},
		{[]string{"packs", "check", "--nonsense"}, "not defined: -nonsense"},
	} {
		if code, stdout, stderr := call(t, "", c.args...); code != 2 || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%q: %d, %q", c.args, code, stderr)
		}
	}
}

func TestPacksCheck(t *testing.T) {
	good := write(t, "good.conf", `{"queries": {"q": {"query": "SELECT pid FROM processes", "interval": 60}}}`)
	warned := write(t, "warned.conf", `{"queries": {"q": {"query": "SELECT pid FROM processes"}}}`)
	bad := write(t, "bad.conf", "{\"queries\": {\n\"q\": {\"query\": \"SELECT pidd FROM processes\", \"interval\": 60}}}")
	for _, c := range []struct {
		args []string
		in   string
		code int
		want string
	}{
		{nil, "", 0, "a median host logs"},
		{[]string{good}, "", 0, ""},
		{[]string{warned}, "", 0, warned + ": line 1: warning: q: no interval"},
		{[]string{"--quiet", warned}, "", 0, ""},
		{[]string{good, bad}, "", 1, bad + `: line 2: error: q: no column pidd, did you mean "pid"?`},
		{[]string{"-"}, "hello", 1, "-: line 1: error: not a form that is known"},
		{[]string{"/nonexistent"}, "", 1, "check packs"},
	} {
		code, stdout, stderr := call(t, c.in, append([]string{"packs", "check"}, c.args...)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%q: %d, %s%s", c.args, code, stdout, stderr)
		}
		if c.want == "" && stdout != "" {
			t.Errorf("%q says %s", c.args, stdout)
		}
	}
	if code, stdout, _ := call(t, "", "packs", "check", "--help"); code != 0 || !strings.HasPrefix(stdout, "Usage: rollcall packs check") {
		t.Errorf("%d, %s", code, stdout)
	}
}
