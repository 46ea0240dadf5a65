package term

import (
	"bufio"
	"io"
	"strings"
)

const (
	// sampleRows and sampleBytes bound what is kept to find the columns' widths.
	sampleRows  = 1000
	sampleBytes = 4 << 20
	// minColumn is the narrowest a wider column is made.
	minColumn = 8
	// maxCellLines bounds the lines of one wrapped cell.
	maxCellLines = 40
)

// box is what a table is drawn with.
type box struct {
	top, mid, bottom [3]string // left, between columns, right
	horizontal       string
	vertical         string
}

func newBox(unicode bool) box {
	if unicode {
		return box{
			top: [3]string{"┌", "┬", "┐"}, mid: [3]string{"├", "┼", "┤"}, bottom: [3]string{"└", "┴", "┘"},
			horizontal: "─", vertical: "│",
		}
	}
	corner := [3]string{"+", "+", "+"}
	return box{top: corner, mid: corner, bottom: corner, horizontal: "-", vertical: "|"}
}

type tableWriter struct {
	w    *bufio.Writer
	opts Options
	box  box

	cols   []string
	paint  []bool
	widths []int // once chosen
	rows   [][]string
	bytes  int
	any    bool        // a row came
	line   *lineWriter // when the columns cannot fit side by side
}

func newTable(w io.Writer, opts Options) *tableWriter {
	return &tableWriter{w: bufio.NewWriter(w), opts: opts, box: newBox(opts.Unicode)}
}

func (t *tableWriter) Begin(cols []string) error {
	t.cols, t.paint = make([]string, len(cols)), make([]bool, len(cols))
	for i, c := range cols {
		t.cols[i] = t.opts.Visible(c)
		t.paint[i] = t.opts.paintColumn(c)
	}
	t.widths, t.rows, t.bytes, t.any, t.line = nil, nil, 0, false, nil
	return nil
}

func (t *tableWriter) Row(vals []string) error {
	t.any = true
	row := make([]string, len(t.cols))
	for i := range row {
		if i < len(vals) {
			row[i] = t.opts.Visible(vals[i])
			t.bytes += len(row[i])
		}
	}
	if t.widths == nil && t.line == nil {
		t.rows = append(t.rows, row)
		if len(t.rows) < sampleRows && t.bytes < sampleBytes {
			return nil
		}
		return t.start()
	}
	return t.write(row)
}

func (t *tableWriter) End() error {
	if t.widths == nil && t.line == nil && t.any {
		if err := t.start(); err != nil {
			return err
		}
	}
	switch {
	case !t.any && t.opts.Terminal:
		_, _ = t.w.WriteString("(no rows)\n") // the error stays with the writer
	case t.widths != nil:
		t.rule(t.box.bottom)
	case t.line != nil:
		t.line.end()
	}
	return t.w.Flush()
}

// start chooses the widths, and writes the head and what was kept.
func (t *tableWriter) start() error {
	natural := make([]int, len(t.cols))
	for i, c := range t.cols {
		natural[i] = max(1, Width(c))
	}
	for _, row := range t.rows {
		for i, cell := range row {
			natural[i] = max(natural[i], Width(cell))
		}
	}
	widths, ok := layout(natural, t.opts.Width)
	if !ok {
		t.line = &lineWriter{w: t.w, opts: t.opts}
		t.line.begin(t.cols, t.paint)
	} else {
		t.widths = widths
		t.rule(t.box.top)
		head := make([][]string, len(t.cols))
		for i, c := range t.cols {
			head[i] = wrap(c, t.widths[i], maxCellLines)
		}
		if err := t.lines(head, func(_ int, s string) string { return t.opts.Bold(s) }); err != nil {
			return err
		}
		t.rule(t.box.mid)
	}
	rows := t.rows
	t.rows = nil
	for _, row := range rows {
		if err := t.write(row); err != nil {
			return err
		}
	}
	return nil
}

// layout fits columns of natural widths into total columns of the terminal: the
// widest are made narrower, all to the same width. It reports false when one
// would have to be narrower than minColumn.
func layout(natural []int, total int) ([]int, bool) {
	widths := append([]int(nil), natural...)
	if total <= 0 {
		return widths, true
	}
	avail := total - 3*len(natural) - 1 // "| " before and " " after each, "|" at the end
	sum := 0
	for _, n := range natural {
		sum += n
	}
	if sum <= avail {
		return widths, true
	}
	// The greatest limit under which all fit.
	limit := 0
	for lo, hi := minColumn, max(avail, minColumn); lo <= hi; {
		mid := (lo + hi) / 2
		sum = 0
		for _, n := range natural {
			sum += min(n, mid)
		}
		if sum <= avail {
			limit, lo = mid, mid+1
		} else {
			hi = mid - 1
		}
	}
	if limit == 0 {
		return nil, false
	}
	sum = 0
	for i, n := range natural {
		widths[i] = min(n, limit)
		sum += widths[i]
	}
	// What is left over is less than a column for each that was cut.
	for i, n := range natural {
		if sum < avail && widths[i] < n {
			widths[i]++
			sum++
		}
	}
	return widths, true
}

func (t *tableWriter) write(row []string) error {
	if t.line != nil {
		return t.line.row(row)
	}
	cells := make([][]string, len(row))
	for i, cell := range row {
		if t.opts.Width > 0 {
			cells[i] = wrap(cell, t.widths[i], maxCellLines)
		} else {
			cells[i] = []string{cell} // a reader by lines wants one a row
		}
	}
	return t.lines(cells, func(i int, s string) string {
		if t.paint[i] {
			return t.opts.Paint(s)
		}
		return s
	})
}

// lines writes cells of several lines side by side.
func (t *tableWriter) lines(cells [][]string, style func(col int, s string) string) error {
	height := 1
	for _, c := range cells {
		height = max(height, len(c))
	}
	var err error
	for l := range height {
		for i, c := range cells {
			text := ""
			if l < len(c) {
				text = c[l]
			}
			pad := max(0, t.widths[i]-Width(text))
			_, _ = t.w.WriteString(t.box.vertical + " " + style(i, text) + strings.Repeat(" ", pad+1))
		}
		_, err = t.w.WriteString(t.box.vertical + "\n")
	}
	return err // a bufio.Writer repeats its first error
}

func (t *tableWriter) rule(ends [3]string) {
	for i, n := range t.widths {
		end := ends[1]
		if i == 0 {
			end = ends[0]
		}
		_, _ = t.w.WriteString(end + strings.Repeat(t.box.horizontal, n+2)) // Flush tells
	}
	_, _ = t.w.WriteString(ends[2] + "\n")
}
