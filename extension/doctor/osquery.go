package doctor

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// osquery is one installation of it, with the places that its packages use.
type osquery struct {
	kind    string // osquery, Orbit or Kolide's launcher
	program string
	flags   string // flag file
	load    string // extensions.load
	socket  string
	config  string
	service string // command that restarts it
}

// places are where osquery is, the ones of its own packages first.
func places(platform evidence.Platform) []osquery {
	switch platform {
	case evidence.Windows:
		plain := osquery{kind: "osquery", flags: `C:\Program Files\osquery\osquery.flags`, load: `C:\Program Files\osquery\extensions.load`,
			socket: `\\.\pipe\osquery.em`, config: `C:\Program Files\osquery\osquery.conf`, service: "Restart-Service osqueryd"}
		orbit := osquery{kind: "Orbit", flags: `C:\Program Files\Orbit\osquery.flags`, load: `C:\Program Files\Orbit\extensions.load`,
			socket: `\\.\pipe\orbit-osquery-extension`, service: `Restart-Service "Fleet osquery"`}
		return []osquery{
			plain.at(`C:\Program Files\osquery\osqueryd\osqueryd.exe`), plain.at(`C:\Program Files\osquery\osqueryi.exe`),
			orbit.at(`C:\Program Files\Orbit\bin\osqueryd\windows\stable\osqueryd.exe`), orbit.at(`C:\Program Files\Orbit\bin\orbit\windows\stable\orbit.exe`),
		}
	case evidence.Darwin:
		plain := osquery{kind: "osquery", flags: "/var/osquery/osquery.flags", load: "/var/osquery/extensions.load", socket: "/var/osquery/osquery.em",
			config: "/var/osquery/osquery.conf", service: "sudo launchctl kickstart -k system/io.osquery.agent"}
		orbit := osquery{kind: "Orbit", flags: "/opt/orbit/osquery.flags", load: "/opt/orbit/extensions.load", socket: "/opt/orbit/orbit-osquery.em",
			service: "sudo launchctl kickstart -k system/com.fleetdm.orbit"}
		launcher := osquery{kind: "Kolide's launcher", service: "sudo launchctl kickstart -k system/com.kolide-k2.launcher"}
		return []osquery{
			plain.at("/opt/osquery/lib/osquery.app/Contents/MacOS/osqueryd"), plain.at("/usr/local/bin/osqueryd"), plain.at("/usr/local/bin/osqueryi"),
			orbit.at("/opt/orbit/bin/osqueryd/macos-app/stable/osquery.app/Contents/MacOS/osqueryd"), orbit.at("/opt/orbit/bin/orbit/macos/stable/orbit"),
			launcher.at("/usr/local/kolide-k2/bin/osqueryd"),
		}
	}
	plain := osquery{kind: "osquery", flags: "/etc/osquery/osquery.flags", load: "/etc/osquery/extensions.load", socket: "/var/osquery/osquery.em",
		config: "/etc/osquery/osquery.conf", service: "sudo systemctl restart osqueryd"}
	orbit := osquery{kind: "Orbit", flags: "/opt/orbit/osquery.flags", load: "/opt/orbit/extensions.load", socket: "/opt/orbit/orbit-osquery.em", service: "sudo systemctl restart orbit"}
	launcher := osquery{kind: "Kolide's launcher", service: "sudo systemctl restart launcher.kolide-k2"}
	return []osquery{
		plain.at("/opt/osquery/bin/osqueryd"), plain.at("/usr/bin/osqueryd"), plain.at("/usr/local/bin/osqueryd"), plain.at("/usr/bin/osqueryi"), plain.at("/usr/local/bin/osqueryi"),
		orbit.at("/opt/orbit/bin/osqueryd/linux/stable/osqueryd"), orbit.at("/opt/orbit/bin/osqueryd/linux-arm64/stable/osqueryd"), orbit.at("/opt/orbit/bin/orbit/linux/stable/orbit"),
		launcher.at("/usr/local/kolide-k2/bin/osqueryd"),
	}
}

func (o osquery) at(program string) osquery {
	o.program = program
	return o
}

// findOsquery finds the first program of each kind, and on Linux what runs.
func (p *patient) findOsquery() {
	for _, o := range places(p.Platform) {
		if !slices.ContainsFunc(p.osqueries, func(x osquery) bool { return x.kind == o.kind }) && p.exists(o.program) {
			p.osqueries = append(p.osqueries, o)
		}
	}
	if p.Platform == evidence.Linux {
		p.processes = p.find()
	}
	// What runs is the one that counts.
	for _, r := range p.processes {
		if r.name != "osqueryd" {
			continue
		}
		kind := "osquery"
		switch {
		case strings.HasPrefix(r.args[0], "/opt/orbit/"):
			kind = "Orbit"
		case strings.HasPrefix(r.args[0], "/usr/local/kolide-k2/"):
			kind = "Kolide's launcher"
		}
		i := slices.IndexFunc(p.osqueries, func(x osquery) bool { return x.kind == kind })
		if i > 0 {
			o := p.osqueries[i]
			p.osqueries = slices.Insert(slices.Delete(p.osqueries, i, i+1), 0, o)
		} else if i < 0 {
			for _, o := range places(p.Platform) {
				if o.kind == kind {
					o.program = r.args[0]
					p.osqueries = slices.Insert(p.osqueries, 0, o)
					break
				}
			}
		}
		break
	}
}

// main is the osquery that the checks are about.
func (p *patient) main() (osquery, bool) {
	if len(p.osqueries) == 0 {
		return osquery{}, false
	}
	return p.osqueries[0], true
}

// process is one that runs, of those that matter here.
type process struct {
	pid  int
	name string
	args []string // at least the first
}

// find looks for osquery's daemons and our extension among what runs.
func (p *patient) find() (out []process) {
	for _, name := range p.list("/proc") {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		comm, err := p.read("/proc/"+name+"/comm", 64)
		if err != nil {
			continue
		}
		kind := strings.TrimSpace(string(comm))
		if kind != "osqueryd" && kind != "rollcall.ext" {
			continue
		}
		line, err := p.read("/proc/"+name+"/cmdline", 64<<10)
		if err != nil || len(line) == 0 {
			continue
		}
		out = append(out, process{pid: pid, name: kind, args: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")})
	}
	slices.SortFunc(out, func(a, b process) int { return a.pid - b.pid })
	return out
}

// comm is the name of a process, "" when it is not known.
func (p *patient) comm(pid int) string {
	comm, err := p.read("/proc/"+strconv.Itoa(pid)+"/comm", 64)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(comm))
}

// flags are osquery's, from its command line, its flag file and its configuration.
type flags struct {
	values map[string]value
	// files are the flag files that were read, broken what could not be.
	files  []string
	broken []string
	// remote says that the configuration comes from a server, whose options we can't
	// see.
	remote bool
	config string // the configuration's file
}

type value struct{ text, from string }

// maxFlagFiles bounds flag files that name one another.
const maxFlagFiles = 8

// readFlags reads the flags as osqueryd would: a later one wins, its command line over
// files, and its configuration's options over both.
func (p *patient) readFlags() {
	p.flags.values = map[string]value{}
	main, found := p.main()
	if !found {
		return
	}
	var line []flag
	for _, r := range p.processes {
		if r.name == "osqueryd" {
			line = parseLine(r.args[1:])
			break
		}
	}
	file := p.FlagFile
	for _, f := range line {
		if f.name == "flagfile" && file == "" {
			file = f.value
		}
	}
	if file == "" {
		file = p.environmentOf(main, "FLAG_FILE")
	}
	if file == "" {
		file = main.flags
	}
	p.readFlagFile(file)
	for _, f := range line {
		p.flags.values[f.name] = value{f.value, "its command line"}
	}
	p.flags.remote = p.text("config_plugin") == "tls" || main.kind != "osquery" && p.text("config_plugin") == ""
	if p.flags.config = p.text("config_path"); p.flags.config == "" {
		if p.flags.config = p.environmentOf(main, "CONFIG_FILE"); p.flags.config == "" {
			p.flags.config = main.config
		}
	}
	if !p.flags.remote && p.flags.config != "" {
		p.readOptions()
	}
}

// environmentOf reads a variable that osquery's packages hand to its unit.
func (p *patient) environmentOf(o osquery, name string) string {
	if p.Platform != evidence.Linux || o.kind != "osquery" {
		return ""
	}
	for _, file := range []string{"/etc/default/osqueryd", "/etc/sysconfig/osqueryd"} {
		data, err := p.read(file, maxFlags)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == name {
				return strings.Trim(v, `"'`)
			}
		}
	}
	return ""
}

func (p *patient) readFlagFile(file string) {
	if file == "" || len(p.flags.files) == maxFlagFiles || slices.Contains(p.flags.files, file) {
		return
	}
	data, err := p.read(file, maxFlags)
	if err != nil {
		if !missing(err) {
			p.flags.broken = append(p.flags.broken, err.Error())
		}
		return
	}
	p.flags.files = append(p.flags.files, file)
	for _, f := range parseFlags(data) {
		if f.name == "flagfile" {
			p.readFlagFile(f.value)
			continue
		}
		p.flags.values[f.name] = value{f.value, file}
	}
}

// readOptions reads the options of the configuration on disk.
func (p *patient) readOptions() {
	for _, file := range p.configFiles() {
		data, err := p.read(file, maxConfig)
		if err != nil {
			continue
		}
		var c struct {
			Options map[string]any `json:"options"`
		}
		if err := json.Unmarshal(stripComments(data), &c); err != nil {
			continue // the check of the schedule says so
		}
		for name, v := range c.Options {
			if strings.HasPrefix(name, "extensions_") || strings.HasPrefix(name, "config_") || name == "disable_extensions" {
				continue // osqueryd takes these from flags alone
			}
			var text string
			switch v := v.(type) {
			case string:
				text = v
			case bool:
				text = strconv.FormatBool(v)
			case float64:
				text = strconv.FormatFloat(v, 'f', -1, 64)
			default:
				continue
			}
			p.flags.values[name] = value{text, file}
		}
	}
}

// configFiles are the configuration and what lies in the directory beside it.
func (p *patient) configFiles() []string {
	if p.flags.config == "" {
		return nil
	}
	out := []string{p.flags.config}
	dir := p.flags.config + ".d"
	for _, name := range p.list(dir) {
		if strings.HasSuffix(name, ".conf") {
			out = append(out, p.join(dir, name))
		}
	}
	return out
}

// text is a flag's value, "" where it is not set.
func (p *patient) text(name string) string { return p.flags.values[name].text }

// on is a flag that is yes or no.
func (p *patient) on(name string, otherwise bool) bool {
	v, ok := p.flags.values[name]
	if !ok {
		return otherwise
	}
	switch strings.ToLower(v.text) {
	case "true", "1", "t", "yes", "y", "":
		return true
	}
	return false
}

// from says where a flag has its value from.
func (p *patient) from(name string) string {
	if v, ok := p.flags.values[name]; ok {
		return " (" + v.from + ")"
	}
	return " (osquery's default)"
}

// flag is one of osquery's.
type flag struct{ name, value string }

// parseFlags reads a flag file: a flag a line.
func parseFlags(data []byte) (out []flag) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for line := range strings.Lines(string(data)) {
		if f, ok := parseFlag(strings.TrimSpace(line)); ok {
			out = append(out, f)
		}
	}
	return out
}

// parseLine reads the flags of a command line, on which a value may be a word of its
// own, as osquery's unit has it.
func parseLine(args []string) (out []flag) {
	for i, a := range args {
		f, ok := parseFlag(a)
		if !ok {
			continue
		}
		if !strings.Contains(a, "=") && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			f.value = args[i+1]
		}
		out = append(out, f)
	}
	return out
}

// parseFlag reads --name=value, --name (true) and --noname (false). Flags that really
// begin with "no" are none of those asked for here.
func parseFlag(s string) (flag, bool) {
	rest, ok := strings.CutPrefix(s, "-")
	if !ok {
		return flag{}, false
	}
	rest = strings.TrimPrefix(rest, "-")
	name, v, given := strings.Cut(rest, "=")
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return flag{}, false
	case given:
		return flag{name, strings.Trim(strings.TrimSpace(v), `"`)}, true
	case strings.HasPrefix(name, "no") && len(name) > 2:
		return flag{name[2:], "false"}, true
	}
	return flag{name, "true"}, true
}

// stripComments takes out the lines that osquery lets a configuration have beside JSON.
func stripComments(data []byte) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		if t := bytes.TrimSpace(line); bytes.HasPrefix(t, []byte("#")) || bytes.HasPrefix(t, []byte("//")) {
			out = append(out, '\n')
			continue
		}
		out = append(out, line...)
	}
	return out
}

// scheduled is what a configuration asks of us.
type scheduled struct {
	queries int
	broken  []string // files that could not be read
	packs   []string // files of packs
}

// tablesOfOurs are beginnings of our tables' names, as SQL has them.
func tablesOfOurs() []string {
	return []string{"service_discovery_", "service_incident", "service_install_events", "service_inventory"}
}

// readSchedule counts the queries of our tables in the configuration on disk.
func (p *patient) readSchedule() (s scheduled) {
	type query struct {
		Query string `json:"query"`
	}
	type pack struct {
		Queries map[string]query `json:"queries"`
	}
	count := func(queries map[string]query) {
		for _, q := range queries {
			if slices.ContainsFunc(tablesOfOurs(), func(t string) bool { return strings.Contains(strings.ToLower(q.Query), t) }) {
				s.queries++
			}
		}
	}
	for _, file := range p.configFiles() {
		data, err := p.read(file, maxConfig)
		if missing(err) {
			continue
		}
		var c struct {
			Schedule map[string]query           `json:"schedule"`
			Packs    map[string]json.RawMessage `json:"packs"`
		}
		if err == nil {
			err = json.Unmarshal(stripComments(data), &c)
		}
		if err != nil {
			s.broken = append(s.broken, file+": "+err.Error())
			continue
		}
		count(c.Schedule)
		for _, raw := range c.Packs {
			var inline pack
			var name string
			if json.Unmarshal(raw, &name) != nil {
				if json.Unmarshal(raw, &inline) == nil {
					count(inline.Queries)
				}
				continue
			}
			for _, f := range p.glob(name) {
				var one pack
				data, err := p.read(f, maxConfig)
				if err == nil {
					err = json.Unmarshal(stripComments(data), &one)
				}
				if err != nil {
					s.broken = append(s.broken, f+": "+err.Error())
					continue
				}
				s.packs = append(s.packs, f)
				count(one.Queries)
			}
		}
	}
	return s
}

// glob is a pack's path, which may have a star in its last part.
func (p *patient) glob(name string) (out []string) {
	if !strings.Contains(name, "*") {
		return []string{name}
	}
	dir := p.dir(name)
	for _, n := range p.list(dir) {
		if ok, err := path.Match(p.base(name), n); err == nil && ok {
			out = append(out, p.join(dir, n))
		}
	}
	return out
}
