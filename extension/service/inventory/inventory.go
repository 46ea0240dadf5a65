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
	// LinkTarget is where the unit file leads, when it is a link.
	LinkTarget string
	DropIns    []string
	// ActivatedBy are the units, links and runlevels that start it.
	ActivatedBy []string
	Triggers    []string

	Package        string
	PackageVersion string
	// Verified says whether unit and program are still what packages brought.
	Verified evidence.Tristate

	Running evidence.Tristate
	PIDs    []int64
	Enabled evidence.Tristate
	OnDisk  evidence.Tristate
	// Writable are files and directories of it others can write; Looked says that
	// it was looked for.
	Writable []string
	Looked   bool
	// File is the unit file's.
	File     files.Info
	Problems []string
}

// Command is one command a service runs.
type Command struct {
	Directive string `json:"directive"`
	Path      string `json:"path"`
	Line      string `json:"line"`
	From      string `json:"from,omitempty"`

	args     string
	real     string
	script   string
	onDisk   evidence.Tristate
	writable evidence.Tristate
	packaged evidence.Tristate
}

// Reader reads the inventory of one host. It is safe for concurrent use.
type Reader struct {
	root  string
	units *systemd.Scanner
	init  *sysv.Scanner
	pkgs  *pkg.DB
	now   func() time.Time

	mu    sync.Mutex
	notes []Note
}

// Note is something that could not be read, or was left out.
type Note struct{ Path, Detail string }

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
	if unitErr != nil && initErr != nil {
		return nil, fmt.Errorf("read the services: %w", errors.Join(unitErr, initErr))
	}
	running := processes(r.root)
	until := r.now().Add(hashBudget)
	r.notes = nil
	var all []Service
	native := map[string]bool{}
	if unitErr == nil {
		for _, n := range units.Notes {
			r.notes = append(r.notes, Note{n.Path, n.Detail})
		}
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
			r.notes = append(r.notes, Note{n.Path, n.Detail})
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
	return all, ctx.Err()
}

// Notes are what the last read could not read or left out.
func (r *Reader) Notes() []Note {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.notes)
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
		Looked: true, Problems: u.Problems, Account: u.User,
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
	for i := range u.Exec {
		e := &u.Exec[i]
		c := Command{
			Directive: e.Directive, Path: e.Path, Line: e.Line, From: e.From, args: strings.Join(e.Args, " "), real: e.Real, script: e.Script,
			onDisk: e.OnDisk, writable: written(e.Writable != "", e.OnDisk != evidence.Unknown),
		}
		if c.Line == "" {
			c.Line = e.Path
		}
		if i == main {
			s.Commands = slices.Insert(s.Commands, 0, c)
			s.Path, s.Args, s.OnDisk = c.Path, c.args, c.onDisk
			continue
		}
		s.Commands = append(s.Commands, c)
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
		ActivatedBy: v.Links, StartType: strings.Join(v.Runlevels, ","),
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
			Directive: "start", Path: v.Program, Line: strings.TrimSpace(v.Program + " " + v.Args), From: v.Path, args: v.Args, onDisk: v.OnDisk,
			real: v.Program, writable: written(len(v.Writable) > 0, true),
		}}
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
	if ok {
		s.Package, s.PackageVersion = p.Name, p.Version
	}
	s.Verified = evidence.No
	if ok {
		s.Verified = r.verify(ctx, unit, until)
	}
	for _, d := range s.DropIns {
		if _, ok := r.pkgs.Owner(d); ok {
			s.Verified = worse(s.Verified, r.verify(ctx, d, until))
		} else {
			s.Verified = evidence.No
		}
	}
	for i := range s.Commands {
		c := &s.Commands[i]
		c.packaged = r.packaged(c)
		if c.onDisk != evidence.Yes {
			continue
		}
		s.Verified = worse(s.Verified, r.program(ctx, c, until))
		if c.script != "" {
			s.Verified = worse(s.Verified, r.verify(ctx, c.script, until))
		}
	}
	if !ok {
		s.Verified = evidence.Unknown // not a package's: nothing to verify
	}
}

// program verifies a program where it really lies, by the package of that file.
func (r *Reader) program(ctx context.Context, c *Command, until time.Time) evidence.Tristate {
	if _, ok := r.pkgs.Owner(c.real); !ok {
		return evidence.No
	}
	return r.verify(ctx, c.real, until)
}

// packaged reports whether a package owns the program of a command.
func (r *Reader) packaged(c *Command) evidence.Tristate {
	if c.onDisk != evidence.Yes || len(r.pkgs.Managers()) == 0 {
		return evidence.Unknown
	}
	if _, ok := r.pkgs.Owner(c.real); ok {
		return evidence.Yes
	}
	if _, ok := r.pkgs.Owner(c.Path); ok { // a link of the package's
		return evidence.Yes
	}
	return evidence.No
}

func (r *Reader) verify(ctx context.Context, p string, until time.Time) evidence.Tristate {
	ok, known, fresh := r.pkgs.Remembered(p)
	if !fresh {
		if r.now().After(until) {
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
	for _, c := range s.Commands[:min(len(s.Commands), 32)] {
		in := s.Install
		in.ImagePath = strings.TrimSpace(c.Path + " " + c.args)
		in.OnDisk, in.WritableByOthers, in.Packaged = c.onDisk, c.writable, c.packaged
		all = append(all, in)
	}
	return all
}
