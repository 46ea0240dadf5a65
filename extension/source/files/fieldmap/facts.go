package fieldmap

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/evtx"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

// The values of Map.Kind. None means a process.
const (
	Process    = "process"
	Install    = "install"
	Logon      = "logon"
	Connection = "connection"
	Change     = "change"
)

// facts is what one object tells: what all kinds have, and one of the kinds.
type facts struct {
	time     int64
	host     string
	platform evidence.Platform
	id       string

	process    *evidence.Process
	install    *evidence.Install
	logon      *evidence.Logon
	connection *evidence.Connection
	change     *evidence.Change
	// source and destination of a connection, where the object tells these and a
	// direction.
	source, destination end
}

// end is one end of a connection.
type end struct {
	addr string
	port int64
	name string
}

type setter func(*facts, string)

// common are the facts that all kinds have.
var common = map[string]setter{
	"time":     func(f *facts, s string) { f.time, _ = Time(s) },
	"host":     func(f *facts, s string) { f.host = s },
	"platform": func(f *facts, s string) { f.platform = evidence.ParsePlatform(s) },
	"id":       func(f *facts, s string) { f.id = s },
}

// setters put a fact's text into what is known, by kind.
var setters = map[string]map[string]setter{
	Process: {
		"pid":               func(f *facts, s string) { f.process.PID = pid(s) },
		"parent_pid":        func(f *facts, s string) { f.process.ParentPID = pid(s) },
		"path":              func(f *facts, s string) { f.process.Path = s },
		"cmdline":           func(f *facts, s string) { f.process.CmdLine = s },
		"cwd":               func(f *facts, s string) { f.process.CWD = s },
		"original_filename": func(f *facts, s string) { f.process.OriginalFileName = s },
		"parent":            func(f *facts, s string) { f.process.ParentPath = s },
		"parent_cmdline":    func(f *facts, s string) { f.process.ParentCmdLine = s },
		"uid":               func(f *facts, s string) { f.process.UID = unset(s) },
		"user":              func(f *facts, s string) { f.process.Username = s },
		"login_uid":         func(f *facts, s string) { f.process.LoginUID = unset(s) },
		"login_user":        func(f *facts, s string) { f.process.LoginUser = s },
		"login_source":      func(f *facts, s string) { f.process.LoginSource = s },
		"logon_id":          func(f *facts, s string) { f.process.LogonID = s },
		"session":           func(f *facts, s string) { f.process.Session = unset(s) },
		"tty":               func(f *facts, s string) { f.process.TTY = s },
		"elevated":          func(f *facts, s string) { f.process.Elevated = tristate(s) },
		"integrity":         func(f *facts, s string) { f.process.IntegrityLevel = s },
		"container_id":      func(f *facts, s string) { f.process.ContainerID = s },
	},
	Install: {
		"time_basis":         func(f *facts, s string) { f.install.TimeBasis = s },
		"action":             func(f *facts, s string) { f.install.Action = action(s) },
		"service_kind":       func(f *facts, s string) { f.install.Kind = s },
		"name":               func(f *facts, s string) { f.install.Name = s },
		"display_name":       func(f *facts, s string) { f.install.DisplayName = s },
		"image_path":         func(f *facts, s string) { f.install.ImagePath = s },
		"path":               func(f *facts, s string) { f.install.Path = s },
		"args":               func(f *facts, s string) { f.install.Args = s },
		"service_dll":        func(f *facts, s string) { f.install.ServiceDLL = s },
		"service_type":       func(f *facts, s string) { f.install.ServiceType = s },
		"start_type":         func(f *facts, s string) { f.install.StartType = s },
		"account":            func(f *facts, s string) { f.install.Account = s },
		"unit_path":          func(f *facts, s string) { f.install.UnitPath = s },
		"installer_pid":      func(f *facts, s string) { f.install.InstallerPID = pid(s) },
		"installer_path":     func(f *facts, s string) { f.install.InstallerPath = s },
		"installer_cmdline":  func(f *facts, s string) { f.install.InstallerCmdLine = s },
		"installer_uid":      func(f *facts, s string) { f.install.InstallerUID = unset(s) },
		"installer_username": func(f *facts, s string) { f.install.InstallerUsername = s },
		"login_user":         func(f *facts, s string) { f.install.LoginUser = s },
		"logon_id":           func(f *facts, s string) { f.install.LogonID = s },
		"session":            func(f *facts, s string) { f.install.Session = unset(s) },
		"package":            func(f *facts, s string) { f.install.Package = s },
		"signed":             func(f *facts, s string) { f.install.Signed = tristate(s) },
		"sha256":             func(f *facts, s string) { f.install.SHA256 = s },
	},
	Logon: {
		"user":       func(f *facts, s string) { f.logon.Username = s },
		"uid":        func(f *facts, s string) { f.logon.UID = unset(s) },
		"type":       func(f *facts, s string) { f.logon.Type = logonType(s) },
		"from":       func(f *facts, s string) { f.logon.From = peer.Address(s) },
		"tty":        func(f *facts, s string) { f.logon.TTY = s },
		"pid":        func(f *facts, s string) { f.logon.PID = pid(s) },
		"logon_id":   func(f *facts, s string) { f.logon.LogonID = s },
		"failed":     func(f *facts, s string) { f.logon.Failed = failed(s) },
		"privileged": func(f *facts, s string) { f.logon.Privileged = tristate(s) },
	},
	Connection: {
		"pid":              func(f *facts, s string) { f.connection.PID = pid(s) },
		"parent_pid":       func(f *facts, s string) { f.connection.ParentPID = pid(s) },
		"path":             func(f *facts, s string) { f.connection.Path = s },
		"cmdline":          func(f *facts, s string) { f.connection.CmdLine = s },
		"user":             func(f *facts, s string) { f.connection.Username = s },
		"uid":              func(f *facts, s string) { f.connection.UID = unset(s) },
		"protocol":         func(f *facts, s string) { f.connection.Protocol = protocol(s) },
		"inbound":          func(f *facts, s string) { f.connection.Inbound = inbound(s) },
		"local_addr":       func(f *facts, s string) { f.connection.LocalAddr = peer.Address(s) },
		"local_port":       func(f *facts, s string) { f.connection.LocalPort = port(s) },
		"remote_addr":      func(f *facts, s string) { f.connection.RemoteAddr = peer.Address(s) },
		"remote_port":      func(f *facts, s string) { f.connection.RemotePort = port(s) },
		"remote_name":      func(f *facts, s string) { f.connection.RemoteName = s },
		"source_addr":      func(f *facts, s string) { f.source.addr = peer.Address(s) },
		"source_port":      func(f *facts, s string) { f.source.port = port(s) },
		"source_name":      func(f *facts, s string) { f.source.name = s },
		"destination_addr": func(f *facts, s string) { f.destination.addr = peer.Address(s) },
		"destination_port": func(f *facts, s string) { f.destination.port = port(s) },
		"destination_name": func(f *facts, s string) { f.destination.name = s },
	},
	Change: {
		"change_kind": func(f *facts, s string) { f.change.Kind = s },
		"subject":     func(f *facts, s string) { f.change.Subject = s },
		"detail":      func(f *facts, s string) { f.change.Detail = s },
		"user":        func(f *facts, s string) { f.change.Username = s },
		"uid":         func(f *facts, s string) { f.change.UID = unset(s) },
		"pid":         func(f *facts, s string) { f.change.PID = pid(s) },
	},
}

// kind is the kind of a map's objects.
func (m *Map) kind() string {
	if m.Kind == "" {
		return Process
	}
	return m.Kind
}

// checkFields says what is wrong with a map's kind and facts.
func (m *Map) checkFields() error {
	known := setters[m.kind()]
	if known == nil {
		return fmt.Errorf("unknown kind %q", m.Kind)
	}
	needs := map[string][]string{
		Process: {"cmdline"}, Install: {"name", "image_path"}, Logon: {"user"}, Connection: {"remote_addr", "destination_addr"}, Change: {"subject"},
	}[m.kind()]
	told := false
	for _, n := range needs {
		told = told || len(m.Fields[n]) > 0
	}
	if !told {
		return errors.New("it says nothing of " + strings.Join(needs, " or "))
	}
	for fact := range m.Fields {
		if known[fact] == nil && common[fact] == nil {
			return fmt.Errorf("unknown fact %q", fact)
		}
	}
	return nil
}

// read reads an object that a map fits.
func (m *Map) read(o Object, about About, to *evidence.Batch) bool {
	f := facts{host: about.Host, time: about.Time, platform: evidence.ParsePlatform(m.Platform)}
	if s := m.fact(o, "platform", ""); s != "" {
		if platform := evidence.ParsePlatform(s); platform != "" {
			f.platform = platform
		}
	}
	kind := m.kind()
	if f.platform == "" {
		f.platform = guess(m.fact(o, "path", ""), m.fact(o, "cwd", ""), m.fact(o, "image_path", ""))
	}
	known := setters[kind]
	var add func(*Map, *evidence.Batch) bool
	switch kind {
	case Process:
		f.process, add = new(evidence.Process), f.addProcess
	case Install:
		f.install, add = new(evidence.Install), f.addInstall
	case Logon:
		f.logon, add = new(evidence.Logon), f.addLogon
	case Connection:
		f.connection, add = new(evidence.Connection), f.addConnection
	default:
		f.change, add = new(evidence.Change), f.addChange
	}
	for fact := range m.Fields {
		if fact == "platform" {
			continue
		}
		s := m.fact(o, fact, f.platform)
		if s == "" {
			continue
		}
		if set := known[fact]; set != nil {
			set(&f, s)
		} else {
			common[fact](&f, s)
		}
	}
	if f.time == 0 {
		f.time = about.Time
	}
	return add(m, to)
}

func (f *facts) addProcess(m *Map, to *evidence.Batch) bool {
	p := f.process
	if p.CmdLine == "" {
		return false
	}
	p.Time, p.Platform, p.Host, p.Source, p.EID = f.time, f.platform, f.host, m.Name, f.id
	p.ArgsJoined = m.Joined && f.platform != evidence.Windows // Windows hands command lines over as they are
	if p.Elevated == evidence.Unknown {
		p.Elevated = elevated(p)
	}
	to.Processes = append(to.Processes, *p)
	return true
}

func (f *facts) addInstall(m *Map, to *evidence.Batch) bool {
	i := f.install
	if i.Name == "" && i.ImagePath == "" && i.UnitPath == "" {
		return false
	}
	i.Time, i.Platform, i.Host, i.Source, i.EID = f.time, f.platform, f.host, m.Name, f.id
	if i.TimeBasis == "" {
		i.TimeBasis = evidence.BasisEvent
	}
	if i.Action == "" {
		i.Action = evidence.Created
	}
	to.Installs = append(to.Installs, *i)
	return true
}

func (f *facts) addLogon(m *Map, to *evidence.Batch) bool {
	l := f.logon
	if l.Username == "" && l.UID == "" {
		return false
	}
	l.Time, l.Platform, l.Host, l.Source, l.EID = f.time, f.platform, f.host, m.Name, f.id
	to.Logons = append(to.Logons, *l)
	return true
}

func (f *facts) addConnection(m *Map, to *evidence.Batch) bool {
	c := f.connection
	if c.RemoteAddr == "" {
		local, remote := f.source, f.destination
		if c.Inbound {
			local, remote = remote, local
		}
		c.LocalAddr, c.LocalPort = local.addr, local.port
		c.RemoteAddr, c.RemotePort, c.RemoteName = remote.addr, remote.port, remote.name
	}
	if !peer.Other(c.RemoteAddr) || c.RemoteAddr == c.LocalAddr {
		return false
	}
	c.Time, c.Platform, c.Host, c.Source, c.EID = f.time, f.platform, f.host, m.Name, f.id
	to.Connections = append(to.Connections, *c)
	return true
}

func (f *facts) addChange(m *Map, to *evidence.Batch) bool {
	c := f.change
	switch c.Kind {
	case evidence.ChangeAccount, evidence.ChangePackage, evidence.ChangePatch, evidence.ChangeAudit, evidence.ChangeFile, evidence.ChangeRestart:
	default:
		return false
	}
	if c.Subject == "" {
		return false
	}
	c.Time, c.Platform, c.Host, c.Source, c.EID = f.time, f.platform, f.host, m.Name, f.id
	to.Changes = append(to.Changes, *c)
	return true
}

// action is one of an install's actions; anything else is none.
func action(s string) string {
	switch s = strings.ToLower(s); s {
	case evidence.Created, evidence.Modified, evidence.Enabled, evidence.Disabled, evidence.Removed:
		return s
	}
	return ""
}

// logonType reads a logon type: a word of evidence.Logon, Windows' number, or a
// word that a product has for it ("RemoteInteractive", "Remote Interactive").
func logonType(s string) string {
	if n, err := strconv.ParseInt(s, 10, 8); err == nil {
		return evtx.LogonType(n)
	}
	var b strings.Builder
	for i, c := range s {
		switch {
		case c == ' ' || c == '-' || c == '_':
			b.WriteByte('_')
		case c >= 'A' && c <= 'Z':
			if i > 0 && s[i-1] >= 'a' && s[i-1] <= 'z' {
				b.WriteByte('_')
			}
			b.WriteRune(c + 'a' - 'A')
		default:
			b.WriteRune(c)
		}
	}
	switch word := b.String(); word {
	case "interactive", "remote_interactive", "network", "service", "batch", "ssh", "console", "sudo", "explicit", "unlock", "network_cleartext", "new_credentials", "cached_interactive",
		"cached_remote_interactive", "cached_unlock":
		return word
	case "networkcleartext":
		return "network_cleartext"
	case "cached_credentials":
		return "cached_interactive"
	case "password", "publickey":
		return "ssh" // sshd's methods
	}
	return ""
}

func failed(s string) bool {
	switch strings.ToLower(s) {
	case "1", "true", "yes", "failure", "failed", "logonfailed", "userlogonfailed", "userlogonfailed2":
		return true
	}
	return false
}

// inbound reads a direction.
func inbound(s string) bool {
	switch strings.ToLower(s) {
	case "1", "true", "yes", "inbound", "ingress", "in", "receive", "accept", "connection_accepted", "inboundconnectionaccepted",
		"f>t", "false>true": // from a host that is not one's own to one that is
		return true
	}
	return false
}

func protocol(s string) string {
	switch s = strings.ToLower(s); s {
	case "6", "tcp", "ipv6-tcp", "tcpv4", "tcpv6":
		return "tcp"
	case "17", "udp", "ipv6-udp", "udpv4", "udpv6":
		return "udp"
	}
	return ""
}

func port(s string) int64 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0
	}
	return int64(n)
}
