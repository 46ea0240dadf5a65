// Package app puts the rooms together, the same way for the extension and for the
// command: configuration, rules, store, engine, tables.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/engine/brake"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/source/self"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tables"
)

// Options says where things are; empty fields are the platform's places.
type Options struct {
	ConfigFile string
	StateDir   string
	Logger     hclog.Logger
	// Succeed is how long to wait for the end of who writes to the state, where that is
	// one that has to end because this one was started; and it is shown that it is
	// waited for, until Close or Resign.
	Succeed time.Duration
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
	Sources func(Rooms) []engine.Source
	// Parts are the health of what runs beside the engine, Core asks osquery where
	// this platform has no files to read; both may be nil.
	Parts func() []store.Health
	Core  core.Asker
	// Braked keeps the processor time of this process within the configuration's budget.
	Braked bool
	// WantLogons is engine's.
	WantLogons func(from, to int64)
}

// Rooms is what sources are made with.
type Rooms struct {
	Config  config.Config
	Host    string
	Weights score.Weights
	// Inventory reads this host's services; nil when the evidence is recorded, and
	// where a source does (Windows, macOS).
	Inventory *inventory.Reader
	// Places are Rollcall's own files; empty ones are not watched.
	Places self.Places
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

	claim  *store.Claim // nil unless another one's end is waited for
	judge  *current
	facts  *host.Facts // nil when nobody looks at the host
	replay bool
}

// current is the judge in force, for readers that outlive a configuration.
type current struct{ judge atomic.Pointer[engine.Judge] }

// Judge implements tables.Judge.
func (c *current) Judge(p *evidence.Process, h engine.History, now time.Time) engine.Verdict {
	return c.judge.Load().Judge(p, h, now)
}

// ScoreService implements tables.InventoryScorer.
func (c *current) ScoreService(s *inventory.Service) (score.Verdict, bool) {
	judge := c.judge.Load()
	v, ok := inventory.Judge{Weights: judge.Weights}.ScoreService(s)
	if judge.IOC == nil || !ok {
		return v, ok
	}
	if hits := matched(judge.IOC, s, time.Now()); len(hits) > 0 {
		v = score.Raise(v, []score.Factor{{Name: "ioc_match", Evidence: strings.Join(engine.Presentable(hits), "; ")}}, judge.Weights)
	}
	return v, ok
}

// maxLines bounds the commands of one service that indicators are asked about.
const maxLines = 8

// matched are the indicators that a service matches: by its name, its program and that
// one's hash, and by what its commands say.
func matched(indicators engine.Indicators, s *inventory.Service, now time.Time) []string {
	in := evidence.Install{Name: s.Name, Path: s.Path, ServiceDLL: s.Install.ServiceDLL, SHA256: s.SHA256}
	var lines []string
	for _, c := range s.Commands[:min(len(s.Commands), maxLines)] {
		lines = append(lines, c.Line)
	}
	in.ImagePath = strings.Join(lines, "\n")
	return indicators.Install(&in, now)
}

// NewJudge loads the configuration and the rules without opening any state. Errors
// of the user's files are notes: the defaults go on.
func NewJudge(configFile string) (config.Config, *engine.Judge, []string, error) {
	explicit := configFile != ""
	if !explicit {
		configFile, explicit = config.File()
	}
	var notes []string
	cfg, err := config.Load(configFile, explicit)
	if err != nil {
		notes = append(notes, err.Error())
	}
	judge, more, err := judgeFor(cfg)
	return cfg, judge, append(notes, more...), err
}

// judgeFor makes the judge a configuration asks for.
func judgeFor(cfg config.Config) (*engine.Judge, []string, error) {
	var notes []string
	set, err := rule.Embedded()
	if err != nil {
		return nil, nil, err
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
	judge := &engine.Judge{Rules: set, Weights: cfg.ScoreWeights(), Attribution: cfg.Attribution}
	feeds, more := loadFeeds(cfg.IOCFiles)
	if feeds != nil {
		judge.IOC = feeds
	}
	return judge, append(notes, more...), nil
}

// Apply puts another configuration in force while the rooms run. What only a start
// can change (the collect interval, the log level) stays.
func (a *App) Apply(_ context.Context, cfg config.Config) error {
	judge, notes, err := judgeFor(cfg)
	if err != nil {
		return err
	}
	a.judge.judge.Store(judge)
	if a.Engine != nil {
		a.Engine.Apply(judge, *incidents(cfg, a.replay), cfg.Enabled, parts(judge, notes))
	}
	return nil
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
	a := &App{Config: cfg, Judge: judge, Notes: notes, judge: &current{}, replay: o.Replay}
	a.judge.judge.Store(judge)
	static := parts(judge, notes)
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
	rooms := Rooms{Config: cfg, Host: name, Weights: judge.Weights, Places: a.places(o, cfg)}
	if !o.Replay && runtime.GOOS == "linux" {
		rooms.Inventory = inventory.New("/", inventory.Options{})
	}
	var seen tables.FirstSeenReader
	var services tables.InventoryReader = noServices{}
	if rooms.Inventory != nil {
		services = rooms.Inventory
	}
	if !a.Store.ReadOnly() {
		var sources []engine.Source
		if o.Sources != nil {
			sources = o.Sources(rooms)
		}
		for _, s := range sources {
			if r, ok := s.(tables.FirstSeenReader); ok {
				seen = r
			}
			if r, ok := s.(tables.InventoryReader); ok {
				services = r // a source that reads the services anyhow keeps them
			}
		}
		var look engine.Looker
		var administrator func(context.Context, string) evidence.Tristate
		if !o.Replay {
			a.facts = a.look(o, rooms, services, o.Logger.Named("facts"))
			look = a.facts
			if admins := newAdmins(o.Core, evidence.ParsePlatform(runtime.GOOS), name); admins != nil {
				administrator = admins.administrator
			}
		}
		var users interface {
			Name(ctx context.Context, uid string) string
		}
		if o.Users != nil {
			users = o.Users
		}
		here := name
		if o.Replay {
			here = "" // recorded evidence names its host, or nobody knows it
		}
		a.Engine, err = engine.New(ctx, engine.Options{
			Judge: judge, Store: a.Store, Sources: sources, Logger: o.Logger.Named("engine"), Interval: cfg.CollectInterval,
			HostID: MachineID(name), Host: here, Static: append(static, storeHealth), Users: users, Now: o.Now, Incidents: incidents(cfg, o.Replay),
			Administrator: administrator, Look: look, Parts: o.Parts, WantLogons: o.WantLogons, Whole: o.Replay, Paused: !cfg.Enabled,
			Brake: braked(o, cfg),
		})
		if err != nil {
			return nil, errors.Join(err, a.Store.Close())
		}
	}
	patience := 20 * time.Second
	var events tables.EventReader = a.Store
	if o.Replay { // nobody's watchdog waits for it, and what was read is to be seen
		patience = 10 * time.Minute
		a.Store.ReadUpTo(store.MaxEvents)
		events = recordedEvents{a.Store, o.Logger}
	}
	a.Guard = tables.NewGuard(patience, 8, o.Logger.Named("tables"))
	var nudger tables.Nudger = quiet{}
	if a.Engine != nil {
		nudger = a.Engine
	}
	for _, t := range []*tables.Table{
		tables.ServiceDiscoveryEvents(events, nudger),
		tables.ServiceDiscoveryBursts(a.Store, nudger),
		tables.ServiceDiscoveryScore(a.judge, evidence.ParsePlatform(runtime.GOOS), time.Now),
		tables.ServiceDiscoveryRules(judge.Rules, a.Store),
		tables.ServiceDiscoveryHealth(a.Store, a.Guard, time.Now),
		tables.ServiceDiscoveryBaselines(a.Store, time.Now),
		tables.ServiceInstallEvents(a.Store, nudger),
		tables.ServiceInventory(services, a.judge, seen),
		tables.ServiceIncidents(a.Store, nudger),
		tables.ServiceIncidentTimeline(a.Store),
		tables.ServiceIncidentTriage(a.Store),
	} {
		a.Tables = append(a.Tables, a.Guard.Wrap(t))
	}
	return a, nil
}

// braked is the brake that the options and the configuration ask for, nil for none.
func braked(o Options, cfg config.Config) *brake.Brake {
	if !o.Braked {
		return nil
	}
	budget := brake.Default()
	if cfg.CPUBudget > 0 {
		budget = cfg.CPUBudget / 100
	}
	return brake.New(budget, brake.Spent)
}

// places are the files that Rollcall stands on.
func (a *App) places(o Options, cfg config.Config) self.Places {
	p := self.Places{Config: o.ConfigFile, RulesDir: cfg.RulesDir, IOCFiles: cfg.IOCFiles}
	if p.Config == "" {
		p.Config, _ = config.File()
	}
	if program, err := os.Executable(); err == nil {
		p.Program = program
	}
	if !a.Store.Temporary() {
		p.StateDir, p.Database = a.Store.Dir(), filepath.Join(a.Store.Dir(), store.FileName)
	}
	return p
}

// incidents is how evidence is joined and decided.
func incidents(cfg config.Config, replay bool) *incident.Config {
	c := incident.Default()
	i := cfg.Incident
	seconds := func(d time.Duration) int64 { return int64(d / time.Second) }
	c.Gap, c.Before, c.After, c.Watch = seconds(i.BurstGap), seconds(i.WindowBefore), seconds(i.WindowAfter), seconds(i.Watch)
	c.EscalateCommand, c.EscalateInstall = score.From(i.EscalateCommand, c.EscalateCommand), score.From(i.EscalateInstall, c.EscalateInstall)
	c.Stakes = score.From(i.EscalateStakes, c.Stakes)
	c.Review, c.ReviewAttributed = score.From(i.ReviewUnattributed, c.Review), score.From(i.ReviewAttributed, c.ReviewAttributed)
	if replay {
		c.Late, c.Around, c.MaxOpen, c.MaxBursts = 0, 200_000, 2048, 8192
	}
	return &c
}

// recordedEvents are those of recorded evidence: it says so when they are not all.
type recordedEvents struct {
	*store.Store
	log hclog.Logger
}

func (r recordedEvents) EventRows(ctx context.Context, f store.Filter, fn func(store.EventRow) error) (more bool, err error) {
	if more, err = r.Store.EventRows(ctx, f, fn); more {
		r.log.Error("only the newest events are shown: ask for a part of the time, or read a part of the evidence", "shown", store.MaxEvents)
	}
	return more, err
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
		if errors.Is(err, store.ErrLocked) && o.Succeed > 0 {
			a.Store, err = a.succeed(ctx, o)
		}
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
			a.Resign(o.Logger)
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

// succeed opens the state for writing when who writes to it has ended, if that is soon.
func (a *App) succeed(ctx context.Context, o Options) (s *store.Store, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; {
		if a.claim == nil {
			// Whoever looks whether somebody waits holds it for a moment.
			if a.claim, err = store.Await(o.StateDir); err != nil && !errors.Is(err, store.ErrLocked) {
				return nil, err
			}
		}
		if s, err = store.Open(ctx, o.StateDir); err == nil {
			a.Resign(o.Logger)
		}
		if !errors.Is(err, store.ErrLocked) || time.Since(begin) >= o.Succeed {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// Resign no longer shows that another one's end is waited for. It is called by one
// goroutine at a time.
func (a *App) Resign(log hclog.Logger) {
	if err := a.claim.Release(); err != nil {
		log.Debug("could not let go of the place in line", "error", err)
	}
	a.claim = nil
}

func (a *App) note(o Options, s string) {
	a.Notes = append(a.Notes, s)
	o.Logger.Warn("state", "problem", s)
}

// parts are the health rows of what changes only with the configuration. Notes are
// what is wrong with it.
func parts(judge *engine.Judge, notes []string) []store.Health {
	rules := store.Health{Component: "rules", State: evidence.StateOK, Detail: fmt.Sprintf("%d loaded", len(judge.Rules.Rules()))}
	if n := len(judge.Rules.Refused()); n > 0 {
		rules.State = evidence.StateDegraded
		rules.Detail += fmt.Sprintf(", %d refused", n)
		rules.Remedy = "SELECT origin, error FROM service_discovery_rules WHERE enabled = 0"
	}
	conf := store.Health{Component: "config", State: evidence.StateOK, Detail: "loaded"}
	for _, n := range notes {
		if !strings.HasPrefix(n, "rule ") {
			conf.State, conf.Detail = evidence.StateDegraded, n
		}
	}
	return []store.Health{rules, conf}
}

// Close ends the generators and closes the state.
func (a *App) Close() error {
	a.Guard.Wait()
	if a.facts != nil {
		a.facts.Wait()
	}
	return errors.Join(a.claim.Release(), a.Store.Close())
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
