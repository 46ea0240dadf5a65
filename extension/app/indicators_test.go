package app

import (
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/ioc"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
)

// A service that is there already matches a feed that comes later: by its program's
// hash, its path or what its commands say.
func TestInventoryMatchesFeeds(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	feed, errs := ioc.Load("feed.txt", strings.NewReader(sum+"\n203.0.113.9\n"))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	found := &indicators{ioc.NewSet(feed)}
	c := &current{}
	c.judge.Store(&engine.Judge{Weights: score.DefaultWeights(), IOC: found})
	plain := inventory.Service{
		Name: "web.service", Path: "/usr/sbin/web", Install: service.Install{Kind: service.Systemd, Name: "web.service"},
		Commands: []inventory.Command{{Path: "/usr/sbin/web", Line: "/usr/sbin/web"}},
	}
	v, ok := c.ScoreService(&plain)
	if !ok || v.Score >= 20 {
		t.Fatalf("without a match: %s", v.Explain())
	}
	for name, change := range map[string]func(*inventory.Service){
		"by its hash": func(s *inventory.Service) { s.SHA256 = sum },
		"by a later command": func(s *inventory.Service) {
			s.Commands = append(s.Commands[:1:1], inventory.Command{Path: "/usr/sbin/web", Line: "/usr/sbin/web --to 203.0.113.9"})
		},
	} {
		s := plain
		change(&s)
		v, _ := c.ScoreService(&s)
		if last := v.Reasons[len(v.Reasons)-1]; last.Factor != "ioc_match" || !strings.Contains(last.Evidence, "feed") || v.Score < 60 {
			t.Errorf("%s: %s", name, v.Explain())
		}
	}
}
