package cmdline_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

var platforms = []evidence.Platform{evidence.Windows, evidence.Linux, evidence.Darwin, ""}

// hostile are texts of about n bytes that nobody types.
var hostile = map[string]func(n int) string{
	"one long word":        func(n int) string { return "systemctl " + strings.Repeat("x", n) },
	"separators":           func(n int) string { return strings.Repeat(";", n) },
	"commands":             func(n int) string { return strings.Repeat("ls;", n/3) },
	"pipes":                func(n int) string { return strings.Repeat("a|", n/2) },
	"nested sh -c":         func(n int) string { return strings.Repeat("sh -c '", n/7) + "ls" },
	"nested sudo":          func(n int) string { return strings.Repeat("sudo ", n/5) + "ls" },
	"nested cmd":           func(n int) string { return strings.Repeat("cmd /c ", n/7) + "sc query" },
	"nested powershell":    func(n int) string { return strings.Repeat("powershell -c ", n/14) + "gsv" },
	"nested psexec":        func(n int) string { return strings.Repeat(`psexec \\h `, n/11) + "sc query" },
	"nested find":          func(n int) string { return strings.Repeat("find / -exec ", n/13) + "ls ;" },
	"nested script file":   func(n int) string { return "echo sh x > x; " + strings.Repeat("sh x;", n/5) },
	"remote blocks":        func(n int) string { return "powershell -c " + strings.Repeat("icm -cn h {gsv};", n/16) },
	"script blocks":        func(n int) string { return "powershell -c " + strings.Repeat("{(", n/2) },
	"carets":               func(n int) string { return strings.Repeat("^", n) },
	"percents":             func(n int) string { return strings.Repeat("%a%", n/3) },
	"parentheses":          func(n int) string { return strings.Repeat("(", n) },
	"quotes":               func(n int) string { return strings.Repeat(`"'`, n/2) },
	"quoted words":         func(n int) string { return "bash -c " + strings.Repeat("' ", n/2) },
	"NULs":                 func(n int) string { return "systemctl\x00list-units\x00" + strings.Repeat("\x00", n) },
	"invalid UTF-8":        func(n int) string { return "systemctl \xff\xfe" + strings.Repeat("\xc3", n) },
	"registry keys":        func(n int) string { return "reg query " + strings.Repeat(`\`, n) },
	"where clauses":        func(n int) string { return "wmic service where " + strings.Repeat("name ", n/5) },
	"mshta":                func(n int) string { return "mshta wscript.shell" + strings.Repeat(".run", n/4) },
	"variables":            func(n int) string { return strings.Repeat("a=$a$a;", n/7) + "$a" },
	"substitutions":        func(n int) string { return strings.Repeat("$(", n/2) },
	"here-documents":       func(n int) string { return strings.Repeat("sh <<a\n", n/7) },
	"directory after next": func(n int) string { return strings.Repeat("cd a;", n/5) + "ls" },
}

func check(t *testing.T, text string, res cmdline.Result) {
	t.Helper()
	if len(res.Commands) > cmdline.MaxCommands {
		t.Errorf("%d commands", len(res.Commands))
	}
	for _, c := range res.Commands {
		switch {
		case c.Depth > cmdline.MaxDepth+1:
			t.Errorf("depth %d", c.Depth)
		case c.Tool != "" && !strings.HasPrefix(c.Canonical, c.Tool):
			t.Errorf("canonical %q of tool %q", c.Canonical, c.Tool)
		case len(c.Canonical) > len(c.Tool)+32<<10:
			t.Errorf("canonical of %d bytes", len(c.Canonical))
		case utf8.ValidString(text) && !utf8.ValidString(c.Canonical) && utf8.ValidString(strings.Join(c.Arguments, "")):
			t.Errorf("canonical %q is no UTF-8", c.Canonical)
		}
	}
}

func TestBounds(t *testing.T) {
	size := 1 << 20
	if testing.Short() {
		size = 32 << 10 // the race detector slows everything tenfold
	}
	for name, make := range hostile {
		for _, p := range platforms {
			text := make(size)
			begin := cputime.Start()
			res := cmdline.Parse(cmdline.Input{Text: text, Platform: p})
			took := begin.Took()
			for try := 0; try < 3 && took > 2*time.Second; try++ { // others share the machine
				took = min(took, fastest(text, p))
			}
			if took > 2*time.Second && !testing.Short() {
				t.Errorf("%s on %q took %v", name, p, took)
			}
			check(t, text, res)
		}
	}
	for text, issue := range map[string]string{
		strings.Repeat("a", 300<<10):                 "cut at 256 KiB",
		strings.Repeat("sudo ", 40) + "ls":           "nested more than 16 deep",
		strings.Repeat("ls;", cmdline.MaxCommands+1): "more than 2048 commands",
	} {
		if res := cmdline.Parse(linux(text)); !strings.Contains(strings.Join(res.Issues, "; "), issue) {
			t.Errorf("%.20q...: issues %q, want %q", text, res.Issues, issue)
		}
	}
}

// TestTwiceTheTextTakesTwiceTheTime looks for what grows faster than its input.
func TestTwiceTheTextTakesTwiceTheTime(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: times mean nothing under the race detector")
	}
	for name, make := range hostile {
		for _, p := range platforms[:2] {
			const n = 60 << 10
			once, twice := fastest(make(n), p), fastest(make(2*n), p)
			// Who shares the machine makes either slow: what grows too fast does so every
			// time.
			for try := 0; try < 5 && twice > 4*once+20*time.Millisecond; try++ {
				once, twice = max(once, fastest(make(n), p)), min(twice, fastest(make(2*n), p))
			}
			if twice > 4*once+20*time.Millisecond {
				t.Errorf("%s on %q: %v for %d bytes, %v for twice that", name, p, once, n, twice)
			}
		}
	}
}

func fastest(text string, p evidence.Platform) time.Duration {
	best := time.Hour
	for range 3 {
		begin := cputime.Start()
		cmdline.Parse(cmdline.Input{Text: text, Platform: p})
		best = min(best, begin.Took())
	}
	return best
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"sc query", `cmd /c "s^c query | find "x" > y"`, "sudo sh -c 'systemctl'", "powershell -enc RwBlAHQALQBTAGUAcgB2AGkAYwBlAA==", "ssh h 'ls /etc/init.d'",
		`wmic process call create "sc query"`, `psexec \\h -u a cmd /c for /f %a in ('sc query') do @echo %a`, "docker exec -it c sh -c 'f() { systemctl; }; f'", "echo ls > x; sh x",
		`powershell -c "icm -cn h { gsv | ? Name -like 'x' }"`, "su -c 'env A=b script -qc \"crontab -lu x\" /dev/null' root", "[Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('a')",
	} {
		for p := range platforms {
			f.Add(s, p, "", false)
			f.Add(s, p, "/usr/bin/bash", true)
		}
	}
	f.Add("a query", 0, `C:\x\sc.exe`, false)
	f.Fuzz(func(t *testing.T, text string, platform int, path string, joined bool) {
		in := cmdline.Input{Text: text, Platform: platforms[uint(platform)%uint(len(platforms))], Path: path, ArgsJoined: joined}
		begin := cputime.Start()
		check(t, text, cmdline.Parse(in))
		once := begin.Took()
		in.Text = text + " " + text
		begin = cputime.Start()
		check(t, in.Text, cmdline.Parse(in))
		// Only what is slow by far is told from noise.
		if twice := begin.Took(); twice > 8*once+200*time.Millisecond {
			if again := fastest(in.Text, in.Platform); again > 8*fastest(text, in.Platform)+200*time.Millisecond {
				t.Errorf("%d bytes took %v, twice that %v", len(text), once, again)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name string
		in   cmdline.Input
	}{
		{"benign_linux", cmdline.Input{Platform: evidence.Linux, Path: "/usr/bin/gcc", ArgsJoined: true, Text: "/usr/bin/gcc -O2 -Wall -Wextra -g -fstack-protector-strong -I/usr/include/glib-2.0 -I. -c -o build/obj/module_parser.o src/module_parser.c"}},
		{"benign_linux_shell", cmdline.Input{Platform: evidence.Linux, Path: "/bin/sh", ArgsJoined: true, Text: "/bin/sh -c [ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi; echo done with the sessions"}},
		{"benign_macos", cmdline.Input{Platform: evidence.Darwin, Path: "/usr/libexec/xpcproxy", Text: "/System/Library/Frameworks/CoreServices.framework/Frameworks/Metadata.framework/Versions/A/Support/mdworker_shared -s mdworker -c MDSImporterWorker"}},
		{"benign_windows", cmdline.Input{Platform: evidence.Windows, Path: `C:\Program Files\Google\Chrome\Application\chrome.exe`, Text: `"C:\Program Files\Google\Chrome\Application\chrome.exe" --type=renderer --lang=en-US --device-scale-factor=1 --num-raster-threads=4`}},
		{"benign_powershell", cmdline.Input{Platform: evidence.Windows, Path: `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, Text: `powershell.exe -NoProfile -Command "Get-ChildItem C:\Logs -Filter *.log | Where-Object { $_.LastWriteTime -lt (Get-Date).AddDays(-30) } | Remove-Item"`}},
		{"match_linux", cmdline.Input{Platform: evidence.Linux, Path: "/usr/bin/systemctl", Text: "systemctl list-units --type=service --all"}},
		{"match_cmd", cmdline.Input{Platform: evidence.Windows, Text: `cmd.exe /c "s^c  q^uery state= all | find "RUNNING""`}},
		{"match_encoded", cmdline.Input{Platform: evidence.Windows, Text: "powershell.exe -nop -w hidden -enc RwBlAHQALQBTAGUAcgB2AGkAYwBlAA=="}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.in.Text)))
			for b.Loop() {
				cmdline.Parse(c.in)
			}
		})
	}
}
