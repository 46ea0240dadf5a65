package core

import (
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// needs are what a source needs of an osquery to be read, and what to say where it
// is missing.
type needs struct {
	table string
	// elsewhere is the remedy where osquery has no such table.
	elsewhere string
	// subscriber must run, with its publisher; empty for tables without events.
	subscriber string
	// publisher is what people call its publisher, what what the flags turn on.
	publisher, what string
	flags           []flag
	// remedy is how to start osqueryd, alive what its publisher needs beside that.
	remedy, alive string
	// audit says that the source lives on the kernel's audit of Linux.
	audit bool
	// log must have records. silent is what it means when it has none, enable what
	// to do then.
	log            Log
	silent, enable string
}

// flag is a flag of osquery that must have a value.
type flag struct {
	name string
	set  bool
}

// check says what of the needs is missing, nil when nothing is.
func (n *needs) check(caps *Capabilities) *evidence.Unavailable {
	if !caps.Tables[n.table] {
		return n.absent()
	}
	var wrong []string
	for _, want := range n.flags {
		if set, known := caps.Flag(want.name); known && set != want.set {
			wrong = append(wrong, fmt.Sprintf("%s=%t", want.name, set))
		}
	}
	if len(wrong) > 0 {
		return &evidence.Unavailable{State: evidence.StateOff,
			Detail: fmt.Sprintf("osquery's %s is off: %s", n.what, strings.Join(wrong, ", ")), Remedy: n.remedy}
	}
	if n.subscriber != "" && !caps.EventsActive(n.subscriber) {
		return &evidence.Unavailable{State: evidence.StateFailed,
			Detail: fmt.Sprintf("osquery's %s publisher is not active", n.publisher), Remedy: n.remedy + "; " + n.alive}
	}
	if n.audit {
		if u := n.audited(caps); u != nil {
			return u
		}
	}
	if n.log.Channel != "" && !caps.Logs[n.log] {
		return &evidence.Unavailable{State: evidence.StateOff, Detail: n.silent, Remedy: n.enable}
	}
	return nil
}

func (n *needs) absent() *evidence.Unavailable {
	return &evidence.Unavailable{State: evidence.StateOff, Detail: "this osquery has no " + n.table + " table", Remedy: n.elsewhere}
}

// audited finds out why a publisher that runs gets nothing from the kernel.
func (n *needs) audited(caps *Capabilities) *evidence.Unavailable {
	publisher := caps.Publishers[caps.Subscribers[n.subscriber].Publisher]
	if allowed, known := caps.Flag("audit_allow_config"); known && !allowed && publisher.Events == 0 {
		return &evidence.Unavailable{State: evidence.StateOff,
			Detail: "osquery may not configure auditing (audit_allow_config=false) and no event has arrived", Remedy: n.remedy}
	}
	if caps.AuditHolder != "" {
		return &evidence.Unavailable{State: evidence.StateFailed,
			Detail: "the kernel's audit is held by " + caps.AuditHolder + " and osquery gets no events",
			Remedy: "stop that program (systemctl disable --now auditd) and start osqueryd again with --audit_persist=true, or keep it and let Rollcall read its log"}
	}
	return nil
}
