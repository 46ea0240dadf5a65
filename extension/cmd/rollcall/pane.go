package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
)

// pane writes text for a person: on a terminal no wider than that, and coloured where
// colours are allowed.
type pane struct {
	w io.Writer
	o term.Options
}

// leastText is how narrow text is made at most, in columns.
const leastText = 24

// item writes a text behind a lead; the lines it takes more begin with indent blanks.
// Painted is the lead as it is shown, empty when that is the same.
func (p *pane) item(lead, painted, text string, indent int) {
	if painted == "" {
		painted = lead
	}
	lines := []string{text}
	if w := p.o.Width; w > 0 {
		if room := w - term.Width(lead); room < leastText && indent < term.Width(lead) && term.Width(text) > room {
			// What is left beside the lead is too little: the text goes below it.
			fmt.Fprintln(p.w, strings.TrimRight(painted, " "))
			lead, painted = strings.Repeat(" ", indent), strings.Repeat(" ", indent)
		}
		lines = wrap(text, max(w-term.Width(lead), leastText), max(w-indent, leastText))
	}
	fmt.Fprintf(p.w, "%s%s\n", painted, strings.Join(lines, "\n"+strings.Repeat(" ", indent)))
}

// wrap breaks a text at blanks into lines: the first of a width, the others of another.
// A word that is longer than a line is broken anywhere.
func wrap(text string, first, others int) []string {
	var out []string
	for width := first; ; width = others {
		end, blank, columns := 0, -1, 0
		for end < len(text) {
			r, size := utf8.DecodeRuneInString(text[end:])
			n := term.Width(text[end : end+size])
			if columns += n; columns > width && end > 0 {
				break
			}
			if r == ' ' && end > 0 {
				blank = end
			}
			end += size
		}
		if end == len(text) {
			return append(out, text)
		}
		if text[end] == ' ' {
			blank = end
		}
		if blank < 0 {
			out, text = append(out, text[:end]), text[end:]
			continue
		}
		out, text = append(out, text[:blank]), strings.TrimLeft(text[blank:], " ")
	}
}
