package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text          string
		first, others int
		want          []string
	}{
		{"", 5, 5, []string{""}},
		{"one two", 7, 7, []string{"one two"}},
		{"one two", 6, 6, []string{"one", "two"}},
		{"one  two", 7, 7, []string{"one ", "two"}},
		{"one two three", 3, 9, []string{"one", "two three"}},
		{"abcdefgh ij", 3, 3, []string{"abc", "def", "gh", "ij"}},
		{" lead", 4, 4, []string{" lea", "d"}},
		{"\u65e5\u672c\u8a9e", 4, 4, []string{"\u65e5\u672c", "\u8a9e"}},
		{"\u65e5", 1, 1, []string{"\u65e5"}},
		{strings.Repeat("x ", 3), 1, 1, []string{"x", "x", "x", ""}},
	} {
		if d := cmp.Diff(c.want, wrap(c.text, c.first, c.others)); d != "" {
			t.Errorf("%q in %d, %d (-want +got)\n%s", c.text, c.first, c.others, d)
		}
	}
}

// TestPaneKeepsAll: whatever the width, no line is wider, and no letter is lost.
func TestPaneKeepsAll(t *testing.T) {
	text := "68 s after services were listed, dbus-cache.service was created by the same session, and nobody is known for it /a/very/long/path/that/has/no/blank/in/it"
	for _, width := range []int{0, 30, 50, 80, 200} {
		var out bytes.Buffer
		p := pane{&out, term.Options{Width: width}}
		p.item("  - ", "", text, 4)
		var letters string
		for _, line := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
			if width > 0 && term.Width(line) > width {
				t.Errorf("at %d a line of %d: %q", width, term.Width(line), line)
			}
			letters += strings.ReplaceAll(line, " ", "")
		}
		if want := "-" + strings.ReplaceAll(text, " ", ""); letters != want {
			t.Errorf("at %d: %q", width, out.String())
		}
		if width == 0 && out.String() != "  - "+text+"\n" {
			t.Errorf("%q", out.String())
		}
	}
	var below bytes.Buffer
	(&pane{&below, term.Options{Width: 40}}).item("a lead that is long enough  ", "", "and a text that is longer than what is left", 4)
	if want := "a lead that is long enough\n    and a text that is longer than what\n    is left\n"; below.String() != want {
		t.Errorf("%q, want %q", below.String(), want)
	}
	var out bytes.Buffer
	p := pane{&out, term.Options{Width: 20, Color: true}}
	p.item("high  ", "\x1b[31mhigh\x1b[0m  ", "text", 6)
	if out.String() != "\x1b[31mhigh\x1b[0m  text\n" {
		t.Errorf("%q", out.String())
	}
}
