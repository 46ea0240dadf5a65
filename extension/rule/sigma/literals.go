package sigma

import (
	"slices"
	"strings"
)

// maxLiterals is the size of the largest set RequiredLiterals returns.
const maxLiterals = 512

// RequiredLiterals returns texts in lower-case ASCII of which at least one
// occurs, with its ASCII letters in any case, in a value of the named field
// whenever the rule matches. ok is false when no such set follows from the rule.
// The set is sorted and holds no text that contains another of it.
func (r *Rule) RequiredLiterals(field string) (literals []string, ok bool) {
	if r.condition == nil {
		return nil, false
	}
	return r.condition.required(field)
}

func (n *node) required(field string) ([]string, bool) {
	switch n.op {
	case opSelection:
		return n.selection.required(field)
	case opAnd:
		var best []string
		for _, kid := range n.kids {
			if set, ok := kid.required(field); ok {
				best = betterLiterals(best, set)
			}
		}
		return best, len(best) > 0
	case opOr:
		return unionLiterals(n.kids, func(kid *node) ([]string, bool) { return kid.required(field) })
	}
	return nil, false
}

func (s *selection) required(field string) ([]string, bool) {
	return unionLiterals(s.alternatives, func(items []*item) ([]string, bool) {
		var best []string
		for _, it := range items {
			if set, ok := it.required(field); ok {
				best = betterLiterals(best, set)
			}
		}
		return best, len(best) > 0
	})
}

func (it *item) required(field string) ([]string, bool) {
	if it.kind != kindMatch || it.negated || it.field == "" || it.field != field {
		return nil, false
	}
	alternatives := func(v value) ([]string, bool) {
		return unionLiterals(v.alternatives, matcher.required)
	}
	if !it.all {
		return unionLiterals(it.values, alternatives)
	}
	var best []string
	for _, v := range it.values {
		if set, ok := alternatives(v); ok {
			best = betterLiterals(best, set)
		}
	}
	return best, len(best) > 0
}

// unionLiterals joins the sets of parts of which any one may be the one that
// matches.
func unionLiterals[T any](parts []T, of func(T) ([]string, bool)) ([]string, bool) {
	var all []string
	for _, part := range parts {
		set, ok := of(part)
		if !ok {
			return nil, false
		}
		all = append(all, set...)
	}
	return reduceLiterals(all)
}

// reduceLiterals sorts a set and drops what another member is part of.
func reduceLiterals(set []string) ([]string, bool) {
	slices.Sort(set)
	set = slices.Compact(set)
	if len(set) == 0 || len(set) > maxLiterals {
		return nil, false
	}
	var out []string
	for _, s := range set {
		if !slices.ContainsFunc(set, func(t string) bool { return t != s && strings.Contains(s, t) }) {
			out = append(out, s)
		}
	}
	return out, true
}

// betterLiterals returns the set that lets fewer events pass, as far as length
// tells: the one whose shortest member is longer, then the smaller one. An empty
// set is no set.
func betterLiterals(a, b []string) []string {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	x, y := shortest(a), shortest(b)
	if x > y || x == y && len(a) <= len(b) {
		return a
	}
	return b
}

func shortest(set []string) int {
	n := len(set[0])
	for _, s := range set[1:] {
		n = min(n, len(s))
	}
	return n
}
