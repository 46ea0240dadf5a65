package evtx

import (
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func (e *Reader) systemInstall(b *Batch, r *record) {
	d := r.data
	b.Installs = append(b.Installs, evidence.Install{
		Time: r.time, TimeBasis: evidence.BasisEvent, Platform: r.platform, Host: r.host, Source: SourceSystem, EID: r.eid, Action: evidence.Created,
		ServiceType: text(d, "ServiceType"), Name: text(d, "ServiceName"), ImagePath: text(d, "ImagePath"),
		StartType: text(d, "StartType"), Account: text(d, "AccountName"),
		InstallerUID: sid(text(dict(r.system, "Security"), "UserID")),
	})
}

func (e *Reader) securityInstall(b *Batch, r *record) {
	d := r.data
	b.Installs = append(b.Installs, evidence.Install{
		Time: r.time, TimeBasis: evidence.BasisEvent, Platform: r.platform, Host: r.host, Source: SourceSecurity, EID: r.eid, Action: evidence.Created,
		ServiceType: text(d, "ServiceType"), Name: text(d, "ServiceName"), ImagePath: text(d, "ServiceFileName"),
		StartType: text(d, "ServiceStartType"), Account: text(d, "ServiceAccount"),
		InstallerUID: sid(text(d, "SubjectUserSid")), InstallerUsername: account(text(d, "SubjectDomainName"), text(d, "SubjectUserName")),
		LogonID: logonID(d, "SubjectLogonId"), InstallerPID: anyNumber(d, "ClientProcessId"),
	})
}

// startType reads 7040: another start type of a service.
func (e *Reader) startType(b *Batch, r *record) {
	d := r.data
	i := evidence.Install{
		Time: r.time, TimeBasis: evidence.BasisEvent, Platform: r.platform, Host: r.host, Source: SourceSystem, EID: r.eid, Action: evidence.Modified,
		Name: text(d, "param4"), DisplayName: text(d, "param1"), StartType: text(d, "param3"),
		InstallerUID: sid(text(dict(r.system, "Security"), "UserID")),
	}
	if i.Name == "" { // before Windows Vista
		i.Name, i.DisplayName = i.DisplayName, ""
	}
	if i.Name == "" {
		return
	}
	i.Changes = []string{"start_type: " + clip(text(d, "param2")) + " -> " + clip(i.StartType)}
	b.Installs = append(b.Installs, i)
}

// serviceKeys is what was written to the registry keys of services, by host and
// service, until the value comes that makes an install of it.
type serviceKeys struct {
	open map[string]*serviceKey
}

// serviceKey is what is known of one key.
type serviceKey struct {
	time                      int64
	made                      bool // the key was made, or its whole setup written
	start, typ, name, account string
}

const (
	// maxServiceKeys bounds the keys that are remembered.
	maxServiceKeys = 256
	// together is how far apart, in seconds, the values of one service are written.
	together = 5
)

func newServiceKeys() serviceKeys { return serviceKeys{open: map[string]*serviceKey{}} }

// of returns what is known of a service's key at a time.
func (k *serviceKeys) of(host, name string, now int64) *serviceKey {
	id := host + "\x00" + strings.ToLower(name)
	s := k.open[id]
	if s == nil || now-s.time > together || s.time-now > together {
		if len(k.open) >= maxServiceKeys {
			// All are of the last seconds or of no use any more; those of the last
			// seconds lose a detail.
			clear(k.open)
		}
		s = &serviceKey{}
		k.open[id] = s
	}
	s.time = now
	return s
}

// serviceValue takes the service and the rest of a registry path below the keys of
// services apart: "HKLM\System\CurrentControlSet\Services\NAME\ImagePath".
func serviceValue(target string) (name, value string, ok bool) {
	const services = `\services\`
	rest := target
	for _, root := range []string{`HKLM\SYSTEM\`, `\REGISTRY\MACHINE\SYSTEM\`, `HKEY_LOCAL_MACHINE\SYSTEM\`} {
		if len(rest) > len(root) && strings.EqualFold(rest[:len(root)], root) {
			rest = rest[len(root):]
			set, after, found := strings.Cut(rest, `\`)
			if !found || !strings.EqualFold(set, "CurrentControlSet") && (len(set) != len("ControlSet001") || !strings.EqualFold(set[:len("ControlSet")], "ControlSet")) {
				return "", "", false
			}
			if len(after) < len(services) || !strings.EqualFold(after[:len(services)-1], services[1:]) {
				return "", "", false
			}
			name, value, _ = strings.Cut(after[len(services)-1:], `\`)
			return name, value, name != ""
		}
	}
	return "", "", false
}

// dword is the number in Sysmon's "DWORD (0x00000002)".
func dword(s string) string {
	hex, ok := strings.CutPrefix(s, "DWORD (0x")
	if !ok {
		return ""
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(hex, ")"), 16, 32)
	if err != nil {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// sysmonRegistry reads what is done to the keys of services. The service control
// manager writes the type and the start type of a new service before its image
// path, and only what changes of an old one: that tells the two apart where the
// making of the key was not logged.
func (e *Reader) sysmonRegistry(b *Batch, r *record) {
	d := r.data
	name, value, ok := serviceValue(text(d, "TargetObject"))
	if !ok {
		return
	}
	key := e.keys.of(r.host, name, r.time)
	details := percent(text(d, "Details"))
	action := text(d, "EventType")
	if value == "" {
		switch action {
		case "CreateKey":
			key.made = true
		case "DeleteKey":
			b.Installs = append(b.Installs, e.registryInstall(r, name, evidence.Removed))
		}
		return
	}
	if action != "SetValue" {
		return
	}
	earlier := recentInstall(b, r, name)
	switch strings.ToLower(value) {
	case "type":
		key.typ = dword(details)
	case "start":
		key.start = dword(details)
	case "displayname":
		key.name = details
		if earlier != nil {
			earlier.DisplayName = details
		}
	case "objectname":
		key.account = details
		if earlier != nil {
			earlier.Account = details
		}
	case "imagepath":
		i := e.registryInstall(r, name, evidence.Modified)
		if key.made || key.start != "" {
			i.Action = evidence.Created
		}
		i.ImagePath, i.ServiceType, i.StartType, i.DisplayName, i.Account = details, key.typ, key.start, key.name, key.account
		if i.Action == evidence.Modified {
			i.Changes = []string{"image_path: ? -> " + clip(details)}
		}
		b.Installs = append(b.Installs, i)
	case `parameters\servicedll`, "servicedll":
		if earlier != nil && earlier.Action == evidence.Created && earlier.ServiceDLL == "" {
			earlier.ServiceDLL = details
			return
		}
		i := e.registryInstall(r, name, evidence.Modified)
		i.ServiceDLL = details
		i.Changes = []string{"service_dll: ? -> " + clip(details)}
		b.Installs = append(b.Installs, i)
	}
}

// registryInstall is an install that the process of an event wrote itself. What
// the service control manager writes, it does for somebody who is not told.
func (e *Reader) registryInstall(r *record, name, action string) evidence.Install {
	i := evidence.Install{
		Time: r.time, TimeBasis: evidence.BasisEvent, Platform: r.platform, Host: r.host, Source: SourceSysmon, EID: r.eid, Action: action, Name: name,
	}
	if image := text(r.data, "Image"); !strings.EqualFold(base(image), "services.exe") {
		i.InstallerPID, i.InstallerPath = anyNumber(r.data, "ProcessId"), dash(image)
		i.InstallerUsername = dash(text(r.data, "User"))
	}
	return i
}

// recentInstall returns the install of a service that was written just before.
func recentInstall(b *Batch, r *record, name string) *evidence.Install {
	for n := len(b.Installs) - 1; n >= 0 && n >= len(b.Installs)-8; n-- {
		i := &b.Installs[n]
		if i.Source == SourceSysmon && i.Host == r.host && strings.EqualFold(i.Name, name) && r.time-i.Time <= together {
			return i
		}
	}
	return nil
}

func base(path string) string { return path[strings.LastIndexAny(path, `\/`)+1:] }

// maxDetail bounds a text that is put together, in bytes.
const maxDetail = 2048

func clip(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetail], "") + "..."
}
