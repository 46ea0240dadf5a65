package watch

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/service/systemd"
)

// The bounds of hashing the programs of what changed.
const (
	maxHashed   = 256 << 20 // bytes of one read
	maxHashTime = 2 * time.Second
)

// budget is what one read may hash.
type budget struct {
	bytes int64
	until time.Time
}

// shown is the command of a service that a row shows: the one that scores highest,
// among what a timer, socket or path unit starts as well.
type shown struct {
	service *inventory.Service // whose command it is
	at      int                // among its commands; 0 when there are none
	image   string
	score   int
	signs   []evidence.Sign
}

func (c *comparison) shown(v *inventory.Service) shown {
	best := shown{service: v, signs: v.Signs()}
	at, verdict := c.s.judge.Worst(v, best.signs)
	best.at, best.score = at, verdict.Score
	if len(v.Commands) == 0 {
		for _, t := range v.Triggers {
			other := c.named[unitName{v.Scope, v.Username, t}]
			if other == nil || len(other.Commands) == 0 {
				continue
			}
			signs := other.Signs()
			if at, verdict := c.s.judge.Worst(other, signs); best.service == v || verdict.Score > best.score {
				best = shown{service: other, at: at, score: max(verdict.Score, best.score), signs: append(v.Signs(), signs...)}
			}
		}
	}
	best.image = strings.TrimSpace(best.service.Installs()[best.at].ImagePath)
	return best
}

// install makes the row of a change.
func (c *comparison) install(ch *change) evidence.Install {
	in := evidence.Install{
		Time: ch.time, TimeBasis: ch.basis, Platform: evidence.Linux, Action: ch.action, Changes: ch.changes, Source: SourceName, EID: ch.id(),
	}
	if ch.service == nil {
		c.former(&in, ch.old)
		return in
	}
	v := ch.service
	best := c.shown(v)
	ch.new.Image = brief(best.image)
	facts := best.service.Installs()[best.at]
	in.Kind, in.Name, in.DisplayName, in.UnitPath = string(v.Install.Kind), v.Name, v.DisplayName, v.UnitPath
	in.ServiceType, in.StartType, in.Account = serviceType(v), v.StartType, best.service.Account
	in.ImagePath, in.OnDisk, in.WritableByOthers, in.Packaged = best.image, facts.OnDisk, facts.WritableByOthers, facts.Packaged
	if len(best.service.Commands) > 0 {
		cmd := best.service.Commands[best.at]
		in.Path, in.Args = cmd.Path, cmd.Args
		in.SHA256 = c.hash(cmd)
	}
	if in.ImagePath == "" && ch.old != nil && ch.action == evidence.Disabled {
		in.ImagePath = ch.old.Image // of a masked unit
	}
	in.Package, in.PackageVerified = v.Package, v.Verified
	for _, x := range best.signs {
		if x.Factor == "writable_by_others" && in.WritableByOthers == evidence.Yes {
			continue // what the program shows by itself
		}
		in.Signs = append(in.Signs, x)
	}
	if ch.old != nil && ch.old.Values[onDisk] == "yes" && ch.new.Values[onDisk] == "no" {
		in.Signs = append(in.Signs, evidence.Sign{Factor: "missing_program", Evidence: fmt.Sprintf("%q was deleted, the service stays", v.Path), Scale: 2})
	}
	in.Signs = append(in.Signs, c.stomped(ch)...)
	if x, ok := defenceOff(ch, v.Name, v.Package); ok {
		in.Signs = append(in.Signs, x)
	}
	return in
}

// serviceType is the type of a unit, or the init system where that has no kind of
// its own.
func serviceType(v *inventory.Service) string {
	if v.Kind != string(v.Install.Kind) {
		return v.Kind
	}
	if v.Scope == string(systemd.User) {
		return "user " + v.Type
	}
	return v.Type
}

// former fills in what is remembered of a service that is gone.
func (c *comparison) former(in *evidence.Install, r *record) {
	in.Kind, in.Name, in.ServiceType = r.Kind, r.Name, r.Type
	switch r.Kind {
	case "systemd", "sysv", "openrc":
		if r.Scope == string(systemd.User) {
			in.ServiceType = "user " + r.Type
		}
	default:
		in.Kind, in.ServiceType = "sysv", r.Kind
	}
	in.UnitPath, in.StartType, in.Account, in.Package = r.Values[unitPath], r.Values[startType], r.Values[account], r.Values[packaged]
	in.ImagePath = r.Image
	in.Path, in.Args, _ = strings.Cut(r.Image, " ")
	for _, x := range r.Commands {
		key, value, _ := strings.Cut(x, "=")
		if len(in.Changes) < maxChanges/2 {
			in.Changes = append(in.Changes, fmt.Sprintf("%s: %s -> none", key, value))
		}
	}
	if x, ok := defenceOff(&change{old: r, action: in.Action}, r.Name, in.Package); ok {
		in.Signs = append(in.Signs, x)
	}
}

// hash is the digest of what a command runs.
func (c *comparison) hash(cmd inventory.Command) string {
	if c.hashed.until.IsZero() {
		c.hashed = budget{bytes: maxHashed, until: time.Now().Add(maxHashTime)}
	}
	return c.s.inv.Sum(c.ctx, c.tree, cmd, &c.hashed.bytes, c.hashed.until)
}

// within reports whether a time in nanoseconds lies between the comparison before
// and this one.
func (c *comparison) within(ns int64) bool {
	return ns >= c.since.Add(-tick).UnixNano() && ns <= c.now.Add(slack).UnixNano()
}

// made is the latest time at which one of the paths came since the comparison
// before; 0 when none did. Links are not followed.
func (c *comparison) made(paths ...string) (at int64, basis string) { return c.latest(true, paths) }

// changed is the latest time at which one of the paths came or became another.
func (c *comparison) changed(paths ...string) (at int64, basis string) { return c.latest(false, paths) }

func (c *comparison) latest(made bool, paths []string) (at int64, basis string) {
	for _, p := range paths {
		if p == "" {
			continue
		}
		found, err := c.tree.Parent(p, 0)
		if err != nil {
			continue
		}
		t, b := found.Info.CTime, evidence.BasisChange
		if c.within(found.Info.BTime) && (made || t-found.Info.BTime < int64(time.Second)) {
			t, b = found.Info.BTime, evidence.BasisBirth
		}
		if c.within(t) && t > at {
			at, basis = t, b
		}
	}
	return at / 1e9, basis
}

// left is when the last of the paths went out of its directory: that changed then,
// and maybe since.
func (c *comparison) left(paths []string) (at int64, basis string) {
	for _, p := range paths {
		for dir := path.Dir(p); strings.HasPrefix(p, "/") && dir != "/"; dir = path.Dir(dir) {
			found, err := c.tree.Resolve(dir, 0)
			if err != nil {
				continue
			}
			if t := found.Info.CTime; c.within(t) && t/1e9 > at {
				at, basis = t/1e9, evidence.BasisChange
			}
			break
		}
	}
	return at, basis
}

// split undoes list.
func split(v string) []string {
	if v == "" {
		return nil
	}
	return strings.Split(v, ", ")
}

// missing are the values of one list that another has not.
func missing(from, in []string) []string {
	have := map[string]bool{}
	for _, x := range in {
		have[x] = true
	}
	var all []string
	for _, x := range from {
		if !have[x] {
			all = append(all, x)
		}
	}
	return all
}

// date finds the best time known of a change.
func (c *comparison) date(ch *change) {
	ch.time, ch.basis = c.now.Unix(), evidence.BasisFirstSeen
	try := func(at int64, basis string) bool {
		if at == 0 {
			return false
		}
		ch.time, ch.basis = at, basis
		return true
	}
	v := ch.service
	if v == nil {
		gone := []string{ch.old.Values[unitPath]}
		if ch.action == evidence.Disabled {
			gone = split(ch.old.Values[links])
		}
		try(c.left(gone))
		return
	}
	var was record
	if ch.old != nil {
		was = *ch.old
	}
	came := missing(v.Links, split(was.Values[links]))
	switch ch.action {
	case evidence.Created:
		switch {
		case try(c.made(append([]string{v.UnitPath}, v.Foreign...)...)):
		case try(c.made(v.Links...)), try(c.made(v.DropIns...)), try(c.made(v.Real)):
		default:
			try(c.left([]string{v.UnitPath}))
		}
	case evidence.Enabled:
		switch {
		case try(c.made(came...)):
		default:
			try(c.made(aliasPaths(v)...))
		}
	case evidence.Disabled:
		switch {
		case masked(v.StartType) && try(c.made(v.UnitPath)):
		default:
			try(c.left(missing(split(was.Values[links]), v.Links)))
		}
	default:
		paths := append([]string{v.UnitPath, v.Real}, v.DropIns...)
		paths = append(paths, came...)
		if was.Values[program] != ch.new.Values[program] || was.Values[onDisk] != ch.new.Values[onDisk] || was.Values[verified] != ch.new.Values[verified] {
			for _, cmd := range v.Commands {
				paths = append(paths, cmd.Path, cmd.Real, cmd.Script)
			}
		}
		if was.Values[writable] != ch.new.Values[writable] {
			paths = append(paths, v.Writable...)
		}
		switch {
		case try(c.changed(paths...)):
		case ch.new.Values[onDisk] == "no" && try(c.left([]string{v.Path})):
		default:
			try(c.left(append(missing(split(was.Values[dropIns]), v.DropIns), missing(split(was.Values[links]), v.Links)...)))
		}
	}
}

// aliasPaths are the links by which a unit may have other names.
func aliasPaths(v *inventory.Service) []string {
	var all []string
	for _, a := range v.Aliases {
		for _, dir := range []string{"/etc/systemd/system/", "/run/systemd/system/", "/etc/systemd/user/"} {
			all = append(all, dir+a)
		}
	}
	return all
}

// stomped looks for files of no package whose times were set.
func (c *comparison) stomped(ch *change) []evidence.Sign {
	v := ch.service
	if v.Owned == evidence.Unknown || masked(v.StartType) {
		return nil // packages set times, too
	}
	paths := v.Foreign
	if v.Owned == evidence.No {
		paths = append([]string{v.UnitPath}, v.Foreign...)
	}
	rewritten := ch.old == nil || ch.old.Values[contents] != ch.new.Values[contents]
	for _, p := range paths {
		at, err := c.tree.Resolve(p, 0)
		if err != nil || !at.Info.IsRegular() {
			continue
		}
		i := at.Info
		var why string
		switch {
		case i.MTime > c.now.Add(24*time.Hour).UnixNano():
			why = "a time to come"
		case i.BTime > 0 && i.MTime < i.BTime-int64(time.Hour):
			why = "but it was made at " + stamp(i.BTime)
		case rewritten && !c.first && c.within(i.CTime) && i.MTime < c.since.Add(-time.Minute).UnixNano():
			why = "but its contents came after " + stamp(c.since.UnixNano())
		default:
			continue
		}
		return []evidence.Sign{{Factor: "time_stomped", Evidence: fmt.Sprintf("%q says it was changed last at %s, %s", p, stamp(i.MTime), why)}}
	}
	return nil
}

// defences are services that watch or protect a host, by their names.
var defences = []string{
	"auditd", "apparmor", "ufw", "firewalld", "nftables", "iptables", "fail2ban", "crowdsec", "rsyslog", "syslog", "syslog-ng", "systemd-journald", "clamav", "aide",
	"osqueryd", "orbit", "launcher.kolide", "falcon-sensor", "wazuh-agent", "ossec", "auditbeat", "filebeat", "elastic-agent", "elasticendpoint", "mdatp", "sysmon",
	"cbdaemon", "cbagentd", "sentinelone", "sentinelagent", "ds_agent", "splunk", "splunkforwarder", "splunkd", "td-agent", "fluent-bit", "fluentd", "velociraptor",
	"qualys-cloud-agent", "nessusagent", "sav-protect", "sophos-spl", "xagt", "traps_pmd", "cortex-xdr", "cyserver", "eset", "bdsec", "lacework", "falco", "tetragon", "kesl", "rkhunter",
	"unattended-upgrades", "selinux-autorelabel-mark",
}

// defenceOff tells of a protection that was turned off.
func defenceOff(ch *change, name, owner string) (evidence.Sign, bool) {
	if ch.action != evidence.Disabled && ch.action != evidence.Removed {
		return evidence.Sign{}, false
	}
	base, _, _ := strings.Cut(strings.ToLower(name), ".service")
	base, _, _ = strings.Cut(base, "@")
	for _, d := range defences {
		if base != d && base != d+"-daemon" && base != d+".timer" && base != d+".socket" {
			continue
		}
		scale := 0.9
		if ch.action == evidence.Removed {
			scale = 0.5 // as an upgrade to another product does
		}
		what := fmt.Sprintf("%s, which watches or protects the host, was %s", name, ch.action)
		if owner != "" {
			what += " (package " + owner + ")"
		}
		return evidence.Sign{Factor: "defence_off", Evidence: what, Scale: scale}, true
	}
	return evidence.Sign{}, false
}
