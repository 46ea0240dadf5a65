package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg"
	"github.com/osquery-rollcall/rollcall/extension/host/vuln"
	"github.com/osquery-rollcall/rollcall/extension/ioc"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// ThisHost is the host that this program runs on. Empty names are those of the
// platform.
func ThisHost(configFile, stateDir, flagFile string) Host {
	h := Host{
		Platform: evidence.ParsePlatform(runtime.GOOS), Arch: runtime.GOARCH, Now: time.Now(), Superuser: superuser(), Files: os.DirFS(filesRoot()), Owner: owner,
		FlagFile: flagFile, ConfigFile: configFile, ConfigNamed: configFile != "", StateDir: stateDir,
		Audit: audit, Synced: synced, Disk: diskRoom, Config: config.Load, Rules: loadRules, Indicators: loadIndicators, Scan: loadScan, State: readState,
	}
	if h.ConfigFile == "" {
		h.ConfigFile, h.ConfigNamed = config.File()
	}
	if h.StateDir == "" {
		h.StateDir = config.StateDir()
	}
	if runtime.GOOS == "linux" {
		db := pkg.Open("/")
		h.Package = func(path string) (string, string, bool) {
			// Packages own what a link leads to.
			if real, err := filepath.EvalSymlinks(path); err == nil {
				path = real
			}
			p, ok := db.Owner(path)
			return p.Name, p.Version, ok
		}
	}
	return h
}

func loadRules(dir string) (loaded int, refused []string, err error) {
	set, err := rule.Embedded()
	if err != nil {
		return 0, nil, err
	}
	files, err := config.OpenRules(dir)
	if err != nil {
		return len(set.Rules()), nil, err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	set = set.With(files, dir)
	for _, r := range set.Refused() {
		refused = append(refused, fmt.Sprintf("%s: %v", r.Origin, r.Err))
	}
	return len(set.Rules()), refused, nil
}

func loadIndicators(path string) (n int, problems []string, err error) {
	f, err := config.OpenTrusted(path, "the indicators")
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	feed, errs := ioc.Load(filepath.Base(path), f)
	for _, e := range errs {
		problems = append(problems, e.Error())
	}
	return feed.Len(), problems, nil
}

func loadScan(path string) (n int, problems []string, err error) {
	f, err := config.OpenTrusted(path, "the scan")
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	found, err := vuln.Load(filepath.Base(path), f)
	switch {
	case err == nil:
		return len(found), nil, nil
	case len(found) > 0:
		return len(found), []string{err.Error()}, nil
	}
	return 0, nil, fmt.Errorf("%s: %w", path, err)
}

// errEnough ends a read of events after the first.
var errEnough = errors.New("enough")

func readState(ctx context.Context, dir string) (s State, err error) {
	st, err := store.OpenReadOnly(ctx, dir)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if s.Machine, _, err = st.Bound(ctx); err != nil {
		return s, err
	}
	if s.Health, err = st.Health(ctx); err != nil {
		return s, err
	}
	var from int64
	_, err = st.Events(ctx, store.Filter{TimeFrom: &from}, func(e *store.Event) error {
		s.Newest = e.Process.Time
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return s, err
}
