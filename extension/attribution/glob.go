package attribution

import "strings"

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

// anyHost is anyGlob for a host. Evidence may call it without its domain, as Windows and
// many Linux hosts call themselves: it is then compared with the first part of a pattern
// that has a domain, unless that part could be any host.
func anyHost(patterns []string, host string) (pattern string, ok bool) {
	if pattern, ok = anyGlob(patterns, host); ok || host == "" || strings.Contains(host, ".") {
		return pattern, ok
	}
	for _, p := range patterns {
		if first, _, full := strings.Cut(p, "."); full && strings.Trim(first, "*") != "" && glob(first, host) {
			return p, true
		}
	}
	return "", false
}
