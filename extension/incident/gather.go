package incident

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// lateral are the ports through which one machine is used from another.
var lateral = map[int64]string{22: "ssh", 135: "rpc", 139: "smb", 445: "smb", 3389: "rdp", 5985: "winrm", 5986: "winrm"}

// unusual says of an outbound connection why it is not one the host makes every
// day, and remembers its destination.
func (b *Book) unusual(c *Connection) {
	if c.Unusual != "" || c.Inbound {
		return
	}
	addr, err := netip.ParseAddr(c.RemoteAddr)
	if err != nil {
		return
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLinkLocalUnicast() {
		return
	}
	key := addr.String()
	if addr.Is6() { // a host of its own has a /64
		if p, err := addr.Prefix(64); err == nil {
			key = p.String()
		}
	}
	d, known := b.dests[key]
	usual := known && (d.Days >= 2 || c.Time-d.First >= 86400)
	switch {
	case !known:
		d = Destination{First: c.Time, Last: c.Time, Days: 1}
		if len(b.dests) >= maxDestinations {
			b.forget()
		}
		b.dests[key] = d
		b.note(key, d)
	case c.Time/86400 > d.Last/86400:
		d.Last, d.Days = c.Time, d.Days+1
		b.dests[key] = d
		b.note(key, d)
	case c.Time/86400 < d.First/86400: // evidence that comes late
		d.First, d.Days = c.Time, d.Days+1
		b.dests[key] = d
		b.note(key, d)
	}
	switch proto := lateral[c.RemotePort]; {
	case usual:
	case !addr.IsPrivate():
		c.Unusual = fmt.Sprintf("this host never connected to %s before", addr)
	case proto != "":
		c.Unusual = fmt.Sprintf("this host never connected to %s before, by %s", addr, proto)
	}
}

func (b *Book) note(key string, d Destination) {
	if b.out.Destinations == nil {
		b.out.Destinations = map[string]Destination{}
	}
	b.out.Destinations[key] = d
}

// forget makes room: of what was seen on one day only, the older half.
func (b *Book) forget() {
	var last []int64
	for _, d := range b.dests {
		last = append(last, d.Last)
	}
	slices.Sort(last)
	for k, d := range b.dests {
		if d.Last <= last[len(last)/2] && (d.Days < 3 || d.Last < last[len(last)/8]) {
			delete(b.dests, k)
		}
	}
}

// private reports an address of somebody's own network.
func (c *Connection) private() bool {
	addr, err := netip.ParseAddr(c.RemoteAddr)
	return err == nil && addr.Unmap().IsPrivate()
}

// gather takes what happened around an incident into it.
func (b *Book) gather(x *Incident) {
	h := b.host(x.Host)
	for _, l := range within(h.logons, x.Opened-b.cfg.Before, x.Last+b.cfg.Watch, func(l Logon) int64 { return l.Time }) {
		own := x.own(l.Username)
		if !own && l.Time > x.Last+b.cfg.After || !own && !l.Failed && l.Time > x.Opened {
			continue
		}
		if slices.ContainsFunc(x.Logons, l.sameMoment) {
			continue
		}
		if len(x.Logons) >= maxLogons {
			x.leftOut("logon")
			if i := slices.IndexFunc(x.Logons, func(m Logon) bool { return !x.own(m.Username) }); own && i >= 0 {
				x.Logons = slices.Delete(x.Logons, i, i+1)
			} else {
				continue
			}
		}
		x.Logons = insert(x.Logons, l, func(l Logon) int64 { return l.Time })
	}
	for _, c := range within(h.changes, x.Opened-86400, x.Last+b.cfg.After, func(c Change) int64 { return c.Time }) {
		if c.Kind != evidence.ChangePackage && c.Kind != evidence.ChangePatch && c.Kind != evidence.ChangeRestart && c.Time < x.Opened-b.cfg.Before {
			continue
		}
		if slices.ContainsFunc(x.Changes, func(d Change) bool { return d.Kind == c.Kind && d.Subject == c.Subject && abs(d.Time-c.Time) <= 2 }) {
			continue
		}
		if len(x.Changes) >= maxChanges {
			x.leftOut("change")
			continue
		}
		x.Changes = insert(x.Changes, c, func(c Change) int64 { return c.Time })
	}
	for _, c := range within(h.conns, x.Opened, x.Last+b.cfg.After, func(c Connection) int64 { return c.Time }) {
		if slices.ContainsFunc(x.Connections, func(d Connection) bool { return d.same(c) && abs(d.Time-c.Time) <= 3600 }) {
			continue
		}
		if c.Relation = relation(x.Actor, c.Actor); c.Relation == ByHost && x.runs(c.Path) {
			c.Relation = ByTree
		}
		if len(x.Connections) >= maxConnections {
			x.leftOut("connection")
			if i := slices.IndexFunc(x.Connections, func(d Connection) bool { return d.Relation == ByHost }); c.Relation != ByHost && i >= 0 {
				x.Connections = slices.Delete(x.Connections, i, i+1)
			} else {
				continue
			}
		}
		x.Connections = insert(x.Connections, c, func(c Connection) int64 { return c.Time })
	}
}

// runs reports whether a program is that of a service the incident installed.
func (x *Incident) runs(path string) bool {
	return path != "" && slices.ContainsFunc(x.Installs, func(in Install) bool { return strings.EqualFold(in.Path, path) })
}

// own reports whether an account is that of the incident's actor.
func (x *Incident) own(user string) bool {
	if user == "" {
		return false
	}
	if sameAccount(user, x.Actor.LoginUser) || sameAccount(user, x.Actor.Username) {
		return true
	}
	for _, y := range x.Bursts {
		if sameAccount(user, y.Actor.LoginUser) || sameAccount(user, y.Actor.Username) {
			return true
		}
	}
	return false
}

func (l Logon) sameMoment(m Logon) bool { return abs(l.Time-m.Time) <= 2 && l.same(m) }
