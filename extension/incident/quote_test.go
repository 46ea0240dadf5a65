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
