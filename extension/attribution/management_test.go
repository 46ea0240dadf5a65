package attribution_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	initd  = "/usr/lib/systemd/systemd: /sbin/init"
	scm    = `C:\Windows\System32\services.exe`
	zabbix = "/usr/sbin/zabbix_agentd: /usr/sbin/zabbix_agentd -c /etc/zabbix/zabbix_agentd.conf"
	puppet = "/opt/puppetlabs/puppet/bin/ruby: /opt/puppetlabs/puppet/bin/ruby /opt/puppetlabs/puppet/bin/puppet agent --no-daemonize"
	nrpe   = "/usr/sbin/nrpe: /usr/sbin/nrpe -c /etc/nagios/nrpe.cfg -f"
	plugin = "/usr/bin/python3: /usr/bin/python3 /usr/lib/nagios/plugins/check_units -w 1"
)

// packaged says that packages own program and script.
func packaged(p *evidence.Process) attribution.Facts {
	return attribution.Facts{Process: p, ProgramPackaged: evidence.Yes, ScriptPackaged: evidence.Yes}
}

func with(f attribution.Facts, edit func(*attribution.Facts)) attribution.Facts {
	if f.Process != nil {
		p := *f.Process
		f.Process = &p
	}
	edit(&f)
	return f
}

func TestKnownAgents(t *testing.T) {
	own := want{attribution.Management, "puppet", "/opt/puppetlabs/puppet/bin/puppet (packaged) did it itself"}
	root := packaged(linux("root", puppet, initd))
	check := packaged(linux("nagios", plugin, nrpe, initd))
	inline := packaged(linux("zabbix", "/bin/sh: sh -c systemctl list-units", zabbix, zabbix, initd))
	inline.Canonical = []string{list}
	stable := attribution.History{Days: 12, SameHours: 5}
	connection := attribution.Facts{ProgramPackaged: evidence.Yes, Ancestry: ancestors(initd),
		Connection: &evidence.Connection{Platform: evidence.Linux, Path: "/usr/bin/telegraf", CmdLine: "/usr/bin/telegraf --config x", Username: "telegraf", RemoteAddr: "192.0.2.1"}}
	child := with(connection, func(f *attribution.Facts) {
		c := *f.Connection
		c.Path, c.CmdLine = "/usr/bin/curl", "curl http://192.0.2.1"
		f.Connection, f.Ancestry = &c, ancestors("/usr/bin/telegraf", initd)
	})
	enable := attribution.Facts{ProgramPackaged: evidence.Yes, Install: install(func(in *evidence.Install) {
		in.InstallerPath, in.InstallerCmdLine, in.InstallerAncestry, in.LoginUser = "/usr/bin/systemctl", "systemctl enable app", ancestors(puppet, initd), ""
	})}
	bridge := "/usr/bin/python3: /usr/bin/python3 /usr/bin/cockpit-bridge"
	const ccm = `C:\Windows\CCM\CcmExec.exe: C:\Windows\CCM\CcmExec.exe`
	const script = `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe: powershell.exe -NoLogo -Noninteractive -ExecutionPolicy Bypass -File C:\Windows\CCM\SystemTemp\1.ps1`
	judge(t, attribution.Config{}, []kindCase{
		{"it asks itself", root, own},
		{"whose package nobody knows", with(root, func(f *attribution.Facts) { f.ProgramPackaged = 0 }), want{attribution.Management, "puppet", "(in a place only root writes) did it itself"}},
		{"others can change it", with(root, func(f *attribution.Facts) { f.RootOnly = evidence.No }), none("others than root can change it")},
		{"through sudo and timeout", packaged(linux("root", "/usr/bin/timeout: timeout 5 systemctl", "/usr/bin/sudo: sudo timeout 5 systemctl", puppet, initd)), own},
		{"in a container", with(root, func(f *attribution.Facts) { f.Process.ContainerID = "c0ffee" }), none("")},
		{"a program called so", packaged(linux("root", "/tmp/zabbix_agentd", initd)), none("")},
		{"its interpreter with other code", packaged(linux("root", "/opt/puppetlabs/puppet/bin/ruby: ruby -r/tmp/evil /opt/puppetlabs/puppet/bin/puppet agent", initd)), none("")},
		{"its interpreter with another script", packaged(linux("root", "/opt/puppetlabs/puppet/bin/ruby: ruby /tmp/x.rb /opt/puppetlabs/puppet/bin/puppet", initd)), none("")},
		{"run by a user", packaged(linux("al", puppet, initd)), none("it ran for al and not as a service")},
		{"run by a web server's user", packaged(linux("www-data", puppet, initd)), none("it ran for www-data")},
		{"run by hand with sudo", packaged(loggedIn(linux("root", puppet, "/usr/bin/sudo", "/usr/bin/bash", "/usr/sbin/sshd", initd), "al", "10.0.0.1")), none("not as a service")},
		{"run by hand by root", packaged(linux("root", puppet, "/usr/bin/bash", "/usr/sbin/sshd", initd)), none("no manager of services started it")},
		{"under the user's manager", packaged(linux("root", puppet, "/usr/lib/systemd/systemd: /usr/lib/systemd/systemd --user")), none("no manager of services started it")},
		{"run on a terminal", with(root, func(f *attribution.Facts) { f.Process.TTY = "pts/0" }), none("not as a service")},
		{"run by cron", packaged(linux("root", puppet, "/usr/sbin/cron", initd)), own},
		{"run by a script of cron", packaged(linux("root", puppet, "/bin/sh: sh -c puppet agent", "/usr/sbin/cron", initd)), none("")},

		{"a packaged plugin", check, want{attribution.Management, "nrpe", "ran /usr/lib/nagios/plugins/check_units, which a package brought"}},
		{"a plugin, through a shell", packaged(linux("nagios", "/bin/sh: sh -c /usr/lib/nagios/plugins/check_units -w 1", nrpe, initd)), want{attribution.Management, "nrpe", ""}},
		{"a shell that does more", packaged(linux("nagios", "/bin/sh: sh -c /usr/lib/nagios/plugins/check_units; curl x", nrpe, initd)), want{attribution.Management, "nrpe", "ran a command line that nobody vouches for"}},
		{"a plugin of nobody knows whom", with(check, func(f *attribution.Facts) { f.ScriptPackaged = 0 }), want{attribution.Management, "nrpe", "of its own plugins"}},
		{"a plugin that no package brought", with(check, func(f *attribution.Facts) { f.ScriptPackaged = evidence.No }), none("which nobody vouches for")},
		{"a plugin others can change", with(check, func(f *attribution.Facts) { f.ScriptPackaged, f.ScriptRootOnly = 0, evidence.No }), none("which nobody vouches for")},
		{"a plugin of another account", packaged(linux("www-data", plugin, nrpe, initd)), none("not as a service")},
		{"any packaged program", packaged(linux("nagios", "/usr/bin/xargs: xargs systemctl", nrpe, initd)), none("/usr/bin/xargs, which nobody vouches for")},
		{"the agent is not packaged", with(check, func(f *attribution.Facts) { f.ProgramPackaged = evidence.No }), none("no package brought it")},

		{"a command of its configuration", inline, want{attribution.Management, "zabbix", "ran one plain command"}},
		{"the same for days", with(inline, func(f *attribution.Facts) { f.History = attribution.History{Days: 12, Routine: 12} }), want{attribution.Management, "zabbix", "by the same words as on 12 days before"}},
		{"other words than for days", with(inline, func(f *attribution.Facts) { f.History = stable }), want{attribution.Management, "zabbix", "ran one plain command"}},
		{"a whole path is a command too", packaged(linux("zabbix", "/bin/sh: sh -c /usr/bin/systemctl list-units", zabbix, initd)), want{attribution.Management, "zabbix", "ran /usr/bin/systemctl, which nobody vouches for"}},
		{"a whole path, and then another program", packaged(linux("zabbix", "/bin/sh: sh -c /usr/bin/perl -e x", zabbix, initd)), none("/usr/bin/perl, which nobody vouches for")},
		{"a whole path where anybody writes", packaged(linux("zabbix", "/bin/sh: sh -c /tmp/systemctl list-units", zabbix, initd)), none("/tmp/systemctl, which nobody vouches for")},
		{"a copy of the tool", with(root, func(f *attribution.Facts) { f.Process.Path = "/tmp/systemctl" }), none("/tmp/systemctl, which nobody vouches for")},

		{"it enables a service", enable, want{attribution.Management, "puppet", ""}},
		{"it connects", connection, want{attribution.Management, "telegraf", ""}},
		{"a program of its connects", child, none("/usr/bin/curl, which nobody vouches for")},

		{"cockpit for a user", packaged(loggedIn(linux("al", bridge, "/usr/libexec/cockpit-session", "/usr/libexec/cockpit-ws", initd), "al", "10.0.0.1")), want{attribution.Management, "cockpit", ""}},
		{"cockpit's bridge by hand", packaged(loggedIn(linux("al", bridge, "/usr/bin/bash", bridge, "/usr/libexec/cockpit-session"), "al", "")), none("no session of cockpit started it")},

		{"a node agent", packaged(linux("root", "/home/kubernetes/bin/node-problem-detector", initd)), want{attribution.Management, "node-problem-detector", ""}},
		{"a node agent in a home directory", attribution.Facts{Process: linux("root", "/home/kubernetes/bin/node-problem-detector", initd)}, none("it may not be only root who writes there")},
		{"a node agent where only root writes", attribution.Facts{Process: linux("root", "/home/kubernetes/bin/kubelet", initd), RootOnly: evidence.Yes}, want{attribution.Management, "kubelet", ""}},

		{"CcmExec itself", attribution.Facts{Process: windows("SYSTEM", ccm, scm)}, want{attribution.Management, "sccm", "in a place only SYSTEM writes"}},
		{"a script that CcmExec was sent", attribution.Facts{Process: windows("SYSTEM", script, ccm, scm)}, want{attribution.Management, "sccm", "which its server sent"}},
		{"a stream of it", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\CCM\CcmExec.exe:x.exe`, scm)}, none("")},
		{"a directory that imitates it", attribution.Facts{Process: windows("SYSTEM", `C:\Windows \CCM\CcmExec.exe`, scm)}, none("")},
		{"for a user", attribution.Facts{Process: windows(`CORP\al`, ccm, scm)}, none("not as a service")},
		{"Datadog's account", attribution.Facts{Process: windows(`PC-7\ddagentuser`, `C:\Program Files\Datadog\Datadog Agent\bin\agent.exe`, scm)}, want{attribution.Management, "datadog", ""}},
		{"macOS", attribution.Facts{Process: func() *evidence.Process {
			p := linux("root", "/usr/local/jamf/bin/jamf", "/sbin/launchd")
			p.Platform, p.Path, p.CmdLine = evidence.Darwin, "/bin/launchctl", "launchctl list"
			return p
		}()}, want{attribution.Management, "jamf", ""}},
	})
}

func TestDeclaredAgents(t *testing.T) {
	conf := attribution.Config{Agents: []attribution.Agent{
		{Name: "ansible", Users: []string{"ansible"}, Sources: []string{"10.1.1.5"}, Reason: "our automation"},
		{Name: "pipelined", Programs: []string{"/usr/bin/python3*"}, Users: []string{"deploy"}, Sources: []string{"10.1.1.6"}, Reason: "without files"},
		{Name: "sccm", Reason: "manages our PCs"},
		{Name: "zabbix", Payloads: []string{"/etc/zabbix/scripts/*"}, Reason: "our checks"},
		{Name: "ours", Programs: []string{"/opt/ours/bin/agent", "/srv/ours/agent"}, Users: []string{"ours"}, Hosts: []string{"web-*"}, Reason: "made here", Expires: now.Add(time.Hour)},
		{Name: "old", Programs: []string{"/opt/old/agent"}, Reason: "gone", Expires: now.Add(-time.Hour)},
	}}
	ball := "/usr/bin/python3.11: /usr/bin/python3 /home/ansible/.ansible/tmp/ansible-tmp-1764060000.1-7-9/AnsiballZ_service_facts.py"
	ssh := []string{"/bin/sh: /bin/sh -c /usr/bin/python3 x", "/usr/sbin/sshd: sshd: ansible", initd}
	ansible := func(user, from, ball string) attribution.Facts {
		return attribution.Facts{Process: loggedIn(linux("root", append([]string{ball, "/usr/bin/sudo: sudo -H"}, ssh...)...), user, from)}
	}
	const ccm = `C:\Windows\CCM\CcmExec.exe: C:\Windows\CCM\CcmExec.exe`
	sccm := func(path string) attribution.Facts {
		return attribution.Facts{Process: windows("SYSTEM", `C:\Windows\System32\cmd.exe: cmd.exe /c `+path, ccm, scm)}
	}
	elsewhere := attribution.Facts{Process: linux("ours", "/opt/ours/bin/agent", initd)}
	elsewhere.Process.Host = "db-1"
	judge(t, conf, []kindCase{
		{"Ansible", ansible("ansible", "10.1.1.5", ball), want{attribution.Management, "ansible", "AnsiballZ_service_facts.py, brought by ansible from 10.1.1.5: our automation"}},
		{"from elsewhere", ansible("ansible", "10.1.1.9", ball), none("ansible is the account of ansible, but it came from 10.1.1.9")},
		{"from nowhere known", ansible("ansible", "", ball), none("an unknown address")},
		{"another account", ansible("al", "10.1.1.5", ball), none("al is not its account")},
		{"its account at a shell", ansible("ansible", "10.1.1.5", "/usr/bin/bash: -bash"), none("")},
		{"its account with another script", ansible("ansible", "10.1.1.5", "/usr/bin/python3: python3 /tmp/x.py"), none("")},
		{"its account with a python of its own", ansible("ansible", "10.1.1.5", "/tmp/python3: python3 /home/ansible/.ansible/tmp/ansible-tmp-1/AnsiballZ_x.py"), none("")},
		{"another's script named so", ansible("ansible", "10.1.1.5", "/usr/bin/python3: python3 /home/x/../.ansible/tmp/ansible-tmp-1/AnsiballZ_x.py"), none("")},
		{"a program by account and source", ansible("deploy", "10.1.1.6", "/usr/bin/python3.11: python3"), want{attribution.Management, "pipelined", ""}},

		{"what SCCM was sent", sccm(`C:\Windows\ccmcache\7\install.cmd`), want{attribution.Management, "sccm", "manages our PCs"}},
		{"what SCCM was not sent", sccm(`C:\Users\Public\x.cmd`), none("which nobody vouches for")},
		{"more than what SCCM was sent", sccm(`C:\Windows\ccmcache\7\install.cmd & sc query`), want{attribution.Management, "sccm", "a command line that nobody vouches for"}},

		{"a declared script", attribution.Facts{Process: linux("zabbix", "/bin/bash: bash /etc/zabbix/scripts/units.sh", zabbix, initd)}, want{attribution.Management, "zabbix", "declared for it: our checks"}},
		{"a declared script others can change", attribution.Facts{Process: linux("zabbix", "/bin/bash: bash /etc/zabbix/scripts/units.sh", zabbix, initd), ScriptRootOnly: evidence.No}, none("")},
		{"another script", attribution.Facts{Process: linux("zabbix", "/bin/bash: bash /var/lib/zabbix/x.sh", zabbix, initd)}, none("which nobody vouches for")},

		{"our own agent", attribution.Facts{Process: linux("ours", "/opt/ours/bin/agent", initd)}, want{attribution.Management, "ours", "did it itself: made here"}},
		{"our own agent elsewhere", elsewhere, none("")},
		{"our own agent as somebody else", attribution.Facts{Process: linux("al", "/opt/ours/bin/agent", initd)}, none("not as a service")},
		{"our own agent in a place of nobody knows whose", attribution.Facts{Process: linux("ours", "/srv/ours/agent", initd)}, none("it may not be only root who writes there")},
		{"our own agent in a place only root writes", attribution.Facts{Process: linux("ours", "/srv/ours/agent", initd), RootOnly: evidence.Yes}, want{attribution.Management, "ours", ""}},
		{"expired", attribution.Facts{Process: linux("root", "/opt/old/agent", initd)}, none("the entry of the agent old has expired")},
	})
}

func TestAsk(t *testing.T) {
	for _, c := range []struct {
		name            string
		f               attribution.Facts
		program, script string
	}{
		{"nothing", attribution.Facts{}, "", ""},
		{"no agent", attribution.Facts{Process: linux("al", "/usr/bin/bash")}, "", ""},
		{"an agent itself", attribution.Facts{Process: linux("root", puppet)}, "/opt/puppetlabs/puppet/bin/puppet", ""},
		{"an agent's script", attribution.Facts{Process: linux("nagios", plugin, nrpe)}, "/usr/sbin/nrpe", "/usr/lib/nagios/plugins/check_units"},
		{"an agent's program", attribution.Facts{Process: linux("nagios", "/usr/lib/nagios/plugins/check_x", nrpe)}, "/usr/sbin/nrpe", "/usr/lib/nagios/plugins/check_x"},
		{"an agent's shell", attribution.Facts{Process: linux("zabbix", "/bin/sh: sh -c x", zabbix)}, "/usr/sbin/zabbix_agentd", ""},
		{"declared", attribution.Facts{Process: linux("root", "/opt/ours/agent")}, "/opt/ours/agent", ""},
	} {
		program, script := attribution.Ask(c.f, attribution.Config{Agents: []attribution.Agent{{Name: "ours", Programs: []string{"/opt/ours/*"}}}})
		if diff := cmp.Diff([]string{c.program, c.script}, []string{program, script}); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

// TestEveryKnownAgentCanBeOne: a pattern in the table that lies in no place of root's
// and needs a fact is a rare one, not a slip.
func TestEveryKnownAgentCanBeOne(t *testing.T) {
	names := attribution.KnownAgents()
	if len(names) < 40 {
		t.Errorf("%d agents", len(names))
	}
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			t.Errorf("%s is there twice", n)
		}
		seen[n] = true
		_, err := (&attribution.Config{Agents: []attribution.Agent{{Name: n, Users: []string{"u"}, Sources: []string{"10.0.0.1"}, Reason: "r"}}}).Check()
		if err != nil {
			t.Errorf("%s can't be declared: %v", n, err)
		}
	}
	for _, n := range []string{"ansible", "puppet", "chef", "salt", "zabbix", "nrpe", "icinga", "datadog", "telegraf", "node_exporter", "osquery", "rollcall", "qualys", "nessus", "sccm", "intune", "tanium", "bigfix", "jamf", "waagent", "amazon-ssm-agent", "google_guest_agent", "kubelet", "node-problem-detector", "cockpit", "landscape"} {
		if !seen[n] {
			t.Errorf("%s is not known", n)
		}
	}
}
