package cmdline

import (
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

// TestSieve: what runs a wanted tool, or may hide one, passes; everyday command lines
// do not. That nothing is lost is tested beside the rules.
func TestSieve(t *testing.T) {
	wanted := []Wanted{
		{Tool: "sc"}, {Tool: "systemctl"}, {Tool: "service"}, {Tool: "w"},
		{Tool: "ls", Clues: []Clue{{Text: "init.d", Edge: true, Whole: true}, {Text: "rc", Edge: true}}},
		{Tool: "python", Place: AtStart, Clues: []Clue{{Text: "lse", Edge: true}}},
		{Tool: "scan", Place: Anywhere},
	}
	const linux, windows = evidence.Linux, evidence.Windows
	for _, c := range []struct {
		may  bool
		in   Input
		note string
	}{
		{true, Input{Platform: linux, Path: "/usr/bin/systemctl", Text: "systemctl status x", ArgsJoined: true}, "by name"},
		{true, Input{Platform: linux, Path: "/usr/bin/x", Text: "SYSTEMCTL status x", ArgsJoined: true}, "by its word alone"},
		{true, Input{Platform: linux, Path: "/usr/bin/systemctl", Text: "x status", ArgsJoined: true}, "by its image alone"},
		{true, Input{Platform: linux, Path: "/etc/init.d/ssh", Text: "/etc/init.d/ssh status", ArgsJoined: true}, "an init script"},
		{true, Input{Platform: linux, Path: "/usr/bin/portscanner", Text: "portscanner x", ArgsJoined: true}, "a part of the name"},
		{true, Input{Platform: linux, Path: "/bin/bash", Text: "-w", ArgsJoined: true}, "a login shell's dash"},
		{true, Input{Platform: linux, Path: "/usr/bin/sudo", Text: "sudo -u x nice systemctl", ArgsJoined: true}, "behind wrappers"},
		{true, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c s\\ystemctl", ArgsJoined: true}, "escaped"},
		{true, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c 'sys''temctl'"}, "quotes inside"},
		{true, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c a=sys; ${a}temctl", ArgsJoined: true}, "a variable inside"},
		{true, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c a=sys; $a\"temctl\"", ArgsJoined: true}, "a variable beside quotes"},
		{true, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c echo c3lz | base64 -d | sh", ArgsJoined: true}, "fed to a shell"},
		{true, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c sys@(x)temctl", ArgsJoined: true}, "a pattern inside"},
		{true, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c sys<(x)temctl", ArgsJoined: true}, "a substitution inside"},
		{true, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c /bin/sys?emctl", ArgsJoined: true}, "a pattern"},
		{true, Input{Platform: linux, Path: "/usr/bin/env", Text: "env -iSsystemctl", ArgsJoined: true}, "env's switch"},
		{true, Input{Platform: linux, Path: "/usr/bin/python3", Text: `python3 -c import os;os.system("sys"+"temctl")`, ArgsJoined: true}, "a script"},
		{true, Input{Platform: linux, Path: "/usr/bin/awk", Text: `awk BEGIN {"sys" "temctl" | getline}`, ArgsJoined: true}, "awk"},
		{true, Input{Platform: linux, Path: "/bin/ls", Text: "ls -l /etc/init.d", ArgsJoined: true}, "with its clue"},
		{true, Input{Platform: linux, Path: "/bin/ls", Text: "ls -l rc3.d", CWD: "/etc", ArgsJoined: true}, "with the start of its clue"},
		{true, Input{Platform: linux, Path: "/bin/ls", Text: "ls -l", CWD: "/etc/init.d", ArgsJoined: true}, "with its clue in the directory"},
		{true, Input{Platform: linux, Path: "/bin/ls", Text: "ls -l 'ini't.d"}, "with quotes in its clue"},
		{true, Input{Platform: linux, Text: "ls | sh"}, "typed"},
		{true, Input{Platform: windows, Path: `C:\a.exe`, OriginalFileName: "sc.exe", Text: "a query"}, "renamed"},
		{true, Input{Platform: windows, Path: `C:\a.exe`, OriginalFileName: "Cmd.Exe", Text: "a /csc"}, "renamed wrapper"},
		{true, Input{Platform: windows, Path: `C:\Windows\System32\cmd.exe`, Text: "cmd /c s^c query"}, "carets"},
		{true, Input{Platform: windows, Path: `C:\Windows\System32\cmd.exe`, Text: "cmd/csc query"}, "glued to the switch"},
		{true, Input{Platform: windows, Path: `C:\Windows\System32\cmd.exe`, Text: "cmd /c s>&1c query"}, "glued by a redirection"},
		{true, Input{Platform: windows, Path: `C:\Windows\System32\cmd.exe`, Text: `cmd /c s"c" query`}, "quotes inside"},
		{true, Input{Platform: windows, Path: `C:\Windows\System32\runas.exe`, Text: `runas /user:x sc\" query`}, "a quote behind a backslash"},
		{true, Input{Platform: windows, Path: `C:\x.exe`, Text: `[wmi]"x"`}, "a type"},
		{true, Input{Platform: windows, Path: `C:\Windows\System32\powershell.exe`, Text: "powershell -c x"}, "PowerShell"},
		{true, Input{Platform: windows, Text: "x y"}, "typed, perhaps in PowerShell"},
		{true, Input{Platform: linux, Path: "/bin/x", Text: "x " + strings.Repeat("a", MaxInput), ArgsJoined: true}, "too long"},

		{false, Input{Platform: linux, Path: "/bin/x", Text: "x systemctl $a `b` s\\c 's'c", ArgsJoined: true}, "no shell reads it"},
		{false, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c test -x /usr/lib/systemctl/y && y > /dev/null 2>&1", ArgsJoined: true}, "a directory's name"},
		{false, Input{Platform: linux, Path: "/bin/sh", Text: "sh -c [ -n \"$x\" ] && for f in a b; do y $f; done | sort", ArgsJoined: true}, "whole variables"},
		{false, Input{Platform: linux, Path: "/usr/bin/sudo", Text: "sudo find / -name *.c -exec rm {} ;", ArgsJoined: true}, "no shell around the pattern"},
		{false, Input{Platform: linux, Path: "/bin/ls", Text: "ls -l /home/arc-init.d/src", ArgsJoined: true, CWD: "/root"}, "another name than its clue"},
		{true, Input{Platform: linux, Path: "/bin/ls", Text: "ls -l /home/é", ArgsJoined: true}, "beyond ASCII"},
		{false, Input{Platform: linux, Path: "/usr/bin/python3.11", Text: "python3 -u /x/y.py --pulse", ArgsJoined: true}, "a script file"},
		{false, Input{Platform: linux, Path: "/usr/bin/awk", Text: "awk {print $1, $4-$8}", ArgsJoined: true}, "awk that prints"},
		{false, Input{Platform: windows, Path: `C:\Windows\System32\cmd.exe`, OriginalFileName: "Cmd.Exe", Text: `"C:\Windows\System32\cmd.exe" /c "C:\sc\x.exe /create /run"`}, "cmd and a directory"},
		{false, Input{Platform: linux, Path: "/bin/x", Text: ""}, "nothing"},
	} {
		all := wanted
		if c.in.Platform == windows {
			all = append(all[:len(all):len(all)], Wanted{Tool: "[wmi]"})
		}
		s := NewSieve(c.in.Platform, all)
		if got := s.MayRun(&c.in); got != c.may {
			t.Errorf("%s: may run: %v: %.200q", c.note, got, c.in.Text)
		}
	}
}

// TestWhatIsImplied: the names that a command with an object has are in every word
// that makes it have that object.
func TestWhatIsImplied(t *testing.T) {
	holds := func(clues []Clue, text string) bool {
		for _, c := range clues {
			if strings.Contains(strings.ToLower(text), c.Text) {
				return true
			}
		}
		return false
	}
	n := 0
	for class, object := range serviceClasses {
		if clues := Implied("wmic", object); clues != nil {
			if n++; !holds(clues, class) {
				t.Errorf("%s makes %s", class, object)
			}
		}
	}
	for _, text := range []string{
		"wmic service", "wmic sysdriver", "wmic loadorder list", "reg query HKLM\\SYSTEM\\CurrentControlSet\\Services", "reg query \\\\h\\HKEY_LOCAL_MACHINE\\system\\ControlSet001/services/x",
		"regedit /e f hklm\\system\\currentcontrolset\\services", "brew services", "brew services info", "dbus-send a org.freedesktop.systemd1.Manager.ListUnitsFiltered",
		"gdbus call ListJobs", "qdbus org.freedesktop.DBus.ListNames", "dbus-send org.freedesktop.DBus.ListActivatableNames",
	} {
		for _, platform := range []evidence.Platform{evidence.Windows, evidence.Linux} {
			for _, cmd := range Parse(Input{Text: text, Platform: platform, Path: "/x"}).Commands {
				if clues := Implied(cmd.Tool, cmd.Object); clues != nil {
					if n++; !holds(clues, text) {
						t.Errorf("%s has the object %s", text, cmd.Object)
					}
				}
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d compared", n)
	}
}

func TestVerbatim(t *testing.T) {
	for _, c := range []struct {
		tool, field string
		place       Place
		want        bool
	}{
		{"ls", "Paths", Whole, true}, {"reg", "Paths", Whole, false}, {"re", "Paths", AtStart, false}, {"item", "Paths", Anywhere, false}, {"python", "Paths", AtStart, true},
		{"find", "Options", Whole, true}, {"systemctl", "Options", Whole, false}, {"ip", "Arguments", Whole, true}, {"service", "Arguments", Whole, false},
		{"sc", "Verb", Whole, true}, {"systemctl", "Verb", Whole, false}, {"sc", "Target", Whole, false},
	} {
		if got := Verbatim(c.tool, c.place, c.field); got != c.want {
			t.Errorf("%s of %s: %v", c.field, c.tool, got)
		}
	}
}

// TestSieveTakesLinearTime: no text makes it look at the same bytes again and again.
func TestSieveTakesLinearTime(t *testing.T) {
	for _, platform := range []evidence.Platform{evidence.Windows, evidence.Linux} {
		s := NewSieve(platform, []Wanted{{Tool: "sc"}})
		for _, piece := range []string{`"`, `\"`, "'", `"'`, "*", "'*'", "$", "'$x'", ">&", "cmd /a", "env -", "cmd/", "python ", "a'", "[", "<(", "....", "1.-", " ", "/a", "-S", "|", "sc.", "python1.", "-", "$a"} {
			path := "/bin/sh"
			if platform == evidence.Windows {
				path = `C:\Windows\System32\cmd.exe`
			}
			text := "sh -c "
			if platform == evidence.Windows {
				text = "cmd /c "
			}
			for _, before := range []string{"", "python", "sc", "cmd", "env "} {
				in := Input{Platform: platform, Path: path, Text: text + before + strings.Repeat(piece, (MaxInput-40)/len(piece)) + "x"}
				start := cputime.Start()
				s.MayRun(&in)
				if d := start.Took(); d > time.Second {
					t.Errorf("%s, %q behind %q: %s for %d bytes", platform, piece, before, d, len(in.Text))
				}
			}
		}
	}
}
