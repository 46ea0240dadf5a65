package live

import (
	"syscall"
	"testing"
	"time"
)

// cpu is how much processor time this process has taken.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A scan of this host after the first is cheap, and costs nothing when nothing
// changed.
func TestCost(t *testing.T) {
	needHost(t)
	if testing.Short() {
		t.Skip("NOT TESTED: time limits say nothing under -short, which is for the race detector")
	}
	w := newWatcher(t)
	w.settle()
	p := newPlanter(t)
	least := time.Hour
	for i := range 5 {
		p.file(dir+mark+"-cost"+string(rune('a'+i))+".service", unit("ExecStart=/usr/bin/sleep infinity"), 0o644)
		before := cpu(t)
		rows := w.read()
		least = min(least, cpu(t)-before)
		if len(rows) != 1 {
			t.Fatalf("%d rows", len(rows))
		}
		w.settle()
	}
	before := cpu(t)
	const quiet = 1000
	for range quiet {
		if rows := w.read(); len(rows) != 0 {
			t.Fatalf("%+v", rows)
		}
	}
	idle := (cpu(t) - before) / quiet
	t.Logf("one change of a unit: %v of processor time; nothing changed: %v", least, idle)
	if least > 50*time.Millisecond || idle > 200*time.Microsecond {
		t.Error("more than is allowed: 50 ms, and nothing")
	}
}
