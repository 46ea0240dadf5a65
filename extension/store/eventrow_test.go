package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// TestEventRows: a row that is handed on says what the event that is read says, also
// where a text is longer than there is room for.
func TestEventRows(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer s.Close()
	fields := store.EventFields()
	var b store.Batch
	for i, text := range []string{"", "x", "a\x00b\xff", strings.Repeat("long ", 100_000)} {
		e := event(int64(i + 1))
		e.Recorded, e.Score, e.Severity, e.Reasons, e.Ancestry, e.Elevated = int64(i), i*30, text, text, text, text
		e.Process = evidence.Process{Time: int64(i) - 2, PID: int64(i % 2), ParentPID: int64(i), CmdLine: text, Path: text, CWD: text, EID: text, Platform: evidence.Windows}
		b.Events = append(b.Events, e)
	}
	if err := s.Commit(ctx, &b); err != nil {
		t.Fatal(err)
	}
	var want [][]string
	_, err := s.Events(ctx, store.Filter{}, func(e *store.Event) error {
		var row []string
		for i := range fields {
			row = append(row, string(e.Append(nil, i)))
		}
		want = append(want, row)
		return nil
	})
	if err != nil || len(want) != len(b.Events) {
		t.Fatalf("%d events: %v", len(want), err)
	}
	for _, room := range []int{0, 1, 3, 64, 600_000} {
		n := 0
		more, err := s.EventRows(ctx, store.Filter{}, func(r store.EventRow) error {
			for i, name := range fields {
				to := append(make([]byte, 0, room+2), "> "...)
				if got := string(r.Append(to, i)); got != "> "+want[n][i] {
					t.Errorf("row %d, %s, room for %d: %.50q, want %.50q", n, name, room, got, want[n][i])
				}
			}
			n++
			return nil
		})
		if err != nil || more || n != len(want) {
			t.Fatalf("%d rows, more %v, %v", n, more, err)
		}
	}
	if got := want[len(want)-1]; got[0] != "1" || got[1] == "" {
		t.Errorf("the oldest is %q", got)
	}
}
