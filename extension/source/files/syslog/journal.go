package syslog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"path"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Entry is one entry of the journal, its fields as journald names them.
type Entry map[string]string

// IsEntry reports whether a JSON object is one of "journalctl -o json".
func IsEntry(o map[string]any) bool {
	_, ok := o["__REALTIME_TIMESTAMP"]
	return ok
}

// EntryOf takes the fields of interest from "journalctl -o json", which gives
// text as strings, other bytes as lists of numbers, and repeated fields as lists.
func EntryOf(o map[string]any) Entry {
	e := Entry{}
	for _, k := range wanted {
		if s := jsonText(o[k]); s != "" {
			e[k] = s
		}
	}
	return e
}

// wanted are the fields that are read.
var wanted = []string{"__REALTIME_TIMESTAMP", "__CURSOR", "_SOURCE_REALTIME_TIMESTAMP", "MESSAGE", "SYSLOG_IDENTIFIER", "SYSLOG_PID", "_HOSTNAME", "_PID", "_UID", "_COMM",
	"_EXE", "_TRANSPORT", "_AUDIT_LOGINUID", "_AUDIT_SESSION", "_AUDIT_ID", "_AUDIT_TYPE_NAME"}

func jsonText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case []any:
		b := make([]byte, 0, len(v))
		for _, item := range v {
			n, ok := item.(json.Number)
			if !ok {
				if len(v) > 0 {
					return jsonText(v[0])
				}
				return ""
			}
			c, err := strconv.ParseUint(n.String(), 10, 8)
			if err != nil {
				return ""
			}
			b = append(b, byte(c))
		}
		return clean(b)
	}
	return ""
}

// EntryTime returns when an entry was made, in seconds since 1970 UTC.
func EntryTime(e Entry) int64 {
	t := e["_SOURCE_REALTIME_TIMESTAMP"]
	if t == "" {
		t = e["__REALTIME_TIMESTAMP"]
	}
	us, err := strconv.ParseInt(t, 10, 64)
	if err != nil || us < 0 {
		return 0
	}
	return us / 1_000_000
}

// Entry takes one entry of the journal and adds what it tells to the batch.
func (d *Decoder) Entry(e Entry, to *evidence.Batch) {
	if e["_TRANSPORT"] == "audit" {
		d.auditEntry(e, to)
		return
	}
	m := message{time: EntryTime(e), host: e["_HOSTNAME"], ident: e["SYSLOG_IDENTIFIER"], pid: number(e["_PID"]), text: e["MESSAGE"],
		source: SourceJournal, eid: e["__CURSOR"], uid: e["_UID"], session: e["_AUDIT_SESSION"], loginUID: e["_AUDIT_LOGINUID"]}
	if m.pid == 0 {
		m.pid = number(e["SYSLOG_PID"])
	}
	if m.loginUID == "4294967295" {
		m.loginUID = ""
	}
	if m.session == "4294967295" {
		m.session = ""
	}
	// Anybody can write under any identifier; who wrote, journald saw itself.
	by := e["_COMM"]
	if by == "" {
		by = path.Base(e["_EXE"])
	}
	switch {
	case by == "" || by == "." || m.ident == by:
	case strings.HasPrefix(m.ident, by) && len(by) == 15: // the kernel cuts names
	case strings.HasPrefix(m.ident, "gdm-") && strings.HasPrefix(by, "gdm-session"):
	case strings.EqualFold(strings.TrimSuffix(by, "d"), strings.TrimSuffix(m.ident, "d")):
	default:
		d.release(to)
		return
	}
	if m.ident == "kernel" && e["_TRANSPORT"] != "kernel" {
		return
	}
	d.message(m, to)
}

// auditEntry reads a record that journald took from the kernel.
func (d *Decoder) auditEntry(e Entry, to *evidence.Batch) {
	us, err := strconv.ParseInt(e["_SOURCE_REALTIME_TIMESTAMP"], 10, 64)
	if err != nil || us < 0 {
		return
	}
	typ, text := e["_AUDIT_TYPE_NAME"], e["MESSAGE"]
	if typ == "" {
		typ, _, _ = strings.Cut(text, " ")
	}
	text = strings.TrimPrefix(text, typ+" ")
	if strings.ContainsAny(typ+e["_AUDIT_ID"]+e["_HOSTNAME"], " \n") {
		return
	}
	var b strings.Builder
	if host := e["_HOSTNAME"]; host != "" {
		b.WriteString("node=" + host + " ")
	}
	b.WriteString("type=" + typ + " msg=audit(" + strconv.FormatInt(us/1_000_000, 10) + "." + strconv.FormatInt(us/1000%1000, 10) + ":" + e["_AUDIT_ID"] + "): " + text)
	d.audit.Line([]byte(b.String()), to)
}

// Export reads "journalctl -o export": fields as KEY=VALUE lines, or KEY alone
// before a length and bytes; an empty line ends an entry.
type Export struct {
	entry Entry
	size  int
}

// maxEntry bounds the fields of one entry that are kept, in bytes.
const maxEntry = 4 << 20

// Line takes a line without its end. It returns the entry that is complete with
// it, and the name of the field whose bytes follow in binary form.
func (x *Export) Line(line []byte) (done Entry, binaryField string) {
	if len(line) == 0 {
		done = x.entry
		x.entry, x.size = nil, 0
		return done, ""
	}
	key, value, found := bytes.Cut(line, []byte("="))
	if !found {
		return nil, string(key)
	}
	x.Set(string(key), value)
	return nil, ""
}

// Set adds a field.
func (x *Export) Set(key string, value []byte) {
	for _, k := range wanted {
		if k == key && x.size+len(value) <= maxEntry {
			if x.entry == nil {
				x.entry = Entry{}
			}
			x.size += len(value)
			x.entry[k] = clean(value)
		}
	}
}

// BinaryLength reads the length of a binary field.
func BinaryLength(b [8]byte) uint64 { return binary.LittleEndian.Uint64(b[:]) }
