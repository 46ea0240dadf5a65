package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/secret"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// Judge turns one process into a verdict: understand, match, attribute, score.
// It is immutable and safe for concurrent use.
type Judge struct {
	Rules       *rule.Set
	Weights     score.Weights
	Attribution attribution.Config
	// IOC are the user's indicators; nil for none.
	IOC Indicators
	// Understand reads a command line; cmdline.Parse by default.
	Understand func(cmdline.Input) cmdline.Result
}

// Indicators looks the user's feeds up.
type Indicators interface {
	// Process, Install and Connection return what matched, "feed: indicator".
	Process(p *evidence.Process, now time.Time) []string
	Install(in *evidence.Install, now time.Time) []string
	Connection(c *evidence.Connection, now time.Time) []string
}

// newFor is how long after its first command a user's family is new, in seconds:
// the commands of one visit are as new as its first.
const newFor = 3600

// volumeTail is the probability below which a day's count is an anomaly.
const volumeTail = 0.001

// volumeLeast is the count from which there is a volume at all: who comes seldom runs
// a few commands when they come.
const volumeLeast = 8

// History is what is known of earlier commands; nil for none.
type History interface {
	// Of returns the baseline of a user and family and the host's own rate a day.
	Of(username, family string) (state baseline.State, hostRate float64)
	// Watched reports whether the host was watched, or its evidence goes back, long
	// enough before a time to call something new: recorded evidence is read in an hour,
	// and tells of weeks.
	Watched(at int64) bool
	// Administrator reports whether a user is in a group of this host's
	// administrators.
	Administrator(username string) evidence.Tristate
}

// Surroundings is what is known of a process beside itself and its history.
type Surroundings struct {
	// YoungService names an ancestor that is an unattributed service younger than a
	// day; empty for none.
	YoungService string
	// Under is the attribution of an ancestor that is a service younger than a day and
	// a scanner's or a responder's.
	Under attribution.Result
	// Started is when the host started last, seconds since 1970 UTC; 0 is unknown.
	Started int64
	// LoginSource is where the login behind an install came from.
	LoginSource string
	// Visits are the logons over the network shortly before an install.
	Visits []attribution.Visit
}

// Verdict is what Rollcall makes of one command line.
type Verdict struct {
	// Matched reports whether any rule matched; T1007 whether one about service
	// discovery did. Context says that all that matched is another Discovery
	// technique, of interest only near service discovery.
	Matched    bool
	T1007      bool
	Context    bool
	Scope      rule.Scope
	Technique  string
	Family     string
	RuleIDs    []string
	Canonical  []string // the simple commands that matched, masked
	RemoteHost string
	// Routine names what a service or job of the host does, empty for what a person may
	// have typed.
	Routine string
	// Expected is the baseline's mean a day, Tail the probability of as many commands
	// as today's; 0 is unknown.
	Expected float64
	Tail     float64
	Judgement

	// Commands is everything the command line runs, and Hits what matched.
	Commands []cmdline.Command
	Issues   []string
	Hits     []rule.Hit
}

// Judgement is what is said of a command and of an install alike.
type Judgement struct {
	score.Verdict
	Attribution attribution.Result
	// Lineage is the ancestor under which nothing is ever attributed ("web",
	// "young service"), and IOC the indicators that matched.
	Lineage string
	IOC     []string
	// Critical and Sensitive are the entries of the configuration that name the host
	// or the account, empty for none.
	Critical, Sensitive string
}

// Judge scores the process p against its history at the time now.
func (j *Judge) Judge(p *evidence.Process, h History, now time.Time) Verdict {
	return j.verdict(p, j.match(p), h, Surroundings{}, now)
}

// understood is a process's command line, read, and the rules it matches.
type understood struct {
	cmdline.Result
	hits []rule.Hit
}

// canonical are the commands that matched, in one spelling, each once; the command
// line itself where a rule is about the process as a whole.
func (u *understood) canonical(p *evidence.Process) []string {
	var out []string
	seen := map[int]bool{}
	for _, h := range u.hits {
		if h.Command >= 0 && !seen[h.Command] {
			seen[h.Command] = true
			out = append(out, u.Commands[h.Command].Canonical)
		}
	}
	if len(out) == 0 {
		out = append(out, p.CmdLine)
	}
	return out
}

func (j *Judge) match(p *evidence.Process) understood {
	u := understood{Result: j.understand(p)}
	u.hits = j.Rules.Match(p, &u.Result)
	// What is only context does not count beside the thing itself.
	if slices.ContainsFunc(u.hits, func(h rule.Hit) bool { return !h.Rule.Context() }) {
		u.hits = slices.DeleteFunc(u.hits, func(h rule.Hit) bool { return h.Rule.Context() })
	}
	return u
}

func (j *Judge) verdict(p *evidence.Process, u understood, h History, around Surroundings, now time.Time) Verdict {
	v := Verdict{Commands: u.Commands, Issues: u.Issues, Judgement: Judgement{Verdict: score.Verdict{Severity: "informational"}}, Hits: u.hits}
	if len(v.Hits) == 0 {
		return v
	}
	v.Matched = true
	best := v.Hits[0].Rule
	families := map[string]bool{}
	seenRule := map[string]bool{}
	seenCmd := map[int]bool{}
	var cmds []cmdline.Command
	for _, hit := range v.Hits {
		r := hit.Rule
		if better(r, best) {
			best = r
		}
		if r.T1007() {
			v.T1007 = true
			if r.Scope != rule.ScopeSingle {
				families[r.Family] = true
			}
			scope := r.Scope
			if scope == "" {
				scope = rule.ScopeAll
			}
			if scope.Wider(v.Scope) {
				v.Scope = scope
			}
		}
		if !seenRule[r.ID] {
			seenRule[r.ID] = true
			v.RuleIDs = append(v.RuleIDs, r.ID)
		}
		if hit.Command >= 0 && !seenCmd[hit.Command] {
			seenCmd[hit.Command] = true
			cmds = append(cmds, u.Commands[hit.Command])
		}
	}
	v.Context = best.Context()
	v.Technique, v.Family = best.Technique(), best.Family
	if v.T1007 {
		v.Technique = "T1007"
	}
	if v.Context {
		return v // it is shown by its command line alone
	}
	raw := make([]string, 0, len(cmds))
	for i := range cmds {
		raw = append(raw, cmds[i].Canonical)
		masked, _ := secret.MaskIn(cmds[i].Canonical)
		v.Canonical = append(v.Canonical, masked)
		if v.RemoteHost == "" {
			v.RemoteHost = cmds[i].RemoteHost
		}
	}
	if len(cmds) == 0 {
		masked, _ := secret.MaskIn(p.CmdLine)
		v.Canonical = []string{masked}
		cmds = u.Commands // the rule is about the process: all of it counts
	}
	v.Lineage = lineageOf(p)
	facts := attribution.Facts{
		Process: p, Canonical: raw, Concealed: score.Concealed(cmds), Lineage: v.Lineage, YoungService: around.YoungService, Under: around.Under,
		RemoteTarget: v.RemoteHost, RemoteShell: byShell(cmds), Session: sessionOf(p, h), History: habits(p, best.Family, h), Started: around.Started, Now: now,
	}
	if v.Routine = attribution.Routine(facts); v.Routine != "" && h != nil {
		st, _ := h.Of(person(p), familyRoutine+v.Routine)
		facts.History.Routine, _ = st.Habit(p.Time)
	}
	v.Attribution = attribution.Attribute(facts, j.Attribution)
	factors := score.CommandFactors(p, cmds, len(families))
	if h != nil && somebody(p) {
		factors = score.Unlisted(factors, p, administrates(p, &facts.History, h))
	}
	factors = append(factors, v.historyFactors(p, best, h, now)...)
	setting := j.setting(p, p.Username, p.LoginUser)
	v.Critical, v.Sensitive = setting.critical, setting.sensitive
	factors = append(factors, setting.factors...)
	if around.YoungService != "" {
		factors = append(factors, score.Factor{Name: "young_service_ancestor", Evidence: around.YoungService})
		v.Lineage = "the young service " + around.YoungService
	} else if v.Lineage != "" {
		v.Lineage = attribution.Ancestor(v.Lineage)
	}
	if a := remoteAddr(p.LoginSource); a != "" && facts.Session.KnownSource == evidence.No && public(a) {
		factors = append(factors, score.Factor{Name: "new_source", Evidence: fmt.Sprintf("%s never came from %s before", nonEmpty(person(p), "this user"), a)})
	}
	if a := remoteAddr(p.LoginSource); a != "" {
		factors = append(factors, score.Factor{Name: "remote_session", Evidence: "the session came from " + a})
	}
	if j.IOC != nil {
		v.IOC = presentAll(j.IOC.Process(p, now))
		if len(v.IOC) > 0 {
			factors = append(factors, score.Factor{Name: "ioc_match", Evidence: strings.Join(v.IOC, "; ")})
		}
	}
	if v.Attribution.Attributed() {
		factors = append(factors, attributed(v.Attribution))
	}
	v.Verdict = score.Sum(best.Severity(), best.Title, factors, j.Weights)
	presentReasons(v.Reasons)
	return v
}

// byShell reports whether every command that asks another host does so through a login
// there.
func byShell(cmds []cmdline.Command) bool {
	for i := range cmds {
		if cmds[i].RemoteHost != "" && !score.ByShell(&cmds[i]) {
			return false
		}
	}
	return true
}

func presentReasons(reasons []score.Reason) {
	for i := range reasons {
		reasons[i].Evidence = present(reasons[i].Evidence)
	}
}

func attributed(a attribution.Result) score.Factor {
	return score.Factor{Name: "attribution", Scale: a.Strength, Evidence: strings.TrimSpace(fmt.Sprintf("%s %s: %s", a.Kind, a.Subject, a.Basis))}
}

// lineageOf is the kind of ancestor under which nothing is anybody's routine. Script
// hosts are unusual, not unattributable: the OS uses them.
func lineageOf(p *evidence.Process) string {
	lineage, _ := score.SuspiciousAncestor(p)
	if lineage == "script_host" {
		return ""
	}
	return lineage
}

// setting is what the configuration says of host, hour and account.
type setting struct {
	critical, sensitive string
	factors             []score.Factor
}

func (j *Judge) setting(p *evidence.Process, users ...string) (s setting) {
	c := &j.Attribution
	// Hours that nobody configured say nothing, and machines have none.
	if p.Time > 0 && c.BusinessHours.Declared() && somebody(p) {
		if inside, why := c.Business(time.Unix(p.Time, 0)); !inside {
			s.factors = append(s.factors, score.Factor{Name: "off_hours", Evidence: why})
		}
	}
	if entry := c.Critical(p.Host); entry != "" {
		s.critical = entry
		s.factors = append(s.factors, score.Factor{Name: "critical_asset", Evidence: fmt.Sprintf("%s is critical by the entry %s", p.Host, entry)})
	}
	for _, u := range users {
		if entry := c.Sensitive(u); entry != "" {
			s.sensitive = entry
			s.factors = append(s.factors, score.Factor{Name: "sensitive_account", Evidence: fmt.Sprintf("%s is sensitive by the entry %s", u, entry)})
			break
		}
	}
	return s
}

func (j *Judge) understand(p *evidence.Process) cmdline.Result {
	parse := j.Understand
	if parse == nil {
		parse = cmdline.Parse
	}
	return parse(cmdline.Input{
		Text: p.CmdLine, Platform: p.Platform, Path: p.Path, CWD: p.CWD,
		OriginalFileName: p.OriginalFileName, ArgsJoined: p.ArgsJoined,
	})
}

// better prefers the higher level, then the wider scope.
func better(a, b *rule.Rule) bool {
	pa, pb := score.PriorOf(a.Severity()), score.PriorOf(b.Severity())
	if pa != pb {
		return pa > pb
	}
	return a.Scope.Wider(b.Scope)
}

// The families under which baselines learn what is no command: the hours in which a
// user works here, and installs of services.
const (
	familySession = "@session"
	familyInstall = "@install"
	familyRoot    = "@root"     // became root, or elevated, as the system allows
	familyRoutine = "@routine " // and what a service or job of the host does, by its name
)

// familyFrom is the family under which it is learned where a user comes from: the
// network around an address, since addresses are given out anew.
func familyFrom(addr string) string {
	if a, err := netip.ParseAddr(addr); err == nil {
		bits := 24
		if a = a.Unmap(); a.Is6() {
			bits = 64
		}
		if p, err := a.WithZone("").Prefix(bits); err == nil {
			addr = p.String()
		}
	}
	return "@from " + addr
}

// habits are the days a user has of a family before today.
func habits(p *evidence.Process, family string, h History) attribution.History {
	out := attribution.History{Interactive: interactive(p), Remote: p.Platform == evidence.Windows && personal(p) && remotely(p)}
	if h == nil {
		return out
	}
	out.Short = !h.Watched(p.Time)
	user := person(p)
	st, _ := h.Of(user, family)
	out.Days, out.SameHours = st.Habit(p.Time)
	out.LastSeen = st.LastSeen
	st, _ = h.Of(user, familySession)
	out.UserDays, _ = st.Habit(p.Time)
	st, _ = h.Of(user, familyInstall)
	out.InstallDays, _ = st.Habit(p.Time)
	st, _ = h.Of(user, familyRoot)
	out.Elevated = st.Observations > 0 || out.Remote && score.Authorised(p)
	if out.Administrator = h.Administrator(user); out.Administrator != evidence.Yes {
		if days, _ := st.Habit(p.Time); days > 0 {
			out.Administrator = evidence.Yes
		}
	}
	return out
}

// administrates reports whether who a process runs as is one of the host's
// administrators; habits is of person(p), who may be another.
func administrates(p *evidence.Process, habits *attribution.History, h History) evidence.Tristate {
	if runs := account(p.Username, p.UID); runs != person(p) {
		return h.Administrator(runs)
	}
	return habits.Administrator
}

// sessionOf is what is known of a process's login session.
func sessionOf(p *evidence.Process, h History) attribution.Session {
	s := attribution.Session{RemoteAddr: remoteAddr(p.LoginSource), LoginSource: p.LoginSource}
	if s.RemoteAddr == "" || h == nil {
		return s
	}
	user := person(p)
	st, _ := h.Of(user, familyFrom(s.RemoteAddr))
	days, _ := st.Habit(p.Time)
	habit, _ := h.Of(user, familySession)
	all, _ := habit.Habit(p.Time)
	switch {
	case days > 0:
		s.KnownSource = evidence.Yes
	case all >= 3, public(s.RemoteAddr) && h.Watched(p.Time): // known long enough, user or host, to say that this is new
		s.KnownSource = evidence.No
	}
	return s
}

// person is whose habit something is: who logged in, where that is known.
func person(p *evidence.Process) string {
	return nonEmpty(account(p.LoginUser, p.LoginUID), account(p.Username, p.UID))
}

// interactive reports whether a person works in the process's session.
func interactive(p *evidence.Process) bool {
	switch {
	case p.Platform == evidence.Windows && p.Session != "":
		return p.Session != "0"
	case p.Platform == evidence.Windows:
		return personal(p) && !remotely(p) // Security 4688 has no session
	case p.TTY != "" && p.TTY != "?":
		return true
	case throughCron(p):
		return false // the host's jobs, and those that users left to it
	}
	if account(p.LoginUser, p.LoginUID) != "" {
		return !noLogin(p.Session) || remoteAddr(p.LoginSource) != "" || throughLogin(p)
	}
	// Some sources tell nothing of logins (bpf_process_events, es_process_events).
	return p.LoginUID == "" && p.UID != "" && p.UID != "0" && throughLogin(p)
}

// logins are programs below which a person works.
var logins = map[string]bool{
	"sshd": true, "sshd-session": true, "login": true, "gdm-session-worker": true, "gnome-terminal-server": true, "konsole": true, "xfce4-terminal": true, "tmux": true, "tmux: server": true, "screen": true,
	"terminal": true, "iterm2": true, "warp": true, "loginwindow": true,
}

// throughCron reports whether cron started it: it gives its jobs a login and a
// session, but nobody is there.
func throughCron(p *evidence.Process) bool {
	for _, a := range chainOf(p.Ancestry, p.ParentPID, p.ParentPath, p.ParentCmdLine) {
		switch b := winargv.Base(a.Path); {
		case logins[b]:
			return false
		case b == "cron" || b == "crond" || b == "anacron":
			return p.TTY == "" || p.TTY == "?"
		}
	}
	return false
}

// throughLogin reports whether a process descends from a login or a terminal.
func throughLogin(p *evidence.Process) bool {
	for _, a := range chainOf(p.Ancestry, p.ParentPID, p.ParentPath, p.ParentCmdLine) {
		if logins[winargv.Base(a.Path)] {
			return true
		}
	}
	return false
}

// personal reports whether an account of Windows can be a person's: no account of the
// system, of services or of the machine.
func personal(p *evidence.Process) bool {
	if p.Platform != evidence.Windows {
		return false
	}
	if strings.HasPrefix(p.UID, "S-1-") {
		return strings.HasPrefix(p.UID, "S-1-5-21-") && !strings.HasSuffix(p.Username, "$") || strings.HasPrefix(p.UID, "S-1-12-1-")
	}
	domain, _, _ := strings.Cut(strings.ToLower(p.Username), `\`)
	switch domain {
	case "", "system", "nt authority", "nt service", "iis apppool", "window manager", "font driver host":
		return false
	}
	return !strings.HasSuffix(p.Username, "$")
}

// remotely reports whether a process of Windows runs for somebody elsewhere, without
// a session of theirs.
func remotely(p *evidence.Process) bool {
	for _, a := range chainOf(p.Ancestry, p.ParentPID, p.ParentPath, p.ParentCmdLine) {
		switch winargv.Base(a.Path) {
		case "wsmprovhost", "winrshost", "wmiprvse", "sshd", "services", "psexesvc", "svchost":
			return true
		case "explorer", "userinit", "winlogon":
			return false
		}
	}
	return false
}

// inRemoteShell reports whether a person works there from elsewhere, in Windows' own
// shell for that.
func inRemoteShell(p *evidence.Process) bool {
	return personal(p) && slices.ContainsFunc(chainOf(p.Ancestry, p.ParentPID, p.ParentPath, p.ParentCmdLine), func(a evidence.Ancestor) bool { return score.RemoteShell(a.Path) })
}

// somebody reports whether a person can be behind a process: what services and timers
// run is nobody's.
func somebody(p *evidence.Process) bool {
	if p.Platform == evidence.Windows {
		u := strings.ToLower(p.Username)
		return p.Session != "0" && p.LogonID != "0x3e7" && !strings.HasPrefix(u, "nt ") && u != "system" && !strings.HasSuffix(u, "$")
	}
	return !throughCron(p) && (interactive(p) || p.LoginUser != "" || p.LoginUID == "" && p.Ancestry == nil && !daemons(p))
}

// daemons reports whether an account is of those that services run as: where nobody
// logged in, and what started it is not known, a service did.
func daemons(p *evidence.Process) bool {
	if p.UID == "" {
		return p.Username == "root"
	}
	first := 1000
	if p.Platform == evidence.Darwin {
		first = 500
	}
	uid, err := strconv.Atoi(p.UID)
	return err == nil && (uid < first || uid == 65534)
}

// public reports whether an address is one of the Internet's.
func public(addr string) bool {
	a, err := netip.ParseAddr(addr)
	return err == nil && a.Unmap().IsGlobalUnicast() && !a.Unmap().IsPrivate()
}

// remoteAddr is the address in a login source, empty for a terminal or this host.
func remoteAddr(s string) string {
	if !strings.ContainsAny(s, ".:") || strings.HasPrefix(s, ":") || strings.HasPrefix(s, "127.") || s == "::1" || strings.HasPrefix(s, "/") {
		return ""
	}
	return s
}

// firstSeen is the factor of what a user does for the first time. What is a program's
// operation is no news of a user's; and that somebody at work is new here is what makes
// their attribution weak.
func (v *Verdict) firstSeen(words string) []score.Factor {
	f := score.Factor{Name: "first_seen", Evidence: words}
	switch {
	case v.Attribution.Kind == attribution.KnownUser:
		f.Scale = 0.3
	case v.Attribution.Attributed():
		return nil
	}
	return []score.Factor{f}
}

func (v *Verdict) historyFactors(p *evidence.Process, r *rule.Rule, h History, now time.Time) []score.Factor {
	if h == nil || r.Scope == rule.ScopeSingle {
		return nil
	}
	who := person(p)
	st, host := h.Of(who, r.Family)
	who = nonEmpty(who, "this user")
	switch {
	case st.Observations == 0 && h.Watched(p.Time):
		return v.firstSeen(fmt.Sprintf("%s never used %s here before", who, r.Family))
	case p.Time >= st.FirstSeen && p.Time-st.FirstSeen < newFor && h.Watched(p.Time):
		return v.firstSeen(fmt.Sprintf("%s first used %s here %d s before", who, r.Family, p.Time-st.FirstSeen))
	case !st.Learned():
		return nil
	}
	st = st.Advance(now.Unix())
	k := int(st.Today) + 1
	v.Expected, _ = st.Predict(host)
	v.Tail = st.Tail(k, 1, host)
	if v.Tail > volumeTail || k < volumeLeast {
		return nil
	}
	return []score.Factor{{Name: "volume_anomaly", Evidence: fmt.Sprintf("%d today, %.1f a day expected (p=%.2g)", k, v.Expected, v.Tail)}}
}

func nonEmpty(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
