package files

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	velocidex "www.velocidex.com/golang/evtx"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// alone reads the event logs of a folder with the parser and nothing else, one
// after another as its own tool does.
func alone(t testing.TB, dir string) (records int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.EqualFold(filepath.Ext(path), ".evtx") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		defer func() { _ = recover() }() // it panics on damaged files
		chunks, err := velocidex.GetChunks(bytes.NewReader(b))
		if err != nil {
			return nil
		}
		for _, c := range chunks {
			r, _ := c.Parse(0)
			records += int64(len(r))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// TestSampleFolder reads a folder of recorded event logs, from finding its files
// to the last batch, against the time of the parser alone.
func TestSampleFolder(t *testing.T) {
	dir := os.Getenv("EVTX_SAMPLES")
	if dir == "" {
		t.Skip("NOT TESTED: recorded event logs; set EVTX_SAMPLES to a folder of .evtx files")
	}
	best := func(f func()) time.Duration {
		var best time.Duration
		for range 5 {
			start := time.Now()
			f()
			if d := time.Since(start); best == 0 || d < best {
				best = d
			}
		}
		return best
	}
	var want int64
	parser := best(func() { want = alone(t, dir) })
	var all evidence.Batch
	var lost int64
	ours := best(func() {
		all, lost = evidence.Batch{}, 0
		r, err := Open([]string{dir}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.Sources() {
			for cursor, more := "", true; more; {
				b, err := s.Read(t.Context(), cursor, 0)
				if err != nil {
					t.Fatal(err)
				}
				add(&all, &b)
				lost += b.Dropped
				cursor, more = b.Cursor, b.More
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d records (parser alone %d), %d chunks lost: %d processes, %d installs, %d logons, %d connections, %d changes; %v against %v of the parser alone: %.2f",
		all.Read, want, lost, len(all.Processes), len(all.Installs), len(all.Logons), len(all.Connections), len(all.Changes), ours, parser, float64(ours)/float64(parser))
	if all.Read < want {
		t.Errorf("%d records of %d", all.Read, want)
	}
	if os.Getenv("EVTX_RATIO") != "" && float64(ours) > 1.5*float64(parser) {
		t.Errorf("%v is more than 1.5 times the %v of the parser alone", ours, parser)
	}
}
