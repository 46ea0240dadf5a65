package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/store"
)

// TestWhileTaken: who finds the state taken goes on until it is free.
func TestWhileTaken(t *testing.T) {
	dir := t.TempDir()
	first, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := whileTaken(t.Context(), dir)
	defer end()
	select {
	case <-ctx.Done():
		t.Fatalf("it is taken, and %v", context.Cause(ctx))
	case <-time.After(1200 * time.Millisecond): // it looked
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("it is free, and nobody noticed")
	}
	if !errors.Is(context.Cause(ctx), errFree) {
		t.Error(context.Cause(ctx))
	}
	next, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// TestWatched: only an osqueryd is a watcher.
func TestWatched(t *testing.T) {
	if watched() != nil {
		t.Error("who runs this test is taken for osqueryd")
	}
}
