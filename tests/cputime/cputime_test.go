package cputime

import (
	"runtime"
	"testing"
	"time"
)

// TestWaitingIsFree: what others cost, and waiting, is not counted on Linux; work is.
func TestWaitingIsFree(t *testing.T) {
	watch := Start()
	time.Sleep(300 * time.Millisecond)
	if took := watch.Took(); runtime.GOOS == "linux" && took > 250*time.Millisecond {
		t.Errorf("sleeping cost %v", took)
	}
	watch = Start()
	n := 0
	for begun := spent(); spent()-begun < 10*time.Millisecond; n++ {
	}
	if took := watch.Took(); took < 10*time.Millisecond {
		t.Errorf("%d rounds cost %v", n, took)
	}
}
