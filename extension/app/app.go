// Package app puts the rooms together, the same way for the extension and for the
// command: configuration, rules, store, engine, tables.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tables"
)

// Options says where things are; empty fields are the platform's places.
type Options struct {
	ConfigFile string
	StateDir   string
	Logger     hclog.Logger
	// Temporary keeps the state in a directory of its own that goes at the end.
	Temporary bool
	// Users names user ids; nil leaves them as sources have them.
	Users *host.Users
	// Now is the clock: that of the evidence when it comes from files; time.Now by
	// default.
	Now func() time.Time
	// Replay says that the evidence is recorded, of any host and in any order: it is
	// never too late, and this host's services are not part of it.
	Replay bool
	// Sources makes the sources once the configuration is known.
	Sources func(config.Config) []engine.Source
}

// App is a running set of rooms.
type App struct {
	Config config.Config
	Judge  *engine.Judge
	Store  *store.Store
	// Engine is nil when another process writes to the state: then this one reads.
	Engine *engine.Engine
	Tables []*tables.Table
	Guard  *tables.Guard
	// Notes are things a person should know, in words.
	Notes []string
}

// NewJudge loads the configuration and the rules without opening any state. Errors
// of the user's files are notes: the defaults go on.
func NewJudge(configFile string) (config.Config, *engine.Judge, []string, error) {
	var notes []string
	explicit := configFile != ""
	if !explicit {
		configFile, explicit = config.File()
	}
	cfg, err := config.Load(configFile, explicit)
	if err != nil {
		notes = append(notes, err.Error())
	}
	set, err := rule.Embedded()
	if err != nil {
		return cfg, nil, notes, err
	}
	if cfg.RulesDir != "" {
		dir, err := config.OpenRules(cfg.RulesDir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			notes = append(notes, fmt.Sprintf("refuse rules in %s: %v", cfg.RulesDir, err))
		default:
			set = set.With(dir, cfg.RulesDir)
			if err := dir.Close(); err != nil {
				notes = append(notes, fmt.Sprintf("rules in %s: %v", cfg.RulesDir, err))
			}
		}
	}
	for _, r := range set.Refused() {
		notes = append(notes, fmt.Sprintf("rule %s refused: %v", r.Origin, r.Err))
	}
	return cfg, &engine.Judge{Rules: set, Weights: cfg.ScoreWeights(), Attribution: cfg.Attribution}, notes, nil
}

// Open puts an App together.
func Open(ctx context.Context, o Options) (*App, error) {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	cfg, judge, notes, err := NewJudge(o.ConfigFile)
	if err != nil {
		return nil, err
	}
	a := &App{Config: cfg, Judge: judge, Notes: notes}
	parts := a.parts()
	for _, n := range notes {
		o.Logger.Warn("configuration", "problem", n)
	}
	if o.StateDir == "" {
		o.StateDir = config.StateDir()
	}
	storeHealth := a.openStore(ctx, o)
	if a.Store == nil {
		return nil, fmt.Errorf("open any state: %s", storeHealth.Detail)
	}
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	if !a.Store.ReadOnly() {
		var sources []engine.Source
		if o.Sources != nil {
			sources = o.Sources(cfg)
		}
		var users interface {
			Name(ctx context.Context, uid string) string
		}
		if o.Users != nil {
			users = o.Users
		}
		a.Engine, err = engine.New(ctx, engine.Options{
			Judge: judge, Store: a.Store, Sources: sources, Logger: o.Logger.Named("engine"), Interval: cfg.CollectInterval,
			HostID: MachineID(name), Host: name, Static: append(parts, storeHealth), Users: users, Now: o.Now, Incidents: incidents(o.Replay),
		})
		if err != nil {
			return nil, errors.Join(err, a.Store.Close())
		}
	}
	a.Guard = tables.NewGuard(20*time.Second, 8, o.Logger.Named("tables"))
	var nudger tables.Nudger = quiet{}
	if a.Engine != nil {
		nudger = a.Engine
	}
	all := []*tables.Table{
		tables.ServiceDiscoveryEvents(a.Store, nudger),
		tables.ServiceDiscoveryBursts(a.Store, nudger),
		tables.ServiceDiscoveryScore(judge, evidence.ParsePlatform(runtime.GOOS), time.Now),
		tables.ServiceDiscoveryRules(judge.Rules, a.Store),
		tables.ServiceDiscoveryHealth(a.Store, a.Guard, time.Now),
		tables.ServiceDiscoveryBaselines(a.Store, time.Now),
		tables.ServiceInstallEvents(a.Store, nudger),
		tables.ServiceInventory(a.inventory(o), inventory.Judge{Weights: judge.Weights}, nil),
		tables.ServiceIncidents(a.Store, nudger),
		tables.ServiceIncidentTimeline(a.Store),
		tables.ServiceIncidentTriage(a.Store),
	}
	for _, t := range all {
		a.Tables = append(a.Tables, a.Guard.Wrap(t))
	}
	return a, nil
}

// incidents is how evidence is joined.
func incidents(replay bool) *incident.Config {
	c := incident.Default()
	if replay {
		c.Late, c.Around = 0, 200_000
	}
	return &c
}

// inventory reads the services of this host; recorded evidence has none.
func (a *App) inventory(o Options) tables.InventoryReader {
	if o.Replay {
		return noServices{}
	}
	return inventory.New("/", inventory.Options{})
}

type noServices struct{}

func (noServices) Services(context.Context) ([]inventory.Service, error) { return nil, nil }

// quiet nudges nobody: another process collects.
type quiet struct{}

func (quiet) Nudge() {}

// openStore opens the state for writing, else for reading, else a temporary one.
func (a *App) openStore(ctx context.Context, o Options) store.Health {
	h := store.Health{Component: "store", State: evidence.StateOK}
	var err error
	if !o.Temporary {
		a.Store, err = store.Open(ctx, o.StateDir)
		switch {
		case err == nil:
			h.Detail = o.StateDir
			if a.Store.Recovered != "" {
				h.State = evidence.StateDegraded
				h.Detail = "a corrupt database was set aside: " + a.Store.Recovered
				a.note(o, h.Detail)
			}
			return h
		case errors.Is(err, store.ErrLocked):
			if a.Store, err = store.OpenReadOnly(ctx, o.StateDir); err == nil {
				a.note(o, "another rollcall collects here: reading its rows, read-only")
				return h
			}
		}
		a.note(o, fmt.Sprintf("state in %s cannot be used: %v", o.StateDir, err))
	}
	a.Store, err = store.OpenTemporary(ctx)
	if err != nil {
		a.Store = nil
		h.Detail = err.Error()
		return h
	}
	h.Detail = "temporary: what is found is forgotten at the end"
	if !o.Temporary {
		h.State = evidence.StateDegraded
		h.Remedy = "run as root, or name a directory of your own with --state"
	}
	return h
}

func (a *App) note(o Options, s string) {
	a.Notes = append(a.Notes, s)
	o.Logger.Warn("state", "problem", s)
}

// parts are the health rows of what doesn't change while the program runs. Notes
// are those of the configuration so far.
func (a *App) parts() []store.Health {
	rules := store.Health{Component: "rules", State: evidence.StateOK, Detail: fmt.Sprintf("%d loaded", len(a.Judge.Rules.Rules()))}
	if n := len(a.Judge.Rules.Refused()); n > 0 {
		rules.State = evidence.StateDegraded
		rules.Detail += fmt.Sprintf(", %d refused", n)
		rules.Remedy = "SELECT origin, error FROM service_discovery_rules WHERE enabled = 0"
	}
	conf := store.Health{Component: "config", State: evidence.StateOK, Detail: "loaded"}
	for _, n := range a.Notes {
		if !strings.HasPrefix(n, "rule ") {
			conf.State, conf.Detail = evidence.StateDegraded, n
		}
	}
	return []store.Health{rules, conf}
}

// Close ends the generators and closes the state.
func (a *App) Close() error {
	a.Guard.Wait()
	return a.Store.Close()
}

// MachineID is an id of this installation of the operating system, the host name
// when there is none.
func MachineID(host string) string {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		b, err := os.ReadFile(path)
		if id := strings.TrimSpace(string(b)); err == nil && len(id) >= 16 && len(id) <= 64 {
			return id
		}
	}
	return host
}
