package service

import "strings"

// place is what the directory of a file says.
type place struct {
	factor string
	scale  float64
	why    string
}

// everybodysPlaces are directories that every user can write into, or that hold
// no programs. Lower case, the drive left out.
var everybodysPlaces = []struct{ dir, why string }{
	{`\users\public\`, "every user can write into the Public profile"},
	{`\users\default\`, "the template of profiles holds no programs"},
	{`\perflogs\`, "PerfLogs holds no programs"},
	{`\$recycle.bin\`, "the recycle bin holds no programs"},
	{`\recycler\`, "the recycle bin holds no programs"},
	{`\system volume information\`, "System Volume Information holds no programs"},
	{`\windows\tasks\`, "every user can write into Windows\\Tasks"},
	{`\windows\tracing\`, "every user can write into Windows\\tracing"},
	{`\windows\debug\`, "Windows\\debug holds no programs"},
	{`\windows\fonts\`, "Windows\\Fonts holds no programs"},
	{`\windows\media\`, "Windows\\Media holds no programs"},
	{`\windows\help\`, "Windows\\Help holds no programs"},
	{`\windows\cursors\`, "Windows\\Cursors holds no programs"},
	{`\windows\addins\`, "Windows\\addins holds no programs"},
	{`\windows\repair\`, "Windows\\repair holds no programs"},
	{`\windows\security\`, "Windows\\security holds no programs"},
	{`\windows\prefetch\`, "Windows\\Prefetch holds no programs"},
	{`\windows\logs\`, "Windows\\Logs holds no programs"},
	{`\windows\registration\`, "every user can write into Windows\\Registration\\CRMLog"},
	{`\windows\system32\tasks\`, "every user can write into System32\\Tasks"},
	{`\windows\system32\spool\drivers\color\`, "every user can write into the color directory"},
	{`\windows\system32\spool\printers\`, "every user can write into the print queue"},
	{`\windows\system32\com\dmp\`, "every user can write into System32\\Com\\dmp"},
	{`\windows\system32\microsoft\crypto\`, "every user can write into MachineKeys"},
	{`\windows\system32\config\`, "System32\\config holds no programs"},
	{`\windows\system32\fxstmp\`, "every user can write into FxsTmp"},
	{`\inetpub\wwwroot\`, "the web server writes there"},
	{`\xampp\htdocs\`, "the web server writes there"},
}

// windowsPlace judges the directory of a file of Windows by its path in lower
// case. The zero place says nothing.
func windowsPlace(lower, host string, driver bool) place {
	if host != "" {
		return remotePlace(lower, host)
	}
	if strings.HasPrefix(lower, `\device\`) || strings.HasPrefix(lower, `globalroot\`) || strings.HasPrefix(lower, `harddiskvolumeshadowcopy`) {
		return place{"odd_directory", 1, "named by a device, not by a path"}
	}
	if !drive(lower) {
		return place{}
	}
	rest := lower[2:]
	if strings.Contains(rest, ` \`) {
		return place{"everybodys_directory", 1, "a directory whose name ends in a blank imitates a trusted one"}
	}
	switch {
	case defenders(rest):
		return place{}
	case strings.HasPrefix(rest, `\program files\`), strings.HasPrefix(rest, `\program files (x86)\`), strings.HasPrefix(rest, `\program files (arm)\`):
		return place{}
	}
	for _, e := range everybodysPlaces {
		if strings.HasPrefix(rest, e.dir) {
			return place{"everybodys_directory", 1, e.why}
		}
	}
	scale := 1.0
	if driver {
		scale = 0.8 // tools for hardware unpack their drivers there
	}
	for _, t := range []string{`\temp\`, `\tmp\`, `\temporary internet files\`, `\inetcache\`} {
		if strings.Contains(rest, t) {
			return place{"temp_directory", scale, "a directory for temporary files"}
		}
	}
	first, tail, deep := strings.Cut(strings.TrimPrefix(rest, `\`), `\`)
	if !deep {
		return place{"drive_root", 1, "directly in the root of a drive"}
	}
	switch first {
	case "users", "documents and settings":
		user, below, _ := strings.Cut(tail, `\`)
		if user == "all users" {
			return programData(strings.TrimPrefix(below, `application data\`))
		}
		return place{"user_directory", scale, "a user's own directory"}
	case "programdata":
		return programData(tail)
	case "windows", "winnt":
		return windowsDirectory(tail, driver)
	case "program files", "program files (x86)":
		return place{}
	case "config.msi", "msocache", "recovery", "$windows.~bt", "$windows.~ws", "$sysreset", "boot", "efi":
		return place{"odd_directory", 1, "a directory that holds no services"}
	}
	if first == "windowsazure" || first == "packages" {
		return place{"root_directory", 0.85, "the directory of the cloud's agents in the root of the drive"}
	}
	switch first {
	case "gitlab-runner", "actions-runner", "apache24", "xampp", "wamp64":
		return place{"root_directory", 0.85, "where its vendor says that it goes, in the root of the drive"}
	}
	if lower[0] != 'c' {
		return place{"root_directory", 0.6, "a directory in the root of another drive"}
	}
	return place{"root_directory", 1, "a directory made in the root of C: is by default open to every user"}
}

// defenders reports whether a path without its drive lies where Defender and its
// forerunners keep their engine and definitions.
func defenders(rest string) bool {
	rest = strings.TrimPrefix(rest, `\documents and settings\all users\application data`)
	rest = strings.TrimPrefix(rest, `\programdata`)
	return strings.HasPrefix(rest, `\microsoft\windows defender\`) || strings.HasPrefix(rest, `\microsoft\microsoft antimalware\`)
}

// programData judges what is below ProgramData.
func programData(tail string) place {
	vendor, _, deep := strings.Cut(tail, `\`)
	switch {
	case !deep:
		return place{"everybodys_directory", 0.9, "directly in ProgramData, where every user can create files"}
	case vendor == "package cache":
		return place{"program_data", 0.4, "the installers' cache"}
	}
	return place{"program_data", 1, "below ProgramData, where every user can create files"}
}

// useful reports whether a tool is one that administrators install where its makers
// put it, which for a driver or a tool of attackers excuses no place.
func useful(t tool) bool {
	return t.is != "" && t.factor != "vulnerable_driver" && t.factor != "attack_tool"
}

func windowsDirectory(tail string, driver bool) place {
	dir, below, deep := strings.Cut(tail, `\`)
	if !deep {
		base := strings.TrimSuffix(dir, ".exe")
		if windowsRoot[base] || useful(tools[strings.TrimSuffix(base, ".sys")]) {
			return place{}
		}
		return place{"windows_root", 1, "directly in the Windows directory, where Windows and installers put no services"}
	}
	switch {
	case dir == "system32" || dir == "syswow64" || dir == "sysnative":
		if driver && strings.IndexByte(below, '\\') < 0 {
			return place{"unusual_directory", 0.8, "a driver beside the drivers directory"}
		}
		if !driver && strings.HasPrefix(below, `drivers\`) && strings.HasSuffix(below, ".exe") {
			return place{"unusual_directory", 1, "a program among the drivers"}
		}
	case driver && (dir == "inf" || dir == "driverstore"):
	case !windowsDirectories[dir]:
		return place{"unusual_directory", 1, "a directory of the Windows directory that Windows does not have"}
	}
	return place{}
}

func remotePlace(lower, host string) place {
	if i := strings.IndexByte(host, '@'); i > 0 {
		return place{"remote_file", 1, "a file of a WebDAV server"}
	}
	_, share, _ := strings.Cut(strings.TrimPrefix(lower, `\\`), `\`)
	share, _, _ = strings.Cut(share, `\`)
	switch {
	case strings.HasSuffix(share, "$"):
		return place{"remote_file", 1.25, "an administrative share, where remote execution tools put their programs"}
	case share == "netlogon", share == "sysvol":
		return place{"remote_file", 1.25, "the share for logon scripts, which reaches every machine of the domain"}
	}
	if strings.EqualFold(host, "tsclient") {
		return place{"remote_file", 1.25, "a drive of whoever is logged on by remote desktop"}
	}
	return place{"remote_file", 1, "a file of another machine"}
}

// unixPlace judges the directory of a program of Linux or macOS.
func unixPlace(path string, kind Kind, userUnit bool) place {
	has := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(path, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("/dev/", "/proc/", "/sys/"):
		return place{"everybodys_directory", 1.1, "a file system that holds no programs"}
	case has("/tmp/", "/var/tmp/", "/private/tmp/", "/private/var/tmp/", "/usr/tmp/"):
		return place{"everybodys_directory", 1, "every user can write into it"}
	case has("/Users/Shared/", "/Users/Guest/", "/var/folders/", "/private/var/folders/", "/var/crash/", "/var/lock/", "/run/lock/", "/run/shm/", "/run/user/", "/var/spool/", "/var/mail/"):
		return place{"everybodys_directory", 1, "users can write into it"}
	}
	if part := hiddenPart(path); part != "" {
		scale := 1.0
		if userUnit || has("/root/", "/home/", "/Users/") {
			scale = 0.55 // tools that live in a home directory are often hidden there
		}
		if has("/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/local/bin/", "/usr/local/sbin/") {
			scale = 1.3 // among programs that packages bring nothing is hidden
		}
		return place{"hidden_file", scale, part + " is hidden"}
	}
	switch {
	case has("/run/current-system/", "/run/wrappers/", "/run/booted-system/"):
		return place{} // NixOS
	case has("/run/", "/var/run/"):
		return place{"everybodys_directory", 0.85, "a directory that is gone after a restart"}
	case has("/Library/LaunchDaemons/", "/Library/LaunchAgents/", "/etc/systemd/system/", "/etc/systemd/user/", "/usr/lib/systemd/system/", "/usr/lib/systemd/user/", "/lib/systemd/system/", "/lib/systemd/user/", "/usr/local/lib/systemd/", "/etc/cron.d/"),
		has("/Users/") && strings.Contains(path, "/Library/LaunchAgents/"), has("/home/", "/root/") && strings.Contains(path, "/.config/systemd/"):
		return place{"odd_directory", 1, "a directory of the definitions of services"}
	case has("/var/www/", "/srv/www/", "/var/cache/", "/var/log/", "/usr/share/man/", "/usr/share/doc/", "/usr/include/", "/usr/games/", "/boot/", "/lost+found/", "/mnt/", "/media/", "/Volumes/"):
		return place{"odd_directory", 1, "a directory that holds no services"}
	case has("/home/", "/Users/"):
		if userUnit {
			return place{"user_directory", 0.3, "the user's own directory"}
		}
		if kind == Launchd && strings.Contains(path, "/Library/") {
			return place{"user_directory", 0.4, "a user's Library"}
		}
		return place{"user_directory", 0.75, "a user's own directory"}
	case has("/root/"):
		return place{"user_directory", 0.6, "root's home directory"}
	case has("/etc/", "/var/"):
		if has("/var/lib/", "/var/ossec/", "/var/opt/", "/etc/init.d/", "/etc/rc", "/etc/sv/", "/etc/alternatives/", "/var/db/") {
			return place{}
		}
		return place{"unusual_directory", 1, "a directory for configuration and data"}
	}
	if strings.HasPrefix(path, "/") && strings.Count(path, "/") == 1 {
		return place{"drive_root", 1, "directly in the root directory"}
	}
	return place{}
}

// hiddenPart is the first name of a path that begins with a dot, without the
// directories that tools of a home directory usually have.
func hiddenPart(path string) string {
	for part := range strings.SplitSeq(path, "/") {
		if len(part) > 1 && part[0] == '.' && part != ".." {
			switch part {
			case ".local", ".config", ".cargo", ".nvm", ".npm", ".pyenv", ".rbenv", ".venv", ".docker", ".dotnet", ".volta", ".bun", ".deno", ".asdf", ".sdkman", ".rustup", ".vscode-server", ".steam", ".krew", ".nix-profile", ".linuxbrew", ".snapshots":
				continue
			}
			return part
		}
	}
	return ""
}
