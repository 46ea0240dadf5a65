package watch

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
)

// usual is a host with as many units as a usual one has.
func usual(b *testing.B) *host {
	b.Helper()
	h := newHost(b, Options{FullEvery: 24 * time.Hour})
	tree := map[string]string{}
	for i := range 400 {
		tree[fmt.Sprintf("usr/sbin/d%d", i)] = "x"
		tree[fmt.Sprintf("usr/lib/systemd/system/u%d.service", i)] = fmt.Sprintf("[Unit]\nDescription=unit %d\nAfter=network.target\n[Service]\nType=notify\nEnvironmentFile=-/etc/default/u%d\n"+
			"ExecStartPre=/usr/sbin/d%d -t\nExecStart=/usr/sbin/d%d -D $OPTIONS\nExecReload=/bin/kill -HUP $MAINPID\nRestart=on-failure\nProtectSystem=full\n[Install]\nWantedBy=multi-user.target\n", i, i, i, i)
		if i%2 == 0 {
			tree[fmt.Sprintf("etc/systemd/system/multi-user.target.wants/u%d.service", i)] = fmt.Sprintf("-> /usr/lib/systemd/system/u%d.service", i)
		}
		if i%20 == 0 {
			tree[fmt.Sprintf("etc/systemd/system/u%d.service.d/override.conf", i)] = "[Service]\nLimitNOFILE=65536\n"
			tree[fmt.Sprintf("etc/init.d/i%d", i)] = "#!/bin/sh\nDAEMON=/usr/sbin/web\ncase \"$1\" in start) start-stop-daemon --start --exec $DAEMON ;; esac\n"
		}
	}
	h.plant(tree)
	for range 20 {
		h.read()
	}
	time.Sleep(200 * time.Millisecond)
	return h
}

// One unit of 400 changed.
func BenchmarkOneChanged(b *testing.B) {
	h := usual(b)
	p := h.path("etc/systemd/system/u0.service.d/override.conf")
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if err := os.WriteFile(p, fmt.Appendf(nil, "[Service]\nLimitNOFILE=%d\n", n), 0o644); err != nil {
			b.Fatal(err)
		}
		if got := len(h.read().Installs); got != 1 {
			b.Fatalf("%d rows", got)
		}
	}
}

// Everything is compared though nothing changed.
func BenchmarkCompareAll(b *testing.B) {
	h := usual(b)
	b.ReportAllocs()
	for b.Loop() {
		h.src.dirty = true
		if got := len(h.read().Installs); got != 0 {
			b.Fatalf("%d rows", got)
		}
	}
}

// Nothing changed, and the kernel says so.
func BenchmarkNothingChanged(b *testing.B) {
	h := usual(b)
	b.ReportAllocs()
	for b.Loop() {
		if got := h.read(); len(got.Installs) != 0 {
			b.Fatalf("%d rows", len(got.Installs))
		}
	}
}

// This host's own services.
func BenchmarkThisHost(b *testing.B) {
	src := New(Options{Inventory: inventory.New("/", inventory.Options{}), FullEvery: 24 * time.Hour})
	defer func() { _ = src.Close() }()
	cursor := ""
	for range 20 {
		got, err := src.Read(context.Background(), cursor, 1000)
		if err != nil {
			b.Skip("NOT TESTED:", err)
		}
		cursor = got.Cursor
	}
	b.ReportMetric(float64(len(cursor)), "cursor-bytes")
	b.ReportAllocs()
	for b.Loop() {
		src.dirty = true
		if _, err := src.Read(context.Background(), cursor, 1000); err != nil {
			b.Fatal(err)
		}
	}
}
