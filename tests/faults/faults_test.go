//go:build linux

package faults

import "testing"

// TestFaults is the list. Its table is what was tried and what was lost.
func TestFaults(t *testing.T) {
	var all []fault
	for _, list := range [][]fault{lifecycleFaults(), coreFaults(), trust(), stateFaults(), input(), inside()} {
		all = append(all, list...)
	}
	if len(all) < 40 {
		t.Errorf("%d faults", len(all))
	}
	runAll(t, all)
}
