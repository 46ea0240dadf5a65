package service

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

func linuxInstall(action, name, unit string, changes ...string) evidence.Install {
	return evidence.Install{Time: 1000, TimeBasis: evidence.BasisBirth, Platform: evidence.Linux, Action: action, Kind: "systemd", Name: name, UnitPath: unit, Path: "/dev/shm/kdevd", Changes: changes}
}

func windowsInstall(action, name, image string) evidence.Install {
	return evidence.Install{Time: 1000, TimeBasis: evidence.BasisEvent, Platform: evidence.Windows, Action: action, Kind: "windows_service", Name: name, ImagePath: image}
}

func macInstall(action, label string) evidence.Install {
	return evidence.Install{Time: 1000, TimeBasis: evidence.BasisBirth, Platform: evidence.Darwin, Action: action, Kind: "launchd", Name: label, UnitPath: "/Library/LaunchDaemons/" + label + ".plist"}
}

// Each case: the commands seen, two seconds apart up to the install; which did it,
// -1 for none, and a word of why.
func TestInstaller(t *testing.T) {
	const unit = "/etc/systemd/system/x.service"
	created := linuxInstall(evidence.Created, "x.service", unit)
	enabled := linuxInstall(evidence.Enabled, "x.service", unit, "start_type: disabled -> enabled", "links: none -> /etc/systemd/system/multi-user.target.wants/x.service")
	disabled := linuxInstall(evidence.Disabled, "x.service", unit, "links: /etc/systemd/system/multi-user.target.wants/x.service -> none")
	masked := linuxInstall(evidence.Disabled, "x.service", unit, "link_target: none -> /dev/null", "start_type: enabled -> masked")
	removed := linuxInstall(evidence.Removed, "x.service", unit)
	dropIn := linuxInstall(evidence.Modified, "nginx.service", "/usr/lib/systemd/system/nginx.service", "drop_ins: none -> /etc/systemd/system/nginx.service.d/x.conf")
	transient := linuxInstall(evidence.Created, "run-u12.service", "/run/systemd/transient/run-u12.service")
	named := linuxInstall(evidence.Created, "foo.service", "/run/systemd/transient/foo.service")
	packaged := linuxInstall(evidence.Created, "nginx.service", "/usr/lib/systemd/system/nginx.service")
	packaged.Package, packaged.PackageVerified = "nginx", evidence.Yes
	script := evidence.Install{Time: 1000, TimeBasis: evidence.BasisBirth, Platform: evidence.Linux, Action: evidence.Enabled, Kind: "sysv", Name: "foo", UnitPath: "/etc/init.d/foo", Changes: []string{"links: none -> /etc/rc2.d/S01foo"}}
	rcLocal := evidence.Install{Time: 1000, TimeBasis: evidence.BasisChange, Platform: evidence.Linux, Action: evidence.Modified, Kind: "sysv", Name: "rc.local", UnitPath: "/etc/rc.local"}
	win := windowsInstall(evidence.Created, "evil", `C:\x.exe`)
	changedWin := windowsInstall(evidence.Modified, "Spooler", `C:\x.exe`)
	gone := windowsInstall(evidence.Removed, "evil", `C:\x.exe`)
	ps := windowsInstall(evidence.Created, "PSEXESVC", `%SystemRoot%\PSEXESVC.exe`)
	product := windowsInstall(evidence.Created, "AcmeUpdater", `"C:\Program Files\Acme\updater.exe" /svc`)
	driver := windowsInstall(evidence.Created, "acmedrv", `\SystemRoot\System32\drivers\acmedrv.sys`)
	driver.Kind = "driver"
	daemon := macInstall(evidence.Created, "com.acme.agent")

	for _, c := range []struct {
		name     string
		in       evidence.Install
		commands []string
		best     int
		why      string
	}{
		{"nothing", created, nil, -1, ""},
		{"nobody that fits", created, []string{"ls /etc/systemd/system", "cat " + unit, "systemctl status x", "systemctl start x", "vim /etc/hosts", "echo hi > /dev/null"}, -1, ""},
		{"copied", created, []string{"cp /tmp/x.service /tmp/y", "cp /tmp/x.service " + unit, "systemctl daemon-reload", "systemctl enable x"}, 1, "writes"},
		{"copied into the directory", created, []string{"cp -f /tmp/x.service /etc/systemd/system/", "cp /tmp/y.service /etc/systemd/system"}, 0, "puts it into"},
		{"copied under a name that is not seen", created, []string{"rsync -a units/ /etc/systemd/system/"}, 0, "writes into"},
		{"installed", created, []string{"install -D -m 644 -t /etc/systemd/system x.service"}, 0, "puts it into"},
		{"moved", created, []string{"mv /tmp/a " + unit}, 0, "writes"},
		{"teed by sudo", created, []string{"sudo tee " + unit, "tee " + unit, "sleep 1"}, 1, "writes"},
		{"redirected", created, []string{"sh -c 'printf \"[Service]\\n\" > " + unit + "'", "sleep 1"}, 0, "writes"},
		{"redirected behind a pipe", created, []string{"bash -c 'echo W1NlcnZpY2VdCg== | base64 -d > " + unit + "'"}, 0, "writes"},
		{"a relative path", created, []string{"cp a x.service"}, 0, "writes"},
		{"two slashes and dots", created, []string{"cp a /etc//systemd/./system/../system/x.service"}, 0, "writes"},
		{"downloaded", created, []string{"curl -s -o " + unit + " http://x.example/x"}, 0, "writes"},
		{"by code", created, []string{`python3 -c "open('` + unit + `','w').write('x')"`}, 0, "names"},
		{"in an editor", created, []string{"nano " + unit}, 0, "edits"},
		{"linked", created, []string{"systemctl link /dev/shm/x.service"}, 0, "links"},
		{"reload only", created, []string{"systemctl daemon-reload", "true"}, 0, "read its units anew"},
		{"reload and another unit's copy", created, []string{"cp y /etc/systemd/system/y.service", "systemctl daemon-reload"}, 1, "read its units anew"},

		{"enabled", enabled, []string{"cp x " + unit, "systemctl --now enable x", "systemctl start x"}, 1, "turns it on"},
		{"enabled through wrappers", enabled, []string{"sudo -n env A=b timeout 5 systemctl enable x.service"}, 0, "turns it on"},
		{"enabled by a link", enabled, []string{"ln -s " + unit + " /etc/systemd/system/multi-user.target.wants/x.service"}, 0, "writes"},
		{"another is enabled", enabled, []string{"systemctl enable y"}, -1, ""},
		{"disabled", disabled, []string{"systemctl enable x", "systemctl disable --now x"}, 1, "turns it off"},
		{"disabled by hand", disabled, []string{"rm /etc/systemd/system/multi-user.target.wants/x.service"}, 0, "removes"},
		{"masked", masked, []string{"echo hi > /dev/null", "systemctl mask x"}, 1, "turns it off"},
		{"removed", removed, []string{"systemctl disable x", "rm -f " + unit}, 1, "removes"},
		{"removed with its directory", removed, []string{"rm -rf /etc/systemd/system/"}, 0, "removes"},
		{"moved away", removed, []string{"mv " + unit + " /root/"}, 0, "moves it away"},

		{"drop-in edited", dropIn, []string{"systemctl edit nginx"}, 0, "edits"},
		{"drop-in written", dropIn, []string{"systemctl restart nginx", "tee /etc/systemd/system/nginx.service.d/x.conf"}, 1, "writes"},
		{"property set", dropIn, []string{"systemctl set-property nginx CPUQuota=5%"}, 0, "changes it"},
		{"run as a transient unit", transient, []string{"systemd-run /dev/shm/kdevd -x", "systemd-run /bin/true"}, 0, "transient"},
		{"a transient unit by name", named, []string{"systemd-run --unit=foo --on-calendar=daily /tmp/y", "systemd-run --unit=bar /tmp/x"}, 0, "transient"},

		{"package", packaged, []string{"/usr/bin/dpkg --unpack /var/cache/apt/archives/zlib_1_amd64.deb", "/usr/bin/dpkg --status-fd 30 --no-triggers --unpack --auto-deconfigure /var/cache/apt/archives/nginx_1.22_amd64.deb", "deb-systemd-helper enable nginx.service"}, 1, "its package"},
		{"package by apt", packaged, []string{"apt-get install -y nginx", "ls"}, 0, "its package"},
		{"package among others", packaged, []string{"apt-get dist-upgrade -y", "ls"}, 0, "handles packages"},

		{"script enabled", script, []string{"update-rc.d bar defaults", "update-rc.d foo defaults"}, 1, "turns it on"},
		{"script enabled by chkconfig", script, []string{"chkconfig --add foo"}, 0, "turns it on"},
		{"script enabled by openrc", script, []string{"rc-update add foo default"}, 0, "turns it on"},
		{"rc.local", rcLocal, []string{"sed -i 's/x/y/' /etc/rc.local", "sh -c 'cat /etc/rc.local'"}, 0, "writes"},
		{"rc.local appended", rcLocal, []string{"bash -c 'echo /dev/shm/x >> /etc/rc.local'"}, 0, "writes"},

		{"sc", win, []string{`sc.exe query evil`, `sc create evil binPath= "C:\x.exe" start= auto`, `sc start evil`}, 1, "creates"},
		{"sc, obfuscated", win, []string{`cmd /c "s^c  CrEaTe EVIL binpath= c:\x.exe"`}, 0, "creates"},
		{"sc for another machine", win, []string{`sc \\remote create evil binpath= c:\x`, `sc create evil binpath= c:\x`}, 1, "creates"},
		{"PowerShell", win, []string{`powershell -c "New-Service -Name evil -BinaryPathName C:\x.exe"`}, 0, "creates"},
		{"registry", win, []string{`reg query HKLM\SYSTEM\CurrentControlSet\Services\evil`, `reg add HKLM\SYSTEM\CurrentControlSet\Services\evil /v ImagePath /d c:\x /f`}, 1, "registry key"},
		{"registry by PowerShell", win, []string{`powershell New-ItemProperty -Path HKLM:\SYSTEM\CurrentControlSet\Services\evil -Name ImagePath -Value x`, `powershell New-ItemProperty -Path HKLM:\SYSTEM\CurrentControlSet\Services\evil2 -Name ImagePath -Value x`}, 0, "registry key"},
		{"WMI", win, []string{`wmic service call create name=evil pathname=c:\x`}, 0, "creates"},
		{"nssm", win, []string{`nssm install evil c:\x.exe`}, 0, "creates"},
		{"itself", win, []string{`C:\x.exe -install`}, 0, "installs itself"},
		{"config", changedWin, []string{`sc qc Spooler`, `sc config Spooler binPath= C:\x.exe`}, 1, "changes"},
		{"Set-Service", changedWin, []string{`powershell Set-Service Spooler -StartupType Disabled`}, 0, "changes"},
		{"deleted", gone, []string{`sc create evil binpath= c:\x`, `sc delete evil`}, 1, "deletes"},
		{"PsExec", ps, []string{`psexec -s cmd /c whoami`}, 0, "runs commands by a service"},
		{"setup", product, []string{`C:\Users\a\Downloads\AcmeSetup.exe /S`}, 0, "looks like an installer"},
		{"msiexec", product, []string{`explorer.exe`, `msiexec /i acme.msi /qn`}, 1, "installs software"},
		{"driver", driver, []string{`pnputil /add-driver acme.inf /install`}, 0, "drivers"},
		{"an ordinary program", win, []string{`notepad.exe evil.txt`, `net start evil`, `sc query evil`}, -1, ""},

		{"launchctl load", daemon, []string{"launchctl list", "launchctl load -w /Library/LaunchDaemons/com.acme.agent.plist"}, 1, "loads it"},
		{"launchctl bootstrap", daemon, []string{"sudo launchctl bootstrap system /Library/LaunchDaemons/com.acme.agent.plist"}, 0, "loads it"},
		{"launchctl enable", macInstall(evidence.Enabled, "com.acme.agent"), []string{"launchctl enable system/com.acme.agent"}, 0, "loads it"},
		{"launchctl bootout", macInstall(evidence.Disabled, "com.acme.agent"), []string{"launchctl bootout system/com.acme.agent"}, 0, "unloads it"},
		{"copied on a Mac", daemon, []string{"cp com.acme.agent.plist /Library/LaunchDaemons/", "launchctl load /Library/LaunchDaemons/com.other.plist"}, 0, "puts it into"},
		{"defaults write", daemon, []string{"defaults write /Library/LaunchDaemons/com.acme.agent Label com.acme.agent"}, 0, "writes"},
		{"PlistBuddy", daemon, []string{"/usr/libexec/PlistBuddy -c 'Add :Label string x' /Library/LaunchDaemons/com.acme.agent.plist"}, 0, "writes"},
		{"installer", daemon, []string{"installer -pkg acme.pkg -target /"}, 0, "handles packages"},
	} {
		var all []evidence.Process
		for i, text := range c.commands {
			all = append(all, evidence.Process{
				Time: 1000 - 2*int64(len(c.commands)-1-i), Platform: c.in.Platform, PID: int64(100 + i), Path: firstWord(text), CmdLine: text, CWD: "/etc/systemd/system", Host: "here",
			})
		}
		best, why := Installer(&c.in, all)
		if best != c.best || !strings.Contains(why, c.why) {
			t.Errorf("%s: %d %q, want %d %q", c.name, best, why, c.best, c.why)
		}
	}
}

func firstWord(s string) string {
	w, _, _ := strings.Cut(s, " ")
	return strings.Trim(w, `"`)
}

func TestInstallerByTimeAndPlace(t *testing.T) {
	in := linuxInstall(evidence.Created, "x.service", "/etc/systemd/system/x.service")
	at := func(seconds int64, cmdline string) evidence.Process {
		return evidence.Process{Time: in.Time + seconds, Platform: evidence.Linux, CmdLine: cmdline}
	}
	const copied, edited = "cp a /etc/systemd/system/x.service", "vim /etc/systemd/system/x.service"
	for _, c := range []struct {
		name string
		all  []evidence.Process
		want int
	}{
		{"long before", []evidence.Process{at(-600, copied)}, -1},
		{"after", []evidence.Process{at(60, copied)}, -1},
		{"clocks differ a little", []evidence.Process{at(1, copied)}, 0},
		{"the nearer of two", []evidence.Process{at(-90, copied), at(-2, copied), at(-50, copied)}, 1},
		{"an editor that is open for an hour", []evidence.Process{at(-3600, edited)}, 0},
		{"another platform's", []evidence.Process{{Time: in.Time, Platform: evidence.Windows, CmdLine: copied}}, -1},
		{"in a container", []evidence.Process{{Time: in.Time, CmdLine: copied, ContainerID: "c"}, at(-30, copied)}, 1},
	} {
		if got, why := Installer(&in, c.all); got != c.want {
			t.Errorf("%s: %d %q, want %d", c.name, got, why, c.want)
		}
	}
	in.TimeBasis = evidence.BasisFirstSeen
	if got, _ := Installer(&in, []evidence.Process{at(-600, copied)}); got != 0 {
		t.Error("what was seen late may have been done early")
	}
	in.InstallerPID = 42
	if got, why := Installer(&in, []evidence.Process{at(-1, copied), {Time: in.Time - 100, PID: 42, CmdLine: "x"}}); got != 1 {
		t.Errorf("what the event says: %d %q", got, why)
	}
}

// Thousands of processes and hostile text take little time.
func TestInstallerIsBounded(t *testing.T) {
	in := linuxInstall(evidence.Created, "x.service", "/etc/systemd/system/x.service", "drop_ins: none -> "+strings.Repeat("/a, ", 10000))
	var all []evidence.Process
	for i := range 20000 {
		all = append(all, evidence.Process{Time: in.Time - int64(i%100), Platform: evidence.Linux, CmdLine: "sh -c 'echo a | sed s/x/y/ > /tmp/out; systemctl status y'"})
	}
	all = append(all, evidence.Process{Time: in.Time, CmdLine: strings.Repeat("((cp ", 20000)}, evidence.Process{Time: in.Time, Platform: evidence.Linux, CmdLine: "cp a /etc/systemd/system/x.service"})
	began := cputime.Start()
	got, _ := Installer(&in, all)
	if took := began.Took(); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if got != len(all)-1 {
		t.Errorf("%d", got)
	}
}

func TestCopied(t *testing.T) {
	for line, want := range map[string][]string{
		"-f a b /d":                 {"/d", "a", "b"},
		"-t /d a":                   {"/d", "a"},
		"--target-directory=/d a b": {"/d", "a", "b"},
		"-m 644 -o root a /d":       {"/d", "a"},
		"a":                         {"", "a"},
		"":                          {""},
		"-t":                        {""},
	} {
		sources, dest := copied(strings.Fields(line))
		if d := cmp.Diff(want, append([]string{dest}, sources...)); d != "" {
			t.Errorf("%s (-want +got):\n%s", line, d)
		}
	}
}

func FuzzInstaller(f *testing.F) {
	f.Add("cp a /etc/systemd/system/x.service", "x.service", "/etc/systemd/system/x.service", uint8(0))
	f.Add(`sc create evil binPath= "C:\x.exe"`, "evil", "", uint8(1))
	f.Add("launchctl load /Library/LaunchDaemons/a.plist", "a", "/Library/LaunchDaemons/a.plist", uint8(2))
	f.Fuzz(func(t *testing.T, cmdline, name, unit string, platform uint8) {
		p := []evidence.Platform{evidence.Linux, evidence.Windows, evidence.Darwin}[platform%3]
		in := evidence.Install{Time: 100, Platform: p, Action: evidence.Created, Kind: "systemd", Name: name, UnitPath: unit, ImagePath: cmdline, Changes: []string{"drop_ins: " + unit + " -> " + name}}
		best, why := Installer(&in, []evidence.Process{{Time: 99, Platform: p, CmdLine: cmdline, Path: name, CWD: unit}})
		if best < -1 || best > 0 || (best == -1) != (why == "") {
			t.Fatalf("%d %q", best, why)
		}
	})
}

func BenchmarkInstaller(b *testing.B) {
	in := linuxInstall(evidence.Created, "x.service", "/etc/systemd/system/x.service")
	var all []evidence.Process
	for i := range 200 {
		all = append(all, evidence.Process{Time: in.Time - int64(i%100), Platform: evidence.Linux, CmdLine: "/usr/bin/ls -la /var/lib"})
	}
	b.ReportAllocs()
	for b.Loop() {
		if got, _ := Installer(&in, all); got != -1 {
			b.Fatal(got)
		}
	}
}
