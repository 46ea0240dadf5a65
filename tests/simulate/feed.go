package simulate

import (
	"context"
	"strconv"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Feed is a source of evidence for an engine: it hands out, once, what it was given.
type Feed struct {
	Batch evidence.Batch
	n     int
}

// Name is the source's name in evidence.
func (f *Feed) Name() string { return "simulated" }

// Read returns the batch and leaves none.
func (f *Feed) Read(context.Context, string, int) (evidence.Batch, error) {
	b := f.Batch
	f.Batch = evidence.Batch{}
	f.n++
	b.Cursor = strconv.Itoa(f.n)
	return b, nil
}

// Empty reports whether there is nothing to hand out.
func (f *Feed) Empty() bool {
	b := &f.Batch
	return len(b.Processes)+len(b.Installs)+len(b.Logons)+len(b.Connections)+len(b.Changes) == 0
}
