package attribution

// glob matches s against a pattern with * as the only wildcard, without regard to
// case in ASCII, without allocation and without backtracking beyond the last star.
func glob(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && lower(pattern[p]) == lower(s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// anyGlob returns the first of the patterns that matches s; ok is false when s is
// empty.
func anyGlob(patterns []string, s string) (pattern string, ok bool) {
	if s == "" {
		return "", false
	}
	for _, p := range patterns {
		if glob(p, s) {
			return p, true
		}
	}
	return "", false
}
