package app

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host"
	"github.com/osquery-rollcall/rollcall/extension/host/accounts"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg"
	"github.com/osquery-rollcall/rollcall/extension/host/vuln"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/tables"
)

// suspectScore is the score from which a service is named to an analyst.
const suspectScore = 40

// kinds names the sources that bring each kind of evidence.
var kinds = []struct {
	kind    string
	sources []string
}{
	{"connections", []string{"socket_events", "bpf_socket_events", "process_open_sockets", "auditlog", "sysmon_network", "windows_eventlog_connections"}},
	{"logons", []string{"syslog", "auditlog", "last", "logged_in_users", "user_events"}},
	{"changes", []string{"package_log", "syslog", "auditlog", "user_events", "patches"}},
	{"installs", []string{"services", "launchd", "windows_services"}},
}

// missing says which kinds of evidence no source brings, from the sources' states.
func missing(states map[string]engine.State) map[string]string {
	out := map[string]string{}
	for _, k := range kinds {
		var off []string
		found := false
		for name, s := range states {
			if !slices.ContainsFunc(k.sources, func(p string) bool { return name == p || strings.HasPrefix(name, p+"_") }) {
				continue
			}
			if s.State == evidence.StateOK || s.State == evidence.StateDegraded {
				found = true
				break
			}
			off = append(off, fmt.Sprintf("%s is %s", name, s.State))
		}
		if found {
			continue
		}
		slices.Sort(off)
		if len(off) == 0 {
			off = []string{"no source here tells of " + k.kind}
		}
		out[k.kind] = strings.Join(off, ", ")
	}
	return out
}

// look makes what tells of this host's processes, accounts and services.
func (a *App) look(o Options, r Rooms, services tables.InventoryReader, log hclog.Logger) *host.Facts {
	opts := host.Options{
		Host: r.Host, Platform: evidence.ParsePlatform(runtime.GOOS), Now: o.Now, Logger: log,
		Services: func(ctx context.Context) (int, []string) {
			all, err := services.Services(ctx)
			if err != nil {
				return 0, nil
			}
			var suspects []string
			for i := range all {
				if v, ok := a.judge.ScoreService(&all[i]); ok && v.Score >= suspectScore && len(suspects) < 32 {
					suspects = append(suspects, fmt.Sprintf("%s (%d %s): %s", all[i].Name, v.Score, v.Severity, all[i].Path))
				}
			}
			return len(all), suspects
		},
		Missing: func() map[string]string {
			if a.Engine == nil {
				return nil
			}
			m := missing(a.Engine.States())
			if a.judge.judge.Load().IOC == nil {
				m["indicators"] = "no feeds are configured (ioc_files)"
			}
			return m
		},
	}
	if runtime.GOOS == "linux" {
		opts.Owner = pkg.Open("/").Owner
	} else if o.Core != nil {
		opts.Core = o.Core
	}
	if len(r.Config.VulnFiles) > 0 {
		opts.Scans = vuln.NewScans(r.Config.VulnFiles, func(path string) (fs.File, error) {
			f, err := config.OpenTrusted(path, "the scan")
			if err != nil {
				return nil, err
			}
			return f, nil
		})
	}
	return host.NewFacts(engine.Presentable, opts)
}

// rolesFor is how long what an account may do is remembered, and maxRoles of how many.
// Osquery takes longer to tell than files, most of all on a domain controller.
const (
	rolesFor     = time.Minute
	coreRolesFor = 10 * time.Minute
	maxRoles     = 4096
	// askRoles bounds one question.
	askRoles = 2 * time.Second
)

// admins tells who administers this host: on Linux by its files, elsewhere through
// osquery.
type admins struct {
	roles func(ctx context.Context, user string) accounts.Roles
	keep  time.Duration
	now   func() time.Time

	mu    sync.Mutex
	known map[string]role
}

type role struct {
	is evidence.Tristate
	at time.Time
}

// newAdmins is nil where nobody can be asked.
func newAdmins(c core.Asker, p evidence.Platform, host string) *admins {
	a := &admins{keep: rolesFor, now: time.Now, known: map[string]role{}}
	switch {
	case p == evidence.Linux:
		files := accounts.NewFiles(accounts.Options{})
		a.roles = func(_ context.Context, user string) accounts.Roles { return files.Roles(user) }
	case c != nil:
		a.roles, a.keep = accounts.NewCore(c, p, host).Roles, coreRolesFor
	default:
		return nil
	}
	return a
}

// administrator reports whether a user is in a group of administrators or may become
// root by sudo.
func (a *admins) administrator(ctx context.Context, user string) evidence.Tristate {
	if user == "" {
		return evidence.Unknown
	}
	a.mu.Lock()
	r, ok := a.known[user]
	a.mu.Unlock()
	keep := a.keep
	if r.is == evidence.Unknown {
		keep = rolesFor // who could not be asked can be in a while
	}
	if age := a.now().Sub(r.at); ok && age >= 0 && age < keep {
		return r.is
	}
	// Without the lock: while osquery answers, it may ask us something.
	ctx, cancel := context.WithTimeout(ctx, askRoles)
	defer cancel()
	roles := a.roles(ctx, user)
	r = role{is: roles.Administrator(), at: a.now()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxRoles {
		clear(a.known)
	}
	a.known[user] = r
	return r.is
}
