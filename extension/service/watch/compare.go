package watch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/service/systemd"
)

const (
	maxChanges = 16
	// againAfter is how long a transient unit of the same kind is not told of again.
	againAfter = 24 * time.Hour
)

// comparison is one comparison of what is with what is remembered.
type comparison struct {
	s        *Source
	ctx      context.Context
	now      time.Time
	old      *snapshot
	next     *snapshot
	services []inventory.Service
	tree     *files.Tree

	first bool
	// since is when services were compared before.
	since time.Time
	// busy says that a package manager works; asked once, when it matters.
	busy evidence.Tristate
	// named finds the service a timer, socket or path starts.
	named   map[unitName]*inventory.Service
	waiting map[string]bool
	hashed  budget

	differs bool
	again   bool
	gaps    []evidence.Gap
}

type unitName struct{ scope, user, name string }

// change is one row to be made.
type change struct {
	key      string
	service  *inventory.Service // nil when it is gone
	old, new *record            // nil when there is none
	action   string
	changes  []string
	time     int64
	basis    string
}

// run makes at most limit rows; more says that others wait.
func (c *comparison) run(limit int) (rows []evidence.Install, more bool) {
	c.first = c.old.Time == 0
	c.since = time.Unix(c.old.Time, 0)
	if !c.s.told.IsZero() {
		c.since = c.s.told
	}
	if c.first {
		c.since = c.now.Add(-c.s.recent)
	}
	c.waiting = map[string]bool{}
	c.next.Records, c.next.Noted, c.next.Time = maps.Clone(c.old.Records), maps.Clone(c.old.Noted), c.old.Time
	c.notes()
	found := c.index()
	for _, v := range found {
		c.again = c.again || v.Pending
	}
	var all []change
	if c.first {
		all = c.begin(found)
		c.differs = true
	} else {
		for key, v := range found {
			if ch, ok := c.compare(key, v); ok {
				all = append(all, ch)
			}
		}
		for key, r := range c.old.Records {
			if _, ok := found[key]; !ok && r.Gone == 0 {
				if ch, ok := c.gone(key, r); ok {
					all = append(all, ch)
				}
			}
		}
	}
	for i := range all {
		c.date(&all[i])
	}
	slices.SortFunc(all, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.time, b.time), strings.Compare(a.key, b.key))
	})
	if len(all) > limit {
		all, more = all[:limit], !c.first
	}
	for i := range all {
		rows = append(rows, c.install(&all[i]))
		c.apply(&all[i])
	}
	before := len(c.next.Records)
	c.next.trimGone(c.now.Unix())
	c.differs = c.differs || before != len(c.next.Records)
	if c.differs {
		c.next.Time = c.now.Unix()
	}
	return rows, more
}

// put remembers a record; it is another cursor then.
func (c *comparison) put(key string, r *record) {
	c.next.Records[key] = r
	c.differs = true
}

// apply remembers what a row told.
func (c *comparison) apply(ch *change) {
	now := c.now.Unix()
	switch {
	case ch.new != nil:
		r := *ch.new
		r.Changed = now
		if r.Seen == 0 {
			r.Seen = now
		}
		c.put(ch.key, &r)
	case transient(ch.old.Values[unitPath]):
		r := *ch.old
		r.Gone, r.Told = now, true
		c.put(ch.key, &r)
	default:
		delete(c.next.Records, ch.key)
		c.differs = true
	}
}

// notes tells, once each, what could not be read.
func (c *comparison) notes() {
	told := 0
	for _, n := range c.s.inv.Notes() {
		if n.Dangling || told == maxGaps || len(c.next.Noted) >= maxNoted {
			continue
		}
		sum := sha256.Sum256([]byte(n.Path + "\x00" + n.Detail))
		k := binary.LittleEndian.Uint64(sum[:])
		if c.next.Noted[k] {
			continue
		}
		c.next.Noted[k] = true
		c.differs = true
		told++
		c.gaps = append(c.gaps, evidence.Gap{From: c.since.Unix(), To: c.now.Unix(), Reason: fmt.Sprintf("%q: %s", brief(n.Path), strings.ToValidUTF8(brief(n.Detail), "\ufffd"))})
	}
}

// index is the services by their keys.
func (c *comparison) index() map[string]*inventory.Service {
	found := make(map[string]*inventory.Service, len(c.services))
	c.named = make(map[unitName]*inventory.Service, len(c.services))
	for i := range c.services {
		v := &c.services[i]
		if v.Type == string(systemd.Service) {
			c.named[unitName{v.Scope, v.Username, v.Name}] = v
		}
		if len(found) == maxRecords {
			c.gaps = append(c.gaps, evidence.Gap{From: c.since.Unix(), To: c.now.Unix(), Reason: fmt.Sprintf("more than %d services: the others are not watched", maxRecords)})
			break
		}
		key := keyOf(v)
		if _, ok := found[key]; ok {
			if transient(v.UnitPath) {
				continue
			}
			for n := 2; ok; n++ { // as lines of inittab may
				k := fmt.Sprintf("%s\x00#%d", key, n)
				if _, ok = found[k]; !ok {
					key = k
				}
			}
		}
		found[key] = v
	}
	return found
}

// begin learns a host, and tells only of what came lately and of no package: unless
// the host itself did.
func (c *comparison) begin(found map[string]*inventory.Service) []change {
	var all []change
	young, old := 0, 0
	from := c.now.Add(-c.s.recent).UnixNano()
	for key, v := range found {
		r := recordOf(v)
		r.Seen, r.Image, r.Told = c.now.Unix(), c.shown(v).image, transient(v.UnitPath)
		c.put(key, r)
		if strings.HasPrefix(v.UnitPath, "/run/") || v.File.CTime == 0 {
			continue
		}
		if v.File.CTime >= from {
			young++
		} else {
			old++
		}
		if v.Owned != evidence.Yes || len(v.Foreign) > 0 {
			if t, _ := c.made(append([]string{v.UnitPath}, v.Foreign...)...); t > 0 {
				all = append(all, change{key: key, service: v, new: r, action: evidence.Created})
			}
		}
	}
	if young+old >= 8 && young > old { // made today, with all that is in it
		c.s.log.Info("a new host: its services are learned and not told", "services", len(found))
		return nil
	}
	for i := range all {
		if v := all[i].service; v.Owned == evidence.Yes {
			all[i].action = evidence.Modified
			all[i].changes = []string{"drop_ins: unknown -> " + list(v.Foreign)}
		}
	}
	if len(all) > maxFirst {
		scores := map[string]int{}
		for i := range all {
			scores[all[i].key] = c.shown(all[i].service).score
		}
		slices.SortFunc(all, func(a, b change) int {
			return cmp.Or(cmp.Compare(scores[b.key], scores[a.key]), strings.Compare(a.key, b.key))
		})
		c.gaps = append(c.gaps, evidence.Gap{From: c.since.Unix(), To: c.now.Unix(), Reason: fmt.Sprintf("first scan: %d services came lately, the %d that score highest are told", len(all), maxFirst)})
		all = all[:maxFirst]
	}
	return all
}

// hold reports whether a row should wait, and has not waited for long enough.
func (c *comparison) hold(key string, most time.Duration) bool {
	since, ok := c.s.held[key]
	if !ok {
		since = c.now
		c.s.held[key] = since
	}
	wait := c.now.Sub(since)
	if wait >= most || wait < 0 {
		return false
	}
	c.waiting[key] = true
	return true
}

// installing reports whether a package manager works.
func (c *comparison) installing() bool {
	if c.busy == evidence.Unknown {
		c.busy = evidence.No
		if c.s.installing(c.tree, c.now) {
			c.busy = evidence.Yes
		}
	}
	return c.busy == evidence.Yes
}

// compare compares one service that exists.
func (c *comparison) compare(key string, v *inventory.Service) (change, bool) {
	was := c.old.Records[key]
	r := recordOf(v)
	if was == nil {
		if c.unsure(key, v) {
			return change{}, false
		}
		action := evidence.Created
		if r.On && isInstance(v.Name, v.UnitPath) {
			action = evidence.Enabled // of a template that is there already
		}
		changes := c.others(v, r)
		if action == evidence.Enabled {
			changes = slices.Insert(changes, 0, fmt.Sprintf("%s: none -> %s", valueNames[links], none(r.Values[links])))
		}
		return change{key: key, service: v, new: r, action: action, changes: changes}, true
	}
	r.Seen, r.Changed, r.Told, r.Image = was.Seen, was.Changed, was.Told, was.Image
	if transient(v.UnitPath) {
		switch {
		case was.Gone == 0:
			return change{}, false // the same, whatever it is called by now
		case was.Told && c.now.Unix()-was.Changed < int64(againAfter/time.Second):
			c.put(key, r)
			return change{}, false
		}
		r.Told = false
		return change{key: key, service: v, old: was, new: r, action: evidence.Created}, true
	}
	for _, k := range []int{verified, onDisk} {
		if r.Values[k] == "" || k == verified && v.Pending {
			r.Values[k] = was.Values[k] // not known now
		}
	}
	changes, action := diff(was, r)
	if len(changes) == 0 {
		if r.Values != was.Values || was.Gone != 0 || r.On != was.On || !slices.Equal(r.Commands, was.Commands) {
			c.put(key, r)
		}
		return change{}, false
	}
	if c.unsure(key, v) {
		return change{}, false
	}
	return change{key: key, service: v, old: was, new: r, action: action, changes: changes}, true
}

// unsure reports whether it is too early to say whose files a service's are.
func (c *comparison) unsure(key string, v *inventory.Service) bool {
	if v.Pending || (v.Owned == evidence.No || v.Verified == evidence.No) && c.installing() {
		return c.hold(key, maxHeld)
	}
	return false
}

// gone looks at a service that is not there any more.
func (c *comparison) gone(key string, r *record) (change, bool) {
	unit := r.Values[unitPath]
	if !c.s.inv.Seen(r.Scope, unit) {
		return change{}, false // it may be there
	}
	if c.placeGone(r) || transient(unit) && r.Told {
		away := *r
		away.Gone = c.now.Unix()
		c.put(key, &away)
		return change{}, false
	}
	// systemd empties its generators' directories and fills them again.
	if strings.Contains(unit, "/systemd/generator") && c.hold(key, maxBlink) || c.installing() && c.hold(key, maxHeld) {
		return change{}, false
	}
	action := evidence.Removed
	if r.On && isInstance(r.Name, unit) {
		if _, err := c.tree.Parent(unit, 0); err == nil {
			action = evidence.Disabled // of a template that is still there
		}
	}
	return change{key: key, old: r, action: action}, true
}

// placeGone reports whether a user's home or session went away with all that is in
// it: an unmounted home is no removal.
func (c *comparison) placeGone(r *record) bool {
	if r.Scope != string(systemd.User) || r.Username == "" {
		return false
	}
	unit := r.Values[unitPath]
	place := ""
	if rest, ok := strings.CutPrefix(unit, "/run/user/"); ok {
		id, _, _ := strings.Cut(rest, "/")
		place = "/run/user/" + id
	}
	for _, below := range []string{"/.config/", "/.local/"} {
		if i := strings.Index(unit, below); i > 0 && place == "" {
			place = unit[:i]
		}
	}
	if place == "" {
		return false
	}
	_, err := c.tree.Resolve(place, 0)
	return err != nil
}

// diff says what differs, "key: old -> new", and what that amounts to; no changes
// when it is nothing to be told.
func diff(was, now *record) (changes []string, action string) {
	var keys []int
	say := func(k int) {
		keys = append(keys, k)
		if len(changes) < maxChanges {
			changes = append(changes, fmt.Sprintf("%s: %s -> %s", valueNames[k], none(was.Values[k]), none(now.Values[k])))
		}
	}
	commands := diffCommands(was.Commands, now.Commands)
	for _, k := range []int{unitPath, linkTarget, account, dropIns, aliases, startType, links, waits, triggers, preload, onDisk, writable, program} {
		a, b := was.Values[k], now.Values[k]
		if a == b {
			continue
		}
		switch k {
		case onDisk, program:
			if a == "" || b == "" {
				continue // nobody knew, or another program
			}
			if k == program && len(commands) > 0 {
				continue
			}
		}
		say(k)
	}
	changes = append(commands, changes...)
	if len(changes) > maxChanges {
		changes = changes[:maxChanges]
	}
	if len(changes) == 0 {
		switch {
		case was.Values[contents] != now.Values[contents] && was.Values[contents] != "" && now.Values[contents] != "":
			return []string{"contents: changed"}, evidence.Modified
		case was.Values[verified] == "yes" && now.Values[verified] == "no":
			return []string{"package_verified: yes -> no"}, evidence.Modified
		}
		return nil, ""
	}
	off, wasOff := masked(now.Values[startType]), masked(was.Values[startType])
	switch {
	case off && !wasOff:
		return changes, evidence.Disabled
	case wasOff && !off && now.On:
		return changes, evidence.Enabled
	case len(commands) > 0 || wasOff && !off:
		return changes, evidence.Modified
	}
	for _, k := range keys {
		if k != startType && k != links && k != aliases {
			return changes, evidence.Modified
		}
	}
	switch {
	case now.On && !was.On:
		return changes, evidence.Enabled
	case was.On && !now.On:
		return changes, evidence.Disabled
	}
	return changes, evidence.Modified
}

// none shows a value; what comes behind a NUL is for comparing only.
func none(v string) string {
	v, _, _ = strings.Cut(v, "\x00")
	if v == "" {
		return "none"
	}
	return v
}

// diffCommands says which commands came, went or became others.
func diffCommands(was, now []string) []string {
	if slices.Equal(was, now) {
		return nil
	}
	count := map[string]int{}
	for _, x := range now {
		count[x]++
	}
	var less []string
	for _, x := range was {
		if count[x] > 0 {
			count[x]--
		} else {
			less = append(less, x)
		}
	}
	var all []string
	for i := len(now) - 1; i >= 0; i-- { // of equal ones the last is the new one
		if x := now[i]; count[x] > 0 {
			count[x]--
			key, value, _ := strings.Cut(x, "=")
			before := "none"
			for k, y := range less {
				if v, ok := strings.CutPrefix(y, key+"="); ok {
					before = v
					less = slices.Delete(less, k, k+1)
					break
				}
			}
			all = append(all, fmt.Sprintf("%s: %s -> %s", key, before, value))
		}
	}
	slices.Reverse(all)
	for _, y := range less {
		key, value, _ := strings.Cut(y, "=")
		all = append(all, fmt.Sprintf("%s: %s -> none", key, value))
	}
	if len(all) == 0 {
		return []string{"commands: in another order"}
	}
	return all[:min(len(all), maxChanges)]
}

// others names the commands of a new service beside its main one, the shown one
// first, or what a unit without commands waits for and starts.
func (c *comparison) others(v *inventory.Service, r *record) []string {
	var all []string
	if len(v.Commands) == 0 {
		for _, k := range []int{waits, triggers} {
			if r.Values[k] != "" {
				all = append(all, fmt.Sprintf("%s: none -> %s", valueNames[k], r.Values[k]))
			}
		}
		return all
	}
	say := func(cmd inventory.Command) {
		all = append(all, fmt.Sprintf("%s: none -> %s", cmd.Directive, brief(cmd.Line)))
	}
	shown := c.shown(v).at
	if shown > 0 {
		say(v.Commands[shown])
	}
	for i, cmd := range v.Commands {
		if i != 0 && i != shown && len(all) < maxChanges/2 {
			say(cmd)
		}
	}
	return all
}

// id is the same for the same change of the same service, however often it is
// read.
func (ch *change) id() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", ch.key, ch.action)
	for _, r := range []*record{ch.old, ch.new} {
		if r == nil {
			fmt.Fprint(h, "-\x00")
			continue
		}
		fmt.Fprintf(h, "%q %q %v\x00", r.Values, r.Commands, r.On)
	}
	if ch.old != nil {
		fmt.Fprintf(h, "%d", ch.old.Changed)
	} else if ch.basis != evidence.BasisFirstSeen {
		fmt.Fprintf(h, "%d", ch.time)
	}
	return hex.EncodeToString(h.Sum(nil)[:10])
}
