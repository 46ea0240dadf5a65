package syslog

import (
	"encoding/xml"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

// sysmonEvent is an event of Sysmon for Linux, XML in one message.
type sysmonEvent struct {
	System struct {
		Provider struct {
			Name string `xml:",attr"`
		}
		EventID     string
		TimeCreated struct {
			SystemTime string `xml:",attr"`
		}
		EventRecordID string
		Computer      string
	}
	EventData struct {
		Data []struct {
			Name string `xml:",attr"`
			Text string `xml:",chardata"`
		}
	}
}

// sysmon reads the events of processes (1), connections (3) and files (11, of
// units and init scripts).
func sysmon(p *evidence.Process, m message, to *evidence.Batch) {
	if !strings.HasPrefix(m.text, "<Event>") && !strings.HasPrefix(m.text, "<Event ") {
		return
	}
	var e sysmonEvent
	if err := xml.Unmarshal([]byte(m.text), &e); err != nil {
		return
	}
	if !strings.Contains(e.System.Provider.Name, "Sysmon") {
		return
	}
	if t, err := time.Parse(time.RFC3339Nano, e.System.TimeCreated.SystemTime); err == nil && t.Unix() >= 0 {
		p.Time = t.Unix()
	}
	p.Source, p.EID = SourceSysmon, e.System.EventRecordID
	if e.System.Computer != "" {
		p.Host = e.System.Computer
	}
	data := make(map[string]string, len(e.EventData.Data))
	for _, d := range e.EventData.Data {
		if v := strings.TrimSpace(d.Text); v != "-" {
			data[d.Name] = v
		}
	}
	switch strings.TrimSpace(e.System.EventID) {
	case "1":
		sysmonProcess(p, data)
		if p.CmdLine != "" {
			to.Processes = append(to.Processes, *p)
		}
	case "3":
		if c, ok := sysmonConnection(p, data); ok {
			to.Connections = append(to.Connections, c)
		}
	case "11":
		i, ok := auditlog.Unit(data["TargetFilename"])
		if !ok {
			return
		}
		i.Time, i.TimeBasis, i.Platform, i.Host, i.Source, i.EID = p.Time, evidence.BasisEvent, evidence.Linux, p.Host, p.Source, p.EID
		i.InstallerPID, i.InstallerPath, i.InstallerUsername = number(data["ProcessId"]), data["Image"], data["User"]
		to.Installs = append(to.Installs, i)
	}
}

func sysmonProcess(p *evidence.Process, data map[string]string) {
	p.PID, p.ParentPID = number(data["ProcessId"]), number(data["ParentProcessId"])
	p.Path, p.CmdLine, p.CWD = data["Image"], data["CommandLine"], data["CurrentDirectory"]
	p.ParentPath, p.ParentCmdLine = data["ParentImage"], data["ParentCommandLine"]
	p.Username = data["User"]
	p.LoginUID = data["LogonId"] // on Linux, the audit user id
	if p.LoginUID == "4294967295" {
		p.LoginUID = ""
	}
	if s := data["TerminalSessionId"]; s != "4294967295" {
		p.Session = s
	}
	// Sysmon joins the words with blanks.
	p.ArgsJoined = true
	if p.Username == "root" {
		p.Elevated = evidence.Yes
	} else if p.Username != "" {
		p.Elevated = evidence.No
	}
}

func sysmonConnection(p *evidence.Process, data map[string]string) (evidence.Connection, bool) {
	c := evidence.Connection{
		Time: p.Time, Platform: evidence.Linux, Host: p.Host, Source: p.Source, EID: p.EID,
		PID: number(data["ProcessId"]), Path: data["Image"], Username: data["User"], Protocol: strings.ToLower(data["Protocol"]),
		Inbound: strings.EqualFold(data["Initiated"], "false"),
	}
	local, remote := "Source", "Destination"
	// The port that is served is the smaller one.
	if c.Inbound && port(data["DestinationPort"]) < port(data["SourcePort"]) {
		local, remote = remote, local
	}
	c.LocalAddr, c.LocalPort = peer.Address(data[local+"Ip"]), port(data[local+"Port"])
	c.RemoteAddr, c.RemotePort, c.RemoteName = peer.Address(data[remote+"Ip"]), port(data[remote+"Port"]), data[remote+"Hostname"]
	return c, peer.Other(c.RemoteAddr) && c.RemoteAddr != c.LocalAddr
}
