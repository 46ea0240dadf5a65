package service

import (
	"strings"
)

// unix looks at a service of systemd, launchd or an init system.
func (f *finder) unix() {
	f.oddCharacters()
	label := strings.TrimSuffix(strings.TrimSuffix(f.in.Name, ".service"), ".plist")
	f.unit(label)
	if f.img.Program == "" {
		return
	}
	base := f.img.Base
	if f.img.Bare && f.in.Kind == Launchd {
		f.add("bare_name", 0.5, "%s is named without a directory", show(f.img.Program))
	}
	t := f.tool(strings.ToLower(base))
	if p := unixPlace(f.img.Program, f.in.Kind, f.userUnit()); p.factor != "" {
		f.add(p.factor, p.scale, "%s: %s", show(f.img.Program), p.why)
	}
	if strings.HasPrefix(f.img.Program, "/memfd:") || strings.Contains(f.img.Program, "/fd/") && strings.HasPrefix(f.img.Program, "/proc/") || strings.HasSuffix(f.img.Program, " (deleted)") {
		f.add("missing_program", 1, "%s is no file of a disk", show(f.img.Program))
	}
	f.unixCommands()
	f.unixNames(label, base, t)
}

// userUnit reports whether the service is one user's own.
func (f *finder) userUnit() bool {
	for _, dir := range []string{"/home/", "/root/.config/", "/etc/systemd/user/", "/usr/lib/systemd/user/", "/lib/systemd/user/", "/run/user/", "/Library/LaunchAgents/"} {
		if strings.HasPrefix(f.in.UnitPath, dir) {
			return true
		}
	}
	return strings.HasPrefix(f.in.UnitPath, "/Users/")
}

// unit looks at the file that defines the service.
func (f *finder) unit(label string) {
	if strings.HasPrefix(label, ".") || strings.HasPrefix(baseName(f.in.UnitPath), ".") {
		f.add("hidden_file", 1, "the service's own file is hidden: %s", show(nonEmpty(f.in.UnitPath, f.in.Name)))
	}
	switch {
	case strings.HasPrefix(f.in.UnitPath, "/tmp/"), strings.HasPrefix(f.in.UnitPath, "/dev/"), strings.HasPrefix(f.in.UnitPath, "/var/tmp/"):
		f.add("everybodys_directory", 1, "it is defined in %s, where every user can write", show(f.in.UnitPath))
	case strings.HasPrefix(f.in.UnitPath, "/run/systemd/transient/"):
		f.add("transient_unit", 1, "it was made by systemd-run or over D-Bus and leaves no file on disk")
	}
}

// forwards says so when the program is an ssh that lets others in or out.
func (f *finder) forwards() {
	if f.img.Base != "ssh" && f.img.Base != "autossh" {
		return
	}
	for w := range strings.FieldsSeq(clip(f.img.Args, maxText)) {
		if len(w) > 1 && w[0] == '-' && strings.ContainsAny(w[1:], "RDw") && !strings.Contains(w, "=") {
			f.add("tunnel_tool", 1, "ssh forwards ports or a network (%s)", show(w))
			return
		}
	}
}

// unixCommands looks at the commands that the service's line runs.
func (f *finder) unixCommands() {
	base := f.img.Base
	p := programs[base]
	line := clip(f.img.Line, maxText)
	shell := p.class == classShell || base == "dash" || base == "zsh" || base == "ksh" || base == "ash"
	runtime := p.class == classRuntime
	env := base == "env" || base == "nohup" || base == "setsid" || base == "timeout" || base == "sudo"
	text := strings.ToLower(line)
	switch {
	case shell && inlineShell(f.img.Args):
		// Packaged units do this too: only what the text does is unusual.
		f.add("shell_program", 0.15, "%s reads commands from its arguments", show(base))
	case runtime && (inlineCode(f.img.Args) || base == "osascript" && strings.Contains(f.img.Args, "-e")):
		f.add("inline_code", 1, "%s runs code of its command line", p.is)
	}
	f.forwards()
	if !shell && !runtime && !env && !interesting(text) && !strings.Contains(text, "/dev/tcp") && base != "nc" && base != "ncat" && base != "socat" && base != "curl" && base != "wget" {
		return
	}
	f.signs(text)
	if _, as, ok := strings.Cut(text, "exec -a"); ok && strings.HasPrefix(strings.TrimLeft(as, ` '"`), "[") {
		f.add("masquerade", 1, "it gives what it runs the name of a thread of the kernel")
	}
	fetch := strings.Contains(text, "curl ") || strings.Contains(text, "wget ") || strings.Contains(text, "fetch ") || strings.Contains(text, "urlopen") || strings.Contains(text, "urlretrieve")
	run := false
	for _, w := range []string{"| sh", "|sh", "| bash", "|bash", "| python", "|python", "| perl", "| sudo", "chmod +x", "chmod 7", "chmod a+x", "| zsh", "| /bin/", "|/bin/", "eval", "exec(", "bash <(", "$(curl", "$(wget", "`curl", "`wget"} {
		run = run || strings.Contains(text, w)
	}
	if fetch && run {
		f.add("download", 1.1, "it fetches what it runs from the network")
	}
	if strings.Contains(text, "base64 -d") || strings.Contains(text, "base64 --decode") || strings.Contains(text, "base64 -D") || strings.Contains(text, "b64decode") || strings.Contains(text, "xxd -r") || strings.Contains(text, "openssl enc -d") || strings.Contains(text, "openssl base64 -d") {
		f.add("encoded", 1, "the command is encoded")
		if run {
			f.add("in_memory_code", 1, "what is decoded is run at once")
		}
	}
	if runtime && strings.Contains(text, "socket") && strings.Contains(text, "connect") {
		f.add("reverse_shell", 1, "code on the command line connects to the network")
	}
	// What a shell or runtime is handed counts like a program.
	if shell || runtime || env {
		inline := shell && inlineShell(f.img.Args) || inlineCode(f.img.Args)
		for w := range strings.FieldsSeq(f.img.Args) {
			w = strings.Trim(w, `"';()&`)
			if !strings.HasPrefix(w, "/") || len(w) > 1024 {
				continue
			}
			switch p := unixPlace(cleanUnix(w), f.in.Kind, f.userUnit()); p.factor {
			case "everybodys_directory":
				scale := p.scale
				switch {
				case strings.HasPrefix(w, "/dev/shm/"):
				case strings.HasPrefix(w, "/dev/"), strings.HasPrefix(w, "/proc/"), strings.HasPrefix(w, "/sys/"), strings.HasPrefix(w, "/run/"), strings.HasPrefix(w, "/var/run/"), strings.HasPrefix(w, "/var/lock/"), strings.HasPrefix(w, "/var/spool/"):
					continue // devices, sockets, settings: what scripts of units are about
				case inline:
					scale *= 0.8 // scripts clean up there
				}
				f.add(p.factor, scale, "it is handed %s: %s", show(w), p.why)
			case "hidden_file":
				f.add(p.factor, p.scale*0.8, "it is handed %s: %s", show(w), p.why)
			case "user_directory":
				f.add(p.factor, p.scale*0.8, "it is handed %s: %s", show(w), p.why)
			}
		}
	}
}

func inlineShell(args string) bool {
	for w := range strings.FieldsSeq(clip(args, 256)) {
		if !strings.HasPrefix(w, "-") {
			return false
		}
		if strings.Contains(w, "c") && !strings.HasPrefix(w, "--") {
			return true
		}
	}
	return false
}

func (f *finder) unixNames(label, base string, t tool) {
	lower := strings.ToLower(label)
	if i := strings.IndexByte(lower, '@'); i > 0 {
		lower = lower[:i]
	}
	if f.in.Kind == Launchd {
		if strings.HasPrefix(lower, "com.apple.") && !applePlace(f.img.Program) {
			f.add("false_vendor", 2, "the label %s claims Apple, but the program is %s", show(label), show(f.img.Program))
		} else if n := near(strings.SplitN(lower+".", ".", 3)[1], []imitable{{"apple", "apple"}, {"google", lookalikes.Replace("google")}, {"microsoft", lookalikes.Replace("microsoft")}, {"adobe", "adobe"}}, 5); n != "" && strings.HasPrefix(lower, "com.") {
			f.add("near_system_name", 1, "the label %s is nearly one of %s", show(label), n)
		}
		if i := strings.LastIndexByte(label, '.'); i >= 0 {
			label = label[i+1:]
		}
	}
	if !f.lists.known[lower] && f.in.Kind != Launchd {
		if n := near(lower, f.lists.units, 4); n != "" {
			f.add("near_system_name", 1, "%s is nearly %s", show(label), n)
		}
	}
	if f.lists.known[strings.ToLower(base)] && base != "" && !ordinaryUnixPlace(f.img.Program) {
		for i := range f.lists.units {
			if f.lists.units[i].name == strings.ToLower(base) {
				f.add("masquerade", 1, "%s is a program of the system, but not in %s", show(base), show(dir(f.img.Program)))
				break
			}
		}
	}
	if f.img.Program != "" && unixBorrowed[base] && !ordinaryUnixPlace(f.img.Program) {
		f.add("masquerade", 1, "%s is a program of the system, but not in %s", show(base), show(dir(f.img.Program)))
	}
	// Kernel threads are shown in brackets; a file is never called so.
	if strings.HasPrefix(base, "[") || strings.HasPrefix(label, "[") || strings.HasPrefix(base, "kworker") {
		f.add("masquerade", 1, "%s is named like a thread of the kernel", show(base))
	}
	if t.is != "" {
		return
	}
	if r := f.unixRandomness(label); r > 0 {
		f.add("random_name", r, "%s looks drawn at random", show(label))
	}
	if r := f.unixRandomness(base); r > 0 && base != label && base != "" {
		f.add("random_program", r, "%s looks drawn at random", show(base))
	}
}

// unixRandomness takes short names half as seriously: those of daemons are
// abbreviations that no language would make (ptp4l).
func (f *finder) unixRandomness(name string) float64 {
	r := f.lists.randomness(name)
	if len(name) < 7 {
		r *= 0.5
	}
	return r
}

func applePlace(p string) bool {
	for _, dir := range []string{"/System/", "/usr/libexec/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/", "/Library/Apple/", "/Applications/Xcode", "/Library/Developer/", "/Applications/Safari", "/Library/PrivilegedHelperTools/com.apple.", "/Applications/"} {
		if strings.HasPrefix(p, dir) {
			return dir != "/bin/" && dir != "/usr/bin/" || !shellName(baseName(p))
		}
	}
	return p == ""
}

func shellName(base string) bool {
	c := programs[base].class
	return c == classShell || c == classRuntime && base != "awk" || base == "zsh" || base == "dash" || base == "ksh" || base == "curl"
}

// ordinaryUnixPlace reports whether a program lies where packages and
// administrators put services.
func ordinaryUnixPlace(p string) bool {
	for _, dir := range []string{"/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/opt/", "/snap/", "/nix/", "/gnu/", "/etc/init.d/", "/System/", "/Library/", "/Applications/", "/var/lib/snapd/"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return strings.IndexByte(p, '/') < 0
}

func nonEmpty(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
