package core

import (
	"context"
	"strings"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

const (
	socketEvents    = "socket_events"
	bpfSocketEvents = "bpf_socket_events"
	openSockets     = "process_open_sockets"
)

func socketFeed(platform evidence.Platform) feed {
	f := feed{
		table:   socketEvents,
		columns: []string{"time", "eid", "action", "pid", "path", "auid", "family", "local_address", "local_port", "remote_address", "remote_port"},
		key:     []string{"eid", "time", "pid", "remote_address", "remote_port"},
		mapper:  func(*Capabilities) mapper { return rowFunc(socketRow(platform)) },
	}
	f.where = func(*Capabilities) []squirrel.Sqlizer {
		cond := []squirrel.Sqlizer{squirrel.Eq{"action": []string{"connect", "accept"}}}
		if platform == evidence.Linux {
			// A connection that is made without waiting for it is in progress.
			return append(cond, squirrel.Eq{"status": []string{"succeeded", "in_progress"}})
		}
		return append(cond, squirrel.Eq{"success": 1})
	}
	return eventFeed(f)
}

func socketRow(platform evidence.Platform) func(*Row, int64, *evidence.Batch) {
	return func(r *Row, when int64, b *evidence.Batch) {
		c := connection(r, when, platform, socketEvents)
		c.UID, c.Inbound = userID(r.Get("auid")), r.Get("action") == "accept"
		connect(b, c)
	}
}

func bpfSocketFeed() feed {
	return eventFeed(feed{
		table: bpfSocketEvents,
		columns: []string{"time", "eid", "syscall", "pid", "parent", "uid", "path", "family", "type", "local_address", "local_port",
			"remote_address", "remote_port"},
		key: []string{"eid", "time", "pid", "remote_address", "remote_port"},
		where: func(*Capabilities) []squirrel.Sqlizer {
			return []squirrel.Sqlizer{squirrel.Eq{"syscall": []string{"connect", "accept"}}}
		},
		mapper: func(*Capabilities) mapper { return rowFunc(bpfSocketRow) },
	})
}

func bpfSocketRow(r *Row, when int64, b *evidence.Batch) {
	c := connection(r, when, evidence.Linux, bpfSocketEvents)
	c.UID, c.Inbound = userID(r.Get("uid")), r.Get("syscall") == "accept"
	if parent, ok := r.Int("parent"); ok && parent > 0 {
		c.ParentPID = parent
	}
	switch n, _ := r.Int("type"); n & 0xf { // above are flags
	case 1:
		c.Protocol = "tcp"
	case 2:
		c.Protocol = "udp"
	}
	connect(b, c)
}

func connection(r *Row, when int64, platform evidence.Platform, source string) evidence.Connection {
	c := evidence.Connection{
		Time: when, Platform: platform, Path: r.Get("path"), Source: source, EID: r.Get("eid"),
		LocalAddr: peer.Address(r.Get("local_address")), LocalPort: number(r.Get("local_port")),
		RemoteAddr: peer.Address(r.Get("remote_address")), RemotePort: number(r.Get("remote_port")),
	}
	c.PID, _ = r.Int("pid")
	return c
}

// connect adds a connection with another host. The connect calls that look for a
// route, to port 0, are none.
func connect(b *evidence.Batch, c evidence.Connection) {
	if c.RemoteAddr == "" || !peer.Other(c.RemoteAddr) || c.RemoteAddr == c.LocalAddr || (c.RemotePort == 0 && !c.Inbound) {
		return
	}
	b.Connections = append(b.Connections, c)
}

// socketSnapshot finds connections by looking at what is open from time to time:
// short ones are missed. It is read where there are no events of connections.
func socketSnapshot(platform evidence.Platform) snapshot {
	return snapshot{
		table:   openSockets,
		columns: []string{"pid", "protocol", "local_address", "local_port", "remote_address", "remote_port", "state"},
		where:   squirrel.Eq{"state": []string{"ESTABLISHED", "LISTEN"}},
		key:     []string{"pid", "protocol", "local_address", "local_port", "remote_address", "remote_port"},
		every:   30 * time.Second,
		brief:   true,
		keep: func(r *Row, facts map[string]bool) bool {
			if r.Get("state") == "LISTEN" {
				facts[r.Get("protocol")+"/"+r.Get("local_port")] = true
				return false
			}
			remote := peer.Address(r.Get("remote_address"))
			return remote != "" && peer.Other(remote)
		},
		changes: func(ctx context.Context, s *comparison, b *evidence.Batch) error {
			for _, c := range s.changes {
				if c.is == nil {
					continue
				}
				get := func(name string) string { return c.is[name] }
				conn := evidence.Connection{
					Time: s.now, Platform: platform, Source: openSockets, Protocol: winevent.Protocol(get("protocol")),
					PID: number(get("pid")), Inbound: s.facts[get("protocol")+"/"+get("local_port")],
					LocalAddr: peer.Address(get("local_address")), LocalPort: number(get("local_port")),
					RemoteAddr: peer.Address(get("remote_address")), RemotePort: number(get("remote_port")),
				}
				connect(b, conn)
			}
			return owners(ctx, s, b)
		},
	}
}

// maxOwners bounds the processes that are asked for at once.
const maxOwners = 500

// owners fills in the programs behind connections, of those that still run.
func owners(ctx context.Context, s *comparison, b *evidence.Batch) error {
	byPID := map[int64][]int{}
	var pids []int64
	for i, c := range b.Connections {
		if c.PID <= 0 {
			continue
		}
		if byPID[c.PID] == nil && len(pids) < maxOwners {
			pids = append(pids, c.PID)
		}
		byPID[c.PID] = append(byPID[c.PID], i)
	}
	if len(pids) == 0 {
		return nil
	}
	stmt := squirrel.Select("pid", "path", "cmdline", "parent", "uid").From("processes").Where(squirrel.Eq{"pid": pids}).Limit(maxOwners)
	return s.ask(ctx, stmt, func(r *Row) error {
		pid, _ := r.Int("pid")
		for _, i := range byPID[pid] {
			c := &b.Connections[i]
			c.Path, c.CmdLine, c.ParentPID = r.Get("path"), r.Get("cmdline"), number(r.Get("parent"))
			if c.Platform != evidence.Windows { // there the number stands for nothing
				c.UID = userID(strings.TrimSpace(r.Get("uid")))
			}
		}
		return nil
	})
}
