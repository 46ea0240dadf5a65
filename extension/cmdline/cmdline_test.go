package cmdline_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func one(t *testing.T, in cmdline.Input) cmdline.Command {
	t.Helper()
	res := cmdline.Parse(in)
	if len(res.Commands) == 0 {
		t.Fatalf("%q runs nothing: %v", in.Text, res.Issues)
	}
	return res.Commands[len(res.Commands)-1]
}

func TestFacts(t *testing.T) {
	for _, c := range []struct {
		in                                  cmdline.Input
		tool, verb, target, remote, wrapped string
		user                                string
	}{
		{in: cmdline.Input{Text: `sc \\dc01 query Spooler`, Platform: evidence.Windows}, tool: "sc", verb: "query", target: "Spooler", remote: "dc01"},
		{in: cmdline.Input{Text: `wmic /node:"srv01" service get name`, Platform: evidence.Windows}, tool: "wmic", verb: "get", remote: "srv01"},
		{in: cmdline.Input{Text: `wmic /node:"127.0.0.1" service get name`, Platform: evidence.Windows}, tool: "wmic", verb: "get"},
		{in: cmdline.Input{Text: `a.exe query`, Path: `C:\Users\Public\a.exe`, OriginalFileName: "sc.exe", Platform: evidence.Windows}, tool: "sc", verb: "query"},
		{in: cmdline.Input{Text: `net1  start`, Path: `C:\Windows\System32\net1.exe`, OriginalFileName: "net1.exe", Platform: evidence.Windows}, tool: "net", verb: "start"},
		{in: cmdline.Input{Text: `psexec \\a -u x\y -p z cmd /c sc query`, Platform: evidence.Windows}, tool: "sc", verb: "query", remote: "a", wrapped: "psexec cmd", user: `x\y`},
		{in: cmdline.Input{Text: "sudo -u web sh -c 'systemctl -H root@db1 list-units'", Platform: evidence.Linux}, tool: "systemctl", verb: "list-units", remote: "db1", wrapped: "sudo sh", user: "root"},
		{in: cmdline.Input{Text: "bash -c systemctl list-units --all", Path: "/usr/bin/bash", ArgsJoined: true, Platform: evidence.Linux}, tool: "systemctl", verb: "list-units", wrapped: "bash"},
		{in: cmdline.Input{Text: "/bin/sh /usr/sbin/service ssh status", Path: "/usr/bin/dash", ArgsJoined: true, Platform: evidence.Linux}, tool: "service", verb: "status", target: "ssh", wrapped: "sh"},
		{in: cmdline.Input{Text: "ssh -p 22 al@web9 systemctl status nginx", Platform: evidence.Linux}, tool: "systemctl", verb: "status", target: "nginx", remote: "web9", wrapped: "ssh", user: "al"},
		{in: cmdline.Input{Text: "systemctl", Path: "/usr/bin/systemctl"}, tool: "systemctl", verb: "list-units"},
		{in: cmdline.Input{Text: "tasklist /svc"}, tool: "tasklist", verb: "svc"},
	} {
		got := one(t, c.in)
		if got.Tool != c.tool || got.Verb != c.verb || strings.Join(got.Target, ",") != c.target || got.RemoteHost != c.remote ||
			strings.Join(got.Wrappers, " ") != c.wrapped || got.AsUser != c.user {
			t.Errorf("%s: tool %q verb %q target %q remote %q wrappers %q user %q", c.in.Text, got.Tool, got.Verb, got.Target, got.RemoteHost, got.Wrappers, got.AsUser)
		}
	}
	if c := one(t, cmdline.Input{Text: "a.exe query", Path: `C:\a.exe`, OriginalFileName: "sc.exe", Platform: evidence.Windows}); !c.Renamed {
		t.Error("a copy of sc under another name is not noticed")
	}
	if c := one(t, cmdline.Input{Text: "ls -l", CWD: "/etc/init.d", Path: "/bin/ls", Platform: evidence.Linux}); len(c.Paths) != 1 || c.Paths[0] != "/etc/init.d" {
		t.Errorf("the working directory is what ls lists: %v", c.Paths)
	}
}

// TestBounds feeds what nobody types: it must end soon and return little.
func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"1 MiB":         "systemctl " + strings.Repeat("x", 1<<20),
		"separators":    strings.Repeat(";", 100_000),
		"commands":      strings.Repeat("ls;", 80_000),
		"nested shells": strings.Repeat("sh -c '", 200) + "ls",
		"nested sudo":   strings.Repeat("sudo ", 5_000) + "ls",
		"nested cmd":    strings.Repeat("cmd /c ", 5_000) + "sc query",
		"carets":        strings.Repeat("^", 200_000),
		"percents":      strings.Repeat("%a%", 60_000),
		"parentheses":   strings.Repeat("(", 200_000),
		"NULs":          "systemctl\x00list-units\x00" + strings.Repeat("\x00", 1000),
		"invalid UTF-8": "systemctl \xff\xfe" + strings.Repeat("\xc3", 1000),
		"powershell":    "powershell -c " + strings.Repeat("{(", 50_000),
	} {
		for _, p := range []evidence.Platform{evidence.Windows, evidence.Linux, ""} {
			begin := time.Now()
			res := cmdline.Parse(cmdline.Input{Text: text, Platform: p})
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("%s on %q took %v", name, p, took)
			}
			if len(res.Commands) > cmdline.MaxCommands {
				t.Errorf("%s on %q: %d commands", name, p, len(res.Commands))
			}
		}
	}
	if res := cmdline.Parse(cmdline.Input{Text: strings.Repeat("a", 300<<10), Platform: evidence.Linux}); len(res.Issues) == 0 {
		t.Error("a cut command line is not marked")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"sc query", `cmd /c "s^c query"`, "sudo sh -c 'systemctl'", "powershell -enc RwBlAHQALQBTAGUAcgB2AGkAYwBlAA==", "ssh h 'ls /etc/init.d'", "wmic process call create \"sc query\""} {
		for p := range 3 {
			f.Add(s, p, "")
		}
	}
	f.Fuzz(func(t *testing.T, text string, platform int, path string) {
		p := []evidence.Platform{evidence.Windows, evidence.Linux, evidence.Darwin}[uint(platform)%3]
		res := cmdline.Parse(cmdline.Input{Text: text, Platform: p, Path: path})
		if len(res.Commands) > cmdline.MaxCommands {
			t.Errorf("%d commands", len(res.Commands))
		}
		for _, c := range res.Commands {
			if c.Depth > cmdline.MaxDepth+1 || c.Tool != "" && c.Canonical == "" || utf8.ValidString(text) && len(c.Canonical) > 5<<20 {
				t.Errorf("command %+v", c)
			}
		}
	})
}
