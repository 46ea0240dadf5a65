package report

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// State is what a report reads of a state; *store.Store is one.
type State interface {
	Incidents(ctx context.Context, f store.IncidentFilter, fn func(*incident.Incident) error) error
	Bursts(ctx context.Context, f store.Filter, fn func(*incident.Burst) error) error
	Installs(ctx context.Context, f store.Filter, fn func(*store.Install) error) error
	Events(ctx context.Context, f store.Filter, fn func(*store.Event) error) (more bool, err error)
	Baselines(ctx context.Context) (map[store.BaselineKey]baseline.State, error)
	Health(ctx context.Context) ([]store.Health, error)
}

// unnamed is the host of evidence that names none.
const unnamed = "this host"

// FromState reads the hosts of a state: one, or several where the evidence was of
// several. Name is that of the host where nothing in the state names it.
func FromState(ctx context.Context, s State, name string) ([]*Host, error) {
	var hosts []*Host
	host := func(of string) *Host {
		of = cmp.Or(of, name, unnamed)
		for _, h := range hosts {
			if strings.EqualFold(h.Name, of) {
				return h
			}
		}
		h := &Host{Name: of}
		hosts = append(hosts, h)
		return h
	}
	var incidents, installs, bursts int
	err := errors.Join(
		s.Incidents(ctx, store.IncidentFilter{}, func(x *incident.Incident) error {
			incidents++
			h := host(x.Host)
			h.UUID, h.Platform = cmp.Or(h.UUID, x.HostUUID), cmp.Or(h.Platform, string(x.Platform))
			h.Incidents = append(h.Incidents, fromIncident(x))
			return nil
		}),
		s.Installs(ctx, store.Filter{}, func(x *store.Install) error {
			installs++
			h := host(x.Install.Host)
			h.Platform = cmp.Or(h.Platform, string(x.Install.Platform))
			h.Installs = append(h.Installs, fromInstall(x))
			return nil
		}),
		s.Bursts(ctx, store.Filter{}, func(x *incident.Burst) error {
			bursts++
			h := host(x.Host)
			h.Runs = append(h.Runs, fromBurst(x))
			return nil
		}),
	)
	if err != nil {
		return nil, err
	}
	more, err := s.Events(ctx, store.Filter{}, func(x *store.Event) error {
		h := host(x.Process.Host)
		h.Platform = cmp.Or(h.Platform, string(x.Process.Platform))
		h.Commands = append(h.Commands, Command{ID: x.EventID, Time: x.Process.Time, Username: cmp.Or(x.Process.LoginUser, x.Process.Username), Family: x.Family})
		return nil
	})
	if err != nil {
		return nil, err
	}
	baselines, err := s.Baselines(ctx)
	if err != nil {
		return nil, err
	}
	health, err := s.Health(ctx)
	if err != nil {
		return nil, err
	}
	if len(hosts) == 0 {
		host("")
	}
	for _, h := range hosts {
		if len(hosts) == 1 {
			h.Baselines = fromBaselines(baselines)
		} else {
			// What was learned is not kept by host.
			h.Notes = append(h.Notes, "The evidence is of several hosts, so what is usual on each is not known.")
		}
		for _, x := range health {
			h.Health = append(h.Health, Health{Component: x.Component, State: x.State, Detail: x.Detail, Remedy: x.Remedy, LastEvent: x.LastEvent, Read: x.Read, Dropped: x.Dropped, Gaps: x.Gaps})
		}
		if more {
			h.Notes = append(h.Notes, "Older commands are left out: the newest "+strconv.Itoa(store.MaxRows)+" were read.")
		}
		if max(incidents, installs, bursts) >= store.MaxRows {
			h.Notes = append(h.Notes, "The newest "+strconv.Itoa(store.MaxRows)+" incidents, installs and runs were read; there are more.")
		}
	}
	return hosts, nil
}

func fromIncident(x *incident.Incident) *Incident {
	out := &Incident{
		ID: x.ID, Decision: x.Decision, DecisionReasons: x.DecisionReasons, Score: x.Score, Severity: x.Severity, Status: x.Status, Summary: x.Summary,
		Username: x.Actor.Username, LoginUser: x.Actor.LoginUser, Attribution: string(x.Attribution.Kind), Basis: basis(x.Attribution.Subject, x.Attribution.Basis),
		Opened: x.Opened, Last: x.Last, Updated: x.Updated, Reasons: x.Reasons, Timeline: x.Timeline(), Triage: x.Triage(),
	}
	for _, y := range x.Bursts {
		out.RunIDs = append(out.RunIDs, y.ID)
	}
	for _, y := range x.Installs {
		out.InstallIDs = append(out.InstallIDs, y.ID)
	}
	return out
}

func basis(subject, basis string) string {
	return strings.Trim(subject+": "+basis, ": ")
}

func fromInstall(x *store.Install) *Install {
	in := &x.Install
	return &Install{
		ID: x.InstallID, Time: in.Time, Action: in.Action, Kind: in.Kind, Name: in.Name, Program: cmp.Or(in.ImagePath, strings.TrimSpace(in.Path+" "+in.Args)), UnitPath: in.UnitPath,
		Account: in.Account, Installer: cmp.Or(in.InstallerCmdLine, in.InstallerPath), Username: in.InstallerUsername, LoginUser: in.LoginUser, Package: in.Package,
		Attribution: x.Attribution, Basis: x.Basis, Score: x.Score, Severity: x.Severity, Reasons: Reasons(x.Reasons), IncidentID: x.IncidentID,
	}
}

func fromBurst(x *incident.Burst) *Run {
	return &Run{
		ID: x.ID, Start: x.Start, End: x.End, Username: cmp.Or(x.Actor.LoginUser, x.Actor.Username), Families: x.Families, Events: x.Events, Known: x.Tail > 0,
		Expected: x.Expected, Tail: x.Tail, Attribution: string(x.Attribution().Kind), Score: x.Score, Severity: x.Severity, Reasons: x.Reasons,
	}
}

// Reasons reads the reasons of a score from their JSON; what is none of them is
// nothing.
func Reasons(text string) []score.Reason {
	var out []score.Reason
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil
	}
	return out
}

// fromBaselines leaves out what is learned beside commands: logons, installs.
func fromBaselines(all map[store.BaselineKey]baseline.State) []Baseline {
	var out []Baseline
	for k, s := range all {
		if strings.HasPrefix(k.Family, "@") {
			continue
		}
		b := Baseline{Username: k.Username, Family: k.Family, Learned: s.Learned()}
		for h := range b.Hours {
			b.Hours[h] = s.Hours.Hour(h)
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b Baseline) int {
		return cmp.Or(strings.Compare(a.Username, b.Username), strings.Compare(a.Family, b.Family))
	})
	return out
}
