package attribution

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service"
)

// expected looks for a configured entry.
func expected(f *Facts, a *actor, c *Config) Result {
	why := ""
	for i := range c.Expected {
		e := &c.Expected[i]
		ok, missed := e.matches(f, a)
		switch {
		case !ok:
			why = nonEmpty(why, missed)
		case over(e.Expires, f.Now):
			why = nonEmpty(why, fmt.Sprintf("the entry %q has expired on %s", e.name(), stamp(e.Expires)))
		default:
			basis := "configured entry"
			if e.ID != "" {
				basis += ": " + e.Reason
			}
			if !e.Expires.IsZero() {
				basis += ", until " + stamp(e.Expires)
			}
			return Result{Kind: Expected, Subject: e.name(), Basis: basis, Strength: 1}
		}
	}
	return near(why)
}

func (e *Entry) name() string { return nonEmpty(e.ID, e.Reason) }

// same compares a value of the entry with a fact.
func (e *Entry) same(want, have string) bool {
	if e.Exact {
		return want == have
	}
	return glob(want, have)
}

// matches reports whether every field that is set agrees; missed says in words what
// does not, where the entry is plainly about this.
func (e *Entry) matches(f *Facts, a *actor) (ok bool, missed string) {
	if e.User == "" && e.Parent == "" && e.Command == "" && len(e.Commands) == 0 && e.Path == "" && e.Name == "" && e.Remote == "" {
		return false, "" // an entry for everything is a mistake
	}
	if e.User != "" && (e.Exact && e.User != a.user && e.User != a.login || !e.Exact && !a.is(e.User)) {
		return false, ""
	}
	if e.Host != "" && !e.same(e.Host, a.host) {
		return false, ""
	}
	switch a.what {
	case "install":
		return e.matchesInstall(f, a)
	case "connection":
		return e.matchesConnection(f, a), ""
	}
	return e.matchesCommand(f, a), ""
}

func (e *Entry) matchesCommand(f *Facts, a *actor) bool {
	if e.Name != "" || e.Remote != "" {
		return false
	}
	if e.Parent != "" && !e.same(e.Parent, nonEmpty(f.Process.ParentPath, parentOf(a))) {
		return false
	}
	if e.Path != "" && !e.same(e.Path, f.Process.Path) {
		return false
	}
	return e.matchesCommands(f.Canonical)
}

func parentOf(a *actor) string {
	if len(a.all) > 1 {
		return a.all[1].Path
	}
	return ""
}

// matchesCommands reports whether each of the commands matches.
func (e *Entry) matchesCommands(commands []string) bool {
	if e.Command == "" && len(e.Commands) == 0 {
		return true
	}
	if len(commands) == 0 {
		return false
	}
	for _, c := range commands {
		ok := e.Command != "" && e.same(e.Command, c)
		for i := 0; !ok && i < len(e.Commands); i++ {
			ok = e.same(e.Commands[i], c)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (e *Entry) matchesConnection(f *Facts, a *actor) bool {
	if e.Name != "" || e.Command != "" || len(e.Commands) > 0 || e.Path == "" && e.Remote == "" {
		return false
	}
	if e.Parent != "" && !e.same(e.Parent, parentOf(a)) {
		return false
	}
	if e.Path != "" && !e.same(e.Path, f.Connection.Path) {
		return false
	}
	if e.Remote == "" {
		return true
	}
	if n, err := parseNetwork(e.Remote); err == nil {
		addr, err := netip.ParseAddr(f.Connection.RemoteAddr)
		return err == nil && n.Contains(addr.Unmap().WithZone(""))
	}
	return f.Connection.RemoteName != "" && e.same(e.Remote, strings.TrimSuffix(f.Connection.RemoteName, "."))
}

func (e *Entry) matchesInstall(f *Facts, a *actor) (ok bool, missed string) {
	in := f.Install
	if e.Name == "" || e.Path == "" || e.SHA256 == "" && e.Signer == "" && e.Package == "" {
		return false, ""
	}
	if !e.same(e.Name, in.Name) {
		return false, ""
	}
	if e.Parent != "" && !e.same(e.Parent, in.InstallerPath) {
		return false, ""
	}
	because := func(format string, args ...any) (bool, string) {
		return false, fmt.Sprintf("the entry %q is for %s, but ", e.name(), clip(in.Name)) + fmt.Sprintf(format, args...)
	}
	program := programOf(in)
	if !e.same(e.Path, program) {
		return because("it runs %s", clip(nonEmpty(program, "an unknown program")))
	}
	if !e.matchesCommands([]string{in.ImagePath}) {
		return because("its command line is another")
	}
	if in.ServiceDLL == "" && e.Command == "" && len(e.Commands) == 0 && interpreter(program) != notInterpreter {
		return because("%s runs what its command line says, and the entry has no command", clip(program))
	}
	switch {
	case e.SHA256 == "":
	case in.SHA256 == "":
		return because("the hash of %s is not known", clip(program))
	case !strings.EqualFold(strings.TrimSpace(e.SHA256), in.SHA256):
		return because("the hash of %s is another: it was changed", clip(program))
	}
	if e.Signer != "" && (in.Signed != evidence.Yes || !e.same(e.Signer, f.Signer)) {
		return because("%s is not signed by %s", clip(program), e.Signer)
	}
	if e.Package != "" && (in.PackageVerified != evidence.Yes || !e.same(e.Package, in.Package)) {
		return because("it does not verify as the package %s brought it", e.Package)
	}
	return true, ""
}

// programOf is the file an install's entry is about: the program, or the library
// that svchost.exe loads.
func programOf(in *evidence.Install) string {
	kind := service.Kind(in.Kind)
	if in.ServiceDLL != "" {
		return service.NormalizeImagePath(in.ServiceDLL, service.Driver).Program
	}
	if in.Path != "" {
		return in.Path
	}
	if kind == "" {
		kind = service.KindOf(service.ParseType(in.ServiceType), in.Name, in.ImagePath)
	}
	return service.NormalizeImagePath(in.ImagePath, kind).Program
}

// responder looks for a case: the responders' own operation.
func responder(f *Facts, a *actor, c *Config) Result {
	if r := inherited(f, Case); r.Attributed() {
		return r
	}
	why := ""
	for i := range c.Cases {
		e := &c.Cases[i]
		who := matching(e.Users, a)
		if who == "" || !a.on(e.Hosts) {
			continue
		}
		from, ok := f.from(a, e.Sources)
		switch {
		case len(e.Sources) > 0 && !ok:
			why = fmt.Sprintf("%s is in case %s, but from %s", clip(who), e.ID, nonEmpty(from, "an unknown address"))
		case e.Expires.IsZero() || over(e.Expires, f.Now):
			why = fmt.Sprintf("the entry of case %s has expired", e.ID)
		default:
			return Result{Kind: Case, Subject: e.ID, Basis: fmt.Sprintf("%s works on it: %s, until %s", clip(who), e.Reason, stamp(e.Expires)), Strength: 0.9}
		}
	}
	return near(why)
}

// matching returns the account that one of the patterns names. A login decides over
// what it became.
func matching(users []string, a *actor) string {
	if a.login != "" {
		if _, ok := anyGlob(users, a.login); ok {
			return a.login
		}
		if a.platform != evidence.Windows || !a.systemAccount("", a.login) {
			return ""
		}
	}
	if _, ok := anyGlob(users, a.user); ok {
		return a.user
	}
	return ""
}

// inherited is what a young service of a kind does: it belongs to whose the service
// is.
func inherited(f *Facts, k Kind) Result {
	if f.Under.Kind != k {
		return Result{}
	}
	return Result{Kind: k, Subject: f.Under.Subject, Basis: "under a service of " + f.Under.Subject + ": " + f.Under.Basis, Strength: 0.9 * f.Under.Strength}
}

// tools are the names of the services of tools that run commands elsewhere, for
// scanners and anybody else, and temporary those of services that scanners install for
// as long as they look; lower case.
var tools = []string{"psexesvc*", "paexec*", "csexec*", "remcomsvc*", "winexesvc*", "xcmdsvc*"}

var temporary = []string{
	"nessus*", "tenable_mw_scan*", "tenable nessus*", "qualys*", "rapid7*", "r7_*", "insightvm*", "nexpose*", "openvas*", "gvm_*", "lansweeper*", "lsremote*", "spiceworks*", "device42*",
}

// scanner looks for an authorised scanner: account, source and schedule must agree.
func scanner(f *Facts, a *actor, c *Config) Result {
	why := ""
	for i := range c.Scanners {
		e := &c.Scanners[i]
		if !a.on(e.Hosts) || len(e.Users) == 0 || len(e.Sources) == 0 {
			continue
		}
		in, written := e.has(a.at(f.Now))
		if f.Under.Kind == Scanner && f.Under.Subject == e.Name && in && !over(e.Expires, f.Now) {
			return inherited(f, Scanner)
		}
		who := matching(e.Users, a)
		from, ok := f.from(a, e.Sources)
		visited := false
		if who == "" {
			if who, from, visited = f.visited(a, e); !visited {
				continue
			}
			ok = true
		}
		switch {
		case !ok:
			why = fmt.Sprintf("%s is the account of the scanner %s, but it came from %s", clip(who), e.Name, nonEmpty(from, "an unknown address"))
		case !in:
			why = fmt.Sprintf("the scanner %s came outside its schedule", e.Name)
		case over(e.Expires, f.Now):
			why = fmt.Sprintf("the entry of the scanner %s has expired", e.Name)
		case a.what == "install" && !temporaryService(f.Install, e.Services, visited):
			why = fmt.Sprintf("the scanner %s installed %s, which is no temporary service of its", e.Name, clip(f.Install.Name))
		default:
			basis := fmt.Sprintf("%s from %s", clip(who), from)
			if written != "" {
				basis += ", scheduled " + written
			}
			if visited {
				return Result{Kind: Scanner, Subject: e.Name, Basis: basis + ", who logged on just before: " + e.Reason, Strength: 0.8}
			}
			return Result{Kind: Scanner, Subject: e.Name, Basis: basis + ": " + e.Reason, Strength: 0.9}
		}
	}
	return near(why)
}

// visited finds the scanner's logon before an install of which nobody is told: the
// manager of services records no installer.
func (f *Facts) visited(a *actor, e *Authorised) (who, from string, ok bool) {
	if a.what != "install" || len(a.all) > 0 || a.user != "" || a.login != "" || a.uid != "" {
		return "", "", false
	}
	for _, v := range f.Visits {
		addr, err := netip.ParseAddr(strings.TrimSpace(v.From))
		if err != nil {
			continue
		}
		if _, named := anyGlob(e.Users, v.User); !named {
			continue
		}
		for _, s := range e.Sources {
			if n, err := parseNetwork(s); err == nil && n.Contains(addr.Unmap().WithZone("")) {
				return v.User, v.From, true
			}
		}
	}
	return "", "", false
}

// temporaryService reports whether a service is one of those a scanner installs for as
// long as it looks. Where only its logon tells whose it is, a tool that anybody uses
// to run commands elsewhere is not.
func temporaryService(in *evidence.Install, more []string, visited bool) bool {
	usual := temporary
	if !visited {
		usual = slices.Concat(tools, temporary)
	}
	for _, name := range []string{in.Name, in.DisplayName} {
		if _, ok := anyGlob(usual, name); ok {
			return true
		}
		if _, ok := anyGlob(more, name); ok {
			return true
		}
	}
	return false
}

// maintenance looks for a window of time.
func maintenance(f *Facts, a *actor, c *Config) Result {
	why := ""
	if why := f.newSource(a); why != "" && !f.ownNetwork(a) && len(c.Maintenance) > 0 {
		return near(why) // a window is for those who work here, not for who took their credentials
	}
	for i := range c.Maintenance {
		w := &c.Maintenance[i]
		if w.Reference == "" || !a.on(w.Hosts) {
			continue
		}
		strength, who := 0.6, ""
		if len(w.Hosts) > 0 {
			strength += 0.1
		}
		if len(w.Users) > 0 {
			if who = matching(w.Users, a); who == "" {
				continue
			}
			strength += 0.2
		}
		if w.From.IsZero() && w.To.IsZero() && !w.recurs() {
			continue // always is no window
		}
		in, written := w.has(a.at(f.Now))
		if in && a.what == "install" && f.Install.TimeBasis == evidence.BasisKeyTime {
			// Whoever writes a registry key can date it: it must be the window now too.
			in, _ = w.has(f.Now)
		}
		switch {
		case !in:
		case over(w.Expires, f.Now):
			why = fmt.Sprintf("the entry of the window %s has expired", w.Reference)
		default:
			basis := "within the window " + written
			if who != "" {
				basis = clip(who) + " " + basis
			}
			return Result{Kind: Maintenance, Subject: w.Reference, Basis: basis + ": " + w.Reason, Strength: strength}
		}
	}
	return near(why)
}
