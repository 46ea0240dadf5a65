package core

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/managed"
)

const (
	servicesTable = "services"
	launchdTable  = "launchd"
	patchesTable  = "patches"

	servicesKey = `HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services`

	// maxNamed bounds the names that one question is about.
	maxNamed = 500
	// timeSlack is how many seconds the times of files and keys may lie outside of
	// what two looks span: clocks are read one after the other.
	timeSlack = 5
)

// serviceValues are what makes a service what it is.
var serviceValues = []string{"display_name", "service_type", "start_type", "path", "module_path", "user_account"}

// serviceSnapshot finds services of Windows that were installed, changed or removed,
// also by writing to the registry, which no event tells of.
func serviceSnapshot() snapshot {
	w := &windowsBooks{}
	w.all = w.services
	return snapshot{
		table:   servicesTable,
		columns: append([]string{"name", "status", "pid"}, serviceValues...),
		key:     []string{"name"},
		fold:    true,
		// With the name as it is written, for when the service is gone.
		values: append([]string{"name"}, serviceValues...),
		every:  time.Minute,
		books:  &w.books,
		changes: func(ctx context.Context, c *comparison, b *evidence.Batch) error {
			times, err := c.keyTimes(ctx)
			if err != nil {
				return err
			}
			var paths []string
			for _, d := range c.changes {
				if d.is != nil {
					e := windowsEntry(d.is)
					paths = append(paths, e.Program(), e.Module())
				}
			}
			if err := w.files.learn(ctx, c, paths); err != nil {
				return err
			}
			for _, d := range c.changes {
				in := windowsInstall(d)
				if d.is != nil {
					e := windowsEntry(d.is)
					w.files.tell(&in, e.Program(), e.Module())
				}
				in.Time, in.TimeBasis = c.now, evidence.BasisFirstSeen
				if t := times[strings.ToLower(in.Name)]; d.is != nil && c.between(t) {
					in.Time, in.TimeBasis = t, evidence.BasisKeyTime
				}
				b.Installs = append(b.Installs, in)
			}
			return nil
		},
	}
}

// between reports whether a time lies between the two looks. Another one was set by
// somebody, or is that of something older.
func (c *comparison) between(t int64) bool {
	return t > 0 && t >= c.since-timeSlack && t <= c.now+timeSlack
}

// keyTimes are the times when the registry keys of services were written last, by
// name in small letters.
func (c *comparison) keyTimes(ctx context.Context) (map[string]int64, error) {
	var names []string
	for _, d := range c.changes {
		if d.is != nil && len(names) < maxNamed {
			names = append(names, d.is["name"])
		}
	}
	times := map[string]int64{}
	if len(names) == 0 {
		return times, nil
	}
	// The key's own row tells of all below it at once.
	stmt := squirrel.Select("name", "mtime").From("registry").
		Where(squirrel.Eq{"key": servicesKey}).Where(squirrel.Eq{"type": "subkey"}).Where(squirrel.Eq{"name": names}).Limit(maxNamed)
	err := c.ask(ctx, stmt, func(r *Row) error {
		times[strings.ToLower(r.Get("name"))], _ = r.Int("mtime")
		return nil
	})
	return times, err
}

func windowsInstall(d difference) evidence.Install {
	row := d.is
	if row == nil {
		row = d.was
	}
	in := evidence.Install{
		Platform: evidence.Windows, Source: servicesTable, Name: row["name"], DisplayName: row["display_name"],
		ImagePath: row["path"], ServiceDLL: row["module_path"], ServiceType: row["service_type"], StartType: row["start_type"], Account: row["user_account"],
	}
	e := windowsEntry(row)
	in.Kind = string(e.Kind())
	in.Action, in.Changes = action(d, serviceValues...)
	if len(in.Changes) == 1 && d.was["start_type"] != d.is["start_type"] {
		const disabled = "DISABLED"
		switch disabled {
		case d.is["start_type"]:
			in.Action = evidence.Disabled
		case d.was["start_type"]:
			in.Action = evidence.Enabled
		}
	}
	return in
}

// action is what a difference is, and what changed of the named values.
func action(d difference, names ...string) (string, []string) {
	switch {
	case d.was == nil:
		return evidence.Created, nil
	case d.is == nil:
		return evidence.Removed, nil
	}
	var changes []string
	for _, name := range names {
		is := bounded(d.is[name], maxValue)
		if was := d.was[name]; !sameValue(was, is) {
			changes = append(changes, name+": "+was+" -> "+is)
		}
	}
	return evidence.Modified, changes
}

// launchdValues are what makes a job what it is.
var launchdValues = []string{"label", "program", "program_arguments", "run_at_load", "keep_alive", "disabled", "username"}

// launchdSnapshot finds daemons and agents of macOS that were installed, changed or
// removed.
func launchdSnapshot() snapshot {
	d := &darwinBooks{lists: map[string]*propertyList{}}
	d.all, d.files.darwin = d.services, true
	return snapshot{
		table:   launchdTable,
		columns: slices.Concat([]string{"path", "name"}, launchdValues, launchdStarts),
		// Users fill their own folders: that must not push the system's out.
		order:  []string{"path LIKE '/Users/%'", "path"},
		key:    []string{"path"},
		values: launchdValues,
		every:  5 * time.Minute,
		more:   d.hidden,
		books:  &d.books,
		changes: func(ctx context.Context, c *comparison, b *evidence.Batch) error {
			files, err := c.fileTimes(ctx)
			if err != nil {
				return err
			}
			if err := d.learn(ctx, c); err != nil {
				return err
			}
			for _, diff := range c.changes {
				in := d.install(diff)
				in.Time, in.TimeBasis = c.now, evidence.BasisFirstSeen
				switch t := files[in.UnitPath]; {
				case in.Action == evidence.Created && c.between(t.birth):
					in.Time, in.TimeBasis = t.birth, evidence.BasisBirth
				case diff.is != nil && c.between(t.change):
					in.Time, in.TimeBasis = t.change, evidence.BasisChange
				}
				b.Installs = append(b.Installs, in)
			}
			return nil
		},
	}
}

type fileTimes struct{ birth, change int64 }

// fileTimes are the times of the property lists that appeared or changed.
func (c *comparison) fileTimes(ctx context.Context) (map[string]fileTimes, error) {
	var paths []string
	for _, d := range c.changes {
		if d.is != nil && len(paths) < maxNamed {
			paths = append(paths, d.is["path"])
		}
	}
	times := map[string]fileTimes{}
	if len(paths) == 0 {
		return times, nil
	}
	err := c.ask(ctx, squirrel.Select("path", "btime", "ctime").From("file").Where(squirrel.Eq{"path": paths}).Limit(maxNamed), func(r *Row) error {
		times[r.Get("path")] = fileTimes{birth: number(r.Get("btime")), change: number(r.Get("ctime"))}
		return nil
	})
	return times, err
}

func (b *darwinBooks) install(d difference) evidence.Install {
	row := d.is
	if row == nil {
		row = d.was
	}
	j := b.job(row)
	in := evidence.Install{
		Platform: evidence.Darwin, Kind: string(service.Launchd), Source: launchdTable, Name: j.Name(), UnitPath: j.Path,
		ImagePath: j.Image(), Path: row["program"], Account: row["username"],
	}
	if d.is != nil {
		program, _, argv0 := j.Command()
		b.files.tell(&in, program, "")
		if j.Guessed() && in.OnDisk == evidence.No {
			in.OnDisk = evidence.Unknown
		}
		if managed.Sealed(argv0) && !managed.Sealed(program) {
			in.Signs = append(in.Signs, evidence.Sign{Factor: "masquerade", Evidence: fmt.Sprintf("%q calls itself %q", program, argv0), Scale: 0.6})
		}
		for _, p := range j.Preload {
			in.Signs = append(in.Signs, evidence.Sign{Factor: "preload", Evidence: fmt.Sprintf("its program loads other code: %q", p)})
		}
	}
	if yes(row["run_at_load"]) {
		in.StartType = "run_at_load"
	}
	in.Action, in.Changes = action(d, launchdValues...)
	if len(in.Changes) == 1 && yes(d.was["disabled"]) != yes(d.is["disabled"]) {
		in.Action = evidence.Enabled
		if yes(d.is["disabled"]) {
			in.Action = evidence.Disabled
		}
	}
	return in
}

func yes(s string) bool { return s == "1" || strings.EqualFold(s, "true") }

// patchSnapshot finds updates of Windows that were installed.
func patchSnapshot() snapshot {
	return snapshot{
		table:   patchesTable,
		columns: []string{"hotfix_id", "description", "installed_by", "installed_on"},
		key:     []string{"hotfix_id"},
		every:   time.Hour, // asking WMI is slow
		changes: func(_ context.Context, c *comparison, b *evidence.Batch) error {
			for _, d := range c.changes {
				row, what := d.is, "installed"
				if row == nil {
					row, what = d.was, "removed"
				}
				change := evidence.Change{Time: c.now, Platform: evidence.Windows, Kind: evidence.ChangePatch, Source: patchesTable,
					Subject: row["hotfix_id"], Detail: what, Username: row["installed_by"]}
				if on := row["installed_on"]; on != "" {
					change.Detail += " on " + on
				}
				if desc := row["description"]; desc != "" {
					change.Detail += ": " + desc
				}
				b.Changes = append(b.Changes, change)
			}
			return nil
		},
	}
}
