// Package winevent reads what the events of Windows' event logs tell. It is given
// the parts of an event and is not concerned with how they were read: from the
// tables of osquery or from files.
//
//	processes    Security 4688, PowerShell 4104 (script blocks), Sysmon 1
//	installs     System 7045 and 7040, Security 4697, Sysmon 12 and 13 on keys of services
//	logons       Security 4624, 4625, 4648, 4672, terminal services 21 and 25
//	connections  Security 5156, Sysmon 3
//	changes      of accounts and groups (Security 472x to 478x), auditing (1102, 104,
//	             4719), tasks (4698 to 4702), packages (MsiInstaller), patches
//	             (WindowsUpdateClient 19, Setup 2), files of services (Sysmon 11)
//
// Two kinds of logons are left out when they come from the host itself, since they
// are most of a log and say nothing of a person: those of machine accounts, and
// those of the accounts that services run as (LOCAL SERVICE, NT SERVICE\x, DWM-1).
// Of connections, those to the host itself and to everybody (multicast) are left
// out.
//
// Ids are unique to their provider only, so both decide what an event is.
package winevent

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// The channels that events of use are in.
const (
	Security    = "Security"
	System      = "System"
	Sysmon      = "Microsoft-Windows-Sysmon/Operational"
	PowerShell  = "Microsoft-Windows-PowerShell/Operational"
	Application = "Application"
	Setup       = "Setup"
	Terminal    = "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational"
)

// The providers of those events.
const (
	ProviderSecurity   = "Microsoft-Windows-Security-Auditing"
	ProviderEventLog   = "Microsoft-Windows-Eventlog"
	ProviderSCM        = "Service Control Manager"
	ProviderSysmon     = "Microsoft-Windows-Sysmon"
	ProviderPowerShell = "Microsoft-Windows-PowerShell"
	ProviderCore       = "PowerShellCore"
	ProviderTerminal   = "Microsoft-Windows-TerminalServices-LocalSessionManager"
	ProviderInstaller  = "MsiInstaller"
	ProviderUpdate     = "Microsoft-Windows-WindowsUpdateClient"
	ProviderServicing  = "Microsoft-Windows-Servicing"
)

// The ids of the events that are read; those of accounts and of Windows Installer
// are in [AccountIDs] and [InstallerIDs].
const (
	ProcessCreated = 4688 // Security
	ServiceAdded   = 4697 // Security
	Connection     = 5156 // Security
	AuditCleared   = 1102 // Security
	AuditPolicy    = 4719 // Security
	TaskCreated    = 4698 // Security
	TaskDeleted    = 4699 // Security
	TaskEnabled    = 4700 // Security
	TaskDisabled   = 4701 // Security
	TaskChanged    = 4702 // Security
	LoggedOn       = 4624 // Security
	LogonFailed    = 4625 // Security
	ExplicitLogon  = 4648 // Security
	Privileges     = 4672 // Security
	ServiceNew     = 7045 // System
	StartChanged   = 7040 // System
	LogCleared     = 104  // System
	Updated        = 19   // System
	ScriptBlock    = 4104 // PowerShell
	PackageState   = 2    // Setup
	SessionBegun   = 21   // Terminal
	SessionResumed = 25   // Terminal

	SysmonProcess    = 1
	SysmonConnection = 3
	SysmonFile       = 11
	SysmonKey        = 12
	SysmonValue      = 13
)

// Event is one event.
type Event struct {
	Provider string
	ID       int64
	Time     int64 // seconds since 1970 UTC
	Host     string
	// Channel is the log it is in, where it is known.
	Channel string
	// PID and UID are the process that wrote the event and the SID of its user, as the
	// event's header tells, where they are known.
	PID int64
	UID string
	// Data holds the event's values by name, those without one by their place: "0",
	// "1"; a single one has no name at all.
	Data map[string]string
	// Source and EID go into what is made of the event.
	Source, EID string
}

// The bounds of an event's data.
const (
	maxNames = 512
	maxDepth = 8
)

// ParseData reads the data column of osquery's windows_eventlog and
// windows_events: {"EventData": {name: text}} or {"UserData": {element: {name:
// text}}}. Values without a name get their place as one, "0", "1".
func ParseData(text string) (map[string]string, error) {
	var data struct {
		EventData json.RawMessage
		UserData  json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		return nil, fmt.Errorf("reading an event's data: %w", err)
	}
	out := map[string]string{}
	for _, part := range []json.RawMessage{data.UserData, data.EventData} {
		if len(part) == 0 {
			continue
		}
		var v any
		if err := json.Unmarshal(part, &v); err != nil {
			return nil, fmt.Errorf("reading an event's data: %w", err)
		}
		flatten(out, "", v, 0)
	}
	return out, nil
}

// flatten puts every text into out under its own name, whatever it is in.
func flatten(out map[string]string, name string, v any, depth int) {
	if depth > maxDepth || len(out) >= maxNames {
		return
	}
	switch v := v.(type) {
	case string:
		if _, twice := out[name]; !twice {
			out[name] = v
		}
	case map[string]any:
		for k, inner := range v {
			if k == "<xmlattr>" {
				continue
			}
			flatten(out, k, inner, depth+1)
		}
	case []any:
		for i, inner := range v {
			flatten(out, strconv.Itoa(i), inner, depth+1)
		}
	}
}

// maxSecond is the year 9999.
const maxSecond = 253_402_300_799

// ParseTime reads an event's time (2020-06-17T14:27:41.3945738Z), rounded down to
// seconds since 1970 UTC.
func ParseTime(s string) (int64, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, false
	}
	u := t.Unix()
	return u, u >= 0 && u <= maxSecond
}

// Reader reads events in the order of their logs. What several events tell
// together waits in it for the last of them, until Flush. The zero value is ready
// to use.
type Reader struct {
	// Whole says that all of a log is read: a logon of which it tells no more than
	// the rights it got (4672) counts as one.
	Whole bool

	scripts scripts
	keys    serviceKeys
	rights  rights
}

// Reads reports whether events of an id of a provider tell something.
func Reads(provider string, id int64) bool { return reader(provider, id) != nil }

// Read adds what an event tells to b and reports whether it is of a kind that
// tells something, whether or not this one did.
func (r *Reader) Read(e *Event, b *evidence.Batch) bool {
	read := reader(e.Provider, e.ID)
	if read == nil {
		return false
	}
	read(r, e, b)
	return true
}

// Flush adds what is there of what waits.
func (r *Reader) Flush(b *evidence.Batch) {
	b.Processes = append(b.Processes, r.scripts.flush()...)
	r.rights.flush(b, r.Whole)
	r.keys = serviceKeys{}
}

func reader(provider string, id int64) func(*Reader, *Event, *evidence.Batch) {
	switch provider {
	case ProviderSecurity:
		switch id {
		case ProcessCreated:
			return (*Reader).process
		case ServiceAdded:
			return (*Reader).serviceAdded
		case Connection:
			return (*Reader).filtered
		case AuditPolicy:
			return (*Reader).auditPolicy
		case TaskCreated, TaskDeleted, TaskEnabled, TaskDisabled, TaskChanged:
			return (*Reader).task
		case LoggedOn, LogonFailed:
			return (*Reader).logon
		case ExplicitLogon:
			return (*Reader).explicit
		case Privileges:
			return (*Reader).privileges
		}
		if _, ok := accountEvents[id]; ok {
			return (*Reader).account
		}
	case ProviderEventLog:
		switch id {
		case AuditCleared, LogCleared:
			return (*Reader).cleared
		}
	case ProviderSCM:
		switch id {
		case ServiceNew:
			return (*Reader).serviceNew
		case StartChanged:
			return (*Reader).startChanged
		}
	case ProviderSysmon:
		switch id {
		case SysmonProcess:
			return (*Reader).sysmonProcess
		case SysmonConnection:
			return (*Reader).sysmonConnection
		case SysmonFile:
			return (*Reader).sysmonFile
		case SysmonKey, SysmonValue:
			return (*Reader).sysmonRegistry
		}
	case ProviderPowerShell, ProviderCore:
		if id == ScriptBlock {
			return (*Reader).script
		}
	case ProviderTerminal:
		if id == SessionBegun || id == SessionResumed {
			return (*Reader).session
		}
	case ProviderInstaller:
		if slices.Contains(installerIDs[:], id) {
			return (*Reader).installer
		}
	case ProviderUpdate:
		if id == Updated {
			return (*Reader).update
		}
	case ProviderServicing:
		if id == PackageState {
			return (*Reader).packageState
		}
	}
	return nil
}

// text is a value; "-" and "<value not set>" are the events' words for nothing.
func (e *Event) text(name string) string {
	s := strings.TrimRight(e.Data[name], "\x00")
	switch {
	case s == "-", s == "%%1793":
		return ""
	case e.Provider == ProviderSysmon:
		// It doubles per cent signs, so that nobody takes them for a message's.
		return strings.ReplaceAll(s, "%%", "%")
	}
	return s
}

// number is a value that is a number, decimal or hexadecimal.
func (e *Event) number(name string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(e.Data[name]), 0, 64)
	return n, err == nil
}

// pid is the id of a process: they have 32 bits.
func (e *Event) pid(name string) int64 {
	n, ok := e.number(name)
	if !ok || n > math.MaxUint32 {
		return 0
	}
	return int64(n)
}

// logonID is a logon's id, empty for none.
func (e *Event) logonID(name string) string {
	n, ok := e.number(name)
	if !ok || n == 0 {
		return ""
	}
	return "0x" + strconv.FormatUint(n, 16)
}

// sid is a security identifier, empty where there is another thing or nobody's.
func (e *Event) sid(name string) string {
	s := e.text(name)
	if !strings.HasPrefix(s, "S-1-") || s == "S-1-0-0" {
		return ""
	}
	return s
}

// user is DOMAIN\name, or the name where there is no domain.
func (e *Event) user(domain, name string) string {
	d, n := e.text(domain), e.text(name)
	if d == "" || n == "" {
		return n
	}
	return d + `\` + n
}

// Integrity names the level of a mandatory label (S-1-16-12288).
func Integrity(label string) string {
	switch strings.TrimPrefix(label, "S-1-16-") {
	case "0":
		return "Untrusted"
	case "4096":
		return "Low"
	case "8192", "8448":
		return "Medium"
	case "12288":
		return "High"
	case "16384":
		return "System"
	}
	return ""
}

// maxDetail bounds a text that is put together, in bytes.
const maxDetail = 2048

func clip(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetail], "") + "..."
}

func base(path string) string { return path[strings.LastIndexAny(path, `\/`)+1:] }

// Elevated says what an integrity level tells of administrator's rights.
func Elevated(level string) evidence.Tristate {
	switch level {
	case "High", "System":
		return evidence.Yes
	case "Medium", "Low", "Untrusted":
		return evidence.No
	}
	return evidence.Unknown
}
