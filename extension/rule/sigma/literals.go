package sigma

import (
	"slices"
	"strings"
)

// maxLiterals is the size of the largest set of literals.
const maxLiterals = 512

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
