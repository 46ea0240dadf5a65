package incident

import (
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
)

// TestDecide is the contract of DESIGN.md, section 6, rule by rule.
func TestDecide(t *testing.T) {
	nothing := Findings{LooseCommand: -1, LooseInstall: -1, LooseConnection: -1, Attributed: -1}
	with := func(change func(*Findings)) Findings {
		f := nothing
		change(&f)
		return f
	}
	whose := func(k attribution.Kind) attribution.Result {
		return attribution.Result{Kind: k, Subject: "x", Basis: "because", Strength: 1}
	}
	for _, c := range []struct {
		name string
		f    Findings
		want string
		why  string // a word of the reasons
	}{
		{"nothing at all", nothing, Record, "scores only 0"},
		{"unattributed command, informational", with(func(f *Findings) { f.LooseCommand = 12 }), Record, "only 12"},
		{"unattributed command, just below low", with(func(f *Findings) { f.LooseCommand = 19 }), Record, "only 19"},
		{"unattributed command, low", with(func(f *Findings) { f.LooseCommand = 20 }), Review, "nobody is known"},
		{"unattributed command, top of low", with(func(f *Findings) { f.LooseCommand = 39 }), Review, "39 (low)"},
		{"unattributed command, medium", with(func(f *Findings) { f.LooseCommand = 40 }), Escalate, "40 (medium)"},
		{"unattributed command, critical", with(func(f *Findings) { f.LooseCommand = 95 }), Escalate, "95 (critical)"},
		{"accounted for as far as it is low, medium", with(func(f *Findings) {
			f.WeakCommand, f.Attributed, f.Attribution = 45, 45, whose(attribution.KnownUser)
		}), Review, "accounts for a look at the services, not for 45 (medium)"},
		{"accounted for as far as it is low, on a critical host", with(func(f *Findings) { f.Critical, f.WeakCommand = "dc*", 45 }), Escalate, "critical"},
		{"unattributed install, informational", with(func(f *Findings) { f.LooseInstall = 5 }), Record, "only 5"},
		{"unattributed install, low", with(func(f *Findings) { f.LooseInstall = 25 }), Review, "25 (low)"},
		{"unattributed install, medium: never for being an install", with(func(f *Findings) { f.LooseInstall = 59 }), Review, "59 (medium)"},
		{"unattributed install, high", with(func(f *Findings) { f.LooseInstall = 60 }), Escalate, "60 (high)"},
		{"attributed, low", with(func(f *Findings) { f.Attributed, f.Attribution = 30, whose(attribution.Management) }), Record, "management x"},
		{"attributed, medium", with(func(f *Findings) { f.Attributed, f.Attribution = 59, whose(attribution.Package) }), Record, "package x"},
		{"attributed, high", with(func(f *Findings) { f.Attributed, f.Attribution = 60, whose(attribution.Expected) }), Review, "but it scores 60"},
		{"attributed, critical", with(func(f *Findings) { f.Attributed, f.Attribution = 99, whose(attribution.Expected) }), Review, "99 (critical)"},
		{"an indicator, nothing else", with(func(f *Findings) { f.IOC = []string{"feed: evil.example"} }), Escalate, "evil.example"},
		{"an indicator in something attributed", with(func(f *Findings) {
			f.IOC, f.Attributed, f.Attribution = []string{"feed: hash"}, 10, whose(attribution.Package)
		}), Escalate, "feed: hash"},
		{"a web ancestor, informational", with(func(f *Findings) { f.Never, f.LooseCommand = []string{"a command under a web ancestor"}, 5 }), Escalate, "web ancestor"},
		{"a young service", with(func(f *Findings) { f.Never, f.LooseCommand = []string{"a command under the young service x"}, 22 }), Escalate, "young service"},
		{"a critical host, below low", with(func(f *Findings) { f.Critical, f.LooseCommand = "dc*", 19 }), Record, "only"},
		{"a critical host, low", with(func(f *Findings) { f.Critical, f.LooseCommand = "dc*", 20 }), Escalate, "critical"},
		{"a critical host, attributed", with(func(f *Findings) {
			f.Critical, f.Attributed, f.Attribution = "dc*", 30, whose(attribution.Management)
		}), Record, "management"},
		{"a critical host, an install at low", with(func(f *Findings) { f.Critical, f.LooseInstall = "dc*", 21 }), Escalate, "critical"},
		{"a sensitive account, low", with(func(f *Findings) { f.Sensitive, f.LooseCommand = "krbtgt", 20 }), Escalate, "sensitive"},
		{"a sensitive account, informational", with(func(f *Findings) { f.Sensitive, f.LooseCommand = "krbtgt", 3 }), Record, "only"},
		{"discovery, then an install", with(func(f *Findings) { f.LooseCommand, f.LooseInstall, f.Followed = 25, 5, []string{"44 s after"} }), Escalate, "44 s after"},
		{"known user's discovery, then a suspicious install", with(func(f *Findings) {
			f.Attributed, f.Attribution, f.LooseInstall, f.Followed = 12, whose(attribution.KnownUser), 30, []string{"then x was created"}
		}), Escalate, "x was created"},
		{"discovery, then an install of somebody's own", with(func(f *Findings) {
			f.LooseCommand, f.LooseInstall, f.FollowedWeakly = 15, 5, []string{"60 s after"}
		}), Review, "60 s after"},
		{"unattributed command beside an attributed install", with(func(f *Findings) {
			f.LooseCommand, f.Attributed, f.Attribution = 22, 5, whose(attribution.Package)
		}), Review, "nobody is known"},
		{"an unusual connection that is no reason by itself", with(func(f *Findings) { f.LooseConnection = 0 }), Record, "only 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, why := Decide(c.f, Default())
			if got != c.want || !strings.Contains(strings.Join(why, "; "), c.why) {
				t.Errorf("%s because %q; want %s because of %q", got, why, c.want, c.why)
			}
			if len(why) == 0 {
				t.Error("no reason")
			}
		})
	}
	// Thresholds are the configuration's.
	cfg := Default()
	cfg.EscalateCommand, cfg.EscalateInstall, cfg.Review, cfg.ReviewAttributed = 80, 90, 50, 95
	for f, want := range map[*Findings]string{
		{LooseCommand: 49}: Record, {LooseCommand: 79}: Review, {LooseCommand: 80}: Escalate, {LooseInstall: 89}: Review, {LooseInstall: 90}: Escalate,
		{Attributed: 94, Attribution: whose(attribution.System)}: Record, {Attributed: 95, Attribution: whose(attribution.System)}: Review,
	} {
		if got, why := Decide(*f, cfg); got != want {
			t.Errorf("%+v: %s (%q), want %s", *f, got, why, want)
		}
	}
}
