package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
)

const (
	week    = 168 // hours
	maxHeat = 3   // pictures of single users beside the one of all
)

// heat is the picture of a week by the hour: shades are what is usual, dots what was
// observed.
type heat struct {
	Title    string
	Note     string
	Cells    []cell
	Columns  []tick
	Rows     []tick
	Width    float64
	Height   float64
	Learned  bool // something is known to be usual
	Commands int
	Unusual  int // of them, at hours that are not usual for who ran them
}

type cell struct {
	X, Y, Size float64
	Level      int     // 0 to 4, how usual
	CX, CY, R  float64 // of the dot; R is 0 for none
	Class      string
	Hour       int
	Count      int
	Habit      int
	Title      string
}

// The measures of a heat map in the units of its viewBox.
const (
	cellSize = 13.0
	cellStep = 14.0
	rowsAt   = 16.0 // where the hours begin
	colsAt   = 34.0
)

// heats draws the week up to the newest command: of all users, and of those with the
// most commands in hours without a habit.
func heats(h *Host) (list []heat, from, to int64) {
	var newest int64
	for _, c := range h.Commands {
		if sane(c.Time) {
			newest = max(newest, c.Time)
		}
	}
	if newest == 0 {
		return nil, 0, 0
	}
	to = (newest/3600 + 1) * 3600
	from = to - week*3600
	of, learned := habits(h, from, to)
	all := drawHeat("All users", h, of, learned, "", from, to)
	list = append(list, all)
	var users []heat
	seen := map[string]bool{}
	for _, c := range h.Commands {
		if c.Time < from || c.Time >= to || seen[c.Username] {
			continue
		}
		if seen[c.Username] = true; len(seen) > 1000 {
			break
		}
		users = append(users, drawHeat(shown(cmp.Or(c.Username, "unknown user"), maxWord), h, of, learned, c.Username, from, to))
	}
	if len(users) < 2 {
		return list, from, to
	}
	slices.SortStableFunc(users, func(a, b heat) int {
		return cmp.Or(cmp.Compare(b.Unusual, a.Unusual), cmp.Compare(b.Commands, a.Commands), strings.Compare(a.Title, b.Title))
	})
	return append(list, users[:min(len(users), maxHeat)]...), from, to
}

// key is what a baseline is of.
type key struct{ user, family string }

// habits are how usual each hour of the week is for each user, without the commands
// between from and to: what is judged is no habit yet.
func habits(h *Host, from, to int64) (of map[string]*[week]int, learned bool) {
	now := map[key]*[week]int{}
	for _, c := range h.Commands {
		if c.Time < from || c.Time >= to {
			continue
		}
		k := key{c.Username, c.Family}
		if now[k] == nil {
			now[k] = &[week]int{}
		}
		now[k][baseline.HourOfWeek(c.Time)]++
	}
	of = map[string]*[week]int{}
	for i := range h.Baselines {
		b := &h.Baselines[i]
		learned = learned || b.Learned
		if of[b.Username] == nil {
			of[b.Username] = &[week]int{}
		}
		for hour, n := range b.Hours {
			if own := now[key{b.Username, b.Family}]; own != nil {
				n -= own[hour]
			}
			of[b.Username][hour] += max(0, n)
		}
	}
	for user, hours := range of {
		if own := now[key{user, ""}]; own != nil { // rows of the table don't tell the family
			for hour := range hours {
				hours[hour] = max(0, hours[hour]-own[hour])
			}
		}
	}
	return of, learned
}

// usual reports a habit in about that hour, two either way, on a day of the same kind:
// a weekday or one of the weekend.
func usual(habit *[week]int, hour int) bool {
	if habit == nil {
		return false
	}
	for d := range 7 {
		if (d >= 5) != (hour/24 >= 5) {
			continue
		}
		for away := -2; away <= 2; away++ {
			if habit[d*24+(hour%24+away+24)%24] > 0 {
				return true
			}
		}
	}
	return false
}

// drawHeat draws the commands of one user, or of all when it is empty. Each command is
// held against the habits of its own user.
func drawHeat(title string, h *Host, of map[string]*[week]int, learned bool, user string, from, to int64) heat {
	var observed, odd, habit [week]int
	out := heat{Title: title, Width: colsAt + 24*cellStep + 2, Height: rowsAt + 7*cellStep + 2, Learned: learned}
	for _, c := range h.Commands {
		if c.Time < from || c.Time >= to || user != "" && c.Username != user {
			continue
		}
		hour := baseline.HourOfWeek(c.Time)
		observed[hour]++
		out.Commands++
		if learned && !usual(of[c.Username], hour) {
			odd[hour]++
			out.Unusual++
		}
	}
	for name, hours := range of {
		if user != "" && name != user {
			continue
		}
		for hour, n := range hours {
			habit[hour] += n
		}
	}
	for hour := range week {
		day, col := hour/24, hour%24
		c := cell{
			X: colsAt + float64(col)*cellStep, Y: rowsAt + float64(day)*cellStep, Size: cellSize, Hour: hour, Count: observed[hour], Habit: habit[hour],
			Level: level(habit[hour]), Title: fmt.Sprintf("%s %02d:00 UTC: %s", days()[day], col, many(observed[hour], "command", "commands")),
		}
		c.CX, c.CY = c.X+cellSize/2, c.Y+cellSize/2
		if n := observed[hour]; n > 0 {
			c.R = math.Min(cellSize/2-0.5, 2.2+1.3*math.Log2(float64(n)))
			c.Class = "seen"
			if odd[hour] > 0 {
				c.Class = "odd"
				c.Title += fmt.Sprintf(", %d outside the habits of who ran them", odd[hour])
			}
		}
		out.Cells = append(out.Cells, c)
	}
	for col := 0; col < 24; col += 3 {
		out.Columns = append(out.Columns, tick{X: colsAt + float64(col)*cellStep + cellSize/2, Y: rowsAt - 5, Text: fmt.Sprintf("%02d", col)})
	}
	for day, name := range days() {
		out.Rows = append(out.Rows, tick{X: colsAt - 6, Y: rowsAt + float64(day)*cellStep + 10, Text: name})
	}
	switch {
	case !out.Learned:
		out.Note = many(out.Commands, "command", "commands") + "; what is usual is not known yet"
	case out.Unusual == 0:
		out.Note = many(out.Commands, "command", "commands") + ", all at usual hours"
	default:
		out.Note = fmt.Sprintf("%s, %d at unusual hours", many(out.Commands, "command", "commands"), out.Unusual)
	}
	return out
}

func days() []string { return []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} }

func level(n int) int {
	switch {
	case n == 0:
		return 0
	case n < 3:
		return 1
	case n < 6:
		return 2
	case n < 11:
		return 3
	}
	return 4
}
