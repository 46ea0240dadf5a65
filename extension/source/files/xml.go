package files

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
)

// eventNamespace is that of Windows' events in XML: what the Event Viewer and wevtutil
// export, and forwarders send.
const eventNamespace = "http://schemas.microsoft.com/win/2004/08/events/event"

// isEventXML reports whether a text begins like events in XML.
func isEventXML(text []byte) bool {
	return text[0] == '<' && bytes.Contains(text, []byte("<Event")) && bytes.Contains(text, []byte(eventNamespace))
}

// elements reads the texts of the elements <Event> of XML, whatever is between them.
type elements struct {
	r   *bufio.Reader
	buf []byte
}

func newElements(r io.Reader) *elements { return &elements{r: bufio.NewReaderSize(r, 64<<10)} }

const (
	eventOpens = "<Event"
	eventEnds  = "</Event>"
)

// next returns the next element; it is valid until the next call. errTooLong says that
// one was passed by.
func (x *elements) next() ([]byte, error) {
	x.buf = x.buf[:0]
	matched, open, long := 0, false, false
	wanted := eventOpens
	for {
		c, err := x.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && open {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if !open && matched == len(eventOpens) { // <Events> and <EventData> begin alike
			if open = c == ' ' || c == '>' || c == '\t' || c == '\n' || c == '\r'; open {
				x.buf = append(x.buf, eventOpens...)
				wanted = eventEnds
			}
			matched = 0
		}
		if open {
			if len(x.buf) < maxLine {
				x.buf = append(x.buf, c)
			} else {
				long = true
			}
		}
		switch {
		case matched < len(wanted) && c == wanted[matched]:
			matched++
		case c == '<':
			matched = 1
		default:
			matched = 0
		}
		if open && matched == len(eventEnds) {
			if long {
				x.buf = nil // give the memory back
				return nil, errTooLong
			}
			return x.buf, nil
		}
	}
}

// The bounds of an event in XML.
const (
	maxElements = 4096
	maxDepth    = 16
)

// decodeElement reads an event in XML as the object that converters make of it.
func decodeElement(b []byte) (fieldmap.Object, error) {
	d := xml.NewDecoder(bytes.NewReader(allowed(b)))
	d.Strict = false
	left := maxElements
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		if start, ok := token.(xml.StartElement); ok {
			v, err := element(d, start, 0, &left)
			if err != nil {
				return nil, err
			}
			o, ok := v.(fieldmap.Object)
			if !ok {
				return nil, errors.New("an event without elements")
			}
			return o, nil
		}
	}
}

// element is an element's text, or with what it has besides: attributes and elements by
// their names, several of a name as a list, the text as #text.
func element(d *xml.Decoder, start xml.StartElement, depth int, left *int) (any, error) {
	if *left--; *left < 0 || depth > maxDepth {
		return nil, fmt.Errorf("more than %d elements, or more than %d in each other", maxElements, maxDepth)
	}
	o := fieldmap.Object{}
	for _, a := range start.Attr {
		if a.Name.Local != "xmlns" {
			o[a.Name.Local] = a.Value
		}
	}
	var words strings.Builder
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			v, err := element(d, token, depth+1, left)
			if err != nil {
				return nil, err
			}
			name := token.Name.Local
			switch had := o[name].(type) {
			case nil:
				o[name] = v
			case []any:
				o[name] = append(had, v)
			default:
				o[name] = []any{had, v}
			}
		case xml.CharData:
			words.Write(token)
		case xml.EndElement:
			text := strings.TrimSpace(words.String())
			if len(o) == 0 {
				return text, nil
			}
			if text != "" {
				o["#text"] = text
			}
			return o, nil
		}
	}
}

// allowed takes out what XML may not hold: a command line that does would cost its event.
func allowed(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == '&' {
			if v, m := reference(b); m > 0 && !character(v) {
				r, n = utf8.RuneError, m
			}
		} else if !character(r) {
			r = utf8.RuneError
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return out
}

// reference is the character that a text begins with a number for, and how long that is;
// 0 for none.
func reference(b []byte) (r rune, n int) {
	const longest = len("&#x10FFFF;")
	end := bytes.IndexByte(b[:min(len(b), longest)], ';')
	if end < 3 || b[1] != '#' {
		return 0, 0
	}
	digits, base := string(b[2:end]), 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	v, err := strconv.ParseUint(digits, base, 31)
	if err != nil {
		return 0, 0
	}
	return rune(v), end + 1
}

// character reports whether XML may hold a character.
func character(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= 0x10ffff
}
