package attribution

import (
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// found is an agent among the processes.
type found struct {
	agent    known
	declared *Agent // nil for one that nobody declared
	// program is the file that identifies it: its program, or the script that an
	// interpreter runs as it.
	program string
	// below are the processes it started, nearest to the agent last. Empty when the
	// agent itself installed or connected.
	below []evidence.Ancestor
	above []evidence.Ancestor
	cmd   string // the agent's own command line
}

// Ask names the files about which ProgramPackaged and RootOnly, ScriptPackaged and
// ScriptRootOnly are asked: the program of a management agent among the ancestors,
// and the script or program that it ran. They are empty when there is none.
func Ask(f Facts, c Config) (program, script string) {
	a, ok := newActor(&f)
	if !ok {
		return "", ""
	}
	g, ok := findAgent(a, &c)
	if !ok {
		return "", ""
	}
	pay := g.payload(a)
	return g.program, pay.path
}

// management looks for a management agent: its program, and what it ran, must both
// be somebody's.
func management(f *Facts, a *actor, c *Config) Result {
	if a.container != "" {
		return Result{} // inside a container the same path is another file
	}
	r := byLogin(f, a, c)
	if r.Attributed() {
		return r
	}
	g, ok := findAgent(a, c)
	if !ok {
		return r
	}
	if missing := g.missing(f, a); missing != "" {
		return near(missing)
	}
	if g.declared != nil && over(g.declared.Expires, f.Now) {
		return near(fmt.Sprintf("the entry of the agent %s has expired", g.agent.name))
	}
	return g.judge(f, a, c)
}

// byLogin looks for a declared agent that works through logins: its account must
// come from its source, and run its own payload or program.
func byLogin(f *Facts, a *actor, c *Config) Result {
	why := ""
	for i := range c.Agents {
		e := &c.Agents[i]
		if len(e.Sources) == 0 || len(e.Users) == 0 || !a.on(e.Hosts) {
			continue
		}
		patterns := append([]string(nil), e.Payloads...)
		for _, k := range agentsOf(a.platform) {
			if k.name == e.Name && k.logins {
				patterns = append(patterns, k.payloads...)
			}
		}
		what := ""
		for i, p := range a.all {
			if !rootOnly(p.Path, a.platform) {
				continue
			}
			if _, ok := anyGlob(e.Programs, p.Path); ok && (i > 0 || a.what != "command") {
				what = p.Path
			} else if interpreter(p.Path) != notInterpreter {
				if r := told(p, a.platform); clean(r.script, a.platform) {
					if _, ok := anyGlob(patterns, r.script); ok {
						what = r.script
					}
				}
			}
			if what != "" {
				break
			}
		}
		if what == "" {
			continue
		}
		who := matching(e.Users, a)
		from, ok := f.from(a, e.Sources)
		switch {
		case who == "":
			why = nonEmpty(why, fmt.Sprintf("%s is what %s runs, but %s is not its account", clip(what), e.Name, clip(nonEmpty(a.account(), "nobody known"))))
		case !ok:
			why = fmt.Sprintf("%s is the account of %s, but it came from %s", clip(who), e.Name, nonEmpty(from, "an unknown address"))
		case over(e.Expires, f.Now):
			why = fmt.Sprintf("the entry of the agent %s has expired", e.Name)
		default:
			return Result{Kind: Management, Subject: e.Name, Basis: fmt.Sprintf("%s, brought by %s from %s: %s", clip(what), clip(who), from, e.Reason), Strength: 0.8}
		}
	}
	return near(why)
}

// findAgent finds the nearest agent that runs on the host, declared or known.
func findAgent(a *actor, c *Config) (found, bool) {
	first := 0
	if a.what == "command" {
		first = 1 // the command is what the agent ran
	}
	for i := first; i < len(a.all); i++ {
		program := identity(a.all[i], a.platform)
		if program == "" {
			continue
		}
		g := found{program: program, below: a.all[:i], above: a.all[i+1:], cmd: a.all[i].CmdLine}
		if k := agentAt(program, a.platform); k != nil {
			g.agent = *k
		}
		for j := range c.Agents {
			e := &c.Agents[j]
			if !a.on(e.Hosts) || len(e.Sources) > 0 {
				continue
			}
			_, named := anyGlob(e.Programs, program)
			if named || e.Name == g.agent.name {
				g.declared = e
				g.agent.name = e.Name
				break
			}
		}
		if g.agent.name != "" {
			return g, true
		}
	}
	return found{}, false
}

// missing says what keeps the agent from being one, empty for nothing.
func (g *found) missing(f *Facts, a *actor) string {
	switch {
	case f.RootOnly == evidence.No:
		return fmt.Sprintf("%s looks like %s, but others than root can change it", clip(g.program), g.agent.name)
	case f.ProgramPackaged == evidence.No && g.declared == nil && packagesOwn(g.program, a.platform):
		return fmt.Sprintf("%s looks like %s, but no package brought it", clip(g.program), g.agent.name)
	case f.RootOnly != evidence.Yes && f.ProgramPackaged != evidence.Yes && !rootOnly(g.program, a.platform):
		return fmt.Sprintf("%s looks like %s, but it may not be only root who writes there", clip(g.program), g.agent.name)
	}
	accounts := g.agent.accounts
	if g.declared != nil {
		accounts = append(append([]string(nil), accounts...), g.declared.Users...)
	}
	if g.agent.name == "cockpit" {
		return g.cockpit(a)
	}
	if !a.daemon(accounts...) && !a.nameless() {
		return fmt.Sprintf("%s is an ancestor, but it ran for %s and not as a service", clip(g.program), clip(nonEmpty(a.account(), "an unknown user")))
	}
	if !onlyServices(g.aboveOwn(a.platform), a.platform) {
		return fmt.Sprintf("%s is an ancestor, but no manager of services started it", clip(g.program))
	}
	return ""
}

// cockpit works for whoever is logged in to its page: its session must have started
// the bridge.
func (g *found) cockpit(a *actor) string {
	for _, p := range g.above {
		if p.Path == "/usr/libexec/cockpit-session" || p.Path == "/usr/lib/cockpit/cockpit-session" {
			return ""
		}
		if !rootOnly(p.Path, a.platform) || interpreter(p.Path) != notInterpreter && identity(p, a.platform) != "/usr/bin/cockpit-bridge" {
			break
		}
	}
	return fmt.Sprintf("%s is an ancestor, but no session of cockpit started it", clip(g.program))
}

// aboveOwn are the ancestors of the agent without the agent's own programs.
func (g *found) aboveOwn(p evidence.Platform) []evidence.Ancestor {
	list := g.above
	for len(list) > 0 {
		id := identity(list[0], p)
		_, own := anyGlob(g.agent.programs, id)
		if !own && g.declared != nil {
			_, own = anyGlob(g.declared.Programs, id)
		}
		if !own || id == "" {
			// A shell that was told to start one of them, and nothing else, is between.
			r := told(list[0], p)
			if _, own := anyGlob(g.agent.programs, r.script); !own || !r.plain || r.script == "" || !rootOnly(list[0].Path, p) {
				break
			}
		}
		list = list[1:]
	}
	return list
}

// packagesOwn reports whether only packages put programs there.
func packagesOwn(path string, p evidence.Platform) bool {
	return p == evidence.Linux && under(path, []string{"/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/", "/usr/share/", "/bin/", "/sbin/", "/lib/"})
}

// payload is what the agent ran.
type payload struct {
	own    bool   // nothing but itself
	inline bool   // code on a command line
	named  bool   // one simple command, its program found by the search path
	path   string // a script or program
	plain  bool   // path is a program, whose arguments anybody may have chosen
}

// payload looks at what the agent started: its own code when it called the tool
// itself, a script, a program, or the text of a command line.
func (g *found) payload(a *actor) payload {
	for i := len(g.below) - 1; i >= 0; i-- {
		p := g.below[i]
		if id := identity(p, a.platform); id != "" {
			if _, own := anyGlob(g.agent.programs, id); own {
				continue
			}
		}
		if wrappers[base(p.Path)] && rootOnly(p.Path, a.platform) {
			continue
		}
		if interpreter(p.Path) == notInterpreter {
			if i == 0 && a.what != "connection" {
				break // the tool itself
			}
			return payload{path: p.Path, plain: true}
		}
		r := told(p, a.platform)
		if r.inline || !clean(r.script, a.platform) || !rootOnly(p.Path, a.platform) {
			return payload{inline: true, named: r.named && rootOnly(p.Path, a.platform)}
		}
		return payload{path: r.script, plain: r.plain}
	}
	if len(g.below) > 0 && !rootOnly(a.all[0].Path, a.platform) && a.all[0].Path != "" {
		return payload{path: a.all[0].Path, plain: true}
	}
	return payload{own: true}
}

// direct reports whether the agent ran a program by itself, or told a shell to run it
// and nothing else.
func (g *found) direct(path string, p evidence.Platform) bool {
	if !rootOnly(path, p) {
		return false
	}
	return len(g.below) == 1 || len(g.below) == 2 && rootOnly(g.below[0].Path, p) && base(g.below[0].Path) == base(path)
}

// judge decides by what the agent ran.
func (g *found) judge(f *Facts, a *actor, c *Config) Result {
	program := "in a place only root writes"
	strength := 0.6
	if f.ProgramPackaged == evidence.Yes {
		program, strength = "packaged", 0.8
	}
	if a.platform == evidence.Windows {
		program = strings.Replace(program, "root", "SYSTEM", 1)
	}
	is := func(strength float64, format string, args ...any) Result {
		basis := fmt.Sprintf("%s (%s) ", clip(g.program), program) + fmt.Sprintf(format, args...)
		if g.declared != nil {
			basis += ": " + g.declared.Reason
		}
		return Result{Kind: Management, Subject: g.agent.name, Basis: basis, Strength: strength}
	}
	pay := g.payload(a)
	if pay.own {
		return is(strength, "did it itself")
	}
	if pay.path != "" {
		placed := f.ScriptRootOnly == evidence.Yes || f.ScriptRootOnly != evidence.No && rootOnly(pay.path, a.platform)
		_, shipped := anyGlob(g.agent.payloads, pay.path)
		_, stored := anyGlob(g.agent.store, pay.path)
		declared := g.declared != nil && stored
		if g.declared != nil {
			_, ok := anyGlob(g.declared.Payloads, pay.path)
			declared = declared || ok
		}
		switch {
		case f.ScriptPackaged == evidence.Yes && (shipped || !pay.plain):
			return is(strength, "ran %s, which a package brought", clip(pay.path))
		case declared && placed:
			return is(min(strength, 0.6), "ran %s, which is declared for it", clip(pay.path))
		case shipped && placed && f.ScriptPackaged == evidence.Unknown:
			return is(0.5, "ran %s of its own plugins", clip(pay.path))
		case stored && placed && a.what == "command":
			return is(0.2, "ran %s, which its server sent", clip(pay.path))
		}
	}
	what := "a command line that nobody vouches for"
	if pay.path != "" {
		what = clip(pay.path) + ", which nobody vouches for"
	}
	// What an agent has done for days is its routine, wherever it has the text from. The
	// words tell whether it is the same.
	if h := f.History; Routine(*f) == "" && h.Days >= c.KnownUser.days() && (h.SameHours > 0 || !h.Interactive) && !c.KnownUser.Off {
		return is(0.4, "ran %s, as on %s before", what, days(h.Days))
	}
	if f.History.Routine >= c.KnownUser.days() && !c.KnownUser.Off {
		return is(0.4, "ran %s, by the same words as on %s before", what, days(f.History.Routine))
	}
	// Agents ask by what their servers tell them. That accounts for a look at the
	// services and for nothing more.
	if a.what == "command" && pay.named {
		return is(Weak, "ran one plain command")
	}
	if a.what == "command" && (pay.inline || pay.plain && g.direct(pay.path, a.platform)) {
		return is(Weak, "ran %s", what)
	}
	return near(fmt.Sprintf("%s is %s, but it ran %s", clip(g.program), g.agent.name, what))
}
