package doctor

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// notHere is what checks of osquery say where there is none.
const notHere = "there is no osquery here"

func (p *patient) privileges() {
	if p.Superuser {
		p.say("privileges", OK, "all can be looked at", "")
		return
	}
	how := "run it as root: sudo rollcall doctor"
	if p.Platform == evidence.Windows {
		how = "run it as administrator"
	}
	p.say("privileges", Warn, "not root: what only root may look at is not known below", how)
}

// oldest is the first osquery that Rollcall works with.
const oldest = 5

func (p *patient) osquery() {
	if len(p.osqueries) == 0 {
		p.say("osquery", Warn, "osquery is in none of its usual places", "install it from https://osquery.io/downloads, or go on without: rollcall query --for 1m 'SELECT * FROM service_discovery_events'")
		return
	}
	var said []string
	state, remedy := OK, ""
	for _, o := range p.osqueries {
		s := o.kind + " at " + o.program
		version := p.version(o)
		if version != "" {
			s += ", " + version
		}
		if major, _, _ := strings.Cut(version, "."); o.kind == "osquery" && version != "" {
			if n, err := strconv.Atoi(major); err == nil && n < oldest {
				state, remedy = Warn, "upgrade to osquery 5 or later: https://osquery.io/downloads"
			}
		}
		said = append(said, s)
	}
	p.say("osquery", state, strings.Join(said, "; "), remedy)
}

// version is that of the package a program is of, or on macOS of its bundle.
func (p *patient) version(o osquery) string {
	if p.Package != nil {
		if name, version, ok := p.Package(o.program); ok {
			return version + " (package " + name + ")"
		}
	}
	if i := strings.Index(o.program, ".app/"); i >= 0 {
		data, err := p.read(o.program[:i]+".app/Contents/Info.plist", maxFlags)
		if err != nil {
			return ""
		}
		_, rest, _ := strings.Cut(string(data), "<key>CFBundleShortVersionString</key>")
		_, rest, ok := strings.Cut(rest, "<string>")
		if v, _, closed := strings.Cut(rest, "</string>"); ok && closed && len(v) < 64 {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (p *patient) running() {
	const name = "osquery_runs"
	o, found := p.main()
	switch {
	case !found:
		p.say(name, Skip, notHere, "")
	case p.Platform != evidence.Linux:
		p.say(name, Skip, "not known on this platform without starting a program", "look yourself: "+map[evidence.Platform]string{evidence.Windows: "Get-Service osqueryd, 'Fleet osquery'", evidence.Darwin: "sudo launchctl list | grep -e osquery -e orbit"}[p.Platform])
	default:
		for _, r := range p.processes {
			if r.name == "osqueryd" {
				p.say(name, OK, fmt.Sprintf("osqueryd runs (pid %d)", r.pid), "")
				return
			}
		}
		if strings.HasSuffix(o.program, "/osqueryi") {
			p.say(name, Warn, "there is osqueryi alone, which collects only while somebody uses it", "install the daemon, osqueryd")
			return
		}
		p.say(name, Fail, o.kind+" is installed, but no osqueryd runs", strings.Replace(o.service, "restart", "enable --now", 1))
	}
}

// extensions are the places our program is at, those that extensions.load names first.
func (p *patient) extensions() (out []string) {
	add := func(name string) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, e := range p.entries() {
		if p.ours(e) {
			add(e)
		}
	}
	for _, r := range p.processes {
		if r.name == "rollcall.ext" {
			add(r.args[0])
		}
	}
	for _, name := range map[evidence.Platform][]string{
		evidence.Linux:   {"/usr/lib/rollcall/rollcall.ext", "/usr/local/lib/osquery/rollcall.ext", "/usr/lib/osquery/rollcall.ext", "/opt/rollcall/rollcall.ext"},
		evidence.Darwin:  {"/opt/rollcall/rollcall.ext", "/usr/local/lib/osquery/rollcall.ext"},
		evidence.Windows: {`C:\Program Files\Rollcall\rollcall.ext.exe`, `C:\Program Files\osquery\extensions\rollcall.ext.exe`},
	}[p.Platform] {
		if p.exists(name) {
			add(name)
		}
	}
	return out
}

func (p *patient) ours(file string) bool { return strings.HasPrefix(p.base(file), "rollcall") }

func (p *patient) extensionFile() {
	const name = "extension_file"
	all := p.extensions()
	if len(all) == 0 {
		state := Fail
		if len(p.osqueries) == 0 {
			state = Warn
		}
		p.say(name, state, "rollcall.ext is in none of its usual places, and no extensions.load names it", "install Rollcall's package, which puts it there and names it in extensions.load")
		return
	}
	file := all[0]
	info, err := p.stat(file)
	switch {
	case missing(err):
		p.say(name, Fail, file+" is named, but is not there", "install Rollcall's package, or take the line out of extensions.load")
		return
	case err != nil:
		p.say(name, Skip, "it can't be looked at: "+err.Error(), p.sudo("rollcall doctor"))
		return
	case !info.Mode().IsRegular():
		p.say(name, Fail, file+" is not a regular file", "put the program there, not a directory or a device")
		return
	}
	ending := ".ext"
	if p.Platform == evidence.Windows {
		ending = ".ext.exe"
	}
	if !strings.HasSuffix(file, ending) {
		p.say(name, Fail, fmt.Sprintf("%s does not end in %s: osquery refuses it", file, ending), "rename it to rollcall"+ending+", and the line in extensions.load")
		return
	}
	if problem, remedy := p.foreign(file, info); problem != "" {
		p.say(name, Fail, problem+": osquery refuses it", remedy)
		return
	}
	if p.Platform != evidence.Windows && info.Mode().Perm()&0o111 == 0 {
		p.say(name, Fail, file+" may not be executed", p.sudo("chmod 0755 "+quoted(file)))
		return
	}
	built, err := p.built(file)
	if err != nil {
		p.say(name, Warn, file+" is not a program that was built from Rollcall: "+err.Error(), "install Rollcall's package anew")
		return
	}
	if built != "" && built != goos(p.Platform)+"/"+p.Arch {
		p.say(name, Fail, fmt.Sprintf("%s was built for %s, and this is %s/%s", file, built, goos(p.Platform), p.Arch), "install the package for this machine")
		return
	}
	p.say(name, OK, file+", root's alone", "")
}

func goos(p evidence.Platform) string { return string(p) }

// built is the system and machine that a program was built for, from what Go's linker
// writes into it; empty when it can't be read.
func (p *patient) built(file string) (string, error) {
	f, err := p.Files.Open(p.key(file))
	if err != nil {
		return "", nil //nolint:nilerr // others may not read it, which is no fault
	}
	defer func() { _ = f.Close() }() // only read
	r, ok := f.(io.ReaderAt)
	if !ok {
		return "", nil
	}
	info, err := buildinfo.Read(r)
	if err != nil {
		return "", errors.New("it has no build information of Go")
	}
	if !strings.Contains(info.Path, "rollcall") {
		return "", fmt.Errorf("it is %s", info.Path)
	}
	system, machine := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			system = s.Value
		case "GOARCH":
			machine = s.Value
		}
	}
	if system == "" || machine == "" {
		return "", nil
	}
	return system + "/" + machine, nil
}

// extensionDirectory looks at all directories above the program: whoever can write to
// one of them replaces it.
func (p *patient) extensionDirectory() {
	const name = "extension_directory"
	all := p.extensions()
	if len(all) == 0 || !p.exists(all[0]) {
		p.say(name, Skip, "there is no rollcall.ext", "")
		return
	}
	if p.Platform == evidence.Windows {
		p.say(name, Skip, "not looked at on Windows", `icacls "`+p.dir(all[0])+`": Users and Everyone may not write`)
		return
	}
	for i, dir := 0, p.dir(all[0]); ; i, dir = i+1, p.dir(dir) {
		info, err := p.stat(dir)
		if err != nil {
			p.say(name, Skip, "it can't be looked at: "+err.Error(), p.sudo("rollcall doctor"))
			return
		}
		if info.Mode()&fs.ModeSticky != 0 && i == 0 {
			p.say(name, Fail, dir+" is sticky, as directories for everybody are: osquery refuses extensions there", "move rollcall.ext to /usr/lib/rollcall, and change the line in extensions.load")
			return
		}
		if problem, remedy := p.foreign(dir, info); problem != "" {
			p.say(name, Fail, problem+": others could replace rollcall.ext", remedy)
			return
		}
		if dir == p.dir(dir) {
			break
		}
	}
	p.say(name, OK, p.dir(all[0])+" and all above it are root's alone", "")
}

// loadFile is the extensions.load that osqueryd reads.
func (p *patient) loadFile() string {
	if f := p.text("extensions_autoload"); f != "" {
		return f
	}
	o, _ := p.main()
	return o.load
}

// entries are the lines of extensions.load.
func (p *patient) entries() (out []string) {
	data, err := p.read(p.loadFile(), maxFlags)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "//") {
			out = append(out, line)
		}
	}
	return out
}

func (p *patient) autoload() {
	const name = "extension_autoload"
	o, found := p.main()
	file := p.loadFile()
	switch {
	case !found:
		p.say(name, Skip, notHere, "")
		return
	case file == "":
		p.say(name, Skip, o.kind+" decides itself what it loads", "name rollcall.ext in its configuration as an extension that is loaded by itself")
		return
	case p.on("disable_extensions", false):
		p.say(name, Fail, "osqueryd runs without extensions: disable_extensions"+p.from("disable_extensions"), "take --disable_extensions out, then "+o.service)
		return
	}
	program := "/usr/lib/rollcall/rollcall.ext"
	if all := p.extensions(); len(all) > 0 {
		program = all[0]
	}
	add := "echo " + quoted(program) + " | sudo tee -a " + quoted(file) + " && " + o.service
	if p.Platform == evidence.Windows {
		add = `Add-Content "` + file + `" '` + program + `'; ` + o.service
	}
	info, err := p.stat(file)
	switch {
	case missing(err):
		p.say(name, Fail, file+" is not there: osqueryd loads no extension", add)
		return
	case err != nil:
		p.say(name, Skip, "it can't be looked at: "+err.Error(), p.sudo("rollcall doctor"))
		return
	}
	if problem, remedy := p.foreign(file, info); problem != "" {
		p.say(name, Fail, problem+": others decide what root's osqueryd runs", remedy)
		return
	}
	var mine []string
	for _, e := range p.entries() {
		if p.ours(e) {
			mine = append(mine, e)
		} else if i, err := p.stat(e); err == nil && i.IsDir() && p.dir(program) == e {
			mine = append(mine, e)
		}
	}
	switch {
	case len(mine) == 0:
		p.say(name, Fail, file+" does not name rollcall.ext", add)
	case len(mine) > 1:
		p.say(name, Warn, fmt.Sprintf("%s names it %d times: the second one can't register", file, len(mine)), "leave one line of "+strings.Join(mine, ", ")+" in "+file)
	default:
		p.say(name, OK, file+" names "+mine[0], "")
	}
}

func (p *patient) require() {
	const name = "extensions_require"
	o, found := p.main()
	if !found {
		p.say(name, Skip, notHere, "")
		return
	}
	where := "add --extensions_require=rollcall to " + p.flagFile(o) + ", then " + o.service
	if o.kind != "osquery" {
		where = "add extensions_require: rollcall to the command line flags of the fleet's agent options"
	}
	require := p.text("extensions_require")
	if !slices.ContainsFunc(strings.Split(require, ","), func(s string) bool { return strings.TrimSpace(s) == "rollcall" }) {
		p.say(name, Warn, "osqueryd does not wait for rollcall: a pack that asks whether it is there stays off for an hour after each start", where)
		return
	}
	if n, err := strconv.Atoi(p.text("extensions_timeout")); err == nil && n < 3 {
		p.say(name, Warn, fmt.Sprintf("osqueryd waits %d s for rollcall%s, which a busy start takes longer than", n, p.from("extensions_timeout")), "set --extensions_timeout=10 in "+p.flagFile(o)+", then "+o.service)
		return
	}
	p.say(name, OK, "osqueryd waits for "+require, "")
}

// flagFile is the file that a remedy has flags written to.
func (p *patient) flagFile(o osquery) string {
	if len(p.flags.files) > 0 {
		return p.flags.files[0]
	}
	if p.FlagFile != "" {
		return p.FlagFile
	}
	if o.flags != "" {
		return o.flags
	}
	return "its flag file"
}

// maxSocket is what a socket's path may have, so that those of extensions fit.
const maxSocket = 97

func (p *patient) socket() {
	const name = "core_socket"
	o, found := p.main()
	file := p.text("extensions_socket")
	if file == "" {
		file = o.socket
	}
	switch {
	case !found:
		p.say(name, Skip, notHere, "")
		return
	case file == "" || p.Platform == evidence.Windows:
		p.say(name, Skip, "not looked at for "+o.kind+" on this platform", "")
		return
	case len(file) > maxSocket:
		p.say(name, Fail, fmt.Sprintf("the path of the socket has %d characters, at most %d work: %s", len(file), maxSocket, file), "set a shorter --extensions_socket in "+p.flagFile(o)+", then "+o.service)
		return
	}
	info, err := p.lstat(file)
	switch {
	case missing(err):
		p.say(name, Fail, file+" is not there: osqueryd does not run, or with another socket", o.service+"; then look at osqueryd's log")
	case err != nil:
		p.say(name, Skip, "it can't be looked at: "+err.Error(), p.sudo("rollcall doctor"))
	case info.Mode()&fs.ModeSocket == 0:
		p.say(name, Fail, file+" is no socket", p.sudo("rm "+quoted(file))+", then "+o.service)
	default:
		if problem, remedy := p.foreign(file, info); problem != "" {
			p.say(name, Fail, problem+": others can ask osqueryd, as root, what they like", remedy)
			return
		}
		p.say(name, OK, file+" is root's", "")
	}
}

func (p *patient) loaded() {
	const name = "extension_runs"
	if p.Platform != evidence.Linux {
		p.say(name, Skip, "not known on this platform without starting a program", "ask osquery: SELECT * FROM osquery_extensions WHERE name = 'rollcall'")
		return
	}
	for _, r := range p.processes {
		if r.name == "rollcall.ext" {
			p.say(name, OK, fmt.Sprintf("%s runs (pid %d)", r.args[0], r.pid), "")
			return
		}
	}
	o, found := p.main()
	if !found {
		p.say(name, Skip, notHere, "")
		return
	}
	p.say(name, Fail, "no rollcall.ext runs", "see to what is said above, then "+o.service+"; osqueryd's log says why it refuses an extension")
}

// want is a flag that evidence needs.
type want struct {
	name      string
	value     bool
	otherwise bool // osquery's default
}

func (p *patient) events() {
	p.flagged("events", "events are kept", "osquery keeps no events", []want{{"disable_events", false, false}}, Fail, ofProcesses()[:4]...)
}

func (p *patient) processFlags() {
	wants := map[evidence.Platform][]want{
		evidence.Linux:   {{"disable_audit", false, true}, {"audit_allow_config", true, false}, {"audit_allow_process_events", true, true}},
		evidence.Darwin:  {{"disable_endpointsecurity", false, true}},
		evidence.Windows: {{"enable_process_etw_events", true, false}, {"enable_powershell_events_subscriber", true, false}},
	}[p.Platform]
	state := Fail
	if p.Platform == evidence.Linux {
		// The kernel's connector is read instead, without the arguments of what ends at once.
		state = Warn
	}
	p.flagged("process_flags", "osquery sees programs that start", "osquery does not see all programs that start", wants, state, ofProcesses()[:4]...)
}

// optionalFlags turn on evidence that answers more of an analyst's questions.
func (p *patient) optionalFlags() {
	if p.Platform != evidence.Linux && p.Platform != evidence.Darwin {
		return
	}
	p.flagged("socket_flags", "osquery sees connections", "optional: connections of programs that end at once are not seen", []want{{"disable_audit", false, true}, {"audit_allow_sockets", true, false}}, Skip, "socket_events")
	p.flagged("user_flags", "osquery sees logons", "optional: logons are known from logs alone", []want{{"disable_audit", false, true}, {"audit_allow_user_events", true, true}}, Skip, "user_events")
}

// flagged compares flags with what they must be. What one of the sources, which need
// them, brings in spite of them shows that a fleet's server says otherwise.
func (p *patient) flagged(name, good, bad string, wants []want, state string, sources ...string) {
	o, found := p.main()
	if !found {
		p.say(name, Skip, notHere, "")
		return
	}
	if len(p.flags.broken) > 0 {
		p.say(name, Skip, "the flags can't be read: "+strings.Join(p.flags.broken, "; "), p.sudo("rollcall doctor"))
		return
	}
	var wrong, set []string
	for _, w := range wants {
		if p.on(w.name, w.otherwise) != w.value {
			wrong = append(wrong, fmt.Sprintf("%s is %t%s", w.name, !w.value, p.from(w.name)))
			set = append(set, fmt.Sprintf("--%s=%t", w.name, w.value))
		}
	}
	if len(wrong) == 0 {
		p.say(name, OK, good, "")
		return
	}
	detail, remedy := bad+": "+strings.Join(wrong, ", "), "put "+strings.Join(set, " ")+" into "+p.flagFile(o)+", then "+o.service
	if p.flags.remote {
		for _, n := range sources {
			if h, ok := p.health(n); ok && h.State == evidence.StateOK {
				p.say(name, OK, good+": "+n+" is read, by options of the fleet's server", "")
				return
			}
		}
		// What a server sends is not on disk.
		if state != Skip {
			state = Warn
		}
		detail += "; options of the fleet's server may say otherwise"
		remedy = "set " + strings.ReplaceAll(strings.Join(set, ", "), "--", "") + " in the fleet's options; ask what is in force: SELECT name, value FROM osquery_flags WHERE name LIKE '%audit%' OR name LIKE '%events%'"
	}
	p.say(name, state, detail, remedy)
}

// The least that osquery should keep: a restart of the extension, a busy minute.
const (
	leastExpiry = 600
	leastEvents = 5000
)

func (p *patient) keeping() {
	const name = "events_kept"
	o, found := p.main()
	if !found {
		p.say(name, Skip, notHere, "")
		return
	}
	expiry, most := 3600, 50000
	if n, err := strconv.Atoi(p.text("events_expiry")); err == nil {
		expiry = n
	}
	if n, err := strconv.Atoi(p.text("events_max")); err == nil {
		most = n
	}
	switch {
	case expiry < leastExpiry:
		p.say(name, Warn, fmt.Sprintf("osquery forgets events after %d s%s: when Rollcall stops for longer, it misses them", expiry, p.from("events_expiry")), "set --events_expiry=3600 in "+p.flagFile(o)+", then "+o.service)
	case most < leastEvents:
		p.say(name, Warn, fmt.Sprintf("osquery keeps %d events%s, which a busy minute makes", most, p.from("events_max")), "set --events_max=50000 in "+p.flagFile(o)+", then "+o.service)
	default:
		p.say(name, OK, fmt.Sprintf("%d events for %d s", most, expiry), "")
	}
}

// The errors of Host.Audit that are no fault.
var (
	ErrDenied = errors.New("only root may ask the kernel for its audit")
	ErrNone   = errors.New("this kernel has no audit, or this is a container")
)

func (p *patient) auditOwner() {
	if p.Platform != evidence.Linux {
		return
	}
	const name = "audit_owner"
	if p.Audit == nil {
		p.say(name, Skip, "not looked at", "")
		return
	}
	a, err := p.Audit()
	switch {
	case errors.Is(err, ErrDenied):
		p.say(name, Skip, err.Error(), "sudo rollcall doctor")
		return
	case errors.Is(err, ErrNone):
		p.say(name, Skip, err.Error(), "")
		return
	case err != nil:
		p.say(name, Warn, err.Error(), "sudo auditctl -s says more")
		return
	}
	wanted := len(p.osqueries) > 0 && !p.on("disable_audit", true)
	holder := "nobody"
	if a.PID != 0 {
		holder = fmt.Sprintf("%s (pid %d)", nonEmpty(p.comm(a.PID), "a program in another namespace"), a.PID)
	}
	osqueryd := a.PID != 0 && p.comm(a.PID) == "osqueryd"
	o, _ := p.main()
	switch {
	case a.Enabled == 0 && wanted:
		p.say(name, Fail, "the kernel's audit is off", "set --audit_allow_config=true in "+p.flagFile(o)+", then "+o.service+"; if it stays off, look for audit=0 in /proc/cmdline")
	case wanted && a.PID == 0:
		p.say(name, Fail, "nobody holds the kernel's audit: osqueryd could not take it", o.service+", and look in its log for audit; it needs CAP_AUDIT_CONTROL")
	case wanted && !osqueryd:
		p.say(name, Warn, holder+" holds the kernel's audit, so osquery's process_events stays empty; Rollcall reads audit.log or listens beside it",
			"sudo systemctl disable --now auditd && "+o.service+"; or keep auditd and let it log programs: sudo auditctl -a always,exit -F arch=b64 -S execve,execveat -k exec")
	case a.Lost > 0:
		p.say(name, Warn, fmt.Sprintf("the kernel lost %d audit records since it was started; %s holds its audit", a.Lost, holder), "set --audit_backlog_limit=16384 in "+p.flagFile(o)+" (or auditctl -b 16384), then "+nonEmpty(o.service, "restart its owner"))
	case a.Limit > 0 && a.Backlog*10 > a.Limit*9:
		p.say(name, Warn, fmt.Sprintf("%d of %d audit records wait: more will be lost", a.Backlog, a.Limit), "set --audit_backlog_limit=16384 in "+p.flagFile(o)+" (or auditctl -b 16384), then "+nonEmpty(o.service, "restart its owner"))
	case a.Enabled == 2 && !osqueryd:
		p.say(name, Warn, "audit rules are locked until the next start (enabled 2), and "+holder+" holds the audit", "let the rules log programs before they are locked: -a always,exit -F arch=b64 -S execve,execveat -k exec in /etc/audit/rules.d/")
	default:
		p.say(name, OK, holder+" holds the kernel's audit, nothing was lost", "")
	}
}

func nonEmpty(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (p *patient) schedule() {
	const name = "pack"
	o, found := p.main()
	pack := map[evidence.Platform]string{evidence.Linux: "/usr/share/rollcall/packs/osquery/t1007.conf", evidence.Darwin: "/opt/rollcall/share/packs/osquery/t1007.conf", evidence.Windows: `C:\Program Files\Rollcall\packs\t1007.conf`}[p.Platform]
	switch {
	case !found:
		p.say(name, Skip, notHere, "")
		return
	case p.flags.remote:
		p.say(name, Skip, "the schedule comes from the fleet's server and is not on this disk", "add the pack there (rollcall packs --format fleet or osctrl); ask here: SELECT name, last_executed FROM osquery_schedule WHERE query LIKE '%service_discovery%'")
		return
	}
	s := p.readSchedule()
	switch {
	case len(s.broken) > 0:
		p.say(name, Fail, "osquery's configuration can't be read: "+strings.Join(s.broken[:min(len(s.broken), 3)], "; "), "mend the JSON; rollcall packs check FILE says more")
	case s.queries == 0:
		first := ""
		if !p.exists(pack) {
			pack = p.join(p.dir(nonEmpty(p.flags.config, o.config)), "t1007.conf")
			first = p.sudo("rollcall packs --format osquery --out "+quoted(p.dir(pack))) + "; "
		}
		p.say(name, Warn, "no scheduled query asks for Rollcall's tables, so nothing is logged",
			first+fmt.Sprintf(`put "packs": {"t1007": %q} into %s, then %s`, pack, nonEmpty(p.flags.config, "osquery's configuration"), o.service))
	default:
		p.say(name, OK, fmt.Sprintf("%d scheduled queries ask for Rollcall's tables", s.queries), "")
	}
}
