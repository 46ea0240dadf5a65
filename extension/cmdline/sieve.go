package cmdline

import (
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/literal"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Wanted is a tool that a [Sieve] looks for.
type Wanted struct {
	// Tool is its usual name, in lower case, or with Place a part of it.
	Tool  string
	Place Place
	// Clues are texts of which one is among the words of a command that is wanted, or
	// in the directory it runs in, as they stand there; none if any command is.
	Clues []Clue
}

// Place says where in a tool's name a text is.
type Place uint8

// The places: all of the name, at its start, anywhere.
const (
	Whole Place = iota
	AtStart
	Anywhere
)

// Clue is a text of bytes that names are written with, in lower case.
type Clue struct {
	Text string
	// Edge says that no other byte of a name stands in front of it, Whole that none
	// stands behind it either.
	Edge, Whole bool
}

// rewriters are the tools whose Paths are not what their words say: keys of the
// registry, drives of PowerShell.
var rewriters = [...]string{"reg", "regedit", "accesschk", "get-childitem", "get-item", "get-itemproperty", "get-itempropertyvalue",
	"get-content", "resolve-path", "test-path", "get-acl", "new-psdrive"}

// Verbatim reports whether the names in a field of the commands of a tool are names
// in their words, or in the directory they run in.
func Verbatim(tool string, place Place, field string) bool {
	switch field {
	case "Arguments":
		return !place.fits(tool, "service")
	case "Options":
		return place == Whole && tool == "find"
	case "Paths":
		for _, r := range rewriters {
			if place.fits(tool, r) {
				return false
			}
		}
		return true
	case "Verb":
		return place == Whole && (tool == "sc" || tool == "net" || tool == "reg" || tool == "launchctl" || tool == "initctl" || tool == "snap")
	}
	return false
}

// Implied returns names of which one is in the words of every command of a tool that
// has the Object; nil where none is known.
func Implied(tool, object string) []Clue {
	switch {
	case (tool == "reg" || tool == "regedit") && (object == "services_key" || object == "service_key"):
		return []Clue{{Text: "services", Edge: true, Whole: true}}
	case tool == "wmic" && object == "service":
		return []Clue{{Text: "service"}, {Text: "loadorder"}}
	case tool == "wmic" && object == "driver":
		return []Clue{{Text: "driver"}}
	case tool == "ubus" && object == "service":
		return []Clue{{Text: "service", Edge: true, Whole: true}, {Text: "rc", Edge: true, Whole: true}}
	case tool == "brew" && object == "service":
		return []Clue{{Text: "services", Edge: true, Whole: true}}
	case (tool == "dbus-send" || tool == "gdbus" || tool == "qdbus") && object == "unit_list":
		return []Clue{{Text: "listunit"}, {Text: "listjobs"}}
	case (tool == "dbus-send" || tool == "gdbus" || tool == "qdbus") && object == "name_list":
		return []Clue{{Text: "listnames"}, {Text: "listactivatablenames"}}
	}
	return nil
}

// fits reports whether a tool's name has the text in its place.
func (p Place) fits(text, tool string) bool {
	switch p {
	case Whole:
		return tool == text
	case AtStart:
		return strings.HasPrefix(tool, text)
	}
	return strings.Contains(tool, text)
}

// Sieve tells at a glance most command lines that run none of some tools from all
// others. It errs on the side of the others only: what could hide a tool's name from
// it is left to [Parse]. It is immutable and safe for concurrent use.
type Sieve struct {
	win bool
	all bool // there is a tool that it cannot look for
	// brackets says that a type of .NET is wanted.
	brackets bool
	set      *literal.Set
	class    [256]uint8 // the set's, and special
}

// special is added to the class of a byte that may hide something.
const special = 0x80

// What the texts of a sieve stand for.
const (
	markWanted uint64 = 1 << iota // a tool that is wanted, whatever its words
	markHidden                    // what it runs is not to be told before it is read
	markWords                     // hands on words
	markShell                     // reads a text for a POSIX shell
	markCmd                       // reads a text for cmd.exe
	markScript                    // reads a program of a script language
	markAwk                       // or of awk
	markCaller                    // functions of script languages that start programs
	markStdin                     // runs what comes on standard input
	markMany                      // is many programs, by the first word
	markReader                    // makes text or variables in ways of its own
	markEnv                       // env, which splits text by a switch

	firstGroup = iota // tools that are wanted with a clue, by groups of clues
	maxGroups  = (64 - firstGroup) / 2
	groups     = (uint64(1)<<maxGroups - 1) << firstGroup
	runs       = markWords | markShell | markCmd | markScript | markAwk | markMany
)

// callers are parts of the names of functions that start programs or do what one
// does, in any of the script languages: see [script.Commands].
var callers = [...]string{"system", "exec", "open", "output", "subprocess", "run", "call", "spawn", "eval", "compile", "pipe",
	"capture", "passthru", "assert", "load", "dostring", "shell", "qx", "listdir", "scandir", "glob", "service"}

// NewSieve returns a sieve for a platform, which is not empty.
func NewSieve(platform evidence.Platform, wanted []Wanted) *Sieve {
	b := builder{Sieve: Sieve{win: platform == evidence.Windows}}
	var clues [][]Clue
	for _, w := range wanted {
		mark := markWanted
		if len(w.Clues) > 0 {
			k := slices.IndexFunc(clues, func(have []Clue) bool { return slices.Equal(have, w.Clues) })
			if k < 0 && len(clues) < maxGroups {
				k = len(clues)
				clues = append(clues, w.Clues)
			}
			if k >= 0 {
				mark = 1 << (firstGroup + k)
			}
		}
		b.want(w, mark)
	}
	for k, group := range clues {
		for _, c := range group {
			b.add(c.Text, c.Edge || c.Whole, c.Whole, 1<<(firstGroup+maxGroups+k))
		}
	}
	b.addHands()
	set, ok := literal.New(b.texts, !b.win)
	if !ok || b.all {
		return &Sieve{all: true}
	}
	b.set = set
	for c := range 256 {
		b.class[c] = set.Class(byte(c))
		if c >= 0x80 {
			b.class[c] |= special
		}
	}
	signs := "\"'|<>\\`$?*[{+%@!"
	if b.win {
		signs = "\"|<>^%!`["
	}
	for i := range len(signs) {
		b.class[signs[i]] |= special
	}
	s := b.Sieve
	return &s
}

// builder puts the texts of a sieve together.
type builder struct {
	Sieve
	texts []literal.Text
}

func (b *builder) add(text string, edge, whole bool, marks uint64) {
	for i := range len(text) {
		if !literal.IsName(text[i]) {
			b.all = true
			return
		}
	}
	if text == "" || text[0] == '-' {
		b.all = true
		return
	}
	b.texts = append(b.texts, literal.Text{Literal: text, Edge: edge, Whole: whole, Marks: marks})
}

// name adds a tool under all of its names.
func (b *builder) name(tool string, marks uint64) {
	b.add(tool, true, true, marks)
	b.aliases(func(t string) bool { return t == tool }, marks)
}

// aliases adds the other names of the tools that are asked for.
func (b *builder) aliases(of func(tool string) bool, marks uint64) {
	for _, names := range []map[string]string{sameTool, originals} {
		for name, tool := range names {
			if of(tool) {
				b.add(name, true, true, marks)
			}
		}
	}
	if of("winrm") {
		b.add("winrm.vbs", true, true, marks)
	}
	if of("service") {
		b.add("init.d", true, false, marks)
		b.add("rc.d", true, false, marks)
	}
}

func (b *builder) want(w Wanted, mark uint64) {
	b.all = b.all || w.Place.fits(w.Tool, "[]") // what test(1) is by its other name
	if strings.HasPrefix(w.Tool, "[") {
		b.brackets = true
		return
	}
	b.add(w.Tool, w.Place != Anywhere, w.Place == Whole, mark)
	b.aliases(func(t string) bool { return w.Place.fits(w.Tool, t) }, mark)
	b.brackets = b.brackets || w.Place == Anywhere
}

// addHands adds the tools that hand on what is behind them.
func (b *builder) addHands() {
	for tool, h := range hands {
		b.name(tool, b.hand(tool, h))
	}
	for tool, w := range unixWrappers {
		if _, ok := hands[tool]; !ok {
			b.name(tool, b.hand(tool, w.hand()))
		}
	}
	for tool := range shells {
		b.name(tool, b.hand(tool, handsShell))
	}
	for lang := range scriptFlags {
		b.name(lang, b.hand(lang, scriptHand(lang)))
	}
	for _, loader := range loaders {
		b.add(loader, true, false, markHidden)
	}
	for _, c := range callers {
		b.add(c, false, false, markCaller)
	}
	b.add("busybox", true, false, markMany)
	for _, many := range []string{"toybox", "coreutils", "systemd-executor"} {
		b.add(many, true, true, markMany)
	}
	if b.win {
		b.add("echo.", true, false, markReader)
		return
	}
	for _, reader := range []string{"read", "printf", "ifs"} {
		b.add(reader, true, true, markReader)
	}
}

func (b *builder) hand(tool string, h hand) uint64 {
	switch {
	case h == handsWords:
		return markWords
	case h == handsCmd && b.win:
		return markCmd | markStdin
	case h == handsShell && !b.win:
		if tool == "env" {
			return markShell | markEnv
		}
		if isShell(tool) || tool == "ssh" || tool == "autossh" || tool == "dbclient" || tool == "at" || tool == "batch" {
			return markShell | markStdin
		}
		return markShell
	case h == handsScript:
		return markScript
	case h == handsAwk:
		return markAwk
	}
	return markHidden
}

// MayRun reports whether in may run a tool that is wanted, with one of its clues
// where it has some. It is false only for what [Parse] finds none of them in. It
// allocates nothing, and passes over the text once at most.
func (s *Sieve) MayRun(in *Input) bool {
	if s.all || len(in.Text) > MaxInput {
		return true
	}
	first, ok := s.first(in.Text)
	if !ok {
		return true
	}
	name, image := s.base(first), s.image(in.Path)
	own, other := s.marks(name), s.marks(image)
	if in.OriginalFileName != "" {
		original := s.marks(s.base(in.OriginalFileName))
		if original&runs&^(own|other) != 0 {
			return true // a copy under another name
		}
		other |= original
	}
	if !s.win && strings.Contains(first, "/etc/") {
		other |= s.marks(first) // an init script is called by its directory
	}
	if (own|other)&(markWanted|markHidden) != 0 || s.win && in.Path == "" {
		return true // without a path it was typed, perhaps at a prompt of PowerShell
	}
	sentence := s.win && other&markCmd != 0 && own&markCmd == 0
	if !s.win && !in.ArgsJoined {
		sentence = in.Path == "" || image != name && (image == "" || other&(markShell|markMany) != 0)
	}
	if !sentence && (own|other)&(runs|groups) == 0 {
		return false
	}
	return s.read(in, own, other, sentence)
}

// seen is what a text shows.
type seen struct {
	marks   uint64
	readers int // programs that run what comes on standard input
	// glued says that quotes stand inside of a name, hidden that a name may be
	// written in a way that only a shell undoes, foreign that there is more than
	// ASCII.
	glued, hidden, foreign bool
	// pipe says that something is piped, fed that it is into a program that runs it,
	// input that a file or text is redirected into a program; inline that a script
	// language is given switches, dollar that variables are used.
	pipe, fed, input, inline, dollar bool
}

// read looks at all of the text. own are the marks of its first word, other those of
// what else the program is called. A sentence is text that a shell reads as a whole.
func (s *Sieve) read(in *Input, own, other uint64, sentence bool) bool {
	marks := own | other
	handed := sentence || marks&runs != 0
	t := seen{inline: other&^own&(markScript|markAwk) != 0}
	s.scan(in.Text, &t, handed)
	if t.glued || t.foreign {
		return true
	}
	if handed {
		marks |= t.marks
		if marks&(markWanted|markHidden) != 0 || s.conceals(&t, marks, own, sentence) {
			return true
		}
	}
	want := marks & groups
	if want == 0 {
		return false
	}
	clues := t.marks
	if in.CWD != "" {
		clues |= s.marks(in.CWD)
	}
	return clues&markHidden != 0 || want&(clues>>maxGroups) != 0
}

// conceals reports whether what is handed on may hold names that are not written out.
func (s *Sieve) conceals(t *seen, marks, own uint64, sentence bool) bool {
	shell := sentence || marks&(markShell|markCmd|markMany) != 0
	if shell {
		readers := 0
		if !sentence && own&markStdin != 0 {
			readers = 1 // the program itself
		}
		if t.hidden || marks&markReader != 0 && (t.dollar || s.win) || t.fed || t.input && t.readers > readers {
			return true
		}
	}
	if marks&(markScript|markAwk) == 0 || !t.inline && marks&markAwk == 0 && !(shell && (t.pipe || t.input)) {
		return false
	}
	return marks&markCaller != 0 || marks&markAwk != 0 && t.pipe
}

// marks are those of the names in a text.
func (s *Sieve) marks(text string) uint64 {
	var marks uint64
	at := s.set.Start()
	for i := range len(text) {
		if text[i] >= 0x80 {
			marks |= markHidden
		}
		at = s.set.Step(at, s.class[text[i]]&^special)
		if s.set.Final(at) {
			more, whole := s.set.Ends(at)
			marks |= more | s.ended(text, i+1, whole)
		}
	}
	return marks
}

// ended returns those of the marks of whole names that count for what stands in front
// of i.
func (s *Sieve) ended(text string, i int, whole uint64) uint64 {
	if whole == 0 {
		return 0
	}
	end, ok := nameEnds(text, i)
	if !ok {
		// The version of a script language is none of its name.
		if whole &= markScript | markAwk; whole == 0 {
			return 0
		}
		for end = i; end < len(text) && ('0' <= text[end] && text[end] <= '9' || text[end] == '.' || text[end] == '-'); end++ {
		}
		if end > i && text[end-1] == '.' {
			end-- // of an ending, perhaps
		}
		if end, ok = nameEnds(text, end); !ok {
			return 0
		}
	}
	if s.directory(text[end:]) {
		return whole & (groups << maxGroups)
	}
	return whole
}

// nameEnds reports whether a name ends at i, but for an ending of programs, and
// where that is.
func nameEnds(text string, i int) (end int, ok bool) {
	if i+4 <= len(text) && text[i] == '.' {
		switch ext := text[i+1 : i+4]; {
		case strings.EqualFold(ext, "exe"), strings.EqualFold(ext, "com"), strings.EqualFold(ext, "bat"), strings.EqualFold(ext, "cmd"):
			i += 4
		}
	}
	for i < len(text) && text[i] == '.' {
		i++
	}
	return i, i == len(text) || !literal.IsName(text[i])
}

// directory reports whether a name is one of a directory, by what is behind it: no
// program is called by that.
func (s *Sieve) directory(behind string) bool {
	if !s.win {
		return strings.HasPrefix(behind, "/")
	}
	file := strings.TrimLeft(behind, `\`)
	return len(file) < len(behind) && !strings.HasPrefix(file, `"`)
}

// base is what is behind the last directory of a path.
func (s *Sieve) base(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' || path[i] == '\\' && s.win {
			return path[i+1:]
		}
	}
	return path
}

// image is the name of the program of a process, as [Parse] takes it.
func (s *Sieve) image(path string) string {
	if s.win {
		return s.base(path)
	}
	return unixBase(path)
}

// first is the text's first word; it is false when that is not certain.
func (s *Sieve) first(text string) (word string, ok bool) {
	i := 0
	for i < len(text) && blank(text[i]) {
		i++
	}
	text = text[i:]
	if text == "" {
		return "", true
	}
	if text[0] >= 0x80 || text[0] == '[' && (len(text) == 1 || !blank(text[1])) {
		return "", false
	}
	if s.win && text[0] == '"' {
		end := strings.IndexByte(text[1:], '"')
		if end < 0 || end+2 < len(text) && !ends(text[end+2]) {
			return "", false
		}
		word = text[1 : end+1]
		return word, !strings.HasPrefix(word, "[")
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\'' && !s.win:
			return "", false
		case s.win && ends(c), !s.win && blank(c):
			return text[:i], true
		}
	}
	return text, true
}

// blank reports white space, and the byte that is taken for it.
func blank(c byte) bool { return c == ' ' || c == 0 || '\t' <= c && c <= '\r' }

// ends reports what ends a word of Windows.
func ends(c byte) bool { return c == ' ' || c == 0 || c == '\t' }

// scan goes over the text. When the text is handed on, it stops at a tool that is
// wanted.
func (s *Sieve) scan(text string, t *seen, handed bool) {
	set := s.set
	at := set.Start()
	for i := range len(text) {
		c := s.class[text[i]]
		if c >= special {
			s.sign(text, i, t)
			c &^= special
		}
		at = set.Step(at, c)
		if set.Final(at) {
			more, whole := set.Ends(at)
			if more |= s.ended(text, i+1, whole); more != 0 {
				t.found(text, i+1, more)
				if handed && t.marks&(markWanted|markHidden) != 0 {
					return
				}
			}
		}
	}
}

// found takes in the marks of a name that ends at end.
func (t *seen) found(text string, end int, marks uint64) {
	again := t.marks&marks&markEnv != 0
	t.marks |= marks
	if marks&markStdin != 0 {
		t.readers++
		t.fed = t.fed || t.pipe
	}
	if marks&(markScript|markCmd|markEnv) == 0 || again {
		return
	}
	for end < len(text) && literal.IsName(text[end]) {
		end++
	}
	for end < len(text) && (blank(text[end]) || quote(text[end])) {
		end++
	}
	switch {
	case marks&markScript != 0:
		t.inline = t.inline || end < len(text) && text[end] == '-'
	case marks&markCmd != 0:
		t.hidden = t.hidden || gluesToSwitch(text[end:])
	default:
		t.hidden = t.hidden || splits(text[end:])
	}
}

// gluesToSwitch reports whether the switch of cmd.exe that starts its text has the
// text right behind it (/csc query).
func gluesToSwitch(text string) bool {
	for {
		for len(text) > 0 && (blank(text[0]) || strings.IndexByte(",;=", text[0]) >= 0) {
			text = text[1:]
		}
		if len(text) < 3 || text[0] != '/' && text[0] != '-' {
			return false
		}
		switch text[1] | 0x20 {
		case 'c', 'k', 'r':
			return literal.IsName(text[2])
		}
		end := strings.IndexAny(text[1:], " \t/,;=")
		if end < 0 {
			return false
		}
		text = text[1+end:]
	}
}

// splits reports whether a switch in the text may be one of env's that makes words of
// what is right behind it (-Ssystemctl).
func splits(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '-' || i > 0 && literal.IsName(text[i-1]) {
			continue
		}
		for i++; i < len(text) && !blank(text[i]); i++ {
			if text[i] == 'S' && i+1 < len(text) && !blank(text[i+1]) {
				return true
			}
		}
	}
	return false
}

// sign looks at a byte that may hide something.
func (s *Sieve) sign(text string, i int, t *seen) {
	c := text[i]
	next := byte(0)
	if i+1 < len(text) {
		next = text[i+1]
	}
	switch c {
	case '"', '\'':
		t.glued = t.glued || s.glues(text, i)
	case '|':
		t.pipe = true
	case '<', '>':
		t.input = t.input || c == '<'
		if s.win {
			t.hidden = t.hidden || joins(text, i)
		} else {
			t.hidden = t.hidden || next == '(' && i > 0 && (literal.IsName(text[i-1]) || quote(text[i-1]))
		}
	case '`':
		t.marks |= markCaller
		t.hidden = true
	case '%':
		if s.win {
			t.hidden = true
		} else if next == 'x' {
			t.marks |= markCaller
		}
	case '\\', '^':
		t.hidden = true
	case '!', '@':
		t.hidden = t.hidden || s.win || next == '('
	case '+':
		t.hidden = t.hidden || next == '=' || next == '('
	case '$':
		t.dollar = true
		t.hidden = t.hidden || !variable(text, i)
	case '{':
		t.hidden = t.hidden || next != 0 && next != '}' && !blank(next)
	case '[':
		if s.brackets && !blank(next) && (i == 0 || !literal.IsName(text[i-1])) {
			t.marks |= markWanted
		}
		t.hidden = t.hidden || !s.win && pattern(text, i)
	case '*', '?':
		t.hidden = t.hidden || pattern(text, i)
	default:
		t.foreign = true
	}
}

func quote(c byte) bool { return c == '"' || c == '\'' }

// glues reports whether the quotes that start at i, with backslashes between them on
// Windows, stand inside of a name.
func (s *Sieve) glues(text string, i int) bool {
	left := i
	for s.win && left > 0 && text[left-1] == '\\' {
		left--
	}
	if left == 0 || !literal.IsName(text[left-1]) {
		return false // nothing there, or quotes that were looked at already
	}
	right := i + 1
	for right < len(text) && (quote(text[right]) || s.win && text[right] == '\\') {
		right++
	}
	return right < len(text) && (literal.IsName(text[right]) || text[right] == '$')
}

// joins reports whether what is behind a redirection to a descriptor of cmd.exe
// joins what is in front of it.
func joins(text string, i int) bool {
	for i++; i < len(text) && (text[i] == '>' || text[i] == '<'); i++ {
	}
	if i == len(text) || text[i] != '&' {
		return false
	}
	for i++; i < len(text) && blank(text[i]); i++ {
	}
	i++
	return i < len(text) && !blank(text[i]) && strings.IndexByte(",;=&|()<>", text[i]) < 0
}

// variable reports whether the dollar sign at i starts a variable that is no part of
// a name: what it holds is a word of the text then, or nothing that is known.
func variable(text string, i int) bool {
	left := i
	for left > 0 && quote(text[left-1]) {
		left--
	}
	if left > 0 && (literal.IsName(text[left-1]) || text[left-1] == '$') {
		return false
	}
	right := i + 1
	if right == len(text) {
		return true
	}
	switch c := text[right]; {
	case c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z':
		for right < len(text) && (text[right] == '_' || 'a' <= text[right]|0x20 && text[right]|0x20 <= 'z' || '0' <= text[right] && text[right] <= '9') {
			right++
		}
	case '0' <= c && c <= '9' || strings.IndexByte("?!#@*$-", c) >= 0:
		right++
	case blank(c) || strings.IndexByte(";&|)/=,:", c) >= 0:
		return true
	default:
		return false
	}
	for right < len(text) && quote(text[right]) {
		right++
	}
	return right == len(text) || !literal.IsName(text[right]) && text[right] != '$'
}

// pattern reports whether the pattern signs from i on stand beside a byte of a name,
// so that a program's name may fit.
func pattern(text string, i int) bool {
	left := i
	for left > 0 && quote(text[left-1]) {
		left--
	}
	switch {
	case left == i && i > 0 && text[i-1] == '$' && text[i] != '[':
		return false // a variable's name
	case left > 0 && literal.IsName(text[left-1]):
		return true
	case left > 0 && isPattern(text[left-1]):
		return false // looked at already
	}
	right := i
	for right < len(text) && (isPattern(text[right]) || quote(text[right])) {
		right++
	}
	return right < len(text) && (literal.IsName(text[right]) || text[right] == ']')
}

func isPattern(c byte) bool { return c == '*' || c == '?' || c == '[' }
