// Package systemd reads the units of a Linux host that start programs (services,
// timers, sockets, paths) and the generators and hooks that systemd runs itself:
// from every directory systemd searches, in its order, with drop-ins, links,
// aliases, masks, templates and instances, as systemd reads them. It asks no
// manager and starts no program, so it sees what will run as well as what does.
//
// Unit files may be anybody's work: whatever is odd about one becomes a Note and
// hides nothing else.
package systemd

import (
	"context"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// Kind is what sort of thing starts a program.
type Kind string

// The kinds. A Generator is a program systemd runs at boot and at every reload; a
// Hook one it runs at shutdown or sleep.
const (
	Service   Kind = "service"
	Timer     Kind = "timer"
	Socket    Kind = "socket"
	PathUnit  Kind = "path"
	Generator Kind = "generator"
	Hook      Kind = "hook"
)

// Scope is whose manager runs a unit.
type Scope string

// The scopes.
const (
	System Scope = "system"
	User   Scope = "user"
)

// Class is what sort of directory a file was found in: who puts files there.
type Class string

// The classes.
const (
	Etc       Class = "etc"       // the administrator's
	Control   Class = "control"   // systemctl set-property and its like
	Runtime   Class = "run"       // until the next boot
	Transient Class = "transient" // systemd-run
	Generated Class = "generator" // made at boot by a generator
	Attached  Class = "attached"  // portable services
	Local     Class = "local"     // /usr/local: the administrator's software
	Vendor    Class = "vendor"    // the distribution's packages
	Home      Class = "user"      // a user's own
)

// State is how a unit is turned on, in systemctl's words.
type State string

// The states.
const (
	Enabled        State = "enabled"
	EnabledRuntime State = "enabled-runtime"
	Linked         State = "linked"
	LinkedRuntime  State = "linked-runtime"
	Masked         State = "masked"
	MaskedRuntime  State = "masked-runtime"
	Static         State = "static"
	Disabled       State = "disabled"
	Indirect       State = "indirect"
	IsGenerated    State = "generated"
	IsTransient    State = "transient"
)

// Unit is one unit as systemd would load it.
type Unit struct {
	Name  string
	Kind  Kind
	Scope Scope
	// Username is whose manager it is for, in the user scope; empty when every
	// user's.
	Username    string
	Description string

	// Path is the unit file where systemd finds it; it may be a link. Empty for an
	// enabled name that has no file.
	Path string
	// Real is where it leads, empty when that does not exist.
	Real string
	// LinkTarget is the text of the link, when Path is one.
	LinkTarget string
	Class      Class
	File       files.Info
	// SourcePath is what a generator made it from.
	SourcePath string
	// DropIns are the drop-ins in the order systemd applies them.
	DropIns []DropIn

	Exec []Exec
	// User and Group are the accounts as configured, specifiers expanded; root, or
	// the user, when empty. DynamicUser says systemd makes one up.
	User, Group string
	DynamicUser bool
	// Preload are settings of the environment that make programs load other code,
	// as "LD_PRELOAD=value".
	Preload []string
	Type    string
	Restart string
	// Waits is what a socket, timer or path unit waits for, as
	// "Directive=value".
	Waits []string

	WantedBy, RequiredBy, Alias, Also []string // [Install]

	State State
	// Links are what pulls it in: links in .wants and .requires directories.
	Links []Link
	// Aliases are other names that lead here.
	Aliases []string
	// Shadows are files of its name, or of its aliases', in directories that come
	// later: what would count without it.
	Shadows []string
	// Triggers are the units it starts when it fires or fails; TriggeredBy the
	// other way round.
	Triggers    []string
	TriggeredBy []string
	Template    bool
	// TemplateName is the template an instance is made from.
	TemplateName string

	// Writable are files and directories of it that someone other than root (and
	// the user whose unit it is) can write or replace: its file, its drop-ins, the
	// programs it runs, or a directory on the way to them.
	Writable []string
	// Problems are what systemd or we could not read of it.
	Problems []string
	// Excess says that there is more of it than is read, by far more than anybody
	// writes.
	Excess bool
	// Sum tells one text of its file and drop-ins from another; 0 when none could
	// be read.
	Sum uint64
}

// DropIn is one drop-in of a unit.
type DropIn struct {
	Path  string
	Real  string
	Class Class
	File  files.Info
	// Shared says it is for more than this unit: of a prefix or of the type.
	Shared bool
}

// Link is one link that enables a unit.
type Link struct {
	Path   string
	By     string // the unit that wants it
	Class  Class
	Target string
}

// Exec is one command a unit runs.
type Exec struct {
	Directive string // ExecStart, ExecStartPre, ...
	// From is the file the setting stands in.
	From string
	// Line is the setting as it is written, lines joined.
	Line string
	// Prefixes are the special characters before the program.
	Prefixes string
	// Path is the program as systemd would find it: absolute, specifiers expanded.
	Path string
	// Argv0 is what the program is told to be, where that is not its path (@).
	Argv0 string
	Args  []string
	// Script is the file an interpreter is given to run.
	Script string

	// OnDisk says whether the program is there; Unknown when its path depends on
	// something not known here (RootImage=, a specifier).
	OnDisk evidence.Tristate
	// Real is the program with all links followed, File what it is.
	Real string
	File files.Info
	// Writable is the first component on the way that someone else can write.
	Writable string
}

// Note is something that could not be read, or was left out.
type Note struct {
	Path   string
	Detail string
	// Dangling says that all was read: a name leads to nothing.
	Dangling bool
}

// Result is what one scan found. It is shared and must not be changed.
type Result struct {
	Units []Unit
	Notes []Note
	// NotesLeftOut counts notes beyond the bound.
	NotesLeftOut int
	// Changed says that something differs from the scan before.
	Changed bool
	// Unlisted are directories that could not be listed, or not wholly: what is not
	// told of them may be there.
	Unlisted []string
	// Full is the scope from which on units beyond the bound are left out: System
	// before User; empty when there is none.
	Full Scope
}

// Options of a scan. The zero value means the host's own bounds.
type Options struct {
	// MaxUnits and MaxEntries bound the units of a scan and the names of one
	// directory.
	MaxUnits   int
	MaxEntries int
	// Trust are users that count as root for the question who can write a file.
	Trust []uint32
	// Hostname stands for %H; the host's own when empty and the root is "/".
	Hostname string
}

// Scan reads the units below root once ("/" is this host). An error means that
// nothing could be read or that ctx ended; all else is in the Result.
func Scan(ctx context.Context, root string, o Options) (*Result, error) {
	return NewScanner(root, o).Scan(ctx)
}
