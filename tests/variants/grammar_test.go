// Package variants generates command lines from a grammar: every way of asking for
// services, every way of acting on them or merely naming them, under every way of
// wrapping, hiding and recording. What each must be judged as is known by
// construction.
package variants

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// base is a command that changes are applied to.
type base struct {
	family string
	scope  string // empty for what is no service discovery
	remote string // the host it asks about by itself
	line   line
}

// asks makes the bases of one family that are service discovery.
func asks(family, scope string, texts ...string) []base {
	return asksOf("", family, scope, texts...)
}

// asksOf is asks about another host.
func asksOf(host, family, scope string, texts ...string) []base {
	out := make([]base, 0, len(texts))
	for _, t := range texts {
		out = append(out, base{family: family, scope: scope, remote: host, line: line{text: t}})
	}
	return out
}

// isNot makes bases that look like service discovery and are none.
func isNot(family string, texts ...string) []base {
	return asksOf("", "not: "+family, "", texts...)
}

// shape says what may be put around a command without changing what it does.
type shape int

const (
	simple   shape = iota // one command with its words
	compound              // pipelines, lists, loops
	whole                 // has to stay a line of its own (comments)
)

// line is one command line and how a source records it.
type line struct {
	text  string
	shape shape
	argv  []string // the words of a simple command of a POSIX system, where known

	path, original string // image and version resource, in recorded forms
	joined         bool   // words joined by blanks, quoting lost
}

// hiding says whether the verdict must name a command as obfuscated or encoded.
type hiding int

const (
	open   hiding = iota // it must not
	hidden               // it must
	either               // unusual, but a matter of taste
)

// change is one way of writing, wrapping or recording a command.
type change struct {
	name   string
	hides  hiding
	remote string // the host it makes the command's target
	asks   bool   // only for service discovery: other programs are not seen through
	loud   bool   // adds a factor of its own, so that the severity is not the base's
	apply  func(line) (line, bool)
}

// prefix puts words before a simple command of a POSIX system.
func prefix(name string, words ...string) change {
	return change{name: name, apply: func(l line) (line, bool) {
		if l.shape != simple {
			return l, false
		}
		l.text = strings.Join(words, " ") + " " + l.text
		if l.argv != nil {
			l.argv = append(append([]string(nil), words...), l.argv...)
		}
		return l, true
	}}
}

// script hands any text to a program as one word: %s is where.
func script(name string, words ...string) change {
	return change{name: name, apply: func(l line) (line, bool) {
		argv := make([]string, len(words))
		quoted := make([]string, len(words))
		for i, w := range words {
			argv[i] = strings.ReplaceAll(w, "%s", l.text)
			quoted[i] = shellQuote(argv[i])
		}
		return line{text: strings.Join(quoted, " "), argv: argv}, true
	}}
}

// around puts text around a command: %s is where. It becomes a compound.
func around(name, format string) change {
	return change{name: name, apply: func(l line) (line, bool) {
		if l.shape == whole {
			return l, false
		}
		return line{text: strings.ReplaceAll(format, "%s", l.text), shape: compound}, true
	}}
}

func (c change) hiding(h hiding) change { c.hides = h; return c }

func (c change) on(host string) change { c.remote = host; return c }

func (c change) only() change { c.asks = true; return c }

func (c change) noisy() change { c.loud = true; return c }

// rewrite changes a line's text; an empty answer means that it does not apply.
func rewrite(name string, f func(string) string) change {
	return change{name: name, apply: func(l line) (line, bool) {
		if l.shape != simple {
			return l, false
		}
		text := f(l.text)
		return line{text: text}, text != "" && text != l.text
	}}
}

// recompose is a rewrite of a simple command into more than one.
func recompose(name string, f func(string) string) change {
	c := rewrite(name, f)
	apply := c.apply
	c.apply = func(l line) (line, bool) {
		l, ok := apply(l)
		l.shape = compound
		return l, ok
	}
	return c
}

// shellQuote quotes a word for a POSIX shell where it needs that.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,@%+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// windowsQuote quotes a word for a Windows command line.
func windowsQuote(s string) string {
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
}

// powershellQuote makes a literal of PowerShell.
func powershellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// encodedCommand is what powershell -EncodedCommand takes: base64 of UTF-16LE.
func encodedCommand(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// splitWord returns a text's first word and the rest with its blank.
func splitWord(s string) (word, rest string) {
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// insideWord puts something behind the first letter of the first word.
func insideWord(what string) func(string) string {
	return func(s string) string {
		word, rest := splitWord(s)
		if len(word) < 2 || strings.ContainsAny(word[:2], "./\\:\"") {
			return ""
		}
		return word[:1] + what + word[1:] + rest
	}
}

// mixedCase turns every other letter up.
func mixedCase(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] >= 'a' && b[i] <= 'z' && i%2 == 0 {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}

func flatten(lists ...[]base) []base {
	var out []base
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// language is a set of bases with the changes that can be made to them.
type language struct {
	name     string
	platform evidence.Platform
	bases    []base
	// spellings keep the language of the text; wrappings may too, and come after
	// them; records are how a source shows the outermost process.
	spellings, wrappings, records []change
	// needs says that a line is not one of its platform before one wrapping.
	needs bool
}
