package engine

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// Looker tells what the host shows of an incident now.
type Looker interface {
	Look(ctx context.Context, x *incident.Incident) incident.HostFacts
}

// openBook puts what is open back as the store has it.
func (e *Engine) openBook(ctx context.Context) error {
	cfg := incident.Default()
	if e.opts.Incidents != nil {
		cfg = *e.opts.Incidents
	}
	cfg.HostUUID, cfg.Weights = e.evidenceID(), e.opts.Judge.Weights
	e.book = incident.NewBook(cfg)
	now := e.opts.Now().Unix()
	since := now - cfg.Watch - cfg.Late
	if cfg.Late == 0 {
		since = 0
	}
	var bursts []*incident.Burst
	var incidents []*incident.Incident
	from := now - cfg.Gap - cfg.Late
	if cfg.Late == 0 {
		from = 0
	}
	if err := e.opts.Store.Bursts(ctx, store.Filter{TimeFrom: &from}, func(x *incident.Burst) error { bursts = append(bursts, x); return nil }); err != nil {
		return err
	}
	if err := e.opts.Store.Incidents(ctx, store.IncidentFilter{LastFrom: &since}, func(x *incident.Incident) error {
		incidents = append(incidents, x)
		return nil
	}); err != nil {
		return err
	}
	around, err := e.opts.Store.Around(ctx, since)
	if err != nil {
		return err
	}
	dests, err := e.opts.Store.Destinations(ctx)
	if err != nil {
		return err
	}
	e.book.Restore(bursts, incidents, around, dests)
	return nil
}

// judgeCommands makes events of the fresh sightings and hands them to facts.
func (e *Engine) judgeCommands(fresh []*sighting, young []*incident.Install, b *store.Batch, h *history, now time.Time, facts *incident.Facts) {
	for _, s := range fresh {
		p := &s.event.Process
		chain := chainOf(p.Ancestry, p.ParentPID, p.ParentPath, p.ParentCmdLine)
		around := Surroundings{YoungService: e.youngService(p.Host, chain, p.Time, young), Under: e.under(p.Host, chain, p.Time, facts.Installs), Started: e.starts.before(p.Host, p.Time)}
		by, asked := e.judgedBy(p.Host, h)
		ev, v, err := e.judge(s, by, around, now)
		if err != nil {
			e.opts.Logger.Error("could not judge a process", "source", p.Source, "error", err)
			continue
		}
		b.Events = append(b.Events, ev)
		if ev.Scope != string(rule.ScopeSingle) {
			h.observe(person(p), v.Family, p.Time)
		}
		if v.Routine != "" && v.Scope != rule.ScopeSingle {
			e.hourly(person(p), familyRoutine+v.Routine, p.Time, h)
		}
		for _, id := range v.RuleIDs {
			st := b.Rules[id]
			st.Matches++
			st.LastMatch = max(st.LastMatch, p.Time)
			b.Rules[id] = st
		}
		if v.T1007 {
			told := commandOf(ev, p, v)
			facts.Commands = append(facts.Commands, told)
			if asked != nil {
				e.rememberCommand(s, *p, around, asked, told, now)
			}
		}
	}
}

// youngService names the nearest ancestor that is an unattributed service younger
// than a day.
func (e *Engine) youngService(host string, chain []evidence.Ancestor, at int64, young []*incident.Install) string {
	for i := range chain {
		a := &chain[i]
		if a.Path == "" {
			continue
		}
		for _, in := range young {
			if in.Time <= at && strings.EqualFold(in.Host, host) && in.Runs(a.Path, a.CmdLine) {
				return in.Name
			}
		}
		if name := e.book.YoungService(host, a.Path, a.CmdLine, at); name != "" {
			return name
		}
	}
	return ""
}

// under is whose the nearest ancestor is that is a scanner's or a responder's own
// service, younger than a day.
func (e *Engine) under(host string, chain []evidence.Ancestor, at int64, now []incident.Install) attribution.Result {
	for i := range chain {
		a := &chain[i]
		for j := range now {
			in := &now[j]
			k := in.Attribution.Kind
			if (k == attribution.Scanner || k == attribution.Case) && in.Action == evidence.Created && in.Time <= at && at-in.Time < 86400 && strings.EqualFold(in.Host, host) && a.Path != "" && in.Runs(a.Path, a.CmdLine) {
				return in.Attribution
			}
		}
		if r := e.book.Under(host, a.Path, a.CmdLine, at); r.Attributed() {
			return r
		}
	}
	return attribution.Result{}
}

// chainOf is the ancestry with the parent first, when only the parent is known.
func chainOf(ancestry []evidence.Ancestor, pid int64, path, cmdline string) []evidence.Ancestor {
	if len(ancestry) > 0 || path == "" && cmdline == "" {
		return ancestry
	}
	return []evidence.Ancestor{{PID: pid, Path: path, CmdLine: cmdline}}
}

// commandOf is an event as bursts need it. Texts are those of the event: masked and
// printable.
func commandOf(ev *store.Event, p *evidence.Process, v Verdict) incident.Command {
	q := &ev.Process
	return incident.Command{
		ID: ev.EventID, Time: q.Time, Host: q.Host, Platform: q.Platform,
		Actor:  actorOf(q, ownPIDs(p.PID, p.Ancestry)),
		Origin: shown(originOf(p)), PID: q.PID, Path: q.Path, CmdLine: q.CmdLine, Parent: q.ParentPath, ParentCmdLine: q.ParentCmdLine, Canonical: presentAll(v.Canonical), Family: ev.Family, Scope: ev.Scope,
		Technique: ev.Technique, Remote: ev.RemoteHost, From: q.LoginSource, Elevated: q.Elevated, Container: q.ContainerID, Source: q.Source, EID: q.EID,
		Verdict:  v.told(),
		Expected: v.Expected, Tail: v.Tail,
	}
}

func (e *Engine) contextOf(p *evidence.Process, v Verdict) incident.Context {
	return incident.Context{
		Time: p.Time, Host: shown(p.Host), Technique: v.Technique, CmdLine: present(p.CmdLine), Source: shown(p.Source), EID: shown(p.EID),
		Actor: actorOf(p, ownPIDs(p.PID, p.Ancestry)),
	}
}

// actorOf is who is behind a process; an id stands for a name that nobody told.
func actorOf(p *evidence.Process, pids []int64) incident.Actor {
	return incident.Actor{Username: shown(account(p.Username, p.UID)), LoginUser: shown(account(p.LoginUser, p.LoginUID)), Session: shown(p.Session), LogonID: shown(p.LogonID), PIDs: pids}
}

// common are the programs that everything on a host descends from: to have one in
// common says nothing.
var common = map[string]bool{
	"systemd": true, "init": true, "launchd": true, "services": true, "svchost": true, "wininit": true, "winlogon": true, "userinit": true,
	"explorer": true, "smss": true, "csrss": true, "lsass": true, "sshd": true, "sshd-session": true, "cron": true, "crond": true, "login": true,
	"containerd-shim": true, "containerd-shim-runc-v2": true, "dockerd": true, "containerd": true, "runc": true, "tini": true, "dumb-init": true, "wmiprvse": true, "taskhostw": true, "taskeng": true, "(sd-pam)": true,
	"gnome-shell": true, "gdm": true, "xfce4-session": true, "gnome-terminal-server": true, "loginwindow": true, "terminal": true, "sihost": true, "runtimebroker": true,
}

// shells start what people and tools type: an origin is what is above them.
var shells = map[string]bool{
	"sh": true, "bash": true, "dash": true, "zsh": true, "ksh": true, "fish": true, "ash": true, "cmd": true, "powershell": true, "pwsh": true,
	"sudo": true, "su": true, "doas": true, "env": true, "timeout": true, "nohup": true, "conhost": true, "busybox": true, "tmux": true, "screen": true, "windowsterminal": true, "openconsole": true,
}

// ownPIDs are a process and those ancestors that are its own.
func ownPIDs(pid int64, ancestry []evidence.Ancestor) []int64 {
	var out []int64
	if pid > 4 {
		out = append(out, pid)
	}
	for _, a := range ancestry {
		if a.PID <= 4 || common[winargv.Base(a.Path)] || len(out) >= 8 {
			break
		}
		out = append(out, a.PID)
	}
	return out
}

// originOf is the program that a command descends from, shells and what everything
// descends from left out: an agent, a web server, empty for what a person typed.
func originOf(p *evidence.Process) string {
	origin := ""
	for _, a := range chainOf(p.Ancestry, p.ParentPID, p.ParentPath, p.ParentCmdLine) {
		b := winargv.Base(a.Path)
		if b == "" || common[b] {
			break
		}
		if !shells[b] {
			origin = a.Path
		}
	}
	return origin
}

// around hands logons, connections and changes to facts.
func (e *Engine) around(ctx context.Context, readings []reading, h *history, now time.Time, facts *incident.Facts) {
	for _, r := range readings {
		for i := range r.batch.Logons {
			l := &r.batch.Logons[i]
			facts.Logons = append(facts.Logons, incident.Logon{Time: l.Time, Host: shown(l.Host), Username: shown(l.Username), Type: shown(l.Type), From: shown(l.From),
				LogonID: shown(l.LogonID), TTY: shown(l.TTY), Failed: l.Failed, Privileged: l.Platform == evidence.Windows && l.Privileged == evidence.Yes, Source: shown(l.Source), EID: shown(l.EID)})
			if a := remoteAddr(l.From); a != "" && !l.Failed {
				e.hourly(l.Username, familyFrom(a), l.Time, h)
			}
			if !l.Failed && l.Type != "network" && l.Type != "service" && l.Type != "batch" {
				e.hourly(l.Username, familySession, l.Time, h)
				if l.Platform == evidence.Windows && l.Privileged == evidence.Yes {
					e.hourly(l.Username, familyRoot, l.Time, h) // as an elevated process would tell
				}
			}
		}
		for i := range r.batch.Changes {
			c := &r.batch.Changes[i]
			e.fill(ctx, c.Platform, &c.Host, &c.Username, c.UID)
			facts.Changes = append(facts.Changes, incident.Change{Time: c.Time, Host: shown(c.Host), Kind: c.Kind, Subject: present(c.Subject), Detail: present(c.Detail),
				Username: shown(c.Username), Source: shown(c.Source), EID: shown(c.EID)})
		}
		for i := range r.batch.Connections {
			c := &r.batch.Connections[i]
			e.fill(ctx, c.Platform, &c.Host, &c.Username, c.UID)
			facts.Connections = append(facts.Connections, e.connectionOf(c, h, now))
		}
	}
}

// fill fills in the host, and the name of a user id: as this host has it, or as the
// evidence tells.
func (e *Engine) fill(ctx context.Context, platform evidence.Platform, host, username *string, uid string) {
	*host = e.hostOf(platform, *host)
	if *username == "" && e.opts.Users != nil {
		*username = e.opts.Users.Name(ctx, uid)
	}
	if *username == "" {
		*username = e.names.of(platform, *host, uid)
	}
}

// connectionOf is a connection with whose it is, as far as its process tells.
func (e *Engine) connectionOf(c *evidence.Connection, h *history, now time.Time) incident.Connection {
	p := evidence.Process{Time: c.Time, Platform: c.Platform, Host: c.Host, PID: c.PID, ParentPID: c.ParentPID, Path: c.Path, CmdLine: c.CmdLine, Username: c.Username, UID: c.UID}
	if r, ok := e.lineage.find(c.Host, c.PID, c.Time); ok {
		p = e.processOf(&r, c.Platform)
		p.UID = c.UID
		if c.Path == "" || byDevice(c.Path) && winargv.Base(c.Path) == winargv.Base(r.path) {
			c.Path = r.path
		}
		if c.CmdLine == "" {
			c.CmdLine = r.cmdline
		}
		if c.Username == "" {
			c.Username = r.username
		}
		p.Username = c.Username
	} else {
		p.Ancestry = e.lineage.chain(c.Host, c.PID, c.ParentPID, c.Time)
	}
	v := incident.Verdict{Severity: score.Severity(0), Attribution: attribution.Result{Kind: attribution.None}}
	never := lineageOf(&p)
	v.Attribution = attribution.Attribute(attribution.Facts{Process: &p, Connection: c, Lineage: never, Now: now,
		History: habits(&p, "@connection", h)}, e.opts.Judge.Attribution)
	if e.opts.Judge.IOC != nil {
		v.IOC = presentAll(e.opts.Judge.IOC.Connection(c, now))
	}
	return incident.Connection{
		Time: c.Time, Host: shown(c.Host), Path: shown(c.Path), CmdLine: present(c.CmdLine), Protocol: c.Protocol, Inbound: c.Inbound,
		RemoteAddr: shown(c.RemoteAddr), RemotePort: c.RemotePort, RemoteName: shown(c.RemoteName), Source: shown(c.Source), EID: shown(c.EID),
		Actor:   actorOf(&p, ownPIDs(c.PID, p.Ancestry)),
		Verdict: v,
	}
}

// byDevice reports a path of Windows' kernel, which names a device for a drive: as event
// 5156 has it.
func byDevice(path string) bool {
	const device = `\device\`
	return len(path) > len(device) && strings.EqualFold(path[:len(device)], device)
}

// learnSessions learns in which hours people work here, from where, and who becomes
// root as the system allows.
func (e *Engine) learnSessions(all []*evidence.Process, h *history) {
	for _, p := range all {
		if !interactive(p) && !inRemoteShell(p) {
			continue
		}
		user := person(p)
		e.hourly(user, familySession, p.Time, h)
		if a := remoteAddr(p.LoginSource); a != "" {
			e.hourly(user, familyFrom(a), p.Time, h)
		}
		if score.Authorised(p) {
			e.hourly(user, familyRoot, p.Time, h)
		}
	}
}

// hourly learns that something holds for a user at a time, once an hour.
func (e *Engine) hourly(user, family string, at int64, h *history) {
	if user == "" {
		return
	}
	k := store.BaselineKey{Username: user, Family: family}
	if last, ok := e.hours[k]; ok && at/3600 <= last {
		return
	}
	if len(e.hours) >= maxBaselines {
		clear(e.hours)
	}
	e.hours[k] = at / 3600
	h.observe(user, family, at)
}

// sessions remembers where logins came from, for evidence that names only the user or
// the session.
type sessions struct {
	byKey map[string][]login // the latest logins of each, oldest first
}

type login struct {
	from, user string
	at         int64
}

// maxSessions bounds whose logins are remembered, maxLogins how many of each (recorded
// evidence brings many days of them at once), and sessionAge how long one counts for what
// its user does, visitWithin for a service that nobody is told to have installed,
// seconds.
const (
	maxSessions = 8192
	maxLogins   = 256
	sessionAge  = 24 * 3600
	visitWithin = 60
	maxVisits   = 64
)

func (s *sessions) remember(l *evidence.Logon) {
	if l.Failed || l.From == "" {
		return
	}
	if s.byKey == nil || len(s.byKey) >= maxSessions {
		s.byKey = map[string][]login{}
	}
	user := account(l.Username, l.UID)
	keys := sessionKeys(l.Host, user, l.LogonID)
	if l.Type == "network" {
		keys = append(keys, visitsKey(l.Host))
	}
	for _, k := range keys {
		list := insertLogin(s.byKey[k], login{l.From, user, l.Time})
		s.byKey[k] = list[max(0, len(list)-maxLogins):]
	}
}

// visits are the logons over the network to a host within visitWithin before a time,
// and not after it.
func (s *sessions) visits(host string, at int64) (out []attribution.Visit) {
	for _, l := range slices.Backward(s.byKey[visitsKey(host)]) {
		switch {
		case l.at < at-visitWithin:
			return out
		case l.at <= at && len(out) < maxVisits:
			out = append(out, attribution.Visit{User: l.user, From: l.from})
		}
	}
	return out
}

func visitsKey(host string) string { return strings.ToLower(host) + "\x00visits" }

// from is where the login behind a session, or the user's last login, came from.
func (s *sessions) from(host, user, logonID string, at int64) string {
	for _, k := range sessionKeys(host, user, logonID) {
		for _, l := range slices.Backward(s.byKey[k]) {
			if l.at <= at+2 {
				if at-l.at < sessionAge {
					return l.from
				}
				break
			}
		}
	}
	return ""
}

// insertLogin puts a login in its place by time: most are the newest.
func insertLogin(list []login, l login) []login {
	i := len(list)
	for i > 0 && list[i-1].at > l.at {
		i--
	}
	return slices.Insert(list, i, l)
}

func sessionKeys(host, user, logonID string) (keys []string) {
	if logonID != "" && logonID != "0x3e7" {
		keys = append(keys, strings.ToLower(host+"\x00"+logonID))
	}
	if user != "" {
		if i := strings.LastIndexByte(user, '\\'); i >= 0 {
			user = user[i+1:]
		}
		keys = append(keys, strings.ToLower(host+"\x00user\x00"+user))
	}
	return keys
}

// How many incidents are looked at on the host in a cycle, and how often one is,
// in seconds.
const (
	maxLooks  = 5
	lookEvery = 10
)

// tell gives a cycle's facts to the book, and the batch what that changed.
func (e *Engine) tell(ctx context.Context, b *store.Batch, installs []*pendingInstall, facts incident.Facts) {
	changed := e.book.Add(facts)
	looks := 0
	for _, x := range changed.Incidents {
		if e.opts.WantLogons != nil && x.Decision != incident.Record && x.Host == e.opts.Host && facts.Now-x.Last < 3600 {
			e.opts.WantLogons(x.Opened-3600, x.Last+60)
		}
		if e.opts.Look == nil || x.Decision == incident.Record || looks == maxLooks || facts.Now-x.Facts.Looked < lookEvery {
			continue
		}
		looks++ // each may take two seconds
		x.Facts = e.opts.Look.Look(ctx, x)
		e.book.Reconsider(x)
	}
	b.Bursts, b.Incidents, b.Destinations = changed.Bursts, changed.Incidents, changed.Destinations
	b.Around = incident.Facts{Logons: facts.Logons, Changes: facts.Changes, Connections: changed.Unusual}
	for _, ev := range b.Events {
		ev.BurstID = changed.BurstOf[ev.EventID]
	}
	for _, x := range installs {
		x.row.IncidentID = changed.IncidentOf[x.row.InstallID]
		b.Installs = append(b.Installs, x.row)
	}
}
