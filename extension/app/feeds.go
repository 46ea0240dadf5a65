package app

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/ioc"
)

// maxHits bounds the indicators named for one thing.
const maxHits = 8

// loadFeeds reads the user's indicators. What is wrong with a file is said, and the
// rest of it counts.
func loadFeeds(paths []string) (*indicators, []string) {
	var feeds []*ioc.Feed
	var notes []string
	for _, path := range paths {
		f, err := config.OpenTrusted(path, "the indicators")
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		feed, errs := ioc.Load(filepath.Base(path), f)
		if err := f.Close(); err != nil {
			notes = append(notes, fmt.Sprintf("close %s: %v", path, err))
		}
		for i, err := range errs {
			if i == 3 {
				notes = append(notes, fmt.Sprintf("%s: and %d more", path, len(errs)-i))
				break
			}
			notes = append(notes, fmt.Sprintf("%s: %v", path, err))
		}
		feeds = append(feeds, feed)
	}
	if len(feeds) == 0 {
		return nil, notes
	}
	return &indicators{ioc.NewSet(feeds...)}, notes
}

// indicators asks the user's feeds about evidence.
type indicators struct{ set *ioc.Set }

func (x *indicators) ask(now time.Time, list ...ioc.Facts) []string {
	var out []string
	seen := map[ioc.Hit]bool{}
	for _, f := range list {
		for _, h := range x.set.Match(f, now) {
			if !seen[h] && len(out) < maxHits {
				seen[h] = true
				out = append(out, fmt.Sprintf("%s: %s %s", h.Feed, h.Type, h.Indicator))
			}
		}
	}
	return out
}

// Process implements engine.Indicators.
func (x *indicators) Process(p *evidence.Process, now time.Time) []string {
	return x.ask(now, append(ioc.InText(p.CmdLine), ioc.Facts{Path: p.Path}, ioc.Facts{Path: p.ParentPath}, ioc.Facts{Addr: p.LoginSource})...)
}

// Install implements engine.Indicators.
func (x *indicators) Install(in *evidence.Install, now time.Time) []string {
	return x.ask(now, append(ioc.InText(in.ImagePath), ioc.Facts{Name: in.Name, Path: in.Path, SHA256: in.SHA256}, ioc.Facts{Path: in.ServiceDLL})...)
}

// Connection implements engine.Indicators.
func (x *indicators) Connection(c *evidence.Connection, now time.Time) []string {
	return x.ask(now, ioc.Facts{Path: c.Path, Addr: c.RemoteAddr, Port: c.RemotePort, Domain: c.RemoteName})
}
