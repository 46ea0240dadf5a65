package kaudit

import (
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// The kernel keeps nothing for who was away. So that nothing is lost where one program
// takes another's place, the successor listens before it does anything else, the
// predecessor for as long as it may live without osquery, and for a moment both. Where
// the one ends and the other begins is a number of the kernel's events: up to it all
// are the predecessor's, who says so in its last cursor.

// mark is the number of an event.
type mark struct {
	set    bool
	serial uint64
}

// ahead is by how many numbers an event comes after the mark. They begin again when 32
// bits are full.
func (m mark) ahead(serial uint64) int32 { return int32(uint32(serial) - uint32(m.serial)) }

// taken reports whether an event does not come after the mark.
func (m mark) taken(eid string) bool {
	_, number, found := strings.Cut(eid, ":")
	serial, err := strconv.ParseUint(number, 10, 32)
	return found && err == nil && m.ahead(serial) <= 0
}

// leave takes what does not come after the mark out of a batch.
func (m mark) leave(b *evidence.Batch) {
	b.Processes = slices.DeleteFunc(b.Processes, func(p evidence.Process) bool { return m.taken(p.EID) })
	b.Installs = slices.DeleteFunc(b.Installs, func(i evidence.Install) bool { return m.taken(i.EID) })
	b.Logons = slices.DeleteFunc(b.Logons, func(l evidence.Logon) bool { return m.taken(l.EID) })
	b.Connections = slices.DeleteFunc(b.Connections, func(c evidence.Connection) bool { return m.taken(c.EID) })
	b.Changes = slices.DeleteFunc(b.Changes, func(c evidence.Change) bool { return m.taken(c.EID) })
}
