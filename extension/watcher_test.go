package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/osquery-rollcall/rollcall/extension/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ended waits for the end of ctx, and wants it to be for that reason.
func ended(t *testing.T, ctx context.Context, why error) {
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(30 * time.Second):
		t.Fatalf("nobody noticed: %v", why)
	}
	if !errors.Is(context.Cause(ctx), why) {
		t.Errorf("%v, want %v", context.Cause(ctx), why)
	}
}

// goesOn waits for a few looks, and wants ctx not to end.
func goesOn(t *testing.T, ctx context.Context) {
	t.Helper()
	select {
	case <-ctx.Done():
		t.Fatalf("it ended: %v", context.Cause(ctx))
	case <-time.After(3 * lookEvery / 2):
	}
}

// TestWhileTaken: who finds the state taken goes on until it is free.
func TestWhileTaken(t *testing.T) {
	dir := t.TempDir()
	first, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := whileTaken(t.Context(), dir, func() { t.Error("so soon") })
	defer end()
	goesOn(t, ctx)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	ended(t, ctx, errFree)
	next, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// TestOrphan: who has lost its osqueryd goes on until a successor waits.
func TestOrphan(t *testing.T) {
	dir := t.TempDir()
	var orphan atomic.Bool
	o := &orphanage{time: time.Hour, stay: func() bool { return !orphan.Load() }, awaited: func() bool { return store.Awaited(dir) }}
	ctx, end := o.watch(t.Context())
	defer end()
	claim, err := store.Await(dir)
	if err != nil {
		t.Fatal(err)
	}
	goesOn(t, ctx) // its osqueryd lives: that is another one's
	o.outlive(ctx, func() { t.Error("stores with its osqueryd alive") })
	if err := claim.Release(); err != nil {
		t.Fatal(err)
	}
	orphan.Store(true)
	goesOn(t, ctx)
	stored := make(chan struct{}, 16)
	outlived := make(chan struct{})
	go func() {
		defer close(outlived)
		o.outlive(ctx, func() { stored <- struct{}{} })
	}()
	<-stored // and it goes on
	if claim, err = store.Await(dir); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := claim.Release(); err != nil {
			t.Error(err)
		}
	}()
	ended(t, ctx, errSucceeded)
	<-outlived
}

// TestOrphanAlone: where no successor comes it ends all the same.
func TestOrphanAlone(t *testing.T) {
	began := time.Now().Add(-orphanTime)
	o := &orphanage{time: orphanTime, stay: func() bool { return false }, awaited: func() bool { return false }}
	o.since.Store(&began)
	o.outlive(t.Context(), func() {})
	if !o.gone() || !o.since.Load().Equal(began) {
		t.Error("the time begins again")
	}
}

// TestWatched: only an osqueryd is a watcher.
func TestWatched(t *testing.T) {
	if watched() != nil {
		t.Error("who runs this test is taken for osqueryd")
	}
}
