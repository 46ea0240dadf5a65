package evtx

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

// filterConnection reads 5156, which tells the local address first, whatever the
// direction.
func (e *Reader) filterConnection(b *Batch, r *record) {
	d := r.data
	c := evidence.Connection{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceSecurity, EID: r.eid,
		PID: anyNumber(d, "ProcessID"), Path: dash(text(d, "Application")), Inbound: text(d, "Direction") == "%%14592",
		LocalAddr: peer.Address(text(d, "SourceAddress")), LocalPort: port(r, "SourcePort"),
		RemoteAddr: peer.Address(text(d, "DestAddress")), RemotePort: port(r, "DestPort"),
	}
	switch n, _ := number(d, "Protocol"); n {
	case 6:
		c.Protocol = "tcp"
	case 17:
		c.Protocol = "udp"
	}
	b.connect(c)
}

// sysmonConnection reads Sysmon 3.
func (e *Reader) sysmonConnection(b *Batch, r *record) {
	d := r.data
	c := evidence.Connection{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceSysmon, EID: r.eid,
		PID: anyNumber(d, "ProcessId"), Path: dash(text(d, "Image")), Username: dash(text(d, "User")),
		Protocol: strings.ToLower(text(d, "Protocol")), Inbound: yesNo(d, "Initiated") == evidence.No,
	}
	local, remote := "Source", "Destination"
	if c.Inbound {
		// Which side an inbound connection calls the source differs by version: it is
		// known by its name, or by the port that is served, the smaller one.
		source, destination := sameHost(text(d, "SourceHostname"), r.host), sameHost(text(d, "DestinationHostname"), r.host)
		if destination && !source || destination == source && port(r, "DestinationPort") < port(r, "SourcePort") {
			local, remote = remote, local
		}
	}
	if strings.HasPrefix(c.Path, "<") { // "<unknown process>"
		c.Path = ""
	}
	c.LocalAddr, c.LocalPort = peer.Address(text(d, local+"Ip")), port(r, local+"Port")
	c.RemoteAddr, c.RemotePort = peer.Address(text(d, remote+"Ip")), port(r, remote+"Port")
	c.RemoteName = dash(text(d, remote+"Hostname"))
	b.connect(c)
}

// connect adds a connection to or from another host.
func (b *Batch) connect(c evidence.Connection) {
	if peer.Other(c.RemoteAddr) && peer.Other(c.LocalAddr) && c.RemoteAddr != c.LocalAddr {
		b.Connections = append(b.Connections, c)
	}
}

func port(r *record, key string) int64 {
	n, ok := number(r.data, key)
	if !ok || n < 0 || n > 65535 {
		return 0
	}
	return n
}
