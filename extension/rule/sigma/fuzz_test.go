package sigma

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(complete))
	f.Add([]byte(ruleText("a: [x, {A|contains|all: [y, 'z*']}]\nb: {B|re|i: '^a$', C: null}\ncondition: 1 of a* and not b")))
	f.Add([]byte(ruleText(one("A|windash|wide|base64offset|contains: ' -svc'"))))
	f.Add([]byte(ruleText("a: &a {A|cidr: 10.0.0.0/8, B|gt: 0x10}\nb: *a\ncondition: [a, b]")))
	f.Add([]byte("title: x\ncorrelation: {}\n---\n- a\n--- &a [*a]\n"))
	f.Add([]byte("a: !!int x\n? [b]\n: c\n<<: {}\n"))
	events := []event{
		{},
		{"A": {"x", "10.1.1.1", "", "\xff"}, "B": {"17"}, "message": {"x y"}},
		{"CommandLine": {"sc query"}, "A": {"a -svc z"}, "C": {}},
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, errs := Parse(data, WithPlaceholders(map[string][]string{"x": {"1", "2*"}}))
		if len(rules)+len(errs) == 0 {
			t.Fatal("neither a rule nor an error")
		}
		for _, err := range errs {
			if err.Error() == "" || !utf8.ValidString(err.Error()) {
				t.Errorf("error %q", err)
			}
		}
		for _, r := range rules {
			if r.Title == "" || r.Taxonomy == "" {
				t.Error("a rule without title or taxonomy")
			}
			for _, n := range r.Custom {
				var v any
				_ = n.Decode(&v) // may fail, but must return
			}
			for _, e := range events {
				m, ok := r.Match(e)
				if !ok && m.Evidence() != nil {
					t.Error("evidence without a match")
				}
				m.Evidence()
				checkNeeds(t, r, e)
			}
		}
	})
}

// reference decides whether a value matches a pattern in the plainest way: by
// trying everything, remembering what failed.
func reference(pattern, value string, cased bool) bool {
	type unit struct {
		char rune
		wild bool
	}
	var p []unit
	in := explode(pattern)
	for i := 0; i < len(in); i++ {
		switch {
		case in[i] == '\\' && i+1 < len(in) && strings.ContainsRune(`*?\`, in[i+1]):
			i++
			p = append(p, unit{char: in[i]})
		case in[i] == '*' || in[i] == '?':
			p = append(p, unit{in[i], true})
		default:
			p = append(p, unit{char: in[i]})
		}
	}
	v := explode(value)
	failed := map[[2]int]bool{}
	var try func(i, j int) bool
	try = func(i, j int) (ok bool) {
		if failed[[2]int{i, j}] {
			return false
		}
		defer func() { failed[[2]int{i, j}] = !ok }()
		switch {
		case i == len(p):
			return j == len(v)
		case p[i].wild && p[i].char == '*':
			return try(i+1, j) || j < len(v) && try(i, j+1)
		case j == len(v):
			return false
		}
		return (p[i].wild || same(p[i].char, v[j], cased)) && try(i+1, j+1)
	}
	return try(0, 0)
}

// explode returns the characters of s; stray bytes are negative.
func explode(s string) []rune {
	var out []rune
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			r = -rune(s[i])
		}
		out = append(out, r)
	}
	return out
}

func same(a, b rune, cased bool) bool {
	switch {
	case a == b:
		return true
	case cased || a < 0 || b < 0 || (a < 0x80) != (b < 0x80):
		return false
	}
	for r := unicode.SimpleFold(a); r != a; r = unicode.SimpleFold(r) {
		if r == b {
			return true
		}
	}
	return false
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"value", "VALUE"}, {"a*b?c", "axxbyc"}, {`\*\?\\`, `*?\`}, {"*ab*ab*", "xabab"}, {"", ""}, {"**", ""},
		{"ä*Ö", "Ä--ö"}, {"ſ", "s"}, {"K", "k"}, {"a?c", "a\xffc"}, {"*aab", "aaaaab"}, {"a*a", "a"}, {`\\\`, `\\`},
		{"*query*", "sc QUERY x"}, {"?", "€"}, {"*?", ""}, {"*\u20b3", "\xe2\u20b3"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, value string) {
		// A pattern is text, as YAML is. Bytes that are not come from an encoding,
		// and are then compared with the value byte by byte.
		if len(pattern) > 200 || len(value) > 400 || !utf8.ValidString(pattern) {
			return
		}
		for _, cased := range []bool{false, true} {
			p := parseText(pattern)
			g := newGlob(p, cased)
			got, want := g.match(value), reference(pattern, value, cased)
			if got != want {
				t.Errorf("pattern %q, value %q, cased %v: %v, reference %v", pattern, value, cased, got, want)
			}
			if texts, whole := (&seeker{worth: length}).of(g); got && len(texts) > 0 && !holds(texts, whole, value) {
				t.Errorf("pattern %q matches %q without one of %v, whole %v", pattern, value, texts, whole)
			}
			// What contains, startswith and endswith put around a pattern.
			for _, around := range [][2]string{{"*", "*"}, {"", "*"}, {"*", ""}} {
				t2 := parseText(pattern)
				if around[0] != "" {
					t2 = append(text{star}, t2...)
				}
				if around[1] != "" {
					t2 = append(t2, star)
				}
				escaped := pattern
				if around[1] != "" && strings.HasSuffix(pattern, `\`) {
					continue // the star would be escaped in the text
				}
				escaped = around[0] + escaped + around[1]
				if got, want := newGlob(t2, cased).match(value), reference(escaped, value, cased); got != want {
					t.Errorf("pattern %q, value %q, cased %v: %v, reference %v", escaped, value, cased, got, want)
				}
			}
		}
	})
}

// FuzzFold checks comparisons of two values against strings made of folded
// characters.
func FuzzFold(f *testing.F) {
	f.Add("Abc", "aBC")
	f.Add("xÄ\xff", "ä\xff")
	f.Add("\u212A", "k")
	f.Fuzz(func(t *testing.T, s, p string) {
		a, b := foldString(s), foldString(p)
		n, ok := prefixFold(s, p, false)
		if want := strings.HasPrefix(a, b); ok && !want || ok && foldString(s[:n]) != b {
			t.Errorf("prefix %q of %q: %v", p, s, ok)
		}
		if got := suffixFold(s, p, false); got && !strings.HasSuffix(a, b) {
			t.Errorf("suffix %q of %q", p, s)
		}
		if n, ok := prefixFold(s, s, false); !ok || n != len(s) || !suffixFold(s, s, false) || !containsFold(s, s, false) {
			t.Errorf("%q does not equal itself", s)
		}
		// A byte out of the middle of a character is none: only whole characters are
		// contained.
		if utf8.ValidString(p) && strings.Contains(s, p) && !containsFold(s, p, false) {
			t.Errorf("%q does not contain %q", s, p)
		}
	})
}

// FuzzRegex checks that the literals of a regular expression are in whatever it
// matches, and that the change to "$" changes nothing else.
func FuzzRegex(f *testing.F) {
	f.Add(`(?i)sc(\.exe)?\s+(query|qc)$`, "SC.exe  QUERY\n")
	f.Add(`^(a|b)*c+$`, "abcc")
	f.Add(`(?i)tasklist`, "TAS\u212ALI\u017FT")
	f.Add(`x{2,3}|[a-c]y$`, "by")
	f.Add(`(?m)^a$`, "b\na\nc")
	f.Add(`(?:$a)|(?:\nb$)`, "\nb\n")
	f.Add(`^/(etc/(rc\.d/)?init\.d|etc/rc[0-9]*\.d|(usr/|usr/local/)?lib/systemd)(/[a-z]+)*$`, "/etc/rc.d/init.d")
	f.Add(`(?i)(^|/)(linpeas(_[a-z]+)?|linenum|lse|les\.sh|k+s)$`, "/opt/LSE")
	f.Add(`(?m)^(x|yy)-?z`, "a\nyyz")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if len(pattern) > 200 || len(value) > 400 {
			return
		}
		x, _, err := newRegex(pattern, "")
		if err != nil {
			return
		}
		got := x.match(value)
		for _, ascii := range []bool{false, isASCII(value)} {
			s := seeker{worth: length, ascii: ascii}
			if texts, whole := s.of(x); got && len(texts) > 0 && !holds(texts, whole, value) {
				t.Errorf("%q matches %q without one of %v, whole %v", pattern, value, texts, whole)
			}
		}
		plain, err := regexp.Compile(pattern)
		if err != nil {
			t.Fatalf("%q: %v", pattern, err)
		}
		if want := plain.MatchString(value); want && !got || want != got && !strings.HasSuffix(value, "\n") {
			t.Errorf("%q on %q: %v, Go alone %v", pattern, value, got, want)
		}
	})
}

// TestEncodedValuesDecode checks base64offset against what it is for: wherever
// in a text the value stands, one of its three forms is in the text's Base64.
func TestEncodedValuesDecode(t *testing.T) {
	for length := 2; length < 12; length++ {
		value := "serviceenumeration"[:length]
		r := rule(t, one("A|base64offset|contains|cased: "+value))
		for before := range 7 {
			for after := range 5 {
				coded := b64(strings.Repeat("\xff", before) + value + strings.Repeat("\x00", after))
				if _, ok := r.Match(event{"A": {coded}}); !ok {
					t.Errorf("%q after %d and before %d bytes is not found in %s", value, before, after, coded)
				}
			}
		}
	}
}

// TestLiteralSearch compares the search with a plain one for every place and
// choice of bytes that is common in text.
func TestLiteralSearch(t *testing.T) {
	values := []string{"", "a", "A", "aaaaaaab", "xXyYzZ", "SC.EXE query", "\\\\x\\Y", "qQqQq", "-q/Q"}
	for _, text := range []string{"a", "ab", "aab", "q", "yz", "exe q", "\\x", "qq", "z", "b", "-", "/q"} {
		for _, cased := range []bool{false, true} {
			l := newLiteral(text, cased)
			for _, v := range values {
				for from := range len(v) + 1 {
					hay, needle := v, text
					if !cased {
						hay = strings.ToLower(v)
					}
					want := strings.Index(hay[from:], needle)
					if want >= 0 {
						want += from
					}
					if got := l.index(v, from); got != want {
						t.Errorf("%q in %q from %d, cased %v: %d, want %d", text, v, from, cased, got, want)
					}
				}
			}
		}
	}
}

// TestNoMetadataIsShared checks that decoding a custom key does not change the
// rule, which several goroutines may use at once.
func TestNoMetadataIsShared(t *testing.T) {
	r := func() *Rule { rules, _ := Parse([]byte(complete)); return rules[0] }()
	done := make(chan error, 4)
	for range cap(done) {
		go func() {
			n := r.Custom["rollcall"]
			var v map[string]yaml.Node
			err := n.Decode(&v)
			for range 100 {
				m, _ := r.Match(command("sc query"))
				m.Evidence()
				r.Needs(byLength)
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
