package ioc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxObject bounds one object of a bundle, in bytes.
const maxObject = 1 << 20

// object is what is read of a STIX object.
type object struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	Pattern     string `json:"pattern"`
	PatternType string `json:"pattern_type"`
	ValidUntil  string `json:"valid_until"`
	Revoked     bool   `json:"revoked"`
}

var errObject = fmt.Errorf("an object larger than %d MiB: the rest was not read", maxObject>>20)

// placed is the text of a bundle; it knows on which line the decoder is.
type placed struct {
	in    *bufio.Reader
	dec   *json.Decoder
	read  int64
	line  int
	lines []int64 // offsets of ends of lines that the decoder has not passed
}

func (p *placed) Read(b []byte) (int, error) {
	if p.dec != nil && p.read-p.dec.InputOffset() > maxObject {
		return 0, errObject
	}
	n, err := p.in.Read(b[:min(len(b), 64<<10)])
	for i, c := range b[:n] {
		if c == '\n' {
			p.lines = append(p.lines, p.read+int64(i))
		}
	}
	p.read += int64(n)
	return n, err
}

// at is the line on which the value read last ends.
func (p *placed) at() int {
	off, n := p.dec.InputOffset(), 0
	for n < len(p.lines) && p.lines[n] < off {
		n++
	}
	p.line += n
	p.lines = append(p.lines[:0], p.lines[n:]...)
	return p.line
}

// stix reads bundles, single objects, lists of objects, one after the other.
func (b *builder) stix(in *bufio.Reader) error {
	p := &placed{in: in, line: 1}
	p.dec = json.NewDecoder(p)
	wrong := func(err error) error {
		if errors.Is(err, errObject) {
			return fmt.Errorf("line %d: %w", p.at(), err)
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("line %d: not valid JSON: %w", p.at(), err)
	}
	for {
		t, err := p.dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return wrong(err)
		}
		switch t {
		case json.Delim('['):
			err = b.objects(p)
		case json.Delim('{'):
			err = b.bundle(p)
		default:
			err = errors.New("neither an object nor a list")
		}
		if errors.Is(err, errFull) {
			return err
		} else if err != nil {
			return wrong(err)
		}
	}
}

// bundle reads an object after its brace: a bundle, or an indicator by itself.
func (b *builder) bundle(p *placed) error {
	var o object
	for p.dec.More() {
		key, err := p.dec.Token()
		if err != nil {
			return err
		}
		var into any
		switch key {
		case "type":
			into = &o.Type
		case "id":
			into = &o.ID
		case "pattern":
			into = &o.Pattern
		case "pattern_type":
			into = &o.PatternType
		case "valid_until":
			into = &o.ValidUntil
		case "revoked":
			into = &o.Revoked
		}
		switch {
		case into != nil:
			err = b.decode(p, into)
		case key == "objects":
			var t json.Token
			if t, err = p.dec.Token(); err == nil && t == json.Delim('[') {
				err = b.objects(p)
			} else if t == json.Delim('{') {
				err = skip(p.dec, 1)
			}
		default:
			err = skip(p.dec, 0)
		}
		if err != nil {
			return err
		}
	}
	if _, err := p.dec.Token(); err != nil { // the brace that ends it
		return err
	}
	return b.indicator(p.at(), &o)
}

// decode reads a value; one of another kind than it should be is a mistake of that
// value only.
func (b *builder) decode(p *placed, into any) error {
	err := p.dec.Decode(into)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		b.fail(p.at(), "a %s where another value should be", kind.Value)
		return nil
	}
	return err
}

// objects reads a list of objects after its bracket.
func (b *builder) objects(p *placed) error {
	for p.dec.More() {
		var o object
		if err := b.decode(p, &o); err != nil {
			return err
		}
		if err := b.indicator(p.at(), &o); err != nil {
			return err
		}
	}
	_, err := p.dec.Token()
	return err
}

// skip passes over a value without keeping it; open is how many of its braces were
// read.
func skip(dec *json.Decoder, open int) error {
	for {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			open++
		case json.Delim('}'), json.Delim(']'):
			open--
		}
		if open <= 0 {
			return nil
		}
	}
}

// indicator keeps what a pattern asks for; only a full feed is an error.
func (b *builder) indicator(line int, o *object) error {
	if o.Type != "indicator" || o.Revoked {
		return nil
	}
	if o.PatternType != "" && o.PatternType != "stix" {
		b.leave(line, "pattern "+o.PatternType)
		return nil
	}
	until, err := parseUntil(o.ValidUntil)
	if err != nil {
		b.fail(line, "%s: valid_until: %w", show(o.ID), err)
		return nil
	}
	list, err := parsePattern(o.Pattern)
	if err != nil {
		b.fail(line, "%s: the pattern is not read: %w", show(o.ID), err)
		return nil
	}
	for _, all := range list {
		if err := b.addAll(all, until); errors.Is(err, errFull) {
			return err
		} else if err != nil {
			b.fail(line, "%s: %w", show(o.ID), err)
		}
	}
	return nil
}
