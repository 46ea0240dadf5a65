package evtx

import (
	"math"
	"strconv"
	"strings"

	"github.com/Velocidex/ordereddict"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// filetimeEpoch is 1970 in 100 ns since 1601.
const filetimeEpoch = 116_444_736_000_000_000

// fromFiletime rounds down to seconds since 1970 UTC.
func fromFiletime(t uint64) int64 {
	d := int64(t) - filetimeEpoch
	if d < 0 {
		return 0
	}
	return d / 10_000_000
}

// record is one event's parts.
type record struct {
	system   *ordereddict.Dict
	data     *ordereddict.Dict
	time     int64
	host     string
	eid      string
	platform evidence.Platform
}

// event adds what an event tells to b.
func (e *Reader) event(b *Batch, root *ordereddict.Dict, written uint64) {
	ev := dict(root, "Event")
	system := dict(ev, "System")
	if system == nil {
		return
	}
	id, _ := number(system, "EventID")
	read := interpret(text(dict(system, "Provider"), "Name"), id)
	if read == nil {
		return
	}
	r := record{system: system, data: named(ev), platform: evidence.Windows}
	if r.data == nil {
		return
	}
	r.time = eventTime(system, written)
	r.host = text(system, "Computer")
	r.eid = text(system, "EventRecordID")
	read(e, b, &r)
}

// interpret returns what reads an event, nil for one that tells nothing of use.
// Ids are only unique to their provider.
func interpret(provider string, id int64) func(*Reader, *Batch, *record) {
	switch provider {
	case "Microsoft-Windows-Security-Auditing":
		switch id {
		case 4688:
			return (*Reader).processCreation
		case 4697:
			return (*Reader).securityInstall
		case 4624, 4625:
			return (*Reader).logon
		case 4648:
			return (*Reader).explicitLogon
		case 4672:
			return (*Reader).privileges
		case 5156:
			return (*Reader).filterConnection
		case 4719:
			return (*Reader).auditPolicy
		case 4698, 4699, 4700, 4701, 4702:
			return (*Reader).task
		}
		if _, ok := accountEvents[id]; ok {
			return (*Reader).accountChange
		}
	case "Service Control Manager":
		switch id {
		case 7045:
			return (*Reader).systemInstall
		case 7040:
			return (*Reader).startType
		}
	case "Microsoft-Windows-PowerShell", "PowerShellCore":
		if id == 4104 {
			return (*Reader).scriptBlock
		}
	case "Microsoft-Windows-Sysmon":
		switch id {
		case 1:
			return (*Reader).sysmonProcess
		case 3:
			return (*Reader).sysmonConnection
		case 11:
			return (*Reader).sysmonFile
		case 12, 13:
			return (*Reader).sysmonRegistry
		}
	case "Microsoft-Windows-Eventlog":
		if id == 1102 || id == 104 {
			return (*Reader).logCleared
		}
	case "Microsoft-Windows-TerminalServices-LocalSessionManager":
		if id == 21 || id == 25 {
			return (*Reader).terminalSession
		}
	case "MsiInstaller":
		switch id {
		case 1033, 1034, 1036, 11707, 11724:
			return (*Reader).installer
		}
	case "Microsoft-Windows-WindowsUpdateClient":
		if id == 19 {
			return (*Reader).windowsUpdate
		}
	case "Microsoft-Windows-Servicing":
		if id == 2 {
			return (*Reader).packageState
		}
	}
	return nil
}

func (e *Reader) processCreation(b *Batch, r *record) {
	d := r.data
	p := evidence.Process{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceSecurity, EID: r.eid,
		PID: anyNumber(d, "NewProcessId"), ParentPID: anyNumber(d, "ProcessId"),
		Path: text(d, "NewProcessName"), CmdLine: text(d, "CommandLine"), ParentPath: text(d, "ParentProcessName"),
		UID: sid(text(d, "SubjectUserSid")), Username: account(text(d, "SubjectDomainName"), text(d, "SubjectUserName")),
		LogonID: logonID(d, "SubjectLogonId"), IntegrityLevel: integrity(text(d, "MandatoryLabel")),
	}
	// The new process can run as somebody else (runas, a service's start): the
	// subject is then who started it.
	if target := account(text(d, "TargetDomainName"), text(d, "TargetUserName")); target != "" {
		p.LoginUID, p.LoginUser = p.UID, p.Username
		p.Username, p.UID = target, ""
		if id := sid(text(d, "TargetUserSid")); id != "S-1-0-0" {
			p.UID = id
		}
		if id := logonID(d, "TargetLogonId"); id != "" && id != "0x0" {
			p.LogonID = id
		}
	}
	p.Elevated = elevated(p.IntegrityLevel)
	switch text(d, "TokenElevationType") {
	case "%%1937", "TokenElevationTypeFull (2)":
		p.Elevated = evidence.Yes
	case "%%1938", "TokenElevationTypeLimited (3)":
		p.Elevated = evidence.No
	}
	b.add(p)
}

func (e *Reader) sysmonProcess(b *Batch, r *record) {
	d := r.data
	p := evidence.Process{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceSysmon, EID: r.eid,
		PID: anyNumber(d, "ProcessId"), ParentPID: anyNumber(d, "ParentProcessId"),
		Path: text(d, "Image"), CmdLine: percent(text(d, "CommandLine")), CWD: text(d, "CurrentDirectory"),
		OriginalFileName: dash(text(d, "OriginalFileName")),
		ParentPath:       dash(text(d, "ParentImage")), ParentCmdLine: percent(dash(text(d, "ParentCommandLine"))),
		Username: dash(text(d, "User")), LogonID: logonID(d, "LogonId"), Session: text(d, "TerminalSessionId"),
		IntegrityLevel: dash(text(d, "IntegrityLevel")),
	}
	p.Elevated = elevated(p.IntegrityLevel)
	b.add(p)
}

func (e *Reader) scriptBlock(b *Batch, r *record) {
	d := r.data
	part := script{
		key:   r.host + "\x00" + text(d, "ScriptBlockId"),
		total: int(int32Value(d, "MessageTotal")), number: int(int32Value(d, "MessageNumber")),
		text: text(d, "ScriptBlockText"),
		process: evidence.Process{
			Time: r.time, Platform: r.platform, Host: r.host, Source: SourcePowerShell, EID: r.eid,
			PID: anyNumber(dict(r.system, "Execution"), "ProcessID"), Path: "powershell.exe",
			UID: sid(text(dict(r.system, "Security"), "UserID")),
		},
	}
	b.Processes = append(b.Processes, e.scripts.add(part)...)
}

func (b *Batch) add(p evidence.Process) {
	if p.Path == "" && p.CmdLine == "" {
		return
	}
	if p.CmdLine == "" {
		b.Bare++
	}
	b.Processes = append(b.Processes, p)
}

// integrity names the level of a mandatory label.
func integrity(label string) string {
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

func elevated(level string) evidence.Tristate {
	switch level {
	case "High", "System":
		return evidence.Yes
	case "Medium", "Low", "Untrusted":
		return evidence.No
	}
	return evidence.Unknown
}

func account(domain, user string) string {
	user, domain = dash(user), dash(domain)
	if user == "" || domain == "" {
		return user
	}
	return domain + `\` + user
}

func sid(s string) string {
	if strings.HasPrefix(s, "S-1-") {
		return s
	}
	return ""
}

// known is a SID of somebody: "" for the null SID.
func known(id string) string {
	if id = sid(id); id == "S-1-0-0" {
		return ""
	}
	return id
}

// percent takes back that Sysmon doubles per cent signs, in all that it writes.
func percent(s string) string { return strings.ReplaceAll(s, "%%", "%") }

// dash is "" where the event says "-", its word for nothing.
func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

func logonID(d *ordereddict.Dict, key string) string {
	if n, ok := number(d, key); ok {
		return "0x" + strconv.FormatUint(uint64(n), 16)
	}
	return ""
}

// eventTime is when the event was made. The parser gives it as a floating-point
// number, too coarse for the last ticks before a full second; the record's own
// time is exact and the same, except in forwarded logs.
func eventTime(system *ordereddict.Dict, written uint64) int64 {
	at := fromFiletime(written)
	created := dict(system, "TimeCreated")
	if created == nil {
		return at
	}
	v, _ := created.Get("SystemTime")
	f, ok := v.(float64)
	if !ok || math.IsNaN(f) || f < 0 || f > 1<<40 {
		return at
	}
	if exact := float64(int64(written)-filetimeEpoch) / 1e7; math.Abs(exact-f) < 0.001 {
		return at
	}
	return int64(math.Floor(f))
}

func dict(d *ordereddict.Dict, key string) *ordereddict.Dict {
	if d == nil {
		return nil
	}
	v, _ := d.Get(key)
	out, _ := v.(*ordereddict.Dict)
	return out
}

// named returns an event's data by name. The parser does that only for events
// whose every value is there and that have more than one. The data of some
// providers is one element of their own.
func named(event *ordereddict.Dict) *ordereddict.Dict {
	d := dict(event, "EventData")
	if d == nil {
		user := dict(event, "UserData")
		if user == nil {
			return nil
		}
		for _, k := range user.Keys() {
			if inner := dict(user, k); inner != nil {
				return inner
			}
		}
		return nil
	}
	v, ok := d.Get("Data")
	if !ok {
		return d
	}
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	out := ordereddict.NewDict()
	for _, it := range items {
		if item, ok := it.(*ordereddict.Dict); ok {
			if value, ok := item.Get("Value"); ok {
				if name := text(item, "Name"); name != "" {
					out.Set(name, value)
				}
			}
		}
	}
	if out.Len() == 0 {
		return d
	}
	return out
}

// positional returns the values of an event whose data has no names.
func positional(d *ordereddict.Dict) []string {
	v, _ := d.Get("Data")
	switch v := v.(type) {
	case []string:
		return v
	case string:
		return []string{v}
	case []any:
		out := make([]string, len(v))
		for i, it := range v {
			if s, ok := it.(string); ok {
				out[i] = strings.TrimRight(s, "\x00")
			}
		}
		return out
	}
	return nil
}

// text returns a value as the event viewer would show it.
func text(d *ordereddict.Dict, key string) string {
	if d == nil {
		return ""
	}
	v, _ := d.Get(key)
	switch v := v.(type) {
	case string:
		return strings.TrimRight(v, "\x00")
	case *ordereddict.Dict:
		return text(v, "Value")
	case nil:
		return ""
	}
	if n, ok := integer(v); ok {
		return strconv.FormatUint(uint64(n), 10)
	}
	return ""
}

// number returns a value that is a number, or text of one ("0x3e7", "4688").
func number(d *ordereddict.Dict, key string) (int64, bool) {
	if d == nil {
		return 0, false
	}
	v, _ := d.Get(key)
	switch v := v.(type) {
	case string:
		n, err := strconv.ParseUint(strings.TrimSpace(v), 0, 64)
		return int64(n), err == nil
	case *ordereddict.Dict:
		return number(v, "Value")
	}
	return integer(v)
}

// yesNo returns a value that is yes or no.
func yesNo(d *ordereddict.Dict, key string) evidence.Tristate {
	v, _ := d.Get(key)
	if b, ok := v.(bool); ok {
		if b {
			return evidence.Yes
		}
		return evidence.No
	}
	switch text(d, key) {
	case "true", "1", "%%1842":
		return evidence.Yes
	case "false", "0", "%%1843":
		return evidence.No
	}
	return evidence.Unknown
}

func anyNumber(d *ordereddict.Dict, key string) int64 {
	n, ok := number(d, key)
	if !ok || n < 0 || n > math.MaxUint32 {
		return 0 // ids of processes have 32 bits
	}
	return n
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), true
	}
	return 0, false
}

// int32Value returns a signed number, which the parser hands over as the text of
// its bytes without trailing zeros.
func int32Value(d *ordereddict.Dict, key string) int32 {
	if d == nil {
		return 0
	}
	v, _ := d.Get(key)
	s, ok := v.(string)
	if !ok {
		n, _ := integer(v)
		return int32(min(max(n, 0), math.MaxInt32))
	}
	var n uint32
	for i := min(len(s), 4) - 1; i >= 0; i-- {
		n = n<<8 | uint32(s[i])
	}
	return int32(n)
}
