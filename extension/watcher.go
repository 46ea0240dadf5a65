package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/store"
)

// errFree ends an extension that could only read the state, so that its watcher starts
// it again.
var errFree = errors.New("the Rollcall that wrote to the state has ended: start again to take its place")

// whileTaken returns a context that ends with errFree when nobody writes to a state
// directory any more: what a killed osqueryd left behind goes on for some seconds.
func whileTaken(ctx context.Context, dir string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { // ends with ctx
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if store.Free(dir) {
					cancel(errFree)
				}
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// watcherName is osqueryd's as the kernel shows it.
const watcherName = "osqueryd"

// watched returns a function that reports whether the osqueryd that started us lives;
// nil where something else did, and where that can't be known. With its watchdog on,
// which is the default, osqueryd is two processes: the watcher, who starts us, and the
// worker, whom we serve and who may be killed at any time. The watcher starts another
// worker then, and leaves us alone.
func watched() func() bool {
	parent := os.Getppid()
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if err != nil || strings.TrimSpace(string(name)) != watcherName {
		return nil
	}
	// Who loses its parent gets another one.
	return func() bool { return os.Getppid() == parent }
}
