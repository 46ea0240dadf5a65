package cputime

import (
	"runtime"
	"testing"
	"time"
)

// TestWaitingIsFree: what others cost, and waiting, is not counted on Linux and Windows; work is.
func TestWaitingIsFree(t *testing.T) {
	for name, start := range map[string]func() Watch{"one": Start, "all": StartAll} {
		watch := start()
		time.Sleep(300 * time.Millisecond)
		if took := watch.Took(); runtime.GOOS != "darwin" && took > 250*time.Millisecond {
			t.Errorf("%s: sleeping cost %v", name, took)
		}
		watch = start()
		n := 0
		for begun := spentByAll(); spentByAll()-begun < 10*time.Millisecond; n++ {
		}
		if took := watch.Took(); took < 5*time.Millisecond {
			t.Errorf("%s: %d rounds cost %v", name, n, took)
		}
	}
}
