package rule

import (
	"strconv"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// event shows a process and one of its commands to Sigma's matcher.
type event struct {
	p        *evidence.Process
	cmd      *cmdline.Command
	siblings []string
}

func one(s string) ([]string, bool) {
	if s == "" {
		return nil, false
	}
	return []string{s}, true
}

func many(s []string) ([]string, bool) { return s, len(s) > 0 }

// processFields are Sigma's field names of process_creation.
var processFields = map[string]func(*evidence.Process) ([]string, bool){
	"Image":             func(p *evidence.Process) ([]string, bool) { return one(p.Path) },
	"OriginalFileName":  func(p *evidence.Process) ([]string, bool) { return one(p.OriginalFileName) },
	"CommandLine":       func(p *evidence.Process) ([]string, bool) { return one(p.CmdLine) },
	"CurrentDirectory":  func(p *evidence.Process) ([]string, bool) { return one(p.CWD) },
	"ParentImage":       func(p *evidence.Process) ([]string, bool) { return one(p.ParentPath) },
	"ParentCommandLine": func(p *evidence.Process) ([]string, bool) { return one(p.ParentCmdLine) },
	"User":              func(p *evidence.Process) ([]string, bool) { return one(p.Username) },
	"IntegrityLevel":    func(p *evidence.Process) ([]string, bool) { return one(p.IntegrityLevel) },
	"LogonId":           func(p *evidence.Process) ([]string, bool) { return one(p.LogonID) },
	"ProcessId":         func(p *evidence.Process) ([]string, bool) { return number(p.PID) },
	"ParentProcessId":   func(p *evidence.Process) ([]string, bool) { return number(p.ParentPID) },
	"Computer":          func(p *evidence.Process) ([]string, bool) { return one(p.Host) },
}

func number(n int64) ([]string, bool) {
	if n == 0 {
		return nil, false
	}
	return []string{strconv.FormatInt(n, 10)}, true
}

// commandFields are the fields of the canonical simple command.
var commandFields = map[string]func(*event) ([]string, bool){
	"Tool":       func(e *event) ([]string, bool) { return one(e.cmd.Tool) },
	"Verb":       func(e *event) ([]string, bool) { return []string{e.cmd.Verb}, true },
	"Object":     func(e *event) ([]string, bool) { return one(e.cmd.Object) },
	"Target":     func(e *event) ([]string, bool) { return many(e.cmd.Target) },
	"RemoteHost": func(e *event) ([]string, bool) { return one(e.cmd.RemoteHost) },
	"Arguments":  func(e *event) ([]string, bool) { return many(e.cmd.Arguments) },
	"Options":    func(e *event) ([]string, bool) { return many(e.cmd.Options) },
	"Paths":      func(e *event) ([]string, bool) { return many(e.cmd.Paths) },
	"Wrappers":   func(e *event) ([]string, bool) { return many(e.cmd.Wrappers) },
	"PipedTo":    func(e *event) ([]string, bool) { return many(e.cmd.PipedTo) },
	"PipedFrom":  func(e *event) ([]string, bool) { return many(e.cmd.PipedFrom) },
	"Siblings":   func(e *event) ([]string, bool) { return many(e.siblings) },
	"Members":    func(e *event) ([]string, bool) { return many(e.cmd.Members) },
	"OutputFile": func(e *event) ([]string, bool) { return one(e.cmd.OutputFile) },
	"Canonical":  func(e *event) ([]string, bool) { return one(e.cmd.Canonical) },
	"Obfuscation": func(e *event) ([]string, bool) {
		out := make([]string, len(e.cmd.Obfuscation))
		for i, m := range e.cmd.Obfuscation {
			out[i] = string(m)
		}
		return many(out)
	},
}

// Values implements sigma.Event.
func (e *event) Values(field string) ([]string, bool) {
	if get, ok := processFields[field]; ok {
		return get(e.p)
	}
	if e.cmd != nil {
		if get, ok := commandFields[field]; ok {
			return get(e)
		}
	}
	return nil, false
}

// Keywords implements sigma.Keyworder: the texts a keyword is searched in.
func (e *event) Keywords() []string {
	return []string{e.p.CmdLine, e.p.Path, e.p.ParentCmdLine, e.p.ParentPath}
}
