package attribution

import (
	"fmt"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// knownUser looks at whether an interactive user has done so often enough before.
// The more days, the stronger; a login from somewhere new never counts, since
// stolen credentials come from elsewhere.
func knownUser(f *Facts, a *actor, c *Config) Result {
	h, limits := &f.History, c.KnownUser
	who := clip(a.account())
	if limits.Off || who == "" || !h.Interactive {
		return Result{}
	}
	if f.Session.RemoteAddr != "" && f.Session.KnownSource == evidence.No {
		return near(fmt.Sprintf("%s never came from %s before", who, f.Session.RemoteAddr))
	}
	if a.what == "install" {
		if h.InstallDays < limits.days() {
			return near(fmt.Sprintf("%s installed services on %s before", who, days(h.InstallDays)))
		}
		return Result{Kind: KnownUser, Subject: who, Basis: "installed services on " + days(h.InstallDays) + " before",
			Strength: grown(0.3, h.InstallDays-limits.days())}
	}
	if h.SameHours >= limits.days() {
		return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("did so on %s before, on %d of them at these hours", days(h.Days), h.SameHours),
			Strength: grown(0.4, h.SameHours-limits.days())}
	}
	inside, why := c.Business(a.at(f.Now))
	if h.UserDays >= limits.userDays() && inside && (!f.remote(a) || f.Session.KnownSource == evidence.Yes) {
		return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("worked here on %s before; %s", days(h.UserDays), why), Strength: 0.3}
	}
	return near(fmt.Sprintf("%s did so on %s before, at these hours on %d, and worked here on %d", who, days(h.Days), h.SameHours, h.UserDays))
}

// grown is a strength that grows by the days beyond what was needed.
func grown(from float64, more int) float64 {
	return min(from+0.05*float64(more), from+0.4)
}

func days(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}
