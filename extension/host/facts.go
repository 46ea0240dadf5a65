package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/accounts"
	"github.com/osquery-rollcall/rollcall/extension/host/memory"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg"
	"github.com/osquery-rollcall/rollcall/extension/host/vuln"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

// The bounds of one look at an incident.
const (
	lookTimeout = 2 * time.Second
	maxListed   = 32 // entries of a list
	maxWhy      = 4  // reasons of what is missing
	maxPeople   = 4
)

// The kinds of facts, as HostFacts.Missing names them.
const (
	kindMemory          = "memory"
	kindGroups          = "groups"
	kindVulnerabilities = "vulnerabilities"
	kindServices        = "services"
)

// Options says what Facts look at. What is nil is not looked at, and that is said.
type Options struct {
	// Host is this host's name in evidence: an incident of another is not looked at.
	Host string
	// Platform is this host's.
	Platform evidence.Platform
	// Root is where its files are and Proc its process file system; "/" and "/proc"
	// when empty.
	Root, Proc string
	// Trust are users whose files count as root's, for trees of tests.
	Trust []uint32
	// Core asks osquery where this platform has no files to read.
	Core core.Asker
	// Owner names the package that a file belongs to.
	Owner func(path string) (pkg.Package, bool)
	// Scans are the vulnerability scans that the user points to.
	Scans *vuln.Scans
	// Services counts this host's services and names those at medium or above.
	Services func(ctx context.Context) (count int, suspects []string)
	// Missing are the kinds of evidence that no source brings, with the reason.
	Missing func() map[string]string
	// Timeout bounds one look, 2 s by default.
	Timeout time.Duration
	// Now is the clock; time.Now by default.
	Now    func() time.Time
	Logger hclog.Logger
}

// Facts look at this host for what it shows of an incident: its processes, accounts
// and services, and what scans found in the software behind it. A look never fails
// and never waits for long: what could not be seen is said. It is safe for
// concurrent use.
type Facts struct {
	opts    Options
	present func([]string) []string
	parts   []part
	running sync.WaitGroup
}

// part is one kind of facts. Each is looked at by itself, so that one which hangs (a
// process whose memory map is locked, say) takes no other with it.
type part struct {
	kind string
	look func(context.Context, *subject) told
	// busy holds the one look that may go on at a time.
	busy chan struct{}
}

// told is what a part has to tell.
type told struct {
	kind    string
	fill    func(*incident.HostFacts)
	missing []string
}

// NewFacts returns Facts. present makes texts fit to be shown: it masks secrets and
// escapes what would not be seen as it is.
func NewFacts(present func([]string) []string, o Options) *Facts {
	if o.Timeout <= 0 {
		o.Timeout = lookTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Owner == nil {
		o.Owner = func(string) (pkg.Package, bool) { return pkg.Package{}, false }
	}
	f := &Facts{opts: o, present: present}
	add := func(kind string, look func(context.Context, *subject) told) {
		f.parts = append(f.parts, part{kind: kind, look: look, busy: make(chan struct{}, 1)})
	}
	add(kindMemory, f.memory(newProcesses(o)))
	add(kindGroups, f.groups(newAccounts(o)))
	add(kindVulnerabilities, f.vulnerabilities)
	add(kindServices, f.services)
	return f
}

// Wait returns when every look has ended, also those that were not waited for.
func (f *Facts) Wait() { f.running.Wait() }

// Look tells what the host shows of an incident now. What an earlier look found in
// memory stays, since processes end; an incident of another host comes back as it
// was.
func (f *Facts) Look(ctx context.Context, x *incident.Incident) incident.HostFacts {
	facts := x.Facts
	if !sameHost(x.Host, f.opts.Host) || x.Platform != "" && f.opts.Platform != "" && x.Platform != f.opts.Platform {
		return facts
	}
	ctx, cancel := context.WithTimeout(ctx, f.opts.Timeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	// Who minds its context has the last tenth to tell what it got.
	inner, cancelInner := context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
	defer cancelInner()

	facts.Looked = f.opts.Now().Unix()
	facts.Missing = map[string]string{}
	if f.opts.Missing != nil {
		maps.Copy(facts.Missing, f.opts.Missing())
	}
	s := f.subject(x)
	answers := make(chan told, len(f.parts))
	waiting := map[string]bool{}
	for i := range f.parts {
		p := &f.parts[i]
		select {
		case p.busy <- struct{}{}:
			waiting[p.kind] = true
			f.running.Add(1)
			go f.run(inner, p, s, answers)
		default:
			f.miss(&facts, p.kind, "an earlier look at it has not come back")
		}
	}
	take := func(a told) {
		delete(waiting, a.kind)
		if a.fill != nil {
			a.fill(&facts)
		}
		f.miss(&facts, a.kind, a.missing...)
	}
	for len(waiting) > 0 && ctx.Err() == nil {
		select {
		case a := <-answers:
			take(a)
		case <-ctx.Done():
		}
	}
	for len(answers) > 0 {
		take(<-answers)
	}
	why := fmt.Sprintf("it took longer than %v", f.opts.Timeout)
	if errors.Is(ctx.Err(), context.Canceled) {
		why = "it was stopped"
	}
	for kind := range waiting {
		if kind == kindMemory { // what it found so far
			a := f.memoryTold(s.report.Result())
			a.fill(&facts)
			f.miss(&facts, kind, a.missing...)
		}
		f.miss(&facts, kind, why)
	}
	f.show(&facts)
	return facts
}

// run runs a part. It is free again before it answers: who has the answer may look again.
func (f *Facts) run(ctx context.Context, p *part, s *subject, answers chan<- told) {
	defer f.running.Done()
	a := f.recovered(ctx, p, s)
	<-p.busy
	answers <- a
}

// recovered is what a part tells. A panic over what somebody else wrote must not end the
// program.
func (f *Facts) recovered(ctx context.Context, p *part, s *subject) (a told) {
	defer func() {
		if r := recover(); r != nil {
			f.opts.Logger.Error("look at the host panicked", "kind", p.kind, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			a = told{kind: p.kind, missing: []string{"an error in Rollcall ended it"}}
		}
	}()
	return p.look(ctx, s)
}

// miss says why a kind of facts is not there or not whole.
func (f *Facts) miss(facts *incident.HostFacts, kind string, why ...string) {
	if len(why) == 0 {
		return
	}
	if n := len(why); n > maxWhy {
		why = append(slices.Clone(why[:maxWhy]), fmt.Sprintf("and %d more", n-maxWhy))
	}
	if old := facts.Missing[kind]; old != "" {
		why = append([]string{old}, why...)
	}
	facts.Missing[kind] = strings.Join(why, "; ")
}

// show makes texts fit to be shown; those of memory are.
func (f *Facts) show(facts *incident.HostFacts) {
	for _, list := range []*[]string{&facts.Groups, &facts.Vulnerabilities, &facts.Suspects} {
		if len(*list) > 0 {
			*list = f.present(*list)
		}
	}
	for kind, why := range facts.Missing {
		facts.Missing[kind] = strings.Join(f.present([]string{why}), "")
	}
}

// memory looks at the processes of an incident.
func (f *Facts) memory(look processes) func(context.Context, *subject) told {
	return func(ctx context.Context, s *subject) told {
		switch {
		case look == nil:
			return told{kind: kindMemory, missing: []string{"memory is looked at on Linux, and elsewhere through osquery, which was not asked"}}
		case len(s.question.Processes)+len(s.question.Programs) == 0:
			return told{kind: kindMemory, missing: []string{"no process of it is known"}}
		}
		look.Look(ctx, s.question, s.report)
		r := s.report.Result()
		a := f.memoryTold(r)
		if r.Looked+r.Gone == 0 && len(r.Signs)+len(r.Problems) == 0 {
			a.missing = []string{"none of its programs runs"}
		}
		return a
	}
}

func (f *Facts) memoryTold(r memory.Result) told {
	return told{kind: kindMemory, missing: r.Problems, fill: func(facts *incident.HostFacts) {
		facts.Gone = r.Gone
		// Those of before are fit to be shown already.
		facts.Memory = union(facts.Memory, f.present(r.Signs))
	}}
}

// union is a with those of b that it lacks, as many as are listed.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if len(out) < maxListed && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// groups tells what the accounts of an incident may do.
func (f *Facts) groups(roles func(context.Context, string) accounts.Roles) func(context.Context, *subject) told {
	return func(ctx context.Context, s *subject) told {
		a := told{kind: kindGroups, missing: slices.Clone(s.noGroups)}
		if roles == nil {
			a.missing = append(a.missing, "accounts are read on Linux, and elsewhere through osquery, which was not asked")
			return a
		}
		var list []string
		for _, name := range s.people {
			r := roles(ctx, name)
			prefix := ""
			if len(s.people) > 1 {
				prefix = name + ": "
			}
			for _, role := range r.List {
				list = append(list, prefix+role)
			}
			for _, p := range r.Problems {
				if !slices.Contains(a.missing, p) {
					a.missing = append(a.missing, p)
				}
			}
		}
		if len(list) > maxListed {
			a.missing = append(a.missing, fmt.Sprintf("%d more roles are not listed", len(list)-maxListed))
			list = list[:maxListed]
		}
		if len(list) > 0 {
			a.fill = func(facts *incident.HostFacts) { facts.Groups = list }
		}
		return a
	}
}

// vulnerabilities tells what scans found in the software behind the services
// involved.
func (f *Facts) vulnerabilities(_ context.Context, s *subject) told {
	a := told{kind: kindVulnerabilities}
	if f.opts.Scans == nil {
		a.missing = []string{"no scan is configured"}
		return a
	}
	set, problems := f.opts.Scans.Set()
	a.missing = problems
	names, installed := slices.Clone(s.packages), map[string]string{}
	for _, p := range s.paths {
		if owner, ok := f.opts.Owner(p); ok {
			names = append(names, owner.Name)
			installed[vuln.Name(owner.Name)] = owner.Version
		}
	}
	found := slices.Concat(set.For(names), set.At(s.paths))
	vuln.Sort(found)
	var list []string
	for _, v := range found {
		text := v.String()
		if now := installed[vuln.Name(v.Package)]; now != "" && v.Version != "" && revision(now) != revision(v.Version) {
			text += ", " + now + " is installed now"
		}
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	if len(list) > maxListed {
		a.missing = append(a.missing, fmt.Sprintf("%d more findings are not listed", len(list)-maxListed))
		list = list[:maxListed]
	}
	if len(list) > 0 {
		a.fill = func(facts *incident.HostFacts) { facts.Vulnerabilities = list }
	}
	return a
}

// revision is a version without its epoch, which not all tools tell.
func revision(v string) string {
	if epoch, rest, ok := strings.Cut(v, ":"); ok && epoch != "" && strings.Trim(epoch, "0123456789") == "" {
		return rest
	}
	return v
}

// services tells how many services the host has and which are suspect.
func (f *Facts) services(ctx context.Context, _ *subject) told {
	a := told{kind: kindServices}
	if f.opts.Services == nil {
		a.missing = []string{"the services of the host are not listed"}
		return a
	}
	count, suspects := f.opts.Services(ctx)
	if n := len(suspects); n > maxListed {
		a.missing = []string{fmt.Sprintf("%d more suspects are not listed", n-maxListed)}
		suspects = suspects[:maxListed]
	}
	a.fill = func(facts *incident.HostFacts) { facts.Services, facts.Suspects = count, slices.Clone(suspects) }
	return a
}

// processes look at processes; memory.Proc and memory.Core are two.
type processes interface {
	Look(ctx context.Context, q memory.Question, r *memory.Report)
}

// throughCore looks through osquery, where there is one to ask.
func throughCore(o Options) (processes, func(context.Context, string) accounts.Roles) {
	if o.Core == nil {
		return nil, nil
	}
	return memory.NewCore(o.Core, o.Platform), accounts.NewCore(o.Core, o.Platform, o.Host).Roles
}
