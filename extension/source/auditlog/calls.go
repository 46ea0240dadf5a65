package auditlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"path"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

// callKind is a system call that tells of more than its process.
type callKind uint8

const (
	none callKind = iota
	connect
	accept
	socketcall
	open
	openat
)

// callNames are the calls as enriched logs name them.
var callNames = map[string]callKind{"connect": connect, "accept": accept, "accept4": accept, "socketcall": socketcall, "open": open, "openat": openat}

// calls are the calls by the kernel's number of the architecture.
var calls = map[string]map[string]callKind{
	"c000003e": {"42": connect, "43": accept, "288": accept, "2": open, "257": openat},                          // x86_64
	"40000003": {"102": socketcall, "362": connect, "364": accept, "5": open, "295": openat},                    // i386
	"c00000b7": {"203": connect, "202": accept, "242": accept, "56": openat},                                    // aarch64
	"40000028": {"283": connect, "285": accept, "366": accept, "5": open, "322": openat},                        // arm
	"c0000015": {"102": socketcall, "328": connect, "330": accept, "344": accept, "5": open, "286": openat},     // ppc64le
	"80000016": {"102": socketcall, "362": connect, "364": accept, "5": open, "288": openat},                    // s390x
	"c00000f3": {"203": connect, "202": accept, "242": accept, "56": openat},                                    // riscv64
	"4000003e": {"42": connect, "43": accept, "288": accept, "2": open, "257": openat, "40000000002a": connect}, // x32
}

// socketcalls are the calls behind socketcall, by its first argument.
var socketcalls = map[string]callKind{"3": connect, "5": accept, "12": accept}

// writing are the flags of an open that can change a file: O_WRONLY, O_RDWR, and
// O_TRUNC as all architectures here but none of the old ones number it.
const writing = 0x1 | 0x2 | 0x200

func (e *event) sockaddr(body []byte) {
	fields(body, func(key, raw []byte) {
		// struct sockaddr_storage has 128 bytes.
		if string(key) != "saddr" || len(raw) > 256 {
			return
		}
		b, err := hex.DecodeString(string(raw))
		if err == nil {
			e.size += len(b)
			e.peer = b
		}
	})
}

// sockaddr reads a struct sockaddr_in or sockaddr_in6.
func sockaddr(b []byte) (addr netip.Addr, port uint16, ok bool) {
	if len(b) < 8 {
		return addr, 0, false
	}
	family := binary.LittleEndian.Uint16(b)
	if family > 0xff { // of a machine that counts from the other end
		family = binary.BigEndian.Uint16(b)
	}
	port = binary.BigEndian.Uint16(b[2:])
	switch {
	case family == 2:
		addr, ok = netip.AddrFromSlice(b[4:8])
	case family == 10 && len(b) >= 24:
		addr, ok = netip.AddrFromSlice(b[8:24])
	}
	return addr, port, ok
}

// connection is what a connect or an accept tells of, to another host. Without a
// port a connect only asks the kernel for the way.
func (e *event) connection() (evidence.Connection, bool) {
	if e.failed || e.call != connect && e.call != accept {
		return evidence.Connection{}, false
	}
	addr, port, ok := sockaddr(e.peer)
	if !ok || port == 0 {
		return evidence.Connection{}, false
	}
	c := evidence.Connection{
		Time: e.second, Platform: evidence.Linux, Host: e.node, Source: Source, EID: e.id,
		PID: e.p.PID, ParentPID: e.p.ParentPID, Path: e.p.Path, Username: e.p.Username, UID: e.p.UID,
		Inbound: e.call == accept, RemoteAddr: peer.Address(addr.String()), RemotePort: int64(port),
	}
	c.CmdLine, _ = e.titleLine()
	return c, peer.Other(c.RemoteAddr)
}

// file is one file that a system call named.
type file struct {
	name string
	kind string // CREATE, DELETE or NORMAL
}

// maxFiles bounds the files of one event. A rename names four.
const maxFiles = 16

var unitHints = [][]byte{[]byte("systemd"), []byte("init.d"), []byte("rc"), []byte("runlevels"), []byte("/etc/init/")}

// tellsOfUnit reports whether a PATH record can be of interest. Most are those of
// the programs that are executed.
func tellsOfUnit(body []byte) bool {
	if bytes.Contains(body, []byte("nametype=CREATE")) || bytes.Contains(body, []byte("nametype=DELETE")) {
		return true
	}
	if !bytes.Contains(body, []byte("nametype=NORMAL")) {
		return false
	}
	for _, h := range unitHints {
		if bytes.Contains(body, h) {
			return true
		}
	}
	return false
}

func (e *event) file(body []byte) {
	var f file
	fields(body, func(key, raw []byte) {
		switch string(key) {
		case "name":
			if len(raw) <= maxPath {
				f.name = untrusted(raw)
			}
		case "nametype":
			f.kind = string(raw)
		}
	})
	if f.name != "" && len(e.files) < maxFiles {
		e.size += len(f.name)
		e.files = append(e.files, f)
	}
}

// installs are the services that the files of the event are of.
func (e *event) installs() (out []evidence.Install) {
	if e.failed || !e.syscall || e.exec {
		return nil
	}
	for _, f := range e.files {
		name := f.name
		if !strings.HasPrefix(name, "/") {
			if e.p.CWD == "" {
				continue
			}
			name = e.p.CWD + "/" + name
		}
		i, ok := Unit(name)
		if !ok {
			continue
		}
		switch f.kind {
		case "DELETE":
			i.Action = undone(i.Action)
		case "NORMAL":
			if e.call != open && e.call != openat || e.flags&writing == 0 {
				continue
			}
			i.Action = evidence.Modified
		}
		i.Time, i.TimeBasis, i.Platform, i.Host, i.Source, i.EID = e.second, evidence.BasisEvent, evidence.Linux, e.node, Source, e.id
		i.InstallerPID, i.InstallerPath, i.InstallerUID, i.InstallerUsername = e.p.PID, e.p.Path, e.p.UID, e.p.Username
		i.InstallerCmdLine, _ = e.titleLine()
		i.LoginUser, i.Session = e.p.LoginUser, e.p.Session
		out = append(out, i)
	}
	return out
}

// undone is what removing a file means, by what making it does.
func undone(action string) string {
	switch action {
	case evidence.Enabled:
		return evidence.Disabled
	case evidence.Created:
		return evidence.Removed
	}
	return evidence.Modified
}

// unitDirs are the directories of units and, below them, of links that switch
// them on. Those of generators are left out: they are filled at every boot.
var unitDirs = []string{
	"/etc/systemd/system", "/etc/systemd/user", "/etc/systemd/system.control", "/etc/systemd/system.attached", "/etc/xdg/systemd/user",
	"/run/systemd/system", "/run/systemd/user", "/run/systemd/transient", "/run/systemd/system.control", "/run/systemd/system.attached",
	"/usr/local/lib/systemd/system", "/usr/local/lib/systemd/user", "/usr/local/share/systemd/user",
	"/usr/lib/systemd/system", "/usr/lib/systemd/user", "/usr/share/systemd/user", "/lib/systemd/system", "/lib/systemd/user",
}

// homeUnits end the directory of a user's own units.
var homeUnits = []string{"/.config/systemd/user/", "/.local/share/systemd/user/", "/.config/systemd/user.control/"}

// Unit tells what making the file at a path does to a service: Action, Kind, Name
// and UnitPath. ok is false where no service is defined there.
func Unit(p string) (i evidence.Install, ok bool) {
	p = path.Clean(p)
	i = evidence.Install{Action: evidence.Created, Kind: "systemd", UnitPath: p}
	dir, name := path.Split(p)
	if rest, found := below(p); found {
		parts := strings.Split(rest, "/")
		switch {
		case len(parts) == 1:
			i.Name = name
			return i, isUnit(name)
		case len(parts) == 2 && strings.HasSuffix(parts[0], ".d"):
			i.Name, i.Action = strings.TrimSuffix(parts[0], ".d"), evidence.Modified
			return i, isUnit(i.Name) && strings.HasSuffix(name, ".conf")
		case len(parts) == 2 && (strings.HasSuffix(parts[0], ".wants") || strings.HasSuffix(parts[0], ".requires") || strings.HasSuffix(parts[0], ".upholds")):
			i.Name, i.Action = name, evidence.Enabled
			return i, isUnit(name)
		}
		return i, false
	}
	dir = strings.TrimSuffix(dir, "/")
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
		return i, false
	}
	switch base := path.Base(dir); {
	case (strings.HasPrefix(dir, "/etc/systemd/") || strings.HasPrefix(dir, "/run/systemd/") || strings.HasPrefix(dir, "/usr/lib/systemd/") || strings.HasPrefix(dir, "/usr/local/lib/systemd/") ||
		strings.HasPrefix(dir, "/lib/systemd/")) && strings.HasSuffix(base, "-generators"):
		i.Name = name // a program systemd runs at every boot
	case dir == "/etc/init.d", dir == "/etc/rc.d/init.d":
		i.Name, i.Kind = name, "sysv"
	case p == "/etc/rc.local", p == "/etc/rc.d/rc.local":
		i.Name, i.Kind = name, "sysv"
	case dir == "/etc/init" && strings.HasSuffix(name, ".conf"):
		i.Name, i.Kind = strings.TrimSuffix(name, ".conf"), "sysv"
	case strings.HasPrefix(dir, "/etc/runlevels/"):
		i.Name, i.Kind, i.Action = name, "openrc", evidence.Enabled
	case strings.HasPrefix(dir, "/etc/rc") && len(base) == len("rc3.d") && strings.HasPrefix(base, "rc") && strings.HasSuffix(base, ".d") && len(name) > 3 && (name[0] == 'S' || name[0] == 'K'):
		if name[0] == 'K' {
			return i, false
		}
		i.Name, i.Kind, i.Action = strings.TrimLeft(name[1:], "0123456789"), "sysv", evidence.Enabled
	default:
		return i, false
	}
	return i, i.Name != ""
}

// below returns a path's part below a directory of units.
func below(p string) (rest string, ok bool) {
	for _, d := range unitDirs {
		if len(p) > len(d) && p[len(d)] == '/' && p[:len(d)] == d {
			return p[len(d)+1:], true
		}
	}
	for _, h := range homeUnits {
		if i := strings.Index(p, h); i > 0 {
			return p[i+len(h):], true
		}
	}
	return "", false
}

// isUnit reports whether a name is that of a unit that runs something. What
// editors and package managers write beside it ends otherwise.
func isUnit(name string) bool {
	if strings.HasPrefix(name, ".") || len(name) > 255 {
		return false
	}
	switch path.Ext(name) {
	case ".service", ".timer", ".socket", ".path", ".mount", ".automount":
		return len(name) > len(path.Ext(name))
	}
	return false
}
