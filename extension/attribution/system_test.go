package attribution_test

import (
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func TestSystemOnWindows(t *testing.T) {
	const services = `C:\Windows\System32\services.exe`
	in := func(installer, line, user string) attribution.Facts {
		return attribution.Facts{Install: &evidence.Install{Time: now.Unix(), Platform: evidence.Windows, Host: "PC-7", Kind: "driver", Name: "x", ImagePath: `\SystemRoot\System32\drivers\x.sys`,
			InstallerPath: installer, InstallerCmdLine: line, InstallerUsername: user,
			InstallerAncestry: ancestors(`C:\Windows\System32\svchost.exe: C:\Windows\system32\svchost.exe -k DcomLaunch -p -s DeviceInstall`, services)}}
	}
	template := attribution.Facts{Template: "OneSyncSvc", Install: &evidence.Install{Platform: evidence.Windows, Kind: "windows_service", Name: "OneSyncSvc_4c1e2", ServiceType: "0xe0", ImagePath: `C:\WINDOWS\system32\svchost.exe -k UnistackSvcGroup`}}
	conn := attribution.Facts{Connection: &evidence.Connection{Platform: evidence.Windows, Path: `C:\Windows\System32\svchost.exe`, CmdLine: `C:\Windows\system32\svchost.exe -k netsvcs -p -s wuauserv`, UID: "S-1-5-18", RemoteAddr: "192.0.2.1"}}
	judge(t, attribution.Config{}, []kindCase{
		{"a user's instance of a service", template, want{attribution.System, "OneSyncSvc", "per-user service"}},
		{"servicing", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\WinSxS\amd64_microsoft-windows-servicingstack_31bf3856ad364e35_10.0.1.1_none_ab\TiWorker.exe`)}, want{attribution.System, "Windows servicing", ""}},
		{"TrustedInstaller", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\servicing\TrustedInstaller.exe`)}, want{attribution.System, "Windows servicing", ""}},
		{"a program called so", attribution.Facts{Process: windows("SYSTEM", `C:\Users\al\TrustedInstaller.exe`)}, none("")},
		{"servicing for a user", attribution.Facts{Process: windows(`PC-7\al`, `C:\Windows\servicing\TrustedInstaller.exe`)}, none("")},
		{"a deeper TiWorker", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\WinSxS\a\b\TiWorker.exe`)}, none("")},
		{"drvinst under the device installer", in(`C:\Windows\System32\drvinst.exe`, "DrvInst.exe", `NT AUTHORITY\SYSTEM`), want{attribution.System, "DeviceInstall", ""}},
		{"by the machine's account", in(`C:\Windows\System32\drvinst.exe`, "DrvInst.exe", `CORP\PC-7$`), want{attribution.System, "DeviceInstall", ""}},
		{"by another machine's account", in(`C:\Windows\System32\drvinst.exe`, "DrvInst.exe", `CORP\PC-8$`), none("")},
		{"a shell under it", in(`C:\Windows\System32\cmd.exe`, "cmd /c sc create x", `NT AUTHORITY\SYSTEM`), none("")},
		{"a program of somebody's under it", in(`C:\Drivers\setup.exe`, "setup.exe", `NT AUTHORITY\SYSTEM`), none("")},
		{"a scheduled task", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\System32\svchost.exe: C:\Windows\system32\svchost.exe -k netsvcs -p -s Schedule`, services)}, none("")},
		{"a COM call", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\System32\svchost.exe: svchost.exe -k DcomLaunch -p`, services)}, none("")},
		{"diagnostics", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\System32\svchost.exe: svchost.exe -k LocalSystemNetworkRestricted -p -s WdiSystemHost`, services)}, want{attribution.System, "WdiSystemHost", ""}},
		{"Windows Update connects", conn, want{attribution.System, "wuauserv", ""}},
		{"first boot", attribution.Facts{Process: windows("SYSTEM", `C:\Windows\System32\oobe\windeploy.exe`)}, want{attribution.System, "first boot", ""}},
	})
}

func TestSystemOnLinux(t *testing.T) {
	const manager, init = "/usr/lib/systemd/systemd: /usr/lib/systemd/systemd --user", "/usr/lib/systemd/systemd: /sbin/init"
	user := func(p *evidence.Process, canonical string) attribution.Facts {
		return attribution.Facts{Process: p, Canonical: []string{canonical}}
	}
	const own = "systemctl --user list-units"
	cloud := "/usr/bin/python3: /usr/bin/python3 /usr/bin/cloud-init modules --mode=final"
	unit := func(path, program, installer string) attribution.Facts {
		return attribution.Facts{Install: install(func(in *evidence.Install) {
			in.UnitPath, in.Path, in.ImagePath, in.InstallerPath, in.InstallerUsername, in.InstallerUID, in.LoginUser = path, program, program, installer, "", "", ""
			in.InstallerCmdLine = ""
		})}
	}
	boot := attribution.Facts{Process: linux("root", "/usr/bin/x", init), FirstBoot: true}
	boot.Process.Ancestry = ancestors(init)
	byHand := attribution.Facts{Process: loggedIn(linux("root", "/usr/bin/bash", "/usr/sbin/sshd", init), "al", ""), FirstBoot: true}
	unseen := unit("/etc/systemd/system/x.service", "/opt/x", "")
	unseen.FirstBoot = true
	tty := linux("root", cloud, init)
	tty.TTY = "pts/1"
	judge(t, attribution.Config{}, []kindCase{
		{"a helper that is a script", attribution.Facts{Process: linux("root", "/usr/bin/perl: /usr/bin/perl /usr/bin/deb-systemd-helper unmask x")}, want{attribution.System, "deb-systemd-helper", ""}},
		{"perl told to load something", attribution.Facts{Process: linux("root", "/usr/bin/perl: perl -I/tmp -Mevil /usr/bin/deb-systemd-helper")}, none("")},
		{"a helper as a user", attribution.Facts{Process: linux("al", "/usr/bin/deb-systemd-helper")}, none("")},
		{"a generator", attribution.Facts{Process: linux("root", "/usr/lib/systemd/system-generators/systemd-sysv-generator", init)}, want{attribution.System, "systemd generators", ""}},
		{"a generator of somebody's", attribution.Facts{Process: linux("root", "/etc/systemd/system-generators/x", init)}, none("")},
		{"a generated unit", unit("/run/systemd/generator.late/apache2.service", "/usr/sbin/apachectl", ""), want{attribution.System, "systemd generators", ""}},
		{"a mount", unit("/run/systemd/generator/boot.mount", "", "/usr/lib/systemd/system-generators/systemd-fstab-generator"), want{attribution.System, "systemd generators", ""}},
		{"a generated unit with a program of anybody's", unit("/run/systemd/generator/x.service", "/tmp/x", ""), none("not plainly of the distribution's")},
		{"by a generator of somebody's", unit("/run/systemd/generator/x.service", "/usr/bin/x", "/etc/systemd/system-generators/x"), none("")},
		{"beside the generators' directory", unit("/run/systemd/generator/../system/x.service", "/usr/bin/x", ""), none("")},
		{"cloud-init", attribution.Facts{Process: linux("root", "/bin/sh: /bin/sh /var/lib/cloud/instance/scripts/part-001", cloud, init)}, want{attribution.System, "cloud-init", "started by the service manager"}},
		{"cloud-init by hand", attribution.Facts{Process: loggedIn(linux("root", cloud, "/usr/bin/bash", "/usr/sbin/sshd", init), "al", "")}, none("")},
		{"cloud-init by hand, cut off", attribution.Facts{Process: loggedIn(linux("root", cloud, init), "al", "")}, none("")},
		{"cloud-init on a terminal", attribution.Facts{Process: tty}, none("")},
		{"first boot", boot, want{attribution.System, "first boot", "nobody has logged in"}},
		{"first boot, but by hand", byHand, none("")},
		{"first boot, an install by nobody seen", unseen, want{attribution.System, "first boot", ""}},
		{"a laptop's own manager", user(linux("al", "/usr/bin/gnome-shell", manager, init), own), want{attribution.System, "systemctl --user", "al asked their own service manager"}},
		{"in a terminal window", user(linux("al", "/usr/bin/bash", "/usr/libexec/gnome-terminal-server", manager), own), want{attribution.System, "systemctl --user", ""}},
		{"busctl too", user(linux("al", manager), "busctl --user list"), want{attribution.System, "", ""}},
		{"the session's bus", user(linux("al", "/usr/bin/dbus-daemon: dbus-daemon --session --address=x"), own), want{attribution.System, "", ""}},
		{"the system's bus", user(linux("al", "/usr/bin/dbus-daemon: dbus-daemon --system"), own), none("")},
		{"the system's services", user(linux("al", manager), list), none("")},
		{"another machine's", user(linux("al", manager), "systemctl --user -H web list-units"), none("")},
		{"another's command beside it", attribution.Facts{Process: linux("al", manager), Canonical: []string{own, list}}, none("")},
		{"over ssh", user(linux("al", "/usr/bin/bash", "/usr/sbin/sshd"), own), want{attribution.System, "systemctl --user", "in their own session"}},
		{"under a program in the home directory", user(linux("al", "/home/al/x", manager), own), none("under /home/al/x")},
		{"a manager called so", user(linux("al", "/home/al/systemd: systemd --user"), own), none("")},
		{"root", user(linux("root", manager), own), none("")},
		{"another user logged in", user(loggedIn(linux("al", manager), "bo", ""), own), none("")},
	})
	window := attribution.Attribute(user(linux("al", "/usr/bin/bash", manager), own), attribution.Config{})
	desktop := attribution.Attribute(user(linux("al", "/usr/bin/gnome-shell", manager), own), attribution.Config{})
	if window.Strength >= desktop.Strength {
		t.Errorf("typed %v, by the desktop %v", window.Strength, desktop.Strength)
	}
}

func TestSystemOnMacOS(t *testing.T) {
	mac := func(chain ...string) attribution.Facts {
		return attribution.Facts{Process: &evidence.Process{Time: now.Unix(), Platform: evidence.Darwin, Username: "al", Path: "/bin/launchctl", CmdLine: "launchctl list", Ancestry: ancestors(chain...)}}
	}
	plist := func(path string, signed evidence.Tristate) attribution.Facts {
		return attribution.Facts{Install: install(func(in *evidence.Install) {
			in.Platform, in.Kind, in.UnitPath, in.Signed, in.InstallerPath = evidence.Darwin, "launchd", path, signed, ""
		})}
	}
	judge(t, attribution.Config{}, []kindCase{
		{"a program of Apple's", mac("/usr/libexec/sysmond", "/sbin/launchd"), want{attribution.System, "sysmond", ""}},
		{"a deeper one", mac("/System/Library/CoreServices/x.app/Contents/MacOS/x", "/System/Library/CoreServices/loginwindow.app/Contents/MacOS/loginwindow", "/sbin/launchd"), want{attribution.System, "loginwindow", ""}},
		{"anybody's job", mac("/sbin/launchd"), none("")},
		{"a shell between", mac("/bin/zsh", "/usr/libexec/x", "/sbin/launchd"), none("")},
		{"an application", mac("/Applications/x.app/Contents/MacOS/x", "/sbin/launchd"), none("")},
		{"the terminal", mac("/System/Applications/Utilities/Terminal.app/Contents/MacOS/Terminal", "/sbin/launchd"), none("")},
		{"remote management", mac("/System/Library/CoreServices/RemoteManagement/ARDAgent.app/Contents/MacOS/ARDAgent", "/sbin/launchd"), none("")},
		{"ssh", mac("/usr/libexec/sshd-session", "/usr/sbin/sshd", "/sbin/launchd"), none("")},
		{"no launchd", mac("/usr/libexec/x"), none("")},
		{"the sealed volume", plist("/System/Library/LaunchDaemons/com.apple.x.plist", evidence.Unknown), want{attribution.System, "macOS", ""}},
		{"everybody's directory", plist("/Library/LaunchDaemons/com.apple.x.plist", evidence.Yes), none("")},
		{"the other volume", plist("/System/Library/LaunchDaemons/../../../tmp/x.plist", evidence.Yes), none("")},
	})
}
