package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

func (p *patient) readState(ctx context.Context) {
	if p.State == nil || p.StateDir == "" || !p.exists(p.join(p.StateDir, store.FileName)) {
		return
	}
	p.stateAsked = true
	p.state, p.stateErr = p.State(ctx, p.StateDir)
}

// known reports that the state could be read.
func (p *patient) known() bool { return p.stateAsked && p.stateErr == nil }

func (p *patient) configured() config.Config {
	if p.Config == nil {
		return config.Default()
	}
	c, err := p.Config(p.ConfigFile, p.ConfigNamed)
	if err != nil {
		return config.Default()
	}
	return c
}

func (p *patient) configuration() {
	const name = "configuration"
	if p.Config == nil {
		p.say(name, Skip, "not looked at", "")
		return
	}
	_, err := p.Config(p.ConfigFile, p.ConfigNamed)
	switch {
	case err != nil:
		remedy := "rollcall config check " + quoted(p.ConfigFile)
		if info, serr := p.stat(p.ConfigFile); serr == nil {
			if problem, how := p.foreign(p.ConfigFile, info); problem != "" {
				remedy = how
			}
		}
		p.say(name, Fail, err.Error()+"; the defaults are in force", remedy)
	case !p.exists(p.ConfigFile):
		p.say(name, OK, "the defaults: "+p.ConfigFile+" is not there, and need not be", "")
	default:
		p.say(name, OK, p.ConfigFile, "")
	}
}

func (p *patient) rules() {
	const name = "rules"
	dir := p.configured().RulesDir
	if p.Rules == nil || dir == "" {
		p.say(name, Skip, "there are no rules but the built-in ones", "")
		return
	}
	loaded, refused, err := p.Rules(dir)
	switch {
	case missing(err):
		p.say(name, OK, "the built-in ones: "+dir+" is not there, and need not be", "")
	case err != nil:
		p.say(name, Fail, fmt.Sprintf("rules in %s are refused: %v", dir, err), p.sudo("chown -R root "+quoted(dir)+" && ")+p.sudo("chmod -R go-w "+quoted(dir)))
	case len(refused) > 0:
		p.say(name, Warn, fmt.Sprintf("%d rules are in force, %d are refused: %s", loaded, len(refused), some(refused)), "mend them, or move them out of "+dir+"; rollcall rules lists them")
	default:
		p.say(name, OK, fmt.Sprintf("%d are in force", loaded), "")
	}
}

// some are the first of a list.
func some(list []string) string {
	const most = 3
	s := strings.Join(list[:min(len(list), most)], "; ")
	if n := len(list) - most; n > 0 {
		s += fmt.Sprintf("; and %d more", n)
	}
	return s
}

func (p *patient) indicators() {
	p.listed("indicators", "ioc_files", p.configured().IOCFiles, p.Indicators)
}

func (p *patient) scans() {
	p.listed("vulnerability_scans", "vuln_files", p.configured().VulnFiles, p.Scan)
}

// listed looks at files that the configuration names.
func (p *patient) listed(name, key string, files []string, load func(string) (int, []string, error)) {
	if len(files) == 0 || load == nil {
		p.say(name, Skip, "none are configured", key+" in "+p.ConfigFile+" names some")
		return
	}
	total := 0
	var problems []string
	state, remedy := OK, ""
	for _, file := range files {
		n, wrong, err := load(file)
		total += n
		if err != nil {
			state, remedy = Fail, "mend the file, or take it out of "+key
			if info, serr := p.stat(file); serr == nil {
				if problem, how := p.foreign(file, info); problem != "" {
					remedy = how
				}
			}
			problems = append(problems, err.Error())
			continue
		}
		for _, w := range wrong {
			problems = append(problems, file+": "+w)
		}
	}
	detail := fmt.Sprintf("%d from %d files", total, len(files))
	if len(problems) > 0 {
		detail += "; " + some(problems)
		if state == OK {
			state, remedy = Warn, "mend those lines; the others count"
		}
	}
	p.say(name, state, detail, remedy)
}

func (p *patient) central() {
	const name = "central_configuration"
	h, ok := p.health("central_config")
	switch {
	case !ok:
		p.say(name, Skip, "nothing is known of a fleet's configuration", "")
	case h.State == evidence.StateOK:
		p.say(name, OK, h.Detail, "")
	case h.State == evidence.StateOff:
		p.say(name, Warn, h.Detail, h.Remedy)
	default:
		p.say(name, Warn, h.Detail, h.Remedy)
	}
}

// health is the row of a source or part.
func (p *patient) health(component string) (store.Health, bool) {
	for _, h := range p.state.Health {
		if h.Component == component {
			return h, true
		}
	}
	return store.Health{}, false
}

func (p *patient) stateDirectory() {
	const name = "state_directory"
	dir := p.StateDir
	info, err := p.lstat(dir)
	switch {
	case missing(err):
		p.say(name, Fail, dir+" is not there: Rollcall never collected here", "start osqueryd with the extension, or rollcall query as root; both make it")
		return
	case err != nil:
		p.say(name, Skip, "it can't be looked at: "+err.Error(), p.sudo("rollcall doctor"))
		return
	case !info.IsDir():
		p.say(name, Fail, dir+" is not a directory, or a link to one, which Rollcall refuses", p.sudo("mv "+quoted(dir)+" "+quoted(dir+".old")))
		return
	}
	if problem, remedy := p.foreign(dir, info); problem != "" {
		p.say(name, Fail, problem+": Rollcall refuses it", remedy)
		return
	}
	if p.Platform != evidence.Windows && info.Mode().Perm()&0o077 != 0 {
		p.say(name, Warn, fmt.Sprintf("others can look into %s (mode %v): it holds command lines", dir, info.Mode().Perm()), p.sudo("chmod 0700 "+quoted(dir)))
		return
	}
	p.say(name, OK, dir+" is root's alone", "")
}

func (p *patient) database() {
	const name = "database"
	file := p.join(p.StateDir, store.FileName)
	info, err := p.lstat(file)
	switch {
	case missing(err) && p.exists(p.StateDir):
		p.say(name, Fail, file+" is not there: Rollcall never collected here", "start osqueryd with the extension, or rollcall query as root; both make it")
		return
	case err != nil:
		p.say(name, Skip, "it can't be looked at", p.sudo("rollcall doctor"))
		return
	case errors.Is(p.stateErr, store.ErrOlder):
		p.say(name, Warn, p.stateErr.Error(), "start osqueryd with this version's extension once")
		return
	case p.stateErr != nil:
		p.say(name, Fail, p.stateErr.Error(), "if it is damaged, the extension sets it aside by itself at its next start; if a newer Rollcall wrote it, upgrade this one")
		return
	case !p.stateAsked:
		p.say(name, Skip, "not looked at", "")
		return
	}
	var aside []string
	for _, n := range p.list(p.StateDir) {
		if strings.HasPrefix(n, store.FileName+".corrupt-") && !strings.HasSuffix(n, "-wal") && !strings.HasSuffix(n, "-shm") {
			aside = append(aside, n)
		}
	}
	bytes := info.Size()
	if wal, err := p.lstat(file + "-wal"); err == nil {
		bytes += wal.Size()
	}
	size := fmt.Sprintf("%s, %.1f MB", file, float64(bytes)/(1<<20))
	switch {
	case p.state.Machine != "" && p.Machine != "" && p.state.Machine != p.Machine:
		p.say(name, Warn, size+": it was made on another machine, or before the machine got its id", "the extension forgets what the other one learned at its next start; nothing is to be done")
	case len(aside) > 0:
		p.say(name, Warn, size+"; a damaged one was set aside: "+some(aside), "keep it for whoever looks into it, then remove it; look for faults of the disk")
	default:
		p.say(name, OK, size, "")
	}
}

func (p *patient) collector() {
	const name = "collector"
	if !p.known() {
		p.say(name, Skip, "there is no state to see it by", "")
		return
	}
	if h, ok := p.health("collector"); ok && h.State == evidence.StateOff {
		p.say(name, Warn, h.Detail, h.Remedy)
		return
	}
	var last int64
	for _, h := range p.state.Health {
		last = max(last, h.Checked)
	}
	patience := max(5*time.Minute, 6*p.configured().CollectInterval)
	age := p.Now.Sub(time.Unix(last, 0))
	o, found := p.main()
	how := "start osqueryd with the extension"
	if found {
		how = o.service + ", and look in osqueryd's log for rollcall"
	}
	switch {
	case last == 0:
		p.say(name, Fail, "nothing was collected yet", how)
	case age > patience:
		p.say(name, Fail, "nothing was collected for "+age.Round(time.Second).String(), how)
	default:
		p.say(name, OK, "collected "+max(0, age).Round(time.Second).String()+" ago", "")
	}
}

// ofProcesses are the sources that tell of programs that start, as they start; the
// first four are osquery's own events.
func ofProcesses() []string {
	return []string{"process_events", "bpf_process_events", "es_process_events", "process_etw_events", "windows_eventlog_sysmon", "windows_eventlog_4688", "windows_events", "kaudit", "proc_connector", "auditlog"}
}

// quietFor is how long a host goes without a program that starts.
const quietFor = 24 * time.Hour

func (p *patient) processEvidence() {
	const name = "process_evidence"
	if !p.known() {
		p.say(name, Skip, "there is no state to see it by", "")
		return
	}
	var good, bad []string
	remedy := ""
	var newest int64
	for _, n := range ofProcesses() {
		h, ok := p.health(n)
		if !ok {
			continue
		}
		if h.State == evidence.StateOK || h.State == evidence.StateDegraded {
			good = append(good, n)
			newest = max(newest, h.LastEvent)
			continue
		}
		bad = append(bad, n+" is "+h.State)
		if remedy == "" {
			remedy = h.Remedy
		}
	}
	switch {
	case len(good) == 0:
		detail := "no source tells of programs that start"
		if len(bad) > 0 {
			detail += ": " + strings.Join(bad, ", ")
		}
		p.say(name, Fail, detail, nonEmpty(remedy, "run the extension as root, under osqueryd"))
	case newest == 0:
		p.say(name, Warn, strings.Join(good, ", ")+" can be read, but nothing came yet", "run a program, wait a minute, and ask again")
	case p.Now.Sub(time.Unix(newest, 0)) > quietFor:
		p.say(name, Warn, fmt.Sprintf("the last program that %s told of started %s ago", strings.Join(good, ", "), p.Now.Sub(time.Unix(newest, 0)).Round(time.Minute)), "run a program, wait a minute, and ask again; if it stays so, restart osqueryd")
	default:
		p.say(name, OK, fmt.Sprintf("%s, the last %s ago", strings.Join(good, ", "), max(0, p.Now.Sub(time.Unix(newest, 0))).Round(time.Second)), "")
	}
}

// sources has a check for each source and part that the state knows.
func (p *patient) sources() {
	for _, h := range p.state.Health {
		if h.Component == "central_config" || h.Component == "collector" {
			continue // have checks of their own
		}
		state := map[string]string{evidence.StateOK: OK, evidence.StateDegraded: Warn, evidence.StateOff: Skip, evidence.StateFailed: Fail}[h.State]
		if state == "" {
			state = Warn
		}
		detail := h.Detail
		add := func(format string, args ...any) {
			if detail != "" {
				detail += "; "
			}
			detail += fmt.Sprintf(format, args...)
		}
		if h.LastEvent > 0 {
			add("last evidence %s", time.Unix(h.LastEvent, 0).UTC().Format("2006-01-02 15:04:05Z"))
		}
		if h.Read > 0 {
			add("%d read", h.Read)
		}
		if h.Dropped > 0 || h.Gaps > 0 {
			add("%d lost, %d gaps", h.Dropped, h.Gaps)
		}
		p.say("source "+h.Component, state, nonEmpty(detail, h.State), h.Remedy)
	}
}

// written is when this was: no clock is earlier.
const written = 1767225600 // 2026-01-01

func (p *patient) clock() {
	const name = "clock"
	how := map[evidence.Platform]string{
		evidence.Linux: "sudo timedatectl set-ntp true", evidence.Darwin: "sudo systemsetup -setusingnetworktime on", evidence.Windows: "w32tm /resync",
	}[p.Platform]
	if p.Now.Unix() < written {
		p.say(name, Fail, "the clock says "+p.Now.UTC().Format("2006-01-02")+", which is past", how)
		return
	}
	if ahead := time.Unix(p.state.Newest, 0).Sub(p.Now); p.state.Newest > 0 && ahead > 5*time.Minute {
		p.say(name, Warn, "the newest event is "+ahead.Round(time.Minute).String()+" in the future: the clock was or is wrong", how)
		return
	}
	if p.Synced != nil {
		if synced, known := p.Synced(); known && !synced {
			p.say(name, Warn, "nothing keeps the clock right: times of several hosts can't be compared", how)
			return
		}
	}
	p.say(name, OK, p.Now.UTC().Format("2006-01-02 15:04:05Z"), "")
}

// The room a state needs: what it holds at most, and to go on for some days.
const (
	leastRoom = 100 << 20
	someRoom  = 1 << 30
)

func (p *patient) disk() {
	const name = "disk"
	if p.Disk == nil {
		p.say(name, Skip, "not looked at", "")
		return
	}
	at := p.StateDir
	if !p.exists(at) {
		at = p.dir(at)
	}
	free, total, err := p.Disk(at)
	if err != nil {
		p.say(name, Skip, "it can't be looked at: "+err.Error(), "")
		return
	}
	detail := fmt.Sprintf("%.1f of %.1f GB are free at %s", float64(free)/(1<<30), float64(total)/(1<<30), at)
	switch {
	case free < leastRoom:
		p.say(name, Fail, detail+": nothing more can be remembered", "make room on that file system, or move the state: ROLLCALL_STATE")
	case free < someRoom:
		p.say(name, Warn, detail, "make room on that file system, or move the state: ROLLCALL_STATE")
	default:
		p.say(name, OK, detail, "")
	}
}
