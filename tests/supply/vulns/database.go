package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is what the index needs of an entry.
type entry struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Affected []struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
	} `json:"affected"`
}

// indexed is an entry in the index of modules.
type indexed struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
}

type indexedModule struct {
	Path  string    `json:"path"`
	Vulns []indexed `json:"vulns"`
}

// write makes the database of the entries in from, and tells how many there are.
func write(from, to string) (int, error) {
	files, err := filepath.Glob(filepath.Join(from, "GO-*.json"))
	if err != nil || len(files) == 0 {
		return 0, errors.Join(fmt.Errorf("no entries in %s", from), err)
	}
	for _, dir := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(to, dir), 0o755); err != nil {
			return 0, fmt.Errorf("make the database: %w", err)
		}
	}
	modules := map[string][]indexed{}
	var newest time.Time
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return 0, fmt.Errorf("read an entry: %w", err)
		}
		var e entry
		if err := json.Unmarshal(data, &e); err != nil || e.ID+".json" != filepath.Base(f) {
			return 0, errors.Join(fmt.Errorf("%s is no entry", f), err)
		}
		if e.Modified.After(newest) {
			newest = e.Modified
		}
		of := map[string]bool{}
		for _, a := range e.Affected {
			of[a.Package.Name] = true
		}
		for name := range of {
			modules[name] = append(modules[name], indexed{e.ID, e.Modified})
		}
		if err := os.WriteFile(filepath.Join(to, "ID", e.ID+".json"), data, 0o644); err != nil {
			return 0, fmt.Errorf("write an entry: %w", err)
		}
	}
	var index []indexedModule
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		slices.SortFunc(modules[path], func(a, b indexed) int { return strings.Compare(a.ID, b.ID) })
		index = append(index, indexedModule{path, modules[path]})
	}
	for name, value := range map[string]any{"modules.json": index, "db.json": map[string]time.Time{"modified": newest}} {
		data, err := json.Marshal(value)
		if err != nil {
			return 0, fmt.Errorf("write the index: %w", err)
		}
		if err := os.WriteFile(filepath.Join(to, "index", name), data, 0o644); err != nil {
			return 0, fmt.Errorf("write the index: %w", err)
		}
	}
	return len(files), nil
}
