package core_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

// inventoried is what whoever wires the sources looks for.
type inventoried interface {
	Services(ctx context.Context) ([]inventory.Service, error)
}

// counted are the machine's services as of now.
func (f *follower) counted() []inventory.Service {
	f.m.t.Helper()
	s, ok := f.src.(inventoried)
	if !ok {
		f.m.t.Fatalf("%s has no inventory", f.src.Name())
	}
	before := len(f.m.asked(""))
	all, err := s.Services(context.Background())
	if err != nil {
		f.m.t.Fatal(err)
	}
	if n := len(f.m.asked("")); n != before {
		f.m.t.Errorf("the inventory asked osquery %d things", n-before)
	}
	return all
}

// stock makes a machine whose services are those of the inventory's fixtures.
func stock(t *testing.T, platform evidence.Platform, table string) *follower {
	m := prepare(t, platform, table, "")
	fixtures, err := filepath.Glob(filepath.Join("testdata", string(platform), "*.inventory.json"))
	if err != nil || len(fixtures) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, f := range fixtures {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		m.load(strings.TrimSuffix(name, ".inventory"), name)
	}
	return m.follow(table)
}

// The inventory of each platform, with what is said of each service.
func TestInventory(t *testing.T) {
	for platform, table := range map[evidence.Platform]string{evidence.Windows: "services", evidence.Darwin: "launchd"} {
		t.Run(string(platform), func(t *testing.T) {
			f := stock(t, platform, table)
			if all := f.counted(); len(all) != 0 {
				t.Errorf("%d services before the first look", len(all))
			}
			for range 8 { // the files are looked at a few at a time
				f.read(10_000)
				f.m.hands.pass(301)
			}
			var out strings.Builder
			for _, s := range f.counted() {
				v, _ := inventory.Judge{Weights: score.DefaultWeights()}.ScoreService(&s)
				var reasons []string
				for _, r := range v.Reasons {
					reasons = append(reasons, r.Factor)
				}
				s.Install = s.Installs()[0]
				line, err := json.Marshal(map[string]any{"kind": s.Kind, "type": s.Type, "name": s.Name, "path": s.Path, "args": s.Args, "start": s.StartType, "scope": s.Scope,
					"user": s.Username, "account": s.Account, "unit": s.UnitPath, "by": s.ActivatedBy, "commands": s.Commands, "dll": s.Install.ServiceDLL, "image": s.Install.ImagePath,
					"running": s.Running, "pids": s.PIDs, "enabled": s.Enabled, "on_disk": s.OnDisk, "writable": s.Writable, "ctime": s.File.CTime / 1e9, "problems": s.Problems,
					"signed": s.Install.Signed, "signer": s.Signer, "sha256": s.SHA256, "score": v.Score, "reasons": reasons})
				if err != nil {
					t.Fatal(err)
				}
				out.Write(line)
				out.WriteByte('\n')
			}
			same(t, filepath.Join("testdata", string(platform), "inventory.golden"), out.String())
		})
	}
}

func same(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
}

// Files are read for signatures and hashes a few a look, and again when they change.
func TestInventoryIsCheap(t *testing.T) {
	for platform, table := range map[evidence.Platform]string{evidence.Windows: "services", evidence.Darwin: "launchd"} {
		m := prepare(t, platform, table, "")
		m.exec("DELETE FROM " + table)
		m.exec("DELETE FROM file")
		verifier := map[string]string{"services": "authenticode", "launchd": "signature"}[table]
		dir := map[string]string{"services": `C:\Program Files\a\`, "launchd": "/opt/a/"}[table]
		program := func(i int) string { return dir + fmt.Sprint(i) + ".exe" }
		const n = 130
		m.begin()
		for i := range n {
			if table == "services" {
				m.insert(table, map[string]string{"name": fmt.Sprint("s", i), "service_type": "OWN_PROCESS", "path": `"` + program(i) + `"`})
			} else {
				m.insert(table, map[string]string{"path": fmt.Sprintf("/Library/LaunchDaemons/%d.plist", i), "label": fmt.Sprint("s", i), "program_arguments": program(i)})
			}
			m.insert("file", map[string]string{"path": program(i), "size": "9", "mtime": "5", "ctime": "5", "mode": "0755", "uid": "0"})
		}
		m.exec("COMMIT")
		f := m.follow(table)
		read := func() (stats, verified, hashed int) {
			f.read(10_000)
			count := func(from string) (n int) {
				for _, q := range m.asked("FROM " + from + " ") {
					n += strings.Count(q, dir)
				}
				return n
			}
			stats, verified, hashed = count("file"), count(verifier), count("hash")
			m.mu.Lock()
			m.queries = nil
			m.mu.Unlock()
			m.hands.pass(301)
			return stats, verified, hashed
		}
		total := 0
		for range 25 {
			stats, verified, hashed := read()
			if stats > 100 || verified > 6 || hashed > 6 {
				t.Fatalf("%s: one look asked %d, %d and %d files", table, stats, verified, hashed)
			}
			total += verified
		}
		if total != n {
			t.Errorf("%s: %d files were verified of %d", table, total, n)
		}
		m.exec("UPDATE file SET mtime = 6, size = 10 WHERE path = ?", program(3))
		total = 0
		for range 25 {
			_, verified, _ := read()
			total += verified
		}
		if total != 1 {
			t.Errorf("%s: %d files were verified again, not the one that changed", table, total)
		}
	}
}

// A property list that begins with a dot is an install as any other.
func TestHiddenPropertyList(t *testing.T) {
	m := newMachine(t, evidence.Darwin, "")
	f := m.follow("launchd")
	f.read(10)
	const path = "/Users/alex/Library/LaunchAgents/.com.sync.plist"
	m.insert("file", map[string]string{"path": path, "size": "5", "mode": "0644", "uid": "501", "btime": fmt.Sprint(m.hands.wall + 100), "ctime": "5", "mtime": "5"})
	m.insert("file", map[string]string{"path": "/Users/alex/Library/LaunchAgents/.DS_Store"})
	for _, kv := range [][2]string{{"Label", "com.sync"}, {"ProgramArguments", "/Users/alex/My Tools/s"}, {"ProgramArguments", "-x"}, {"Program", "/opt/evil"}} {
		m.insert("plist", map[string]string{"path": path, "key": kv[0], "subkey": "", "value": kv[1]})
	}
	m.hands.pass(301)
	b := f.read(10)
	if len(b.Installs) != 1 {
		t.Fatalf("got %v", seen(b))
	}
	if in := b.Installs[0]; in.Action != evidence.Created || in.Name != "com.sync" || in.UnitPath != path || in.ImagePath != "/opt/evil -x" || in.TimeBasis != evidence.BasisBirth || in.OnDisk != evidence.No {
		t.Errorf("got %+v", in)
	}
	m.exec("DELETE FROM file WHERE path = ?", path)
	for range 2 {
		m.hands.pass(301)
		b = f.read(10)
	}
	if diff := cmp.Diff([]string{"removed com.sync"}, seen(b)); diff != "" {
		t.Error(diff)
	}
}

// A program that calls itself one of macOS', and one that is made to load other code.
func TestLaunchdSigns(t *testing.T) {
	m := newMachine(t, evidence.Darwin, "")
	f := m.follow("launchd")
	f.read(10)
	const path = "/Library/LaunchDaemons/x.plist"
	m.insert("launchd", map[string]string{"path": path, "label": "x", "program": "/opt/x", "program_arguments": "/usr/libexec/trustd -q"})
	for _, kv := range [][3]string{{"ProgramArguments", "", "/usr/libexec/trustd"}, {"ProgramArguments", "", "-q"}, {"EnvironmentVariables", "DYLD_INSERT_LIBRARIES", "/tmp/x.dylib"}} {
		m.insert("plist", map[string]string{"path": path, "key": kv[0], "subkey": kv[1], "value": kv[2]})
	}
	m.hands.pass(301)
	b := f.read(10)
	if len(b.Installs) != 1 || b.Installs[0].ImagePath != "/opt/x -q" || len(b.Installs[0].Signs) != 2 || b.Installs[0].Signs[0].Factor != "masquerade" || b.Installs[0].Signs[1].Factor != "preload" {
		t.Errorf("got %+v", b.Installs)
	}
}

// What osquery cannot tell of files keeps nobody from the services.
func TestInventoryWithoutFiles(t *testing.T) {
	for platform, table := range map[evidence.Platform]string{evidence.Windows: "services", evidence.Darwin: "launchd"} {
		for _, fail := range []error{&core.StatusError{Code: 1, Message: "no such column: x"}, context.DeadlineExceeded} {
			f := stock(t, platform, table)
			f.m.fail = func(sql string) error {
				for _, other := range []string{"authenticode", "signature", "hash", "drivers", "processes"} {
					if strings.Contains(sql, "FROM "+other+" ") {
						return fail
					}
				}
				return nil
			}
			for range 4 {
				f.read(10_000)
				f.m.hands.pass(301)
			}
			all := f.counted()
			known := 0
			for _, s := range all {
				if s.OnDisk != evidence.Unknown {
					known++
				}
			}
			// An osquery that did not answer in time is not asked for more in that look.
			if len(all) < 10 || known == 0 {
				t.Errorf("%s after %v: %d services, of %d it is known whether they exist", table, fail, len(all), known)
			}
		}
		f := stock(t, platform, table)
		for _, other := range []string{"file", "authenticode", "signature", "hash", "drivers", "processes", "plist", "registry"} {
			f.m.exec("DELETE FROM osquery_registry WHERE name = ?", other)
		}
		f.read(10_000)
		for _, s := range f.counted() {
			if s.OnDisk != evidence.Unknown || s.Name == "" {
				t.Errorf("%s: %+v", table, s)
			}
		}
	}
}

// The inventory is read while the source is.
func TestInventoryConcurrent(t *testing.T) {
	f := stock(t, evidence.Windows, "services")
	s, ok := f.src.(inventoried)
	if !ok {
		t.Fatal("no inventory")
	}
	done := make(chan int)
	go func() {
		n := 0
		for range 2000 {
			all, err := s.Services(context.Background())
			if err != nil {
				break
			}
			for i := range all {
				all[i].Name = "mine" // the answer is the caller's
			}
			n = max(n, len(all))
		}
		done <- n
	}()
	for range 5 {
		f.read(10_000)
		f.m.hands.pass(61)
	}
	<-done
	for _, one := range f.counted() {
		if one.Name == "mine" {
			t.Fatal("two callers share an answer")
		}
	}
}

var _ inventoried = (*core.Services)(nil)

// A signature that is there and does not hold is told apart from none.
func TestBrokenSignature(t *testing.T) {
	for result, want := range map[string]bool{"invalid": true, "distrusted": true, "missing": false, "untrusted": false, "trusted": false} {
		m := prepare(t, evidence.Windows, "services", "")
		f := m.follow("services")
		f.read(10_000)
		m.hands.pass(61)
		const path = `C:\Program Files\a\agent.exe`
		m.insert("services", map[string]string{"name": "agent", "service_type": "OWN_PROCESS", "path": path})
		m.insert("file", map[string]string{"path": path, "size": "9", "mtime": "5", "ctime": "5"})
		m.insert("authenticode", map[string]string{"path": path, "result": result, "subject_name": "Example GmbH"})
		batch := f.read(10_000)
		if len(batch.Installs) != 1 {
			t.Fatalf("%s: %d installs", result, len(batch.Installs))
		}
		if in := batch.Installs[0]; in.Broken != want || in.Broken && in.Signed != evidence.No {
			t.Errorf("%s: broken %v, signed %v, want broken %v", result, in.Broken, in.Signed, want)
		}
	}
}
