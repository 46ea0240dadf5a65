package app

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service/watch"
	"github.com/osquery-rollcall/rollcall/extension/source/logtail"
)

// starter is a source that has to be started: the kernel's process connector.
type starter interface {
	engine.Source
	Start(ctx context.Context) error
	Close() error
}

// Preferred reads a source and remembers whether it could be read.
type Preferred struct {
	engine.Source
	usable atomic.Bool
	once   sync.Once
	asked  chan struct{} // closed when the source was read for the first time
}

// NewPreferred returns a Preferred of source.
func NewPreferred(source engine.Source) *Preferred {
	return &Preferred{Source: source, asked: make(chan struct{})}
}

// Read implements engine.Source.
func (p *Preferred) Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error) {
	b, err := p.Source.Read(ctx, cursor, limit)
	var off *evidence.Unavailable
	// A slow core is not a missing table: only what says so is missing.
	if err == nil {
		p.usable.Store(true)
	} else if errors.As(err, &off) {
		p.usable.Store(false)
	}
	p.once.Do(func() { close(p.asked) })
	return b, err
}

// Fallback runs a source only while the preferred one cannot be read. It is
// started with the first read that needs it and lives until Close.
type Fallback struct {
	source    starter
	preferred *Preferred
	life      context.Context

	mu      sync.Mutex
	running bool
}

// NewFallback returns a Fallback whose source lives at most as long as life. With
// preferred nil the source always runs.
func NewFallback(life context.Context, source starter, preferred *Preferred) *Fallback {
	return &Fallback{source: source, preferred: preferred, life: life}
}

// Name implements engine.Source.
func (f *Fallback) Name() string { return f.source.Name() }

// Start starts the source at once, when it is needed whatever happens.
func (f *Fallback) Start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running {
		return nil
	}
	if err := f.source.Start(f.life); err != nil {
		return err
	}
	f.running = true
	return nil
}

// Read implements engine.Source.
func (f *Fallback) Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error) {
	if f.preferred != nil {
		// Sources are read side by side: what is missing is known in a moment, and
		// every moment without either is a gap.
		select {
		case <-f.preferred.asked:
		case <-ctx.Done():
			return evidence.Batch{}, ctx.Err()
		}
		if f.preferred.usable.Load() {
			f.stop()
			return evidence.Batch{}, &evidence.Unavailable{State: evidence.StateOff, Detail: "not needed: " + f.preferred.Name() + " is read"}
		}
	}
	if err := f.Start(); err != nil {
		return evidence.Batch{}, err
	}
	return f.source.Read(ctx, cursor, limit)
}

func (f *Fallback) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running {
		_ = f.source.Close() // its errors are about a socket nobody needs
		f.running = false
	}
}

// Close stops the source.
func (f *Fallback) Close() error {
	f.stop()
	return nil
}

// Live are the sources of this host that need no osquery, on Linux: what changes
// among its services, and its logs. They are read once at a time and closed by their
// owner.
func Live(r Rooms, log hclog.Logger) (sources []engine.Source, closers []io.Closer) {
	if runtime.GOOS != "linux" || r.Inventory == nil {
		return nil, nil
	}
	services := watch.New(watch.Options{Inventory: r.Inventory, Weights: r.Weights, Logger: log.Named("services")})
	o := logtail.Options{Host: r.Host, Logger: log.Named("logs")}
	logs := []*logtail.Source{logtail.NewAudit(o), logtail.NewSyslog(o), logtail.NewPackages(o)}
	sources, closers = append(sources, services), append(closers, services)
	for _, l := range logs {
		sources, closers = append(sources, l), append(closers, l)
	}
	return sources, closers
}
