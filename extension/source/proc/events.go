package proc

import (
	"encoding/binary"
)

// The events of the process connector that matter here, from the kernel's
// linux/cn_proc.h.
const (
	eventNone = 0x00000000
	eventFork = 0x00000001
	eventExec = 0x00000002
)

// The layout of a message: netlink header, connector header, event.
const (
	netlinkHeader   = 16
	connectorHeader = 20
	eventHeader     = 16
	eventAt         = netlinkHeader + connectorHeader
	eventDataAt     = eventAt + eventHeader
)

// event is one event of the process connector.
type event struct {
	what uint32
	// nanos is the kernel's monotonic clock.
	nanos uint64
	// pid and tgid are of the process it is about: for a fork the child.
	pid, tgid uint32
	// parent is the thread group that forked.
	parent uint32
	// code is the error of an acknowledgement.
	code uint32
}

// parseEvents reads the messages of one datagram. What is cut short or of
// another kind is left out.
func parseEvents(b []byte) []event {
	var out []event
	for len(b) >= netlinkHeader {
		size := int(binary.NativeEndian.Uint32(b))
		if size < netlinkHeader || size > len(b) {
			return out
		}
		if e, ok := parseEvent(b[:size]); ok {
			out = append(out, e)
		}
		// Messages are aligned to four bytes.
		b = b[min((size+3)&^3, len(b)):]
	}
	return out
}

func parseEvent(b []byte) (event, bool) {
	if len(b) < eventDataAt+4 {
		return event{}, false
	}
	if binary.NativeEndian.Uint32(b[netlinkHeader:]) != connectorProc || binary.NativeEndian.Uint32(b[netlinkHeader+4:]) != connectorProc {
		return event{}, false
	}
	e := event{
		what:  binary.NativeEndian.Uint32(b[eventAt:]),
		nanos: binary.NativeEndian.Uint64(b[eventAt+8:]),
	}
	d := b[eventDataAt:]
	switch e.what {
	case eventNone:
		e.code = binary.NativeEndian.Uint32(d)
		return e, true
	case eventFork:
		if len(d) < 16 {
			return e, false
		}
		e.parent = binary.NativeEndian.Uint32(d[4:])
		e.pid = binary.NativeEndian.Uint32(d[8:])
		e.tgid = binary.NativeEndian.Uint32(d[12:])
		return e, true
	case eventExec:
		if len(d) < 8 {
			return e, false
		}
		e.pid = binary.NativeEndian.Uint32(d)
		e.tgid = binary.NativeEndian.Uint32(d[4:])
		return e, true
	}
	return e, false
}

// connectorProc is CN_IDX_PROC and CN_VAL_PROC.
const connectorProc = 1

// listenMessage asks the kernel to start or stop sending events.
func listenMessage(on bool, pid uint32) []byte {
	const size = netlinkHeader + connectorHeader + 4
	op := uint32(2) // PROC_CN_MCAST_IGNORE
	if on {
		op = 1 // PROC_CN_MCAST_LISTEN
	}
	b := make([]byte, size)
	put := binary.NativeEndian
	put.PutUint32(b[0:], size)
	put.PutUint16(b[4:], 3) // NLMSG_DONE
	put.PutUint32(b[12:], pid)
	put.PutUint32(b[16:], connectorProc)
	put.PutUint32(b[20:], connectorProc)
	put.PutUint16(b[32:], 4)
	put.PutUint32(b[36:], op)
	return b
}
