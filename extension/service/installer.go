package service

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// How well a process fits an install, before its time counts.
const (
	fitsExactly = 100 // it names the service and does this to it
	fitsNearly  = 80  // it names the service's file or program
	fitsPlace   = 60  // it writes into the directory
	fitsKind    = 45  // it does such things, to something it doesn't name
	fitsWeakly  = 20  // it tells the manager to look
	leastFit    = 12  // below it, nobody is named
)

// The bounds of the search.
const (
	maxCandidates = 2000
	// before is how long before an install a process may have started, in seconds;
	// after by how much clocks may differ.
	beforeAny     = 120
	beforeSeen    = 900   // the install's time is when somebody looked
	beforeManager = 1800  // package managers and installers
	beforeEditor  = 14400 // editors
	afterAny      = 2
)

// Installer finds the process that did what an install tells, among processes that
// were seen around its time. best is its place in candidates, -1 when none fits;
// why says in words what it did.
func Installer(in *evidence.Install, candidates []evidence.Process) (best int, why string) {
	return NewCandidates(candidates).Installer(in)
}

// Candidates are processes that may have made services, each understood once however
// many those are. They are not safe for concurrent use.
type Candidates struct {
	List   []evidence.Process
	parsed map[parsing]*cmdline.Result
}

// parsing is one process, understood for a platform.
type parsing struct {
	candidate int
	platform  evidence.Platform
}

// NewCandidates returns the candidates of a list, which stays theirs.
func NewCandidates(list []evidence.Process) *Candidates {
	return &Candidates{List: list, parsed: map[parsing]*cmdline.Result{}}
}

func (c *Candidates) understand(i int, platform evidence.Platform) *cmdline.Result {
	key := parsing{i, platform}
	res := c.parsed[key]
	if res == nil {
		p := &c.List[i]
		r := cmdline.Parse(cmdline.Input{Text: p.CmdLine, Platform: platform, Path: p.Path, CWD: p.CWD, OriginalFileName: p.OriginalFileName, ArgsJoined: p.ArgsJoined})
		res = &r
		c.parsed[key] = res
	}
	return res
}

// Installer is as the function of that name.
func (c *Candidates) Installer(in *evidence.Install) (best int, why string) {
	best = -1
	candidates := c.List
	var order []int
	for i := range candidates {
		p := &candidates[i]
		if p.Platform != "" && in.Platform != "" && p.Platform != in.Platform {
			continue
		}
		if d := in.Time - p.Time; d >= -afterAny && d <= beforeEditor {
			order = append(order, i)
		}
	}
	// The nearest first; of one second, those that came later are nearer.
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(distance(in, &candidates[a]), distance(in, &candidates[b])), cmp.Compare(b, a))
	})
	order = order[:min(len(order), maxCandidates)]
	t := targetOf(in)
	most := 0.0
	for _, i := range order {
		p := &candidates[i]
		f := t.judge(p, func() *cmdline.Result { return c.understand(i, in.Platform) })
		if f.strength == 0 {
			continue
		}
		d := in.Time - p.Time
		reach := max(f.reach, beforeAny)
		if in.TimeBasis == evidence.BasisFirstSeen || in.TimeBasis == "" {
			reach = max(reach, beforeSeen)
		}
		if d > reach {
			continue
		}
		// Nearness decides between two that fit alike, not between a good and a bad fit.
		score := f.strength * (1 - 0.4*float64(max(d, 0))/float64(reach))
		if score > most && score >= leastFit {
			most, best = score, i
			why = fmt.Sprintf("%s, %d s before", f.why, max(d, 0))
		}
	}
	return best, why
}

func distance(in *evidence.Install, p *evidence.Process) int64 {
	if d := in.Time - p.Time; d >= 0 {
		return d
	}
	return p.Time - in.Time
}

// fit is how well a process fits, and what it does.
type fit struct {
	strength float64
	why      string
	reach    int64 // seconds before the install it may have started
}

// target is what an install's doer must have named or written.
type target struct {
	in *evidence.Install
	// names are those of the service, in lower case on Windows.
	names map[string]bool
	// files are what was written, made or removed, dirs their directories.
	files map[string]bool
	dirs  map[string]bool
	bases map[string]bool
	// program is the base name of what the service runs.
	program string
}

func targetOf(in *evidence.Install) *target {
	t := &target{in: in, names: map[string]bool{}, files: map[string]bool{}, dirs: map[string]bool{}, bases: map[string]bool{}}
	name := func(s string) {
		if s = t.fold(strings.TrimSpace(s)); s != "" {
			t.names[s] = true
		}
	}
	name(in.Name)
	if t.windows() {
		name(in.DisplayName)
	}
	for _, suffix := range []string{".service", ".plist"} {
		if base, ok := strings.CutSuffix(in.Name, suffix); ok {
			name(base)
		}
	}
	file := func(p string, dir bool) {
		if p = spelled(p); strings.HasPrefix(p, "/") && p != "/dev/null" && len(t.files) < 64 {
			t.files[p] = true
			t.bases[path.Base(p)] = true
			if dir {
				t.dirs[path.Dir(p)] = true
			}
		}
	}
	if !t.windows() {
		file(in.UnitPath, true)
		for _, c := range in.Changes {
			key, values, _ := strings.Cut(c, ": ")
			switch key {
			case "drop_ins", "links", "unit_path", "link_target":
				before, after, _ := strings.Cut(values, " -> ")
				for _, list := range []string{before, after} {
					for p := range strings.SplitSeq(list, ", ") {
						file(p, key != "link_target")
					}
				}
			case "program", "on_disk", "contents", "package_verified", "writable_by_others":
				file(in.Path, false)
			}
		}
		if in.Kind == string(Launchd) && in.UnitPath != "" {
			name(strings.TrimSuffix(path.Base(in.UnitPath), ".plist"))
		}
	}
	t.program = t.fold(path.Base(strings.ReplaceAll(nonEmpty(in.Path, NormalizeImagePath(in.ImagePath, Kind(in.Kind)).Program), `\`, "/")))
	if t.program == "." {
		t.program = ""
	}
	return t
}

func (t *target) windows() bool {
	return t.in.Platform == evidence.Windows || t.in.Platform == "" && !Kind(t.in.Kind).Unix() && t.in.UnitPath == ""
}

func (t *target) fold(s string) string {
	if t.windows() {
		return strings.ToLower(s)
	}
	return s
}

// spelled writes a path of a Unix host the one usual way.
func spelled(p string) string {
	if p == "" || len(p) > 4096 {
		return ""
	}
	p = strings.TrimPrefix(path.Clean(p), "/private")
	if strings.HasPrefix(p, "/lib/") {
		p = "/usr" + p
	}
	return p
}

// at is the path a word of a process's command line names.
func at(p *evidence.Process, word string) string {
	if word == "" {
		return ""
	}
	if !strings.HasPrefix(word, "/") {
		if strings.HasPrefix(word, "-") || !strings.HasPrefix(p.CWD, "/") {
			return ""
		}
		return spelled(strings.Trim(p.CWD, `"`) + "/" + word)
	}
	return spelled(word)
}

// named reports whether a word is the service's name, as its manager takes it.
func (t *target) named(word string) bool {
	word = t.fold(strings.Trim(word, `"'`))
	return word != "" && (t.names[word] || t.names[word+".service"] || t.names[path.Base(word)] && !t.windows() && strings.Contains(word, "/"))
}

func (t *target) namedIn(words []string) bool { return slices.ContainsFunc(words, t.named) }

// judge is the best fit of what a process runs.
func (t *target) judge(p *evidence.Process, understand func() *cmdline.Result) fit {
	if t.in.InstallerPID != 0 && p.PID == t.in.InstallerPID {
		return fit{fitsExactly + 1, "the event names this process", beforeEditor}
	}
	var best fit
	take := func(f fit) {
		if f.strength > best.strength {
			best = f
		}
	}
	res := understand()
	for i := range res.Commands {
		c := &res.Commands[i]
		f := t.command(p, c)
		if c.RemoteHost != "" && !local(c.RemoteHost, p.Host) {
			f.strength *= 0.3 // it does it to another machine
		}
		if c.Depth > 0 {
			f.strength -= 2 // of a wrapper and what it starts, that did it
		}
		take(f)
	}
	take(t.process(p))
	if p.ContainerID != "" {
		best.strength *= 0.3 // it sees other files than the host's
	}
	return best
}

func local(host, own string) bool {
	host = strings.ToLower(strings.Trim(host, `\`))
	return host == "" || host == "." || host == "localhost" || host == "127.0.0.1" || host == "::1" || own != "" && strings.EqualFold(host, own)
}

// does says how well an action fits that a tool is known for: fully for the first,
// less for the others, hardly when the install is something else.
func (t *target) does(strength float64, actions ...string) float64 {
	for i, a := range actions {
		if a == t.in.Action || t.in.Action == "" {
			if i == 0 {
				return strength
			}
			return strength * 0.8
		}
	}
	return strength * 0.25
}

// command is how well one simple command fits.
func (t *target) command(p *evidence.Process, c *cmdline.Command) fit {
	what := "\"" + show(c.Canonical) + "\""
	if t.windows() {
		return t.windowsCommand(p, c, what)
	}
	var best fit
	take := func(strength float64, reach int64, format string, args ...any) {
		if strength > best.strength {
			best = fit{strength, what + " " + fmt.Sprintf(format, args...), reach}
		}
	}
	if c.OutputFile != "" && t.files[at(p, c.OutputFile)] {
		take(t.does(fitsExactly, evidence.Created, evidence.Modified, evidence.Enabled), 0, "writes %s", show(c.OutputFile))
	}
	switch c.Tool {
	case "systemctl":
		t.systemctl(c, take)
	case "launchctl":
		t.launchctl(p, c, take)
	case "systemd-run":
		take(t.transient(c.Arguments), 0, "starts a transient unit")
	case "update-rc.d", "chkconfig", "rc-update", "insserv", "initctl", "update-service", "rcctl", "sysrc", "deb-systemd-helper":
		if t.namedIn(c.Arguments) {
			off := slices.ContainsFunc(c.Arguments, func(w string) bool {
				return w == "remove" || w == "disable" || w == "off" || w == "--del" || w == "del" || w == "delete" || w == "-r"
			})
			if off {
				take(t.does(fitsExactly, evidence.Disabled, evidence.Removed), 0, "turns it off")
			} else {
				take(t.does(fitsExactly, evidence.Enabled, evidence.Created, evidence.Modified), 0, "turns it on")
			}
		}
	}
	if slices.Contains(c.Wrappers, "systemd-run") {
		words := strings.Fields(p.CmdLine)
		take(max(t.transient(words), t.runs(c)), 0, "is run as a transient unit")
	}
	t.writes(p, c, take)
	t.installs(c, take)
	return best
}

// systemctl is how well one call of it fits.
func (t *target) systemctl(c *cmdline.Command, take func(float64, int64, string, ...any)) {
	named := t.namedIn(c.Target)
	for _, w := range c.Target {
		named = named || t.bases[path.Base(w)] && strings.Contains(w, "/")
	}
	if !named {
		switch c.Verb {
		case "daemon-reload", "daemon-reexec", "preset-all", "reenable":
			take(fitsWeakly, 0, "has systemd read its units anew")
		}
		return
	}
	switch c.Verb {
	case "enable", "reenable", "preset", "add-wants", "add-requires":
		take(t.does(fitsExactly, evidence.Enabled, evidence.Created, evidence.Modified), 0, "turns it on")
	case "link":
		take(t.does(fitsExactly, evidence.Created, evidence.Enabled, evidence.Modified), 0, "links its file")
	case "unmask":
		take(t.does(fitsExactly, evidence.Enabled, evidence.Modified), 0, "unmasks it")
	case "disable", "mask":
		take(t.does(fitsExactly, evidence.Disabled, evidence.Removed, evidence.Modified), 0, "turns it off")
	case "edit":
		take(t.does(fitsExactly, evidence.Modified, evidence.Created), beforeEditor, "edits it")
	case "set-property", "revert":
		take(t.does(fitsExactly, evidence.Modified, evidence.Created, evidence.Removed), 0, "changes it")
	}
}

// transient is how well the words of systemd-run fit.
func (t *target) transient(words []string) float64 {
	for i, w := range words {
		name, ok := strings.CutPrefix(w, "--unit=")
		if !ok && (w == "--unit" || w == "-u") && i+1 < len(words) {
			name, ok = words[i+1], true
		}
		if ok && (t.named(name) || t.names[name+".timer"] || t.names[name+".socket"] || t.names[name+".path"]) {
			return t.does(fitsExactly, evidence.Created, evidence.Modified)
		}
	}
	if strings.Contains(t.in.UnitPath, "/systemd/transient/") {
		return t.does(fitsKind, evidence.Created)
	}
	return 0
}

// runs is how well a command fits that systemd-run starts.
func (t *target) runs(c *cmdline.Command) float64 {
	if t.program == "" || !strings.Contains(t.in.UnitPath, "/systemd/transient/") {
		return 0
	}
	if c.Tool == strings.ToLower(t.program) || strings.HasPrefix(t.program, c.Tool+".") {
		return t.does(fitsNearly, evidence.Created)
	}
	return 0
}

// launchctl is how well one call of it fits.
func (t *target) launchctl(p *evidence.Process, c *cmdline.Command, take func(float64, int64, string, ...any)) {
	named := false
	for _, w := range c.Target {
		label := w[strings.LastIndexByte(w, '/')+1:]
		named = named || t.files[at(p, w)] || t.names[label] || t.names[strings.TrimSuffix(label, ".plist")]
	}
	for _, w := range c.Target {
		if !named && t.dirs[strings.TrimSuffix(at(p, w), "/")] {
			take(t.does(fitsPlace, evidence.Created, evidence.Enabled, evidence.Modified), 0, "loads all of its directory")
		}
	}
	if !named {
		return
	}
	switch c.Verb {
	case "load", "bootstrap", "enable", "submit", "kickstart":
		take(t.does(fitsExactly, evidence.Created, evidence.Enabled, evidence.Modified), 0, "loads it")
	case "unload", "bootout", "disable", "remove":
		take(t.does(fitsExactly, evidence.Disabled, evidence.Removed, evidence.Modified), 0, "unloads it")
	}
}

// readers only look at files.
func reader(tool string) bool {
	switch tool {
	case "cat", "less", "more", "head", "tail", "grep", "egrep", "zgrep", "ls", "stat", "file", "find", "md5sum", "sha1sum", "sha256sum", "diff", "cmp", "wc", "test", "[", "readlink",
		"realpath", "namei", "strings", "xxd", "hexdump", "od", "getfacl", "lsattr", "systemd-analyze", "systemd-cat", "journalctl", "which", "type", "awk", "osqueryi", "osqueryd", "rollcall",
		"auditctl", "dpkg-query", "debsums", "busctl", "launchctl", "systemctl", "service", "echo", "printf":
		return true
	}
	return false
}

func editor(tool string) bool {
	switch tool {
	case "vi", "vim", "nvim", "view", "nano", "pico", "emacs", "emacsclient", "micro", "joe", "mcedit", "ed", "ex", "kate", "gedit", "code", "helix", "hx", "ne", "jed", "sensible-editor", "editor", "bbedit", "textedit":
		return true
	}
	return strings.HasPrefix(tool, "vim.") || strings.HasPrefix(tool, "emacs-")
}

// writes is how well a command fits that writes, moves or removes files.
func (t *target) writes(p *evidence.Process, c *cmdline.Command, take func(float64, int64, string, ...any)) {
	words := c.Arguments
	hit := ""
	for _, w := range words {
		if t.files[at(p, w)] {
			hit = w
			break
		}
	}
	change := func(strength float64) float64 {
		return t.does(strength, evidence.Created, evidence.Modified, evidence.Enabled, evidence.Disabled)
	}
	switch tool := c.Tool; {
	case tool == "cp" || tool == "mv" || tool == "install" || tool == "ln" || tool == "rsync" || tool == "scp" || tool == "ditto" || tool == "link":
		sources, dest := copied(words)
		to := at(p, dest)
		switch {
		case dest == "":
		case t.files[to]:
			take(change(fitsExactly), 0, "writes %s", show(dest))
		case t.dirs[strings.TrimSuffix(to, "/")] && slices.ContainsFunc(sources, func(s string) bool { return t.bases[path.Base(s)] }):
			take(change(fitsExactly), 0, "puts it into %s", show(dest))
		case t.dirs[strings.TrimSuffix(to, "/")]:
			take(change(fitsPlace), 0, "writes into %s", show(dest))
		}
		if tool == "mv" && slices.ContainsFunc(sources, func(s string) bool { return t.files[at(p, s)] }) {
			take(t.does(fitsExactly, evidence.Removed, evidence.Disabled), 0, "moves it away")
		}
	case tool == "rm" || tool == "unlink" || tool == "shred" || tool == "srm" || tool == "rmdir":
		if hit != "" {
			take(t.does(fitsExactly, evidence.Removed, evidence.Disabled, evidence.Modified), 0, "removes %s", show(hit))
			break
		}
		for _, w := range words {
			dir := strings.TrimSuffix(strings.TrimSuffix(at(p, w), "/*"), "/")
			for d := range t.dirs {
				if dir != "" && (d == dir || strings.HasPrefix(d, dir+"/")) {
					take(t.does(fitsNearly, evidence.Removed, evidence.Disabled, evidence.Modified), 0, "removes %s", show(w))
				}
			}
		}
	case editor(tool):
		if hit != "" {
			take(change(fitsExactly), beforeEditor, "edits %s", show(hit))
		}
	case tool == "tee" || tool == "sed" || tool == "perl" || tool == "truncate" || tool == "patch" || tool == "crudini" || tool == "augtool" || tool == "ansible-doc":
		if hit != "" {
			take(change(fitsExactly), 0, "writes %s", show(hit))
		}
	case tool == "chmod" || tool == "chown" || tool == "chgrp" || tool == "setfacl" || tool == "chattr" || tool == "touch" || tool == "chcon" || tool == "xattr":
		if hit != "" {
			take(t.does(fitsPlace, evidence.Modified, evidence.Created), 0, "changes %s", show(hit))
		}
	case tool == "curl" || tool == "wget" || tool == "aria2c" || tool == "sftp" || tool == "dd" || tool == "base64" || tool == "openssl" || tool == "gpg" || tool == "tar" || tool == "bsdtar" || tool == "unzip" || tool == "cpio" || tool == "7z":
		for _, w := range words {
			if name, value, ok := strings.Cut(w, "="); ok && (name == "of" || name == "--output" || name == "--output-document" || name == "--directory" || name == "--directory-prefix") {
				w = value
			}
			to := at(p, w)
			switch {
			case t.files[to]:
				take(change(fitsExactly), 0, "writes %s", show(w))
			case t.dirs[strings.TrimSuffix(to, "/")]:
				take(change(fitsPlace), 0, "writes into %s", show(w))
			}
		}
	case tool == "defaults" || tool == "plistbuddy" || tool == "plutil":
		for _, w := range words {
			if t.files[at(p, w)] || t.files[at(p, w)+".plist"] {
				take(change(fitsExactly), 0, "writes %s", show(w))
			}
		}
	case reader(tool):
	default:
		// A program or a script's text that names the file.
		for f := range t.files {
			if len(f) > 8 && (hit != "" || strings.Contains(c.Canonical, f)) {
				take(change(fitsNearly-5), 0, "names %s", show(f))
				break
			}
		}
	}
}

// copied are the sources and the destination of cp and its like.
func copied(words []string) (sources []string, dest string) {
	var plain []string
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-t" || w == "--target-directory":
			if i+1 < len(words) {
				i++
				dest = words[i]
			}
		case strings.HasPrefix(w, "--target-directory="):
			dest = strings.TrimPrefix(w, "--target-directory=")
		case w == "-m" || w == "-o" || w == "-g" || w == "-S" || w == "--mode" || w == "--owner" || w == "--group" || w == "-e" || w == "-i" || w == "-P":
			if w != "-P" && w != "-i" { // options of cp without a value
				i++
			}
		case strings.HasPrefix(w, "-"):
		default:
			plain = append(plain, w)
		}
	}
	if dest == "" && len(plain) > 1 {
		dest = plain[len(plain)-1]
		plain = plain[:len(plain)-1]
	}
	return plain, dest
}

// packageTool says what a package manager is asked to do.
func packageTool(c *cmdline.Command) (manager, removes bool) {
	for _, w := range c.Arguments {
		switch w {
		case "remove", "purge", "erase", "-r", "-P", "-R", "-Rs", "-Rns", "-e", "--remove", "--purge", "autoremove", "uninstall", "del":
			removes = true
		}
	}
	switch c.Tool {
	case "apt", "apt-get", "aptitude", "dpkg", "rpm", "dnf", "dnf5", "yum", "zypper", "apk", "pacman", "pamac", "microdnf", "tdnf", "rpm-ostree", "emerge", "xbps-install", "snap", "flatpak", "nix", "nix-env",
		"unattended-upgrade", "unattended-upgrades", "packagekitd", "eopkg", "opkg", "swupd", "brew", "port", "installer", "softwareupdate", "installd", "dpkg-deb", "gdebi", "alien", "snapd", "pkgutil":
		return true, removes
	}
	return false, false
}

// installs is how well a package manager, an installer or management fits.
func (t *target) installs(c *cmdline.Command, take func(float64, int64, string, ...any)) {
	if manager, removes := packageTool(c); manager {
		actions := []string{evidence.Created, evidence.Modified, evidence.Enabled, evidence.Disabled}
		if removes {
			actions = []string{evidence.Removed, evidence.Disabled, evidence.Modified}
		}
		named := false
		for _, w := range c.Arguments {
			base := path.Base(w)
			named = named || t.in.Package != "" && (base == t.in.Package || strings.HasPrefix(base, t.in.Package+"_") || strings.HasPrefix(base, t.in.Package+"-") || strings.HasPrefix(base, t.in.Package+"="))
			named = named || t.in.Package == "" && t.named(base)
		}
		switch {
		case named:
			take(t.does(fitsNearly+10, actions...), beforeManager, "has its package")
		case t.in.Package != "":
			take(t.does(fitsKind+10, actions...), beforeManager, "handles packages, and it is of one")
		default:
			take(t.does(fitsKind-15, actions...), beforeManager, "handles packages")
		}
		return
	}
	words := strings.Join(c.Arguments[:min(len(c.Arguments), 6)], " ")
	switch {
	case t.in.Package != "" && t.in.PackageVerified == evidence.Yes:
	case c.Tool == "make" && strings.Contains(words, "install"), c.Tool == "pip" || c.Tool == "pip3" || c.Tool == "npm" || c.Tool == "gem" || c.Tool == "pipx" || c.Tool == "uv",
		c.Tool == "cmake" && strings.Contains(words, "--install"), c.Tool == "ninja" && strings.Contains(words, "install"), strings.HasSuffix(c.Tool, ".run"), strings.Contains(c.Tool, "install") && c.Tool != "install":
		take(t.does(fitsKind-10, evidence.Created, evidence.Modified, evidence.Enabled), beforeManager, "installs software")
	case strings.Contains(words, "AnsiballZ_") || c.Tool == "puppet" || c.Tool == "chef-client" || c.Tool == "salt-call" || c.Tool == "salt-minion" || c.Tool == "cloud-init":
		take(t.does(fitsKind-5, evidence.Modified, evidence.Created, evidence.Enabled, evidence.Disabled, evidence.Removed), beforeManager, "manages this host")
	}
}

// windowsCommand is how well one simple command fits on Windows.
func (t *target) windowsCommand(p *evidence.Process, c *cmdline.Command, what string) fit {
	var best fit
	take := func(strength float64, reach int64, format string, args ...any) {
		if strength > best.strength {
			best = fit{strength, what + " " + fmt.Sprintf(format, args...), reach}
		}
	}
	named := t.namedIn(c.Target)
	create := func(strength float64) float64 { return t.does(strength, evidence.Created, evidence.Modified) }
	change := func(strength float64) float64 {
		return t.does(strength, evidence.Modified, evidence.Enabled, evidence.Disabled, evidence.Created)
	}
	switch tool := c.Tool; tool {
	case "sc":
		switch {
		case !named:
		case c.Verb == "create":
			take(create(fitsExactly), 0, "creates it")
		case c.Verb == "config" || c.Verb == "failure" || c.Verb == "sdset" || c.Verb == "description" || c.Verb == "privs" || c.Verb == "sidtype" || c.Verb == "triggerinfo":
			take(change(fitsExactly), 0, "changes it")
		case c.Verb == "delete":
			take(t.does(fitsExactly, evidence.Removed), 0, "deletes it")
		}
	case "new-service":
		if named {
			take(create(fitsExactly), 0, "creates it")
		}
	case "set-service":
		if named {
			take(change(fitsExactly), 0, "changes it")
		}
	case "remove-service":
		if named {
			take(t.does(fitsExactly, evidence.Removed), 0, "deletes it")
		}
	case "reg", "new-item", "new-itemproperty", "set-itemproperty", "set-item", "remove-item", "remove-itemproperty", "regedit", "reg.exe":
		key := named || t.registry(c.Canonical)
		switch {
		case !key:
			if tool == "regedit" || tool == "reg" && (c.Verb == "import" || c.Verb == "restore") {
				take(change(fitsKind-15), 0, "imports registry keys")
			}
		case strings.HasPrefix(tool, "remove") || c.Verb == "delete":
			take(t.does(fitsExactly, evidence.Removed, evidence.Modified), 0, "deletes its registry key")
		case c.Verb == "query" || c.Verb == "export" || c.Verb == "save":
		default:
			take(t.does(fitsExactly-1, evidence.Created, evidence.Modified, evidence.Enabled, evidence.Disabled), 0, "writes its registry key")
		}
	case "wmic", "invoke-cimmethod", "invoke-wmimethod", "get-wmiobject", "get-ciminstance":
		made := slices.Contains(c.Members, "create")
		changed := slices.Contains(c.Members, "change") || slices.Contains(c.Members, "changestartmode")
		named = named || t.mentions(c.Canonical)
		switch {
		case made && named:
			take(create(fitsExactly), 0, "creates it")
		case made && c.Object == "service":
			take(create(fitsKind), 0, "creates a service")
		case changed && named:
			take(change(fitsExactly), 0, "changes it")
		case slices.Contains(c.Members, "delete") && named:
			take(t.does(fitsExactly, evidence.Removed), 0, "deletes it")
		}
	case "nssm", "winsw", "instsrv", "srvinstw", "servy-cli":
		if t.namedIn(c.Arguments) {
			if slices.Contains(c.Arguments, "remove") {
				take(t.does(fitsExactly, evidence.Removed), 0, "deletes it")
			} else {
				take(create(fitsExactly), 0, "creates it")
			}
		}
	case "pnputil", "devcon", "fltmc", "infdefaultinstall", "rundll32", "drvinst", "drvload":
		if Kind(t.in.Kind) == Driver && (tool != "rundll32" || strings.Contains(strings.ToLower(c.Canonical), "installhinfsection")) {
			take(create(fitsPlace), beforeManager, "installs drivers")
		}
	case "installutil":
		if t.program != "" && strings.Contains(strings.ToLower(c.Canonical), t.program) {
			take(create(fitsNearly), 0, "installs the services of its program")
		}
	case "msiexec", "winget", "choco", "scoop", "setup", "dism", "wusa", "update", "trustedinstaller", "ccmexec", "ccmsetup":
		take(t.does(fitsKind, evidence.Created, evidence.Modified, evidence.Removed, evidence.Enabled), beforeManager, "installs software")
	case "install-service", "install-module", "register-service":
		take(create(fitsKind-5), 0, "installs software")
	}
	if t.remoteTool(c) {
		take(create(fitsNearly+10), 0, "runs commands by a service like it")
	}
	if !reader(c.Tool) && best.strength == 0 && (t.setup(c.Tool) || t.setup(winargv.Base(p.Path)) && c.Depth == 0) {
		take(t.does(fitsKind-5, evidence.Created, evidence.Modified, evidence.Removed), beforeManager, "looks like an installer")
	}
	return best
}

// registry reports whether text names the service's registry key.
func (t *target) registry(text string) bool {
	lower := strings.ReplaceAll(strings.ToLower(text), "/", `\`)
	for n := range t.names {
		i := strings.Index(lower, `\services\`+n)
		if i < 0 {
			continue
		}
		rest := lower[i+len(`\services\`)+len(n):]
		if rest == "" || strings.IndexByte(` \"'`, rest[0]) >= 0 {
			return true
		}
	}
	return false
}

// mentions reports whether text has one of the service's names as a word.
func (t *target) mentions(text string) bool {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(" \t\"'=,;{}()@", r) })
	return slices.ContainsFunc(words, func(w string) bool { return t.names[w] })
}

// remoteTool reports whether the service is one that a tool for running commands
// elsewhere makes, and the command is that tool.
func (t *target) remoteTool(c *cmdline.Command) bool {
	for _, tool := range [...]struct{ name, service string }{
		{"psexec", "psexesvc"}, {"psexec64", "psexesvc"}, {"paexec", "paexec"}, {"remcom", "remcomsvc"}, {"csexec", "csexecsvc"}, {"winexe", "winexesvc"}, {"xcmd", "xcmdsvc"},
	} {
		if c.Tool != tool.name && !slices.Contains(c.Wrappers, tool.name) {
			continue
		}
		for n := range t.names {
			if strings.HasPrefix(n, tool.service) {
				return true
			}
		}
		if strings.HasPrefix(t.program, tool.service) {
			return true
		}
	}
	return false
}

// setup reports whether a program is called like an installer.
func (t *target) setup(base string) bool {
	base = strings.ToLower(base)
	return strings.Contains(base, "setup") || strings.Contains(base, "install") && base != "installutil" || strings.HasSuffix(base, "_installer")
}

// process is how well the process itself fits: a program that makes a service of
// itself.
func (t *target) process(p *evidence.Process) fit {
	base := t.fold(path.Base(strings.ReplaceAll(p.Path, `\`, "/")))
	if base == "." || base == "" || t.program == "" || base != t.program || len(p.CmdLine) > 4096 {
		return fit{}
	}
	for w := range strings.FieldsSeq(strings.ToLower(p.CmdLine)) {
		switch strings.TrimLeft(w, "-/") {
		case "install", "i", "service-install", "installservice", "install-service", "register", "regserver", "svcinstall", "setup":
			return fit{t.does(fitsNearly, evidence.Created, evidence.Modified, evidence.Enabled), "\"" + show(p.CmdLine) + "\" is its program and installs itself", 0}
		case "uninstall", "u", "remove", "unregister", "unregserver", "service-uninstall":
			return fit{t.does(fitsNearly, evidence.Removed, evidence.Disabled), "\"" + show(p.CmdLine) + "\" is its program and removes itself", 0}
		}
	}
	return fit{}
}
