package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCalled: only what is called counts, each once.
func TestCalled(t *testing.T) {
	got, err := called(strings.NewReader(`{"config":{"db":"x"}} {"osv":{"id":"GO-1"}}
		{"finding":{"osv":"GO-1","fixed_version":"v1.2.3","trace":[{"module":"example.org/a","version":"v1.0.0"}]}}
		{"finding":{"osv":"GO-2","fixed_version":"v1.2.3","trace":[{"module":"example.org/a","version":"v1.0.0","package":"example.org/a/b"}]}}
		{"finding":{"osv":"GO-3","fixed_version":"v1.2.4","trace":[{"module":"stdlib","version":"v1.26.0","package":"os","receiver":"Root","function":"Mkdir"},{"module":"us"}]}}
		{"finding":{"osv":"GO-3","fixed_version":"v1.2.4","trace":[{"module":"stdlib","version":"v1.26.0","package":"os","function":"Other"}]}}`))
	want := map[string]finding{"GO-3": {"stdlib", "v1.26.0", "v1.2.4", "os.Root.Mkdir"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(finding{})); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := called(strings.NewReader(`{"finding":`)); err == nil {
		t.Error("what breaks off is whole")
	}
}

// TestDatabase: entries become the index that govulncheck reads.
func TestDatabase(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	if _, err := write(from, to); err == nil {
		t.Error("no entries are a database")
	}
	entries := map[string]string{
		"GO-2026-2.json": `{"id":"GO-2026-2","modified":"2026-02-01T00:00:00Z","affected":[{"package":{"name":"example.org/a"}},{"package":{"name":"example.org/b"}}]}`,
		"GO-2026-1.json": `{"id":"GO-2026-1","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"name":"example.org/a"}},{"package":{"name":"example.org/a"}}]}`,
	}
	for name, text := range entries {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := write(from, to); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	for name, want := range map[string]string{
		"index/modules.json": `[{"path":"example.org/a","vulns":[{"id":"GO-2026-1","modified":"2026-01-01T00:00:00Z"},{"id":"GO-2026-2","modified":"2026-02-01T00:00:00Z"}]},` +
			`{"path":"example.org/b","vulns":[{"id":"GO-2026-2","modified":"2026-02-01T00:00:00Z"}]}]`,
		"index/db.json":     `{"modified":"2026-02-01T00:00:00Z"}`,
		"ID/GO-2026-1.json": entries["GO-2026-1.json"],
	} {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if err := os.WriteFile(filepath.Join(from, "GO-2026-3.json"), []byte(`{"id":"GO-2026-4"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := write(from, to); err == nil {
		t.Error("an entry of another name was taken")
	}
}
