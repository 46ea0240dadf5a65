// Package remote reads the configuration that a fleet manager sends through osquery,
// and keeps what is in force when what it sends is bad.
//
// It comes by one of two ways. A view of osquery's, rollcall_config, with one column
// json, which Fleet can set; during a query the core answers on a database without
// views, so that a missing view means "not now" and never "no more". Or an option,
// custom_rollcall, which osqueryd and osctrl can set. Where there are both, the view
// counts. An empty object restores the host's own configuration; taking the view or
// the option away restores nothing until osquery is started anew, since osquery itself
// keeps an option's last value.
package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Where a fleet puts the configuration.
const (
	View   = "rollcall_config" // a view with one column, json
	Option = "custom_rollcall"
)

const viewSQL = "SELECT json FROM " + View

// The times of a Watcher.
const (
	DefaultInterval = 20 * time.Second
	MaxInterval     = 30 * time.Second // a change is in force within a minute
	askTimeout      = 15 * time.Second
	patience        = 10 * time.Minute // a busy core is no news
)

// Where the configuration in force comes from.
const (
	FromHost   = "host"
	FromView   = "view"
	FromOption = "option"
)

// Querier asks osquery. An error about a table that does not exist holds the words
// "no such table".
type Querier interface {
	Query(ctx context.Context, sql string) ([]map[string]string, error)
}

// Optioner reads osquery's options by name.
type Optioner interface {
	Options(ctx context.Context) (map[string]string, error)
}

// Options are what a Watcher works with.
type Options struct {
	// Base is the host's own configuration, which the fleet's is laid over.
	Base config.Config
	// Querier reads the view, Optioner the option; nil for neither.
	Querier  Querier
	Optioner Optioner
	// Interval is the time between two looks; 0 is DefaultInterval, and no more than
	// MaxInterval counts.
	Interval time.Duration
	// Apply puts a configuration in force. An error means that the one before is to
	// stay: Apply is then called again with that. It is called by one goroutine at a
	// time.
	Apply  func(ctx context.Context, c config.Config) error
	Logger hclog.Logger // nil for none
}

// Watcher looks at what the fleet sends.
type Watcher struct {
	opts Options

	polling sync.Mutex // one look at a time; guards the fields below
	last    string     // the text that was judged last
	again   bool       // it must be judged again, though it is the same
	applied config.Config

	mu     sync.Mutex
	status Status
}

// Status is what a Watcher knows.
type Status struct {
	// From is where the configuration in force comes from: FromHost, FromView or
	// FromOption. Hash names it as config.Hash does, empty for the host's own.
	From    string
	Hash    string
	Enabled bool
	Since   time.Time // when it was put in force
	// Refused names the last configuration that was sent, when it is not in force, and
	// Error says why.
	Refused string
	Error   string
	// Unread is since when nothing could be read, zero when something can.
	Unread time.Time
	unread string // why
}

// New returns a Watcher. Nothing is read before Run or Poll.
func New(o Options) *Watcher {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	o.Interval = min(o.Interval, MaxInterval)
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Watcher{opts: o, applied: o.Base, status: Status{From: FromHost, Enabled: o.Base.Enabled, Since: time.Now()}}
}

// Run looks at once and then in intervals until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(w.opts.Interval)
	defer tick.Stop()
	for {
		w.Poll(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Status says what is in force and what is wrong.
func (w *Watcher) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

func (w *Watcher) note(change func(*Status)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.status)
}

// Poll looks once.
func (w *Watcher) Poll(ctx context.Context) {
	w.polling.Lock()
	defer w.polling.Unlock()
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	text, from, err := w.read(ask)
	cancel()
	if ctx.Err() != nil {
		return // an end is no failure
	}
	var bad *malformed
	switch {
	case errors.As(err, &bad):
		w.note(func(s *Status) { s.Unread = time.Time{} })
		w.judge(ctx, bad.text, from, err)
	case err != nil:
		w.note(func(s *Status) {
			if s.Unread.IsZero() {
				s.Unread = time.Now()
			}
			s.unread = err.Error()
		})
		w.opts.Logger.Debug("central configuration cannot be read now", "error", err)
	default:
		w.note(func(s *Status) { s.Unread = time.Time{} })
		if from != "" {
			w.judge(ctx, text, from, nil)
		}
	}
}

// malformed is an answer that is no configuration.
type malformed struct {
	text string // tells one from another
	why  string
}

func (m *malformed) Error() string { return m.why }

// read returns what the fleet sends; from is empty when it sends nothing, or when
// that cannot be known now.
func (w *Watcher) read(ctx context.Context) (text, from string, err error) {
	if w.opts.Querier != nil {
		rows, err := w.opts.Querier.Query(ctx, viewSQL)
		switch {
		case err == nil:
			return viewText(rows)
		case !strings.Contains(err.Error(), "no such table"):
			return "", "", fmt.Errorf("read the view %s: %w", View, err)
		case w.Status().From == FromView:
			return "", "", nil // not now; the option must not take over meanwhile
		}
	}
	if w.opts.Optioner == nil {
		return "", "", nil
	}
	options, err := w.opts.Optioner.Options(ctx)
	if err != nil {
		return "", "", fmt.Errorf("read the option %s: %w", Option, err)
	}
	text, ok := options[Option]
	if !ok || strings.TrimSpace(text) == "" {
		return "", "", nil
	}
	return text, FromOption, nil
}

func viewText(rows []map[string]string) (text, from string, err error) {
	if len(rows) != 1 {
		n := fmt.Sprint(len(rows))
		if len(rows) > 1 {
			n = "more than 1"
		}
		return "", FromView, &malformed{"rows " + n, fmt.Sprintf("the view %s has %s rows: must have 1", View, n)}
	}
	text, ok := rows[0]["json"]
	if !ok {
		return "", FromView, &malformed{"no column", fmt.Sprintf("the view %s has no column json", View)}
	}
	return text, FromView, nil
}

// judge puts a configuration in force that was not judged before.
func (w *Watcher) judge(ctx context.Context, text, from string, err error) {
	key := from + " " + text
	if key == w.last && !w.again {
		return
	}
	w.last, w.again = key, false
	hash := config.Hash([]byte(text))
	var c config.Config
	if err == nil {
		c, err = config.Overlay(w.opts.Base, []byte(text))
	}
	if err != nil {
		w.refuse(hash, from, err)
		return
	}
	if err := w.opts.Apply(ctx, c); err != nil {
		w.again = true // it may go well next time
		if back := w.opts.Apply(ctx, w.applied); back != nil {
			err = errors.Join(err, fmt.Errorf("put back the one before: %w", back))
		}
		w.refuse(hash, from, fmt.Errorf("cannot be put in force: %w", err))
		return
	}
	w.applied = c
	w.note(func(s *Status) {
		*s = Status{From: from, Hash: hash, Enabled: c.Enabled, Since: time.Now()}
	})
	w.opts.Logger.Info("central configuration is in force", "from", from, "sha256", hash, "enabled", c.Enabled)
}

func (w *Watcher) refuse(hash, from string, err error) {
	w.note(func(s *Status) { s.Refused, s.Error = hash, err.Error() })
	w.opts.Logger.Error("central configuration refused, the one before stays", "from", from, "sha256", hash, "error", err)
}

// Health is the state (evidence's State constants) of the central configuration, what
// there is to say about it, and what a person does. It changes only with what it says.
func (w *Watcher) Health() (state, detail, remedy string) {
	s := w.Status()
	inForce := "the host's own configuration"
	switch s.From {
	case FromView:
		inForce = fmt.Sprintf("%s from the view %s", s.Hash, View)
	case FromOption:
		inForce = fmt.Sprintf("%s from the option %s", s.Hash, Option)
	}
	switch {
	case s.Error != "":
		return evidence.StateDegraded, fmt.Sprintf("%s refused: %s; in force: %s", s.Refused, s.Error, inForce),
			"mend it where it was sent from (rollcall config check --central FILE); {} restores the host's own"
	case !s.Unread.IsZero() && time.Since(s.Unread) > patience:
		return evidence.StateDegraded, fmt.Sprintf("cannot be read: %s; in force: %s", s.unread, inForce), "see whether osquery answers"
	case !s.Enabled:
		return evidence.StateOff, "switched off by " + inForce, `"enabled": true, or {}, where it was sent from`
	}
	return evidence.StateOK, "in force: " + inForce, ""
}
