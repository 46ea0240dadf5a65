package evtx

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"unicode/utf16"
)

// maker writes event log files: whole ones, and ones only a person would make.
type maker struct {
	chunk []byte // of the chunk so far, its header included
	first uint64
	next  uint64
	out   []byte
	count int
}

func newMaker() *maker {
	m := &maker{first: 1, next: 1, out: make([]byte, fileHeaderSize)}
	m.begin()
	return m
}

func (m *maker) begin() { m.chunk = make([]byte, chunkHeaderSize, chunkSize) }

func le16(n int) []byte    { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }
func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
func le64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func utf16le(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

func filetime(unix int64, ticks int) uint64 {
	return uint64(unix*10_000_000 + filetimeEpoch + int64(ticks))
}

// xmlMaker writes BinXml at a known place in the chunk.
type xmlMaker struct {
	base int
	b    []byte
}

func (x *xmlMaker) put(parts ...[]byte) {
	for _, p := range parts {
		x.b = append(x.b, p...)
	}
}

func (x *xmlMaker) name(s string) {
	x.put(le32(uint32(x.base + len(x.b) + 4)))
	x.put(le32(0), le16(0), le16(len(utf16.Encode([]rune(s)))), utf16le(s), le16(0))
}

func (x *xmlMaker) open(name string, attrs ...string) {
	if len(attrs) == 0 {
		x.put([]byte{0x01}, le16(0), le32(0))
		x.name(name)
	} else {
		x.put([]byte{0x41}, le16(0), le32(0))
		x.name(name)
		x.put(le32(0))
		for i := 0; i < len(attrs); i += 2 {
			x.put([]byte{0x06})
			x.name(attrs[i])
			x.text(attrs[i+1])
		}
	}
	x.put([]byte{0x02})
}

func (x *xmlMaker) text(s string) {
	x.put([]byte{0x05, 0x01}, le16(len(utf16.Encode([]rune(s)))), utf16le(s))
}

func (x *xmlMaker) close() { x.put([]byte{0x04}) }

// value is one typed value of a template instance.
type value struct {
	kind uint16
	data []byte
}

func str(s string) value    { return value{0x01, utf16le(s)} }
func u16v(n int) value      { return value{0x06, le16(n)} }
func u32v(n uint32) value   { return value{0x08, le32(n)} }
func i32v(n uint32) value   { return value{0x07, le32(n)} }
func u64v(n uint64) value   { return value{0x0A, le64(n)} }
func hex64(n uint64) value  { return value{0x15, le64(n)} }
func timev(ft uint64) value { return value{0x11, le64(ft)} }
func nothing() value        { return value{0, nil} }
func boolv(yes bool) value {
	if yes {
		return value{0x0d, le32(1)}
	}
	return value{0x0d, le32(0)}
}

// list is the values of an event whose data has no names.
func list(s ...string) value { return value{0x81, utf16le(strings.Join(s, "\x00"))} }
func sidv(sub ...uint32) value {
	b := []byte{1, byte(len(sub)), 0, 0, 0, 0, 0, 5}
	for _, s := range sub {
		b = append(b, le32(s)...)
	}
	return value{0x13, b}
}

// fieldOf is one <Data Name="..."> of an event.
type fieldOf struct {
	name string
	v    value
}

type eventOf struct {
	provider, channel, computer string
	id                          int
	time                        uint64
	user                        value
	pid                         uint32
	data                        []fieldOf
	literal                     bool   // no template: text tokens alone
	own                         string // the data is in an element of this name
}

// body writes the event's XML; each value goes through sub.
func (x *xmlMaker) body(e eventOf, record uint64, sub func(v value, asText string)) {
	x.put([]byte{0x0F, 1, 1, 0})
	x.open("Event", "xmlns", "http://schemas.microsoft.com/win/2004/08/events/event")
	x.open("System")
	x.open("Provider", "Name", e.provider)
	x.close()
	x.open("EventID")
	sub(u16v(e.id), itoa(uint64(e.id)))
	x.close()
	x.put([]byte{0x41}, le16(0), le32(0))
	x.name("TimeCreated")
	x.put(le32(0), []byte{0x06})
	x.name("SystemTime")
	sub(timev(e.time), "")
	x.put([]byte{0x03})
	x.open("EventRecordID")
	sub(u64v(record), itoa(record))
	x.close()
	x.put([]byte{0x41}, le16(0), le32(0))
	x.name("Execution")
	x.put(le32(0), []byte{0x06})
	x.name("ProcessID")
	sub(u32v(e.pid), itoa(uint64(e.pid)))
	x.put([]byte{0x03})
	x.open("Channel")
	sub(str(e.channel), e.channel)
	x.close()
	x.open("Computer")
	sub(str(e.computer), e.computer)
	x.close()
	if e.user.kind != 0 {
		x.put([]byte{0x41}, le16(0), le32(0))
		x.name("Security")
		x.put(le32(0), []byte{0x06})
		x.name("UserID")
		sub(e.user, "")
		x.put([]byte{0x03})
	}
	x.close()
	if e.own != "" {
		x.open("UserData")
		x.open(e.own, "xmlns", "http://example.com/own")
		for _, f := range e.data {
			x.open(f.name)
			sub(f.v, decode16(f.v.data))
			x.close()
		}
		x.close()
	} else {
		x.open("EventData")
		for _, f := range e.data {
			if f.name == "" {
				x.open("Data")
			} else {
				x.open("Data", "Name", f.name)
			}
			sub(f.v, decode16(f.v.data))
			x.close()
		}
	}
	x.close()
	x.close()
	x.put([]byte{0})
}

func decode16(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

func itoa(n uint64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// add writes an event as Windows does: a template with its values.
func (m *maker) add(e eventOf) {
	raw := m.record(e)
	if len(m.chunk)+len(raw) > chunkSize-64 {
		m.flush()
		raw = m.record(e)
	}
	m.raw(raw, e.time)
}

// record writes the BinXml of an event for the place it will have.
func (m *maker) record(e eventOf) []byte {
	at := len(m.chunk) + recordHeader
	if e.literal {
		x := &xmlMaker{base: at}
		x.body(e, m.next, func(_ value, s string) { x.text(s) })
		return x.b
	}
	x := &xmlMaker{base: at}
	id := uint32(m.next) + 1000
	x.put([]byte{0x0F, 1, 1, 0, 0x0C, 1}, le32(id), le32(0), le32(0), make([]byte, 16))
	sizeAt := len(x.b)
	x.put(le32(0))
	bodyAt := len(x.b)
	var values []value
	x.body(e, m.next, func(v value, _ string) {
		x.put([]byte{0x0E}, le16(len(values)), []byte{byte(v.kind)})
		if v.kind == 0 {
			x.put([]byte{0})
		}
		values = append(values, v)
	})
	binary.LittleEndian.PutUint32(x.b[sizeAt:], uint32(len(x.b)-bodyAt))
	x.put(le32(uint32(len(values))))
	for _, v := range values {
		x.put(le16(len(v.data)), le16(int(v.kind)))
	}
	for _, v := range values {
		x.put(v.data)
	}
	x.put([]byte{0})
	return x.b
}

// raw adds a record with the BinXml given.
func (m *maker) raw(xml []byte, ft uint64) {
	size := uint32(recordHeader + len(xml) + 4)
	m.chunk = append(m.chunk, recordMagic...)
	m.chunk = append(m.chunk, le32(size)...)
	m.chunk = append(m.chunk, le64(m.next)...)
	m.chunk = append(m.chunk, le64(ft)...)
	m.chunk = append(m.chunk, xml...)
	m.chunk = append(m.chunk, le32(size)...)
	m.next++
}

func (m *maker) flush() {
	c := make([]byte, chunkSize)
	copy(c, m.chunk)
	copy(c, chunkMagic)
	le := binary.LittleEndian
	le.PutUint64(c[8:], m.first)
	le.PutUint64(c[16:], m.next-1)
	le.PutUint64(c[24:], m.first)
	le.PutUint64(c[32:], m.next-1)
	le.PutUint32(c[40:], 128)
	le.PutUint32(c[48:], uint32(len(m.chunk)))
	le.PutUint32(c[52:], crc32.ChecksumIEEE(c[chunkHeaderSize:len(m.chunk)]))
	sign(c)
	m.out = append(m.out, c...)
	m.first = m.next
	m.count++
	m.begin()
}

// sign writes the checksum of a chunk's header.
func sign(c []byte) {
	sum := crc32.ChecksumIEEE(c[:120])
	binary.LittleEndian.PutUint32(c[124:], crc32.Update(sum, crc32.IEEETable, c[128:chunkHeaderSize]))
}

func (m *maker) file() []byte {
	if len(m.chunk) > chunkHeaderSize {
		m.flush()
	}
	h := m.out[:fileHeaderSize]
	copy(h, fileMagic)
	le := binary.LittleEndian
	le.PutUint64(h[16:], uint64(max(m.count-1, 0)))
	le.PutUint64(h[24:], m.next)
	le.PutUint32(h[32:], 128)
	le.PutUint16(h[36:], 1)
	le.PutUint16(h[38:], 3)
	le.PutUint16(h[40:], fileHeaderSize)
	le.PutUint16(h[42:], uint16(m.count))
	signFile(h)
	return m.out
}

func signFile(h []byte) { binary.LittleEndian.PutUint32(h[124:], crc32.ChecksumIEEE(h[:120])) }
