package winevent

import (
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func (*Reader) process(e *Event, b *evidence.Batch) {
	p := evidence.Process{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID,
		PID: e.pid("NewProcessId"), ParentPID: e.pid("ProcessId"),
		Path: e.text("NewProcessName"), CmdLine: e.text("CommandLine"), ParentPath: e.text("ParentProcessName"),
		UID: e.sid("SubjectUserSid"), Username: e.user("SubjectDomainName", "SubjectUserName"),
		LogonID: e.logonID("SubjectLogonId"), IntegrityLevel: Integrity(e.text("MandatoryLabel")),
	}
	// The new process can run as somebody else (runas, a service's start): the
	// subject is then who started it.
	if target := e.user("TargetDomainName", "TargetUserName"); target != "" {
		p.LoginUID, p.LoginUser = p.UID, p.Username
		p.Username, p.UID = target, e.sid("TargetUserSid")
		if id := e.logonID("TargetLogonId"); id != "" {
			p.LogonID = id
		}
	}
	p.Elevated = Elevated(p.IntegrityLevel)
	switch e.text("TokenElevationType") {
	case "%%1937", "TokenElevationTypeFull (2)":
		p.Elevated = evidence.Yes
	case "%%1938", "TokenElevationTypeLimited (3)":
		p.Elevated = evidence.No
	}
	add(b, p)
}

func (*Reader) sysmonProcess(e *Event, b *evidence.Batch) {
	p := evidence.Process{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID,
		PID: e.pid("ProcessId"), ParentPID: e.pid("ParentProcessId"),
		Path: e.text("Image"), CmdLine: e.text("CommandLine"), CWD: e.text("CurrentDirectory"),
		OriginalFileName: e.text("OriginalFileName"),
		ParentPath:       e.text("ParentImage"), ParentCmdLine: e.text("ParentCommandLine"),
		Username: e.text("User"), LogonID: e.logonID("LogonId"), Session: e.text("TerminalSessionId"),
		IntegrityLevel: e.text("IntegrityLevel"),
	}
	p.Elevated = Elevated(p.IntegrityLevel)
	add(b, p)
}

func add(b *evidence.Batch, p evidence.Process) {
	if p.Path != "" || p.CmdLine != "" {
		b.Processes = append(b.Processes, p)
	}
}
