package managed

import (
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
)

// Job is a daemon or agent of launchd as its property list defines it.
type Job struct {
	Path    string // of the property list
	Label   string
	Program string
	// Line are the ProgramArguments joined with blanks, Arguments each of them where
	// the property list was read.
	Line      string
	Arguments []string
	RunAtLoad bool
	KeepAlive bool
	// Disabled is the property list's own word, Override what was decided since.
	Disabled bool
	Override evidence.Tristate // Yes turned it off, No turned it on
	Account  string
	// Starts are what starts it besides, as "StartInterval=30"; Sockets what it
	// listens on.
	Starts  []string
	Sockets []string
	// Preload are settings that make it load other code, as "NAME=path".
	Preload []string
	PIDs    []int64
}

// Name is the job's label, or its file's name where it has none.
func (j *Job) Name() string {
	if j.Label != "" {
		return j.Label
	}
	return strings.TrimSuffix(j.Path[strings.LastIndexByte(j.Path, '/')+1:], ".plist")
}

// Command is what launchd runs: the Program, whatever the first argument calls
// itself, or else the first argument. argv0 is that first argument where it is not
// the program.
func (j *Job) Command() (program, args, argv0 string) {
	var first, rest string
	switch {
	case len(j.Arguments) > 0:
		first, rest = j.Arguments[0], strings.Join(j.Arguments[1:], " ")
	case j.Program != "" && (j.Line == j.Program || strings.HasPrefix(j.Line, j.Program+" ")):
		first, rest = j.Program, strings.TrimSpace(j.Line[len(j.Program):])
	default:
		first, _, _ = strings.Cut(strings.TrimSpace(j.Line), " ")
		rest = behind(j.Line)
	}
	if j.Program == "" {
		return first, rest, ""
	}
	if first != j.Program {
		argv0 = first
	}
	return j.Program, rest, argv0
}

// Guessed reports whether blanks in the joined arguments leave open where the
// program's path ends.
func (j *Job) Guessed() bool {
	return j.Program == "" && len(j.Arguments) == 0 && strings.Contains(strings.TrimSpace(j.Line), " ")
}

// Image is the command line of what launchd runs.
func (j *Job) Image() string {
	program, args, _ := j.Command()
	return strings.TrimSpace(program + " " + args)
}

// Agent reports whether a job runs in the sessions of users.
func (j *Job) Agent() bool { return strings.Contains(j.Path, "/LaunchAgents/") }

// User is whose agent a job is, empty for one of every user and for daemons.
func (j *Job) User() string {
	if rest, ok := strings.CutPrefix(j.Path, "/Users/"); ok {
		name, _, _ := strings.Cut(rest, "/")
		return name
	}
	if strings.HasPrefix(j.Path, "/var/root/") || strings.HasPrefix(j.Path, "/private/var/root/") {
		return "root"
	}
	return ""
}

// Off reports whether a job is turned off.
func (j *Job) Off() bool {
	return j.Override == evidence.Yes || j.Override == evidence.Unknown && j.Disabled
}

// DarwinServices is the inventory of all jobs of a host.
func DarwinServices(jobs []Job, look Look) []inventory.Service {
	all := make([]inventory.Service, len(jobs))
	for i := range jobs {
		all[i] = jobs[i].service(look)
	}
	return all
}

// apple are the directories that macOS keeps on a volume nobody can write to.
var apple = []string{"/System/", "/usr/bin/", "/usr/sbin/", "/usr/libexec/", "/usr/lib/", "/bin/", "/sbin/", "/Library/Apple/"}

// Sealed reports whether a file is macOS' own, where nobody can change it.
func Sealed(path string) bool {
	// What others write is mounted below /System, too.
	if strings.Contains(path, "/../") || strings.HasPrefix(path, "/System/Volumes/") {
		return false
	}
	for _, dir := range apple {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	return false
}

func (j *Job) service(look Look) inventory.Service {
	program, args, argv0 := j.Command()
	s := inventory.Service{
		Kind: string(service.Launchd), Type: "daemon", Scope: "system", Name: j.Name(), Path: program, Args: args, Account: j.Account, UnitPath: j.Path,
		StartType: "on_demand", Listens: j.Sockets, Preload: j.Preload,
	}
	if j.Agent() {
		s.Type, s.Scope, s.Username = "agent", "user", j.User()
		if s.Account == "" {
			s.Account = s.Username
		}
	} else if s.Account == "" {
		s.Account = "root"
	}
	s.ActivatedBy = append(s.ActivatedBy, j.Starts...)
	for _, l := range j.Sockets {
		s.ActivatedBy = append(s.ActivatedBy, "Sockets."+l)
	}
	if len(j.Starts) > 0 {
		s.StartType, s.Enabled = "triggered", evidence.Yes
	}
	if j.KeepAlive {
		s.StartType, s.Enabled = "keep_alive", evidence.Yes
		s.ActivatedBy = append(s.ActivatedBy, "KeepAlive")
	}
	if j.RunAtLoad {
		s.StartType, s.Enabled = "run_at_load", evidence.Yes
		s.ActivatedBy = append(s.ActivatedBy, "RunAtLoad")
	}
	if j.Off() {
		s.StartType, s.Enabled = "disabled", evidence.No
	}
	if len(j.PIDs) > 0 {
		s.Running, s.PIDs = evidence.Yes, j.PIDs
	}
	var notes problems
	if j.Label == "" {
		notes.add("it has no label")
	}
	if argv0 != "" {
		notes.add("its program calls itself %s", strconv.Quote(argv0))
	}
	s.Writable = j.writable(look, program)
	s.Looked = len(s.Writable) > 0 // the directories above were not looked at
	unit := look(j.Path)
	s.File = files.Info{MTime: unit.Modified * 1e9, CTime: unit.Changed * 1e9, BTime: unit.Born * 1e9}
	f := look(program)
	if j.Guessed() && f.OnDisk == evidence.No {
		f.OnDisk = evidence.Unknown
	}
	s.OnDisk = f.OnDisk
	notes.unsigned(program, f)
	s.Problems = notes
	s.Install = service.Install{Kind: service.Launchd, Name: s.Name, UnitPath: j.Path, Start: service.StartUnknown, Account: s.Account, Signed: f.Signed, Broken: f.Broken}
	s.Signer, s.SHA256 = f.Signer, f.SHA256
	if program != "" {
		c := inventory.Command{Directive: "ProgramArguments", Path: program, Args: args, Line: j.Image(), From: j.Path, Argv0: argv0, OnDisk: f.OnDisk}
		if j.Program != "" {
			c.Directive = "Program"
		}
		if !Sealed(program) && j.open(f) {
			c.Writable = evidence.Yes
		}
		s.Commands = []inventory.Command{c}
	}
	return s
}

// writable are the files of a job that others than its user can change.
func (j *Job) writable(look Look, program string) (out []string) {
	for _, p := range []string{j.Path, program} {
		if p != "" && !Sealed(p) && j.open(look(p)) {
			out = append(out, p)
		}
	}
	return out
}

// open reports whether others than root, or the user whose job it is, can change a
// file.
func (j *Job) open(f File) bool {
	return f.Stated && (f.Mode&0o002 != 0 || f.UID != 0 && j.User() == "")
}
