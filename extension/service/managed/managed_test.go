package managed_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/service/managed"
)

func nothing(string) managed.File { return managed.File{} }

func TestType(t *testing.T) {
	for word, want := range map[string]service.Type{
		"OWN_PROCESS": 0x10, "SHARE_PROCESS(Interactive)": 0x120, "USER_OWN_PROCESS": 0x50, "USER_SHARE_PROCESS(Instance)": 0xe0, "KERNEL_DRIVER": 1,
		"FILE_SYSTEM_DRIVER": 2, "UNKNOWN": 0, "": 0, "0x10": 0x10, "32": 0x20,
	} {
		if got := managed.Type(word); got != want {
			t.Errorf("%s: %#x, want %#x", word, got, want)
		}
	}
}

func TestEntryFiles(t *testing.T) {
	for _, tt := range []struct {
		entry           managed.Entry
		program, module string
	}{
		{managed.Entry{Image: `%SystemRoot%\system32\svchost.exe -k x`, Library: `%SystemRoot%\System32\a.dll`}, `C:\Windows\system32\svchost.exe`, `C:\Windows\System32\a.dll`},
		{managed.Entry{Image: `"C:\Program Files\A B\c.exe" -d`}, `C:\Program Files\A B\c.exe`, ""},
		{managed.Entry{Image: `\??\D:\x.sys`, Type: "KERNEL_DRIVER"}, `D:\x.sys`, ""},
		{managed.Entry{Name: "cdrom", Type: "KERNEL_DRIVER"}, `C:\Windows\System32\drivers\cdrom.sys`, ""},
		{managed.Entry{Name: `..\x`, Type: "KERNEL_DRIVER"}, "", ""},
		{managed.Entry{Image: `\\server\share\x.exe`}, "", ""}, // asking would reach another machine
		{managed.Entry{Image: `x.exe -a`}, "", ""},
		{managed.Entry{Image: `%NOBODY%\x.exe`}, "", ""},
		{managed.Entry{Image: `C:\a%b%\x.exe`}, "", ""}, // a pattern to osquery
		{managed.Entry{Image: `C:\Windows\x.txt:evil.exe`}, "", ""},
		{managed.Entry{}, "", ""},
	} {
		if got := tt.entry.Program(); got != tt.program {
			t.Errorf("%+v: program %q, want %q", tt.entry, got, tt.program)
		}
		if got := tt.entry.Module(); got != tt.module {
			t.Errorf("%+v: module %q, want %q", tt.entry, got, tt.module)
		}
	}
}

// The line that is judged is the one of the registry, quotes and all.
func TestEntryIsJudgedAsWritten(t *testing.T) {
	for _, image := range []string{`"C:\Program Files\A B\c.exe" -d "x y"`, `C:\Program Files\A B\c.exe -d`, `%ProgramFiles%\A B\c.exe %TEMP%\x`, `c.exe`, `C:\x.exe`} {
		s := managed.WindowsServices([]managed.Entry{{Name: "A", Type: "OWN_PROCESS", Image: image}}, nothing)[0]
		all := s.Installs()
		want := service.Features(service.Install{Kind: service.WindowsService, Name: "A", Type: 0x10, Start: service.StartUnknown, ImagePath: image})
		if len(all) != 1 {
			t.Fatalf("%s: %d installs", image, len(all))
		}
		if diff := cmp.Diff(want.Features, service.Features(all[0]).Features); diff != "" {
			t.Errorf("%s: %s", image, diff)
		}
	}
}

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		job                  managed.Job
		program, args, argv0 string
		guessed              bool
	}{
		{managed.Job{Line: "/bin/sh -c x"}, "/bin/sh", "-c x", "", true},
		{managed.Job{Line: "/bin/sh -c x", Arguments: []string{"/bin/sh", "-c", "x"}}, "/bin/sh", "-c x", "", false},
		{managed.Job{Line: "/A B/c -d", Arguments: []string{"/A B/c", "-d"}}, "/A B/c", "-d", "", false},
		{managed.Job{Program: "/A B/c", Line: "/A B/c -d"}, "/A B/c", "-d", "", false},
		{managed.Job{Program: "/tmp/evil", Line: "/usr/libexec/x -d"}, "/tmp/evil", "-d", "/usr/libexec/x", false},
		{managed.Job{Program: "/tmp/evil", Arguments: []string{"[kernel]", "-d"}}, "/tmp/evil", "-d", "[kernel]", false},
		{managed.Job{Program: "/tmp/evil"}, "/tmp/evil", "", "", false},
		{managed.Job{Line: "/usr/libexec/atrun"}, "/usr/libexec/atrun", "", "", false},
		{managed.Job{}, "", "", "", false},
	} {
		program, args, argv0 := tt.job.Command()
		if program != tt.program || args != tt.args || argv0 != tt.argv0 || tt.job.Guessed() != tt.guessed {
			t.Errorf("%+v: %q %q %q %v", tt.job, program, args, argv0, tt.job.Guessed())
		}
	}
}

func TestSealed(t *testing.T) {
	for path, want := range map[string]bool{
		"/System/Library/x": true, "/usr/bin/x": true, "/bin/sh": true, "/usr/local/bin/x": false, "/Library/x": false, "": false,
		"/System/Volumes/Data/tmp/x": false, "/usr/bin/../../tmp/x": false,
	} {
		if got := managed.Sealed(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func FuzzServices(f *testing.F) {
	f.Add("Evil", "OWN_PROCESS", `"C:\a b\c.exe" -k`, `C:\x.dll`, "/Library/LaunchDaemons/a.plist")
	f.Add("a_1f", "USER_SHARE_PROCESS(Instance)", `%SystemRoot%\svchost.exe`, "", "/Users/a/Library/LaunchAgents/.b.plist")
	f.Fuzz(func(t *testing.T, name, kind, line, other, path string) {
		asked := func(p string) managed.File {
			if strings.HasPrefix(p, `\\`) {
				t.Errorf("another machine is asked: %q", p)
			}
			return managed.File{OnDisk: evidence.Yes, Signed: evidence.No, Mode: 0o777, Stated: true}
		}
		all := managed.WindowsServices([]managed.Entry{{Name: name, Type: kind, Image: line, Library: other}, {Name: other, Type: kind}}, asked)
		all = append(all, managed.DarwinServices([]managed.Job{{Path: path, Label: name, Program: other, Line: line}, {Path: path, Line: line, Arguments: strings.Fields(line)}}, asked)...)
		judge := inventory.Judge{Weights: score.DefaultWeights()}
		for i := range all {
			if v, ok := judge.ScoreService(&all[i]); !ok || v.Score < 0 || v.Score > 100 {
				t.Errorf("%+v: %d", all[i], v.Score)
			}
		}
	})
}
