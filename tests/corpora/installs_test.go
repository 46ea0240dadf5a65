package corpora

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
)

// installRow is one recorded event 7045 or 4697.
type installRow struct {
	ID          string `json:"id"`
	ServiceName string `json:"ServiceName"`
	ImagePath   string `json:"ImagePath"`
	ServiceType string `json:"ServiceType"`
	StartType   string `json:"StartType"`
	AccountName string `json:"AccountName"`
	Installer   string `json:"installer"`
}

func judgeInstall(r installRow) score.Verdict {
	t := service.ParseType(r.ServiceType)
	return score.Install(service.Features(service.Install{
		Kind: service.KindOf(t, r.ServiceName, r.ImagePath), Name: r.ServiceName, ImagePath: r.ImagePath, Type: t,
		Start: service.ParseStart(r.StartType), Account: r.AccountName, Installer: r.Installer,
	}), nil, score.DefaultWeights())
}

// TestInstalls prints how recorded installs score, by label and severity, and
// fails where a bar is missed.
func TestInstalls(t *testing.T) {
	dir := folder(t)
	severities := []string{"informational", "low", "medium", "high", "critical"}
	fmt.Printf("\n%-12s %6s", "installs", "rows")
	for _, s := range severities {
		fmt.Printf(" %14s", s)
	}
	fmt.Println()
	for _, c := range []struct {
		label string
		rows  int
		// at least or at most so many rows may score that much.
		atLeast, atMost map[int]int
		quiet           int // a row below is shown (malicious, dual use)
		loud            int // a row at or above is shown (benign)
	}{
		{label: "malicious", rows: 22, atLeast: map[int]int{60: 18, 40: 20}, quiet: 60, loud: 101},
		{label: "dual_use", rows: 30, atLeast: map[int]int{20: 30}, quiet: 20, loud: 101},
		{label: "benign", rows: 112, atMost: map[int]int{60: 0, 40: 1}, loud: 20},
	} {
		all := read[installRow](t, filepath.Join(dir, "installs_"+c.label+".jsonl"))
		if len(all) < c.rows {
			t.Errorf("%s: %d rows, %d expected", c.label, len(all), c.rows)
		}
		counts := map[string]int{}
		reached := map[int]int{}
		for _, r := range all {
			v := judgeInstall(r)
			counts[v.Severity]++
			for _, at := range []int{20, 40, 60, 80} {
				if v.Score >= at {
					reached[at]++
				}
			}
			if v.Score < c.quiet || v.Score >= c.loud {
				t.Logf("%s %s is %d (%s): %s: %.120s\n%s", c.label, r.ID, v.Score, v.Severity, r.ServiceName, r.ImagePath, v.Explain())
			}
		}
		fmt.Printf("%-12s %6d", c.label, len(all))
		for _, s := range severities {
			fmt.Printf(" %14d", counts[s])
		}
		fmt.Println()
		for at, n := range c.atLeast {
			if reached[at] < n {
				t.Errorf("%s: %d of %d reach %d, at least %d must", c.label, reached[at], len(all), at, n)
			}
		}
		for at, n := range c.atMost {
			if reached[at] > n {
				t.Errorf("%s: %d of %d reach %d, at most %d may", c.label, reached[at], len(all), at, n)
			}
		}
	}
	fmt.Println()
}
