package core

import (
	"context"
	"strings"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/service/managed"
)

const (
	driversTable  = "drivers"
	registryTable = "registry"

	// keysLife is how long what the keys of services tell holds, driversLife the same
	// of the list of drivers, which takes osquery a second.
	keysLife    = 10 * time.Minute
	driversLife = 6 * time.Hour
)

// windowsBooks are the books of services of Windows.
type windowsBooks struct {
	books
	keys    aged[map[string]int64]
	modules aged[map[string]string]
	drivers aged[map[string]evidence.Tristate]
}

// aged is something that is asked again when it is old.
type aged[T any] struct {
	value T
	at    time.Duration
	known bool
}

// old reports whether it has to be asked again, and takes the answer as of now: also
// when there is none, it is not asked for sooner.
func (a *aged[T]) old(now, life time.Duration) bool {
	if a.known && now >= a.at && now-a.at < life {
		return false
	}
	a.at, a.known = now, true
	return true
}

func windowsEntry(row map[string]string) managed.Entry {
	return managed.Entry{
		Name: row["name"], DisplayName: row["display_name"], Type: row["service_type"], Start: row["start_type"], Image: row["path"],
		Library: row["module_path"], Account: row["user_account"], State: row["status"], PID: number(row["pid"]), Key: servicesKey + `\` + row["name"],
	}
}

func (w *windowsBooks) services(ctx context.Context, c *comparison, rows []map[string]string) []inventory.Service {
	entries := make([]managed.Entry, len(rows))
	for i, row := range rows {
		entries[i] = windowsEntry(row)
	}
	asked := w.ask(ctx, c, entries)
	var outside, inside []string
	for i := range entries {
		e := &entries[i]
		id := strings.ToLower(e.Name)
		e.Written, e.DriverSigned = w.keys.value[id], w.drivers.value[id]
		if e.Library == "" {
			e.Library = w.modules.value[id]
		}
		for _, p := range []string{e.Program(), e.Module()} {
			if p == "" {
				continue
			}
			if microsofts(p) {
				inside = append(inside, p)
			} else {
				outside = append(outside, p)
			}
		}
	}
	all := append(outside[:len(outside):len(outside)], inside...)
	w.files.retain(all)
	steps(
		func() error { return asked },
		func() error { return w.files.stat(ctx, c, all, false) },
		func() error { return w.files.verify(ctx, c, all) },
		// Windows' own files are many and as signed; one among them that isn't is of interest.
		func() error { return w.files.hash(ctx, c, append(outside, w.files.unsigned(inside)...)) },
	)
	return managed.WindowsServices(entries, w.files.look)
}

// microsofts reports whether a file lies where Windows keeps its own.
func microsofts(path string) bool {
	return len(path) > 2 && strings.HasPrefix(strings.ToLower(path[2:]), `\windows\`)
}

// ask asks for what the list of services leaves out.
func (w *windowsBooks) ask(ctx context.Context, c *comparison, entries []managed.Entry) error {
	if c.caps.Tables[registryTable] && (w.keys.old(c.at, keysLife) || len(c.changes) > 0) {
		times := map[string]int64{}
		stmt := squirrel.Select("name", "mtime").From(registryTable).Where(squirrel.Eq{"key": servicesKey, "type": "subkey"}).Limit(maxRows)
		err := c.ask(ctx, stmt, func(r *Row) error {
			times[strings.ToLower(r.Get("name"))] = number(r.Get("mtime"))
			return nil
		})
		if err != nil {
			return err
		}
		w.keys.value = times
	}
	if c.caps.Tables[registryTable] && w.modules.old(c.at, keysLife) {
		// osquery reads the library below Parameters; Windows also takes it from the
		// service's own key.
		var keys []string
		for i := range entries {
			e := &entries[i]
			img := service.NormalizeImagePath(e.Image, e.Kind())
			if e.Library == "" && img.Base == "svchost" && len(keys) < maxNamed {
				keys = append(keys, e.Key)
			}
		}
		modules := map[string]string{}
		if len(keys) > 0 {
			stmt := squirrel.Select("key", "data").From(registryTable).Where(squirrel.Eq{"key": keys}).Where(squirrel.Eq{"name": "ServiceDll"}).Limit(maxNamed)
			err := c.ask(ctx, stmt, func(r *Row) error {
				key := r.Get("key")
				modules[strings.ToLower(key[strings.LastIndexByte(key, '\\')+1:])] = r.Get("data")
				return nil
			})
			if err != nil {
				return err
			}
		}
		w.modules.value = modules
	}
	if c.caps.Tables[driversTable] && w.drivers.old(c.at, driversLife) {
		drivers := map[string]evidence.Tristate{}
		err := c.ask(ctx, squirrel.Select("service", "signed").From(driversTable).Where(squirrel.NotEq{"service": ""}).Limit(maxKept), func(r *Row) error {
			id := strings.ToLower(r.Get("service"))
			switch signed := r.Get("signed"); {
			case signed == "0":
				drivers[id] = evidence.No // of several devices' drivers the worst counts
			case signed == "1" && drivers[id] == evidence.Unknown:
				drivers[id] = evidence.Yes
			}
			return nil
		})
		if err != nil {
			return err
		}
		w.drivers.value = drivers
	}
	return nil
}
