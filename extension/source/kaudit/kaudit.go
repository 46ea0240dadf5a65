// Package kaudit is the kernel's own audit, as everybody may hear it who is
// allowed to: the records that it sends to the audit daemon go to a multicast
// group as well. Listening disturbs neither auditd nor osquery, who can be the one
// that the kernel hands its records to; and it works where neither is.
//
// It only listens, also while nothing is audited yet. What is audited decide the rules
// that somebody else has loaded; where there are none that log every program that
// starts, the source says so, and the rule that would. What else is audited (logons,
// accounts, the rules themselves) is told all the same.
//
// The kernel keeps nothing for who was away, so what it logged while nobody
// listened is a gap; so are records that came faster than they could be read, which
// are counted by the events' serial numbers.
//
// The journal's records are the same ones: journald listens to this group, too.
package kaudit

import (
	"github.com/hashicorp/go-hclog"
)

// name is the source's name in evidence.
const name = "kaudit"

// Options are how the kernel is listened to. The zero value is usable.
type Options struct {
	// Ring is how many rows wait to be read at most; 0 means 8192.
	Ring int
	// Filling is called when half of them wait. It may be nil.
	Filling func()
	// Logger may be nil.
	Logger hclog.Logger
}

// Stats are counts since the first start.
type Stats struct {
	// Records are the messages that came.
	Records int64
	// Lost are the events that the kernel numbered and that never came.
	Lost int64
	// Overflows are the times that the kernel had to discard records.
	Overflows int64
	// Dropped are the rows that nobody read in time.
	Dropped int64
}
