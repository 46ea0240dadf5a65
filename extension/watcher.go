package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/store"
)

// Where osqueryd is killed and started again, its extension is left behind for some
// seconds, and the one that the new osqueryd starts is its successor. Both listen to what
// the kernel tells, so that nothing is lost between them; the state is written to by the
// old one until the new one waits for it.

var (
	// errFree says that the state, which could only be read, is free.
	errFree = errors.New("the Rollcall that wrote to the state has ended")
	// errSucceeded says that a successor waits for the end.
	errSucceeded = errors.New("osqueryd has gone away, and the next one's Rollcall goes on")
)

const (
	// lookEvery is how often is looked whether osqueryd has ended, or who writes; soonEvery
	// is how often when that is likely to be so, or a successor to wait.
	lookEvery = time.Second
	soonEvery = 100 * time.Millisecond
	// orphanTime is how long an extension goes on without its osqueryd, to be heard by
	// its successor: with what follows it is less than the 10 s it may take.
	orphanTime = 7 * time.Second
	// storeEvery is how often is stored meanwhile what is heard.
	storeEvery = time.Second
	// listenFor is how long one who may not write listens beside who does: for longer than
	// any predecessor goes on. Who then still writes is another osqueryd's, and stays.
	listenFor = 15 * time.Second
)

// whileTaken returns a context that ends with errFree when nobody writes to the state
// directory any more. stays is called when who does stays for long.
func whileTaken(ctx context.Context, dir string, stays func()) (context.Context, context.CancelFunc) {
	return beside(ctx, func(ctx context.Context, cancel context.CancelCauseFunc) {
		tick := time.NewTicker(soonEvery)
		defer tick.Stop()
		long := time.NewTimer(listenFor)
		defer long.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-long.C:
				tick.Reset(lookEvery)
				stays()
			case <-tick.C:
				if store.Free(dir) {
					cancel(errFree)
					return
				}
			}
		}
	})
}

// beside runs look, which ends with the context that it is given and that is returned, and
// may end that. The function that is returned ends it and waits for look.
func beside(ctx context.Context, look func(context.Context, context.CancelCauseFunc)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		look(ctx, cancel)
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}

// orphanage is where an extension is whose osqueryd has gone.
type orphanage struct {
	stay, awaited func() bool
	time          time.Duration             // how long it goes on
	since         atomic.Pointer[time.Time] // nil while osqueryd lives
}

// gone reports whether osqueryd has gone.
func (o *orphanage) gone() bool {
	if o.since.Load() != nil {
		return true
	}
	if o.stay() {
		return false
	}
	now := time.Now()
	o.since.CompareAndSwap(nil, &now)
	return true
}

// watch returns a context that ends with errSucceeded when osqueryd has gone and a
// successor waits.
func (o *orphanage) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	return beside(ctx, func(ctx context.Context, cancel context.CancelCauseFunc) {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if !o.gone() {
				continue
			}
			if o.awaited() {
				cancel(errSucceeded)
				return
			}
			tick.Reset(soonEvery)
		}
	})
}

// outlive returns when a successor waits, when the time without osqueryd is over, or at
// once where it has not gone. store is called every now and then.
func (o *orphanage) outlive(ctx context.Context, store func()) {
	if !o.gone() {
		return
	}
	left := time.NewTimer(o.time - time.Since(*o.since.Load()))
	defer left.Stop()
	tick := time.NewTicker(storeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-left.C:
			return
		case <-tick.C:
			store()
		}
	}
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
