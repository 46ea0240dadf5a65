//go:build !linux

package kaudit

import (
	"context"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func off() error {
	return &evidence.Unavailable{State: evidence.StateOff, Detail: "the kernel's audit is that of Linux", Remedy: "use osquery's own process events on this platform"}
}

// Check returns an *evidence.Unavailable.
func Check() error { return off() }

// Source is the kernel's audit; there is none on this platform.
type Source struct{}

// New returns a source that is off.
func New(Options) *Source { return &Source{} }

// Name is the source's name in evidence.
func (*Source) Name() string { return name }

// Start returns an *evidence.Unavailable.
func (*Source) Start(context.Context) error { return off() }

// Close does nothing.
func (*Source) Close() error { return nil }

// HandOver does nothing.
func (*Source) HandOver(context.Context) error { return nil }

// Stats are all zero.
func (*Source) Stats() Stats { return Stats{} }

// Read returns an *evidence.Unavailable.
func (*Source) Read(context.Context, string, int) (evidence.Batch, error) {
	return evidence.Batch{}, off()
}
