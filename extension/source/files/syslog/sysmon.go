package syslog

import (
	"encoding/xml"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
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

// sysmon reads a ProcessCreate.
func sysmon(p *evidence.Process, m message) bool {
	if !strings.HasPrefix(m.text, "<Event>") && !strings.HasPrefix(m.text, "<Event ") {
		return false
	}
	var e sysmonEvent
	if err := xml.Unmarshal([]byte(m.text), &e); err != nil {
		return false
	}
	if strings.TrimSpace(e.System.EventID) != "1" || !strings.Contains(e.System.Provider.Name, "Sysmon") {
		return false
	}
	if t, err := time.Parse(time.RFC3339Nano, e.System.TimeCreated.SystemTime); err == nil && t.Unix() >= 0 {
		p.Time = t.Unix()
	}
	p.EID = e.System.EventRecordID
	if e.System.Computer != "" {
		p.Host = e.System.Computer
	}
	for _, d := range e.EventData.Data {
		v := strings.TrimSpace(d.Text)
		if v == "-" {
			continue
		}
		switch d.Name {
		case "ProcessId":
			p.PID = number(v)
		case "ParentProcessId":
			p.ParentPID = number(v)
		case "Image":
			p.Path = v
		case "CommandLine":
			p.CmdLine = v
		case "CurrentDirectory":
			p.CWD = v
		case "User":
			p.Username = v
		case "LogonId":
			p.LoginUID = v // on Linux, the audit user id
		case "TerminalSessionId":
			if v != "4294967295" {
				p.Session = v
			}
		case "ParentImage":
			p.ParentPath = v
		case "ParentCommandLine":
			p.ParentCmdLine = v
		}
	}
	if p.LoginUID == "4294967295" {
		p.LoginUID = ""
	}
	// Sysmon joins the words with blanks.
	p.ArgsJoined = true
	if p.Username == "root" {
		p.Elevated = evidence.Yes
	} else if p.Username != "" {
		p.Elevated = evidence.No
	}
	return p.CmdLine != ""
}
