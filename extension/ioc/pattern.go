package ioc

import (
	"errors"
	"fmt"
	"strings"
)

// The bounds of one pattern.
const (
	maxPattern      = 64 << 10 // bytes
	maxAlternatives = 4096
	maxConditions   = 16 // that must hold together
	maxNesting      = 64
)

// condition is one comparison of a pattern.
type condition struct {
	typ  Type
	text string
	// field is the path in the object, where it matters for putting conditions
	// together; idle says that the condition narrows nothing that is compared.
	field string
	idle  bool
	// unknown is what is asked for that Rollcall does not compare.
	unknown string
}

// parsePattern reads a STIX pattern: alternatives, each of conditions that must
// hold together. Whatever would match more than the pattern says is an error: what
// happens in an order or a number of times, negations, patterns of text, and
// properties that are not compared, unless a hash beside them decides alone.
func parsePattern(s string) ([][]condition, error) {
	if len(s) > maxPattern {
		return nil, errors.New("longer than 64 KiB")
	}
	p := &parser{text: s}
	p.advance()
	all, err := p.observations(0)
	if err != nil {
		return nil, err
	}
	if p.kind != tokEnd {
		return nil, fmt.Errorf("%s at byte %d", show(p.token), p.start)
	}
	var out [][]condition
	var skipped error
	for _, c := range all {
		list, err := together(c)
		if err != nil {
			skipped = err
			continue
		}
		out = append(out, list...)
	}
	if len(out) == 0 {
		return nil, skipped
	}
	return out, nil
}

// together reduces conditions of one thing. Any hash of a file decides by itself:
// the others name the same file.
func together(c []condition) ([][]condition, error) {
	var hashes [][]condition
	for _, x := range c {
		if hexLength(x.typ) > 0 && x.unknown == "" {
			hashes = append(hashes, []condition{x})
		}
	}
	if len(hashes) > 0 {
		return hashes, nil
	}
	var list []condition
	dir, name := -1, -1
	for _, x := range c {
		switch {
		case x.unknown != "":
			return nil, fmt.Errorf("%s is not compared", x.unknown)
		case x.idle:
			continue
		case x.field == "directory":
			dir = len(list)
		case x.typ == Name && x.field == "file":
			name = len(list)
		}
		list = append(list, x)
	}
	if dir >= 0 {
		if name < 0 {
			return nil, errors.New("a directory without a file's name is not compared")
		}
		sep := "/"
		if strings.Contains(list[dir].text, `\`) {
			sep = `\`
		}
		list[name] = condition{typ: Path, text: strings.TrimRight(list[dir].text, `/\`) + sep + list[name].text}
		list = append(list[:dir], list[dir+1:]...)
	}
	if len(list) == 0 {
		return nil, errors.New("nothing in it is compared")
	}
	if len(list) > maxConditions {
		return nil, fmt.Errorf("more than %d conditions together", maxConditions)
	}
	// What is rarest goes first; a port alone says nothing.
	for i, x := range list {
		if x.typ != port {
			list[0], list[i] = list[i], list[0]
			return [][]condition{list}, nil
		}
	}
	return nil, errors.New("a port alone is not compared")
}

// condOf is what a property of an object is compared with.
func condOf(path, value string) condition {
	kind, field, _ := strings.Cut(path, ":")
	field = strings.ReplaceAll(strings.ReplaceAll(field, "'", ""), `"`, "")
	last := field[strings.LastIndexByte(field, '.')+1:]
	l := strings.ToLower(field)
	is := func(t Type) condition { return condition{typ: t, text: value} }
	if strings.HasPrefix(l, "hashes.") || strings.Contains(l, "_ref.hashes.") {
		switch columnName(last) {
		case "sha256":
			return is(SHA256)
		case "sha1":
			return is(SHA1)
		case "md5":
			return is(MD5)
		}
		return condition{unknown: path}
	}
	switch kind {
	case "file":
		switch field {
		case "name":
			return condition{typ: Name, text: value, field: "file"}
		case "parent_directory_ref.path":
			return condition{typ: Path, text: value, field: "directory"}
		case "x_path", "path":
			return is(Path)
		}
	case "process":
		switch field {
		case "name", "image_ref.name", "binary_ref.name":
			return condition{typ: Name, text: value, field: "file"}
		case "image_ref.parent_directory_ref.path", "binary_ref.parent_directory_ref.path":
			return condition{typ: Path, text: value, field: "directory"}
		case "extensions.windows-service-ext.service_name", "extensions.windows-service-ext.display_name":
			return is(Name)
		}
	case "ipv4-addr", "ipv6-addr":
		if field == "value" {
			return is(Address)
		}
	case "domain-name":
		if field == "value" {
			return is(Domain)
		}
	case "url":
		if field == "value" {
			return is(URL)
		}
	case "network-traffic":
		switch field {
		case "dst_ref.value", "src_ref.value":
			return hostCondition(value)
		case "dst_port", "src_port":
			return is(port)
		case "dst_ref.type", "src_ref.type", "dst_ref.is_active":
			return condition{idle: true}
		}
		if strings.HasPrefix(field, "protocols[") {
			return condition{idle: true} // address and port tell enough
		}
	}
	return condition{unknown: path}
}

// hostCondition is about an address, or a name in its place.
func hostCondition(value string) condition {
	if _, err := normalNetwork(refang(value)); err == nil {
		return condition{typ: Address, text: value}
	}
	return condition{typ: Domain, text: value}
}

// The kinds of tokens.
const (
	tokEnd = iota
	tokWord
	tokString
	tokSign
	tokBad
)

// parser reads a pattern, one token ahead.
type parser struct {
	text  string
	at    int
	start int
	kind  int
	token string // the word, the string without quotes, or the sign
}

func (p *parser) advance() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	p.start = p.at
	if p.at == len(p.text) {
		p.kind, p.token = tokEnd, "the end"
		return
	}
	switch c := p.text[p.at]; {
	case c == '\'':
		p.quoted()
	case strings.IndexByte("[](),", c) >= 0:
		p.at++
		p.kind, p.token = tokSign, string(c)
	case c == '=' || c == '<' || c == '>' || c == '!':
		p.at++
		if p.at < len(p.text) && p.text[p.at] == '=' {
			p.at++
		}
		p.kind, p.token = tokSign, p.text[p.start:p.at]
	case wordByte(c):
		p.word()
	default:
		p.at++
		p.kind, p.token = tokBad, string(c)
	}
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == ':' || c == '+' || c == '*'
}

// word reads a keyword, a number, or the path of an object, in which parts may be
// quoted and lists indexed.
func (p *parser) word() {
	for p.at < len(p.text) {
		c := p.text[p.at]
		switch {
		case wordByte(c):
			p.at++
		case (c == '\'' || c == '"') && p.at > p.start && (p.text[p.at-1] == '.' || p.text[p.at-1] == ':'):
			end := strings.IndexByte(p.text[p.at+1:], c)
			if end < 0 {
				p.kind, p.token = tokBad, p.text[p.start:]
				p.at = len(p.text)
				return
			}
			p.at += end + 2
		case c == '[' && p.at > p.start && strings.Contains(p.text[p.start:p.at], ":"):
			end := strings.IndexByte(p.text[p.at:], ']')
			if end < 0 || end > 8 {
				p.kind, p.token = tokBad, p.text[p.start:p.at]
				return
			}
			p.at += end + 1
		default:
			p.kind, p.token = tokWord, p.text[p.start:p.at]
			return
		}
	}
	p.kind, p.token = tokWord, p.text[p.start:p.at]
}

// quoted reads a string; a backslash takes the next character as it stands.
func (p *parser) quoted() {
	var b strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '\\' && i+1 < len(p.text):
			i++
			b.WriteByte(p.text[i])
		case c == '\'':
			p.at = i + 1
			p.kind, p.token = tokString, b.String()
			return
		default:
			b.WriteByte(c)
		}
	}
	p.at = len(p.text)
	p.kind, p.token = tokBad, "a quote that does not end"
}

func (p *parser) is(kind int, token string) bool { return p.kind == kind && p.token == token }

func (p *parser) expect(token string) error {
	if !p.is(tokSign, token) {
		return fmt.Errorf("%s at byte %d, where %s should be", show(p.token), p.start, token)
	}
	p.advance()
	return nil
}

// observations reads [a] OR [b]. Only alternatives are taken: a row of ours is one
// observation.
func (p *parser) observations(depth int) ([][]condition, error) {
	if depth > maxNesting {
		return nil, errors.New("nested too deeply")
	}
	var out [][]condition
	for {
		var one [][]condition
		var err error
		switch {
		case p.is(tokSign, "["):
			p.advance()
			if one, err = p.or(depth + 1); err == nil {
				err = p.expect("]")
			}
		case p.is(tokSign, "("):
			p.advance()
			if one, err = p.observations(depth + 1); err == nil {
				err = p.expect(")")
			}
		default:
			err = fmt.Errorf("%s at byte %d, where [ should be", show(p.token), p.start)
		}
		if err != nil {
			return nil, err
		}
		if out = append(out, one...); len(out) > maxAlternatives {
			return nil, errTooMany
		}
		if p.kind != tokWord {
			return out, nil
		}
		switch p.token {
		case "OR":
			p.advance()
		case "AND", "FOLLOWEDBY":
			return nil, errors.New("several observations together are not compared")
		default:
			return nil, fmt.Errorf("%s is not compared", show(p.token))
		}
	}
}

var errTooMany = fmt.Errorf("more than %d alternatives", maxAlternatives)

func (p *parser) or(depth int) ([][]condition, error) {
	if depth > maxNesting {
		return nil, errors.New("nested too deeply")
	}
	var out [][]condition
	for {
		one, err := p.and(depth)
		if err != nil {
			return nil, err
		}
		if out = append(out, one...); len(out) > maxAlternatives {
			return nil, errTooMany
		}
		if !p.is(tokWord, "OR") {
			return out, nil
		}
		p.advance()
	}
}

// and reads conditions that hold together, and multiplies out alternatives within.
func (p *parser) and(depth int) ([][]condition, error) {
	out := [][]condition{nil}
	for {
		var one [][]condition
		var err error
		if p.is(tokSign, "(") {
			p.advance()
			if one, err = p.or(depth + 1); err == nil {
				err = p.expect(")")
			}
		} else {
			one, err = p.comparison()
		}
		if err != nil {
			return nil, err
		}
		if len(out)*len(one) > maxAlternatives {
			return nil, errTooMany
		}
		var product [][]condition
		for _, a := range out {
			for _, b := range one {
				if len(a)+len(b) > 4*maxConditions {
					return nil, fmt.Errorf("more than %d conditions together", 4*maxConditions)
				}
				product = append(product, append(append(make([]condition, 0, len(a)+len(b)), a...), b...))
			}
		}
		out = product
		if !p.is(tokWord, "AND") {
			return out, nil
		}
		p.advance()
	}
}

// comparison reads path = 'value', or path IN ('a', 'b').
func (p *parser) comparison() ([][]condition, error) {
	if p.kind != tokWord || !strings.Contains(p.token, ":") {
		return nil, fmt.Errorf("%s at byte %d, where a property should be", show(p.token), p.start)
	}
	path := p.token
	p.advance()
	negated := false
	if p.is(tokWord, "NOT") {
		negated = true
		p.advance()
	}
	op := p.token
	if p.kind != tokSign && p.kind != tokWord {
		return nil, fmt.Errorf("%s at byte %d, where a comparison should be", show(op), p.start)
	}
	p.advance()
	var values []string
	if op == "IN" {
		if err := p.expect("("); err != nil {
			return nil, err
		}
		for {
			v, err := p.value()
			if err != nil {
				return nil, err
			}
			if values = append(values, v); len(values) > maxAlternatives {
				return nil, errTooMany
			}
			if !p.is(tokSign, ",") {
				break
			}
			p.advance()
		}
		if err := p.expect(")"); err != nil {
			return nil, err
		}
	} else {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		values = []string{v}
	}
	var out [][]condition
	for _, v := range values {
		c := condOf(path, v)
		switch {
		case negated:
			c = condition{unknown: "NOT of " + path}
		case op == "=", op == "IN", op == "ISSUBSET" && c.typ == Address,
			op == "LIKE" && !strings.ContainsAny(v, "%_"):
		default:
			c = condition{unknown: fmt.Sprintf("%s %s", path, op)}
		}
		out = append(out, []condition{c})
	}
	return out, nil
}

// value reads a constant.
func (p *parser) value() (string, error) {
	if p.kind != tokString && p.kind != tokWord {
		return "", fmt.Errorf("%s at byte %d, where a value should be", show(p.token), p.start)
	}
	v := p.token
	word := p.kind == tokWord
	p.advance()
	if word && p.kind == tokString && (v == "t" || v == "h" || v == "b") {
		v = p.token // t'2026-12-31T00:00:00Z'
		p.advance()
	}
	return v, nil
}
