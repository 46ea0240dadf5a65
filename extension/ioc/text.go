package ioc

import (
	"net/netip"
	"strings"
)

// The bounds of what is looked for in a text.
const (
	maxText  = 32 << 10 // bytes
	maxWords = 512
	maxFacts = 64
)

// InText finds what a command line names that an indicator may be about: URLs,
// addresses, domains, hosts of UNC paths and whole paths. Words are cut at blanks,
// quotes and the signs of shells; nothing is decoded.
func InText(text string) []Facts {
	if len(text) > maxText {
		text = text[:maxText]
	}
	var out []Facts
	words := 0
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"'`(){}<>|;,^", r) }) {
		if words++; words > maxWords || len(out) >= maxFacts {
			break
		}
		if len(word) > maxValue {
			continue
		}
		if f, ok := wordFacts(word); ok {
			out = append(out, f)
		}
	}
	return out
}

func wordFacts(word string) (Facts, bool) {
	if i := strings.Index(word, "://"); i > 0 {
		from := i
		for from > 0 && (isLetter(word[from-1]) || from < i && strings.IndexByte("+.-0123456789", word[from-1]) >= 0) {
			from--
		}
		return Facts{URL: strings.TrimRight(word[from:], ".&")}, from < i
	}
	// --server=evil.example, user@evil.example:443/x
	if i := strings.LastIndexAny(word, "=@"); i >= 0 && !strings.HasPrefix(word, `\\`) {
		word = word[i+1:]
	}
	if rest, ok := strings.CutPrefix(word, `\\`); ok {
		host, _, _ := strings.Cut(rest, `\`)
		host, _, _ = strings.Cut(host, "@") // WebDAV's host@port
		return hostFacts(host, Facts{Path: word})
	}
	if strings.HasPrefix(word, "/") && !strings.HasPrefix(word, "//") || len(word) > 3 && word[1] == ':' && (word[2] == '\\' || word[2] == '/') && isLetter(word[0]) {
		return Facts{Path: word}, true
	}
	host, _, _ := strings.Cut(word, "/")
	return hostFacts(host, Facts{})
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// hostFacts adds a host to what is known; ok is false when there is nothing then.
func hostFacts(host string, f Facts) (Facts, bool) {
	if ap, err := netip.ParseAddrPort(host); err == nil {
		f.Addr, f.Port = ap.Addr().String(), int64(ap.Port())
	} else if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		f.Addr = addr.String()
	} else if d := bareDomain(host); isDomain(d) {
		f.Domain = d
	}
	return f, f != Facts{}
}
