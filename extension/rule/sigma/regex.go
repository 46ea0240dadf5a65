package sigma

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// Limits on regular expressions, in instructions of the compiled program. One
// instruction costs about 40 bytes, and one step a byte at worst.
const (
	maxRegexSize  = 5_000
	maxRegexTotal = 200_000 // of one file
	maxNeed       = 8       // literals of a set that is looked for first
)

// regex is a regular expression.
type regex struct {
	re *regexp.Regexp
	// needs are sets of literals: of each, one occurs in every match. Looking for
	// them first is much quicker than the expression.
	needs [][]literal
}

// newRegex compiles src with the given flags (a subset of "ims") and returns its
// size. The error says what is wrong in regexp/syntax's words.
func newRegex(src, flags string) (*regex, int, error) {
	perl := syntax.Perl
	for _, f := range flags {
		switch f {
		case 'i':
			perl |= syntax.FoldCase
		case 'm':
			perl &^= syntax.OneLine
		case 's':
			perl |= syntax.DotNL
		}
	}
	tree, err := syntax.Parse(src, perl)
	if err != nil {
		return nil, 0, err
	}
	size := regexSize(tree)
	if size > maxRegexSize {
		return nil, size, fmt.Errorf("larger than %d instructions", maxRegexSize)
	}
	text := src
	if flags != "" {
		text = "(?" + flags + ")" + src
	}
	if relaxDollar(tree) {
		text = tree.String()
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, size, err
	}
	x := &regex{re: re}
	for _, set := range regexNeeds(tree) {
		if len(set) > maxNeed {
			continue
		}
		var need []literal
		for _, s := range set {
			need = append(need, newLiteral(s, false))
		}
		x.needs = append(x.needs, need)
	}
	return x, size, nil
}

func (x *regex) match(s string) bool {
	for _, need := range x.needs {
		if !containsAny(s, need) {
			return false
		}
	}
	return x.re.MatchString(s)
}

func containsAny(s string, literals []literal) bool {
	for i := range literals {
		if literals[i].index(s, 0) >= 0 {
			return true
		}
	}
	return false
}

func (x *regex) cost() int { return 100 }

// regexSize estimates the size of the program, before anything of that size is
// built.
func regexSize(re *syntax.Regexp) int {
	n := 0
	for _, sub := range re.Sub {
		n += regexSize(sub)
	}
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass:
		return 1 + len(re.Rune)/16
	case syntax.OpRepeat:
		n *= max(re.Min, re.Max, 1) // the parser allows 1000 in all, nested or not
	}
	return n + 1
}

// relaxDollar makes every "$" that stands for the end of the text also match
// before a final newline, as in PCRE, and reports whether there was one.
func relaxDollar(re *syntax.Regexp) bool {
	if re.Op == syntax.OpEndText && re.Flags&syntax.WasDollar != 0 {
		end := &syntax.Regexp{Op: syntax.OpEndText}
		newline := &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{'\n'}}
		*re = syntax.Regexp{Op: syntax.OpConcat, Sub: []*syntax.Regexp{
			{Op: syntax.OpQuest, Sub: []*syntax.Regexp{newline}}, end,
		}}
		return true
	}
	found := false
	for _, sub := range re.Sub {
		found = relaxDollar(sub) || found
	}
	return found
}

// regexNeeds returns sets of literals: of each set, one occurs in every text that
// re matches, whatever its case.
func regexNeeds(re *syntax.Regexp) [][]string {
	switch re.Op {
	case syntax.OpLiteral:
		if s := longestRun(re); s != "" {
			return [][]string{{s}}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return regexNeeds(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return regexNeeds(re.Sub[0])
		}
	case syntax.OpConcat:
		var all [][]string
		for _, sub := range re.Sub {
			all = append(all, regexNeeds(sub)...)
		}
		return all
	case syntax.OpAlternate:
		set, ok := unionLiterals(re.Sub, func(sub *syntax.Regexp) ([]string, bool) {
			var best []string
			for _, set := range regexNeeds(sub) {
				best = betterLiterals(best, set)
			}
			return best, len(best) > 0
		})
		if ok {
			return [][]string{set}
		}
	}
	return nil
}

// longestRun returns the longest part of a literal, in lower case, that only
// ASCII matches.
func longestRun(re *syntax.Regexp) string {
	best, run := "", []byte(nil)
	for _, r := range re.Rune {
		r = fold(r)
		// Go folds k and s with a character outside ASCII too.
		if r >= utf8.RuneSelf || re.Flags&syntax.FoldCase != 0 && (r == 'k' || r == 's') {
			run = run[:0]
			continue
		}
		if run = append(run, byte(r)); len(run) > len(best) {
			best = string(run)
		}
	}
	return best
}
