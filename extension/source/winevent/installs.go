package winevent

import (
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service"
)

func (e *Event) install(action string) evidence.Install {
	return evidence.Install{
		Time: e.Time, TimeBasis: evidence.BasisEvent, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID, Action: action,
	}
}

// serviceNew is System 7045. What it calls the service's name is the display name
// where the two differ.
func (*Reader) serviceNew(e *Event, b *evidence.Batch) {
	in := e.install(evidence.Created)
	in.Name, in.ImagePath = e.text("ServiceName"), e.text("ImagePath")
	in.ServiceType, in.StartType, in.Account = e.text("ServiceType"), e.text("StartType"), e.text("AccountName")
	in.InstallerUID = e.UID
	in.Kind = kind(in)
	b.Installs = append(b.Installs, in)
}

func (*Reader) serviceAdded(e *Event, b *evidence.Batch) {
	in := e.install(evidence.Created)
	in.Name, in.ImagePath = e.text("ServiceName"), e.text("ServiceFileName")
	in.ServiceType, in.StartType, in.Account = e.text("ServiceType"), e.text("ServiceStartType"), e.text("ServiceAccount")
	in.Kind = kind(in)
	in.InstallerUID, in.InstallerUsername = e.sid("SubjectUserSid"), e.user("SubjectDomainName", "SubjectUserName")
	in.LogonID, in.InstallerPID = e.logonID("SubjectLogonId"), e.pid("ClientProcessId")
	b.Installs = append(b.Installs, in)
}

// startChanged is System 7040. Its words are those of the system's language: what
// they mean is not read from them.
func (*Reader) startChanged(e *Event, b *evidence.Batch) {
	in := e.install(evidence.Modified)
	in.DisplayName, in.Name, in.StartType = e.text("param1"), e.text("param4"), e.text("param3")
	in.InstallerUID = e.UID
	if in.Name == "" { // before Windows Vista
		in.Name, in.DisplayName = in.DisplayName, ""
	}
	if in.Name == "" {
		return
	}
	in.Changes = []string{"start_type: " + clip(e.text("param2")) + " -> " + clip(in.StartType)}
	b.Installs = append(b.Installs, in)
}

func kind(in evidence.Install) string {
	return string(service.KindOf(service.ParseType(in.ServiceType), in.Name, in.ImagePath))
}

// The bounds of what is remembered of registry keys.
const (
	maxServiceKeys = 256
	// together is how far apart, in seconds, the values of one service are written.
	together = 5
)

// serviceKeys is what was written to the keys of services, by host and service,
// until the value comes that makes an install of it.
type serviceKeys map[string]*serviceKey

type serviceKey struct {
	time                      int64
	made                      bool // the key itself was
	start, typ, name, account string
}

func (k *serviceKeys) of(host, name string, now int64) *serviceKey {
	id := host + "\x00" + strings.ToLower(name)
	s := (*k)[id]
	if s == nil || now-s.time > together || s.time-now > together {
		if *k == nil || len(*k) >= maxServiceKeys {
			// Most are of no use any more; those of the last seconds lose a detail.
			*k = serviceKeys{}
		}
		s = &serviceKey{}
		(*k)[id] = s
	}
	s.time = now
	return s
}

// serviceValue splits the path of a key or value below a service's key into the
// service's name and what is below it.
func serviceValue(path string) (name, value string, ok bool) {
	for _, root := range []string{`HKLM\SYSTEM\`, `\REGISTRY\MACHINE\SYSTEM\`, `HKEY_LOCAL_MACHINE\SYSTEM\`} {
		rest, found := cutPrefixFold(path, root)
		if !found {
			continue
		}
		set, rest, found := strings.Cut(rest, `\`)
		number, numbered := cutPrefixFold(set, "ControlSet")
		if !found || !(numbered && len(number) == len("001")) && !strings.EqualFold(set, "CurrentControlSet") {
			return "", "", false
		}
		if rest, found = cutPrefixFold(rest, `Services\`); !found {
			return "", "", false
		}
		name, value, _ = strings.Cut(rest, `\`)
		return name, value, name != ""
	}
	return "", "", false
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// sysmonRegistry is Sysmon 12 (a key was created or deleted) and 13 (a value was
// set) below the keys of services. The service manager writes the type and the
// start type of a new service before its image path, and only what changes of an
// old one: that tells the two apart where the making of the key was not logged.
func (r *Reader) sysmonRegistry(e *Event, b *evidence.Batch) {
	name, value, ok := serviceValue(e.text("TargetObject"))
	if !ok {
		return
	}
	key := r.keys.of(e.Host, name, e.Time)
	details, action := e.text("Details"), e.text("EventType")
	if value == "" {
		switch action {
		case "CreateKey":
			key.made = true
		case "DeleteKey":
			b.Installs = append(b.Installs, e.registryInstall(name, evidence.Removed))
		}
		return
	}
	if action != "SetValue" {
		return
	}
	earlier := e.recentInstall(b, name)
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
		in := e.registryInstall(name, evidence.Modified)
		if key.made || key.start != "" {
			in.Action = evidence.Created
		} else {
			in.Changes = []string{"image_path: ? -> " + clip(details)}
		}
		in.ImagePath, in.ServiceType, in.StartType, in.DisplayName, in.Account = details, key.typ, key.start, key.name, key.account
		in.Kind = kind(in)
		b.Installs = append(b.Installs, in)
	case `parameters\servicedll`, "servicedll":
		if earlier != nil && earlier.Action == evidence.Created && earlier.ServiceDLL == "" {
			earlier.ServiceDLL = details
			return
		}
		in := e.registryInstall(name, evidence.Modified)
		in.ServiceDLL = details
		in.Changes = []string{"service_dll: ? -> " + clip(details)}
		b.Installs = append(b.Installs, in)
	}
}

// registryInstall is an install that the event's process wrote itself. What the
// service manager writes, it does for somebody who is not told.
func (e *Event) registryInstall(name, action string) evidence.Install {
	in := e.install(action)
	in.Name = name
	if image := e.text("Image"); !strings.EqualFold(base(image), "services.exe") {
		in.InstallerPID, in.InstallerPath, in.InstallerUsername = e.pid("ProcessId"), image, e.text("User")
	}
	return in
}

// recentInstall is the install of a service that was written just before.
func (e *Event) recentInstall(b *evidence.Batch, name string) *evidence.Install {
	for n := len(b.Installs) - 1; n >= 0 && n >= len(b.Installs)-8; n-- {
		in := &b.Installs[n]
		if in.Source == e.Source && in.Host == e.Host && strings.EqualFold(in.Name, name) && e.Time-in.Time <= together {
			return in
		}
	}
	return nil
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
