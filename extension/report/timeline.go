package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
	"github.com/osquery-rollcall/rollcall/extension/incident"
)

// chart is the picture of a timeline: a lane for each kind of thing, time from left
// to right. Quiet spans are drawn shorter than they were, and the long ones are
// labelled. Lengths are in the units of its viewBox.
type chart struct {
	Class         string
	Width, Height float64
	Left, Right   float64 // of the plot
	Lanes         []lane
	Marks         []mark
	Ticks         []tick
	Quiet         []tick
	During        struct {
		X, Width, TX float64
		Anchor       string
	} // TX and Anchor are of its text
	Bottom float64 // where the lanes end
}

type lane struct {
	Name      string
	Y         float64
	LX, LY    float64 // of the name
	Odd       bool
	Top, Tall float64
}

// mark is one entry, or several that would cover each other.
type mark struct {
	X, Y, Width, Height float64
	TX, TY              float64 // of its number
	Text                string
	Class               string
	Title               string
	Href                string
	Label               string
	LX, LY, LWidth      float64
	LAnchor             string
	TextX               float64 // within the label
}

type tick struct {
	X, Y   float64
	Text   string
	Anchor string
}

// Span is the width of the plot, DuringHeight that of the shade behind it, NameAnchor
// where the lanes' names are fixed.
func (c *chart) Span() float64         { return c.Right - c.Left }
func (c *chart) DuringHeight() float64 { return c.Bottom - 16 }
func (c *chart) NameAnchor() string {
	if c.Class == "narrow" {
		return "start"
	}
	return "end"
}

// kindsInOrder are the lanes, from the top.
func kindsInOrder() []string { return []string{"logon", "command", "install", "connection", "change"} }

// size is how a chart is drawn for a width of the page.
type size struct {
	class                    string
	width, left, right       float64
	laneHeight, mark, letter float64 // letter is the width of one in a label
	nameAbove                bool
	tickRoom                 float64
}

func sizes() []size {
	return []size{
		{class: "wide", width: 960, left: 92, right: 14, laneHeight: 34, mark: 18, letter: 6.6, tickRoom: 74},
		{class: "narrow", width: 340, left: 6, right: 6, laneHeight: 44, mark: 18, letter: 6.6, nameAbove: true, tickRoom: 66},
	}
}

// duringText is the room that the shade's text needs, tickText that of a time.
const (
	duringText = 110.0
	tickText   = 52.0
)

// longQuiet is the span, in seconds, that gets a label where there is room.
const longQuiet = 120

// draw lays entries, sorted by time, out in the given size. Anchor is the id of the
// incident, to which the marks' links lead.
func draw(entries []incident.Entry, s size, anchor string) *chart {
	c := &chart{Class: s.class, Width: s.width, Left: s.left, Right: s.width - s.right}
	top := 24.0
	x := positions(entries, s.left+s.mark, c.Right-s.mark)
	y := top
	for _, kind := range kindsInOrder() {
		var mine []int
		for i, e := range entries {
			if e.Kind == kind {
				mine = append(mine, i)
			}
		}
		if len(mine) == 0 {
			continue
		}
		l := lane{Name: kind, Top: y, Tall: s.laneHeight, Odd: len(c.Lanes)%2 == 1, Y: y + s.laneHeight/2, LX: s.left - 10, LY: y + s.laneHeight/2 + 4}
		if s.nameAbove {
			l.Y, l.LX, l.LY = y+s.laneHeight-14, s.left+2, y+13
		}
		c.Lanes = append(c.Lanes, l)
		c.Marks = append(c.Marks, marks(entries, mine, x, l.Y, c.Right, s, anchor)...)
		y += s.laneHeight
	}
	c.Bottom = y
	from, to := -1, -1
	for i, e := range entries {
		if e.Phase == incident.PhaseDuring {
			if from < 0 {
				from = i
			}
			to = i
		}
	}
	if from >= 0 {
		c.During.X = math.Max(c.Left, x[from]-s.mark/2-5)
		c.During.Width = math.Min(c.Right, x[to]+s.mark/2+5) - c.During.X
		c.During.TX, c.During.Anchor = c.During.X, "start"
		if c.During.X+duringText > c.Right {
			c.During.TX, c.During.Anchor = c.Right, "end"
		}
	}
	c.axis(entries, x, s)
	c.Height = c.Bottom + 46
	return c
}

// foldFrom is how many entries of one kind in a row are folded into one.
const foldFrom = 6

// folded tells of each entry how many entries of a fold begin with it: 1 for one that
// is shown by itself, 0 within a fold. What is folded are long runs of one kind without
// scores, such as the packages of an upgrade.
func folded(entries []incident.Entry) []int {
	out := make([]int, len(entries))
	for i := 0; i < len(entries); {
		n := 1
		for i+n < len(entries) && entries[i].Score < 0 && entries[i+n].Score < 0 && entries[i+n].Kind == entries[i].Kind && entries[i+n].Phase == entries[i].Phase {
			n++
		}
		if n < foldFrom {
			for range n {
				out[i] = 1
				i++
			}
			continue
		}
		out[i] = n
		i += n
	}
	return out
}

// positions spreads entries from left to right: a gap is as wide as its logarithm, and
// within a fold a tenth of that.
func positions(entries []incident.Entry, left, right float64) []float64 {
	at, folds := make([]float64, len(entries)), folded(entries)
	for i := 1; i < len(entries); i++ {
		gap := float64(max(0, entries[i].Time-entries[i-1].Time))
		at[i] = at[i-1]
		if gap > 0 {
			step := 1 + math.Log2(1+gap/2)
			if folds[i] == 0 {
				step /= 10
			}
			at[i] += step
		}
	}
	n := len(at)
	if n == 0 {
		return at
	}
	total := at[n-1]
	for i := range at {
		if total == 0 {
			at[i] = (left + right) / 2
			continue
		}
		at[i] = left + at[i]/total*(right-left)
	}
	return at
}

// group is entries of one lane that share a mark.
type group struct {
	first, last, n int // numbers of entries, from 1
	best           int // index of the entry that scores highest
	x, width       float64
}

func (g *group) text() string {
	switch {
	case g.n == 1:
		return fmt.Sprint(g.first)
	case g.last-g.first == g.n-1:
		return fmt.Sprintf("%d\u2013%d", g.first, g.last)
	}
	return fmt.Sprintf("%d +%d", g.first, g.n-1)
}

func marks(entries []incident.Entry, mine []int, x []float64, y, right float64, s size, anchor string) []mark {
	const apart = 4
	var groups []*group
	settle := func(g *group, x float64) {
		g.width = math.Max(s.mark, 8+6.4*float64(len([]rune(g.text()))))
		g.x = math.Max(s.left+g.width/2, math.Min(x, right-g.width/2))
	}
	for _, i := range mine {
		if n := len(groups); n > 0 {
			if g := groups[n-1]; x[i]-s.mark/2 < g.x+g.width/2+apart {
				// The middle of what it stands for.
				first := x[g.first-1]
				g.last, g.n = i+1, g.n+1
				if entries[i].Score > entries[g.best].Score {
					g.best = i
				}
				settle(g, (first+x[i])/2)
				// A wider mark may reach the one before it.
				for len(groups) > 1 {
					before := groups[len(groups)-2]
					if g.x-g.width/2 >= before.x+before.width/2+apart {
						break
					}
					before.last, before.n = g.last, before.n+g.n
					if entries[g.best].Score > entries[before.best].Score {
						before.best = g.best
					}
					settle(before, (x[before.first-1]+x[g.last-1])/2)
					groups = groups[:len(groups)-1]
					g = before
				}
				continue
			}
		}
		g := &group{first: i + 1, last: i + 1, n: 1, best: i}
		settle(g, x[i])
		groups = append(groups, g)
	}
	out := make([]mark, 0, len(groups))
	taken := 0.0 // how far the labels so far reach
	for i, g := range groups {
		e := &entries[g.best]
		m := mark{
			X: g.x - g.width/2, Y: y - s.mark/2, Width: g.width, Height: s.mark, TX: g.x, TY: y + 4, Text: g.text(), Class: "k-" + e.Kind,
			Title: fmt.Sprintf("%s  %s", Moment(e.Time), shown(e.Subject, maxWord)), Href: fmt.Sprintf("%s-t%d", anchor, g.first),
		}
		if g.n > 1 {
			m.Title = fmt.Sprintf("%d entries, %s to %s", g.n, Moment(entries[g.first-1].Time), Moment(entries[g.last-1].Time))
		}
		if e.Score >= 60 {
			m.Class += " hot"
		}
		// The label goes to the right of the mark, or where there is more room to the left.
		end, begin := right, s.left
		if i+1 < len(groups) {
			end = groups[i+1].x - groups[i+1].width/2
		}
		if i > 0 {
			begin = max(groups[i-1].x+groups[i-1].width/2, taken)
		}
		text := shown(e.Subject, maxWord)
		m.LX, m.LY, m.LWidth, m.LAnchor = g.x+g.width/2+5, y-s.mark/2, end-g.x-g.width/2-11, "start"
		if left := g.x - g.width/2 - 11 - begin; left > m.LWidth && m.LWidth < s.letter*float64(term.Width(text)) {
			m.LX, m.LWidth, m.LAnchor = begin+6, left, "end"
			m.TextX = left
		}
		if letters := int(m.LWidth / s.letter); letters >= 5 {
			m.Label = fitted(text, letters)
			if m.LAnchor == "start" {
				taken = m.LX + s.letter*float64(term.Width(m.Label))
			}
		}
		out = append(out, m)
	}
	return out
}

// fitted cuts a text that can be shown to a number of columns.
func fitted(s string, columns int) string {
	if term.Width(s) <= columns {
		return s
	}
	n := 0
	for i, r := range s {
		if n += term.Width(string(r)); n > columns-1 {
			return s[:i] + "\u2026"
		}
	}
	return s
}

// axis writes the times under the lanes, where there is room for them, and the long
// spans in which nothing happened.
func (c *chart) axis(entries []incident.Entry, x []float64, s size) {
	last := math.Inf(-1) // the middle of the last text
	day := ""
	for i, e := range entries {
		t := tick{X: x[i], Y: c.Bottom + 15, Text: clock(e.Time), Anchor: "middle"}
		middle := x[i]
		if x[i] < c.Left+30 {
			t.Anchor, t.X = "start", math.Max(c.Left, x[i]-s.mark/2)
			middle = t.X + tickText/2
		} else if x[i] > c.Right-30 {
			t.Anchor, t.X = "end", math.Min(c.Right, x[i]+s.mark/2)
			middle = t.X - tickText/2
		}
		if i > 0 && (e.Time == entries[i-1].Time || middle-last < s.tickRoom) {
			continue
		}
		last = middle
		c.Ticks = append(c.Ticks, t)
		if d := date(e.Time); d != day {
			day = d
			c.Ticks = append(c.Ticks, tick{X: t.X, Y: c.Bottom + 29, Text: d, Anchor: t.Anchor})
		}
	}
	for i := 1; i < len(entries); i++ {
		gap := entries[i].Time - entries[i-1].Time
		if text := span(gap) + " quiet"; gap >= longQuiet && x[i]-x[i-1]-s.mark > 5.6*float64(len(text)) {
			c.Quiet = append(c.Quiet, tick{X: (x[i] + x[i-1]) / 2, Y: c.Bottom + 43, Text: text, Anchor: "middle"})
		}
	}
	c.Ticks = slices.Clip(c.Ticks)
}
