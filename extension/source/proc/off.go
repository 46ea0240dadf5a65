//go:build !linux

package proc

import (
	"context"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func off() error {
	return &evidence.Unavailable{
		State:  evidence.StateOff,
		Detail: "the process file system is read on Linux only",
		Remedy: "use osquery's own process events on this platform",
	}
}

// Running are the processes of this host; there is no such source on this
// platform.
type Running struct{}

// NewRunning returns a source that is off.
func NewRunning(Options) *Running { return &Running{} }

// Name is the source's name in evidence.
func (*Running) Name() string { return runningName }

// Read returns an *evidence.Unavailable.
func (*Running) Read(context.Context, string, int) (evidence.Batch, error) {
	return evidence.Batch{}, off()
}

// Connector is the kernel's process connector; there is none on this platform.
type Connector struct{}

// Stats are counts since the start.
type Stats struct{ Execs, Vanished, Overflows, Dropped int64 }

// NewConnector returns a source that is off.
func NewConnector(Options) *Connector { return &Connector{} }

// Name is the source's name in evidence.
func (*Connector) Name() string { return connectorName }

// Start returns an *evidence.Unavailable.
func (*Connector) Start(context.Context) error { return off() }

// Close does nothing.
func (*Connector) Close() error { return nil }

// Stats are all zero.
func (*Connector) Stats() Stats { return Stats{} }

// Read returns an *evidence.Unavailable.
func (*Connector) Read(context.Context, string, int) (evidence.Batch, error) {
	return evidence.Batch{}, off()
}
