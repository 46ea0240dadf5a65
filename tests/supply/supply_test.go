// Package supply looks at what Rollcall is made of: every module that is linked into what
// is shipped is pinned by its hash, nothing is replaced, and its licence is one of those
// we may pass on. No network is needed.
package supply

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// programs are what is shipped, platforms what they are shipped for.
var (
	programs  = []string{"./extension", "./extension/cmd/rollcall"}
	platforms = []string{"linux", "windows", "darwin"}
)

// module is a module as "go list" tells it.
type module struct {
	Path, Version, Dir string
	Main               bool
	Replace            *module
}

// output runs the go command in the repository.
func output(t *testing.T, goos string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if goos != "" {
		cmd.Env = append(cmd.Env, "GOOS="+goos)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// linked are the modules that are linked into the programs, by path.
func linked(t *testing.T) map[string]module {
	t.Helper()
	all := map[string]module{}
	for _, goos := range platforms {
		dec := json.NewDecoder(bytes.NewReader(output(t, goos, append([]string{"list", "-deps", "-json=Module"}, programs...)...)))
		for dec.More() {
			var p struct{ Module *module }
			if err := dec.Decode(&p); err != nil {
				t.Fatal(err)
			}
			if p.Module != nil && !p.Module.Main {
				all[p.Module.Path] = *p.Module
			}
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d modules are linked", len(all))
	}
	return all
}

// TestPinned: nothing stands in for a module, and go.sum holds the hash of each.
func TestPinned(t *testing.T) {
	var mod struct{ Replace, Exclude []any }
	if err := json.Unmarshal(output(t, "", "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace)+len(mod.Exclude) > 0 {
		t.Errorf("go.mod replaces or excludes: %v %v", mod.Replace, mod.Exclude)
	}
	text, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[2], "h1:") {
			sums[f[0]+" "+f[1]] = true
		}
	}
	for _, m := range linked(t) {
		if m.Replace != nil {
			t.Errorf("%s is replaced", m.Path)
		}
		if !sums[m.Path+" "+m.Version] || !sums[m.Path+" "+m.Version+"/go.mod"] {
			t.Errorf("%s %s has no hash in go.sum", m.Path, m.Version)
		}
	}
}

// allowed are the licences that a program under the Apache License 2.0 may link, by their
// SPDX names, each with words that stand in no other of them.
var allowed = []struct {
	id    string
	words *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile(`Apache License,? Version 2\.0`)},
	{"MIT", regexp.MustCompile(`Permission is hereby granted, free of charge, to any person obtaining a copy`)},
	{"ISC", regexp.MustCompile(`Permission to use, copy, modify, and(/or)? distribute this software for any purpose with or without fee`)},
	{"BSD", regexp.MustCompile(`Redistribution and use in source and binary forms, with or without modification, are permitted`)},
	{"public-domain", regexp.MustCompile(`The author disclaims copyright to this source code`)},
}

// mpl asks for the source of its own files, which are passed on as they are published; its
// text speaks of other licences.
var mpl = regexp.MustCompile(`Mozilla Public License,? [Vv]ersion 2\.0`)

// forbidden are words of licences that ask more of whoever passes a program on.
var forbidden = regexp.MustCompile(`(?i)GNU (Lesser |Library |Affero )?General Public License|Server Side Public|Business Source|Commons Clause|Creative Commons|Elastic License`)

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)`)

var blanks = regexp.MustCompile(`[\s"*#]+`)

// licences names the licences of a text.
func licences(text string) (ids []string, trouble string) {
	text = blanks.ReplaceAllString(text, " ")
	if mpl.MatchString(text) {
		return []string{"MPL-2.0"}, ""
	}
	if bad := forbidden.FindString(text); bad != "" {
		return nil, bad
	}
	for _, l := range allowed {
		if l.words.MatchString(text) {
			ids = append(ids, l.id)
		}
	}
	return ids, ""
}

// TestLicences reads the licence of each linked module, and compares with licences.txt,
// so that a new module or licence is looked at by a person.
func TestLicences(t *testing.T) {
	var lines []string
	all := linked(t)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		m := all[path]
		files, err := os.ReadDir(m.Dir)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		ids := map[string]bool{}
		for _, f := range files {
			if !f.Type().IsRegular() || !licenceFile.MatchString(f.Name()) || strings.Contains(f.Name(), "LOGO") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(m.Dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found, bad := licences(string(text))
			if bad != "" {
				t.Errorf("%s: %s speaks of %q", path, f.Name(), bad)
			}
			for _, id := range found {
				ids[id] = true
			}
		}
		if len(ids) == 0 {
			t.Errorf("%s: no licence that may be passed on", path)
		}
		lines = append(lines, path+" "+strings.Join(slices.Sorted(maps.Keys(ids)), " "))
	}
	t.Logf("linked:\n%s", strings.Join(lines, "\n"))
	text, err := os.ReadFile("licences.txt")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			want = append(want, line)
		}
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("licences.txt is not what is linked (-licences.txt +linked): look at the licence, then write it there\n%s", d)
	}
}

// TestLicencesAreTold: the words tell the licences apart, and what may not be linked.
func TestLicencesAreTold(t *testing.T) {
	for text, want := range map[string]string{
		"  Apache License\n Version 2.0, January 2004":                                                          "Apache-2.0",
		"Permission is hereby granted, free of charge,\n to any person obtaining a copy":                        "MIT",
		"Redistribution and use in source and binary forms, with or\nwithout modification, are permitted":       "BSD",
		"GNU AFFERO GENERAL PUBLIC LICENSE":                                                                     "!GNU AFFERO GENERAL PUBLIC LICENSE",
		"GNU GENERAL PUBLIC LICENSE Version 3 ... Permission is hereby granted, free of charge, to any person ": "!GNU GENERAL PUBLIC LICENSE",
		"Mozilla Public License, version 2.0":                                                                   "MPL-2.0",
		"All rights reserved.":                                                                                  "",
	} {
		ids, bad := licences(text)
		got := strings.Join(ids, " ")
		if bad != "" {
			got = "!" + bad
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
