package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// reader reads one source, once at a time.
type reader struct {
	source Source
	// pending is the read that was not waited for to its end, nil for none.
	pending chan reading
	// begun is when it was read last.
	begun time.Time
	// more says that it had more than it was read of.
	more bool
}

// reading is what one source brought in a cycle.
type reading struct {
	source Source
	reader *reader
	batch  evidence.Batch
	err    error
}

// read asks every source at once, so that a slow one delays no other's time.
func (e *Engine) read(ctx context.Context, readers []*reader) []reading {
	out := make([]reading, len(readers))
	var wg sync.WaitGroup
	for i, r := range readers {
		wg.Go(func() {
			out[i] = e.readOne(ctx, r)
			out[i].reader = r
		})
	}
	wg.Wait()
	return out
}

// readOne reads a source, or looks whether an earlier read of it has ended.
func (e *Engine) readOne(ctx context.Context, r *reader) reading {
	name, limit := r.source.Name(), e.opts.ReadTimeout
	// One that minds its context ends at the limit: leave it a moment for that.
	wait := limit + limit/4
	if r.pending == nil {
		pending, cursor, most := make(chan reading, 1), e.cursors[name], e.limit(r.source)
		r.pending = pending
		go func() { // ends when the source does; the cursor stays until its result is taken
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			pending <- call(ctx, r.source, cursor, most)
		}()
	} else {
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case got := <-r.pending:
		r.pending = nil
		return got
	default:
	}
	select {
	case got := <-r.pending:
		r.pending = nil
		return got
	case <-ctx.Done():
		return reading{source: r.source, err: ctx.Err()}
	case <-timer.C:
		return reading{source: r.source, err: fmt.Errorf("source %s does not answer within %v", name, limit)}
	}
}

// patientLimit is how many records a patient source may bring in a read where there is a
// brake: what changed is dearer to judge than what started, and the brake looks between
// two reads.
const patientLimit = 500

// limit is how many records a read of a source may bring.
func (e *Engine) limit(s Source) int {
	n := e.opts.Brake.Limit(ReadLimit)
	if p, ok := s.(Patient); ok && p.Patient() && e.opts.Brake != nil {
		n = min(n, patientLimit)
	}
	return n
}

// call reads a source; one that panics is a failed source, not a dead extension.
func call(ctx context.Context, s Source, cursor string, most int) (r reading) {
	r.source = s
	defer func() {
		if v := recover(); v != nil {
			r.batch, r.err = evidence.Batch{}, fmt.Errorf("source %s panicked: %v", s.Name(), v)
		}
	}()
	r.batch, r.err = s.Read(ctx, cursor, most)
	return r
}
