// Package attribution answers an analyst's first question: whose legitimate
// operation is this, if anyone's? It is a pure function of facts, for commands,
// installs of services and connections alike.
//
// A name alone never attributes: where a program decides, it must lie in a place
// only root or SYSTEM writes.
package attribution

import (
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Kind is whose operation it is.
type Kind string

// The kinds of attribution.
const (
	None        Kind = "none"
	Expected    Kind = "expected"
	Maintenance Kind = "maintenance"
	Management  Kind = "management"
	Scanner     Kind = "scanner"
	Package     Kind = "package"
	System      Kind = "system"
	KnownUser   Kind = "known_user"
	Case        Kind = "case"
)

// Result is an attribution with its basis.
type Result struct {
	Kind Kind
	// Subject is who or what ("apt", "gatherNetworkInfo"), or the id, name or
	// reference of the configured entry that applies.
	Subject string
	Basis   string // the evidence in words
	// Strength in 0..1 scales how much the score is lowered.
	Strength float64
}

// Weak reports whether the attribution accounts only for what is low.
func (r Result) Weak() bool { return r.Attributed() && r.Strength <= Weak }

// Attributed reports whether the operation is somebody's.
func (r Result) Attributed() bool { return r.Kind != "" && r.Kind != None }

// Facts is what an attribution is made from. Exactly one of Process, Install and
// Connection is set; an unknown fact is the zero value.
type Facts struct {
	Process    *evidence.Process
	Install    *evidence.Install
	Connection *evidence.Connection
	// Ancestry are the ancestors of a connection's process, nearest first. Processes
	// and installs carry their own.
	Ancestry []evidence.Ancestor
	// ContainerID is the container that an installer or a connecting process runs in;
	// processes carry their own.
	ContainerID string

	Canonical []string // the commands that matched a rule
	// Concealed says that the command was obfuscated, encoded or run by a renamed
	// image: then nothing attributes it.
	Concealed bool
	// Lineage is the suspicious ancestor's category, empty for none.
	Lineage string
	// YoungService names the ancestor that is a service younger than 24 h and itself
	// nobody's: then nothing attributes what it does.
	YoungService string
	// Under is the attribution of an ancestor that is a service younger than 24 h and
	// somebody's. What a scanner's or a responder's own service does is theirs too.
	Under Result

	// RemoteTarget is the other host that a command asks, empty for none.
	RemoteTarget string
	// RemoteShell says that it asks through a login of its own there (ssh), which that
	// host sees too.
	RemoteShell bool
	// Odd is what an install shows that no package's service does (a program that is
	// hidden, fetched or lies where every user writes), empty for nothing.
	Odd string

	Session Session
	// Visits are the logons to this host over the network shortly before an install
	// that names nobody.
	Visits []Visit
	// ProgramPackaged and RootOnly are about the program that Ask names: whether a
	// package owns it, and whether it lies where only root or SYSTEM writes.
	ProgramPackaged evidence.Tristate
	RootOnly        evidence.Tristate
	// ScriptPackaged and ScriptRootOnly are the same about the script that Ask names.
	ScriptPackaged evidence.Tristate
	ScriptRootOnly evidence.Tristate
	// Signer is who signed an install's program, where the signature is valid.
	Signer string
	// Template is the per-user service that an install is an instance of, as
	// extension/service recognises it.
	Template string
	// Started is when the host started last, seconds since 1970 UTC; 0 is unknown.
	Started int64
	// FirstBoot says that the host runs for the first time with this machine id.
	FirstBoot bool

	History History
	Now     time.Time
}

// Session is what is known of the login session it happened in.
type Session struct {
	// RemoteAddr is the address the session came from, empty for a local one.
	RemoteAddr string
	// LoginSource is where it came from as the source of the evidence has it: an
	// address, a terminal.
	LoginSource string
	// KnownSource says whether this user came from there on earlier days.
	KnownSource evidence.Tristate
}

// Visit is a logon over the network: who, and from which address.
type Visit struct{ User, From string }

// History is what is known of the user's earlier days, today left out. For an
// install it is about whoever installed.
type History struct {
	// Days are the days on which the user used this family of commands (for a
	// connection: made such connections), SameHours those of them in the same four
	// hours of the day and on the same kind of day (weekday, weekend).
	Days      int
	SameHours int
	// UserDays are the days on which the user was seen working interactively.
	UserDays int
	// InstallDays are the days on which the user installed services.
	InstallDays int
	// Administrator says whether the user is one of this host's administrators: in
	// such a group, or seen on earlier days to become root as sudo, su or the system
	// allows. Elevated says that the user did so today.
	Administrator evidence.Tristate
	Elevated      bool
	// Routine are the days on which a service or job of the host did the same before,
	// by the name that Routine gives it.
	Routine int
	// Short says that the host was not watched long enough to call something new.
	Short bool
	// LastSeen is when this family was last used, seconds since 1970 UTC.
	LastSeen int64
	// Interactive says that a person works there: a login user with a terminal, a
	// desktop session or an interactive logon.
	Interactive bool
	// Remote says that a person's account runs it from elsewhere without a session
	// (PowerShell remoting, WMI): only habit accounts for that.
	Remote bool
}

// Ancestor puts a [Facts.Lineage] in words.
func Ancestor(lineage string) string {
	if lineage == "office" {
		return "an office ancestor"
	}
	return "a " + lineage + " ancestor"
}

// Attribute returns whose operation the facts describe. Of several answers the
// most specific one counts: what was configured for exactly this, then what the
// host itself shows, then windows of time, then habit. The basis of None says what
// came near.
func Attribute(f Facts, c Config) Result {
	a, ok := newActor(&f)
	switch {
	case !ok:
		return Result{Kind: None, Basis: "nothing is known of who did it"}
	case f.Lineage != "":
		return Result{Kind: None, Basis: "never attributed under " + Ancestor(f.Lineage)}
	case f.Concealed:
		return Result{Kind: None, Basis: "never attributed when hidden, encoded or renamed"}
	case f.YoungService != "":
		return Result{Kind: None, Basis: "never attributed under " + clip(f.YoungService) + ", a service younger than 24 hours that is nobody's"}
	}
	notes := []string{"nothing accounts for it"}
	order := [...]func(*Facts, *actor, *Config) Result{expected, responder, scanner, system, packaged, management, serviceOfHost, maintenance, knownUser}
	if a.what == "install" {
		order[3], order[4] = packaged, system // whose package it is says more than which helper turned it on
	}
	for _, kind := range order {
		r := kind(&f, a, &c)
		if r.Attributed() {
			return r
		}
		if r.Basis != "" && len(notes) < 4 {
			notes = append(notes, r.Basis)
		}
	}
	return Result{Kind: None, Basis: strings.Join(notes, "; ")}
}

// near is no attribution, with what is missing in words.
func near(basis string) Result { return Result{Kind: None, Basis: basis} }

// clip bounds a text from evidence in what a person reads.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

func nonEmpty(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
