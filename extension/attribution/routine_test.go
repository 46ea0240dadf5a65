package attribution_test

import (
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	crond  = "/usr/sbin/cron: /usr/sbin/cron -f -P"
	script = "/usr/bin/bash: /bin/bash /usr/local/sbin/check-services.sh"
	job    = "/bin/sh: /bin/sh -c /usr/local/sbin/check-services.sh"
)

func TestServicesOfTheHost(t *testing.T) {
	weak := want{attribution.Management, "check-services.sh", "a service or job of this host"}
	often := attribution.History{Routine: 3}
	own := func(path string) attribution.Facts {
		p := linux("al", "/usr/bin/bash: /bin/bash "+path, "/bin/sh: /bin/sh -c "+path, crond, initd)
		p.LoginUser, p.LoginUID, p.Session = "al", "1000", "7"
		return attribution.Facts{Process: p, History: often}
	}
	tmp := linux("root", script, initd)
	tmp.Path = "/tmp/systemctl"
	judge(t, attribution.Config{}, []kindCase{
		{"a job of cron", attribution.Facts{Process: linux("root", script, job, crond, crond, initd)}, weak},
		{"a service", attribution.Facts{Process: linux("root", script, initd)}, weak},
		{"a vendor's script host", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\System32\cmd.exe: cmd.exe /c "sc query > x"`, `C:\Program Files\VendorX\upd.exe`, scm)}, none("")},
		{"a vendor's script host, as always", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\System32\cmd.exe: cmd.exe /c "sc query > x"`, `C:\Program Files\VendorX\upd.exe`, scm), History: often}, want{attribution.Management, "upd", "a routine of this host"}},
		{"a script that others can change", attribution.Facts{Process: linux("root", "/usr/bin/bash: /bin/bash /var/tmp/x.sh", initd), History: often}, none("")},
		{"one that is known to be open", attribution.Facts{Process: linux("root", script, initd), ScriptRootOnly: evidence.No}, none("")},
		{"a copy of the tool", attribution.Facts{Process: tmp, History: often}, none("")},
		{"several commands at first sight", attribution.Facts{Process: linux("root", "/bin/sh: sh -c id; systemctl list-units", script, initd)}, none("")},
		{"a chain that is cut", attribution.Facts{Process: linux("root", script)}, none("")},
		{"a chain that is cut, as always", attribution.Facts{Process: linux("root", script), History: often}, want{attribution.Management, "", "by the same words on 3 days before"}},
		{"under a login", attribution.Facts{Process: linux("root", script, "/usr/sbin/sshd", initd), History: often}, none("")},
		{"in a container", with(attribution.Facts{Process: linux("root", script, initd), History: often}, func(f *attribution.Facts) { f.Process.ContainerID = "c0ffee" }), want{attribution.Management, "container", "a routine of a container of this host: it did so by the same words on 3 days before"}},
		{"in a container, at first sight", with(attribution.Facts{Process: linux("root", script, initd), History: attribution.History{Routine: 2}}, func(f *attribution.Facts) { f.Process.ContainerID = "c0ffee" }), none("")},
		{"somebody's own job, as always", own("/home/al/bin/morning.sh"), want{attribution.Management, "morning.sh", "a routine of this host"}},
		{"their job with another's script", own("/home/mallory/x.sh"), none("")},
		{"a service whose start was not seen, as always", attribution.Facts{Process: linux("root"), History: often}, want{attribution.Management, "systemctl", "whose start was not seen did so by the same words on 3 days before"}},
		{"one seen for the first time", attribution.Facts{Process: linux("root")}, none("")},
		{"a person of whose shell nothing is known", attribution.Facts{Process: linux("al"), History: often}, none("")},
		{"root by a login of which nothing else is known", attribution.Facts{Process: loggedIn(linux("root"), "al", ""), History: often}, none("")},
		{"a copy of the tool by a service whose start was not seen", with(attribution.Facts{Process: linux("root"), History: often}, func(f *attribution.Facts) { f.Process.Path = "/tmp/systemctl" }), none("")},
		{"their job, there from the beginning", with(own("/home/al/bin/morning.sh"), func(f *attribution.Facts) { f.History = attribution.History{Short: true} }), want{attribution.Management, "morning.sh", "started for al before anything could be new here"}},
		{"another's script, from the beginning", with(own("/home/mallory/x.sh"), func(f *attribution.Facts) { f.History = attribution.History{Short: true} }), none("")},
		{"code on the job's line, from the beginning", with(own("/home/al/bin/morning.sh"), func(f *attribution.Facts) {
			f.History, f.Process.Ancestry[1].CmdLine = attribution.History{Short: true}, "/bin/sh -c curl x | sh"
		}), none("")},
		{"their job at first sight", with(own("/home/al/bin/morning.sh"), func(f *attribution.Facts) { f.History.Routine = 0 }), none("")},
	})
}

func TestRoutine(t *testing.T) {
	name := func(edit func(*attribution.Facts)) string {
		f := attribution.Facts{Process: linux("root", "/usr/bin/bash: /bin/bash /opt/x/run-17/9f3a.sh", job, crond, initd), Canonical: []string{list}}
		if edit != nil {
			f = with(f, edit)
		}
		return attribution.Routine(f)
	}
	same := name(nil)
	if same == "" {
		t.Fatal("a job of cron has no name")
	}
	for what, edit := range map[string]func(*attribution.Facts){
		"other numbers":  func(f *attribution.Facts) { f.Process.Ancestry[0].CmdLine = "/bin/bash /opt/x/run-18/0b1c2.sh" },
		"other children": func(f *attribution.Facts) { f.Process.PID = 77 },
	} {
		if got := name(edit); got != same {
			t.Errorf("%s: %q is another routine", what, got)
		}
	}
	for what, edit := range map[string]func(*attribution.Facts){
		"another command": func(f *attribution.Facts) { f.Canonical = []string{"systemctl"} },
		"in a container":  func(f *attribution.Facts) { f.Process.ContainerID = "c0ffee" },
		"another user":    func(f *attribution.Facts) { f.Process.Username, f.Process.UID = "al", "1000" },
		"no chain":        func(f *attribution.Facts) { f.Process.Ancestry = nil },
		"another script":  func(f *attribution.Facts) { f.Process.Ancestry[0].CmdLine = "/bin/bash /opt/y/x.sh" },
	} {
		if got := name(edit); got == same || got == "" {
			t.Errorf("%s: %q", what, got)
		}
	}
	for what, edit := range map[string]func(*attribution.Facts){
		"a login":                   func(f *attribution.Facts) { f.Process.Ancestry[1].Path = "/usr/sbin/sshd" },
		"a person's in a container": func(f *attribution.Facts) { f.Process.ContainerID, f.Process.TTY = "c0ffee", "pts/0" },
		"a person's":                func(f *attribution.Facts) { f.History.Interactive, f.Process.TTY = true, "pts/0" },
		"an unknown chain":          func(f *attribution.Facts) { f.Process.Ancestry[1].Path = "" },
		"a person's without a chain": func(f *attribution.Facts) {
			f.Process.Ancestry, f.Process.Username, f.Process.UID = nil, "al", "1000"
		},
		"a login's without a chain": func(f *attribution.Facts) { f.Process.Ancestry, f.Process.LoginUID = nil, "1000" },
	} {
		if got := name(edit); got != "" {
			t.Errorf("%s: %q", what, got)
		}
	}
}
