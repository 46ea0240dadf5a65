//go:build linux

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// rounds is how often a figure and its reference are measured, in turns: what else
// the machine does then falls on both.
const rounds = 7

// cost is what one operation takes.
type cost struct {
	cpu  time.Duration // of this process, its collector of garbage included
	wall time.Duration
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // of a test: nothing can be measured
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// timed runs op n times.
func timed(n int, op func()) cost {
	start, cpu := time.Now(), cpuTime()
	for range n {
		op()
	}
	return cost{cpu: (cpuTime() - cpu) / time.Duration(n), wall: time.Since(start) / time.Duration(n)}
}

// times returns how often op has to run for a round that a clock can measure.
func times(op func()) int {
	op()
	for n := 1; ; n *= 4 {
		if c := timed(n, op); c.cpu*time.Duration(n) > 5*time.Millisecond || n > 1<<24 {
			return max(1, int(25*time.Millisecond/max(c.cpu, 1)))
		}
	}
}

// series are the costs of one operation in all rounds.
type series struct {
	name string
	list []cost
}

// measure runs operations in turns.
func measure(names []string, ops ...func()) []series {
	out := make([]series, len(ops))
	n := make([]int, len(ops))
	for i, op := range ops {
		out[i].name = names[i]
		n[i] = times(op)
	}
	for range rounds {
		for i, op := range ops {
			out[i].list = append(out[i].list, timed(n[i], op))
		}
	}
	return out
}

func median[T float64 | time.Duration](list []T) T {
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// cpu and wall are medians.
func (s series) cpu() time.Duration {
	return s.of(func(c cost) time.Duration { return c.cpu })
}

func (s series) wall() time.Duration {
	return s.of(func(c cost) time.Duration { return c.wall })
}

func (s series) of(pick func(cost) time.Duration) time.Duration {
	var all []time.Duration
	for _, c := range s.list {
		all = append(all, pick(c))
	}
	return median(all)
}

// ratio is the median over the rounds of what s takes of what ref takes.
func (s series) ratio(ref series, pick func(cost) time.Duration) float64 {
	var all []float64
	for i := range s.list {
		all = append(all, float64(pick(s.list[i]))/float64(max(1, pick(ref.list[i]))))
	}
	return median(all)
}

func ofCPU(c cost) time.Duration  { return c.cpu }
func ofWall(c cost) time.Duration { return c.wall }

// result is a line of the table.
type result struct {
	what, figure, reference, ratio, budget string
	met                                    bool
	told                                   bool // there is no budget: it is only told
}

// results gathers the table, and the measurements in the form that benchstat reads.
type results struct {
	mu    sync.Mutex
	lines []result
	stat  strings.Builder
}

var budgets results

// add takes a line in and fails the test whose budget is missed.
func (r *results) add(t *testing.T, x result) {
	t.Helper()
	r.mu.Lock()
	r.lines = append(r.lines, x)
	r.mu.Unlock()
	t.Logf("%s: %s | reference %s | ratio %s | budget %s", x.what, x.figure, x.reference, x.ratio, x.budget)
	if !x.met && !x.told {
		t.Errorf("%s misses its budget: %s, ratio %s, budget %s", x.what, x.figure, x.ratio, x.budget)
	}
}

// add adds a line about a ratio that may be most.
func add(t *testing.T, what string, ours time.Duration, reference string, ratio, most float64) {
	t.Helper()
	budgets.add(t, result{what, short(ours), reference, ratioText(ratio), fmt.Sprintf("<= %.1fx", most), ratio <= most, false})
}

// keep takes measurements in for benchstat.
func (r *results) keep(list ...series) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range list {
		for _, c := range s.list {
			fmt.Fprintf(&r.stat, "Benchmark%s 1 %d ns/op %d cpu-ns/op\n", strings.ReplaceAll(s.name, " ", "_"), c.wall.Nanoseconds(), c.cpu.Nanoseconds())
		}
	}
}

// write prints the table and leaves both in the folder for builds.
func (r *results) write() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) == 0 {
		return nil
	}
	var markdown strings.Builder
	markdown.WriteString("| what | figure | reference | ratio | budget | met |\n| --- | --- | --- | --- | --- | --- |\n")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nwhat\tfigure\treference\tratio\tbudget\tmet\n")
	for _, x := range r.lines {
		met := "yes"
		switch {
		case x.told:
			met = ""
		case !x.met:
			met = "NO"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", x.what, x.figure, x.reference, x.ratio, x.budget, met)
		fmt.Fprintf(&markdown, "| %s | %s | %s | %s | %s | %s |\n", x.what, x.figure, x.reference, x.ratio, x.budget, met)
	}
	fmt.Fprintf(w, "\nload %s; medians of %d rounds in turns; processor time where it is not said otherwise\n", load(), rounds)
	if err := w.Flush(); err != nil {
		return err
	}
	dir := filepath.Join("..", "..", "build")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bench.md"), []byte(markdown.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "bench.txt"), []byte(r.stat.String()), 0o644)
}

// load is the machine's, as far as it tells.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	words := strings.Fields(string(text))
	return strings.Join(words[:min(3, len(words))], " ")
}

func TestMain(m *testing.M) {
	if os.Getenv(childOf) != "" {
		os.Exit(child())
	}
	code := m.Run()
	if err := budgets.write(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func short(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return fmt.Sprintf("%.2f µs", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func ratioText(x float64) string { return fmt.Sprintf("%.2fx", x) }
