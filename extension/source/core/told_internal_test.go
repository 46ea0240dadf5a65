package core

import (
	"testing"
	"time"
)

// TestToldOf: a read has room for what comes at the rate of those before it, also when one
// between was asked for out of turn, and for what was left as for what was left before.
func TestToldOf(t *testing.T) {
	var x told
	at := 5 * time.Second
	for i, s := range []struct {
		after     time.Duration
		goesOn    bool
		processes int
		least     int
		most      int
	}{
		{0, false, 3_000, 0, 0}, // an hour's, perhaps
		{10 * time.Second, false, 10_000, 0, 0},
		{0, true, 120, 0, 0},
		{10 * time.Second, false, 10_000, 10_000, 11_250},
		{0, true, 90, 120, 135},
		{time.Second, false, 200, 200, 1_125},
		{9 * time.Second, false, 9_000, 9_000, 10_200},
		{10 * time.Second, false, 9_900, 9_900, 11_250},
		{0, true, 0, 90, 102},
		{10 * time.Second, false, 10, 9_900, 11_250}, // quiet since
		{600 * time.Second, false, 10, 0, 1 << 20},
	} {
		at += s.after
		if got := x.expect(s.goesOn, at); got < s.least || got > s.most {
			t.Errorf("step %d: room for %d, want %d to %d", i, got, s.least, s.most)
		}
		x.note(s.processes, s.goesOn, at)
	}
	for range 100 {
		at += 10 * time.Second
		x.note(10, false, at)
	}
	if got := x.expect(false, at+10*time.Second); got < 10 || got > 100 {
		t.Errorf("room for %d after a long quiet", got)
	}
}
