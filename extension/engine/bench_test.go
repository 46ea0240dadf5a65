package engine_test

import (
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// BenchmarkJudge is the whole way of one command line, from text to verdict.
func BenchmarkJudge(b *testing.B) {
	set, err := rule.Embedded()
	if err != nil {
		b.Fatal(err)
	}
	j := &engine.Judge{Rules: set, Weights: score.DefaultWeights()}
	now := time.Now()
	for _, c := range []struct {
		name string
		p    evidence.Process
	}{
		{"benign_linux", evidence.Process{Platform: evidence.Linux, Path: "/usr/bin/gcc", ArgsJoined: true, CmdLine: "/usr/bin/gcc -O2 -Wall -Wextra -g -fstack-protector-strong -I/usr/include/glib-2.0 -I. -c -o build/obj/module_parser.o src/module_parser.c"}},
		{"benign_linux_shell", evidence.Process{Platform: evidence.Linux, Path: "/bin/sh", ArgsJoined: true, CmdLine: "/bin/sh -c [ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi"}},
		{"benign_windows", evidence.Process{Platform: evidence.Windows, Path: `C:\Program Files\Google\Chrome\Application\chrome.exe`, CmdLine: `"C:\Program Files\Google\Chrome\Application\chrome.exe" --type=renderer --lang=en-US --device-scale-factor=1 --num-raster-threads=4`}},
		{"match_linux", evidence.Process{Platform: evidence.Linux, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units --type=service --all"}},
		{"match_cmd_obfuscated", evidence.Process{Platform: evidence.Windows, Path: `C:\Windows\System32\cmd.exe`, CmdLine: `cmd.exe /c "s^c  q^uery state= all | find "RUNNING""`}},
		{"match_powershell_encoded", evidence.Process{Platform: evidence.Windows, Path: `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, CmdLine: "powershell.exe -nop -w hidden -enc RwBlAHQALQBTAGUAcgB2AGkAYwBlAA=="}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.p.CmdLine)))
			for b.Loop() {
				p := c.p
				j.Judge(&p, nil, now)
			}
		})
	}
}
