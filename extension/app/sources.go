package app

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service/watch"
	"github.com/osquery-rollcall/rollcall/extension/source/kaudit"
	"github.com/osquery-rollcall/rollcall/extension/source/logtail"
	"github.com/osquery-rollcall/rollcall/extension/source/proc"
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
		p.usable.Store(off.State == evidence.StateDegraded) // it is read, though not all of it
	}
	p.once.Do(func() { close(p.asked) })
	return b, err
}

// Volatile implements engine.Volatile.
func (p *Preferred) Volatile() bool {
	v, ok := p.Source.(engine.Volatile)
	return ok && v.Volatile()
}

// Fallback runs a source only while none of the preferred ones can be read. It is
// started with the first read that needs it and lives until Close.
type Fallback struct {
	source    starter
	preferred []*Preferred
	life      context.Context

	mu      sync.Mutex
	running bool
}

// NewFallback returns a Fallback whose source lives at most as long as life. With
// nothing preferred the source always runs.
func NewFallback(life context.Context, source starter, preferred ...*Preferred) *Fallback {
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
	for _, p := range f.preferred {
		// Sources are read side by side: what is missing is known in a moment, and
		// every moment without either is a gap.
		select {
		case <-p.asked:
		case <-ctx.Done():
			return evidence.Batch{}, ctx.Err()
		}
		if p.usable.Load() {
			f.stop()
			return evidence.Batch{}, &evidence.Unavailable{State: evidence.StateOff, Detail: "not needed: " + p.Name() + " is read"}
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

// Volatile implements engine.Volatile: what the kernel told is nowhere else.
func (f *Fallback) Volatile() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
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
	o := logtail.Options{Host: r.Host, Audited: kaudit.Check, Logger: log.Named("logs")}
	logs := []*logtail.Source{logtail.NewAudit(o), logtail.NewSyslog(o), logtail.NewPackages(o)}
	sources, closers = append(sources, services), append(closers, services)
	for _, l := range logs {
		sources, closers = append(sources, l), append(closers, l)
	}
	return sources, closers
}

// Audit is what the kernel audits, heard from its making until Close.
type Audit struct {
	*Fallback
	kernel *kaudit.Source
}

// NewAudit hears the kernel's audit, at most as long as life. filling is called when it is
// time to read; it may be nil.
func NewAudit(life context.Context, log hclog.Logger, filling func()) *Audit {
	kernel := kaudit.New(kaudit.Options{Filling: filling, Logger: log.Named("kaudit")})
	a := &Audit{NewFallback(life, kernel), kernel}
	if err := a.Start(); err != nil { // its Read says so, and tries again
		log.Debug("the kernel's audit is not listened to", "error", err)
	}
	return a
}

// HandOver leaves what comes from now on to a successor that listens already; what came
// before can still be read.
func (a *Audit) HandOver(ctx context.Context) error { return a.kernel.HandOver(ctx) }

// Executions are the sources of what starts on a Linux host without osquery's help, in
// the order of reading: the kernel's audit, and its process connector, which runs only
// while neither that nor one of better can be read. What has to be closed is closed by
// its owner.
//
// The kernel's audit is read beside process_events, which are made of the same records:
// it tells of a program at its moment, with the words of its command line as they were,
// also while osquery is away or has not stored yet what it heard; and osquery has what
// came while nobody of ours listened.
func Executions(life context.Context, log hclog.Logger, audit *Audit, better ...*Preferred) (sources []engine.Source, closers []io.Closer) {
	if runtime.GOOS != "linux" {
		return nil, nil
	}
	kernel := NewPreferred(audit)
	connector := NewFallback(life, proc.NewConnector(proc.Options{Logger: log.Named("proc")}), append(better, kernel)...)
	return []engine.Source{kernel, connector}, []io.Closer{connector}
}

// onDemand asks for logons around an incident: to read them all would be too much.
type onDemand struct {
	ask  func(ctx context.Context, from, to int64) (evidence.Batch, error)
	mu   sync.Mutex
	want [][2]int64
}

// maxWanted bounds the spans that wait, maxAsked those asked for in one read.
const (
	maxWanted = 16
	maxAsked  = 2
)

// NewLogonsOnDemand returns a source of logons and the function that asks it for a
// span of time, in seconds since 1970 UTC.
func NewLogonsOnDemand(ask func(ctx context.Context, from, to int64) (evidence.Batch, error)) (engine.Source, func(from, to int64)) {
	o := &onDemand{ask: ask}
	return o, o.wanted
}

func (o *onDemand) wanted(from, to int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.want {
		if o.want[i][0] <= from && from <= o.want[i][1] { // one span that grows
			o.want[i][1] = max(o.want[i][1], to)
			return
		}
	}
	if len(o.want) < maxWanted {
		o.want = append(o.want, [2]int64{from, to})
	}
}

// Name implements engine.Source.
func (o *onDemand) Name() string { return "logons_on_demand" }

// Read implements engine.Source.
func (o *onDemand) Read(ctx context.Context, _ string, _ int) (all evidence.Batch, err error) {
	o.mu.Lock()
	spans := o.want[:min(len(o.want), maxAsked)]
	o.want = o.want[len(spans):]
	o.mu.Unlock()
	for i, s := range spans {
		b, err := o.ask(ctx, s[0], s[1])
		if err != nil {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.want = append(slices.Clone(spans[i:]), o.want[:min(len(o.want), maxWanted-len(spans[i:]))]...) // osquery may be busy
			return all, err
		}
		all.Logons = append(all.Logons, b.Logons...)
		all.Read += b.Read
	}
	return all, nil
}
