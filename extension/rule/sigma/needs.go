package sigma

import (
	"regexp/syntax"
	"unicode/utf8"
)

// The most that Needs tells of one rule.
const (
	maxNeeds   = 256 // alternatives
	maxProduct = 32  // alternatives that come of two conditions which must both hold
	maxRun     = 256 // bytes of one text of a regular expression
)

// Text is a text that values hold.
type Text struct {
	// Literal is in lower-case ASCII; values have its ASCII letters in any case.
	Literal string
	// Edge says that it stands at the start of a value or behind a byte that names
	// are not written with: anything but ASCII letters, digits and "._-~".
	Edge bool
}

// Clue is what a rule needs in one field.
type Clue struct {
	Field string // empty for the event as a whole
	// Texts are texts of which one is in a value of the field.
	Texts []Text
	// Whole says that this text is all of the value.
	Whole bool
}

// Taste tells [Rule.Needs] which texts are worth looking for.
type Taste struct {
	// Worth is how much a text tells in a field; 0 is nothing. A set of texts is
	// worth as much as its least.
	Worth func(field string, t Text) int
	// ASCII reports whether a field's values can be taken to be ASCII throughout:
	// the caller looks at all others by other means.
	ASCII func(field string) bool
}

// Needs returns alternatives: whenever the rule matches, all clues of at least one
// of them hold. It returns none when the rule may match without any.
func (r *Rule) Needs(t Taste) [][]Clue {
	if r.condition == nil {
		return nil
	}
	return r.condition.needs(t)
}

func (n *node) needs(t Taste) [][]Clue {
	switch n.op {
	case opSelection:
		return n.selection.needs(t)
	case opOr:
		var all [][]Clue
		for _, kid := range n.kids {
			some := kid.needs(t)
			if len(some) == 0 || len(all)+len(some) > maxNeeds {
				return nil
			}
			all = append(all, some...)
		}
		return all
	case opAnd:
		var both [][]Clue
		for _, kid := range n.kids {
			some := kid.needs(t)
			switch {
			case len(some) == 0:
			case len(both) == 0:
				both = some
			case len(both)*len(some) <= maxProduct:
				product := make([][]Clue, 0, len(both)*len(some))
				for _, a := range both {
					for _, b := range some {
						product = append(product, append(a[:len(a):len(a)], b...))
					}
				}
				both = product
			}
		}
		return both
	}
	return nil
}

func (s *selection) needs(t Taste) [][]Clue {
	var all [][]Clue
	for _, items := range s.alternatives {
		var clues []Clue
		for _, it := range items {
			clues = append(clues, it.clues(t)...)
		}
		if len(clues) == 0 || len(all) == maxNeeds {
			return nil
		}
		all = append(all, clues)
	}
	return all
}

// clues returns what an item needs: one clue, or one for each value if all of them
// must match.
func (it *item) clues(t Taste) []Clue {
	if it.kind != kindMatch || it.negated {
		return nil
	}
	if it.all {
		var out []Clue
		for i := range it.values {
			if c, ok := it.clue(t, it.values[i:i+1]); ok {
				out = append(out, c)
			}
		}
		return out
	}
	if c, ok := it.clue(t, it.values); ok {
		return []Clue{c}
	}
	return nil
}

func (it *item) clue(t Taste, values []value) (Clue, bool) {
	c := Clue{Field: it.field, Whole: true}
	s := seeker{worth: func(x Text) int { return t.Worth(it.field, x) }, ascii: t.ASCII(it.field)}
	for i := range values {
		for _, m := range values[i].alternatives {
			texts, whole := s.of(m)
			if len(texts) == 0 || len(c.Texts)+len(texts) > maxLiterals {
				return Clue{}, false
			}
			c.Texts = append(c.Texts, texts...)
			c.Whole = c.Whole && whole
		}
	}
	return c, len(c.Texts) > 0
}

// seeker finds the texts that tell most.
type seeker struct {
	worth func(Text) int
	ascii bool
}

// of returns texts of which one is in every value that m accepts, and whether it is
// all of it.
func (s *seeker) of(m matcher) (texts []Text, whole bool) {
	switch m := m.(type) {
	case *glob:
		var best []Text
		if n := len(m.segments); n > 0 && m.segments[0].units == nil && !m.openStart {
			literal := m.segments[0].literal.text
			if isASCII(literal) {
				best = []Text{{newLiteral(literal, false).text, true}}
				whole = n == 1 && !m.openEnd
			}
		}
		if whole {
			return best, true
		}
		if m.longest != "" {
			best = s.better(best, []Text{{Literal: m.longest}})
		}
		return best, false
	case *regex:
		tree, err := syntax.Parse(m.re.String(), syntax.Perl)
		if err != nil {
			return nil, false
		}
		var best []Text
		sets, _ := s.walk(tree, position{edge: false})
		for _, set := range sets {
			best = s.better(best, set)
		}
		return best, false
	}
	return nil, false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// better returns the set whose least text is worth more, then the smaller one. One
// that is worth nothing is none.
func (s *seeker) better(a, b []Text) []Text {
	x, y := s.least(a), s.least(b)
	switch {
	case x == 0 && y == 0:
		return nil
	case x > y || x == y && len(a) <= len(b):
		return a
	}
	return b
}

func (s *seeker) least(set []Text) int {
	if len(set) == 0 {
		return 0
	}
	least := s.worth(set[0])
	for _, t := range set[1:] {
		least = min(least, s.worth(t))
	}
	return least
}

// position is what is known of the text in front of a place in a regular expression.
type position struct {
	run  string // the literal that ends here
	edge bool   // it stands at an edge
}

// after reports whether a text that starts here stands at an edge.
func (p position) after() bool {
	if p.run == "" {
		return p.edge
	}
	return !nameByte(p.run[len(p.run)-1])
}

func nameByte(b byte) bool {
	return 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9' || b == '.' || b == '_' || b == '-' || b == '~'
}

// walk returns sets of texts: of each set, one is in every text that re matches
// from p on, the literal in front of p included; and where that leads.
func (s *seeker) walk(re *syntax.Regexp, p position) (sets [][]Text, end position) {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpEndText, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return nil, p
	case syntax.OpBeginText, syntax.OpBeginLine:
		return nil, position{edge: true}
	case syntax.OpLiteral:
		return s.literal(re, p)
	case syntax.OpCharClass:
		return nil, position{edge: separates(re.Rune)}
	case syntax.OpCapture:
		return s.walk(re.Sub[0], p)
	case syntax.OpStar, syntax.OpQuest:
		_, inner := s.walk(re.Sub[0], position{})
		return nil, position{edge: p.after() && inner.after()}
	case syntax.OpPlus, syntax.OpRepeat:
		sets, _ = s.walk(re.Sub[0], p)
		_, inner := s.walk(re.Sub[0], position{})
		if re.Op == syntax.OpRepeat && re.Min == 0 {
			return nil, position{edge: p.after() && inner.after()}
		}
		return sets, position{edge: inner.after()}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			var more [][]Text
			more, p = s.walk(sub, p)
			sets = append(sets, more...)
		}
		return sets, p
	case syntax.OpAlternate:
		return s.alternate(re, p)
	}
	return nil, position{}
}

func (s *seeker) alternate(re *syntax.Regexp, p position) ([][]Text, position) {
	edge := true
	var all []Text
	known := true
	for _, sub := range re.Sub {
		sets, end := s.walk(sub, p)
		edge = edge && end.after()
		var best []Text
		for _, set := range sets {
			best = s.better(best, set)
		}
		known = known && len(best) > 0 && len(all)+len(best) <= maxLiterals
		if known {
			all = append(all, best...)
		}
	}
	if !known {
		return nil, position{edge: edge}
	}
	return [][]Text{all}, position{edge: edge}
}

// literal goes over a literal; only ASCII makes a text.
func (s *seeker) literal(re *syntax.Regexp, p position) (sets [][]Text, end position) {
	for _, r := range re.Rune {
		r = fold(r)
		// Go folds k and s with a character outside ASCII too.
		if r >= utf8.RuneSelf || !s.ascii && re.Flags&syntax.FoldCase != 0 && (r == 'k' || r == 's') {
			if p.run != "" {
				sets = append(sets, []Text{{p.run, p.edge}})
			}
			p = position{edge: r >= utf8.RuneSelf}
			continue
		}
		if len(p.run) == maxRun {
			sets = append(sets, []Text{{p.run, p.edge}})
			p = position{}
		}
		p.run += string(byte(r))
	}
	if p.run != "" {
		sets = append(sets, []Text{{p.run, p.edge}})
	}
	return sets, p
}

// separates reports whether a class holds only ASCII that names are not written
// with.
func separates(class []rune) bool {
	for i := 0; i+1 < len(class); i += 2 {
		if class[i+1] >= utf8.RuneSelf {
			return false
		}
		for r := class[i]; r <= class[i+1]; r++ {
			if nameByte(byte(r)) {
				return false
			}
		}
	}
	return len(class) > 0
}
