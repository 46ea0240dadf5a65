package sigma

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxEntries bounds the walk through a directory, rule files or not.
const maxEntries = 200_000

// Loaded is one rule of a directory, or why it is not there.
type Loaded struct {
	Path string // of the file, in the file system's terms
	Rule *Rule  // nil when Err is set
	Err  error
}

// LoadFS reads every *.yml and *.yaml file under dir, in lexical order. A file
// gives one result for each of its rules. Only regular files of at most
// [MaxFile] bytes are read, and at most [MaxFiles] of them; what is left out is
// reported. A rule whose id an earlier one has is an error.
//
// Links are not followed as far as fsys tells them; where others may write, use
// one that cannot leave its directory, such as that of os.Root.
func LoadFS(fsys fs.FS, dir string, opts ...Option) []Loaded {
	var out []Loaded
	for _, r := range load(fsys, dir, newOptions(opts)) {
		l := Loaded{Path: r.path, Err: r.err}
		if r.err == nil {
			l.Rule = r.rule
		}
		out = append(out, l)
	}
	return out
}

// reading is one document of a directory, or a file or directory that could not
// be read (rule is nil then).
type reading struct {
	path string
	rule *Rule // with an error, as far as it was understood
	err  error
}

func load(fsys fs.FS, dir string, o options) []reading {
	var out []reading
	entries, files := 0, 0
	ids := map[string]string{}
	err := fs.WalkDir(fsys, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			out = append(out, reading{path: name, err: fmt.Errorf("reading rules: %w", err)})
			return nil
		}
		if entries++; entries > maxEntries {
			out = append(out, reading{path: name, err: &InvalidError{Reason: "too many entries in directory"}})
			return fs.SkipAll
		}
		ext := strings.ToLower(path.Ext(name))
		if entry.IsDir() || ext != ".yml" && ext != ".yaml" {
			return nil
		}
		if files++; files > MaxFiles {
			out = append(out, reading{path: name, err: &InvalidError{Reason: "too many rule files"}})
			return fs.SkipAll
		}
		data, err := readFile(fsys, name, entry)
		if err != nil {
			out = append(out, reading{path: name, err: err})
			return nil
		}
		for _, d := range parseFile(data, o) {
			r := reading{path: name, rule: d.rule, err: d.err}
			if id := strings.ToLower(d.rule.ID); id != "" && d.err == nil {
				if earlier, ok := ids[id]; ok {
					r.err = &InvalidError{Reason: "duplicate id", Detail: id + " is also in " + earlier, Line: d.rule.Line}
				} else {
					ids[id] = name
				}
			}
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		out = append(out, reading{path: dir, err: fmt.Errorf("reading rules: %w", err)})
	}
	return out
}

func readFile(fsys fs.FS, name string, entry fs.DirEntry) (data []byte, err error) {
	irregular := &InvalidError{Reason: "not a regular file"}
	if !entry.Type().IsRegular() {
		return nil, irregular // opening a pipe would wait for its writer
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading rule: %w", err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("reading rule: %w", closeErr)
		}
	}()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading rule: %w", err)
	case !info.Mode().IsRegular():
		return nil, irregular
	}
	data, err = io.ReadAll(io.LimitReader(f, MaxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading rule: %w", err)
	case len(data) > MaxFile:
		return nil, &InvalidError{Reason: "file too large", Detail: fmt.Sprintf("more than %d bytes", MaxFile)}
	}
	return data, nil
}

// Report says how many rules of a directory load.
type Report struct {
	All             Tally
	ProcessCreation Tally // those whose logsource has category process_creation
	// Refused counts what does not load by reason, the most frequent first.
	Refused []Refusal
}

// Tally counts rules.
type Tally struct {
	Rules  int
	Loaded int
}

// Refusal is one reason why rules do not load.
type Refusal struct {
	Reason          string
	Rules           int
	ProcessCreation int    // how many of them are of category process_creation
	Example         string // one of them: path and message
}

// Survey reads every rule under dir as LoadFS does and counts.
func Survey(fsys fs.FS, dir string, opts ...Option) Report {
	var report Report
	refused := map[string]*Refusal{}
	for _, r := range load(fsys, dir, newOptions(opts)) {
		process := r.rule != nil && r.rule.LogSource.Category == "process_creation"
		report.All.Rules++
		if process {
			report.ProcessCreation.Rules++
		}
		if r.err == nil {
			report.All.Loaded++
			if process {
				report.ProcessCreation.Loaded++
			}
			continue
		}
		reason := reasonOf(r.err)
		refusal := refused[reason]
		if refusal == nil {
			refusal = &Refusal{Reason: reason, Example: r.path + ":" + r.err.Error()}
			refused[reason] = refusal
		}
		refusal.Rules++
		if process {
			refusal.ProcessCreation++
		}
	}
	for _, r := range refused {
		report.Refused = append(report.Refused, *r)
	}
	slices.SortFunc(report.Refused, func(a, b Refusal) int {
		return cmp.Or(b.Rules-a.Rules, strings.Compare(a.Reason, b.Reason))
	})
	return report
}

// reasonOf returns what errors of one kind have in common.
func reasonOf(err error) string {
	var unsupported *UnsupportedError
	var invalid *InvalidError
	switch {
	case errors.As(err, &unsupported):
		return "not supported: " + unsupported.Feature
	case errors.As(err, &invalid):
		return invalid.Reason
	}
	return "file cannot be read"
}

// String renders the report as text for people.
func (r Report) String() string {
	var b strings.Builder
	line := func(what string, t Tally) {
		// Rounded down, so that only all of them are 100 %.
		share := 1000
		if t.Rules > 0 {
			share = 1000 * t.Loaded / t.Rules
		}
		fmt.Fprintf(&b, "%-16s %d of %d rules load (%d.%d %%)\n", what, t.Loaded, t.Rules, share/10, share%10)
	}
	line("all", r.All)
	line("process_creation", r.ProcessCreation)
	for _, f := range r.Refused {
		fmt.Fprintf(&b, "%6d refused (%d process_creation): %s\n       for example %s\n",
			f.Rules, f.ProcessCreation, f.Reason, f.Example)
	}
	return b.String()
}
