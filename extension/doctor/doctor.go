// Package doctor says what keeps Rollcall from seeing, as somebody would who supports
// it: each check has a state, what was found, and the exact remedy. It looks and
// changes nothing, and it starts no program.
//
// Checks are pure: they ask a [Host], which is the real one or a made-up one.
package doctor

import (
	"context"
	"io/fs"
	"slices"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// The states of a check, the worst last.
const (
	Skip = "skip" // does not apply, is optional and off, or can't be known from here
	OK   = "ok"
	Warn = "warn" // it works, but not all of it or not for long
	Fail = "fail" // something that matters is not seen
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// Host is what the checks ask. Functions that are nil answer nothing; names of files
// are whole paths, as the platform writes them.
type Host struct {
	Platform evidence.Platform
	Arch     string // as Go names it
	Now      time.Time
	// Superuser says that we are root, or SYSTEM: what is missing is missing.
	Superuser bool
	// Files is the root of the file system, or of the system's drive.
	Files fs.FS
	// Owner is the user id a file belongs to; known is false where there is none.
	Owner func(fs.FileInfo) (uid uint32, known bool)
	// Machine is the id of this installation of the operating system.
	Machine string

	// FlagFile is a flag file of osquery that the user named; empty for the usual ones.
	FlagFile string
	// ConfigFile is Rollcall's configuration; ConfigNamed says that the user named it.
	ConfigFile  string
	ConfigNamed bool
	StateDir    string

	// Package is the package that a file belongs to, with its version.
	Package func(path string) (name, version string, ok bool)
	// Audit asks the kernel for the state of its audit; the error may be ErrDenied or
	// ErrNone.
	Audit func() (Audit, error)
	// Synced reports whether the clock is kept right by another; known is false where
	// nobody can say.
	Synced func() (synced, known bool)
	// Disk is the room on the file system of a path, in bytes.
	Disk func(path string) (free, total uint64, err error)
	// Config loads the configuration as Rollcall does.
	Config func(path string, mustExist bool) (config.Config, error)
	// Rules loads a directory of rules: how many are in force, and which are refused.
	Rules func(dir string) (loaded int, refused []string, err error)
	// Indicators and Scan load such a file: how many it has, and what is wrong with it.
	Indicators func(path string) (n int, problems []string, err error)
	Scan       func(path string) (n int, problems []string, err error)
	// State reads a state directory that another process may be writing to.
	State func(ctx context.Context, dir string) (State, error)
}

// Audit is the state of Linux' audit system.
type Audit struct {
	Enabled int // 0 off, 1 on, 2 on and locked until the next start
	PID     int // the process that gets its records; 0 for none
	Backlog int
	Limit   int // of the backlog
	Lost    int // records, since the system was started
}

// State is what a state directory tells.
type State struct {
	Machine string // the one it is bound to
	Newest  int64  // time of the newest event, 0 for none
	Health  []store.Health
}

// Diagnose runs all checks, in the order in which one looks.
func Diagnose(ctx context.Context, h Host) []Check {
	p := &patient{Host: h}
	p.findOsquery()
	p.readFlags()
	p.readState(ctx)
	for _, check := range []func(){
		p.privileges, p.osquery, p.running,
		p.extensionFile, p.extensionDirectory, p.autoload, p.require, p.socket, p.loaded,
		p.events, p.processFlags, p.optionalFlags, p.keeping, p.auditOwner,
		p.configuration, p.rules, p.indicators, p.scans, p.central,
		p.stateDirectory, p.database, p.collector, p.processEvidence, p.sources,
		p.schedule, p.clock, p.disk,
	} {
		check()
	}
	return p.checks
}

// Worst is the worst state of checks: Fail, Warn or OK.
func Worst(checks []Check) string {
	order := []string{Skip, OK, Warn, Fail}
	worst := 1
	for _, c := range checks {
		worst = max(worst, slices.Index(order, c.State))
	}
	return order[worst]
}

// patient is a host with what was found on it, for the checks.
type patient struct {
	Host
	checks []Check

	osqueries []osquery
	processes []process
	flags     flags

	state      State
	stateErr   error
	stateAsked bool
}

func (p *patient) say(name, state, detail, remedy string) {
	if state == OK {
		remedy = ""
	}
	p.checks = append(p.checks, Check{name, state, detail, remedy})
}

// sudo is a command as root runs it here.
func (p *patient) sudo(command string) string {
	if p.Platform == evidence.Windows {
		return command
	}
	return "sudo " + command
}
