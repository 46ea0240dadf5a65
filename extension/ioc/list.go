package ioc

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// maxRecord bounds a line and a record of CSV, in bytes.
const maxRecord = 64 << 10

// lineReader reads lines of bounded length and counts them.
type lineReader struct {
	in   *bufio.Reader
	text *limited
	line int // the number of the line read last
	long int // the number of the last line that was too long
}

// next returns the next line without its end. A line that is too long is empty.
func (l *lineReader) next() (string, error) {
	text, err := l.in.ReadSlice('\n')
	if len(text) == 0 && err != nil {
		return "", err
	}
	if errors.Is(err, io.EOF) && l.text.over {
		return "", err // a value that is cut off is another one
	}
	l.line++
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = l.line
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.in.ReadSlice('\n')
		}
		return "", nil
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// comment returns what is behind the mark of a comment line.
func comment(s string) (string, bool) {
	s = strings.TrimSpace(s)
	for _, mark := range []string{"#", ";", "//"} {
		if rest, ok := strings.CutPrefix(s, mark); ok {
			return strings.TrimLeft(rest, "#;/ \t"), true
		}
	}
	return "", false
}

// lines reads a plain list, or CSV from the line on that is its header.
func (b *builder) lines(in *bufio.Reader) error {
	r := &lineReader{in: in, text: b.text}
	var head *header
	for {
		text, err := r.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if r.long == r.line {
			b.fail(r.line, "longer than %d bytes", maxRecord)
			continue
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		rest, commented := comment(text)
		if head == nil && b.read() == 0 {
			// A header may be a comment, as abuse.ch writes it.
			line := text
			if commented {
				line = rest
			}
			if head = headerOf(line); head != nil || valueColumns[columnName(line)] {
				continue
			}
		}
		if commented {
			continue
		}
		if head != nil {
			err = b.row(r, head, text)
		} else {
			err = b.item(r.line, text)
		}
		if err != nil {
			return err
		}
	}
}

// read is how many indicators were kept.
func (b *builder) read() int { return len(b.keys) + b.together }

// item reads one line of a plain list: a value, perhaps with its type before a
// colon and a comment behind.
func (b *builder) item(line int, text string) error {
	s := strings.TrimSpace(text)
	for _, mark := range []string{" #", "\t#", " //", "\t//", " ;", "\t;"} {
		if i := strings.Index(s, mark); i >= 0 {
			s = strings.TrimSpace(s[:i])
		}
	}
	s = strings.Trim(s, `"',`)
	if s == "" {
		return nil
	}
	if kind, value, ok := strings.Cut(s, ":"); ok && len(kind) > 1 && len(kind) < 16 && !strings.HasPrefix(value, "//") && !strings.HasPrefix(value, `\`) {
		if t, ok := typeOf(kind); ok && t != "" {
			return b.keep(line, []Type{t}, strings.TrimSpace(value), 0)
		}
	}
	types := classify(s)
	if types == nil {
		b.fail(line, "%s is no indicator: a hash, name, path, address, domain or URL", show(s))
		return nil
	}
	return b.keep(line, types, s, 0)
}

// keep adds a value; only a full feed is an error.
func (b *builder) keep(line int, types []Type, s string, until uint32) error {
	for _, t := range types {
		if err := b.add(t, s, until); errors.Is(err, errFull) {
			return err
		} else if err != nil && t == types[0] {
			b.fail(line, "%w", err)
		}
	}
	return nil
}

// header says in which columns of CSV an indicator is.
type header struct {
	comma              byte
	value, kind, until int // -1 for none
	// columns are those whose name is itself a type (sha256, ip), by number.
	columns map[int]Type
}

// valueColumns are what feeds call the column with the indicator.
var valueColumns = map[string]bool{"indicator": true, "indicators": true, "value": true, "ioc": true, "iocs": true, "iocvalue": true, "indicatorvalue": true, "observable": true, "observablevalue": true, "artifact": true}

// headerOf reads a header; nil when the line is none: when a field is an indicator
// itself.
func headerOf(line string) *header {
	for _, comma := range []byte{',', ';', '\t', '|'} {
		if strings.IndexByte(line, comma) < 0 {
			continue
		}
		fields, ok := split(line, comma)
		if !ok || len(fields) < 2 {
			continue
		}
		h := &header{comma: comma, value: -1, kind: -1, until: -1, columns: map[int]Type{}}
		for i, f := range fields {
			if types := classify(strings.TrimSpace(f)); len(types) > 0 && types[0] != Name {
				return nil
			}
			name := columnName(f)
			if valueColumns[name] {
				if h.value < 0 {
					h.value = i
				}
				continue
			}
			switch name {
			case "type", "indicatortype", "ioctype", "kind", "observabletype", "datatype":
				if h.kind < 0 {
					h.kind = i
				}
			case "validuntil", "expires", "expiration", "expiry", "expirationdate", "expirydate", "expirationdatetime":
				h.until = i
			default:
				if t, ok := typeOf(f); ok && t != "" && name != "name" && name != "host" && name != "service" && len(name) < 24 {
					h.columns[i] = t
				}
			}
		}
		if h.value >= 0 || len(h.columns) > 0 {
			return h
		}
	}
	return nil
}

func columnName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		}
		return -1
	}, s)
}

// typeOf reads the name of a type in the ways of the feeds that are about. ok is
// false for a type that is not known.
func typeOf(s string) (Type, bool) {
	name := columnName(s)
	switch {
	case strings.Contains(name, "sha256"):
		return SHA256, true
	case strings.Contains(name, "sha1"):
		return SHA1, true
	case strings.Contains(name, "md5") && name != "imphashmd5":
		return MD5, true
	}
	switch name {
	case "ip", "ipv4", "ipv6", "ipaddr", "ipv4addr", "ipv6addr", "ipaddress", "ipdst", "ipsrc", "dstip", "srcip", "destinationip", "ipport", "address", "cidr", "network", "ipv4cidr", "ipv6cidr", "ipv4network", "iprange", "ip4", "ip6":
		return Address, true
	case "domain", "domainname", "hostname", "fqdn", "host", "dns":
		return Domain, true
	case "url", "uri", "link":
		return URL, true
	case "filename", "file", "name", "processname", "servicename", "service", "windowsservicename", "windowsservicedisplayname":
		return Name, true
	case "filepath", "path", "fullpath", "imagepath":
		return Path, true
	}
	return "", false
}

// row reads one record of CSV, which may go on over several lines.
func (b *builder) row(r *lineReader, h *header, text string) error {
	line := r.line
	fields, ok := split(text, h.comma)
	for !ok && len(text) < maxRecord {
		more, err := r.next()
		if err != nil {
			break
		}
		text += "\n" + more
		fields, ok = split(text, h.comma)
	}
	if !ok {
		b.fail(line, "a quote that does not end")
		return nil
	}
	field := func(i int) string {
		if i < 0 || i >= len(fields) {
			return ""
		}
		return strings.TrimSpace(fields[i])
	}
	until, err := parseUntil(field(h.until))
	if err != nil {
		b.fail(line, "%w", err)
		return nil
	}
	if s := field(h.value); s != "" {
		if err := b.typed(line, field(h.kind), s, until); err != nil {
			return err
		}
	}
	for i := range fields {
		t, ok := h.columns[i]
		if s := field(i); ok && s != "" && h.value < 0 {
			if err := b.keep(line, []Type{t}, s, until); err != nil {
				return err
			}
		}
	}
	return nil
}

// typed keeps a value of a named type; composites (filename|sha256) have their parts
// in the same order.
func (b *builder) typed(line int, kind, s string, until uint32) error {
	if kind == "" {
		types := classify(s)
		if types == nil {
			b.fail(line, "%s is no indicator: a hash, name, path, address, domain or URL", show(s))
			return nil
		}
		return b.keep(line, types, s, until)
	}
	if k1, k2, ok := strings.Cut(kind, "|"); ok {
		v1, v2, ok := strings.Cut(s, "|")
		t1, known1 := typeOf(k1)
		t2, known2 := typeOf(k2)
		switch {
		case !ok:
			b.fail(line, "%s is not of two parts, as its type %s is", show(s), show(kind))
		case known2 && hexLength(t2) > 0:
			return b.keep(line, []Type{t2}, v2, until) // the hash says more than the name
		case known1:
			return b.keep(line, []Type{t1}, v1, until)
		default:
			b.leave(line, kind)
		}
		return nil
	}
	t, ok := typeOf(kind)
	if !ok {
		if name := columnName(kind); name == "hash" || name == "filehash" || name == "any" || name == "indicator" {
			return b.typed(line, "", s, until)
		}
		b.leave(line, kind)
		return nil
	}
	return b.keep(line, []Type{t}, s, until)
}

// split cuts a record of CSV into fields; ok is false while a quote is open.
func split(s string, comma byte) (fields []string, ok bool) {
	var field strings.Builder
	quoted, start := false, true
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quoted && c == '"' && i+1 < len(s) && s[i+1] == '"':
			field.WriteByte('"')
			i++
		case quoted && c == '"':
			quoted = false
		case quoted:
			field.WriteByte(c)
		case c == '"' && start:
			quoted = true
			start = false
		case c == comma:
			fields = append(fields, field.String())
			field.Reset()
			start = true
		case start && (c == ' ' || c == '\t'):
		default:
			start = false
			field.WriteByte(c)
		}
	}
	return append(fields, field.String()), !quoted
}
