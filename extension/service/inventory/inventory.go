// Package inventory puts together what services a Linux host has now: the units
// of systemd, init scripts and service directories, whose package each is, and
// whether it runs.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/systemd"
	"github.com/osquery-rollcall/rollcall/extension/service/sysv"
)

// hashBudget is how long one read of the inventory may hash files that changed.
// What is left over stays unknown until the next one.
const hashBudget = 250 * time.Millisecond

// Service is one service that exists now. An unknown fact is the zero value.
type Service struct {
	// Install are the facts a score is made of; its Kind says how a line is read.
	Install service.Install
	// Commands are all commands it runs, the main one first.
	Commands []Command
	// Kind is the manager, in the words of the table.
	Kind string
	// Type is the type of a systemd unit or hook.
	Type        string
	Scope       string // system or user
	Username    string // whose, in the user scope; empty when every user's
	Name        string
	DisplayName string
	Path        string // the program
	Args        string
	// StartType is systemctl's word for how it is turned on, or the runlevels of an
	// init script.
	StartType string
	Account   string
	UnitPath  string
	// LinkTarget is where the unit file leads, when it is a link, Real the file itself.
	LinkTarget string
	Real       string
	DropIns    []string
	// Aliases are other names of it, Shadows files that would count without its own.
	Aliases []string
	Shadows []string
	// ActivatedBy are the units, links and runlevels that start it, Links the links
	// among them by their paths.
	ActivatedBy []string
	Links       []string
	Triggers    []string
	// Waits is what a timer, socket or path unit waits for, as "Directive=value";
	// Listens the same of the sockets that start a service.
	Waits   []string
	Listens []string
	// Preload are settings that make its programs load other code.
	Preload []string

	Package        string
	PackageVersion string
	// Owned says whether the unit file belongs to a package; unknown where there is
	// no database of packages we can read.
	Owned evidence.Tristate
	// Verified says whether unit and program are still what packages brought.
	Verified evidence.Tristate
	// Altered are files of packages that are not what the package brought, Foreign
	// drop-ins of no package.
	Altered []string
	Foreign []string
	// Pending says that the time for verifying was over: the next read goes on.
	Pending bool
	// Signer is who signed the program, where Install.Signed says that it holds;
	// SHA256 is the program's hash: a script's, where an interpreter runs one.
	Signer string
	SHA256 string

	Running evidence.Tristate
	PIDs    []int64
	Enabled evidence.Tristate
	OnDisk  evidence.Tristate
	// Writable are files and directories of it others can write; Looked says that
	// it was looked for.
	Writable []string
	Looked   bool
	// File is the unit file's, Program the main program's.
	File     files.Info
	Program  files.Info
	Problems []string
	// Excess says that there is more of it than is read.
	Excess bool
	// Sum tells one text of its files from another; 0 when none could be read.
	Sum uint64
}

// Command is one command a service runs.
type Command struct {
	Directive string `json:"directive"`
	Path      string `json:"path"`
	Line      string `json:"line"`
	From      string `json:"from,omitempty"`

	Args string `json:"-"`
	// Argv0 is what the program is told to be, where that is not its path.
	Argv0 string `json:"-"`
	// Real is the program with all links followed, Script the file an interpreter
	// is given to run.
	Real     string            `json:"-"`
	Script   string            `json:"-"`
	OnDisk   evidence.Tristate `json:"-"`
	Writable evidence.Tristate `json:"-"`
	Packaged evidence.Tristate `json:"-"`
}

// Reader reads the inventory of one host. It is safe for concurrent use.
type Reader struct {
	root  string
	units *systemd.Scanner
	init  *sysv.Scanner
	pkgs  *pkg.DB
	sums  *sums
	now   func() time.Time

	mu       sync.Mutex
	notes    []Note
	unlisted []string
	unread   []string // programs whose hash is not known
	full     systemd.Scope
}

// Note is something that could not be read, or was left out.
type Note struct {
	Path, Detail string
	// Dangling says that all was read: a name leads to nothing.
	Dangling bool
	// Bound says that there was more than is read.
	Bound bool
}

// Options of a Reader.
type Options struct {
	// Trust are users that count as root for the question who can write a file.
	Trust []uint32
}

// New returns a Reader of the host below root ("/" is this host).
func New(root string, o Options) *Reader {
	return &Reader{
		root: strings.TrimRight(root, "/"), units: systemd.NewScanner(root, systemd.Options{Trust: o.Trust}),
		init: sysv.NewScanner(root, sysv.Options{Trust: o.Trust}), pkgs: pkg.Open(root), now: time.Now,
		sums: &sums{now: time.Now, known: map[string]fileSum{}},
	}
}

// Services are the services that exist now. Files that did not change since the
// last call are not read again. One part that cannot be read does not hide the
// other: an error means that neither could, or that ctx ended.
func (r *Reader) Services(ctx context.Context) ([]Service, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	units, unitErr := r.units.Scan(ctx)
	scripts, initErr := r.init.Scan(ctx)
	if ctx.Err() != nil || unitErr != nil && initErr != nil {
		return nil, fmt.Errorf("read the services: %w", errors.Join(unitErr, initErr))
	}
	running := processes(r.root)
	until := r.now().Add(hashBudget)
	r.notes, r.unlisted, r.unread, r.full = nil, nil, nil, ""
	var all []Service
	native := map[string]bool{}
	if unitErr == nil {
		for _, n := range units.Notes {
			r.notes = append(r.notes, Note{Path: n.Path, Detail: n.Detail, Dangling: n.Dangling, Bound: leftOut(n.Detail)})
		}
		r.unlisted, r.full = append(r.unlisted, units.Unlisted...), units.Full
		enabled := map[string]bool{}
		for i := range units.Units {
			if u := &units.Units[i]; switchedOn(u) {
				enabled[string(u.Scope)+"/"+u.Username+"/"+u.Name] = true
			}
		}
		for i := range units.Units {
			u := &units.Units[i]
			if u.Scope == systemd.System && u.Class != systemd.Generated {
				native[strings.TrimSuffix(u.Name, ".service")] = true
			}
			s := fromUnit(u, enabled)
			running.tell(&s)
			r.own(ctx, &s, u.SourcePath, until)
			all = append(all, s)
		}
	}
	if initErr == nil {
		for _, n := range scripts.Notes {
			r.notes = append(r.notes, Note{Path: n.Path, Detail: n.Detail, Bound: leftOut(n.Detail)})
		}
		r.unlisted = append(r.unlisted, scripts.Unlisted...)
		if scripts.Full {
			r.full = systemd.System
		}
		for i := range scripts.Services {
			s := fromScript(&scripts.Services[i])
			if running.systemd && native[strings.TrimSuffix(s.Name, ".sh")] {
				s.Enabled = evidence.No // systemd has a unit of that name and never looks at the script
			}
			running.tell(&s)
			r.own(ctx, &s, "", until)
			all = append(all, s)
		}
	}
	if unitErr != nil || initErr != nil {
		r.full = systemd.System
		r.notes = append(r.notes, Note{Path: r.root + "/", Detail: errors.Join(unitErr, initErr).Error()})
	}
	listen(all)
	tree := files.New(r.root, files.Options{})
	for i := range all {
		r.sum(tree, &all[i])
	}
	return all, ctx.Err()
}

// listen tells services which sockets start them.
func listen(all []Service) {
	type name struct{ scope, user, name string }
	var waits map[name][]string
	for i := range all {
		s := &all[i]
		if s.Type != string(systemd.Socket) {
			continue
		}
		for _, t := range s.Triggers {
			if waits == nil {
				waits = map[name][]string{}
			}
			k := name{s.Scope, s.Username, t}
			if len(waits[k]) < 64 {
				waits[k] = append(waits[k], s.Waits...)
			}
		}
	}
	for i := range all {
		if s := &all[i]; s.Type == string(systemd.Service) {
			s.Listens = waits[name{s.Scope, s.Username, s.Name}]
		}
	}
}

// Seen says whether the last read would have told of a service there. It is false
// for what a directory that could not be listed may hold, and for what may lie
// beyond the bound on services.
func (r *Reader) Seen(scope, unitPath string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full == systemd.System || string(r.full) == scope && scope != "" {
		return false
	}
	for _, d := range r.unlisted {
		if strings.HasPrefix(unitPath, d+"/") {
			return false
		}
	}
	return true
}

// Looked calls fn with every path the last read looked at, for whoever waits for one
// of them to change.
func (r *Reader) Looked(fn func(path string, seen files.Seen)) {
	for _, trace := range []map[string]files.Seen{r.units.Looked(), r.init.Looked()} {
		for p, seen := range trace {
			fn(p, seen)
		}
	}
}

// Root is the root of the host it reads, "/" or a directory.
func (r *Reader) Root() string { return r.root + "/" }

// Notes are what the last read could not read or left out.
func (r *Reader) Notes() []Note {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.notes)
}

// leftOut reports whether a note is of a bound that was reached.
func leftOut(detail string) bool {
	return strings.HasPrefix(detail, "more than ") && strings.Contains(detail, ": the others are ")
}

// switchedOn reports whether something in place starts a unit, other units aside.
func switchedOn(u *systemd.Unit) bool {
	switch u.State {
	case systemd.Masked, systemd.MaskedRuntime:
		return false
	case systemd.Enabled, systemd.EnabledRuntime, systemd.IsGenerated, systemd.IsTransient:
		return true
	}
	return len(u.Links) > 0
}

func fromUnit(u *systemd.Unit, enabled map[string]bool) Service {
	s := Service{
		Kind: string(service.Systemd), Type: string(u.Kind), Scope: string(u.Scope), Username: u.Username, Name: u.Name, DisplayName: u.Description,
		StartType: string(u.State), UnitPath: u.Path, LinkTarget: u.LinkTarget, Triggers: u.Triggers, File: u.File, Writable: u.Writable,
		Looked: true, Problems: u.Problems, Account: u.User, Real: u.Real, Aliases: u.Aliases, Shadows: u.Shadows, Waits: u.Waits, Preload: u.Preload, Excess: u.Excess, Sum: u.Sum,
	}
	switch {
	case s.Account != "":
	case u.DynamicUser:
		s.Account, _, _ = strings.Cut(strings.TrimSuffix(u.Name, ".service"), "@")
	case u.Scope == systemd.User:
		s.Account = u.Username
	default:
		s.Account = "root"
	}
	for _, d := range u.DropIns {
		s.DropIns = append(s.DropIns, d.Path)
	}
	key := string(u.Scope) + "/" + u.Username + "/"
	by := false
	for _, l := range u.Links {
		s.ActivatedBy = append(s.ActivatedBy, l.By)
		s.Links = append(s.Links, l.Path)
	}
	for _, t := range u.TriggeredBy {
		s.ActivatedBy = append(s.ActivatedBy, t)
		by = by || enabled[key+t]
	}
	switch {
	case u.State == systemd.Masked || u.State == systemd.MaskedRuntime:
		s.Enabled = evidence.No
	case switchedOn(u) || by:
		s.Enabled = evidence.Yes
	case u.State == systemd.Static || u.State == systemd.Indirect:
		// By another unit's Requires=, by D-Bus, by hand: not known here.
	default:
		s.Enabled = evidence.No
	}
	main := -1
	for i := range u.Exec {
		e := &u.Exec[i]
		if main < 0 || (e.Directive == "ExecStart" && u.Exec[main].Directive != "ExecStart") {
			main = i
		}
	}
	type line struct{ path, args string }
	have := map[line]bool{}
	for i := range u.Exec {
		e := &u.Exec[i]
		c := Command{
			Directive: e.Directive, Path: e.Path, Line: e.Line, From: e.From, Args: strings.Join(e.Args, " "), Argv0: e.Argv0, Real: e.Real, Script: e.Script,
			OnDisk: e.OnDisk, Writable: written(e.Writable != "", e.OnDisk != evidence.Unknown),
		}
		if c.Line == "" {
			c.Line = e.Path
		}
		k := line{c.Path, c.Args}
		switch {
		case i == main:
			s.Commands = slices.Insert(s.Commands, 0, c)
			s.Path, s.Args, s.OnDisk, s.Program = c.Path, c.Args, c.OnDisk, e.File
		case len(u.Exec) > 8 && have[k]: // the same over and over
			continue
		default:
			s.Commands = append(s.Commands, c)
		}
		have[k] = true
	}
	s.Install = service.Install{
		Kind: service.Systemd, Name: u.Name, DisplayName: u.Description, UnitPath: u.Path, Start: service.StartUnknown, Account: s.Account,
	}
	return s
}

func fromScript(v *sysv.Service) Service {
	s := Service{
		Kind: string(v.Kind), Type: "service", Scope: "system", Name: v.Name, DisplayName: v.Description, Path: v.Program, Args: v.Args,
		Account: v.Account, UnitPath: v.Path, LinkTarget: v.LinkTarget, File: v.File, OnDisk: v.OnDisk, Writable: v.Writable, Looked: true,
		ActivatedBy: v.Links, Links: v.Links, Real: v.Real, Sum: v.Sum, StartType: strings.Join(v.Runlevels, ","),
	}
	s.Enabled = evidence.No
	if v.Enabled {
		s.Enabled = evidence.Yes
	}
	if s.Account == "" {
		s.Account = "root"
	}
	kind := service.SysV
	if v.Kind == sysv.OpenRC {
		kind = service.OpenRC
	}
	if v.Program != "" {
		s.Commands = []Command{{
			Directive: "start", Path: v.Program, Line: strings.TrimSpace(v.Program + " " + v.Args), From: v.Path, Args: v.Args, OnDisk: v.OnDisk,
			Real: v.Program, Writable: written(len(v.Writable) > 0, true),
		}}
	}
	for _, c := range v.Runs {
		s.Commands = append(s.Commands, Command{
			Directive: "script", Path: c.Path, Line: strings.TrimSpace(c.Path + " " + c.Args), From: v.Path, Args: c.Args, OnDisk: c.OnDisk, Real: c.Path,
			Writable: written(c.Writable != "", c.OnDisk != evidence.Unknown),
		})
	}
	s.Install = service.Install{Kind: kind, Name: v.Name, DisplayName: v.Description, UnitPath: v.Path, Start: service.StartUnknown, Account: s.Account}
	return s
}

func written(yes, known bool) evidence.Tristate {
	switch {
	case yes:
		return evidence.Yes
	case known:
		return evidence.No
	}
	return evidence.Unknown
}

// own finds the package of a service and verifies its files as far as the time
// goes.
func (r *Reader) own(ctx context.Context, s *Service, source string, until time.Time) {
	unit := s.UnitPath
	if source != "" {
		unit = source
	}
	if len(r.pkgs.Managers()) == 0 {
		return // no database we can read: nothing is known
	}
	p, ok := r.pkgs.Owner(unit)
	s.Owned = evidence.No
	if ok {
		s.Package, s.PackageVersion, s.Owned = p.Name, p.Version, evidence.Yes
	}
	s.Verified = evidence.No
	if ok {
		s.Verified = r.verify(ctx, s, unit, until)
	}
	for _, d := range s.DropIns {
		if _, ok := r.pkgs.Owner(d); ok {
			s.Verified = worse(s.Verified, r.verify(ctx, s, d, until))
		} else {
			s.Verified = evidence.No
			s.Foreign = append(s.Foreign, d)
		}
	}
	for i := range s.Commands {
		c := &s.Commands[i]
		c.Packaged = r.packaged(c)
		if c.OnDisk != evidence.Yes || c.Directive == "script" && c.Packaged != evidence.Yes {
			continue
		}
		s.Verified = worse(s.Verified, r.program(ctx, s, c, until))
		if c.Script != "" {
			s.Verified = worse(s.Verified, r.verify(ctx, s, c.Script, until))
		}
	}
	if !ok {
		s.Verified = evidence.Unknown // not a package's: nothing to verify
	}
}

// program verifies a program where it really lies, by the package of that file.
func (r *Reader) program(ctx context.Context, s *Service, c *Command, until time.Time) evidence.Tristate {
	if _, ok := r.pkgs.Owner(c.Real); ok {
		return r.verify(ctx, s, c.Real, until)
	}
	if p, ok := r.pkgs.Owner(c.Path); ok && len(s.Altered) < 8 {
		s.Altered = append(s.Altered, fmt.Sprintf("%s of the package %s leads to %s, which is of none", c.Path, p.Name, c.Real))
	}
	return evidence.No
}

// packaged reports whether a package owns the program of a command.
func (r *Reader) packaged(c *Command) evidence.Tristate {
	if c.OnDisk != evidence.Yes || len(r.pkgs.Managers()) == 0 {
		return evidence.Unknown
	}
	if _, ok := r.pkgs.Owner(c.Real); ok {
		return evidence.Yes
	}
	if _, ok := r.pkgs.Owner(c.Path); ok { // a link of the package's
		return evidence.Yes
	}
	return evidence.No
}

func (r *Reader) verify(ctx context.Context, s *Service, p string, until time.Time) evidence.Tristate {
	ok, known, fresh := r.pkgs.Remembered(p)
	if !fresh {
		if r.now().After(until) {
			s.Pending = true
			return evidence.Unknown
		}
		var err error
		if ok, known, err = r.pkgs.Verify(ctx, p); err != nil {
			return evidence.Unknown
		}
	}
	switch {
	case !known:
		return evidence.Unknown
	case ok:
		return evidence.Yes
	}
	if owner, ok := r.pkgs.Owner(p); ok && len(s.Altered) < 8 {
		s.Altered = append(s.Altered, fmt.Sprintf("%s is not what the package %s brought", p, owner.Name))
	}
	return evidence.No
}

// worse is No if either is, else Unknown if either is.
func worse(a, b evidence.Tristate) evidence.Tristate {
	switch {
	case a == evidence.No || b == evidence.No:
		return evidence.No
	case a == evidence.Unknown || b == evidence.Unknown:
		return evidence.Unknown
	}
	return evidence.Yes
}

// Installs are a service's facts once for each command it runs, for a score: the
// worst of them is the service's. A unit without commands has one, without a line.
func (s *Service) Installs() []service.Install {
	if len(s.Commands) == 0 {
		in := s.Install
		in.WritableByOthers = written(len(s.Writable) > 0, s.Looked)
		return []service.Install{in}
	}
	all := make([]service.Install, 0, len(s.Commands))
	for _, c := range s.Commands {
		in := s.Install
		in.ImagePath = strings.TrimSpace(c.Path + " " + c.Args)
		in.OnDisk, in.WritableByOthers, in.Packaged = c.OnDisk, c.Writable, c.Packaged
		all = append(all, in)
	}
	return all
}
