// Package attribution answers an analyst's first question: whose legitimate
// operation is this, if anyone's? It is a pure function of facts.
//
// A name alone never attributes: where a program decides, it must lie in a place
// only root or SYSTEM writes.
package attribution

import (
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
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
	Kind    Kind
	Subject string // who or what ("apt", "gatherNetworkInfo")
	Basis   string // the evidence in words
	// Strength in 0..1 scales how much the score is lowered.
	Strength float64
}

// Attributed reports whether the operation is somebody's.
func (r Result) Attributed() bool { return r.Kind != "" && r.Kind != None }

// Entry is a configured expectation: every field that is set must agree. Command,
// Parent and User match whole values without regard to case and may carry * as
// wildcard.
type Entry struct {
	User    string    `yaml:"user" json:"user,omitempty"`
	Parent  string    `yaml:"parent" json:"parent,omitempty"`
	Command string    `yaml:"command" json:"command,omitempty"` // against the canonical command
	Host    string    `yaml:"host" json:"host,omitempty"`
	Reason  string    `yaml:"reason" json:"reason"`
	Expires time.Time `yaml:"expires" json:"expires,omitempty"`
}

// Config is what an administrator declares.
type Config struct {
	Expected []Entry `yaml:"expected" json:"expected,omitempty"`
}

// Facts is what an attribution is made from.
type Facts struct {
	Process   *evidence.Process
	Canonical []string // the commands that matched a rule
	// Concealed says that the command was obfuscated, encoded or run by a renamed
	// image: then nothing attributes it.
	Concealed bool
	// Lineage is the suspicious ancestor's category, empty for none.
	Lineage string
	Now     time.Time
}

// Attribute returns whose operation the facts describe.
func Attribute(f Facts, c Config) Result {
	if f.Lineage != "" {
		return Result{Kind: None, Basis: "never attributed under a " + f.Lineage + " ancestor"}
	}
	if f.Concealed {
		return Result{Kind: None, Basis: "never attributed when hidden, encoded or renamed"}
	}
	for _, e := range c.Expected {
		if e.matches(f) {
			return Result{Kind: Expected, Subject: e.Reason, Basis: "configured entry", Strength: 1}
		}
	}
	if r := system(f.Process); r.Attributed() {
		return r
	}
	if r := packageManager(f.Process); r.Attributed() {
		return r
	}
	return Result{Kind: None}
}

func (e Entry) matches(f Facts) bool {
	if !e.Expires.IsZero() && f.Now.After(e.Expires) {
		return false
	}
	if e.User == "" && e.Parent == "" && e.Command == "" {
		return false // an entry for everything is a mistake
	}
	p := f.Process
	if e.User != "" && !glob(e.User, p.Username) && !glob(e.User, p.LoginUser) {
		return false
	}
	if e.Parent != "" && !glob(e.Parent, p.ParentPath) {
		return false
	}
	if e.Host != "" && !glob(e.Host, p.Host) {
		return false
	}
	if e.Command == "" {
		return true
	}
	if len(f.Canonical) == 0 {
		return false
	}
	for _, c := range f.Canonical {
		if !glob(e.Command, c) {
			return false
		}
	}
	return true
}

// glob matches s against a pattern with * as the only wildcard, without regard to
// case, in linear space and without backtracking beyond the last star.
func glob(pattern, s string) bool {
	pattern, s = strings.ToLower(pattern), strings.ToLower(s)
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// system recognises parts of the operating system itself.
func system(p *evidence.Process) Result {
	switch p.Platform {
	case evidence.Windows:
		// netsh trace stop has Windows run gatherNetworkInfo.vbs, which lists the
		// services; the script lies in System32, which only TrustedInstaller writes.
		for _, a := range lineage(p) {
			if windowsSystemPath(a.Path, "cscript.exe") && windowsSystemPath(scriptOf(a.CmdLine), "gathernetworkinfo.vbs") {
				return Result{Kind: System, Subject: "gatherNetworkInfo", Basis: "child of Windows' own " + a.CmdLine, Strength: 1}
			}
		}
	case evidence.Linux:
		if p.ContainerID != "" {
			break // inside a container the same path is another file
		}
		for _, a := range lineage(p) {
			switch a.Path {
			case "/usr/lib/systemd/systemd-update-helper", "/usr/bin/deb-systemd-helper", "/usr/bin/deb-systemd-invoke", "/usr/lib/update-notifier/apt-check":
				return Result{Kind: System, Subject: base(a.Path), Basis: "ancestor " + a.Path, Strength: 0.8}
			}
		}
	}
	return Result{Kind: None}
}

// packageManagers are the places package managers are installed to; only root
// writes there.
var packageManagers = map[string]string{
	"/usr/bin/dpkg": "dpkg", "/usr/bin/apt": "apt", "/usr/bin/apt-get": "apt", "/usr/bin/aptitude": "apt",
	"/usr/bin/unattended-upgrade": "unattended-upgrades", "/usr/bin/rpm": "rpm", "/usr/bin/dnf": "dnf", "/usr/bin/dnf-3": "dnf",
	"/usr/bin/dnf5": "dnf", "/usr/bin/yum": "yum", "/usr/bin/zypper": "zypper", "/sbin/apk": "apk", "/usr/bin/pacman": "pacman",
	"/usr/libexec/packagekitd": "packagekit", "/usr/lib/snapd/snapd": "snapd",
}

func packageManager(p *evidence.Process) Result {
	if p.Platform != evidence.Linux || p.ContainerID != "" {
		// Inside a container the same path is another file.
		return Result{Kind: None}
	}
	for _, a := range lineage(p) {
		if name, ok := packageManagers[a.Path]; ok {
			return Result{Kind: Package, Subject: name, Basis: "ancestor " + a.Path, Strength: 0.8}
		}
	}
	return Result{Kind: None}
}

// lineage is the ancestry with the parent first, when only the parent is known.
func lineage(p *evidence.Process) []evidence.Ancestor {
	if len(p.Ancestry) > 0 {
		return p.Ancestry
	}
	if p.ParentPath == "" && p.ParentCmdLine == "" {
		return nil
	}
	return []evidence.Ancestor{{PID: p.ParentPID, Path: p.ParentPath, CmdLine: p.ParentCmdLine}}
}

// scriptOf is the script a script host runs: its first argument that is no option.
// Later ones are the script's own.
func scriptOf(line string) string {
	for i, w := range winargv.Split(line) {
		if i > 0 && !strings.HasPrefix(w, "/") {
			return w
		}
	}
	return ""
}

func windowsSystemPath(path, name string) bool {
	l := strings.ToLower(path)
	for _, dir := range []string{`c:\windows\system32\`, `c:\windows\syswow64\`} {
		if l == dir+name {
			return true
		}
	}
	return false
}

func base(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[i+1:]
	}
	return path
}
