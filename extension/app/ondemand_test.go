package app_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// TestLogonsOnDemand: spans that grow are one, a few are asked for at a time, and what
// osquery was too busy to answer is asked again.
func TestLogonsOnDemand(t *testing.T) {
	var asked [][2]int64
	busy := false
	source, want := app.NewLogonsOnDemand(func(_ context.Context, from, to int64) (evidence.Batch, error) {
		asked = append(asked, [2]int64{from, to})
		if busy {
			return evidence.Batch{}, errors.New("busy")
		}
		return evidence.Batch{Logons: []evidence.Logon{{Time: from}}, Read: 1}, nil
	})
	read := func(what string, logons int, failed bool, spans ...[2]int64) {
		t.Helper()
		asked = nil
		b, err := source.Read(context.Background(), "", 0)
		if len(b.Logons) != logons || int(b.Read) != logons || (err != nil) != failed {
			t.Errorf("%s: %+v, %v", what, b, err)
		}
		if diff := cmp.Diff(spans, asked); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", what, diff)
		}
	}
	read("nobody wants any", 0, false)
	want(100, 200)
	want(150, 300)
	want(1000, 1100)
	want(5000, 5100)
	busy = true
	read("busy", 0, true, [2]int64{100, 300})
	busy = false
	read("again", 2, false, [2]int64{100, 300}, [2]int64{1000, 1100})
	read("the rest", 1, false, [2]int64{5000, 5100})
	for i := range int64(100) {
		want(i*1000, i*1000+1)
	}
	n := 0
	for {
		b, err := source.Read(context.Background(), "", 0)
		if err != nil || len(b.Logons) == 0 {
			break
		}
		n += len(b.Logons)
	}
	if n != 16 {
		t.Errorf("%d spans were kept", n)
	}
}
