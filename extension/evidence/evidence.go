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
	Time int64 // when it happened, seconds since 1970 UTC
	// Late is by how many seconds at most Time is after that, for a source that dates
	// what it tells by when it got round to it; 0 for one that knows the moment.
	Late     int64
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

// The actions of an Install.
const (
	Created  = "created"
	Modified = "modified"
	Enabled  = "enabled"
	Disabled = "disabled"
	Removed  = "removed"
)

// Where the time of an Install comes from, best first.
const (
	BasisEvent     = "event"       // an event told of the moment
	BasisBirth     = "birth_time"  // the file's birth, which nobody can set
	BasisChange    = "change_time" // the file's change time, which the kernel sets
	BasisKeyTime   = "key_time"    // the last write to a registry key
	BasisFirstSeen = "first_seen"  // when Rollcall saw it first
)

// Install is one service that was installed, changed, turned on or removed: the
// fact behind every row of service_install_events.
type Install struct {
	Time      int64  // when it happened, seconds since 1970 UTC
	TimeBasis string // where Time comes from, one of the Basis constants
	Platform  Platform
	Host      string

	Action string // Created, Modified, Enabled, Disabled or Removed
	// Kind is the manager: windows_service, driver, systemd, sysv, openrc, launchd.
	Kind        string
	Name        string
	DisplayName string
	// ImagePath is the command line as the manager holds it: a registry value, an
	// ExecStart=, the joined ProgramArguments of a property list. Path and Args are
	// the program and its arguments, where the source knows them apart.
	ImagePath string
	Path      string
	Args      string
	// ServiceDLL is the library that svchost.exe loads for it.
	ServiceDLL string
	// ServiceType and StartType are as the source has them, words or numbers.
	ServiceType string
	StartType   string
	Account     string
	// UnitPath is the file that defines it.
	UnitPath string
	// Changes are what was changed, "key: old -> new".
	Changes []string
	// Signs are findings of the reader about its files that a score counts.
	Signs []Sign

	// Who did it, as far as it is known.
	InstallerPID      int64
	InstallerPath     string
	InstallerCmdLine  string
	InstallerUID      string
	InstallerUsername string
	InstallerAncestry []Ancestor
	LoginUser         string
	LogonID           string
	Session           string

	Package         string
	PackageVerified Tristate
	Signed          Tristate
	// Signer is who signed the program, where Signed is Yes.
	Signer string
	// Broken says that the program carries a signature that does not hold; Signed is No
	// then.
	Broken bool
	SHA256 string
	// OnDisk, WritableByOthers and Packaged are about the program.
	OnDisk           Tristate
	WritableByOthers Tristate
	Packaged         Tristate

	Source string
	EID    string
}

// Sign is a finding that a score counts, by the name of its factor.
type Sign struct {
	Factor   string
	Evidence string
	Scale    float64 // weakens or strengthens the factor; 0 means 1
}

// Logon is one logon, or one that failed.
type Logon struct {
	Time     int64
	Platform Platform
	Host     string

	Username string
	UID      string
	// Type says how: "interactive", "remote_interactive", "network", "service",
	// "batch", "ssh", "console", "sudo", "explicit" (with other credentials); empty
	// when unknown.
	Type string
	// From is the address or host it came from.
	From    string
	TTY     string
	PID     int64
	LogonID string
	Failed  bool
	// Privileged says that the session got administrator's rights.
	Privileged Tristate

	Source string
	EID    string
}

// Connection is one network connection of a process.
type Connection struct {
	Time     int64
	Platform Platform
	Host     string

	PID        int64
	ParentPID  int64
	Path       string
	CmdLine    string
	Username   string
	UID        string
	Protocol   string // "tcp", "udp"; empty when unknown
	Inbound    bool
	LocalAddr  string
	LocalPort  int64
	RemoteAddr string
	RemotePort int64
	RemoteName string // what the address was resolved from, where the source tells

	Source string
	EID    string
}

// The kinds of a Change.
const (
	ChangeAccount = "account" // an account or group was made, changed or removed
	ChangePackage = "package" // a package was installed, upgraded or removed
	ChangePatch   = "patch"   // an update of the system
	ChangeAudit   = "audit"   // auditing or logging was changed, a log was cleared
	ChangeFile    = "file"    // a file that matters was written
	ChangeRestart = "restart" // the host started
)

// Change is one change to a host besides services.
type Change struct {
	Time     int64
	Platform Platform
	Host     string

	Kind     string // one of the Change constants
	Subject  string // what was changed ("group sudo", "nginx 1.24")
	Detail   string
	Username string // who did it
	UID      string
	PID      int64

	Source string
	EID    string
}

// Batch is what one read of a source brought.
type Batch struct {
	Processes   []Process
	Installs    []Install
	Logons      []Logon
	Connections []Connection
	Changes     []Change
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
