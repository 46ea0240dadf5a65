package incident

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// The caps of what one burst or incident keeps; what is beyond them is counted.
const (
	maxDistinct    = 256
	maxShown       = 32
	maxSample      = 24
	maxContexts    = 32
	maxBursts      = 24
	maxInstalls    = 64
	maxConnections = 64
	maxLogons      = 64
	maxChanges     = 64
	maxPIDs        = 48
	// maxSpan is how long a burst goes on at most, seconds: an agent that never pauses
	// is a burst a day.
	maxSpan = 86400
)

// Config says how evidence is joined and decided. Times are in seconds, scores 0
// to 100.
type Config struct {
	Gap    int64 // quiet time that ends a burst
	Before int64 // how far before an incident logons and changes belong to it
	After  int64 // how long after a burst what anybody on the host does belongs to it
	Watch  int64 // how long an incident is watched, and what its own actor does belongs to it
	// Late is how long after its end a burst may still get evidence; 0 for ever.
	Late int64
	// Around bounds the logons, connections, changes and contexts remembered, each.
	Around int
	// MaxOpen bounds the incidents of one host that may still get evidence, MaxBursts the
	// bursts.
	MaxOpen, MaxBursts int

	EscalateCommand  int // an unattributed command or burst from here on is escalated
	EscalateInstall  int // so is an unattributed install
	Stakes           int // so is either on a critical asset, or of a sensitive account
	Review           int // what is unattributed is reviewed from here on
	ReviewAttributed int // what is attributed is reviewed from here on

	HostUUID string
	Weights  score.Weights
}

// Default is the configuration of DESIGN.md, section 6.
func Default() Config {
	return Config{
		Gap: 30 * 60, Before: 3600, After: 3600, Watch: 86400, Late: 6 * 3600, Around: 4096, MaxOpen: 512, MaxBursts: 2048,
		EscalateCommand: 40, EscalateInstall: 60, Stakes: 20, Review: 20, ReviewAttributed: 60,
		Weights: score.DefaultWeights(),
	}
}

// Facts is what one cycle brought, and when that was.
type Facts struct {
	Now         int64
	Commands    []Command
	Installs    []Install
	Contexts    []Context
	Connections []Connection
	Logons      []Logon
	Changes     []Change
}

// Changed is what a cycle changed: what has to be stored.
type Changed struct {
	Bursts    []*Burst
	Incidents []*Incident
	// BurstOf and IncidentOf say where a command and an install went, by their ids.
	BurstOf    map[string]string
	IncidentOf map[string]string
	// Unusual are the connections worth remembering, Destinations what is known of
	// addresses now.
	Unusual      []Connection
	Destinations map[string]Destination
}

// Destination is what is known of an address this host connects to.
type Destination struct {
	First int64 `json:"first"` // seconds since 1970 UTC
	Last  int64 `json:"last"`
	Days  int64 `json:"days"` // days with a connection
}

// maxDestinations bounds the addresses remembered.
const maxDestinations = 20_000

// Book holds what is open. It is not safe for concurrent use.
type Book struct {
	cfg   Config
	now   int64
	hosts map[string]*hostBook
	dests map[string]Destination

	bursts    map[*Burst]bool
	incidents map[*Incident]bool
	again     again
	out       Changed
}

// hostBook is what is open on one host. Lists are in the order of time.
type hostBook struct {
	bursts    map[string][]*Burst // by key
	incidents []*Incident         // by Opened
	installs  []Install           // the created ones of the last day, for young services
	logons    []Logon
	conns     []Connection
	changes   []Change
	contexts  []Context
}

// NewBook returns an empty Book.
func NewBook(cfg Config) *Book {
	if cfg.Weights == nil {
		cfg.Weights = score.DefaultWeights()
	}
	return &Book{cfg: cfg, hosts: map[string]*hostBook{}, dests: map[string]Destination{}}
}

// Reconfigure takes another configuration for what comes.
func (b *Book) Reconfigure(cfg Config) {
	if cfg.Weights == nil {
		cfg.Weights = score.DefaultWeights()
	}
	b.cfg = cfg
}

// Restore puts back what an earlier run stored: bursts and incidents that may still
// get evidence, and what was around.
func (b *Book) Restore(bursts []*Burst, incidents []*Incident, f Facts, dests map[string]Destination) {
	byID := map[string]*Burst{}
	for _, x := range bursts {
		byID[x.ID] = x
		h := b.host(x.Host)
		h.bursts[x.Key] = append(h.bursts[x.Key], x)
	}
	for _, list := range b.hosts {
		for _, l := range list.bursts {
			slices.SortFunc(l, func(x, y *Burst) int { return cmp.Compare(x.Start, y.Start) })
		}
	}
	for _, x := range incidents {
		for i, own := range x.Bursts {
			if open := byID[own.ID]; open != nil {
				x.Bursts[i] = open // one burst, not two that grow apart
			}
		}
		x.mark = x.matters()
		h := b.host(x.Host)
		h.incidents = insert(h.incidents, x, func(i *Incident) int64 { return i.Opened })
		for _, in := range x.Installs {
			h.remember(in)
		}
	}
	b.around(f)
	for k, v := range dests {
		b.dests[k] = v
	}
}

func (b *Book) host(name string) *hostBook {
	key := strings.ToLower(name)
	h := b.hosts[key]
	if h == nil {
		h = &hostBook{bursts: map[string][]*Burst{}}
		b.hosts[key] = h
	}
	return h
}

// Add takes what a cycle brought and says what that changed.
func (b *Book) Add(f Facts) Changed {
	b.now = f.Now
	b.out = Changed{BurstOf: map[string]string{}, IncidentOf: map[string]string{}, Destinations: map[string]Destination{}}
	b.bursts, b.incidents = map[*Burst]bool{}, map[*Incident]bool{}
	b.resume()
	news := b.around(f)
	// What happened first is known when the next is judged.
	type item struct {
		time    int64
		command *Command
		install *Install
	}
	items := make([]item, 0, len(f.Commands)+len(f.Installs))
	for i := range f.Commands {
		items = append(items, item{f.Commands[i].Time, &f.Commands[i], nil})
	}
	for i := range f.Installs {
		items = append(items, item{f.Installs[i].Time, nil, &f.Installs[i]})
	}
	slices.SortStableFunc(items, func(x, y item) int { return cmp.Compare(x.time, y.time) })
	for _, it := range items {
		if it.command != nil {
			// The incident is there before what follows in the same cycle.
			x := b.command(*it.command)
			x.judge(b.cfg.Weights)
			b.open(x)
		} else {
			b.install(*it.install)
		}
	}
	for _, c := range f.Contexts {
		b.context(c)
	}
	for x := range b.bursts {
		x.judge(b.cfg.Weights)
		b.open(x)
	}
	b.revisit(news)
	for x := range b.bursts {
		x.Updated = b.now
		b.out.Bursts = append(b.out.Bursts, x)
	}
	for x := range b.incidents {
		b.gather(x)
		b.decide(x)
	}
	b.age()
	for x := range b.incidents {
		b.out.Incidents = append(b.out.Incidents, x)
	}
	slices.SortFunc(b.out.Bursts, func(x, y *Burst) int { return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(x.ID, y.ID)) })
	slices.SortFunc(b.out.Incidents, func(x, y *Incident) int {
		return cmp.Or(cmp.Compare(x.Opened, y.Opened), cmp.Compare(x.ID, y.ID))
	})
	return b.out
}

// age closes what is quiet and lets go of what can get no more evidence.
func (b *Book) age() {
	for name, h := range b.hosts {
		h.forget(b.cfg.MaxBursts)
		for key, list := range h.bursts {
			if b.cfg.Late > 0 {
				list = slices.DeleteFunc(list, func(x *Burst) bool { return x.End+b.cfg.Gap+b.cfg.Late < b.now && !b.bursts[x] })
			}
			if len(list) == 0 {
				delete(h.bursts, key)
			} else {
				h.bursts[key] = list
			}
		}
		keep := h.incidents[:0]
		for _, x := range h.incidents {
			status := x.status(b.now, b.cfg.Watch)
			if status != x.Status {
				x.Status = status
				b.incidents[x] = true
			}
			if status == Closed && b.cfg.Late > 0 && x.Last+b.cfg.Watch+b.cfg.Late < b.now {
				continue
			}
			keep = append(keep, x)
		}
		clear(h.incidents[len(keep):])
		h.incidents = keep
		if b.cfg.Late > 0 {
			since := b.now - max(b.cfg.Before, b.cfg.After, 86400) - b.cfg.Late
			h.logons = after(h.logons, since, func(l Logon) int64 { return l.Time })
			h.conns = after(h.conns, since, func(c Connection) int64 { return c.Time })
			h.changes = after(h.changes, since, func(c Change) int64 { return c.Time })
			h.contexts = after(h.contexts, since, func(c Context) int64 { return c.Time })
			h.installs = after(h.installs, since, func(i Install) int64 { return i.Time })
		}
		if len(h.bursts)+len(h.incidents)+len(h.logons)+len(h.conns)+len(h.changes)+len(h.contexts)+len(h.installs) == 0 {
			delete(b.hosts, name)
		}
	}
}

func (x *Incident) status(now, watch int64) string {
	quiet := now - x.Last
	switch {
	case x.Decision == Record || quiet > watch:
		return Closed
	case quiet > 3600:
		return Watching
	}
	return Open
}

// around remembers logons, connections, changes and contexts, and returns the hosts
// and times of those that are new.
func (b *Book) around(f Facts) map[string][]int64 {
	news := map[string][]int64{}
	n := b.cfg.Around
	if n <= 0 {
		n = 4096
	}
	add := func(host string, t int64) { news[strings.ToLower(host)] = append(news[strings.ToLower(host)], t) }
	for _, l := range f.Logons {
		h := b.host(l.Host)
		if !slices.ContainsFunc(near(h.logons, l.Time, 2, func(x Logon) int64 { return x.Time }), func(x Logon) bool { return x.same(l) }) {
			h.logons = bounded(insert(h.logons, l, func(x Logon) int64 { return x.Time }), n)
			add(l.Host, l.Time)
		}
	}
	for _, c := range f.Changes {
		h := b.host(c.Host)
		if !slices.ContainsFunc(near(h.changes, c.Time, 2, func(x Change) int64 { return x.Time }), func(x Change) bool { return x.Kind == c.Kind && x.Subject == c.Subject }) {
			h.changes = bounded(insert(h.changes, c, func(x Change) int64 { return x.Time }), n)
			add(c.Host, c.Time)
		}
	}
	for _, c := range f.Contexts {
		h := b.host(c.Host)
		h.contexts = bounded(insert(h.contexts, c, func(x Context) int64 { return x.Time }), n)
	}
	for _, c := range f.Connections {
		h := b.host(c.Host)
		b.unusual(&c)
		if c.Unusual == "" && len(c.IOC) == 0 {
			continue
		}
		if !slices.ContainsFunc(near(h.conns, c.Time, 60, func(x Connection) int64 { return x.Time }), func(x Connection) bool { return x.same(c) }) {
			h.conns = bounded(insert(h.conns, c, func(x Connection) int64 { return x.Time }), n)
			b.out.Unusual = append(b.out.Unusual, c)
			add(c.Host, c.Time)
		}
	}
	return news
}

func (l Logon) same(m Logon) bool {
	return strings.EqualFold(l.Username, m.Username) && l.Failed == m.Failed && (l.From == m.From || l.From == "" || m.From == "") && (l.Type == m.Type || l.LogonID == m.LogonID)
}

func (c Connection) same(d Connection) bool {
	return c.RemoteAddr == d.RemoteAddr && c.RemotePort == d.RemotePort && c.Path == d.Path && c.Inbound == d.Inbound
}

// revisit finds the open incidents that new evidence around may belong to.
func (b *Book) revisit(news map[string][]int64) {
	for name, times := range news {
		h := b.hosts[name]
		if h == nil {
			continue
		}
		for _, x := range h.incidents {
			if b.incidents[x] || x.quiet() {
				continue
			}
			for _, t := range times {
				if t >= x.Opened-max(b.cfg.Before, 86400) && t <= x.Last+b.cfg.Watch {
					b.incidents[x] = true
					break
				}
			}
		}
	}
}

// quiet reports an incident of somebody's legitimate operation: what else happens on
// the host is no news to it.
func (x *Incident) quiet() bool {
	return x.Decision == Record && x.Attribution.Attributed()
}

// command adds a command to the burst it belongs to, and returns that.
func (b *Book) command(c Command) *Burst {
	h := b.host(c.Host)
	key := c.key()
	var x *Burst
	for _, open := range slices.Backward(h.bursts[key]) {
		if c.Time >= open.Start-b.cfg.Gap && c.Time <= open.End+b.cfg.Gap && max(c.Time, open.End)-min(c.Time, open.Start) <= maxSpan {
			x = open
			break
		}
	}
	if x == nil {
		x = &Burst{Key: key, Host: c.Host, Platform: c.Platform, Actor: c.Actor, Origin: c.Origin, Start: c.Time, End: c.Time, Recorded: b.now}
		x.ID = id("burst", b.cfg.HostUUID, key, c.ID)
		x.Actor.PIDs = nil
		h.bursts[key] = insert(h.bursts[key], x, func(y *Burst) int64 { return y.Start })
		since := c.Time - b.cfg.Gap
		if x.Earlier = h.earlier(x, &c); x.Earlier >= manyLooks {
			since = c.Time - aDay // who spreads a tour over the day makes one tour
		}
		for _, ctx := range within(h.contexts, since, c.Time+b.cfg.Gap, func(y Context) int64 { return y.Time }) {
			x.attach(ctx)
		}
	}
	x.add(c)
	b.bursts[x] = true
	b.out.BurstOf[c.ID] = x.ID
	return x
}

const (
	aDay = 86400
	// manyLooks is after how many earlier bursts within a day one more is remarkable.
	manyLooks = 2
)

// earlier counts the different commands, a burst's first left out, with which its user
// looked in the day before and came back: those of bursts that are not known for more
// than that somebody works here. What asks the same again and again is no tour.
func (h *hostBook) earlier(x *Burst, first *Command) int {
	if a := &first.Attribution; a.Kind != attribution.KnownUser || !a.Weak() {
		return 0 // a job, or somebody of whom more is known, or nothing at all
	}
	looks := map[uint32]bool{}
	for _, i := range h.incidents {
		for _, y := range i.Bursts {
			if y.Start >= x.Start || y.Start < x.Start-aDay || !y.Wide || relation(x.Actor, y.Actor) == ByHost || y.Loose == nil && (!y.weak() || y.Best.Attribution.Kind != attribution.KnownUser) {
				continue
			}
			for _, d := range y.Distinct {
				looks[d] = true
			}
		}
	}
	delete(looks, first.hash())
	return len(looks)
}

// context adds a command of another technique to the bursts of its actor.
func (b *Book) context(c Context) {
	h := b.host(c.Host)
	for _, list := range h.bursts {
		for _, x := range list {
			if c.Time >= x.Start-b.cfg.Gap && c.Time <= x.End+b.cfg.Gap && x.attach(c) {
				b.bursts[x] = true
			}
		}
	}
}

// key names the actor, session and origin that make a burst.
func (c *Command) key() string {
	who := c.Actor.LoginUser
	if who == "" || system(who) {
		who = c.Actor.Username
	}
	session := c.Actor.Session
	if session == "" && !systemLogon(c.Actor.LogonID) {
		session = c.Actor.LogonID
	}
	return strings.ToLower(strings.Join([]string{c.Host, who, session, c.Origin, c.Container}, "\x1f"))
}

// text is what a command asks, in one spelling.
func (c *Command) text() string { return nonEmpty(strings.Join(c.Canonical, "; "), c.CmdLine) }

// hash is the same for one question.
func (c *Command) hash() uint32 {
	sum := fnv.New32a()
	sum.Write([]byte(c.text()))
	return sum.Sum32()
}

func (x *Burst) add(c Command) {
	x.Start, x.End = min(x.Start, c.Time), max(x.End, c.Time)
	x.Events++
	sum := c.hash()
	if i, known := slices.BinarySearch(x.Distinct, sum); !known && len(x.Distinct) < maxDistinct {
		x.Distinct = slices.Insert(x.Distinct, i, sum)
		if len(x.Commands) < maxShown {
			x.Commands = append(x.Commands, c.text())
		}
	}
	x.Families = include(x.Families, c.Family, maxShown)
	x.Remotes = include(x.Remotes, c.Remote, maxShown)
	x.Wide = x.Wide || c.Scope != "single"
	x.Actor.PIDs = merge(x.Actor.PIDs, c.Actor.PIDs)
	if x.Actor.LoginUser == "" {
		x.Actor.LoginUser = c.Actor.LoginUser
	}
	if c.Tail > 0 && (x.Tail == 0 || c.Tail < x.Tail) {
		x.Expected, x.Tail = c.Expected, c.Tail
	}
	if c.attributed() {
		x.Attributed++
		x.Strong = x.Strong || !c.Attribution.Weak()
	} else if x.Loose == nil || c.stronger(x.Loose) {
		x.Loose = &c
	}
	if x.Best.ID == "" || c.stronger(&x.Best) {
		x.Best = c
	}
	switch {
	case len(x.Sample) < maxSample:
		x.Sample = append(x.Sample, c)
	case c.Score > x.Sample[len(x.Sample)-1].Score:
		x.Sample[len(x.Sample)-1] = c
	}
}

// stronger prefers what is never attributed, then the higher score.
func (c *Command) stronger(d *Command) bool {
	if (c.Never != "" || len(c.IOC) > 0) != (d.Never != "" || len(d.IOC) > 0) {
		return c.Never != "" || len(c.IOC) > 0
	}
	return c.Score > d.Score
}

// attach adds a command of another technique when the burst's actor ran it.
func (x *Burst) attach(c Context) bool {
	if len(x.Contexts) >= maxContexts || relation(x.Actor, c.Actor) == ByHost {
		return false
	}
	for i := range x.Contexts {
		if x.Contexts[i].CmdLine == c.CmdLine && x.Contexts[i].Technique == c.Technique {
			return false
		}
	}
	x.Contexts = append(x.Contexts, c)
	return true
}

// judge scores a burst: its strongest command, plus variety and chain.
func (x *Burst) judge(w score.Weights) {
	best := &x.Best
	if x.Loose != nil && x.Loose.Score >= best.Score {
		best = x.Loose
	}
	var more []score.Factor
	if has := factor(best.Reasons, "several_families"); len(x.Families) > 1 && !has {
		more = append(more, score.Factor{Name: "several_families", Scale: min(1, float64(len(x.Families)-1)/2),
			Evidence: fmt.Sprintf("%d ways of listing services: %s", len(x.Families), strings.Join(x.Families, ", "))})
	}
	if x.Earlier >= manyLooks {
		more = append(more, score.Factor{Name: "repeated_looks", Evidence: fmt.Sprintf("%d other questions within the day before", x.Earlier)})
	}
	if !x.Wide && len(x.Distinct) >= manyQuestions {
		more = append(more, score.Factor{Name: "many_questions", Evidence: fmt.Sprintf("%d different questions about single services", len(x.Distinct))})
	}
	techniques := map[string]bool{}
	for _, c := range x.Contexts {
		if !impacts[c.Technique] {
			techniques[c.Technique] = true
		}
	}
	if len(techniques) > 1 { // one is everybody's: who looks at services looks at processes
		list := make([]string, 0, len(techniques))
		for t := range techniques {
			list = append(list, t)
		}
		slices.Sort(list)
		more = append(more, score.Factor{Name: "discovery_chain", Scale: min(1.5, float64(len(list)-1)/2),
			Evidence: fmt.Sprintf("%s by the same user near by", strings.Join(list, ", "))})
	}
	if x.Loose == nil && (!x.Best.Attribution.Weak() || x.Best.Attribution.Kind == attribution.Management && len(techniques) < tour || x.plainWork()) {
		// Somebody's legitimate operation is no chain, and agents and administrators ask
		// in several ways.
		more = nil
	}
	if what := x.impact(); what != "" {
		more = append(more, score.Factor{Name: "impact", Evidence: what})
	}
	v := score.Raise(score.Verdict{Score: best.Score, Severity: best.Severity, Reasons: best.Reasons}, more, w)
	x.Score, x.Severity, x.Reasons = v.Score, v.Severity, v.Reasons
}

const (
	// manyQuestions is from how many different questions about single services on they
	// are a list, tour how many other techniques of discovery make more of an agent's
	// command line than monitoring.
	manyQuestions = 8
	tour          = 3
)

// impacts are the techniques of ATT&CK that no discovery of somebody's routine is
// followed by.
var impacts = map[string]bool{"T1562.001": true, "T1490": true}

// impact is what the burst's actor did near by to what protects the host, empty for
// nothing.
func (x *Burst) impact() string {
	for i := range x.Contexts {
		if c := &x.Contexts[i]; impacts[c.Technique] {
			return c.Technique + ": " + shorten(c.CmdLine, 200)
		}
	}
	return ""
}

// plainWork reports whether an administrator at work, of whom no more is known, asked
// for all to see: nothing was put aside, hidden or meant for another host.
func (x *Burst) plainWork() bool {
	for _, name := range []string{"output_to_file", "hidden_window", "obfuscated", "encoded", "renamed_binary", "remote_target", "remote_execution"} {
		if factor(x.Best.Reasons, name) {
			return false
		}
	}
	return x.Best.Attribution.Kind == attribution.KnownUser && factor(x.Best.Reasons, "elevated")
}

func factor(reasons []score.Reason, name string) bool {
	return slices.ContainsFunc(reasons, func(r score.Reason) bool { return r.Factor == name })
}

// open puts a burst into the incident it belongs to, or opens one.
func (b *Book) open(x *Burst) {
	h := b.host(x.Host)
	if x.IncidentID != "" {
		for _, i := range h.incidents {
			if i.ID == x.IncidentID {
				b.touch(i, x.End)
				return
			}
		}
		return // closed long ago; the burst is still told of by its own row
	}
	if !x.Wide && x.Score < b.cfg.Review && x.Best.Never == "" && len(x.Best.IOC) == 0 {
		return
	}
	var into *Incident
	if x.Loose != nil || x.weak() { // that somebody works here is no reason to part what one did
		for _, i := range slices.Backward(h.incidents) {
			if i.Last+b.cfg.Watch < x.Start || x.End < i.Opened || i.Decision == Record || len(i.Bursts) >= maxBursts {
				continue
			}
			if i.near(x) {
				into = i
				break
			}
		}
	}
	if into == nil {
		b.makeRoom(h)
		into = &Incident{ID: id("incident", x.ID), Host: x.Host, HostUUID: b.cfg.HostUUID, Platform: x.Platform, Actor: x.Actor, Opened: x.Start, Last: x.End, Recorded: b.now}
		h.incidents = insert(h.incidents, into, func(i *Incident) int64 { return i.Opened })
	}
	x.IncidentID = into.ID
	into.Bursts = append(into.Bursts, x)
	into.Actor.PIDs = merge(into.Actor.PIDs, x.Actor.PIDs)
	b.touch(into, x.End)
	b.adopt(h, into, x)
	b.decide(into) // what comes next joins it by what it is
}

// makeRoom closes the incident that matters least, the quietest of those, where there
// are too many: a flood of actors must not cost more than it tells.
func (b *Book) makeRoom(h *hostBook) {
	if len(h.incidents) < max(b.cfg.MaxOpen, 1) {
		return
	}
	least := 0
	for i, x := range h.incidents {
		y := h.incidents[least]
		if c := cmp.Or(cmp.Compare(urgency[x.Decision], urgency[y.Decision]), cmp.Compare(x.Score, y.Score), cmp.Compare(x.Last, y.Last)); c < 0 {
			least = i
		}
	}
	x := h.incidents[least]
	x.Status = Closed
	b.incidents[x] = true
	h.incidents = slices.Delete(h.incidents, least, least+1)
}

var urgency = map[string]int{Record: 0, Review: 1, Escalate: 2}

// forget lets go of the bursts that ended first where there are more than most.
func (h *hostBook) forget(most int) {
	n := 0
	for _, list := range h.bursts {
		n += len(list)
	}
	if n <= most {
		return
	}
	ends := make([]int64, 0, n)
	for _, list := range h.bursts {
		for _, x := range list {
			ends = append(ends, x.End)
		}
	}
	slices.Sort(ends)
	until, ties := ends[n-most/2-1], 0
	for key, list := range h.bursts {
		list = slices.DeleteFunc(list, func(x *Burst) bool {
			if x.End == until {
				ties++
			}
			return x.End < until || x.End == until && ties > most/2+1
		})
		if len(list) == 0 {
			delete(h.bursts, key)
		} else {
			h.bursts[key] = list
		}
	}
}

// adopt takes installs that were told of before the burst they follow: evidence may
// come in any order.
func (b *Book) adopt(h *hostBook, into *Incident, x *Burst) {
	for _, other := range slices.Clone(h.incidents) {
		if other == into || len(other.Bursts) > 0 || other.Opened < x.Start || other.Opened > x.End+b.cfg.Watch {
			continue
		}
		for k := range other.Installs {
			other.Installs[k].Relation = b.follows(x, &other.Installs[k])
		}
		if slices.ContainsFunc(other.Installs, func(in Install) bool { return in.Relation == "" }) {
			continue
		}
		for _, in := range other.Installs {
			into.take(in)
			b.out.IncidentOf[in.ID] = into.ID
		}
		b.touch(into, other.Last)
		// The row of the one that was merged says where it went.
		other.Installs, other.Summary = nil, "merged into "+into.ID
		other.Decision, other.DecisionReasons, other.Status = Record, []string{"merged into incident " + into.ID}, Closed
		h.incidents = slices.DeleteFunc(h.incidents, func(i *Incident) bool { return i == other })
		delete(b.incidents, other)
		other.Updated = b.now
		b.out.Incidents = append(b.out.Incidents, other)
	}
}

func (b *Book) touch(x *Incident, at int64) {
	x.Last = max(x.Last, at)
	b.incidents[x] = true
}

// near reports whether a burst is of an incident's own actor, or runs under a
// service that the incident installed.
func (x *Incident) near(y *Burst) bool {
	switch relation(x.Actor, y.Actor) {
	case BySession, ByTree, ByUser:
		return true
	}
	for _, in := range x.Installs {
		if under(y.Best, in) || y.Loose != nil && under(*y.Loose, in) {
			return true
		}
	}
	return false
}

// under reports whether a command descends from a service's program.
func under(c Command, in Install) bool {
	if in.Path == "" || c.Time < in.Time {
		return false
	}
	return in.Runs(c.Parent, c.ParentCmdLine) || !ordinary(in.Path) && strings.EqualFold(c.Origin, in.Path)
}

// follows is how an install belongs to a burst before it, empty when it does not.
func (b *Book) follows(x *Burst, in *Install) string {
	if in.Time < x.Start || in.Time > x.End+b.cfg.Watch {
		return ""
	}
	if r := relation(x.Actor, in.Actor); r != ByHost {
		return r
	}
	// Somebody else's install counts when nobody's legitimate operation listed the
	// services, and soon.
	if x.Loose == nil && (!x.weak() || in.Score < b.cfg.EscalateCommand) || in.Time > x.End+b.cfg.After || in.attributed() {
		return ""
	}
	return ByHost
}

// weak reports whether all that accounts for a burst is that somebody works here, or
// that a service or agent of the host asked: nothing that a striking install soon
// after it would follow from.
func (x *Burst) weak() bool { return x.Loose == nil && !x.Strong && x.Best.Attribution.Weak() }

// install puts an install into the incident it belongs to, or opens one.
func (b *Book) install(in Install) {
	h := b.host(in.Host)
	h.remember(in)
	var into *Incident
	best := 99
	for _, x := range slices.Backward(h.incidents) {
		if x.Opened > in.Time+b.cfg.Gap || x.Last+b.cfg.Watch < in.Time {
			continue
		}
		for _, y := range x.Bursts {
			if r := b.follows(y, &in); r != "" && rank(r) < best && (y.Wide || y.Score >= b.cfg.Review) {
				into, best, in.Relation = x, rank(r), r
			}
		}
		// Installs of one run belong together.
		if len(x.Bursts) == 0 && len(x.Installs) > 0 && abs(in.Time-x.Last) <= 600 && in.Time-x.Opened <= 3600 && best > rank(ByUser) && x.Installs[0].kin(&in) {
			into, best, in.Relation = x, rank(ByUser), ""
		}
	}
	if into == nil {
		into = &Incident{ID: id("incident", in.ID), Host: in.Host, HostUUID: b.cfg.HostUUID, Platform: in.Platform, Actor: in.Actor, Opened: in.Time, Last: in.Time, Recorded: b.now}
		h.incidents = insert(h.incidents, into, func(i *Incident) int64 { return i.Opened })
	}
	into.take(in)
	b.out.IncidentOf[in.ID] = into.ID
	b.touch(into, in.Time)
	b.decide(into)
}

// kin reports whether two installs are of one run: the same attribution, and the
// same actor or nobody known.
func (in *Install) kin(other *Install) bool {
	if in.attributed() != other.attributed() || in.Attribution.Kind != other.Attribution.Kind || in.Attribution.Subject != other.Attribution.Subject {
		return false
	}
	if in.attributed() || relation(in.Actor, other.Actor) != ByHost || in.Name == other.Name || in.Path != "" && strings.EqualFold(in.Path, other.Path) {
		return true
	}
	return in.Actor.nobody() && other.Actor.nobody()
}

// nobody reports an actor of whom only an account of the system is known, or nothing.
func (a Actor) nobody() bool {
	return system(a.Username) && system(a.LoginUser)
}

func (x *Incident) take(in Install) {
	for i := range x.Installs {
		if x.Installs[i].ID == in.ID {
			return
		}
	}
	if len(x.Installs) >= maxInstalls {
		// The weakest makes room.
		weakest := 0
		for i := range x.Installs {
			if x.Installs[i].Score < x.Installs[weakest].Score {
				weakest = i
			}
		}
		x.leftOut("install")
		if x.Installs[weakest].Score >= in.Score {
			return
		}
		x.Installs = slices.Delete(x.Installs, weakest, weakest+1)
	}
	x.Installs = insert(x.Installs, in, func(i Install) int64 { return i.Time })
}

func (x *Incident) leftOut(kind string) {
	if x.LeftOut == nil {
		x.LeftOut = map[string]int{}
	}
	x.LeftOut[kind]++
}

// remember keeps what a young service is told by.
func (h *hostBook) remember(in Install) {
	k := in.Attribution.Kind
	if in.Action == evidence.Created && (!in.attributed() || k == attribution.Scanner || k == attribution.Case) {
		h.installs = bounded(insert(h.installs, in, func(i Install) int64 { return i.Time }), 256)
	}
}

// YoungService returns the name of an unattributed service that was installed less
// than a day before t and that a process with this image and command line is the
// main process of; empty for none.
func (b *Book) YoungService(host, path, cmdline string, t int64) string {
	h := b.hosts[strings.ToLower(host)]
	if h == nil || path == "" {
		return ""
	}
	for _, in := range slices.Backward(h.installs) {
		if in.Time <= t && t-in.Time < 86400 && !in.attributed() && in.Runs(path, cmdline) {
			return in.Name
		}
	}
	return ""
}

// Under is whose a service is that was installed less than a day before t, by a
// scanner or a responder, and that a process with this image and command line is the
// main process of.
func (b *Book) Under(host, path, cmdline string, t int64) attribution.Result {
	h := b.hosts[strings.ToLower(host)]
	if h == nil || path == "" {
		return attribution.Result{}
	}
	for _, in := range slices.Backward(h.installs) {
		if in.Time <= t && t-in.Time < 86400 && in.attributed() && in.Runs(path, cmdline) {
			return in.Attribution
		}
	}
	return attribution.Result{}
}

// Runs reports whether a process with this image and command line is the service's
// main process. A program of the system serves many: then the arguments must be the
// service's too.
func (in *Install) Runs(path, cmdline string) bool {
	if in.Path == "" || !strings.EqualFold(in.Path, path) {
		return false
	}
	if !ordinary(in.Path) {
		return true
	}
	return len(in.Args) > 3 && strings.Contains(strings.ToLower(cmdline), strings.ToLower(in.Args))
}

// relation is how two actors belong together.
func relation(a, b Actor) string {
	switch {
	case a.Session != "" && a.Session == b.Session && a.sameUser(b):
		return BySession
	case a.LogonID != "" && a.LogonID == b.LogonID && !systemLogon(a.LogonID):
		return BySession
	}
	for _, p := range a.PIDs {
		if p > 4 && slices.Contains(b.PIDs, p) {
			return ByTree
		}
	}
	if a.sameUser(b) {
		return ByUser
	}
	return ByHost
}

// sameUser compares people: the accounts of the system are everybody's.
func (a Actor) sameUser(b Actor) bool {
	for _, x := range []string{a.LoginUser, a.Username} {
		if x == "" || system(x) {
			continue
		}
		for _, y := range []string{b.LoginUser, b.Username} {
			if sameAccount(x, y) {
				return true
			}
		}
	}
	return false
}

// sameAccount compares names of accounts; a domain that only one of them has does
// not matter.
func sameAccount(x, y string) bool {
	xd, xn := account(x)
	yd, yn := account(y)
	return xn != "" && strings.EqualFold(xn, yn) && (xd == "" || yd == "" || strings.EqualFold(xd, yd))
}

func account(s string) (domain, name string) {
	if i := strings.LastIndexByte(s, '\\'); i >= 0 {
		return s[:i], s[i+1:]
	}
	return "", s
}

// system reports accounts that services and the system itself run as.
func system(user string) bool {
	_, name := account(user)
	switch strings.ToLower(name) {
	case "", "root", "system", "local service", "network service", "localsystem", "localservice", "networkservice", "_windowserver", "daemon":
		return true
	}
	return strings.HasSuffix(name, "$") // a machine's own account
}

func systemLogon(id string) bool {
	switch strings.ToLower(id) {
	case "", "0x0", "0x3e7", "0x3e5", "0x3e4", "999", "997", "996":
		return true
	}
	return false
}

func rank(relation string) int {
	switch relation {
	case BySession:
		return 1
	case ByTree:
		return 2
	case ByUser:
		return 3
	}
	return 4
}

// id is a name that is the same after a restart and no other's in a fleet.
func id(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:10])
}

func include(list []string, s string, most int) []string {
	if s == "" || len(list) >= most {
		return list
	}
	i, found := slices.BinarySearch(list, s)
	if found {
		return list
	}
	return slices.Insert(list, i, s)
}

func merge(list, more []int64) []int64 {
	for _, p := range more {
		if !slices.Contains(list, p) && len(list) < maxPIDs {
			list = append(list, p)
		}
	}
	return list
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// The lists below are in the order of time; most of what comes is the newest.

func insert[T any](list []T, x T, time func(T) int64) []T {
	i := len(list)
	if i > 0 && time(list[i-1]) > time(x) {
		i, _ = slices.BinarySearchFunc(list, time(x)+1, func(y T, t int64) int { return cmp.Compare(time(y), t) })
	}
	return slices.Insert(list, i, x)
}

func within[T any](list []T, from, to int64, time func(T) int64) []T {
	i, _ := slices.BinarySearchFunc(list, from, func(y T, t int64) int { return cmp.Compare(time(y), t) })
	j, _ := slices.BinarySearchFunc(list, to+1, func(y T, t int64) int { return cmp.Compare(time(y), t) })
	return list[i:max(i, j)]
}

// near is what is about as old, the newest of it: in a flood not all is compared.
func near[T any](list []T, at, by int64, time func(T) int64) []T {
	list = within(list, at-by, at+by, time)
	return list[max(0, len(list)-256):]
}

func after[T any](list []T, since int64, time func(T) int64) []T {
	i, _ := slices.BinarySearchFunc(list, since, func(y T, t int64) int { return cmp.Compare(time(y), t) })
	if i == 0 {
		return list
	}
	return slices.Clone(list[i:])
}

func bounded[T any](list []T, n int) []T {
	if len(list) > n+n/4 {
		return slices.Clone(list[len(list)-n:])
	}
	return list
}

// none is the attribution of what nobody is known for.
func none() attribution.Result { return attribution.Result{Kind: attribution.None} }
