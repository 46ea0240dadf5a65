package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
)

// Allow returns the configuration, as YAML, whose expiring entries would attribute
// what an incident is made of, so that tuning is one step.
func (j *Judge) Allow(x *incident.Incident, now time.Time) (string, error) {
	var list []attribution.Facts
	for _, y := range x.Bursts {
		for i := range y.Sample {
			c := &y.Sample[i]
			if c.Attribution.Attributed() {
				continue
			}
			list = append(list, attribution.Facts{
				Process: &evidence.Process{Time: c.Time, Platform: c.Platform, Host: c.Host, Path: c.Path, CmdLine: c.CmdLine, ParentPath: c.Parent,
					Username: c.Actor.Username, LoginUser: c.Actor.LoginUser, Session: c.Actor.Session, ContainerID: c.Container},
				Canonical: c.Canonical, Lineage: c.Never, Now: now,
			})
		}
	}
	for i := range x.Installs {
		in := &x.Installs[i]
		if in.Attribution.Attributed() {
			continue
		}
		list = append(list, attribution.Facts{
			Install: &evidence.Install{Time: in.Time, Platform: in.Platform, Host: in.Host, Action: in.Action, Kind: in.Kind, Name: in.Name, Path: in.Path, ImagePath: in.Image,
				UnitPath: in.UnitPath, Account: in.Account, SHA256: in.SHA256, Package: in.Package, InstallerUsername: in.Actor.Username, InstallerCmdLine: in.Installer},
			Lineage: in.Never, Now: now,
		})
	}
	if len(list) == 0 {
		return "", errors.New("all of it is attributed already")
	}
	text, err := attribution.AllowEntry(list, "incident-"+x.ID, "found legitimate: "+x.ID, now)
	if err != nil {
		return "", fmt.Errorf("incident %s: %w", x.ID, err)
	}
	return text, nil
}
