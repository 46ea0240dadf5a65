package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

// TestCandidatesAreUnderstoodOnce: who made each of many services is found as for one
// alone, and costs far less than to understand every process anew for each.
func TestCandidatesAreUnderstoodOnce(t *testing.T) {
	const at = 1_800_000_000
	var list []evidence.Process
	for i := range 300 {
		list = append(list, evidence.Process{Time: at - int64(i%20), Platform: evidence.Linux, PID: int64(100 + i), Path: "/bin/sh",
			CmdLine: fmt.Sprintf(`sh -c "for f in /srv/*.txt; do cat \"$f\" | grep -c x%d | sort > /tmp/out%d; done"`, i, i), Username: "root"})
	}
	list = append(list, evidence.Process{Time: at - 1, Platform: evidence.Linux, PID: 99, Path: "/bin/cp", CmdLine: "cp /tmp/u/s7.service /tmp/u/s8.service /etc/systemd/system/", Username: "mallory"})
	install := func(i int) *evidence.Install {
		return &evidence.Install{Time: at, TimeBasis: evidence.BasisEvent, Platform: evidence.Linux, Action: evidence.Created, Kind: "systemd", Name: fmt.Sprintf("s%d.service", i), UnitPath: fmt.Sprintf("/etc/systemd/system/s%d.service", i)}
	}
	const installs = 40
	together, alone := time.Hour, time.Hour
	for range 3 {
		watch := cputime.Start()
		c := service.NewCandidates(list)
		var found []int
		for i := range installs {
			best, _ := c.Installer(install(i))
			found = append(found, best)
		}
		together = min(together, watch.Took())
		watch = cputime.Start()
		for i := range installs {
			if best, _ := service.Installer(install(i), list); best != found[i] {
				t.Errorf("service %d: %d alone, %d among others", i, best, found[i])
			}
		}
		alone = min(alone, watch.Took())
		if found[7] != 300 || found[8] != 300 {
			t.Errorf("the copy is not found: %v", found[7:9])
		}
	}
	if together > alone/3 {
		t.Errorf("%d services cost %v, each alone %v together", installs, together, alone)
	}
}
