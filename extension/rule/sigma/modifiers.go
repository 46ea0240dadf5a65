package sigma

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf16"

	"gopkg.in/yaml.v3"
)

// maxAlternatives is how many patterns one value may stand for, after windash
// before an encoding, base64offset and placeholders.
const maxAlternatives = 1_000

// chain is a field's modifiers, checked.
type chain struct {
	text       string   // as written
	transforms []string // windash, expand, and encodings, in order
	place      place
	placed     string // the modifier that gave the place
	all        bool
	negated    bool
	cased      bool
	typed      string // re, cidr, exists, fieldref, lt, lte, gt, gte or nothing
	flags      string // of re
}

// encodings are the modifiers that turn a text into other bytes.
var encodings = []string{"utf16", "utf16le", "utf16be", "wide", "base64", "base64offset"}

// parseChain checks the modifiers of a key, whose text is field|names...
func (d *document) parseChain(key *yaml.Node, field string, names []string) (chain, error) {
	c := chain{text: strings.Join(names, "|")}
	off := len(field) + 1
	for i, name := range names {
		invalid := func(reason string) error { return d.invalidAt(key, off, reason, name) }
		if slices.Contains(names[:i], name) {
			return c, invalid("modifier given twice")
		}
		encoded := slices.ContainsFunc(c.transforms, func(t string) bool { return slices.Contains(encodings, t) })
		switch name {
		case "all":
			c.all = true
		case "neq":
			c.negated = true
		case "cased":
			c.cased = true
		case "contains", "startswith", "endswith":
			if c.placed != "" {
				return c, invalid("modifier cannot follow " + c.placed)
			}
			c.placed = name
			c.place = map[string]place{"contains": anywhere, "startswith": atStart, "endswith": atEnd}[name]
		case "windash", "expand":
			if encoded {
				return c, invalid("modifier must stand before the encoding")
			}
			c.transforms = append(c.transforms, name)
		case "utf16", "utf16le", "utf16be", "wide":
			if encoded {
				return c, invalid("modifier must stand before other encodings")
			}
			c.transforms = append(c.transforms, name)
		case "base64", "base64offset":
			if c.placed != "" {
				return c, invalid("modifier must stand before " + c.placed)
			}
			c.transforms = append(c.transforms, name)
		case "re", "cidr", "exists", "fieldref", "lt", "lte", "gt", "gte":
			if c.typed != "" || c.placed != "" || len(c.transforms) > 0 {
				return c, invalid("modifier needs an unmodified value")
			}
			c.typed = name
		case "i", "m", "s":
			if c.typed != "re" {
				return c, invalid("modifier must follow re")
			}
			c.flags += name
		case "":
			return c, invalid("empty modifier")
		case "minute", "hour", "day", "week", "month", "year":
			return c, d.unsupportedAt(key, off, "time modifier", name)
		default:
			return c, d.unsupportedAt(key, off, "modifier", name)
		}
		off += len(name) + 1
	}
	conflict := func(with string) error {
		return d.invalidAt(key, 0, "modifiers cannot be combined", c.typed+" and "+with)
	}
	if c.typed != "" {
		switch {
		case len(c.transforms) > 0:
			return c, conflict(c.transforms[0])
		case c.placed != "" && c.typed != "fieldref":
			return c, conflict(c.placed)
		case c.cased && c.typed != "fieldref":
			return c, conflict("cased")
		case c.typed == "exists" && c.negated:
			return c, conflict("neq")
		case c.typed == "exists" && c.all:
			return c, conflict("all")
		}
	}
	if field == "" {
		switch {
		case c.typed != "" && c.typed != "re":
			return c, d.invalidAt(key, 0, "modifier needs a field", c.typed)
		case c.place == atStart || c.place == atEnd:
			return c, d.invalidAt(key, 0, "modifier needs a field", c.placed)
		case c.negated:
			return c, d.invalidAt(key, 0, "modifier needs a field", "neq")
		}
	}
	return c, nil
}

// matchers makes the matchers of one scalar value.
func (d *document) matchers(c *chain, field string, n *yaml.Node) ([]matcher, error) {
	tag := n.ShortTag()
	quoted := tag == "!!str" || tag == "!!timestamp"
	switch c.typed {
	case "re":
		if !quoted {
			return nil, d.invalidAt(n, 0, "re needs a text", n.Value)
		}
		x, size, err := newRegex(n.Value, c.flags)
		if err != nil {
			return nil, d.unsupportedAt(n, 0, "regular expression", err.Error())
		}
		if d.regexSize += size; d.regexSize > maxRegexTotal {
			return nil, d.unsupportedAt(n, 0, "regular expression", "the file's are too large together")
		}
		return []matcher{x}, nil
	case "cidr":
		net, ok := parseNetwork(n.Value)
		if !quoted || !ok {
			return nil, d.invalidAt(n, 0, "cidr needs an address range", n.Value)
		}
		return []matcher{net}, nil
	case "lt", "lte", "gt", "gte":
		num, ok := numberOf(n)
		if !ok {
			return nil, d.invalidAt(n, 0, c.typed+" needs a number", n.Value)
		}
		return []matcher{comparison{c.typed, num}}, nil
	}
	if !quoted && len(c.transforms) > 0 {
		return nil, d.invalidAt(n, 0, c.transforms[0]+" needs a text", n.Value)
	}
	texts := []text{parseText(n.Value)}
	if canonical := canonicalNumber(n); canonical != "" && canonical != n.Value {
		texts = append(texts, parseText(canonical))
	}
	place := c.place
	if field == "" {
		place = anywhere // a keyword is looked for in the whole message
	}
	for _, t := range c.transforms {
		var err error
		if texts, err = d.transform(t, texts, n); err != nil {
			return nil, err
		}
		if len(texts) > maxAlternatives {
			return nil, d.unsupportedAt(n, 0, "value with too many variants", n.Value)
		}
	}
	out := make([]matcher, 0, len(texts))
	for _, t := range texts {
		if place == anywhere || place == atEnd {
			t = append(text{star}, t...)
		}
		if place == anywhere || place == atStart {
			t = append(t, star)
		}
		out = append(out, newGlob(t, c.cased))
	}
	return out, nil
}

// transform applies one modifier to the texts that a value stands for.
func (d *document) transform(name string, texts []text, n *yaml.Node) ([]text, error) {
	switch name {
	case "windash":
		for _, t := range texts {
			for i, r := range t {
				if isDash(r) {
					t[i] = dash
				}
			}
		}
		return texts, nil
	case "expand":
		return d.expand(texts, n)
	}
	var out []text
	for _, t := range texts {
		spelled, ok := spellDashes(t)
		if !ok {
			return nil, d.unsupportedAt(n, 0, "value with too many variants", n.Value)
		}
		for _, t := range spelled {
			switch name {
			case "base64", "base64offset":
				s, ok := t.plain()
				if !ok {
					return nil, d.invalidAt(n, 0, name+" of a wildcard", n.Value)
				}
				if name == "base64" {
					out = append(out, literalText(base64.StdEncoding.EncodeToString([]byte(s))))
					continue
				}
				if len(s) < 2 {
					return nil, d.invalidAt(n, 0, "value too short for base64offset", n.Value)
				}
				for i := range 3 {
					out = append(out, literalText(base64At(s, i)))
				}
			default:
				out = append(out, encodeUTF16(t, name))
			}
		}
		if len(out) > maxAlternatives {
			break
		}
	}
	return out, nil
}

// base64At returns the characters that s is sure to have in the Base64 of a text
// that holds it after a multiple of three bytes and offset more.
func base64At(s string, offset int) string {
	coded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", offset) + s))
	// A character tells six bits. Those whose six bits are all of s stay.
	return coded[(offset*8+5)/6 : (offset+len(s))*8/6]
}

// encodeUTF16 encodes the characters of t; wildcards stay.
func encodeUTF16(t text, name string) text {
	var out text
	put := func(u uint16) {
		hi, lo := rawRune(byte(u>>8)), rawRune(byte(u))
		if name == "utf16be" {
			out = append(out, hi, lo)
		} else {
			out = append(out, lo, hi)
		}
	}
	if name == "utf16" {
		put(0xFEFF)
	}
	for _, r := range t {
		if r < 0 {
			out = append(out, r)
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			put(u)
		}
	}
	return out
}

func rawRune(b byte) rune {
	if b < 0x80 {
		return rune(b)
	}
	return rawByte + rune(b)
}

func literalText(s string) text {
	out := make(text, 0, len(s))
	for i := range len(s) {
		out = append(out, rawRune(s[i]))
	}
	return out
}

// spellDashes writes out the dashes that windash left open; ok is false when
// that gives too many texts.
func spellDashes(t text) (out []text, ok bool) {
	out = []text{nil}
	for _, r := range t {
		if r != dash {
			for i := range out {
				out[i] = append(out[i], r)
			}
			continue
		}
		var next []text
		for _, o := range out {
			for _, d := range dashes {
				next = append(next, append(slices.Clone(o), d))
			}
		}
		if out = next; len(out) > maxAlternatives {
			return nil, false
		}
	}
	return out, true
}

// expand replaces %name% by the values supplied for it. A backslash before the
// percent sign makes it plain.
func (d *document) expand(texts []text, n *yaml.Node) ([]text, error) {
	var out []text
	for _, t := range texts {
		made := []text{nil}
		add := func(piece ...text) bool {
			if len(made)*len(piece) > maxAlternatives {
				return false
			}
			next := make([]text, 0, len(made)*len(piece))
			for _, m := range made {
				for _, p := range piece {
					next = append(next, append(slices.Clone(m), p...))
				}
			}
			made = next
			return true
		}
		start := 0 // of what is not copied yet
		for i := 0; i < len(t); i++ {
			if t[i] == '\\' && i+1 < len(t) && t[i+1] == '%' {
				add(t[start:i])
				start = i + 1
				i++
				continue
			}
			if t[i] != '%' {
				continue
			}
			length := slices.IndexFunc(t[i+1:], func(r rune) bool { return r < 0 || r == '%' })
			if length < 1 || t[i+1+length] != '%' {
				continue
			}
			name, _ := t[i+1 : i+1+length].plain()
			values, ok := d.options.placeholders[name]
			if !ok || len(values) == 0 {
				return nil, d.unsupportedAt(n, 0, "placeholder", "%"+name+"%")
			}
			pieces := make([]text, len(values))
			for k, v := range values {
				pieces[k] = parseText(v)
			}
			add(t[start:i])
			if !add(pieces...) {
				return nil, d.unsupportedAt(n, 0, "value with too many variants", n.Value)
			}
			i += length + 1
			start = i + 1
		}
		add(t[start:])
		out = append(out, made...)
	}
	return out, nil
}
