package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// listed is a host whose administrators are known.
type listed struct {
	blank
	users map[string]evidence.Tristate
}

func (l listed) Administrator(user string) evidence.Tristate { return l.users[user] }

// TestElevatedOnWindows: of whoever a program runs as it matters what groups they are in,
// also where somebody else, who typed their password, started it.
func TestElevatedOnWindows(t *testing.T) {
	h := listed{users: map[string]evidence.Tristate{`WS-7\adm`: evidence.Yes, `WS-7\kim`: evidence.No}}
	run := func(user, starter, session string) evidence.Process {
		return evidence.Process{Time: 1_700_000_000, Platform: evidence.Windows, Path: `C:\Windows\System32\sc.exe`, CmdLine: "sc query", Username: user, LoginUser: starter,
			Session: session, Elevated: evidence.Yes}
	}
	for _, c := range []struct {
		name string
		p    evidence.Process
		want string
	}{
		{"an administrator", run(`WS-7\adm`, "", "2"), "elevated"},
		{"somebody else", run(`WS-7\kim`, "", "2"), "elevated_unauthorised"},
		{"with an administrator's password", run(`WS-7\adm`, `WS-7\kim`, "2"), "elevated"},
		{"an administrator as somebody else", run(`WS-7\kim`, `WS-7\adm`, "2"), "elevated_unauthorised"},
		{"of a domain", run(`CORP\sam`, "", "2"), "elevated"},
		{"a service", run(`NT AUTHORITY\SYSTEM`, "", "0"), "elevated"},
	} {
		v := judge(t).Judge(&c.p, h, time.Unix(c.p.Time, 0))
		i := slices.IndexFunc(v.Reasons, func(r score.Reason) bool { return r.Factor == "elevated" || r.Factor == "elevated_unauthorised" })
		if i < 0 || v.Reasons[i].Factor != c.want {
			t.Errorf("%s: %+v, want %s", c.name, v.Reasons, c.want)
		}
	}
}
