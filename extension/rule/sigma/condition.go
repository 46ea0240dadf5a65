package sigma

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Limits on a condition.
const (
	maxConditionDepth = 64
	maxConditionNodes = 10_000
)

type op uint8

const (
	opSelection op = iota
	opAnd
	opOr
	opNot
)

// node is a node of a condition's tree.
type node struct {
	op        op
	kids      []*node
	selection *selection
}

func (n *node) eval(e Event) bool {
	switch n.op {
	case opSelection:
		return n.selection.match(e)
	case opNot:
		return !n.kids[0].eval(e)
	case opAnd:
		for _, kid := range n.kids {
			if !kid.eval(e) {
				return false
			}
		}
		return true
	default: // opOr
		for _, kid := range n.kids {
			if kid.eval(e) {
				return true
			}
		}
		return false
	}
}

// explain adds the evidence of the selections that made the node have the wanted
// outcome.
func (n *node) explain(e Event, want bool, out *[]Evidence) {
	if n.op == opSelection {
		if want {
			n.selection.explain(e, out)
		}
		return
	}
	if n.op == opNot {
		n.kids[0].explain(e, !want, out)
		return
	}
	for _, kid := range n.kids {
		if kid.eval(e) == want {
			kid.explain(e, want, out)
		}
	}
}

func (n *node) cost() int {
	if n.op == opSelection {
		return n.selection.cost()
	}
	c := 0
	for _, kid := range n.kids {
		c += kid.cost()
	}
	return c
}

// join makes an and/or of nodes, cheap ones first: the order has no meaning, but
// the first that decides ends the work.
func join(o op, kids []*node) *node {
	if len(kids) == 1 {
		return kids[0]
	}
	slices.SortStableFunc(kids, func(a, b *node) int { return a.cost() - b.cost() })
	return &node{op: o, kids: kids}
}

// word is a token of a condition: a word, a parenthesis or a pipe.
type word struct {
	text string
	off  int // in the condition's text
}

func splitCondition(s string) []word {
	var out []word
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '(' || c == ')' || c == '|':
			out = append(out, word{s[i : i+1], i})
			i++
		default:
			n := strings.IndexAny(s[i:], " \t\n\r()|")
			if n < 0 {
				n = len(s) - i
			}
			out = append(out, word{s[i : i+n], i})
			i += n
		}
	}
	return out
}

// keyword returns the operator that a word is, in lower case, or nothing.
func keyword(w string) string {
	switch k := strings.ToLower(w); k {
	case "and", "or", "not", "of", "them":
		return k
	}
	return ""
}

// conditionParser reads one condition by recursive descent, the loosest operator
// first.
type conditionParser struct {
	doc        *document
	at         *yaml.Node // the scalar that is read
	words      []word
	next       int
	depth      int
	selections []*selection
}

func (p *conditionParser) peek() string {
	if p.next < len(p.words) {
		return p.words[p.next].text
	}
	return ""
}

// fail reports an invalid condition at the word i.
func (p *conditionParser) fail(i int, reason, detail string) error {
	line, column := p.position(i)
	return &InvalidError{Reason: reason, Detail: detail, Line: line, Column: column}
}

func (p *conditionParser) refuse(i int, feature, detail string) error {
	line, column := p.position(i)
	return &UnsupportedError{Feature: feature, Detail: detail, Line: line, Column: column}
}

func (p *conditionParser) position(i int) (line, column int) {
	if i >= len(p.words) {
		return p.doc.within(p.at, len(p.at.Value))
	}
	return p.doc.within(p.at, p.words[i].off)
}

func (p *conditionParser) parse() (*node, error) {
	// An aggregation is named whole, whatever stands before it.
	for i, w := range p.words {
		if w.text == "|" {
			what := ""
			if i+1 < len(p.words) {
				what = p.words[i+1].text
			}
			if strings.EqualFold(what, "near") {
				return nil, p.refuse(i, "near", "")
			}
			return nil, p.refuse(i, "aggregation expression", "| "+what)
		}
	}
	if len(p.words) == 0 {
		return nil, p.fail(0, "empty condition", "")
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.next < len(p.words) {
		w := p.peek()
		if w == ")" || w == "(" || keyword(w) != "" || p.selection(w) != nil {
			return nil, p.fail(p.next, "unexpected word in condition", w)
		}
		return nil, p.refuse(p.next, "condition word", w)
	}
	return n, nil
}

func (p *conditionParser) or() (*node, error) {
	return p.binary("or", opOr, func() (*node, error) { return p.binary("and", opAnd, p.not) })
}

func (p *conditionParser) binary(name string, o op, operand func() (*node, error)) (*node, error) {
	var kids []*node
	for {
		kid, err := operand()
		if err != nil {
			return nil, err
		}
		kids = append(kids, kid)
		if keyword(p.peek()) != name {
			return join(o, kids), nil
		}
		p.next++
	}
}

func (p *conditionParser) not() (*node, error) {
	negated := false
	for keyword(p.peek()) == "not" {
		negated = !negated
		p.next++
	}
	n, err := p.operand()
	if err != nil || !negated {
		return n, err
	}
	return &node{op: opNot, kids: []*node{n}}, nil
}

func (p *conditionParser) operand() (*node, error) {
	i, w := p.next, p.peek()
	switch {
	case w == "":
		return nil, p.fail(i, "condition ends early", "")
	case w == "(":
		if p.depth++; p.depth > maxConditionDepth {
			return nil, p.fail(i, "condition nested too deep", "")
		}
		p.next++
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		if p.peek() != ")" {
			return nil, p.fail(p.next, "missing parenthesis in condition", p.peek())
		}
		p.next++
		p.depth--
		return n, nil
	case w == ")" || keyword(w) != "":
		return nil, p.fail(i, "unexpected word in condition", w)
	}
	p.next++
	if keyword(p.peek()) == "of" {
		p.next++
		return p.quantifier(i, w)
	}
	s := p.selection(w)
	if s == nil {
		if strings.Contains(w, "*") {
			return nil, p.fail(i, "pattern in condition without 1 of or all of", w)
		}
		return nil, p.fail(i, "undefined search identifier", w)
	}
	return p.leaf(i, s)
}

func (p *conditionParser) leaf(i int, s *selection) (*node, error) {
	if p.doc.nodes++; p.doc.nodes > maxConditionNodes {
		return nil, p.fail(i, "condition too large", "")
	}
	return &node{selection: s}, nil
}

func (p *conditionParser) selection(name string) *selection {
	for _, s := range p.selections {
		if s.name == name {
			return s
		}
	}
	return nil
}

// quantifier reads what follows "count of"; count is the word i.
func (p *conditionParser) quantifier(i int, count string) (*node, error) {
	o := opOr
	switch strings.ToLower(count) {
	case "1":
	case "all":
		o = opAnd
	default:
		return nil, p.refuse(i, "condition quantifier", fmt.Sprintf("%s of", count))
	}
	at, pattern := p.next, p.peek()
	if pattern == "" || pattern == "(" || pattern == ")" {
		return nil, p.fail(at, "search identifier or pattern expected in condition", pattern)
	}
	p.next++
	if k := keyword(pattern); k == "them" {
		pattern = "*"
	} else if k != "" {
		return nil, p.fail(at, "search identifier or pattern expected in condition", pattern)
	}
	chars := make(text, 0, utf8.RuneCountInString(pattern))
	for _, r := range pattern {
		if r == '*' {
			r = star
		}
		chars = append(chars, r)
	}
	g := newGlob(chars, true)
	var kids []*node
	for _, s := range p.selections {
		if strings.HasPrefix(s.name, "_") && !strings.HasPrefix(pattern, "_") || !g.match(s.name) {
			continue
		}
		n, err := p.leaf(at, s)
		if err != nil {
			return nil, err
		}
		kids = append(kids, n)
	}
	if len(kids) == 0 {
		return nil, p.fail(at, "undefined search identifier", p.words[at].text)
	}
	return join(o, kids), nil
}
