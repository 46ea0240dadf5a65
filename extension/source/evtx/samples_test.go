package evtx

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	velocidex "www.velocidex.com/golang/evtx"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// samples returns the event logs of the folder that EVTX_SAMPLES names.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	dir := os.Getenv("EVTX_SAMPLES")
	if dir == "" {
		t.Skip("NOT TESTED: recorded event logs; set EVTX_SAMPLES to a folder of .evtx files")
	}
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.EqualFold(filepath.Ext(path), ".evtx") {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("no .evtx files in %s", dir)
	}
	return out
}

// alone reads a file with the parser and nothing else.
func alone(b []byte) (records int64) {
	defer func() { _ = recover() }()
	chunks, err := velocidex.GetChunks(bytes.NewReader(b))
	if err != nil {
		return 0
	}
	for _, c := range chunks {
		r, _ := c.Parse(0)
		records += int64(len(r))
	}
	return records
}

// TestSamples reads recorded logs with and without what this package adds.
func TestSamples(t *testing.T) {
	files := samples(t)
	var ours, parsers time.Duration
	var total Batch
	var want, size int64
	var damaged, notes int
	counts := map[string]int{}
	for path, b := range files {
		size += int64(len(b))
		start := time.Now()
		n := alone(b)
		parsers += time.Since(start)
		want += n
		start = time.Now()
		r, err := NewReader(bytes.NewReader(b), Limits{})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var got int64
		for err == nil {
			var batch Batch
			batch, err = r.Next(t.Context(), 1)
			got += batch.Read
			total.Read += batch.Read
			total.Bare += batch.Bare
			for _, p := range batch.Processes {
				counts[p.Source]++
				if p.Time == 0 || p.Host == "" || p.EID == "" || p.Path == "" {
					t.Errorf("%s: a fact is missing: %+v", path, p)
				}
			}
			for _, i := range batch.Installs {
				counts[i.Source+" installs "+i.Action]++
				if i.Time == 0 || i.Host == "" || i.Name == "" || i.Action == evidence.Created && i.ImagePath == "" {
					t.Errorf("%s: a fact is missing: %+v", path, i)
				}
			}
			for _, l := range batch.Logons {
				counts[l.Source+" logons "+l.Type]++
				if l.Time == 0 || l.Host == "" || l.EID == "" || l.Username == "" && !l.Failed {
					t.Errorf("%s: a fact is missing: %+v", path, l)
				}
			}
			for _, c := range batch.Connections {
				counts[c.Source+" connections"]++
				if c.Time == 0 || c.Host == "" || c.EID == "" || c.RemoteAddr == "" || c.LocalAddr == "" {
					t.Errorf("%s: a fact is missing: %+v", path, c)
				}
			}
			for _, c := range batch.Changes {
				counts[c.Source+" changes "+c.Kind]++
				if c.Time == 0 || c.Host == "" || c.EID == "" || c.Subject == "" || c.Detail == "" {
					t.Errorf("%s: a fact is missing: %+v", path, c)
				}
			}
		}
		ours += time.Since(start)
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", path, err)
		}
		if len(r.Notes()) > 0 {
			damaged++
			notes += len(r.Notes())
			t.Logf("%s: %d of %d records; %q", filepath.Base(path), got, n, r.Notes())
		} else if got != n {
			t.Errorf("%s: %d records, the parser alone has %d", path, got, n)
		}
	}
	t.Logf("%d files, %d MB, %d records (parser alone %d), %d files damaged; %v against %v of the parser alone: %.2f; %v, %d without a command line",
		len(files), size>>20, total.Read, want, damaged, ours, parsers, float64(ours)/float64(parsers), counts, total.Bare)
	if os.Getenv("EVTX_RATIO") != "" && float64(ours) > 1.5*float64(parsers) {
		t.Errorf("%v is more than 1.5 times the %v of the parser alone", ours, parsers)
	}
}

// TestCorruptedSamples flips bits of recorded logs, with the checksums as they
// then are and with the right ones.
func TestCorruptedSamples(t *testing.T) {
	files := samples(t)
	var paths []string
	for p, b := range files {
		if len(b) <= 4<<20 {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	rng := rand.New(rand.NewPCG(1, 2))
	var slowest, all time.Duration
	var peak uint64
	var named int
	for i := range 400 {
		b := bytes.Clone(files[paths[rng.IntN(len(paths))]])
		for range 1 + rng.IntN(64) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		if i%2 == 1 {
			b = resign(b)
		}
		start := time.Now()
		done := time.AfterFunc(30*time.Second, func() { panic("the reader hangs") })
		r, err := NewReader(bytes.NewReader(b), Limits{})
		for err == nil {
			_, err = r.Next(t.Context(), 1)
		}
		done.Stop()
		if r != nil && len(r.Notes()) > 0 || !errors.Is(err, io.EOF) {
			named++
		}
		d := time.Since(start)
		all += d
		slowest = max(slowest, d)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
	}
	t.Logf("400 damaged copies, 200 of them with right checksums: no hang, %d named as damaged, the slowest took %v of %v, at most %d MB of heap", named, slowest, all, peak>>20)
}
