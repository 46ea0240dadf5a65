package evtx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The form of an EVTX file (Microsoft's [MS-EVEN6], BinXml).
const (
	fileHeaderSize  = 4096
	chunkSize       = 64 << 10
	chunkHeaderSize = 512
	recordHeader    = 24
	fileMagic       = "ElfFile\x00"
	chunkMagic      = "ElfChnk\x00"
	recordMagic     = "\x2a\x2a\x00\x00"
	flagDirty       = 1
)

// What reading one chunk may cost the parser. A checksum says nothing about a
// file somebody made on purpose: each record is walked first, as the parser
// will, and one that asks for more is not handed to it. The costliest chunk of 870
// recorded files needed 21,000 steps and 250 KB.
const (
	maxSteps    = 250_000 // tokens, values, and elements that are copied
	maxText     = 8 << 20 // bytes the parser would make into strings
	maxDepth    = 64      // open elements, nested instances
	maxChildren = 1024    // of one element: the parser's lists are searched from the front
	maxRefused  = 16      // records of a chunk that are walked in vain at their full cost
	maxRecords  = chunkSize / (recordHeader + 4)
)

var (
	errCostly = errors.New("it would cost too much to read")
	errNested = errors.New("it is nested too deeply")
)

// checkChunk verifies the checksums of a chunk. Both errors can be nil.
func checkChunk(b []byte) (header, data error) {
	sum := crc32.ChecksumIEEE(b[:120])
	sum = crc32.Update(sum, crc32.IEEETable, b[128:chunkHeaderSize])
	if sum != binary.LittleEndian.Uint32(b[124:]) {
		header = errors.New("checksum of the header does not match")
	}
	end := binary.LittleEndian.Uint32(b[48:])
	switch {
	case end < chunkHeaderSize || end > chunkSize:
		data = fmt.Errorf("its data ends at %d, outside of it", end)
	case crc32.ChecksumIEEE(b[chunkHeaderSize:end]) != binary.LittleEndian.Uint32(b[52:]):
		data = errors.New("checksum of the data does not match")
	}
	return header, data
}

// checkFileHeader verifies the checksum of a file's header.
func checkFileHeader(b []byte) error {
	if crc32.ChecksumIEEE(b[:120]) != binary.LittleEndian.Uint32(b[124:]) {
		return errors.New("checksum of the file header does not match")
	}
	return nil
}

// walker goes over the records of a chunk as the parser does and counts what it
// would do, without doing it. Also where a record makes no sense it follows the
// parser, which reads on in the chunk, and zeros behind its end.
type walker struct {
	buf   []byte
	off   int
	steps int
	text  int
	// templates maps the id of a template to the elements it copies.
	templates map[uint32]int
	fresh     []uint32 // templates of the record being walked
}

// checkRecords returns how many records follow each other at the start of a
// chunk, and why no more do (nil when the data ends there). b is the chunk, or
// what there is of it. Records that would cost too much are emptied; refused says
// how many.
func checkRecords(b []byte) (n, refused int, err error) {
	if len(b) < chunkHeaderSize {
		return 0, 0, nil
	}
	end := int(binary.LittleEndian.Uint32(b[48:]))
	if end < chunkHeaderSize || end > len(b) {
		end = len(b)
	}
	w := &walker{buf: b, templates: map[uint32]int{}}
	for off := chunkHeaderSize; off+recordHeader+4 <= end && n < maxRecords; n++ {
		if string(b[off:off+4]) != recordMagic {
			if allZero(b[off:end]) {
				break
			}
			return n, refused, fmt.Errorf("no record begins at %#x", off)
		}
		size := int(binary.LittleEndian.Uint32(b[off+4:]))
		if size < recordHeader+4 || size > end-off {
			return n, refused, fmt.Errorf("the record at %#x says that it has %d bytes", off, size)
		}
		w.off = off + recordHeader
		steps, text := w.steps, w.text
		w.fresh = w.fresh[:0]
		if _, err := w.xml(0); err != nil {
			clear(b[off+recordHeader : off+size]) // to the parser, an empty event
			for _, id := range w.fresh {
				delete(w.templates, id)
			}
			// What it would have cost is there for the others, a few times.
			if refused++; refused <= maxRefused {
				w.steps, w.text = steps, text
			}
		}
		off += size
	}
	return n, refused, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (w *walker) skip(n int) { w.off += n }

// take passes n bytes, none when there are fewer.
func (w *walker) take(n int) {
	if w.off+n <= len(w.buf) {
		w.off += n
	}
}

func (w *walker) u8() int {
	if w.off+1 > len(w.buf) {
		return 0
	}
	w.off++
	return int(w.buf[w.off-1])
}

func (w *walker) u16() int {
	if w.off+2 > len(w.buf) {
		return 0
	}
	w.off += 2
	return int(binary.LittleEndian.Uint16(w.buf[w.off-2:]))
}

func (w *walker) u32() uint32 {
	if w.off+4 > len(w.buf) {
		return 0
	}
	w.off += 4
	return binary.LittleEndian.Uint32(w.buf[w.off-4:])
}

func (w *walker) spend(steps, text int) error {
	w.steps += steps
	w.text += text
	if w.steps > maxSteps || w.text > maxText {
		return errCostly
	}
	return nil
}

// name passes an element's or attribute's name: here, or elsewhere in the chunk.
func (w *walker) name() error {
	at := int64(w.u32())
	if at == int64(w.off) {
		w.skip(6)
		n := w.u16()
		w.take(2*n + 2)
		return w.spend(1, 4*n)
	}
	n := 0
	if at+8 <= int64(len(w.buf)) {
		n = int(binary.LittleEndian.Uint16(w.buf[at+6:]))
	}
	return w.spend(1, 4*n)
}

// xml walks one fragment and returns the elements it makes.
func (w *walker) xml(depth int) (nodes int, err error) {
	if depth > maxDepth {
		return 0, errNested
	}
	children := []int{0} // of each open element
	add := func() error {
		nodes++
		if children[len(children)-1]++; children[len(children)-1] > maxChildren {
			return errCostly
		}
		return w.spend(1, 0)
	}
	for {
		tag := w.u8()
		if err := w.spend(1, 0); err != nil {
			return 0, err
		}
		switch tag {
		case 0x00: // end
			return nodes, w.spend(nodes, 0)
		case 0x01, 0x41: // open element, the second with attributes
			w.skip(6)
			if err := w.name(); err != nil {
				return 0, err
			}
			if tag == 0x41 {
				w.u32()
			}
			if err := add(); err != nil {
				return 0, err
			}
			if children = append(children, 0); len(children)+depth > maxDepth {
				return 0, errNested
			}
		case 0x02: // end of the start tag
		case 0x03, 0x04: // close
			// The parser lets more close than were opened; what follows is then lost.
			if len(children) > 1 {
				children = children[:len(children)-1]
			}
		case 0x05, 0x45: // text
			w.u8()
			n := w.u16()
			w.take(2 * n)
			if err := w.spend(0, 4*n); err != nil {
				return 0, err
			}
			if err := add(); err != nil {
				return 0, err
			}
		case 0x06, 0x46: // attribute
			if err := w.name(); err != nil {
				return 0, err
			}
		case 0x0C: // template instance
			more, err := w.instance(depth + 1)
			if err != nil {
				return 0, err
			}
			if !more {
				return nodes, w.spend(nodes, 0)
			}
			if err := add(); err != nil {
				return 0, err
			}
		case 0x0D, 0x0E: // substitution
			w.u16()
			if w.u8() == 0 {
				w.u8()
			}
			if err := add(); err != nil {
				return 0, err
			}
		case 0x0F: // fragment header
			w.skip(3)
		case 0x07, 0x47, 0x08, 0x48, 0x09, 0x49, 0x0A, 0x0B: // the parser passes these by
		default:
			return nodes, w.spend(nodes, 0) // the parser stops here
		}
	}
}

// instance walks a template instance: the template, where it comes for the first
// time, and its values. more is false where the parser stops.
func (w *walker) instance(depth int) (more bool, err error) {
	if depth > maxDepth {
		return false, errNested
	}
	if w.u8() != 1 {
		return false, nil
	}
	id := w.u32()
	if id == 0 {
		return false, nil
	}
	w.skip(4)
	count := w.u32()
	nodes, known := w.templates[id]
	if !known {
		w.skip(16)
		size := w.u32()
		body := w.off
		// Known from here on, as to the parser; a template inside itself costs.
		w.templates[id] = maxSteps
		w.fresh = append(w.fresh, id)
		if nodes, err = w.xml(depth); err != nil {
			return false, err
		}
		w.templates[id] = nodes
		w.off = body
		w.skip(int(size))
		count = w.u32()
	}
	if err := w.spend(nodes, 0); err != nil {
		return false, err
	}
	if count > chunkSize/4 {
		return false, errCostly
	}
	type field struct {
		size int
		kind int
	}
	fields := make([]field, count)
	for i := range fields {
		fields[i] = field{w.u16(), w.u16()}
	}
	for _, f := range fields {
		if err := w.value(f.size, f.kind, depth); err != nil {
			return false, err
		}
	}
	return true, nil
}

// value passes one value, as many bytes as the parser takes for its type.
func (w *walker) value(size, kind, depth int) error {
	if err := w.spend(1, 2*size); err != nil {
		return err
	}
	switch kind {
	case 0x00:
		w.skip(size)
	case 0x04: // uint8
		w.take(1)
	case 0x06: // uint16
		w.take(2)
	case 0x08, 0x14: // uint32, hex32
		w.take(4)
	case 0x0A, 0x15, 0x11: // uint64, hex64, FILETIME
		w.take(8)
	case 0x0D: // bool
		if size == 1 || size == 2 || size == 4 || size == 8 {
			w.take(size)
		}
	case 0x13: // SID
		w.take(1)
		w.take(1)
		w.take(6)
		for i := 0; i < size-8; i += 4 {
			w.take(4)
		}
		// Each part is added to a text that is copied.
		return w.spend(0, size*size/8)
	case 0x21: // BinXml
		at := w.off
		if _, err := w.xml(depth + 1); err != nil {
			return err
		}
		w.off = at
		w.skip(size)
	default:
		w.take(size)
	}
	return nil
}
