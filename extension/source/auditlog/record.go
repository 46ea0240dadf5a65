package auditlog

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
)

// The record types that matter, as logged and as numbered by the kernel
// (linux/audit.h) and by libaudit.
var typeNames = map[uint16]string{
	1100: "USER_AUTH", 1102: "USER_MGMT", 1105: "USER_START", 1108: "USER_CHAUTHTOK", 1112: "USER_LOGIN", 1114: "ADD_USER", 1115: "DEL_USER",
	1116: "ADD_GROUP", 1117: "DEL_GROUP", 1119: "CHGRP_ID", 1123: "USER_CMD", 1127: "SYSTEM_BOOT", 1132: "GRP_MGMT", 1133: "GRP_CHAUTHTOK", 1135: "ACCT_LOCK", 1136: "ACCT_UNLOCK",
	1201: "DAEMON_END", 1202: "DAEMON_ABORT",
	1300: "SYSCALL", 1302: "PATH", 1305: "CONFIG_CHANGE", 1306: "SOCKADDR", 1307: "CWD", 1309: "EXECVE", 1320: "EOE", 1327: "PROCTITLE",
}

// header is the beginning of a record. It is of the line's bytes.
type header struct {
	node   string
	typ    string
	stamp  []byte // time and serial as logged: "1700000000.123:456"
	second int64
	serial uint64
	body   []byte
}

// id is the source's own id of the event.
func (h *header) id() string { return string(h.stamp) }

// parseHeader reads
//
//	[prefix: ][node=NAME ]type=TYPE msg=audit(SECONDS.MILLIS:SERIAL): body
//
// and the kernel's own "type=1309 audit(...): body" as it is found in syslog.
func parseHeader(line []byte) (h header, ok bool) {
	at := bytes.Index(line, []byte("type="))
	if at < 0 {
		return h, false
	}
	prefix := line[:at]
	if i := bytes.LastIndex(prefix, []byte("node=")); i >= 0 && (i == 0 || prefix[i-1] == ' ') {
		name, rest, _ := bytes.Cut(prefix[i+len("node="):], []byte(" "))
		if len(rest) > 0 {
			return h, false
		}
		h.node = string(name)
		prefix = prefix[:i]
	}
	// What comes before is nothing, or a syslog header; never the text of another
	// record, which somebody else may have chosen.
	if len(prefix) > 0 && (!bytes.HasSuffix(prefix, []byte(": ")) || len(prefix) > 512 || bytes.ContainsAny(prefix, "='\"(")) {
		return h, false
	}
	rest := line[at+len("type="):]
	typ, rest, found := bytes.Cut(rest, []byte(" "))
	if !found || len(typ) == 0 || len(typ) > 64 {
		return h, false
	}
	if !h.read(bytes.TrimPrefix(rest, []byte("msg="))) {
		return h, false
	}
	h.typ = string(typ)
	if number, err := strconv.ParseUint(h.typ, 10, 16); err == nil && typeNames[uint16(number)] != "" {
		h.typ = typeNames[uint16(number)]
	}
	return h, true
}

// read reads "audit(SECONDS.MILLIS:SERIAL): body".
func (h *header) read(text []byte) (ok bool) {
	rest, found := bytes.CutPrefix(text, []byte("audit("))
	if !found {
		return false
	}
	end := bytes.IndexByte(rest[:min(len(rest), 65)], ')')
	if end < 0 {
		return false
	}
	h.stamp = rest[:end]
	colon := bytes.IndexByte(h.stamp, ':')
	if colon < 0 {
		return false
	}
	seconds := h.stamp[:colon]
	if dot := bytes.IndexByte(seconds, '.'); dot >= 0 {
		seconds = seconds[:dot]
	}
	var err error
	if h.second, err = strconv.ParseInt(string(seconds), 10, 64); err != nil || h.second < 0 || h.second > maxSecond {
		return false
	}
	if h.serial, err = strconv.ParseUint(string(h.stamp[colon+1:]), 10, 64); err != nil {
		return false
	}
	h.body = rest[end+1:]
	if len(h.body) > 0 && h.body[0] == ':' {
		h.body = h.body[1:]
	}
	return true
}

// Record is a record as the kernel hands it out.
type Record struct {
	header
	kind uint16
}

// ReadRecord reads a record that the kernel handed out: the number of its type, and
// "audit(SECONDS.MILLIS:SERIAL): body". The text must stay as it is while the record is
// used.
func ReadRecord(kind uint16, text []byte) (r Record, ok bool) {
	r.kind, r.typ = kind, typeNames[kind]
	ok = r.read(text)
	return r, ok
}

// Second is when it was made, in seconds since 1970 UTC, Serial the number of its event.
func (r *Record) Second() int64 { return r.second }

// Serial is the number of its event.
func (r *Record) Serial() uint64 { return r.serial }

// maxSecond is the year 9999.
const maxSecond = 253_402_300_799

// fields calls f for each key=value of a record; raw is the value with its
// quotes. Fields of enriched logs come after a group separator (0x1d), with keys
// in capitals.
func fields(body []byte, f func(key, raw []byte)) {
	for len(body) > 0 {
		for len(body) > 0 && (separates(body[0]) || body[0] == '\t' || body[0] == '\r' || body[0] == '\n') {
			body = body[1:]
		}
		eq := bytes.IndexByte(body, '=')
		if eq < 0 {
			return
		}
		begin := eq
		for begin > 0 && !separates(body[begin-1]) {
			begin--
		}
		key := body[begin:eq]
		body = body[eq+1:]
		end := 0
		if len(body) > 0 && (body[0] == '"' || body[0] == '\'') {
			if i := bytes.IndexByte(body[1:], body[0]); i >= 0 {
				end = i + 2
			} else {
				end = len(body)
			}
		} else {
			for end < len(body) && !separates(body[end]) {
				end++
			}
		}
		f(key, body[:end])
		body = body[end:]
	}
}

// separates reports whether a byte stands between two fields.
func separates(c byte) bool { return c == ' ' || c == 0x1d }

// untrusted decodes a value the kernel got from a program: text in quotes when it
// is harmless, else its bytes in hexadecimal digits.
func untrusted(raw []byte) string {
	if len(raw) > 0 && raw[0] == '"' {
		return string(bytes.TrimSuffix(raw[1:], []byte(`"`)))
	}
	if len(raw)%2 == 0 {
		out := make([]byte, len(raw)/2)
		if _, err := hex.Decode(out, raw); err == nil {
			return string(out)
		}
	}
	if s := string(raw); s != "(null)" && s != "?" {
		return s
	}
	return ""
}

// plain removes the quotes of a value that is never encoded.
func plain(raw []byte) string {
	s := strings.Trim(string(raw), `"'`)
	if s == "(none)" || s == "?" || s == "(null)" {
		return ""
	}
	return s
}

// Quote joins words to a command line that a POSIX shell splits into the same
// words.
func Quote(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		if w != "" && strings.IndexFunc(w, unsafe) < 0 {
			b.WriteString(w)
			continue
		}
		b.WriteByte('\'')
		b.WriteString(strings.ReplaceAll(w, `'`, `'\''`))
		b.WriteByte('\'')
	}
	return b.String()
}

func unsafe(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_@%+=:,./-", r)
}
