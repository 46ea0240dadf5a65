package winevent

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

func (e *Event) port(name string) int64 {
	n, ok := e.number(name)
	if !ok || n > 65535 {
		return 0
	}
	return int64(n)
}

func (*Reader) sysmonConnection(e *Event, b *evidence.Batch) {
	c := evidence.Connection{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID,
		PID: e.pid("ProcessId"), Path: e.text("Image"), Username: e.text("User"), Protocol: strings.ToLower(e.text("Protocol")),
		Inbound: e.yesNo("Initiated") == evidence.No,
	}
	if strings.HasPrefix(c.Path, "<") {
		c.Path = "" // "<unknown process>"
	}
	local, remote := "Source", "Destination"
	// Which side an inbound connection calls the source differs by version: the
	// host's own name tells, or else the port that is served, which is the smaller.
	if c.Inbound {
		named := sameHost(e.text("DestinationHostname"), e.Host)
		if named == sameHost(e.text("SourceHostname"), e.Host) {
			named = e.port("DestinationPort") < e.port("SourcePort")
		}
		if named {
			local, remote = remote, local
		}
	}
	c.LocalAddr, c.LocalPort = peer.Address(e.text(local+"Ip")), e.port(local+"Port")
	c.RemoteAddr, c.RemotePort = peer.Address(e.text(remote+"Ip")), e.port(remote+"Port")
	c.RemoteName = e.text(remote + "Hostname")
	connect(b, c)
}

// filtered is 5156: the filtering platform let a connection through. It tells the
// local address first, whatever the direction.
func (*Reader) filtered(e *Event, b *evidence.Batch) {
	connect(b, evidence.Connection{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID,
		PID: e.pid("ProcessID"), Path: e.text("Application"), Protocol: Protocol(e.text("Protocol")), Inbound: e.text("Direction") == "%%14592",
		LocalAddr: peer.Address(e.text("SourceAddress")), LocalPort: e.port("SourcePort"),
		RemoteAddr: peer.Address(e.text("DestAddress")), RemotePort: e.port("DestPort"),
	})
}

// Protocol names the number of a protocol, of those that matter.
func Protocol(number string) string {
	switch number {
	case "6":
		return "tcp"
	case "17":
		return "udp"
	}
	return ""
}

// connect adds a connection with another host.
func connect(b *evidence.Batch, c evidence.Connection) {
	if c.RemoteAddr != "" && c.RemoteAddr != c.LocalAddr && peer.Other(c.RemoteAddr) && peer.Other(c.LocalAddr) {
		b.Connections = append(b.Connections, c)
	}
}
