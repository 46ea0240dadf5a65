package score_test

import (
	"math"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// TestEveryFamily adds all factors of each family: the strongest counts in full, each
// other at a third, whatever the order they come in.
func TestEveryFamily(t *testing.T) {
	w := score.DefaultWeights()
	byFamily := map[score.Family][]string{}
	for _, d := range score.Definitions() {
		byFamily[d.Family] = append(byFamily[d.Family], d.Name)
	}
	for family, names := range byFamily {
		strongest, sum := 0.0, 0.0
		for _, n := range names {
			sum += w[n]
			if math.Abs(w[n]) > math.Abs(strongest) {
				strongest = w[n]
			}
		}
		want := strongest + (sum-strongest)/3
		backwards := make([]string, 0, len(names))
		for i := len(names) - 1; i >= 0; i-- {
			backwards = append(backwards, names[i])
		}
		for _, order := range [][]string{names, backwards} {
			got := 0.0
			v := score.Sum(sigma.Low, "rule", f(order...), w)
			for _, r := range v.Reasons[1:] {
				got += r.Weight
			}
			if math.Abs(got-want) > 0.01*float64(len(names)) {
				t.Errorf("%s: %v adds up to %.2f, want %.2f", family, order, got, want)
			}
		}
	}
}

// TestReasonsAreInOrder: the prior first, then by weight as it counted.
func TestReasonsAreInOrder(t *testing.T) {
	v := score.Sum(sigma.Low, "the rule", f("elevated", "obfuscated", "volume_anomaly", "encoded", "attribution", "first_seen", "remote_target"), score.DefaultWeights())
	if v.Reasons[0].Factor != "rule_level" || v.Reasons[0].Evidence != "the rule" {
		t.Errorf("first reason %+v", v.Reasons[0])
	}
	last := math.Inf(1)
	for _, r := range v.Reasons[1:] {
		if a := math.Abs(r.Weight); a > last {
			t.Errorf("%s with %.2f comes after %.2f: %+v", r.Factor, r.Weight, last, v.Reasons)
		} else {
			last = a
		}
	}
	text := v.Explain()
	for _, want := range []string{"rule_level", "the rule", "encoded", v.Severity} {
		if !strings.Contains(text, want) {
			t.Errorf("the explanation lacks %q:\n%s", want, text)
		}
	}
}

// TestSumIsMonotone: one more raising factor never lowers a score, and attribution
// never raises one nor goes below what evasion alone gives.
func TestSumIsMonotone(t *testing.T) {
	w := score.DefaultWeights()
	var raising, evasion []string
	for _, d := range score.Definitions() {
		if d.Default > 0 {
			raising = append(raising, d.Name)
		}
		if d.Family == score.Evasion {
			evasion = append(evasion, d.Name)
		}
	}
	for _, level := range []sigma.Level{sigma.Informational, sigma.Low, sigma.Medium, sigma.High, sigma.Critical, ""} {
		last := score.Sum(level, "", nil, w).Score
		for i := range raising {
			n := score.Sum(level, "", f(raising[:i+1]...), w).Score
			if n < last || n > 100 {
				t.Errorf("%s: %v gives %d after %d", level, raising[:i+1], n, last)
			}
			last = n
			lowered := score.Sum(level, "", append(f(raising[:i+1]...), f("attribution")...), w).Score
			if lowered > n || lowered < 0 {
				t.Errorf("%s: attribution takes %v from %d to %d", level, raising[:i+1], n, lowered)
			}
		}
		for i := range evasion {
			alone := score.Sum(level, "", f(evasion[:i+1]...), w).Score
			if n := score.Sum(level, "", append(f(evasion[:i+1]...), f("attribution", "web_ancestor")...), w).Score; n < alone {
				t.Errorf("%s: %v alone is %d, attributed under a web server %d", level, evasion[:i+1], alone, n)
			}
		}
	}
}

func TestScaleAndOverrides(t *testing.T) {
	w := score.DefaultWeights()
	half := score.Sum(sigma.Low, "", []score.Factor{{Name: "obfuscated", Scale: 0.5}}, w)
	if got := half.Reasons[1].Weight; math.Abs(got-w["obfuscated"]/2) > 0.01 {
		t.Errorf("half of %.2f is %.2f", w["obfuscated"], got)
	}
	w["elevated"] = -1 // a site where everybody is root
	if v := score.Sum(sigma.Low, "", f("elevated"), w); v.Score >= 25 {
		t.Errorf("a lowering override gives %d", v.Score)
	}
	w["volume_anomaly"] = 10
	if v := score.Sum(sigma.Low, "", f("volume_anomaly"), w); v.Score != 100 || v.Severity != "critical" {
		t.Errorf("a raising override gives %d %s", v.Score, v.Severity)
	}
	if v := score.Sum(sigma.Low, "", f("obfuscated"), nil); v.Score != 25 {
		t.Errorf("without weights %d", v.Score)
	}
}

// TestPriors are the levels' own scores: a bare listing is low, nothing more.
func TestPriors(t *testing.T) {
	for level, want := range map[sigma.Level]float64{sigma.Informational: 0.05, sigma.Low: 0.25, sigma.Medium: 0.45, sigma.High: 0.70, sigma.Critical: 0.90, "": 0.45} {
		if got := score.PriorOf(level); got != want {
			t.Errorf("level %q starts at %v, want %v", level, got, want)
		}
		if got := score.Sum(level, "", nil, nil).Score; got != int(math.Round(100*want)) {
			t.Errorf("level %q alone scores %d", level, got)
		}
	}
}

// TestCommandFactors: each fact of a command gives its factor, and only it.
func TestCommandFactors(t *testing.T) {
	for _, c := range []struct {
		name     string
		p        evidence.Process
		cmd      cmdline.Command
		families int
		want     string
	}{
		{"nothing", evidence.Process{}, cmdline.Command{}, 1, ""},
		{"caret", evidence.Process{}, cmdline.Command{Obfuscation: []dialect.Mark{dialect.Caret}}, 1, "obfuscated"},
		{"encoded", evidence.Process{}, cmdline.Command{Obfuscation: []dialect.Mark{dialect.Encoded}}, 1, "encoded"},
		{"a string run as code", evidence.Process{}, cmdline.Command{Obfuscation: []dialect.Mark{dialect.InvokeString}}, 1, "obfuscated"},
		{"encoded and run as code is one", evidence.Process{}, cmdline.Command{Obfuscation: []dialect.Mark{dialect.Encoded, dialect.InvokeString}}, 1, "encoded"},
		{"renamed", evidence.Process{}, cmdline.Command{Renamed: true, Tool: "sc"}, 1, "renamed_binary"},
		{"hidden window", evidence.Process{}, cmdline.Command{HiddenWindow: true}, 1, "hidden_window"},
		{"output", evidence.Process{}, cmdline.Command{OutputFile: "x.txt"}, 1, "output_to_file"},
		{"remote target", evidence.Process{}, cmdline.Command{RemoteHost: "dc01"}, 1, "remote_target"},
		{"psexec", evidence.Process{}, cmdline.Command{Wrappers: []string{"cmd", "psexec"}}, 1, "remote_execution"},
		{"child of WMI", evidence.Process{ParentPath: `C:\Windows\System32\wbem\WmiPrvSE.exe`}, cmdline.Command{}, 1, "remote_execution"},
		{"parent with that ending", evidence.Process{ParentPath: `C:\x\notwmiprvse.exe`}, cmdline.Command{}, 1, ""},
		{"office", evidence.Process{ParentPath: `C:\x\WINWORD.EXE`}, cmdline.Command{}, 1, "office_ancestor"},
		{"script host", evidence.Process{ParentPath: `C:\x\mshta.exe`}, cmdline.Command{}, 1, "script_host_ancestor"},
		{"deleted image", evidence.Process{ParentPath: "/usr/sbin/nginx (deleted)"}, cmdline.Command{}, 1, "web_ancestor"},
		{"elevated", evidence.Process{Elevated: evidence.Yes}, cmdline.Command{}, 1, "elevated"},
		{"system by integrity", evidence.Process{IntegrityLevel: "System"}, cmdline.Command{}, 1, "elevated"},
		{"root by name", evidence.Process{Username: "root"}, cmdline.Command{}, 1, "elevated"},
		{"known not to be", evidence.Process{Username: "root", Elevated: evidence.No}, cmdline.Command{}, 1, ""},
		{"two families", evidence.Process{}, cmdline.Command{}, 2, "several_families"},
	} {
		var got []string
		for _, x := range score.CommandFactors(&c.p, []cmdline.Command{c.cmd}, c.families) {
			got = append(got, x.Name)
			if x.Evidence == "" {
				t.Errorf("%s: %s has no evidence", c.name, x.Name)
			}
		}
		if strings.Join(got, ",") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

// TestEveryFactorHasAWeight: no factor is produced that weighs nothing for want of a
// definition.
func TestEveryFactorHasAWeight(t *testing.T) {
	w := score.DefaultWeights()
	all := cmdline.Command{Renamed: true, HiddenWindow: true, OutputFile: "x", RemoteHost: "h", Wrappers: []string{"psexec"},
		Obfuscation: []dialect.Mark{dialect.Encoded, dialect.Caret}}
	for _, parent := range []string{"/usr/sbin/nginx", "/usr/sbin/mysqld", `C:\WINWORD.EXE`, "/usr/lib/firefox/firefox", `C:\outlook.exe`, `C:\mshta.exe`} {
		for _, x := range score.CommandFactors(&evidence.Process{ParentPath: parent, UID: "0"}, []cmdline.Command{all}, 3) {
			if w[x.Name] == 0 {
				t.Errorf("%s has no weight", x.Name)
			}
		}
	}
}

// TestUnauthorisedNeedsAWholeChain: an unset login or a chain whose end is not known
// says nothing.
func TestUnauthorisedNeedsAWholeChain(t *testing.T) {
	chain := []evidence.Ancestor{{PID: 50, Path: "/tmp/x"}, {PID: 1, Path: "/sbin/init"}}
	for _, c := range []struct {
		name  string
		login string
		chain []evidence.Ancestor
		want  bool
	}{
		{"exploit", "1000", chain, true},
		{"a daemon: nobody logged in", "4294967295", chain, false},
		{"the same, signed", "-1", chain, false},
		{"unknown", "", chain, false},
		{"root", "0", chain, false},
		{"end unknown", "1000", []evidence.Ancestor{{PID: 50, Path: "/tmp/x"}, {Path: "/bin/sh"}}, false},
		{"no chain", "1000", nil, false},
		{"a link without a name", "1000", []evidence.Ancestor{{PID: 50}, {PID: 1, Path: "/sbin/init"}}, false},
		{"cron", "1000", []evidence.Ancestor{{PID: 9, Path: "/usr/sbin/cron"}, {PID: 1, Path: "/sbin/init"}}, false},
	} {
		p := evidence.Process{UID: "0", LoginUID: c.login, LoginUser: "al", Elevated: evidence.Yes, Ancestry: c.chain}
		got := false
		for _, x := range score.CommandFactors(&p, nil, 1) {
			got = got || x.Name == "elevated_unauthorised"
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
