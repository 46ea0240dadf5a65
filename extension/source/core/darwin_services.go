package core

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/service/managed"
)

const plistTable = "plist"

// launchdStarts are the columns of what starts a job besides the start itself.
var launchdStarts = []string{"start_interval", "watch_paths", "queue_directories", "start_on_mount"}

// hiddenPlists are the places of property lists that begin with a dot. osquery's
// launchd leaves them out; launchd does not. Those of the system's own volume are
// sealed.
var hiddenPlists = []string{"/Library/LaunchDaemons/.%", "/Library/LaunchAgents/.%", "/Users/%/Library/LaunchAgents/.%", "/var/root/Library/LaunchAgents/.%"}

// overridePlists say of jobs, by label, that they were turned off or on: of the
// system, and of each user by number.
const (
	overridePlists  = "/var/db/com.apple.xpc.launchd/disabled%"
	systemOverrides = "disabled.plist"
)

const (
	maxHidden = 200 // files of one place
	// maxLists are the property lists that are read in one look, maxListRows their
	// values.
	maxLists    = 100
	maxListRows = 10_000
	maxValues   = 64 // of one key of a list
)

// listKeys are the keys of a property list that matter here.
var listKeys = []string{"Label", "Program", "ProgramArguments", "RunAtLoad", "KeepAlive", "Disabled", "UserName", "StartCalendarInterval", "LaunchEvents",
	"Sockets", "EnvironmentVariables"}

// darwinBooks are the books of jobs of launchd.
type darwinBooks struct {
	books
	lists map[string]*propertyList
}

// propertyList is what was read of a property list, as of a time of its file.
type propertyList struct {
	changed, size int64
	values        map[string][]listValue
}

// listValue is one value below a key.
type listValue struct{ below, value string }

func (p *propertyList) text(key string) string {
	if p == nil || len(p.values[key]) != 1 {
		return ""
	}
	return p.values[key][0].value
}

// hidden tells of the property lists that begin with a dot.
func (b *darwinBooks) hidden(ctx context.Context, c *comparison, add func(map[string]string)) error {
	if !c.caps.Tables["file"] {
		return nil
	}
	var paths []string
	for _, pattern := range hiddenPlists {
		err := c.ask(ctx, squirrel.Select("path").From("file").Where(squirrel.Like{"path": pattern}).Limit(maxHidden), func(r *Row) error {
			if p := r.Get("path"); strings.HasSuffix(p, ".plist") && len(p) <= maxFilePath && !slices.Contains(paths, p) {
				paths = append(paths, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	lists, err := b.read(ctx, c, paths)
	if err != nil {
		return err
	}
	for _, p := range paths {
		l := lists[p] // nil where it cannot be read: its name tells enough
		row := map[string]string{"path": p, "name": p[strings.LastIndexByte(p, '/')+1:], "label": l.text("Label"), "program": l.text("Program"),
			"run_at_load": l.text("RunAtLoad"), "keep_alive": l.text("KeepAlive"), "disabled": l.text("Disabled"), "username": l.text("UserName")}
		row["program_arguments"] = strings.Join(l.arguments(), " ")
		add(row)
	}
	return nil
}

func (p *propertyList) arguments() (out []string) {
	if p != nil {
		for _, v := range p.values["ProgramArguments"] {
			out = append(out, v.value)
		}
	}
	return out
}

// read reads property lists, at most maxLists of them.
func (b *darwinBooks) read(ctx context.Context, c *comparison, paths []string) (map[string]*propertyList, error) {
	paths = paths[:min(len(paths), maxLists)]
	if len(paths) == 0 || !c.caps.Tables[plistTable] {
		return nil, nil
	}
	lists := map[string]*propertyList{}
	stmt := squirrel.Select("path", "key", "subkey", "value").From(plistTable).Where(squirrel.Eq{"path": paths}).Where(squirrel.Eq{"key": listKeys}).Limit(maxListRows)
	err := c.ask(ctx, stmt, func(r *Row) error {
		l := lists[r.Get("path")]
		if l == nil {
			l = &propertyList{values: map[string][]listValue{}}
			lists[r.Get("path")] = l
		}
		if key := r.Get("key"); len(l.values[key]) < maxValues {
			l.values[key] = append(l.values[key], listValue{r.Get("subkey"), r.Get("value")})
		}
		return nil
	})
	return lists, err
}

// learn reads what changed at once.
func (b *darwinBooks) learn(ctx context.Context, c *comparison) error {
	var units []string
	for _, d := range c.changes {
		if d.is != nil && !managed.Sealed(d.is["path"]) {
			units = append(units, d.is["path"])
		}
	}
	lists, err := b.read(ctx, c, units)
	if err != nil {
		return err
	}
	for p, l := range lists {
		b.lists[p] = l // its file's times are not known yet: it is read once more
	}
	var programs []string
	for _, d := range c.changes {
		if d.is != nil {
			j := b.job(d.is)
			program, _, _ := j.Command()
			programs = append(programs, program)
		}
	}
	return b.files.learn(ctx, c, slices.DeleteFunc(programs, elsewhere))
}

// elsewhere reports whether a path is none of a file of this host's own disk.
func elsewhere(p string) bool {
	return !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "/Volumes/") || strings.HasPrefix(p, "/net/") || strings.HasPrefix(p, "/Network/")
}

// job is the job that a row tells of, with what its property list tells more.
func (b *darwinBooks) job(row map[string]string) managed.Job {
	j := managed.Job{
		Path: row["path"], Label: row["label"], Program: row["program"], Line: row["program_arguments"], Account: row["username"],
		RunAtLoad: yes(row["run_at_load"]), KeepAlive: yes(row["keep_alive"]), Disabled: yes(row["disabled"]),
	}
	for _, s := range []struct{ column, name string }{{"start_interval", "StartInterval"}, {"watch_paths", "WatchPaths"}, {"queue_directories", "QueueDirectories"}} {
		if v := row[s.column]; v != "" {
			j.Starts = append(j.Starts, s.name+"="+bounded(v, maxValue))
		}
	}
	if yes(row["start_on_mount"]) {
		j.Starts = append(j.Starts, "StartOnMount")
	}
	l := b.lists[j.Path]
	// The list is of another moment than the row: it may tell of another command.
	if args := l.arguments(); strings.Join(args, " ") == j.Line {
		j.Arguments = args
	}
	if l == nil {
		return j
	}
	for _, v := range l.values["KeepAlive"] {
		j.KeepAlive = j.KeepAlive || v.below != "" // on conditions
	}
	for _, key := range []string{"StartCalendarInterval", "LaunchEvents"} {
		if len(l.values[key]) > 0 {
			j.Starts = append(j.Starts, key)
		}
	}
	for _, v := range l.values["Sockets"] {
		name, what, _ := strings.Cut(v.below, "/")
		if i := strings.LastIndexByte(what, '/'); i >= 0 {
			what = what[i+1:]
		}
		if what == "SockServiceName" || what == "SockPathName" {
			j.Sockets = append(j.Sockets, name+"="+v.value)
		}
	}
	for _, v := range l.values["EnvironmentVariables"] {
		if strings.HasPrefix(v.below, "DYLD_") {
			j.Preload = append(j.Preload, v.below+"="+v.value)
		}
	}
	return j
}

func (b *darwinBooks) services(ctx context.Context, c *comparison, rows []map[string]string) []inventory.Service {
	overrides, asked := b.overrides(ctx, c)
	if asked == nil {
		asked = b.reread(ctx, c, rows)
	}
	jobs := make([]managed.Job, len(rows))
	var programs, outside []string
	shared := map[string]int{}
	for i, row := range rows {
		jobs[i] = b.job(row)
		if p, _, _ := jobs[i].Command(); !elsewhere(p) {
			programs = append(programs, p)
			shared[p]++
			if !managed.Sealed(p) {
				outside = append(outside, p)
			}
		}
	}
	pids := map[string][]int64{}
	steps(
		func() error { return asked },
		func() error { return b.files.stat(ctx, c, programs, false) },
		func() error { return b.files.verify(ctx, c, outside) },
		func() error { return b.files.hash(ctx, c, outside) },
		func() error { return b.running(ctx, c, shared, pids) },
	)
	units := make([]string, len(rows))
	for i := range jobs {
		j := &jobs[i]
		units[i] = j.Path
		p, _, _ := j.Command()
		j.PIDs = pids[p]
		slices.Sort(j.PIDs)
		of := systemOverrides
		if f := b.files.look(j.Path); j.User() != "" {
			if !f.Stated {
				continue // whose it is is not known
			}
			of = fmt.Sprintf("disabled.%d.plist", f.UID)
		}
		if off, ok := overrides[of+"/"+j.Label]; ok {
			j.Override = off
		}
	}
	b.files.retain(append(units, programs...))
	return managed.DarwinServices(jobs, b.files.look)
}

// running adds the processes of programs: launchd is the parent of what it starts.
// One that several jobs run may be any of theirs.
func (b *darwinBooks) running(ctx context.Context, c *comparison, jobs map[string]int, pids map[string][]int64) error {
	if !c.caps.Tables["processes"] {
		return nil
	}
	return c.ask(ctx, squirrel.Select("pid", "path").From("processes").Where(squirrel.Eq{"parent": 1}).Limit(maxRows), func(r *Row) error {
		if p := r.Get("path"); jobs[p] == 1 {
			pids[p] = append(pids[p], number(r.Get("pid")))
		}
		return nil
	})
}

// reread reads the property lists that are new or were changed, but for those of
// macOS itself.
func (b *darwinBooks) reread(ctx context.Context, c *comparison, rows []map[string]string) error {
	var units []string
	for _, row := range rows {
		if p := row["path"]; !managed.Sealed(p) && len(p) <= maxFilePath {
			units = append(units, p)
		}
	}
	if err := b.files.stat(ctx, c, units, true); err != nil {
		return err
	}
	var due []string
	for _, p := range units {
		f, l := b.files.known[p], b.lists[p]
		if f != nil && f.OnDisk == evidence.Yes && len(due) < maxLists && (l == nil || l.changed != f.Changed || l.size != f.size) {
			due = append(due, p)
		}
	}
	lists, err := b.read(ctx, c, due)
	if err != nil {
		return err
	}
	for _, p := range due {
		l := lists[p]
		if l == nil {
			l = &propertyList{}
		}
		l.changed, l.size = b.files.known[p].Changed, b.files.known[p].size
		b.lists[p] = l
	}
	there := make(map[string]bool, len(units))
	for _, p := range units {
		there[p] = true
	}
	maps.DeleteFunc(b.lists, func(p string, _ *propertyList) bool { return !there[p] })
	return nil
}

// overrides are the jobs that were turned off (Yes) or on (No), by the name of the
// file that says so, a slash and their label.
func (b *darwinBooks) overrides(ctx context.Context, c *comparison) (map[string]evidence.Tristate, error) {
	out := map[string]evidence.Tristate{}
	if !c.caps.Tables[plistTable] {
		return out, nil
	}
	err := c.ask(ctx, squirrel.Select("path", "key", "value").From(plistTable).Where(squirrel.Like{"path": overridePlists}).Limit(maxListRows), func(r *Row) error {
		p := r.Get("path")
		off := evidence.No
		if yes(r.Get("value")) {
			off = evidence.Yes
		}
		out[p[strings.LastIndexByte(p, '/')+1:]+"/"+r.Get("key")] = off
		return nil
	})
	return out, err
}
