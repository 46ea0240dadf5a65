package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg"
	"github.com/osquery-rollcall/rollcall/extension/host/vuln"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	osquery "github.com/osquery-rollcall/rollcall/extension/source/core"
)

var _ engine.Looker = (*host.Facts)(nil)

var update = flag.Bool("update", false, "write the golden files")

// golden compares facts with what was written down.
func golden(t *testing.T, name string, facts incident.HostFacts) {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(facts); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}

const at = 1_700_000_100

func clock() time.Time { return time.Unix(at+60, 0) }

// intrusion is an incident on the host web1.
func intrusion(p evidence.Platform) *incident.Incident {
	command := func(pid int64, name, login string) incident.Command {
		return incident.Command{Time: at, Host: "web1", PID: pid, Origin: "/usr/sbin/nginx", Actor: incident.Actor{Username: name, LoginUser: login, PIDs: []int64{pid, 100}}}
	}
	loose, container, elsewhere := command(201, "www-data", ""), command(202, "boxed", ""), command(203, "other", "")
	container.Container = strings.Repeat("ab", 32)
	elsewhere.Host = "db1"
	return &incident.Incident{
		Host: "web1.example.com", Platform: p, Facts: incident.HostFacts{Critical: "web servers", OffHours: "02:14 Sat"},
		Bursts: []*incident.Burst{{Best: loose, Loose: &loose, Sample: []incident.Command{loose, container, elsewhere, command(204, "root", "al")},
			Contexts: []incident.Context{{Time: at, Actor: incident.Actor{PIDs: []int64{205}}}, {Time: at, Host: "db1", Actor: incident.Actor{PIDs: []int64{206}}}}}},
		Installs: []incident.Install{
			{Time: at, Host: "web1", Action: evidence.Created, Path: "/opt/agent", Image: "/opt/agent -d", Package: "agent-pro", Actor: incident.Actor{Username: "root", LoginUser: "al", PIDs: []int64{207}}},
			{Time: at, Host: "web1", Action: evidence.Created, Path: "/usr/bin/python3", Image: `/usr/bin/python3 -u "/opt/x.py"`},
			{Time: at, Host: "web1", Action: evidence.Created, Path: "/bin/sh", Image: "/bin/sh -c evil"},
			{Time: at, Host: "web1", Action: evidence.Removed, Path: "/opt/gone", Package: "gone"},
			{Time: at, Host: "db1", Action: evidence.Created, Path: "/opt/db", Package: "curl", Actor: incident.Actor{PIDs: []int64{208}}},
		},
		Connections: []incident.Connection{
			{Time: at, Relation: incident.ByTree, Path: "/opt/agent", Actor: incident.Actor{PIDs: []int64{209}}},
			{Time: at, Relation: incident.ByHost, Path: "/usr/bin/curl", Actor: incident.Actor{PIDs: []int64{210}}},
		},
	}
}

// scans are of one file with a finding for each piece of software.
func scans() *vuln.Scans {
	files := fstest.MapFS{"scan.csv": {Data: []byte("package,version,id,severity,path\nnginx,1.22,CVE-1,high,\nagent-pro,7,CVE-2,critical,\nstdlib,1.21,CVE-3,low,opt/agent\ncurl,8,CVE-4,critical,\ngone,1,CVE-5,low,\n")}}
	return vuln.NewScans([]string{"scan.csv", "none.json"}, func(p string) (fs.File, error) { return files.Open(p) })
}

func owner(path string) (pkg.Package, bool) {
	if path == "/usr/sbin/nginx" {
		return pkg.Package{Name: "nginx", Version: "1:1.24", Manager: "dpkg"}, true
	}
	return pkg.Package{}, false
}

// core answers as osquery would.
type core struct{ fail bool }

func (c core) Query(_ context.Context, sql string) ([]map[string]string, error) {
	switch {
	case c.fail:
		return nil, errors.New("no socket")
	case strings.Contains(sql, "FROM processes WHERE pid"):
		return []map[string]string{{"pid": "201", "name": "cmd\u202e.exe", "path": `C:\x.exe`, "start_time": fmt.Sprint(at - 1), "on_disk": "0"}}, nil
	case strings.Contains(sql, "FROM users"):
		return []map[string]string{{"uid": "1001", "type": "local"}}, nil
	case strings.Contains(sql, "FROM user_groups"):
		return []map[string]string{{"gid": "544"}}, nil
	case strings.Contains(sql, "FROM groups"):
		return []map[string]string{{"gid": "544", "groupname": "Administrators"}}, nil
	}
	return nil, nil
}

func TestThroughCore(t *testing.T) {
	for _, c := range []struct {
		name string
		core osquery.Asker
	}{{"core", core{}}, {"core_failing", core{fail: true}}, {"core_none", nil}} {
		f := host.NewFacts(engine.Presentable, host.Options{Host: "web1", Platform: evidence.Windows, Core: c.core, Now: clock})
		golden(t, c.name, f.Look(context.Background(), intrusion(evidence.Windows)))
		f.Wait()
	}
}

// TestOthersIncident: what happened elsewhere is not looked for here.
func TestOthersIncident(t *testing.T) {
	f := host.NewFacts(engine.Presentable, host.Options{Host: "web1", Platform: evidence.Windows, Core: core{}, Now: clock})
	for _, x := range []*incident.Incident{
		{Host: "db1", Platform: evidence.Windows}, {Host: "web1.corp", Platform: evidence.Linux}, {Host: "web10"},
	} {
		x.Facts = incident.HostFacts{Critical: "all"}
		if d := cmp.Diff(incident.HostFacts{Critical: "all"}, f.Look(context.Background(), x)); d != "" {
			t.Errorf("%s: %s", x.Host, d)
		}
	}
	for _, name := range []string{"", "WEB1", "web1.corp"} {
		if f.Look(context.Background(), &incident.Incident{Host: name}).Looked != at+60 {
			t.Errorf("%s was not looked at", name)
		}
	}
}

// TestHang: a part that does not come back is left behind, holds nothing else up and
// is not started again meanwhile.
func TestHang(t *testing.T) {
	release := make(chan struct{})
	var calls atomic.Int32
	f := host.NewFacts(engine.Presentable, host.Options{Host: "web1", Platform: evidence.Windows, Core: core{}, Now: clock, Timeout: 2 * time.Second,
		Services: func(context.Context) (int, []string) { calls.Add(1); <-release; return 7, nil }})
	x := intrusion(evidence.Windows)
	x.Facts = f.Look(context.Background(), x)
	if got := x.Facts.Missing["services"]; got != "it took longer than 2s" || len(x.Facts.Groups) == 0 || len(x.Facts.Memory) == 0 {
		t.Errorf("%q, %+v", got, x.Facts)
	}
	if got := f.Look(context.Background(), x); got.Missing["services"] != "an earlier look at it has not come back" || len(got.Groups) == 0 || calls.Load() != 1 {
		t.Errorf("%+v", got)
	}
	close(release)
	f.Wait()
	if x.Facts = f.Look(context.Background(), x); x.Facts.Services != 7 || x.Facts.Missing["services"] != "" {
		t.Errorf("%+v", x.Facts)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	// What is known from before stays.
	if got := f.Look(done, x); got.Looked == 0 || got.Services != 7 || len(got.Groups) == 0 || got.Missing["services"] != "" && got.Missing["services"] != "it was stopped" {
		t.Errorf("%+v", got)
	}
	f.Wait()
}

// slow tells memory's signs and then does not come back.
type slow struct{ hold chan struct{} }

func (s slow) Query(ctx context.Context, sql string) ([]map[string]string, error) {
	if strings.Contains(sql, "process_memory_map") {
		<-s.hold
	}
	return core{}.Query(ctx, sql)
}

// TestPartOfMemory: what was found before a look got stuck is told.
func TestPartOfMemory(t *testing.T) {
	s := slow{make(chan struct{})}
	f := host.NewFacts(engine.Presentable, host.Options{Platform: evidence.Windows, Core: s, Now: clock, Timeout: 2 * time.Second})
	got := f.Look(context.Background(), intrusion(evidence.Windows))
	close(s.hold)
	f.Wait()
	if len(got.Memory) != 1 || !strings.Contains(got.Missing["memory"], "it took longer than 2s") || got.Gone == 0 {
		t.Errorf("%+v", got)
	}
}

func TestPanic(t *testing.T) {
	f := host.NewFacts(engine.Presentable, host.Options{Platform: evidence.Windows, Core: core{}, Now: clock,
		Services: func(context.Context) (int, []string) { panic("oh") }})
	for range 2 {
		if got := f.Look(context.Background(), intrusion(evidence.Windows)); got.Missing["services"] != "an error in Rollcall ended it" || len(got.Groups) == 0 {
			t.Errorf("%+v", got)
		}
	}
}

// TestLater: what was found in memory stays when its process is gone.
func TestLater(t *testing.T) {
	f := host.NewFacts(engine.Presentable, host.Options{Platform: evidence.Windows, Core: core{}, Now: clock})
	x := intrusion(evidence.Windows)
	x.Facts.Memory = []string{"Process 9 (x) was there."}
	x.Facts = f.Look(context.Background(), x)
	want := []string{"Process 9 (x) was there.", `Process 201 (cmd\u202e.exe) runs C:\x.exe, which is not on the disk any more.`}
	if d := cmp.Diff(want, x.Facts.Memory); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, f.Look(context.Background(), x).Memory); d != "" {
		t.Errorf("once more: %s", d)
	}
}

// TestMany: lists are bounded, and what is left out is told.
func TestMany(t *testing.T) {
	var list strings.Builder
	list.WriteString("package,id\n")
	for i := range 100 {
		fmt.Fprintf(&list, "agent-pro,CVE-%03d\n", i)
	}
	files := fstest.MapFS{"s": {Data: []byte(list.String())}}
	var suspects []string
	for i := range 100 {
		suspects = append(suspects, fmt.Sprint("service ", i))
	}
	f := host.NewFacts(engine.Presentable, host.Options{Platform: evidence.Windows, Now: clock, Scans: vuln.NewScans([]string{"s"}, func(p string) (fs.File, error) { return files.Open(p) }),
		Services: func(context.Context) (int, []string) { return 300, suspects }, Missing: func() map[string]string { return map[string]string{"services": "the daemon is old"} }})
	x := intrusion(evidence.Windows)
	for i := range 10 {
		x.Installs = append(x.Installs, incident.Install{Actor: incident.Actor{Username: fmt.Sprint("user", i)}})
	}
	got := f.Look(context.Background(), x)
	want := map[string]string{
		"services":        "the daemon is old; 68 more suspects are not listed",
		"vulnerabilities": "68 more findings are not listed",
		"groups":          "more accounts are involved than were looked at; what ran in a container has the container's accounts; accounts are read on Linux, and elsewhere through osquery, which was not asked",
		"memory":          "memory is looked at on Linux, and elsewhere through osquery, which was not asked",
	}
	if d := cmp.Diff(want, got.Missing); d != "" {
		t.Error(d)
	}
	if len(got.Suspects) != 32 || len(got.Vulnerabilities) != 32 || got.Services != 300 {
		t.Errorf("%d suspects, %d findings", len(got.Suspects), len(got.Vulnerabilities))
	}
}
