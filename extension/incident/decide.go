package incident

import (
	"fmt"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// Findings is what a decision is made from. A score of -1 means that there is
// nothing of the kind.
type Findings struct {
	IOC   []string // indicators that matched
	Never []string // why something may never be attributed ("command under a web ancestor")

	LooseCommand    int // the strongest unattributed command or burst
	WeakCommand     int // the strongest burst that is medium, and accounted for only as far as it is low
	LooseInstall    int // the strongest unattributed install
	LooseConnection int // an unusual and unattributed connection of the actor's own
	Attributed      int // the strongest attributed thing

	Critical  string // the entry that names the host
	Sensitive string // the entry that names the account

	// Followed says what unattributed came after discovery and is reason enough to
	// escalate, in words; FollowedWeakly what is reason to look.
	Followed       []string
	FollowedWeakly []string

	Attribution attribution.Result // whose operation it is, when it is somebody's
}

// Decide says what is to be done, and why in words (DESIGN.md, section 6).
func Decide(f Findings, cfg Config) (decision string, reasons []string) {
	because := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	loose := max(f.LooseCommand, f.LooseInstall, f.LooseConnection, f.WeakCommand)
	for _, i := range f.IOC {
		because("an indicator matches: %s", i)
	}
	for _, n := range f.Never {
		because("%s: never anybody's routine", n)
	}
	if f.LooseCommand >= cfg.EscalateCommand {
		because("nobody is known for a command or burst that scores %d (%s)", f.LooseCommand, score.Severity(f.LooseCommand))
	}
	if f.LooseInstall >= cfg.EscalateInstall {
		because("nobody is known for an install that scores %d (%s)", f.LooseInstall, score.Severity(f.LooseInstall))
	}
	if loose >= cfg.Stakes {
		if f.Critical != "" {
			because("the host is critical: %s", f.Critical)
		}
		if f.Sensitive != "" {
			because("the account is sensitive: %s", f.Sensitive)
		}
	}
	for _, s := range f.Followed {
		because("%s", s)
	}
	if len(reasons) > 0 {
		return Escalate, reasons
	}
	if f.WeakCommand >= cfg.EscalateCommand {
		because("%s: that accounts for a look at the services, not for %d (%s)", whose(f.Attribution), f.WeakCommand, score.Severity(f.WeakCommand))
	} else if loose >= cfg.Review {
		because("nobody is known for it, and it scores %d (%s)", loose, score.Severity(loose))
	}
	for _, s := range f.FollowedWeakly {
		because("%s", s)
	}
	if f.Attributed >= cfg.ReviewAttributed {
		because("%s, but it scores %d (%s)", whose(f.Attribution), f.Attributed, score.Severity(f.Attributed))
	}
	if len(reasons) > 0 {
		return Review, reasons
	}
	if f.Attribution.Attributed() {
		because("%s", whose(f.Attribution))
	} else {
		because("nobody is known for it, but it scores only %d (%s)", max(loose, 0), score.Severity(max(loose, 0)))
	}
	return Record, reasons
}

func whose(a attribution.Result) string {
	s := "it is " + strings.ReplaceAll(string(a.Kind), "_", " ")
	if a.Subject != "" {
		s += " " + a.Subject
	}
	if a.Basis != "" {
		s += " (" + a.Basis + ")"
	}
	return s
}

// findings looks through an incident.
func (b *Book) findings(x *Incident) Findings {
	f := Findings{LooseCommand: -1, WeakCommand: -1, LooseInstall: -1, LooseConnection: -1, Attributed: -1, Critical: x.Facts.Critical, Sensitive: x.Facts.Sensitive}
	strongest := -1
	attributed := func(v int, a attribution.Result) {
		f.Attributed = max(f.Attributed, v)
		if v > strongest && a.Attributed() {
			strongest, f.Attribution = v, a
		}
	}
	ioc := func(list []string) {
		for _, i := range list {
			f.IOC = include(f.IOC, i, maxShown)
		}
	}
	for _, y := range x.Bursts {
		for _, c := range y.Sample {
			ioc(c.IOC)
		}
		ioc(y.Best.IOC)
		if y.Best.Never != "" {
			f.Never = include(f.Never, "a command under "+y.Best.Never, maxShown)
		}
		if y.Loose == nil && y.impact() != "" {
			// Whoever works here, that is more than a look.
			f.LooseCommand = max(f.LooseCommand, y.Score)
			continue
		}
		if y.Loose == nil {
			if y.weak() && y.Score >= b.cfg.EscalateCommand {
				// That somebody works here accounts for a look at services, not for this.
				f.half(y, b.cfg)
				attributed(y.Score, y.Best.Attribution)
				continue
			}
			attributed(y.Score, y.Best.Attribution)
			continue
		}
		if y.Loose.Never != "" {
			f.Never = include(f.Never, "a command under "+y.Loose.Never, maxShown)
		}
		if y.Loose.Score < b.cfg.Review && y.Best.Attribution.Attributed() && y.Score < b.cfg.EscalateCommand+reach(y.Best.Attribution) {
			// Somebody's listing, and beside it questions that nobody minds.
			f.LooseCommand = max(f.LooseCommand, y.Loose.Score)
			if y.Score >= b.cfg.EscalateCommand {
				f.half(y, b.cfg)
			}
			attributed(y.Score, y.Best.Attribution)
			continue
		}
		f.LooseCommand = max(f.LooseCommand, y.Loose.Score, y.Score)
		f.Critical, f.Sensitive = nonEmpty(f.Critical, y.Loose.Critical), nonEmpty(f.Sensitive, y.Loose.Sensitive)
	}
	for i := range x.Installs {
		in := &x.Installs[i]
		ioc(in.IOC)
		if in.Never != "" {
			f.Never = include(f.Never, fmt.Sprintf("the install of %s under %s", in.Name, in.Never), maxShown)
		}
		if in.attributed() {
			attributed(in.Score, in.Attribution)
			continue
		}
		f.LooseInstall = max(f.LooseInstall, in.Score)
		f.Critical, f.Sensitive = nonEmpty(f.Critical, in.Critical), nonEmpty(f.Sensitive, in.Sensitive)
		b.chained(x, in, &f)
	}
	for i := range x.Connections {
		c := &x.Connections[i]
		ioc(c.IOC)
		if c.Never != "" && c.Relation != ByHost {
			f.Never = include(f.Never, fmt.Sprintf("a connection to %s under %s", c.RemoteAddr, c.Never), maxShown)
		}
		if c.attributed() || c.Unusual == "" || c.Relation == ByHost {
			continue
		}
		y := x.before(c.Time, b.cfg.After)
		agents := y != nil && y.Loose == nil && y.weak() && y.Best.Attribution.Kind == attribution.Management
		if y == nil || y.Loose == nil && !agents || y.Score < b.cfg.Review {
			continue
		}
		what := fmt.Sprintf("%d s after services were listed, %s connected to %s by the same %s: %s", c.Time-y.Start, nonEmpty(c.Path, "a process"), address(c), c.Relation, c.Unusual)
		switch {
		case c.private() && agents: // what it monitors
		case c.private(), agents:
			f.FollowedWeakly = append(f.FollowedWeakly, what)
		case len(f.Followed) < 4:
			f.LooseConnection = max(f.LooseConnection, c.Score)
			f.Followed = append(f.Followed, what)
		}
	}
	return f
}

// reach is how far beyond what is escalated a burst may score that is accounted for as
// far as it is low: the other questions of somebody at work lift it a little.
func reach(a attribution.Result) int { return int(100*min(a.Strength, attribution.Weak) + 0.5) }

// half takes a burst that is accounted for only as far as it is low.
func (f *Findings) half(y *Burst, cfg Config) {
	if y.Score < cfg.EscalateCommand+reach(y.Best.Attribution) {
		f.WeakCommand = max(f.WeakCommand, y.Score)
		return
	}
	f.LooseCommand = max(f.LooseCommand, y.Score)
}

// before is the last burst that began before t and ended at most after seconds
// before it.
func (x *Incident) before(t, after int64) *Burst {
	for _, y := range slices.Backward(x.Bursts) {
		if y.Start <= t && t <= y.End+after {
			return y
		}
	}
	return nil
}

// chained says whether an unattributed install came after discovery.
func (b *Book) chained(x *Incident, in *Install, f *Findings) {
	if in.Relation == "" || in.Action == evidence.Removed || len(f.Followed) >= 4 {
		return
	}
	y := x.before(in.Time, b.cfg.Watch)
	if y == nil {
		return
	}
	what := fmt.Sprintf("%d s after services were listed, %s was %s by the same %s, and nobody is known for it", in.Time-y.Start, in.Name, in.Action, in.Relation)
	if in.Relation == ByHost {
		what = fmt.Sprintf("%d s after services were listed on this host, %s was %s, and nobody is known for it", in.Time-y.Start, in.Name, in.Action)
	}
	soon := in.Time <= y.End+b.cfg.After
	switch {
	case in.Score >= b.cfg.Review:
		f.Followed = append(f.Followed, what)
	case y.weak() && y.Best.Attribution.Kind == attribution.KnownUser && in.Relation != ByHost && y.Score >= b.cfg.Review: // that somebody works here accounts for the look alone
		f.Followed = append(f.Followed, what)
	case y.Loose == nil: // a known user's own ordinary service
	case soon && in.Relation != ByHost && y.Score >= b.cfg.Review:
		f.Followed = append(f.Followed, what)
	case soon && y.Score >= b.cfg.Review:
		f.FollowedWeakly = append(f.FollowedWeakly, what)
	}
}

// decide scores an incident, decides, and notes whether that is news.
func (b *Book) decide(x *Incident) {
	f := b.findings(x)
	x.Decision, x.DecisionReasons = Decide(f, b.cfg)
	x.score(f, b.cfg)
	if x.Decision == Record && f.LooseInstall >= 0 && x.Score >= b.cfg.ReviewAttributed && x.calledOut() {
		x.Decision = Review
		x.DecisionReasons = []string{fmt.Sprintf("each part of it has an explanation or scores little, but together they score %d (%s)", x.Score, x.Severity)}
	}
	x.Attribution = none()
	if f.LooseCommand < 0 && f.LooseInstall < 0 && len(f.Never) == 0 && f.Attribution.Attributed() {
		x.Attribution = f.Attribution
	}
	x.Status = x.status(b.now, b.cfg.Watch)
	x.Summary = x.summary()
	if mark := x.matters(); mark != x.mark {
		x.mark, x.Updated = mark, b.now
		return
	}
	if x.Updated == 0 {
		x.Updated = b.now
	}
}

// calledOut reports whether a connection of the actor's own went out to where this host
// never went.
func (x *Incident) calledOut() bool {
	return slices.ContainsFunc(x.Connections, func(c Connection) bool {
		return c.Unusual != "" && !c.attributed() && c.Relation != ByHost && !c.private()
	})
}

// matters is what of an incident is news when it changes.
func (x *Incident) matters() string {
	installs := make([]string, 0, len(x.Installs))
	for _, in := range x.Installs {
		installs = append(installs, in.ID)
	}
	unusual := 0
	for _, c := range x.Connections {
		if c.Unusual != "" && c.Relation != ByHost {
			unusual++
		}
	}
	own := 0
	for _, l := range x.Logons {
		if x.own(l.Username) {
			own++
		}
	}
	return fmt.Sprint(x.Decision, x.Severity, len(x.Bursts), installs, unusual, own, len(x.Facts.Memory), x.Facts.Looked > 0)
}

// score sums an incident up: its strongest part, and what came with it.
func (x *Incident) score(f Findings, cfg Config) {
	var v score.Verdict
	take := func(w score.Verdict) {
		if v.Severity == "" || w.Score > v.Score {
			v = w
		}
	}
	for _, y := range x.Bursts {
		take(score.Verdict{Score: y.Score, Severity: y.Severity, Reasons: y.Reasons})
	}
	for _, in := range x.Installs {
		take(score.Verdict{Score: in.Score, Severity: in.Severity, Reasons: in.Reasons})
	}
	if v.Severity == "" {
		v.Severity = score.Severity(0)
	}
	var more []score.Factor
	if f.LooseCommand >= 0 || f.LooseInstall >= 0 {
		more = x.around(cfg)
	}
	v = score.Raise(v, more, cfg.Weights)
	x.Score, x.Severity, x.Reasons = v.Score, v.Severity, v.Reasons
}

// around are the factors of what came with an incident that is not somebody's.
func (x *Incident) around(cfg Config) []score.Factor {
	var more []score.Factor
	scale := map[string]float64{BySession: 1, ByTree: 1, ByUser: 0.9, ByHost: 0.6}
	strongest := score.Factor{Name: "install_after_discovery"}
	for _, in := range x.Installs {
		if in.attributed() || in.Relation == "" || in.Action == evidence.Removed {
			continue
		}
		if y := x.before(in.Time, cfg.Watch); y != nil {
			if s := scale[in.Relation] * min(1, 0.4+float64(in.Score)/60); s > strongest.Scale {
				strongest.Scale, strongest.Evidence = s, fmt.Sprintf("%s was %s %d s after services were listed", in.Name, in.Action, in.Time-y.Start)
			}
		}
	}
	if strongest.Scale > 0 {
		more = append(more, strongest)
	}
	strongest = score.Factor{Name: "connection_after_discovery"}
	for i := range x.Connections {
		c := &x.Connections[i]
		if c.Unusual == "" || c.attributed() || c.Relation == ByHost {
			continue
		}
		if y := x.before(c.Time, cfg.After); y != nil {
			s := scale[c.Relation]
			if c.private() {
				s *= 0.4
			}
			if s > strongest.Scale {
				strongest.Scale, strongest.Evidence = s, fmt.Sprintf("%s, %d s after services were listed: %s", address(c), c.Time-y.Start, c.Unusual)
			}
		}
	}
	if strongest.Scale > 0 {
		more = append(more, strongest)
	}
	failed := 0
	for _, l := range x.Logons {
		if l.Failed && l.Time <= x.Opened {
			failed++
		}
	}
	if failed >= 3 {
		more = append(more, score.Factor{Name: "failed_logons", Evidence: fmt.Sprintf("%d in the time before it", failed)})
	}
	for _, kind := range []struct{ kind, factor string }{{evidence.ChangeAccount, "account_change"}, {evidence.ChangeAudit, "audit_change"}} {
		for _, c := range x.Changes {
			if c.Kind == kind.kind {
				more = append(more, score.Factor{Name: kind.factor, Evidence: strings.TrimSpace(c.Subject + " " + c.Detail)})
				break
			}
		}
	}
	return more
}

// summary is an incident in one sentence or two.
func (x *Incident) summary() string {
	var parts []string
	who := nonEmpty(x.Actor.LoginUser, nonEmpty(x.Actor.Username, "somebody"))
	if len(x.Bursts) > 0 {
		var events int64
		var families []string
		for _, y := range x.Bursts {
			events += y.Events
			for _, f := range y.Families {
				families = include(families, f, 8)
			}
		}
		y := x.strongestBurst()
		times := "once"
		if events > 1 {
			times = fmt.Sprintf("%d times", events)
		}
		s := fmt.Sprintf("%s asked about services %s (%s; %s, %s)", who, times, shorten(strings.Join(y.Best.Canonical, "; "), 120), strings.Join(families, ", "), y.Severity)
		if y.Best.Never != "" {
			s += " under " + y.Best.Never
		}
		parts = append(parts, s)
	}
	for i, in := range x.Installs {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("and %d more installs or changes", len(x.Installs)-i))
			break
		}
		s := fmt.Sprintf("%s %s was %s (%s)", strings.ReplaceAll(nonEmpty(in.Kind, "service"), "_", " "), in.Name, in.Action, in.Severity)
		if in.Relation != "" && len(x.Bursts) > 0 {
			s = fmt.Sprintf("%d s later %s", in.Time-x.Bursts[0].Start, s)
		}
		if in.attributed() {
			s += ", " + strings.TrimSpace(string(in.Attribution.Kind)+" "+in.Attribution.Subject)
		}
		parts = append(parts, s)
	}
	for i := range x.Connections {
		if c := &x.Connections[i]; c.Unusual != "" && c.Relation != ByHost {
			parts = append(parts, fmt.Sprintf("%s connected to %s", nonEmpty(c.Path, "a process"), address(c)))
			break
		}
	}
	return strings.Join(parts, "; ")
}

func (x *Incident) strongestBurst() *Burst {
	best := x.Bursts[0]
	for _, y := range x.Bursts {
		if y.Score > best.Score {
			best = y
		}
	}
	return best
}

func address(c *Connection) string {
	s := c.RemoteAddr
	if c.RemotePort > 0 {
		if strings.Contains(s, ":") {
			s = "[" + s + "]"
		}
		s = fmt.Sprintf("%s:%d", s, c.RemotePort)
	}
	if c.RemoteName != "" {
		s += " (" + c.RemoteName + ")"
	}
	return s
}

func nonEmpty(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// shorten cuts a text to at most n bytes at a rune's end.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// Reconsider decides about an incident anew, after its facts of the host changed.
func (b *Book) Reconsider(x *Incident) { b.decide(x) }
