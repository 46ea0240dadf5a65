package service

import (
	_ "embed" // the lists of names
	"math"
	"strings"
	"sync"
)

//go:embed windows.txt
var windowsList string

//go:embed names.txt
var namesList string

// osService is a service of Windows itself.
type osService struct {
	name  string // lower case
	image string // base name of its program, lower case, without .exe
}

// lists are the names Rollcall knows. They are built once and never change.
type lists struct {
	windows map[string]osService // by lower-case name and display name
	// ordered are the names of Windows' services and shown its programs, each in a
	// fixed order: what other names are compared with.
	ordered []imitable
	shown   []imitable
	groups  []imitable      // of svchost.exe, which are often imitated
	units   []imitable      // services of Linux that are often imitated
	known   map[string]bool // every name in the lists, lower case
	// borrowed are the programs of systemPrograms.
	borrowed map[string]bool
	model    *model
}

// imitable is a name worth imitating, with its look-alike characters folded.
type imitable struct{ name, folded string }

// known returns the lists; the first call builds them.
var known = sync.OnceValue(buildLists)

func buildLists() *lists {
	l := &lists{windows: map[string]osService{}, known: map[string]bool{}, borrowed: map[string]bool{}}
	var train []string
	for line := range strings.SplitSeq(windowsList, "\n") {
		fields := strings.Split(line, "|")
		if strings.HasPrefix(line, "#") || len(fields) != 3 {
			continue
		}
		s := osService{name: strings.ToLower(fields[0]), image: strings.TrimSuffix(fields[1], ".exe")}
		if s.image == "" {
			s.image = "svchost"
		}
		l.windows[s.name] = s
		l.windows[strings.ToLower(fields[2])] = s
		l.known[s.name] = true
		l.known[s.image] = true
		l.ordered = append(l.ordered, imitable{s.name, lookalikes.Replace(s.name)})
		train = append(train, fields[0])
		for word := range strings.FieldsSeq(fields[2]) {
			train = append(train, word)
		}
	}
	for line := range strings.SplitSeq(namesList, "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for name := range strings.FieldsSeq(line) {
			l.known[strings.ToLower(name)] = true
			train = append(train, name)
		}
	}
	for _, name := range systemPrograms {
		l.borrowed[name] = true
		l.known[name] = true
		l.shown = append(l.shown, imitable{name, lookalikes.Replace(name)})
	}
	for _, name := range unixServices {
		l.units = append(l.units, imitable{name, lookalikes.Replace(name)})
	}
	for _, name := range hostGroups {
		l.groups = append(l.groups, imitable{name, lookalikes.Replace(name)})
		l.known[name] = true
	}
	l.model = learn(train)
	return l
}

// symbols are the 26 letters, one for any digit, one for any other character and
// one for the ends of a name.
const (
	symDigit = 26
	symOther = 27
	symEnd   = 28
	symbols  = 29
)

func symbol(c byte) int {
	switch {
	case 'a' <= c|0x20 && c|0x20 <= 'z':
		return int(c|0x20) - 'a'
	case '0' <= c && c <= '9':
		return symDigit
	}
	return symOther
}

// model is a trigram model of service names, interpolated with its bigrams and
// unigrams. Entropy can't tell "WlanSvc" from "wqzkxbv"; which letters follow
// which can.
type model struct {
	// logp[a][b][c] is the natural logarithm of the probability of c behind ab.
	logp [symbols][symbols][symbols]float32
}

// learn counts the trigrams of names. The weights of the interpolation are the
// usual ones for a few thousand words: the more often a context was seen, the
// more it is trusted.
func learn(names []string) *model {
	var tri [symbols][symbols][symbols]float64
	var bi [symbols][symbols]float64
	var uni [symbols]float64
	total := 0.0
	for _, n := range names {
		a, b := symEnd, symEnd
		for i := 0; i <= len(n); i++ {
			c := symEnd
			if i < len(n) {
				c = symbol(n[i])
			}
			tri[a][b][c]++
			bi[b][c]++
			uni[c]++
			total++
			a, b = b, c
		}
	}
	m := &model{}
	const trust3, trust2 = 5.0, 10.0 // pseudo-counts of the shorter context
	for b := range symbols {
		nb := 0.0
		for c := range symbols {
			nb += bi[b][c]
		}
		var p2 [symbols]float64
		for c := range symbols {
			p1 := (uni[c] + 0.5) / (total + 0.5*symbols)
			p2[c] = (bi[b][c] + trust2*p1) / (nb + trust2)
		}
		for a := range symbols {
			na := 0.0
			for c := range symbols {
				na += tri[a][b][c]
			}
			for c := range symbols {
				m.logp[a][b][c] = float32(math.Log((tri[a][b][c] + trust3*p2[c]) / (na + trust3)))
			}
		}
	}
	return m
}

// natural is the log-likelihood ratio of "a vendor chose this name" to "it was
// drawn at random", in nats: positive for names, negative for noise, near 0 for
// what is too short to tell. Only the first 64 bytes count.
func (m *model) natural(name string) float64 {
	name = clip(name, 64)
	letters, digits, changes, pairs, upper, lower := 0, 0, 0, 0, 0, 0
	hex := true
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch s := symbol(c); {
		case s < symDigit:
			letters++
			if c < 'a' {
				upper++
			} else {
				lower++
			}
			hex = hex && c|0x20 <= 'f'
			if i > 0 && symbol(name[i-1]) < symDigit {
				pairs++
				if (name[i-1] < 'a') != (c < 'a') {
					changes++
				}
			}
		case s == symDigit:
			digits++
		default:
			hex = false
		}
	}
	if letters+digits == 0 {
		return 0
	}
	// Random names are drawn from the letters alone, from letters and digits, or
	// from the hexadecimal digits, whichever this one looks like.
	perLetter, perDigit := math.Log(1.0/26), math.Log(10.0/36)
	switch {
	case hex && digits > 0:
		perLetter, perDigit = math.Log(1.0/16), math.Log(10.0/16)
	case digits > 0:
		perLetter = math.Log(1.0 / 36)
	}
	llr := 0.0
	a, b := symEnd, symEnd
	for i := 0; i < len(name); i++ {
		c := symbol(name[i])
		llr += float64(m.logp[a][b][c])
		switch c {
		case symDigit:
			llr -= perDigit
		case symOther:
			llr -= math.Log(1.0 / symbols)
		default:
			llr -= perLetter
		}
		a, b = b, c
	}
	if upper > 0 && lower > 0 {
		// Case changes where words begin; in noise, at every second letter.
		const change = 0.26
		llr += float64(changes)*math.Log(change/0.5) + float64(pairs-changes)*math.Log((1-change)/0.5)
	}
	return llr
}

// randomBelow is the ratio below which a name counts as drawn at random, and
// surelyBelow the one where nobody would doubt it.
const (
	randomBelow = -4.0
	surelyBelow = -10.0
	// wordAbove is the one above which a part of a name counts as a word.
	wordAbove = 2.5
)

// randomness is 0 for a name somebody chose and up to 1 for noise.
func (l *lists) randomness(name string) float64 {
	name = withoutWordSize(name)
	if len(name) < 5 || len(name) > 64 || strings.ContainsAny(name, " \t{}\\/.@:$()") || l.known[strings.ToLower(name)] {
		return 0
	}
	for i := 0; i < len(name); i++ {
		if name[i] >= 0x80 {
			return 0 // another script: the model knows nothing of it
		}
	}
	// A version or word size behind a known name is no noise.
	if base := strings.TrimRight(name, "0123456789_-"); base != name && l.known[strings.ToLower(base)] {
		return 0
	}
	letters, upper, hex := 0, 0, true
	for i := 0; i < len(name); i++ {
		s := symbol(name[i])
		if s < symDigit {
			letters++
			hex = hex && s < 6
			if name[i] < 'a' {
				upper++
			}
		}
		hex = hex && s != symOther
	}
	if letters < 4 && !hex {
		return 0 // too few letters for the model
	}
	r := l.model.natural(name)
	if r >= randomBelow || l.wordAmong(name) {
		return 0
	}
	p := min(1, 0.7+0.3*(randomBelow-r)/(randomBelow-surelyBelow))
	if letters == upper && !hex {
		p *= 0.4 // an abbreviation: tools that draw names draw small letters too
	}
	return p
}

// wordAmong reports whether one of a name's parts is a word: who draws names at
// random puts none between hyphens.
func (l *lists) wordAmong(name string) bool {
	if !strings.ContainsAny(name, "-_") {
		return false
	}
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '-' || r == '_' }) {
		if l.known[strings.ToLower(part)] && len(part) > 2 {
			return true
		}
		if len(part) < 4 || strings.IndexFunc(part, func(r rune) bool { return r|0x20 < 'a' || r|0x20 > 'z' }) >= 0 {
			continue
		}
		if l.model.natural(part) > wordAbove {
			return true
		}
	}
	return false
}

// withoutWordSize takes off what names of programs say about the processor, which
// is no part of what somebody chose: "_x64", "-amd64".
func withoutWordSize(name string) string {
	lower := strings.ToLower(clip(name, 80))
	for _, size := range [...]string{"_x64", "-x64", "_x86", "-x86", "_amd64", "-amd64", "_arm64", "-arm64", "_x32", "_64", "_32", "x64", "x86", "64", "32"} {
		if strings.HasSuffix(lower, size) && len(lower) == len(name) {
			return strings.TrimRight(name[:len(name)-len(size)], "_-")
		}
	}
	return name
}

// lookalikes folds characters that look like others to one of them.
var lookalikes = strings.NewReplacer("0", "o", "1", "l", "i", "l", "5", "s", "3", "e", "rn", "m", "vv", "w",
	"а", "a", "е", "e", "о", "o", "р", "p", "с", "c", "х", "x", "у", "y", "і", "l", "ѕ", "s", "ј", "j", "ԁ", "d", "һ", "h", "ӏ", "l",
	"α", "a", "ο", "o", "ν", "v", "ρ", "p", "κ", "k", "ι", "l", "τ", "t", "υ", "u",
	"ı", "l", "ɡ", "g", "ѵ", "v", "ԝ", "w", "ɑ", "a", "\u200b", "", "\u200c", "", "\u200d", "", "\u00ad", "", "\ufeff", "")

// near returns the name in list that name imitates: one edit away (a letter more,
// less, other or two swapped), or the same once look-alike characters are folded.
// A name of the list itself imitates nothing.
func near(name string, list []imitable, shortest int) string {
	if len(name) > 80 {
		return ""
	}
	folded := lookalikes.Replace(name)
	found := ""
	for i := range list {
		have := &list[i]
		if have.name == name {
			return ""
		}
		if found == "" && len(have.name) >= shortest && (folded == have.folded || oneEdit(name, have.name)) {
			found = have.name
		}
	}
	return found
}

// oneEdit reports whether a and b differ by exactly one insertion, deletion,
// substitution or swap of neighbours. A digit more or less at the end is a
// version, not an imitation.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if i == len(a) {
		return len(b) == len(a)+1 && (b[i] < '0' || b[i] > '9')
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	if symbol(a[i]) == symDigit && symbol(b[i]) == symDigit {
		return false
	}
	return a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

// luid splits the name of a user's instance of a per-user service: its template
// and the hexadecimal logon id.
func luid(name string) (template string, ok bool) {
	i := strings.LastIndexByte(name, '_')
	if i < 1 || len(name)-i-1 < 2 || len(name)-i-1 > 16 {
		return "", false
	}
	for _, c := range []byte(name[i+1:]) {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return "", false
		}
	}
	return name[:i], true
}
