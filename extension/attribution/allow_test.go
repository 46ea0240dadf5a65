package attribution_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// TestAllowEntry parses what is printed as the configuration it is for, and judges
// the same facts again.
func TestAllowEntry(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	cmd := func(user, parent string, canonical ...string) attribution.Facts {
		p := linux(user)
		p.ParentPath = parent
		return attribution.Facts{Process: p, Canonical: canonical}
	}
	hostile := "systemctl \xff list\n- units: {\"'#\u2028\x1b[2J"
	cases := map[string][]attribution.Facts{
		"one command":        {cmd("al", "/usr/bin/bash", list)},
		"several commands":   {cmd("al", "/usr/bin/bash", list, "ls /etc/init.d"), cmd("al", "/usr/bin/bash", "systemctl status x"), cmd("bo", "", list)},
		"stars":              {cmd("al", "/usr/bin/bash", "ls /etc/*", "*")},
		"a secret":           {cmd("al", "/usr/bin/bash", "sc \\\\h query -p ********")},
		"hostile":            {cmd("al\n  expected: []", "/tmp/a b: \"c\"", hostile)},
		"after sudo":         {{Process: loggedIn(linux("root", "/usr/bin/sudo"), "al", ""), Canonical: []string{list}}},
		"an install by hash": {{Install: install(func(in *evidence.Install) { in.SHA256 = strings.ToUpper(hash) })}},
		"an install by package": {{Install: install(func(in *evidence.Install) {
			in.Name, in.Path, in.Package = "x.service", "/usr/bin/x", "x"
			in.PackageVerified = evidence.Yes
		})}},
		"an install by signer": {{Signer: "Example *", Install: install(func(in *evidence.Install) { in.Signed = evidence.Yes })}},
		"an interpreter":       {{Install: install(func(in *evidence.Install) { in.Path, in.ImagePath, in.SHA256 = "/bin/sh", "/bin/sh -c 'x *'", hash })}},
		"Windows": {{Install: install(func(in *evidence.Install) {
			in.Platform, in.Kind, in.Path, in.SHA256 = evidence.Windows, "", "", hash
			in.Name, in.ImagePath = "Svc", `"C:\Program Files\A b\svc.exe" -x`
		})}},
		"a connection": {{Connection: &evidence.Connection{Platform: evidence.Linux, Host: "web-01", Path: "/usr/bin/curl", Username: "al", RemoteAddr: "192.0.2.1"}}},
		"all together": {cmd("al", "/usr/bin/bash", list), {Install: install(func(in *evidence.Install) { in.SHA256 = hash })}},
	}
	for name, facts := range cases {
		text, err := attribution.AllowEntry(facts, "inc-7", "the deploy of CHG-7", now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c, err := config.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v in\n%s", name, err, text)
			continue
		}
		for _, f := range facts {
			f.Now = now.Add(29 * 24 * time.Hour)
			if r := attribution.Attribute(f, c.Attribution); r.Kind != attribution.Expected || r.Subject != "inc-7" {
				t.Errorf("%s: %+v by\n%s", name, r, text)
			}
			f.Now = now.Add(31 * 24 * time.Hour)
			if r := attribution.Attribute(f, c.Attribution); r.Kind == attribution.Expected {
				t.Errorf("%s: it does not expire:\n%s", name, text)
			}
			f.Now = now
			other := f
			switch {
			case f.Process != nil:
				p := *f.Process
				p.Host = "elsewhere"
				other.Process = &p
			case f.Install != nil:
				in := *f.Install
				in.SHA256, in.PackageVerified, in.Signed = strings.Repeat("0", 64), evidence.No, evidence.No
				other.Install = &in
			case f.Connection != nil:
				co := *f.Connection
				co.RemoteAddr = "192.0.2.2"
				other.Connection = &co
			}
			if r := attribution.Attribute(other, c.Attribution); r.Attributed() {
				t.Errorf("%s: it attributes more: %+v by\n%s", name, r, text)
			}
		}
	}
	one, err := attribution.AllowEntry([]attribution.Facts{cmd("al", "/usr/bin/bash", list)}, "inc-7", "the deploy", now)
	if err != nil {
		t.Fatal(err)
	}
	want := `# These entries end on 2026-12-24. Say in reason why it is legitimate, and leave out what you don't need.
attribution:
  expected:
    - id: inc-7
      user: al
      parent: /usr/bin/bash
      command: systemctl list-units
      host: web-01
      reason: the deploy
      expires: 2026-12-24T09:00:00Z
`
	if one != want {
		t.Errorf("got\n%s\nwant\n%s", one, want)
	}
	f := cmd("al", "/usr/bin/bash", "ls /etc/init.d")
	f.Now = now
	c, err := config.Parse([]byte(mustAllow(t, cmd("al", "/usr/bin/bash", "ls /etc/*"))))
	if r := attribution.Attribute(f, c.Attribution); err != nil || r.Attributed() {
		t.Errorf("a star of the command's own became a pattern: %+v, %v", r, err)
	}
}

func mustAllow(t *testing.T, f attribution.Facts) string {
	t.Helper()
	text, err := attribution.AllowEntry([]attribution.Facts{f}, "i", "r", now)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatNoEntryCanAllow(t *testing.T) {
	cmd := attribution.Facts{Process: linux("al"), Canonical: []string{list}}
	many := func(n int, edit func(int) attribution.Facts) (out []attribution.Facts) {
		for i := range n {
			out = append(out, edit(i))
		}
		return out
	}
	for name, c := range map[string]struct {
		facts []attribution.Facts
		want  string
	}{
		"nothing":         {nil, "nothing to attribute"},
		"no facts":        {[]attribution.Facts{{}}, "nothing is known"},
		"a web ancestor":  {[]attribution.Facts{cmd, with(cmd, func(f *attribution.Facts) { f.Lineage = "web" })}, "never attributed under a web ancestor"},
		"hidden":          {[]attribution.Facts{with(cmd, func(f *attribution.Facts) { f.Concealed = true })}, "never attributed when hidden"},
		"a young service": {[]attribution.Facts{with(cmd, func(f *attribution.Facts) { f.YoungService = "x" })}, "never attributed under x"},
		"no command":      {[]attribution.Facts{{Process: linux("al")}}, "the commands are not known"},
		"nobody":          {[]attribution.Facts{{Process: linux(""), Canonical: []string{list}}}, "neither user nor parent is known"},
		"no hash":         {[]attribution.Facts{{Install: install(nil)}}, "would hide a program that is changed later"},
		"no program":      {[]attribution.Facts{{Install: install(func(in *evidence.Install) { in.Path, in.ImagePath = "", "" })}}, "the service's name or program is not known"},
		"a damaged hash":  {[]attribution.Facts{{Install: install(func(in *evidence.Install) { in.SHA256 = "xyz" })}}, "not 64 hexadecimal digits"},
		"no other end":    {[]attribution.Facts{{Connection: &evidence.Connection{Path: "/x"}}}, "the other end is not known"},
		"a long command":  {[]attribution.Facts{with(cmd, func(f *attribution.Facts) { f.Canonical = []string{strings.Repeat("x", 5000)} })}, "too long"},
		"many commands": {many(51, func(i int) attribution.Facts {
			return attribution.Facts{Process: linux("al"), Canonical: []string{fmt.Sprint(i)}}
		}), "more than 50 different commands"},
		"many users": {many(51, func(i int) attribution.Facts {
			return attribution.Facts{Process: linux(fmt.Sprint("u", i)), Canonical: []string{list}}
		}), "more than 50 entries"},
	} {
		if text, err := attribution.AllowEntry(c.facts, "i", "r", now); err == nil || !strings.Contains(err.Error(), c.want) || text != "" {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := attribution.AllowEntry([]attribution.Facts{cmd}, "i", " ", now); err == nil || !strings.Contains(err.Error(), "has no reason") {
		t.Errorf("without a reason: %v", err)
	}
}
