// Package pictures draws the README's picture of a terminal from a real run.
package pictures

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// scene is a command that was typed and what the program wrote to its terminal.
type scene struct {
	typed  string
	output string
	most   int // lines of the output that are shown; 0 is all
}

// The measures of the picture, in the units of its viewBox.
const (
	letter  = 7.83
	row     = 18.0
	margin  = 18.0
	titleAt = 34.0
)

// style is how a terminal shows a piece of text: the classes of the picture.
type style struct {
	bold, dim bool
	colour    int // 30 to 37, 0 for none
}

func (s style) class() string {
	var out []string
	if s.bold {
		out = append(out, "b")
	}
	if s.dim {
		out = append(out, "d")
	}
	if s.colour != 0 {
		out = append(out, "c"+strconv.Itoa(s.colour))
	}
	return strings.Join(out, " ")
}

// piece is text of one style.
type piece struct {
	text  string
	style style
}

// lines reads what was written to a terminal: text, ends of lines and SGR escapes. It
// fails for anything else that steers one.
func lines(output string) ([][]piece, error) {
	var out [][]piece
	var now style
	for line := range strings.SplitSeq(strings.TrimRight(strings.ReplaceAll(output, "\r\n", "\n"), "\n"), "\n") {
		var pieces []piece
		for line != "" {
			text, rest, escape := strings.Cut(line, "\x1b[")
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return nil, fmt.Errorf("a control character in %q", text)
			}
			if text != "" {
				pieces = append(pieces, piece{text, now})
			}
			if line = rest; !escape {
				break
			}
			codes, rest, ok := strings.Cut(line, "m")
			if !ok {
				return nil, fmt.Errorf("an escape that is no colour in %q", line)
			}
			line = rest
			for code := range strings.SplitSeq(codes, ";") {
				n, err := strconv.Atoi(code)
				switch {
				case code == "" || err == nil && n == 0:
					now = style{}
				case err == nil && n == 1:
					now.bold = true
				case err == nil && n == 2:
					now.dim = true
				case err == nil && n >= 30 && n <= 37:
					now.colour = n
				default:
					return nil, fmt.Errorf("the escape %q", codes)
				}
			}
		}
		out = append(out, pieces)
	}
	return out, nil
}

// fold breaks a line where a terminal of so many columns does.
func fold(line []piece, columns int) [][]piece {
	out := [][]piece{nil}
	room := columns
	for _, p := range line {
		for runes := []rune(p.text); len(runes) > 0; {
			if room == 0 {
				out, room = append(out, nil), columns
			}
			n := min(room, len(runes))
			out[len(out)-1] = append(out[len(out)-1], piece{string(runes[:n]), p.style})
			runes, room = runes[n:], room-n
		}
	}
	return out
}

const head = `<style>
text { font: 13px ui-monospace, "SF Mono", Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace; fill: #d8dee9; white-space: pre; }
.b { font-weight: 700; } .d { fill: #8a95a5; } .title { fill: #8a95a5; } .typed { fill: #ffffff; font-weight: 700; } .prompt { fill: #7fd18b; font-weight: 700; }
.c31 { fill: #ff8f8f; } .c32 { fill: #83d8a4; } .c33 { fill: #f0cd6b; } .c34 { fill: #8cc8f2; } .c35 { fill: #c8a6f0; } .c36 { fill: #7fd6d0; } .c37 { fill: #ffffff; }
</style>
`

// draw makes an SVG of the scenes, one below the other.
func draw(title string, columns int, scenes []scene) (string, error) {
	var body strings.Builder
	y := titleAt + 2*row
	for _, s := range scenes {
		all, err := lines(s.output)
		if err != nil {
			return "", fmt.Errorf("draw %q: %w", s.typed, err)
		}
		var shown [][]piece
		for _, line := range all {
			shown = append(shown, fold(line, columns)...)
		}
		left := 0
		if s.most > 0 && len(shown) > s.most {
			left = len(shown) - s.most
			shown = shown[:s.most]
		}
		fmt.Fprintf(&body, "<text x=\"%g\" y=\"%g\"><tspan class=\"prompt\">$</tspan> <tspan class=\"typed\">%s</tspan></text>\n", margin, y, html.EscapeString(s.typed))
		y += row
		if left > 0 {
			shown = append(shown, []piece{{fmt.Sprintf("[%d more lines]", left), style{dim: true}}})
		}
		for _, line := range shown {
			if len(line) > 0 {
				fmt.Fprintf(&body, "<text x=\"%g\" y=\"%g\">", margin, y)
				for _, p := range line {
					if class := p.style.class(); class != "" {
						fmt.Fprintf(&body, "<tspan class=\"%s\">%s</tspan>", class, html.EscapeString(p.text))
					} else {
						body.WriteString(html.EscapeString(p.text))
					}
				}
				body.WriteString("</text>\n")
			}
			y += row
		}
		y += row
	}
	width, height := 2*margin+float64(columns)*letter, y
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">
%s<rect width="100%%" height="100%%" rx="10" fill="#141a22"/>
<circle cx="22" cy="20" r="6" fill="#e5484d"/><circle cx="42" cy="20" r="6" fill="#e0a100"/><circle cx="62" cy="20" r="6" fill="#3fa367"/>
<text class="title" x="84" y="24">%s</text>
%s</svg>
`, width, height, width, height, html.EscapeString(title), head, html.EscapeString(title), body.String()), nil
}
