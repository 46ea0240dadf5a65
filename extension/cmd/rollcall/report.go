package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/report"
	"github.com/osquery-rollcall/rollcall/extension/report/results"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/extension/version"
)

const reportHelp = `Usage: rollcall report --out FILE [flags]

Writes one HTML page of what was found: incidents by decision, each with its reasons,
a picture of its time and the analyst's questions answered; what was observed against
what is usual; services that were installed; and what could not be seen. The page loads
nothing and runs nothing, prints well, and has a section for each host.

Without --from it is of this host's own state. --from names, as often as needed,
  - a state directory (of another host, say),
  - osquery's results logs with the rows of Rollcall's pack, files or folders, as
    osqueryd, Fleet and osctrl write them; "-" is standard input,
  - recorded evidence, as for "rollcall query": it is judged now.

Flags:

Examples:
  rollcall report --out report.html
  rollcall report --from /var/log/osquery/osqueryd.results.log --days 7 --out week.html
  rollcall report --from /evidence --title "Case 42" --out case42.html
`

// The bounds of a search for results in a folder.
const (
	maxReportFiles = 10_000
	maxReportDepth = 16
)

func runReport(ctx context.Context, env *environment, args []string) error {
	flags := newFlags(env, "report", reportHelp)
	var f sessionFlags
	flags.Var(&f.from, "from", "state directory, results log, or `path` of recorded evidence; - for results on standard input; can be given again")
	flags.StringVar(&f.configFile, "config", "", "configuration `file`, to judge recorded evidence by")
	flags.StringVar(&f.fieldMaps, "fieldmap", "", "`file` of field maps for JSON of other forms")
	flags.BoolVar(&f.verbose, "verbose", false, "log what is going on")
	out := flags.String("out", "", "`file` to write, - for standard output")
	title := flags.String("title", "", "title of the page")
	days := flags.Int("days", 0, "leave out what is older than this `number` of days before the newest; 0 is all")
	if err := parse(flags, args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return usage("report: unexpected argument %q", flags.Arg(0))
	case *out == "":
		return usage("report: name the file to write with --out, or - for standard output")
	case *days < 0:
		return usage("report: --days cannot be negative")
	}
	r := &report.Report{Title: *title, Made: time.Now(), Version: version.Number}
	if err := gather(ctx, env, r, f); err != nil {
		return err
	}
	if *days > 0 {
		r.Newest(time.Duration(*days) * 24 * time.Hour)
	}
	if *out == "-" {
		return r.Write(env.stdout)
	}
	return writeReport(r, *out)
}

// writeReport replaces the file as a whole. It holds what logs hold, so it is its
// owner's alone.
func writeReport(r *report.Report, name string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".rollcall-report-*")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tmp.Close(), os.Remove(tmp.Name()))
		}
	}()
	if err := r.Write(tmp); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// gather reads what --from names: states, results, and of the rest recorded evidence.
func gather(ctx context.Context, env *environment, r *report.Report, f sessionFlags) error {
	if len(f.from) == 0 {
		dir := config.StateDir()
		r.From = append(r.From, dir)
		host, err := os.Hostname()
		if err != nil {
			host = ""
		}
		if err := addState(ctx, r, dir, host); err != nil {
			return fmt.Errorf("%w; run as root, or name what to report on with --from", err)
		}
		return nil
	}
	var rows results.Set
	var evidence paths
	for _, path := range f.from {
		r.From = append(r.From, path)
		if path == "-" {
			a, err := rows.Read(env.stdin)
			if err != nil {
				return err
			}
			if a.Rows == 0 {
				return errors.New("standard input has no rows of Rollcall's tables; name recorded evidence as a file")
			}
			note(r, "standard input", a)
			continue
		}
		if dir, ok := stateAt(path); ok {
			if err := addState(ctx, r, dir, ""); err != nil {
				return err
			}
			continue
		}
		rest, err := addResults(ctx, r, &rows, path)
		if err != nil {
			return err
		}
		evidence = append(evidence, rest...)
	}
	hosts := rows.Hosts()
	r.Hosts = append(r.Hosts, hosts...)
	if len(evidence) == 0 {
		return nil
	}
	judged, err := judgeEvidence(ctx, env, f, evidence)
	if err != nil {
		return err
	}
	r.Hosts = append(r.Hosts, judged...)
	return nil
}

// stateAt reports whether a path is a state directory, or the database in one.
func stateAt(path string) (dir string, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	if !info.IsDir() {
		return filepath.Dir(path), filepath.Base(path) == store.FileName
	}
	db, err := os.Lstat(filepath.Join(path, store.FileName))
	return path, err == nil && db.Mode().IsRegular()
}

func addState(ctx context.Context, r *report.Report, dir, host string) (err error) {
	st, err := store.OpenReadOnly(ctx, dir)
	if errors.Is(err, store.ErrOlder) {
		return fmt.Errorf("read the state in %s: %w; on a copy of it, rollcall query --state COPY 'SELECT 1' does that", dir, err)
	}
	if err != nil {
		return fmt.Errorf("read the state in %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if host == "" {
		host = filepath.Base(dir)
	}
	hosts, err := report.FromState(ctx, st, host)
	if err != nil {
		return fmt.Errorf("read the state in %s: %w", dir, err)
	}
	r.Hosts = append(r.Hosts, hosts...)
	return nil
}

// addResults reads the results logs at path and returns what else is there. A log with
// rows of ours is read for them alone: they are judged already.
func addResults(ctx context.Context, r *report.Report, rows *results.Set, path string) (rest paths, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !info.IsDir() {
		found, err := readResults(r, rows, path)
		if err != nil || found {
			return nil, err
		}
		return paths{path}, nil
	}
	any, files := false, 0
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return nil //nolint:nilerr // what can't be read is told by whoever needs it
		case d.IsDir():
			if rel, err := filepath.Rel(path, name); err == nil && strings.Count(rel, string(filepath.Separator)) >= maxReportDepth {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		if files++; files > maxReportFiles {
			return fs.SkipAll
		}
		found, err := readResults(r, rows, name)
		if err != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("%s was not read: %v", name, err))
			return nil
		}
		if any = any || found; !found {
			rest = append(rest, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if files > maxReportFiles {
		r.Notes = append(r.Notes, fmt.Sprintf("Only the first %d files of %s were looked at.", maxReportFiles, path))
	}
	if !any {
		return paths{path}, nil
	}
	// Beside results a folder has much that is no evidence.
	if n := len(rest); n > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d files of %s hold no rows of Rollcall's tables and were left out: name recorded evidence with a --from of its own.", n, path))
	}
	return nil, nil
}

// readResults reads a file that begins as JSON, or is compressed, for rows of ours.
func readResults(r *report.Report, rows *results.Set, name string) (found bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil //nolint:nilerr // an empty file has no rows
	}
	start := bytes.TrimLeft(bytes.TrimPrefix(head[:n], []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(start) == 0 || start[0] != '{' && start[0] != '[' && !bytes.HasPrefix(start, []byte{0x1f, 0x8b}) {
		return false, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	a, err := rows.Read(f)
	if err != nil && a.Rows == 0 {
		return false, nil //nolint:nilerr // it is no results log: evidence, perhaps
	}
	if err != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("%s was read in part: %v", name, err))
	}
	if a.Rows > 0 {
		note(r, name, a)
	}
	return a.Rows > 0, nil
}

func note(r *report.Report, name string, a results.Account) {
	if a.Broken > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %d of %d lines could not be read.", name, a.Broken, a.Lines))
	}
	if a.Left > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %d rows are left out, there are too many.", name, a.Left))
	}
}

// judgeEvidence judges recorded evidence in a state that goes at the end.
func judgeEvidence(ctx context.Context, env *environment, f sessionFlags, evidence paths) (hosts []*report.Host, err error) {
	f.from = evidence
	s, err := f.open(ctx, env)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.collect(ctx, env, 0); err != nil {
		return nil, fmt.Errorf("collect evidence: %w", err)
	}
	if hosts, err = report.FromState(ctx, s.app.Store, ""); err != nil {
		return nil, err
	}
	var unread []string
	for _, a := range s.from.Accounts() {
		if len(a.Notes) > 0 {
			unread = append(unread, engine.Presentable([]string{a.Path})[0])
		}
	}
	if len(unread) > 0 {
		text := fmt.Sprintf("Not wholly read: %s.", strings.Join(unread[:min(len(unread), maxFromNotes)], ", "))
		for _, h := range hosts {
			h.Notes = append(h.Notes, text)
		}
	}
	return hosts, nil
}
