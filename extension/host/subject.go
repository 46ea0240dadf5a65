package host

import (
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/memory"
	"github.com/osquery-rollcall/rollcall/extension/incident"
)

// subject is what of an incident is looked at. It shares nothing with the incident,
// so that a look which was not waited for can go on with it.
type subject struct {
	question memory.Question
	report   *memory.Report
	people   []string
	noGroups []string // why not all people are among them
	packages []string
	paths    []string // of the software involved
}

// subject picks out of an incident what there is to look at.
func (f *Facts) subject(x *incident.Incident) *subject {
	s := &subject{report: &memory.Report{}}
	actor := func(a *incident.Actor, at int64) {
		for _, pid := range a.PIDs {
			s.question.Processes = append(s.question.Processes, memory.Process{PID: pid, Seen: at})
		}
	}
	command := func(c *incident.Command) {
		if !sameHost(c.Host, f.opts.Host) {
			return
		}
		if c.PID > 0 {
			s.question.Processes = append(s.question.Processes, memory.Process{PID: c.PID, Seen: c.Time})
		}
		actor(&c.Actor, c.Time)
		s.software(c.Origin)
		if c.Container != "" {
			s.noGroups = include(s.noGroups, "what ran in a container has the container's accounts")
			return
		}
		s.person(&c.Actor)
	}
	// What tells most comes first: there is a limit to what is looked at.
	for _, y := range x.Bursts {
		if y.Loose != nil {
			command(y.Loose)
		}
		command(&y.Best)
	}
	for i := range x.Installs {
		in := &x.Installs[i]
		if !sameHost(in.Host, f.opts.Host) {
			continue
		}
		actor(&in.Actor, in.Time)
		s.person(&in.Actor)
		s.packages = include(s.packages, in.Package)
		if in.Action == evidence.Removed {
			continue
		}
		s.software(in.Path)
		if p, ok := program(in.Path, in.Image); ok && !slices.Contains(s.question.Programs, p) {
			s.question.Programs = append(s.question.Programs, p)
		}
	}
	for i := range x.Connections {
		// Of others on the host there are many, which say nothing of this incident.
		if c := &x.Connections[i]; c.Relation != incident.ByHost && sameHost(c.Host, f.opts.Host) {
			actor(&c.Actor, c.Time)
			s.software(c.Path)
		}
	}
	for _, y := range x.Bursts {
		for i := range y.Sample {
			command(&y.Sample[i])
		}
		for i := range y.Contexts {
			if c := &y.Contexts[i]; sameHost(c.Host, f.opts.Host) {
				actor(&c.Actor, c.Time)
			}
		}
	}
	return s
}

func (s *subject) software(path string) {
	if len(s.paths) < maxListed {
		s.paths = include(s.paths, path)
	}
}

// person takes in who acted. Root and the system's own accounts may do everything:
// their groups tell nothing.
func (s *subject) person(a *incident.Actor) {
	for _, name := range []string{a.LoginUser, a.Username} {
		lower := strings.ToLower(name)
		if name == "" || name == "root" || strings.HasPrefix(lower, `nt authority\`) || strings.HasPrefix(lower, `nt service\`) || lower == "system" || strings.HasSuffix(name, "$") {
			continue
		}
		if len(s.people) == maxPeople && !slices.Contains(s.people, name) {
			s.noGroups = include(s.noGroups, "more accounts are involved than were looked at")
			continue
		}
		s.people = include(s.people, name)
	}
}

func include(list []string, s string) []string {
	if s == "" || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// interpreters run what others wrote: a process is not a service's for running one.
var interpreters = map[string]bool{
	"sh": true, "bash": true, "dash": true, "zsh": true, "ksh": true, "ash": true, "fish": true, "busybox": true, "env": true, "perl": true, "python": true, "pypy": true,
	"ruby": true, "php": true, "node": true, "java": true, "javaw": true, "dotnet": true, "mono": true, "lua": true, "luajit": true, "tclsh": true, "awk": true, "gawk": true, "mawk": true,
	"cmd": true, "powershell": true, "pwsh": true, "wscript": true, "cscript": true, "svchost": true, "rundll32": true, "dllhost": true, "regsvr32": true, "mshta": true, "osascript": true,
	"sudo": true, "su": true, "timeout": true, "nohup": true, "flock": true, "systemd-run": true, "docker": true, "podman": true, "ssh": true, "socat": true,
}

// program is the program of a service as it is looked for among processes. Of an
// interpreter it is the script that tells; ok is false where none is known.
func program(path, image string) (memory.Program, bool) {
	if !absolute(path) {
		return memory.Program{}, false
	}
	name := path
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.TrimRight(strings.TrimSuffix(strings.ToLower(name), ".exe"), "0123456789.-")
	if !interpreters[name] {
		return memory.Program{Path: path}, true
	}
	for word := range strings.FieldsSeq(image) {
		if word = strings.Trim(word, `"'`); absolute(word) && word != path {
			return memory.Program{Path: path, Argument: word}, true
		}
	}
	return memory.Program{}, false
}

// absolute reports a whole path of either kind of system.
func absolute(p string) bool {
	return strings.HasPrefix(p, "/") || len(p) > 3 && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
}

// sameHost reports whether evidence is of this host: one may be named with its
// domain and the other without. Evidence that names none is of this one.
func sameHost(a, b string) bool {
	if a == "" || b == "" || strings.EqualFold(a, b) {
		return true
	}
	x, dx, _ := strings.Cut(a, ".")
	y, dy, _ := strings.Cut(b, ".")
	return strings.EqualFold(x, y) && (dx == "" || dy == "")
}
