package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// blank is the history of a host nobody watched yet.
type blank struct{}

func (blank) Of(string, string) (baseline.State, float64) { return baseline.State{}, 0 }
func (blank) Watched(int64) bool                          { return false }
func (blank) Administrator(string) evidence.Tristate      { return evidence.Unknown }

// Who signed an install's program reaches the entry that expects it, and that nobody
// did the score.
func TestSigner(t *testing.T) {
	j := &engine.Judge{Weights: score.DefaultWeights(), Attribution: attribution.Config{Expected: []attribution.Entry{
		{ID: "agent", Name: "AgentSvc", Path: `C:\Program Files\Agent\agent.exe`, Signer: "Example GmbH", Reason: "the agent"},
	}}}
	for _, c := range []struct {
		signed   evidence.Tristate
		signer   string
		kind     attribution.Kind
		unsigned bool
	}{
		{evidence.Yes, "Example GmbH", attribution.Expected, false},
		{evidence.Yes, "Microsoft Windows", attribution.None, false},
		{evidence.Unknown, "", attribution.None, false},
		{evidence.No, "", attribution.None, true},
	} {
		in := evidence.Install{
			Time: 1772442040, Platform: evidence.Windows, Action: evidence.Created, Kind: "windows_service", Name: "AgentSvc",
			ImagePath: `"C:\Program Files\Agent\agent.exe" /run`, Path: `C:\Program Files\Agent\agent.exe`, Signed: c.signed, Signer: c.signer, OnDisk: evidence.Yes,
		}
		v := j.JudgeInstall(&in, nil, blank{}, engine.Surroundings{}, time.Unix(in.Time, 0))
		if v.Attribution.Kind != c.kind || strings.Contains(v.Explain(), "unsigned") != c.unsigned {
			t.Errorf("signed %v by %q: %s (%s)\n%s", c.signed, c.signer, v.Attribution.Kind, v.Attribution.Basis, v.Explain())
		}
	}
}
