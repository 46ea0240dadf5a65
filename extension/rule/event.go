package rule

import (
	"strconv"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// event shows a process and one of its commands to Sigma's matcher. It does not
// change once it is made, so that a match can be explained later.
type event struct {
	p   *evidence.Process
	cmd *cmdline.Command // nil for the process as a whole
	all []cmdline.Command
	// one holds the value of each field of one value, so that none is allocated.
	one [fieldCount][1]string
}

// field is a field of one value.
type field int

// The fields of one value.
const (
	fieldImage field = iota
	fieldOriginal
	fieldCommandLine
	fieldDirectory
	fieldParentImage
	fieldParentCommandLine
	fieldUser
	fieldIntegrity
	fieldLogon
	fieldComputer
	fieldTool
	fieldVerb
	fieldObject
	fieldRemoteHost
	fieldOutputFile
	fieldCanonical
	fieldCount
)

// oneValue are the fields of one value by Sigma's names and the engine's own.
var oneValue = map[string]field{
	"Image": fieldImage, "OriginalFileName": fieldOriginal, "CommandLine": fieldCommandLine, "CurrentDirectory": fieldDirectory,
	"ParentImage": fieldParentImage, "ParentCommandLine": fieldParentCommandLine, "User": fieldUser, "IntegrityLevel": fieldIntegrity,
	"LogonId": fieldLogon, "Computer": fieldComputer,
	"Tool": fieldTool, "Verb": fieldVerb, "Object": fieldObject, "RemoteHost": fieldRemoteHost, "OutputFile": fieldOutputFile, "Canonical": fieldCanonical,
}

// commandFields are the fields of the canonical simple command.
var commandFields = map[string]bool{
	"Tool": true, "Verb": true, "Object": true, "Target": true, "RemoteHost": true, "Arguments": true, "Options": true, "Paths": true,
	"Wrappers": true, "PipedTo": true, "PipedFrom": true, "Siblings": true, "Members": true, "OutputFile": true, "Canonical": true,
	"Obfuscation": true,
}

func newEvent(p *evidence.Process, cmd *cmdline.Command, all []cmdline.Command) *event {
	e := &event{p: p, cmd: cmd, all: all}
	e.one = [fieldCount][1]string{
		fieldImage: {p.Path}, fieldOriginal: {p.OriginalFileName}, fieldCommandLine: {p.CmdLine}, fieldDirectory: {p.CWD},
		fieldParentImage: {p.ParentPath}, fieldParentCommandLine: {p.ParentCmdLine}, fieldUser: {p.Username}, fieldIntegrity: {p.IntegrityLevel},
		fieldLogon: {p.LogonID}, fieldComputer: {p.Host},
	}
	if cmd != nil {
		e.one[fieldTool][0], e.one[fieldVerb][0], e.one[fieldObject][0] = cmd.Tool, cmd.Verb, cmd.Object
		e.one[fieldRemoteHost][0], e.one[fieldOutputFile][0], e.one[fieldCanonical][0] = cmd.RemoteHost, cmd.OutputFile, cmd.Canonical
	}
	return e
}

// Values implements sigma.Event. A field that is empty is not known, except for the
// verb of a command, which may have none.
func (e *event) Values(name string) ([]string, bool) {
	if f, ok := oneValue[name]; ok {
		if f >= fieldTool && e.cmd == nil || e.one[f][0] == "" && f != fieldVerb {
			return nil, false
		}
		return e.one[f][:], true
	}
	switch name {
	case "ProcessId":
		return number(e.p.PID)
	case "ParentProcessId":
		return number(e.p.ParentPID)
	}
	if e.cmd == nil {
		return nil, false
	}
	switch name {
	case "Target":
		return many(e.cmd.Target)
	case "Arguments":
		return many(e.cmd.Arguments)
	case "Options":
		return many(e.cmd.Options)
	case "Paths":
		return many(e.cmd.Paths)
	case "Wrappers":
		return many(e.cmd.Wrappers)
	case "PipedTo":
		return many(e.cmd.PipedTo)
	case "PipedFrom":
		return many(e.cmd.PipedFrom)
	case "Siblings":
		return many(siblings(e.all))
	case "Members":
		return many(e.cmd.Members)
	case "Obfuscation":
		out := make([]string, len(e.cmd.Obfuscation))
		for i, m := range e.cmd.Obfuscation {
			out[i] = string(m)
		}
		return many(out)
	}
	return nil, false
}

func many(s []string) ([]string, bool) { return s, len(s) > 0 }

func number(n int64) ([]string, bool) {
	if n == 0 {
		return nil, false
	}
	return []string{strconv.FormatInt(n, 10)}, true
}

// Keywords implements sigma.Keyworder: the texts a keyword is searched in.
func (e *event) Keywords() []string {
	return []string{e.p.CmdLine, e.p.Path, e.p.ParentCmdLine, e.p.ParentPath}
}

// maxSiblings bounds the commands that one is compared with.
const maxSiblings = 64

// siblings are the canonical texts of the commands of one command line; none where
// there is but one.
func siblings(all []cmdline.Command) []string {
	if len(all) < 2 {
		return nil
	}
	out := make([]string, min(len(all), maxSiblings))
	for i := range out {
		out[i] = all[i].Canonical
	}
	return out
}
