package incident

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

var hostile = []string{
	"a b", "a'b", `a"b`, "$(touch /tmp/x)", "`id`", "a;b", "a&b", "a|b", "-rf", "--", "a\\b", "*", "~root", "a>b", "#c", "!x", "{a,b}", "%1", "a%2b", "é", "\u2018x\u2019; calc", "''", "' ; rm -rf / ; '",
}

// TestCommandsAreSafeToPaste has a real shell read what is made of hostile names: each
// must come out as the one word it was.
func TestCommandsAreSafeToPaste(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("NOT TESTED: there is no sh to read the commands")
	}
	for _, name := range hostile {
		cmd := command(evidence.Linux, "printf '[%s]' %1 %2", name, name)
		cmd = strings.Replace(cmd, "'[%s]'", "'[%s]'", 1)
		out, err := exec.Command(sh, "-c", cmd).Output()
		if err != nil || string(out) != "["+name+"]["+name+"]" {
			t.Errorf("%q: %q ran as %q (%v)", name, cmd, out, err)
		}
	}
	for _, name := range []string{"a\nb", "a\rb", "a\x1b[31m", "\x00", "a\u2028b", "\u0085"} {
		for _, p := range []evidence.Platform{evidence.Linux, evidence.Darwin, evidence.Windows} {
			if got := command(p, "stop %1", name); got != "" {
				t.Errorf("%q makes a command: %q", name, got)
			}
		}
	}
	for in, want := range map[string]string{"it's": "'it''s'", "$x": "'$x'", "\u2019; calc": "'\u2019\u2019; calc'", "plain": "'plain'"} {
		if got, ok := powershell(in); !ok || got != want {
			t.Errorf("PowerShell: %q is %q, want %q", in, got, want)
		}
	}
	if got := literal("o'x"); got != "'o''x'" {
		t.Errorf("SQL: %q", got)
	}
}

// TestContainmentOfHostileServices quotes every name in every command.
func TestContainmentOfHostileServices(t *testing.T) {
	for _, p := range []evidence.Platform{evidence.Linux, evidence.Windows, evidence.Darwin} {
		for _, name := range append([]string{"a\nb"}, hostile...) {
			x := &Incident{ID: "i", Platform: p, Host: "h", Installs: []Install{{ID: "1", Action: evidence.Created, Kind: "systemd", Name: name, Path: "/opt/" + name, UnitPath: "/etc/systemd/system/" + name,
				Actor: Actor{Username: name, LoginUser: "x" + name}}}}
			for _, a := range x.Triage() {
				if a.Tier != Containment || a.Command == "" || strings.Contains(a.Question, "isolated") {
					continue
				}
				if strings.ContainsAny(a.Command, "\n\r\x00\x1b") {
					t.Errorf("%s, %q: %q", p, name, a.Command)
				}
				quoted := "'" + strings.ReplaceAll(name, "'", `'\''`)
				if p != evidence.Windows && !plain(name) && !plain("/opt/"+name) && strings.Contains(a.Command, name) && !strings.Contains(a.Command, "'") && !strings.Contains(a.Command, quoted) {
					t.Errorf("%s, %q is not quoted: %q", p, name, a.Command)
				}
			}
		}
	}
}

// TestContainmentDoesNoDamage is services and accounts that are called, or made of, what
// would have the analyst harm the host.
func TestContainmentDoesNoDamage(t *testing.T) {
	commands := func(p evidence.Platform, in Install) string {
		in.ID, in.Action = "1", evidence.Created
		x := &Incident{ID: "i", Platform: p, Host: "h", Installs: []Install{in}}
		var all []string
		for _, a := range x.Triage() {
			if a.Tier == Containment && !strings.Contains(a.Question, "isolated") {
				all = append(all, a.Command)
			}
		}
		return strings.Join(all, "\n")
	}
	for _, c := range []struct {
		name     string
		platform evidence.Platform
		in       Install
		has, not []string
	}{
		{"a pattern for a name", evidence.Windows, Install{Name: "Win*"}, []string{"Name -EQ 'Win*'"}, []string{"-Name 'Win*'"}},
		{"a plain name", evidence.Windows, Install{Name: "Evil", Path: `D:\x\evil.exe`}, []string{"Stop-Service -Force -Name 'Evil'", `Move-Item -LiteralPath 'D:\x\evil.exe'`}, nil},
		{"a program on another host", evidence.Windows, Install{Name: "Evil", Path: `\\203.0.113.7\s\x.exe`}, []string{"-Name 'Evil'"}, []string{"Move-Item"}},
		{"a way round to the system's", evidence.Windows, Install{Name: "Evil", Path: `C:\Users\..\Windows\System32\lsass.exe`}, nil, []string{"Move-Item"}},
		{"slashes", evidence.Windows, Install{Name: "Evil", Path: `C:/Windows/System32/lsass.exe`}, nil, []string{"Move-Item"}},
		{"a drive of PowerShell's", evidence.Windows, Install{Name: "Evil", Path: `HKLM:\SOFTWARE`}, nil, []string{"Move-Item"}},
		{"the loader for a program", evidence.Linux, Install{Kind: "systemd", Name: "x", Path: "/lib64/ld-linux-x86-64.so.2", UnitPath: "/etc/systemd/system/x.service"}, []string{"mv -n -- /etc/systemd/system/x.service"}, []string{"/lib64"}},
		{"accounts for a program", evidence.Linux, Install{Kind: "systemd", Name: "x", Path: "/etc/passwd"}, []string{"disable --now"}, []string{"/etc/passwd"}},
		{"a way round", evidence.Linux, Install{Kind: "systemd", Name: "x", Path: "/opt/../etc/ssl/x", UnitPath: "/tmp/../usr/bin/env"}, nil, []string{"mv "}},
		{"the root", evidence.Linux, Install{Kind: "systemd", Name: "x", Path: "/", UnitPath: "/vmlinuz"}, nil, []string{"mv "}},
		{"an init script", evidence.Linux, Install{Kind: "sysv", Name: "../../dev/shm/x", Path: "/dev/shm/x", UnitPath: "/etc/init.d/x"}, []string{"fuser -k -KILL /dev/shm/x", "mv -n -- /etc/init.d/x"}, []string{"service ", "../"}},
		{"an account list", evidence.Linux, Install{Kind: "systemd", Name: "x", Actor: Actor{Username: "al,daemon"}}, []string{`-u "$(id -u -- 'al,daemon')"`}, []string{"pkill -KILL -u 'al"}},
		{"another name of root's", evidence.Linux, Install{Kind: "systemd", Name: "x", Actor: Actor{Username: "toor"}}, []string{`[ "$(id -u -- toor)" -gt 0 ] && sudo pkill`}, nil},
		{"a property list of the system's", evidence.Darwin, Install{Name: "x", UnitPath: "/System/Library/LaunchDaemons/x.plist"}, []string{"launchctl disable system/x"}, []string{"mv "}},
	} {
		got := commands(c.platform, c.in)
		for _, w := range c.has {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q has no %q", c.name, got, w)
			}
		}
		for _, w := range c.not {
			if strings.Contains(got, w) {
				t.Errorf("%s: %q has %q", c.name, got, w)
			}
		}
	}
	for _, name := range []string{"a\u202eb", "a\u200bb", "\ufeffa", "a\U000e0041", "\ue000"} {
		for _, p := range []evidence.Platform{evidence.Linux, evidence.Darwin, evidence.Windows} {
			if got := command(p, "stop %1", name); got != "" {
				t.Errorf("%q makes a command: %q", name, got)
			}
		}
	}
}
