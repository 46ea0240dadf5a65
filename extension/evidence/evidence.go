// Package evidence holds the types every room of Rollcall speaks: what was
// seen on a host, by which source, and when. It carries no logic beyond naming
// and no knowledge of how a fact was obtained.
//
// An unknown fact is the zero value (an empty string, 0, Unknown) and never a
// made-up one.
package evidence

import "strings"

// Platform is the operating system a fact was seen on, in osquery's spelling.
type Platform string

// The platforms Rollcall understands.
const (
	Windows Platform = "windows"
	Linux   Platform = "linux"
	Darwin  Platform = "darwin"
)

// ParsePlatform maps the spellings in use ("macos", "Win", "darwin", GOOS
// values) to a Platform; anything else is the empty Platform.
func ParsePlatform(s string) Platform {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "windows", "win", "win32", "win64":
		return Windows
	case "linux", "debian", "ubuntu", "rhel", "centos", "amzn", "arch", "alpine", "freebsd":
		return Linux
	case "darwin", "macos", "osx", "mac":
		return Darwin
	}
	return ""
}

// Tristate is a yes/no fact that may be unknown.
type Tristate int8

// The values of a Tristate.
const (
	Unknown Tristate = iota
	No
	Yes
)

// Process is one program that was started: the fact behind every row of
// service_discovery_events.
type Process struct {
	Time     int64 // when it happened, seconds since 1970 UTC
	Platform Platform
	Host     string

	PID       int64
	ParentPID int64
	Path      string // the image that runs
	CmdLine   string // as the source has it
	CWD       string
	// OriginalFileName is the name in a PE file's version resource (Sysmon).
	OriginalFileName string

	ParentPath    string
	ParentCmdLine string
	// Ancestry is the chain of parents, nearest first, as far as it is known.
	Ancestry []Ancestor

	UID      string // numeric uid or SID of the effective user
	Username string // effective user
	// LoginUID and LoginUser are who logged in (auid), before sudo and its like.
	LoginUID  string
	LoginUser string
	// LoginSource is where that login came from: an address, a terminal.
	LoginSource    string
	LogonID        string
	Session        string
	TTY            string
	Elevated       Tristate
	IntegrityLevel string
	ContainerID    string

	// Source names where the fact came from ("process_events", "proc_connector").
	Source string
	// EID is the source's own id of the record.
	EID string
	// ArgsJoined says that the source joined argv with single spaces, so that
	// quoting is lost (Linux audit, /proc).
	ArgsJoined bool
	// Truncated says that the source cut the command line.
	Truncated bool
}

// Ancestor is one process in a lineage.
type Ancestor struct {
	PID     int64
	Path    string
	CmdLine string
}

// Batch is what one read of a source brought.
type Batch struct {
	Processes []Process
	// Cursor is where the next read goes on; its form is the source's own. It is
	// stored in one transaction with what came with it.
	Cursor string
	// More says that the read stopped at its limit and more is waiting.
	More bool
	// Read and Dropped count records seen and records lost since the last read.
	Read    int64
	Dropped int64
	Gaps    []Gap
}

// Gap is a span of time in which a source may have missed evidence.
type Gap struct {
	From, To int64 // seconds since 1970 UTC
	Reason   string
}

// The states of a source or part, as service_discovery_health shows them.
const (
	StateOK       = "ok"
	StateDegraded = "degraded"
	StateOff      = "off"
	StateFailed   = "failed"
)

// Unavailable is the error of a source that cannot be read now: what is wrong
// (State is StateOff for one that is not turned on, StateFailed or
// StateDegraded otherwise) and what a person does about it.
type Unavailable struct {
	State  string
	Detail string
	Remedy string
}

func (u *Unavailable) Error() string { return u.State + ": " + u.Detail }
