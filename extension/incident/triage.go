package incident

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// The tiers of the analyst's work.
const (
	L1          = "L1"
	T2          = "T2"
	Containment = "containment"
)

// The verdicts of an answer: it speaks for an intrusion, against one, it is not
// known, or it is something to do.
const (
	Supports = "supports"
	Refutes  = "refutes"
	Unknown  = "unknown"
	Action   = "action"
)

// Answer is one question of the analyst's, answered.
type Answer struct {
	Tier     string
	Step     int
	Question string
	Answer   string
	Verdict  string
	Evidence []string // the rows behind it
	SQL      string   // to go on from here
	Command  string   // to run on the host
}

type answers struct {
	list []Answer
}

func (a *answers) add(x Answer) {
	x.Step = len(a.list) + 1
	a.list = append(a.list, x)
}

// Triage answers the analyst's questions from what belongs to the incident.
func (x *Incident) Triage() []Answer {
	var a answers
	a.add(x.whoseIsIt())
	a.add(x.usualHours())
	a.add(x.installedAfter())
	a.add(x.networkAfter())
	a.add(x.recentChanges())
	a.add(x.logons())
	a.add(x.accounts())
	a.add(x.otherCommands())
	a.add(x.timelineAnswer())
	a.add(x.indicators())
	a.add(x.memory())
	a.add(x.patches())
	a.add(x.allServices())
	x.containment(&a)
	return a.list
}

// window is a bound on recorded rows around the incident.
func (x *Incident) window(column string, before, after int64) string {
	return fmt.Sprintf("%s BETWEEN %d AND %d", column, x.Opened-before, x.Last+after)
}

func (x *Incident) missing(kind string) string {
	if why := x.Facts.Missing[kind]; why != "" {
		return why
	}
	return ""
}

func (x *Incident) whoseIsIt() Answer {
	ans := Answer{Tier: L1, Question: "Is it a known application or user?", Verdict: Supports,
		SQL: "SELECT time, username, login_user, cmdline, parent_path, attribution, score FROM service_discovery_events WHERE " + x.window("time", 60, 60)}
	if x.Attribution.Attributed() {
		ans.Verdict, ans.Answer = Refutes, "Yes: "+whose(x.Attribution)+"."
		return ans
	}
	who := nonEmpty(x.Actor.LoginUser, nonEmpty(x.Actor.Username, "an unknown user"))
	ans.Answer = fmt.Sprintf("No: nothing attributes it. It ran as %s.", who)
	for _, y := range x.Bursts {
		c := y.Best
		ans.Evidence = append(ans.Evidence, fmt.Sprintf("%s, child of %s, under %s", nonEmpty(c.Path, "unknown image"), nonEmpty(c.Parent, "an unknown parent"), nonEmpty(y.Origin, "an unknown origin")))
		if c.Never != "" {
			ans.Answer += " An ancestor is of the kind that never lists services: " + c.Never + "."
		} else if why := c.Attribution.Basis; why != "" && !c.attributed() {
			ans.Answer += " " + strings.ToUpper(why[:1]) + why[1:] + "."
		}
	}
	ans.Evidence = compact(ans.Evidence)
	return ans
}

func (x *Incident) usualHours() Answer {
	ans := Answer{Tier: L1, Question: "Is it at expected hours and in expected volume?", Verdict: Unknown,
		SQL: "SELECT username, family, mean_per_day, observations, learned FROM service_discovery_baselines"}
	if len(x.Bursts) == 0 {
		ans.Answer = "Nobody listed services."
		return ans
	}
	var said []string
	supports, known := false, false
	if x.Facts.OffHours != "" {
		said, supports = append(said, "It was outside business hours: "+x.Facts.OffHours+"."), true
	}
	for _, y := range x.Bursts {
		switch {
		case y.Tail == 0:
			said = append(said, fmt.Sprintf("%s; nothing was learned of this user and family yet.", count(y.Events, "command")))
		case y.Tail < 0.001:
			said, supports, known = append(said, fmt.Sprintf("%s where %.1f a day are expected (p=%.2g).", count(y.Events, "command"), y.Expected, y.Tail)), true, true
		default:
			said, known = append(said, fmt.Sprintf("%s where %.1f a day are expected (p=%.2g): usual.", count(y.Events, "command"), y.Expected, y.Tail)), true
		}
		if factor(y.Reasons, "first_seen") {
			said, supports = append(said, "This user never listed services in this way here before."), true
		}
	}
	ans.Answer = strings.Join(compact(said), " ")
	switch {
	case supports:
		ans.Verdict = Supports
	case known:
		ans.Verdict = Refutes
	}
	return ans
}

func (x *Incident) installedAfter() Answer {
	ans := Answer{Tier: L1, Question: "Was a service installed or changed after it?", Verdict: Refutes, Answer: "No service was installed or changed in the time watched.",
		SQL: "SELECT time, action, kind, name, path, installer_cmdline, score, severity FROM service_install_events WHERE " + x.window("time", 0, 86400)}
	if why := x.missing("installs"); why != "" {
		ans.Verdict, ans.Answer = Unknown, "Not known: "+why+"."
	}
	if len(x.Installs) == 0 {
		return ans
	}
	ans.Verdict = Refutes
	var said []string
	for _, in := range x.Installs {
		s := fmt.Sprintf("%s %s (%s, %d %s)", in.Name, in.Action, nonEmpty(in.Image, nonEmpty(in.Path, "no program known")), in.Score, in.Severity)
		if in.attributed() {
			s += ", " + whose(in.Attribution)
		} else if in.Action != evidence.Removed {
			ans.Verdict = Supports
		}
		if len(said) < 5 {
			said = append(said, s)
		}
		for _, r := range in.Reasons {
			if r.Factor != "rule_level" && len(ans.Evidence) < 12 {
				ans.Evidence = append(ans.Evidence, in.Name+": "+r.Factor+": "+r.Evidence)
			}
		}
	}
	ans.Answer = strings.Join(said, "; ") + "."
	if n := len(x.Installs) - len(said); n > 0 {
		ans.Answer += fmt.Sprintf(" And %d more.", n)
	}
	return ans
}

func (x *Incident) networkAfter() Answer {
	ans := Answer{Tier: L1, Question: "Is there an anomaly in the network after it?", Verdict: Refutes, Answer: "No unusual connection was seen after it.",
		SQL: fmt.Sprintf("SELECT time, kind, subject, detail FROM service_incident_timeline WHERE incident_id = %s AND kind = 'connection'", literal(x.ID))}
	if why := x.missing("connections"); why != "" {
		ans.Verdict, ans.Answer = Unknown, "Not known: "+why+"."
	}
	for i := range x.Connections {
		c := &x.Connections[i]
		if c.Unusual == "" {
			continue
		}
		if c.Relation != ByHost && !c.attributed() {
			ans.Verdict = Supports
		}
		ans.Evidence = append(ans.Evidence, fmt.Sprintf("%s by %s (%s): %s", address(c), nonEmpty(c.Path, "a process"), c.Relation, c.Unusual))
	}
	for _, y := range x.Bursts {
		for _, r := range y.Remotes {
			ans.Verdict = Supports
			ans.Evidence = append(ans.Evidence, "the services of "+r+" were asked for from here")
		}
	}
	switch {
	case ans.Verdict == Supports:
		ans.Answer = fmt.Sprintf("Yes: %s that this host does not usually make.", count(int64(len(ans.Evidence)), "connection or question"))
	case len(ans.Evidence) > 0:
		ans.Answer = "Only connections of others on the host, or attributed ones."
	}
	return ans
}

func (x *Incident) recentChanges() Answer {
	ans := Answer{Tier: L1, Question: "Were there recent changes or maintenance?", Verdict: Unknown, Answer: "None is known.",
		SQL: fmt.Sprintf("SELECT time, subject, detail FROM service_incident_timeline WHERE incident_id = %s AND kind = 'change'", literal(x.ID))}
	if x.Attribution.Kind == "maintenance" || x.Attribution.Kind == "package" {
		ans.Verdict, ans.Answer = Refutes, "Yes: "+whose(x.Attribution)+"."
	}
	for _, c := range x.Changes {
		ans.Evidence = append(ans.Evidence, strings.TrimSpace(c.Kind+": "+c.Subject+" "+c.Detail))
		if c.Kind == evidence.ChangeAccount || c.Kind == evidence.ChangeAudit {
			ans.Verdict = Supports
		}
	}
	if len(ans.Evidence) > 0 {
		ans.Answer = count(int64(len(ans.Evidence)), "change") + " around it."
	} else if why := x.missing("changes"); why != "" && ans.Verdict == Unknown {
		ans.Answer = "Not known: " + why + "."
	}
	return ans
}

func (x *Incident) logons() Answer {
	ans := Answer{Tier: L1, Question: "Who logged on before it, and from where? Did logons fail?", Verdict: Unknown, Answer: "No logon was seen around it.",
		SQL: fmt.Sprintf("SELECT time, subject, detail FROM service_incident_timeline WHERE incident_id = %s AND kind = 'logon'", literal(x.ID))}
	failed, from := 0, []string{}
	for _, l := range x.Logons {
		if l.Failed {
			failed++
		}
		if !l.Failed && l.From != "" {
			from = include(from, l.Username+" from "+l.From, 12)
		}
		if len(ans.Evidence) < 16 {
			ans.Evidence = append(ans.Evidence, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", stamp(l.Time), map[bool]string{true: "failed", false: "logon"}[l.Failed], l.Username, l.From)))
		}
	}
	if len(x.Logons) > 0 {
		ans.Answer = fmt.Sprintf("%s, %d failed", count(int64(len(x.Logons)-failed), "logon"), failed)
		if len(from) > 0 {
			ans.Answer += ": " + strings.Join(from, ", ")
		}
		ans.Answer += "."
		if failed >= 3 {
			ans.Verdict = Supports
		}
	} else if why := x.missing("logons"); why != "" {
		ans.Answer = "Not known: " + why + "."
	}
	for _, y := range x.Bursts {
		if y.Best.From != "" {
			ans.Evidence = append(ans.Evidence, "the session came from "+y.Best.From)
		}
	}
	return ans
}

func (x *Incident) accounts() Answer {
	ans := Answer{Tier: T2, Question: "Which accounts are involved, and what may they do?", Verdict: Unknown}
	var names []string
	elevated := false
	see := func(a Actor) {
		names = include(names, a.Username, 16)
		names = include(names, a.LoginUser, 16)
	}
	for _, y := range x.Bursts {
		see(y.Actor)
		elevated = elevated || y.Best.Elevated == evidence.Yes
	}
	for _, in := range x.Installs {
		see(in.Actor)
		if in.Account != "" {
			ans.Evidence = append(ans.Evidence, fmt.Sprintf("%s runs as %s", in.Name, in.Account))
		}
	}
	var admins []string
	for _, l := range x.Logons {
		if l.Privileged && x.own(l.Username) {
			admins = include(admins, l.Username, 16)
		}
	}
	for _, name := range admins {
		ans.Evidence = append(ans.Evidence, name+" logged on with administrator's rights")
	}
	ans.Answer = "No account is known."
	if len(names) > 0 {
		ans.Answer = strings.Join(names, ", ") + "."
		quoted := make([]string, len(names))
		for i, n := range names {
			quoted[i] = literal(n)
		}
		ans.SQL = "SELECT * FROM users WHERE username IN (" + strings.Join(quoted, ", ") + ")"
	}
	if elevated {
		ans.Answer += " It ran with administrator's rights."
	}
	if len(x.Facts.Groups) > 0 {
		ans.Answer += " Groups: " + strings.Join(x.Facts.Groups, ", ") + "."
	}
	if why := x.missing("groups"); why != "" {
		ans.Answer += " Its groups are not known: " + why + "."
	}
	if x.Facts.Sensitive != "" {
		ans.Verdict = Supports
		ans.Answer += " The account is configured as sensitive: " + x.Facts.Sensitive + "."
	}
	return ans
}

func (x *Incident) otherCommands() Answer {
	ans := Answer{Tier: T2, Question: "What else did the session run?", Verdict: Unknown, Answer: "No other discovery was seen near by.",
		SQL: fmt.Sprintf("SELECT time, subject, detail FROM service_incident_timeline WHERE incident_id = %s AND kind = 'command'", literal(x.ID))}
	techniques := []string{}
	for _, y := range x.Bursts {
		for _, c := range y.Contexts {
			techniques = include(techniques, c.Technique, 16)
			if len(ans.Evidence) < 24 {
				ans.Evidence = append(ans.Evidence, c.Technique+": "+c.CmdLine)
			}
		}
	}
	if len(techniques) > 0 {
		ans.Answer = "Other discovery near by: " + strings.Join(techniques, ", ") + "."
		if len(techniques) > 1 {
			ans.Verdict = Supports
		}
	}
	return ans
}

func (x *Incident) timelineAnswer() Answer {
	t := x.Timeline()
	count := map[string]int{}
	for _, e := range t {
		count[e.Phase]++
	}
	return Answer{Tier: T2, Question: "What happened, in order?", Verdict: Unknown,
		Answer: fmt.Sprintf("%d things before, %d during, %d after it. %s.", count[PhaseBefore], count[PhaseDuring], count[PhaseAfter], x.Summary),
		SQL:    fmt.Sprintf("SELECT datetime(time, 'unixepoch') AS at, phase, kind, subject, detail, score FROM service_incident_timeline WHERE incident_id = %s ORDER BY time", literal(x.ID))}
}

func (x *Incident) indicators() Answer {
	ans := Answer{Tier: T2, Question: "Does an indicator of compromise match?", Verdict: Unknown, Answer: "None of the configured feeds matches."}
	if why := x.missing("indicators"); why != "" {
		ans.Answer = "Not known: " + why + "."
	}
	for _, y := range x.Bursts {
		for _, c := range y.Sample {
			ans.Evidence = append(ans.Evidence, c.IOC...)
		}
	}
	for _, in := range x.Installs {
		ans.Evidence = append(ans.Evidence, in.IOC...)
	}
	for _, c := range x.Connections {
		ans.Evidence = append(ans.Evidence, c.IOC...)
	}
	if ans.Evidence = compact(ans.Evidence); len(ans.Evidence) > 0 {
		ans.Verdict, ans.Answer = Supports, "Yes: "+strings.Join(ans.Evidence, "; ")+"."
	}
	return ans
}

func (x *Incident) memory() Answer {
	ans := Answer{Tier: T2, Question: "Are there signs in memory?", Verdict: Unknown}
	switch {
	case x.Facts.Looked == 0:
		ans.Answer = "Nobody looked: " + nonEmpty(x.missing("memory"), "the processes are not those of this host") + "."
	case len(x.Facts.Memory) > 0:
		ans.Verdict, ans.Answer, ans.Evidence = Supports, fmt.Sprintf("Yes, in %d places.", len(x.Facts.Memory)), x.Facts.Memory
	case x.missing("memory") != "":
		ans.Answer = "None was found, but not all is known: " + x.missing("memory") + "."
		if x.Facts.Gone > 0 {
			ans.Answer += fmt.Sprintf(" %d of its processes had ended.", x.Facts.Gone)
		}
	case x.Facts.Gone > 0:
		ans.Answer = fmt.Sprintf("None in what still ran; %d of its processes had ended.", x.Facts.Gone)
	default:
		ans.Verdict, ans.Answer = Refutes, "None in its processes."
	}
	switch x.Platform {
	case evidence.Windows:
		ans.Command = "winpmem_mini_x64.exe memory.raw"
	case evidence.Darwin:
		ans.Command = "sudo osxpmem -o memory.aff4"
	case evidence.Linux:
		ans.Command = "sudo avml memory.lime"
	}
	return ans
}

func (x *Incident) patches() Answer {
	ans := Answer{Tier: T2, Question: "Is the host patched? What was installed lately?", Verdict: Unknown, Answer: "No package or update is known in the day before it."}
	switch x.Platform {
	case evidence.Windows:
		ans.SQL = "SELECT hotfix_id, installed_on, description FROM patches ORDER BY installed_on DESC LIMIT 20"
	case evidence.Darwin:
		ans.SQL = "SELECT package_id, version, datetime(install_time, 'unixepoch') AS at FROM package_receipts ORDER BY install_time DESC LIMIT 20"
	case evidence.Linux:
		ans.SQL = "SELECT name, version, source FROM deb_packages UNION ALL SELECT name, version, source FROM rpm_packages"
	}
	for _, c := range x.Changes {
		if c.Kind == evidence.ChangePackage || c.Kind == evidence.ChangePatch {
			ans.Evidence = append(ans.Evidence, c.Subject+" "+c.Detail)
		}
	}
	if n := len(ans.Evidence); n > 0 {
		ans.Answer = count(int64(n), "package or update") + " in the day before it."
	}
	if v := x.Facts.Vulnerabilities; len(v) > 0 {
		ans.Verdict = Supports
		ans.Answer += fmt.Sprintf(" A scan found %d vulnerabilities in the software behind the services involved.", len(v))
		ans.Evidence = append(ans.Evidence, v...)
	}
	if why := x.missing("vulnerabilities"); why != "" {
		ans.Answer += " Of vulnerabilities nothing is known: " + why + "."
	}
	return ans
}

func (x *Incident) allServices() Answer {
	ans := Answer{Tier: T2, Question: "Were all services reviewed?", Verdict: Unknown, Answer: "Not yet: the inventory lists them by score.",
		SQL: "SELECT name, path, package, account, score, severity, reasons FROM service_inventory ORDER BY score DESC LIMIT 50"}
	if x.Facts.Services > 0 {
		ans.Answer = fmt.Sprintf("%d services of the host were judged; %d are at medium or above.", x.Facts.Services, len(x.Facts.Suspects))
		ans.Evidence = x.Facts.Suspects
		ans.Verdict = Refutes
		if len(x.Facts.Suspects) > 0 {
			ans.Verdict = Supports
		}
	}
	return ans
}

// containment gives commands for the platform. Rollcall runs none of them.
func (x *Incident) containment(a *answers) {
	act := func(question, answer, cmd string) {
		if cmd == "" {
			answer += " (no command: a name in it can't be pasted safely)"
		}
		a.add(Answer{Tier: Containment, Question: question, Answer: answer, Verdict: Action, Command: cmd})
	}
	p := x.Platform
	isolate := map[evidence.Platform]string{
		evidence.Linux:   "sudo nft -f - <<'EOF'\ntable inet rollcall_isolate {\n  chain in { type filter hook input priority -300; policy drop; ct state established accept; iif lo accept; }\n  chain out { type filter hook output priority -300; policy drop; ct state established accept; oif lo accept; }\n}\nEOF",
		evidence.Windows: "Set-NetFirewallProfile -All -DefaultInboundAction Block -DefaultOutboundAction Block -Enabled True",
		evidence.Darwin:  "printf 'block drop all\\npass on lo0 all\\n' | sudo pfctl -E -f -",
	}[p]
	if isolate != "" {
		act("How is the host isolated?", "Block its network; existing management connections may break: use the fleet's own isolation where there is one.", isolate)
	}
	done := map[string]bool{}
	for _, name := range x.people() {
		_, user := account(name)
		if user == "" || system(name) || done[strings.ToLower(user)] {
			continue
		}
		done[strings.ToLower(user)] = true
		format := map[evidence.Platform]string{
			evidence.Linux:   lockout,
			evidence.Windows: "Disable-LocalUser -Name %1",
			evidence.Darwin:  "sudo pwpolicy -u %1 -disableuser",
		}[p]
		if format == "" {
			continue
		}
		if d, _ := account(name); p == evidence.Windows && d != "" && !strings.EqualFold(d, strings.SplitN(x.Host, ".", 2)[0]) {
			format = "Disable-ADAccount -Identity %1"
		}
		act("How is the account "+shorten(user, 64)+" disabled?", "Disable it and end its sessions.", command(p, format, user))
	}
	seen := map[string]bool{}
	for _, in := range x.Installs {
		if in.Action == evidence.Removed || in.attributed() || seen[in.Name] || len(seen) == 8 {
			continue
		}
		seen[in.Name] = true
		act("How is the service "+shorten(in.Name, 64)+" stopped and set aside?", "Keep a copy of the program as evidence first.", quarantine(p, in))
	}
	watch := fmt.Sprintf("SELECT * FROM service_incidents WHERE incident_id = %s", literal(x.ID))
	a.add(Answer{Tier: Containment, Question: "What is to be watched from here on?", Verdict: Action, SQL: watch,
		Answer: "New logons of its accounts, new services and unusual connections: the incident is watched and reopens by itself."})
}

// lockout locks an account and ends what it runs: unless it is another name of root's,
// whose processes are the host's. id takes one name, where pkill takes a list.
const lockout = `sudo usermod --lock --expiredate 1 -- %1 && [ "$(id -u -- %1)" -gt 0 ] && sudo pkill -KILL -u "$(id -u -- %1)"`

// people are the accounts an incident's actors used.
func (x *Incident) people() []string {
	var out []string
	see := func(a Actor) {
		for _, n := range []string{a.LoginUser, a.Username} {
			if n != "" && !slices.Contains(out, n) && len(out) < 8 {
				out = append(out, n)
			}
		}
	}
	for _, y := range x.Bursts {
		if y.Loose != nil {
			see(y.Loose.Actor)
		}
	}
	for _, in := range x.Installs {
		if !in.attributed() {
			see(in.Actor)
		}
	}
	return out
}

// quarantine stops a service and moves away what it consists of. A name that a tool
// would take for a pattern or a path, and files that are the system's, are what an
// intruder would call a service to have the analyst do the damage.
func quarantine(p evidence.Platform, in Install) string {
	switch p {
	case evidence.Windows:
		stop := "Stop-Service -Force -Name %1; Set-Service -StartupType Disabled -Name %1"
		if strings.ContainsAny(in.Name, "*?[]`") {
			stop = "Get-Service | Where-Object Name -EQ %1 | ForEach-Object { Stop-Service -Force -InputObject $_; Set-Service -StartupType Disabled -InputObject $_ }"
		}
		if !local(in.Path) || ordinary(in.Path) {
			return command(p, stop, in.Name)
		}
		return command(p, stop+"; New-Item -ItemType Directory -Force -Path ($env:SystemDrive + '\\quarantine') | Out-Null; Move-Item -LiteralPath %2 -Destination ($env:SystemDrive + '\\quarantine')", in.Name, in.Path)
	case evidence.Darwin:
		if !movable(in.UnitPath) {
			return command(p, "sudo launchctl disable system/%1", in.Name)
		}
		return command(p, "sudo launchctl bootout system %1; sudo install -d -m 0700 /var/quarantine; sudo mv -n -- %1 /var/quarantine/", in.UnitPath)
	case evidence.Linux:
		name := in.Name
		if in.Kind == "systemd" && !strings.Contains(name, ".") {
			name += ".service"
		}
		var parts, words []string
		script := in.Kind == "sysv" || in.Kind == "openrc" // does the stopping, and is the intruder's
		if !script {
			parts, words = append(parts, "sudo systemctl disable --now -- %1"), append(words, name)
		}
		var files []string
		for _, path := range []string{in.UnitPath, in.Path} {
			if movable(path) && !slices.Contains(files, path) {
				files = append(files, path)
			}
		}
		if len(files) > 0 {
			parts = append(parts, "sudo install -d -m 0700 /var/quarantine")
		}
		for _, path := range files {
			words = append(words, path)
			if script {
				parts = append(parts, fmt.Sprintf("sudo fuser -k -KILL %%%d", len(words)))
			}
			parts = append(parts, fmt.Sprintf("sudo mv -n -- %%%d /var/quarantine/", len(words)))
		}
		return command(p, strings.Join(parts, "; "), words...)
	}
	return ""
}

// local reports a path on a drive of Windows: to move what lies on another host's share
// logs on to that host.
func local(path string) bool {
	return len(path) > 3 && (path[0]|0x20) >= 'a' && (path[0]|0x20) <= 'z' && path[1] == ':' && path[2] == '\\' && !strings.Contains(path, "..") && !strings.ContainsAny(path, "/~")
}

// movable reports a file that may be moved away without harm to the rest of the host.
// Directly in /etc are files that everything reads, but for two.
func movable(file string) bool {
	if !strings.HasPrefix(file, "/") || path.Clean(file) != file || ordinary(file) {
		return false
	}
	dir := path.Dir(file)
	return dir != "/" && (dir != "/etc" || file == "/etc/rc.local" || file == "/etc/ld.so.preload")
}

// ordinary reports programs that are everybody's: an interpreter is not moved away
// because a service runs it.
func ordinary(path string) bool {
	for _, dir := range []string{"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/lib32/", "/usr/lib64/", "/usr/libexec/", "/usr/share/", "/lib/", "/lib32/", "/lib64/", "/boot/",
		"/proc/", "/sys/", "/nix/store/", "/gnu/store/", "/snap/", "/System/"} {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	lower := strings.ToLower(path)
	for _, dir := range []string{`system32\`, `syswow64\`, `winsxs\`, `microsoft.net\`, `explorer.exe`} {
		if strings.HasPrefix(lower, `c:\windows\`+dir) {
			return true
		}
	}
	return false
}

func compact(list []string) []string {
	var out []string
	for _, s := range list {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// count writes a number of things: "1 connection or question", "2 connections or
// questions".
func count(n int64, what string) string {
	if n != 1 {
		what = strings.ReplaceAll(what, " or ", "s or ") + "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// stamp writes a time for a person.
func stamp(t int64) string { return time.Unix(t, 0).UTC().Format("2006-01-02 15:04:05Z") }
