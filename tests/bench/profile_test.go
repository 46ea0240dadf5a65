//go:build linux

package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tables"
)

// These are for profiles: make profile.

func storeOf(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func engineOf(b *testing.B, s *store.Store, src engine.Source) *engine.Engine {
	b.Helper()
	e, err := engine.New(b.Context(), engine.Options{Judge: &engine.Judge{Rules: rules(b), Weights: score.DefaultWeights()}, Store: s, Sources: []engine.Source{src}, HostID: "m", Host: "h"})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// BenchmarkCollect is a cycle of 1,000 processes, one of which matches.
func BenchmarkCollect(b *testing.B) {
	src := &source{per: 1000}
	e := engineOf(b, storeOf(b), src)
	b.ReportAllocs()
	for b.Loop() {
		src.left = 1000
		if err := e.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScore is the verdict on six commands that match.
func BenchmarkScore(b *testing.B) {
	judge, now := &engine.Judge{Rules: rules(b), Weights: score.DefaultWeights()}, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for i := range matching {
			judge.Judge(&matching[i], nil, now)
		}
	}
}

// BenchmarkServe makes the 1,000 rows of a window.
func BenchmarkServe(b *testing.B) {
	s, now := storeOf(b), time.Now().Unix()
	if err := s.Commit(b.Context(), &store.Batch{Events: events(1, 1000, now), Now: now}); err != nil {
		b.Fatal(err)
	}
	t := tables.ServiceDiscoveryEvents(s, nobody{})
	b.ReportAllocs()
	for b.Loop() {
		rows, err := t.Generate(b.Context(), table.QueryContext{})
		if err != nil {
			b.Fatal(err)
		}
		rows.Free()
	}
}

// intruder is a source of visits: a logon, ten commands, a service, a connection.
type intruder struct{ visits int64 }

func (*intruder) Name() string { return "process_events" }

func (s *intruder) Read(context.Context, string, int) (evidence.Batch, error) {
	s.visits++
	now, user, n := time.Now().Unix(), fmt.Sprintf("user%d", s.visits%50), s.visits*100
	b := evidence.Batch{Cursor: strconv.FormatInt(s.visits, 10), Read: 10}
	b.Logons = []evidence.Logon{{Time: now, Platform: linux, Username: user, Type: "ssh", From: "203.0.113.7", PID: n, Source: "process_events", EID: fmt.Sprint("l", n)}}
	for i := range int64(10) {
		p := matching[0]
		p.Time, p.PID, p.ParentPID, p.UID, p.Username, p.LoginUser = now, n+i, n, "0", "root", user
		p.CmdLine += " --lines=" + strconv.FormatInt(n+i, 10)
		p.Source, p.EID = "process_events", strconv.FormatInt(n+i, 10)
		b.Processes = append(b.Processes, p)
	}
	b.Installs = []evidence.Install{{Time: now, TimeBasis: evidence.BasisEvent, Platform: linux, Action: evidence.Created, Kind: "systemd", Name: fmt.Sprintf("x%d.service", s.visits),
		ImagePath: "/tmp/x", Path: "/tmp/x", UnitPath: fmt.Sprintf("/etc/systemd/system/x%d.service", s.visits), InstallerUsername: "root", LoginUser: user, Source: "process_events", EID: fmt.Sprint("i", n)}}
	b.Connections = []evidence.Connection{{Time: now, Platform: linux, PID: n, Path: "/tmp/x", Username: "root", Protocol: "tcp", RemoteAddr: "203.0.113.9", RemotePort: 4444, Source: "process_events", EID: fmt.Sprint("c", n)}}
	return b, nil
}

// BenchmarkIncident is a visit of an intruder's: commands, a service, a connection,
// and the incident they make.
func BenchmarkIncident(b *testing.B) {
	src := &intruder{}
	e := engineOf(b, storeOf(b), src)
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
