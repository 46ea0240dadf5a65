package score_test

import (
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

func f(names ...string) []score.Factor {
	var out []score.Factor
	for _, n := range names {
		out = append(out, score.Factor{Name: n, Evidence: "x"})
	}
	return out
}

func TestSum(t *testing.T) {
	w := score.DefaultWeights()
	for _, c := range []struct {
		name     string
		level    sigma.Level
		factors  []score.Factor
		score    int
		severity string
	}{
		{"informational alone", sigma.Informational, nil, 5, "informational"},
		{"low alone", sigma.Low, nil, 25, "low"},
		{"medium alone", sigma.Medium, nil, 45, "medium"},
		{"high alone", sigma.High, nil, 70, "high"},
		{"critical alone", sigma.Critical, nil, 90, "critical"},
		{"elevated stays low", sigma.Low, f("elevated"), 29, "low"},
		{"evasion makes medium or more", sigma.Low, f("obfuscated"), 62, "high"},
		{"one family counts once, the rest a third", sigma.Low, f("obfuscated", "encoded"), 77, "high"},
		{"two families add", sigma.Low, f("output_to_file", "remote_target"), 65, "high"},
		{"attribution lowers", sigma.Low, f("attribution"), 4, "informational"},
		{"attribution never below evasion", sigma.Low, f("obfuscated", "attribution"), 62, "high"},
		{"attribution lowers what context added", sigma.Low, f("obfuscated", "remote_target", "attribution"), 62, "high"},
		{"unknown factors weigh nothing", sigma.Low, f("nonsense"), 25, "low"},
	} {
		v := score.Sum(c.level, "rule", c.factors, w)
		if v.Score != c.score || v.Severity != c.severity {
			t.Errorf("%s: %d %s, want %d %s: %+v", c.name, v.Score, v.Severity, c.score, c.severity, v.Reasons)
		}
		if v.Reasons[0].Factor != "rule_level" {
			t.Errorf("%s: the first reason is %s", c.name, v.Reasons[0].Factor)
		}
	}
	w["obfuscated"] = 0
	if v := score.Sum(sigma.Low, "rule", f("obfuscated"), w); v.Score != 25 {
		t.Errorf("a weight of 0 leaves %d", v.Score)
	}
}

func TestBands(t *testing.T) {
	for n, want := range map[int]string{0: "informational", 19: "informational", 20: "low", 39: "low", 40: "medium", 59: "medium", 60: "high", 79: "high", 80: "critical", 100: "critical"} {
		if got := score.Severity(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestSuspiciousAncestor(t *testing.T) {
	for path, want := range map[string]string{
		`C:\Windows\System32\inetsrv\w3wp.exe`: "web", "/usr/sbin/nginx": "web", "/usr/sbin/php-fpm8.2": "web", "/usr/sbin/mysqld": "database",
		`C:\Program Files\Microsoft Office\root\Office16\WINWORD.EXE`: "office", "/usr/lib/firefox/firefox": "browser", `C:\x\OUTLOOK.EXE`: "mail",
		"/usr/bin/bash": "", `C:\Windows\explorer.exe`: "", "": "", "/opt/nginx-tools/run": "",
	} {
		if got, _ := score.SuspiciousAncestor(&evidence.Process{ParentPath: path}); got != want {
			t.Errorf("parent %s is %q, want %q", path, got, want)
		}
	}
	p := &evidence.Process{ParentPath: "/bin/sh", Ancestry: []evidence.Ancestor{{Path: "/bin/sh"}, {Path: "/usr/sbin/apache2"}}}
	if got, name := score.SuspiciousAncestor(p); got != "web" || name != "/usr/sbin/apache2" {
		t.Errorf("grandparent: %s %s", got, name)
	}
}

func TestElevatedUnauthorised(t *testing.T) {
	chain := func(paths ...string) []evidence.Ancestor {
		var out []evidence.Ancestor
		for i, p := range paths {
			out = append(out, evidence.Ancestor{PID: int64(len(paths) - i), Path: p})
		}
		return out
	}
	for _, c := range []struct {
		name string
		p    evidence.Process
		want string
	}{
		{"exploit", evidence.Process{UID: "0", LoginUID: "1000", Elevated: evidence.Yes, Ancestry: chain("/tmp/x", "/usr/lib/systemd/systemd")}, "elevated_unauthorised"},
		{"sudo", evidence.Process{UID: "0", LoginUID: "1000", Elevated: evidence.Yes, Ancestry: chain("/usr/bin/sudo", "/usr/lib/systemd/systemd")}, "elevated"},
		{"root's own login", evidence.Process{UID: "0", LoginUID: "0", Elevated: evidence.Yes, Ancestry: chain("/bin/bash", "/sbin/init")}, "elevated"},
		{"chain is cut", evidence.Process{UID: "0", LoginUID: "1000", Elevated: evidence.Yes, Ancestry: []evidence.Ancestor{{PID: 77, Path: "/bin/sh"}}}, "elevated"},
		{"user", evidence.Process{UID: "1000", LoginUID: "1000", Elevated: evidence.No}, ""},
	} {
		got := ""
		for _, x := range score.CommandFactors(&c.p, nil, 1) {
			got = x.Name
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestUnlisted: an elevated token counts for more only where its user is known to be in no
// group that could give it.
func TestUnlisted(t *testing.T) {
	token := evidence.Process{Platform: evidence.Windows, Username: `WS-7\kim`, Elevated: evidence.Yes}
	level := evidence.Process{Platform: evidence.Windows, Username: `WS-7\kim`, IntegrityLevel: "High"}
	linux := evidence.Process{Platform: evidence.Linux, Username: "root", UID: "0", Elevated: evidence.Yes}
	plain := evidence.Process{Platform: evidence.Windows, Username: `WS-7\kim`, Elevated: evidence.No}
	for _, c := range []struct {
		name string
		p    evidence.Process
		is   evidence.Tristate
		want string
	}{
		{"in no such group", token, evidence.No, "elevated_unauthorised"},
		{"an administrator", token, evidence.Yes, "elevated"},
		{"nobody knows", token, evidence.Unknown, "elevated"},
		{"no token is known", level, evidence.No, "elevated"},
		{"Linux has other ways", linux, evidence.No, "elevated"},
		{"not elevated", plain, evidence.No, ""},
	} {
		got := ""
		for _, x := range score.Unlisted(score.CommandFactors(&c.p, nil, 1), &c.p, c.is) {
			got = x.Name
			if x.Evidence == "" {
				t.Errorf("%s: no evidence", c.name)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestEveryFactorIsDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range score.Definitions() {
		if d.Name == "" || d.Meaning == "" || d.Default == 0 || d.Family == "" || seen[d.Name] {
			t.Errorf("factor %+v", d)
		}
		seen[d.Name] = true
	}
}
