//go:build linux

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// stateFaults are those of the state directory and its database.
func stateFaults() []fault {
	// refused starts on a state that must not be used: what is found is kept for the
	// run only, and said so.
	refused := func(prepare func(f *trial, dir string) (state string), after func(f *trial, dir string)) func(*trial) {
		return func(f *trial) {
			dir := f.TempDir()
			core := f.auditing()
			r := f.start(started{core: core, state: prepare(f, dir)})
			f.registered(core)
			f.works(core, 1)
			if h := f.health(core, "store"); h["state"] != "degraded" {
				f.Errorf("health of the store is %v", h)
			}
			if !strings.Contains(r.said.String(), "cannot be used") {
				f.Error("it does not say so")
			}
			if after != nil {
				after(f, dir)
			}
		}
	}
	// damaged runs once, damages the state, runs again: it works, and what was is set
	// aside.
	damaged := func(damage func(f *trial, db string), kept bool) func(*trial) {
		return func(f *trial) {
			core, state := f.auditing(), filepath.Join(f.TempDir(), "state")
			r := f.start(started{core: core, state: state})
			f.registered(core)
			for i := range int64(50) {
				core.AddExecs(f, listing(i+1, fmt.Sprintf("systemctl list-dependencies before%d.service", i)))
			}
			f.found(core, 20*time.Second, "systemctl list-dependencies before49.service")
			r.signal(syscall.SIGTERM)
			if status := r.end(5 * time.Second); status != 0 {
				f.Errorf("status %d", status)
			}
			damage(f, filepath.Join(state, "rollcall.db"))
			f.start(started{core: core, state: state})
			f.registered(core)
			f.works(core, 100)
			if !kept {
				return
			}
			aside, err := filepath.Glob(filepath.Join(state, "rollcall.db.corrupt-*"))
			f.must(err)
			if len(aside) == 0 {
				f.Error("nothing was set aside")
			}
			if h := f.health(core, "store"); h["state"] != "degraded" {
				f.Errorf("health of the store is %v", h)
			}
			f.note("events since then: kept")
		}
	}
	return []fault{
		{name: "state others can write", tried: "mode 0777", holds: "refused, said so; nothing is put there", run: refused(func(f *trial, dir string) string {
			f.must(os.Chmod(dir, 0o777))
			return dir
		}, func(f *trial, dir string) {
			if _, err := os.Lstat(filepath.Join(dir, "rollcall.db")); err == nil {
				f.Error("a database was made there")
			}
		})},
		{name: "somebody's state", tried: "it belongs to uid 4321", holds: "refused, said so", root: true, run: refused(func(f *trial, dir string) string {
			f.must(os.Chown(dir, 4321, 4321))
			return dir
		}, nil)},
		{name: "linked state", tried: "the directory is a link", holds: "refused; nothing is put behind it", run: refused(func(f *trial, dir string) string {
			f.must(os.Mkdir(filepath.Join(dir, "real"), 0o700))
			f.must(os.Symlink(filepath.Join(dir, "real"), filepath.Join(dir, "link")))
			return filepath.Join(dir, "link")
		}, func(f *trial, dir string) {
			if _, err := os.Lstat(filepath.Join(dir, "real", "rollcall.db")); err == nil {
				f.Error("the link was followed")
			}
		})},
		{name: "linked database", tried: "the database is a link to a victim", holds: "refused; the victim is untouched", run: refused(func(f *trial, dir string) string {
			f.must(os.Chmod(dir, 0o700))
			f.write(filepath.Join(dir, "victim"), "precious")
			f.must(os.Symlink(filepath.Join(dir, "victim"), filepath.Join(dir, "rollcall.db")))
			return dir
		}, func(f *trial, dir string) {
			if data, err := os.ReadFile(filepath.Join(dir, "victim")); err != nil || string(data) != "precious" {
				f.Errorf("the victim holds %q, %v", data, err)
			}
		})},
		{name: "linked lock", tried: "the lock file is a link to a victim", holds: "refused; the victim is untouched", run: refused(func(f *trial, dir string) string {
			f.must(os.Chmod(dir, 0o700))
			f.write(filepath.Join(dir, "victim"), "precious")
			f.must(os.Symlink(filepath.Join(dir, "victim"), filepath.Join(dir, "rollcall.lock")))
			return dir
		}, nil)},
		{name: "newer database", tried: "written by version 999", holds: "refused with what to do; the file is as it was", run: func(f *trial) {
			dir := f.TempDir()
			f.must(os.Chmod(dir, 0o700))
			path := filepath.Join(dir, "rollcall.db")
			conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenWAL)
			f.must(err)
			f.must(sqlitex.ExecuteScript(conn, `PRAGMA user_version = 999; CREATE TABLE future (x); INSERT INTO future VALUES ('kept');`, nil))
			f.must(conn.Close())
			before, err := os.ReadFile(path)
			f.must(err)
			core := f.auditing()
			r := f.start(started{core: core, state: dir})
			f.registered(core)
			f.works(core, 1)
			if !strings.Contains(r.said.String(), "newer") {
				f.Error("it does not say why")
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				f.Error("the file was changed")
			}
		}},
		{name: "database of zeros", tried: "every byte zero", holds: "set aside, a new one begun, said so", run: damaged(func(f *trial, db string) {
			info, err := os.Stat(db)
			f.must(err)
			f.must(os.WriteFile(db, make([]byte, info.Size()), 0o600))
		}, true)},
		{name: "empty database", tried: "cut to no byte", holds: "a new one begun", run: damaged(func(f *trial, db string) { f.must(os.Truncate(db, 0)) }, false)},
		{name: "truncated database", tried: "cut in the middle", holds: "set aside, a new one begun, said so", run: damaged(func(f *trial, db string) {
			info, err := os.Stat(db)
			f.must(err)
			f.must(os.Truncate(db, info.Size()/2+13))
		}, true)},
		{name: "noise in the database", tried: "every page but the first is noise", holds: "set aside, a new one begun, said so", run: damaged(func(f *trial, db string) {
			data, err := os.ReadFile(db)
			f.must(err)
			for i := 4096; i < len(data); i++ {
				data[i] = byte(i*31 + i>>7)
			}
			f.must(os.WriteFile(db, data, 0o600))
		}, true)},
		{name: "another kind of file", tried: "a text in place of the database", holds: "set aside, a new one begun, said so", run: damaged(func(f *trial, db string) {
			f.must(os.WriteFile(db, []byte(strings.Repeat("not a database\n", 1000)), 0o600))
		}, true)},
		{name: "damaged while it runs", tried: "noise over the open database", holds: "it goes on, and events of now have their rows", run: func(f *trial) {
			core, state := f.auditing(), filepath.Join(f.TempDir(), "state")
			r := f.start(started{core: core, state: state})
			f.registered(core)
			f.works(core, 1)
			db, err := os.OpenFile(filepath.Join(state, "rollcall.db"), os.O_WRONLY, 0)
			f.must(err)
			noise := []byte(strings.Repeat("noise", 100_000))
			_, err = db.WriteAt(noise, 0)
			f.must(err)
			f.must(db.Close())
			f.must(os.Truncate(filepath.Join(state, "rollcall.db-wal"), 0))
			core.AddExecs(f, listing(2, "systemctl list-dependencies after-damage.service"))
			f.found(core, 40*time.Second, "systemctl list-dependencies after-damage.service")
			r.alive()
		}},
		{name: "locked database", tried: "another program holds an exclusive lock for 8 s", holds: "it waits; no event is lost", run: func(f *trial) {
			core, state := f.auditing(), filepath.Join(f.TempDir(), "state")
			r := f.start(started{core: core, state: state})
			f.registered(core)
			f.works(core, 1)
			conn, err := sqlite.OpenConn(filepath.Join(state, "rollcall.db"), sqlite.OpenReadWrite)
			f.must(err)
			f.must(sqlitex.ExecuteTransient(conn, "BEGIN IMMEDIATE", nil))
			core.AddExecs(f, listing(2, "systemctl list-dependencies locked.service"))
			time.Sleep(8 * time.Second)
			r.alive()
			f.must(sqlitex.ExecuteTransient(conn, "ROLLBACK", nil))
			f.must(conn.Close())
			f.found(core, 30*time.Second, "systemctl list-dependencies locked.service")
		}},
		{name: "full disk", tried: "the state's file system is full for a while", holds: "it goes on, says so, and stores the events when there is room", root: true, run: func(f *trial) {
			core, dir := f.auditing(), f.tmpfs("3m")
			r := f.start(started{core: core, state: dir})
			f.registered(core)
			f.works(core, 1)
			fill, err := os.Create(filepath.Join(dir, "filler"))
			f.must(err)
			block := make([]byte, 4096)
			for err == nil {
				_, err = fill.Write(block)
			}
			_ = fill.Close()
			for i := range int64(100) {
				core.AddExecs(f, listing(10+i, fmt.Sprintf("systemctl list-dependencies full%d-%s.service", i, strings.Repeat("x", 4000))))
			}
			f.eventually(30*time.Second, "it says so", func() bool { return strings.Contains(r.said.String(), "full") })
			r.alive()
			f.must(os.Remove(filepath.Join(dir, "filler")))
			core.AddExecs(f, listing(500, "systemctl list-dependencies room.service"))
			f.found(core, 40*time.Second, "systemctl list-dependencies room.service")
			n := 0
			for _, row := range f.audited(core) {
				if strings.Contains(row["cmdline"], "full") {
					n++
				}
			}
			f.note("%d of 100 events of that time", n)
			if n != 100 {
				f.Errorf("%d of 100 events of that time", n)
			}
		}},
		{name: "read-only state", tried: "the file system is read-only from the start", holds: "refused, said so; it works for the run", root: true, run: refused(func(f *trial, dir string) string {
			mount := f.tmpfs("1m")
			if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				f.Skipf("NOT TESTED: cannot remount: %v", err)
			}
			return mount
		}, nil)},
		{name: "state removed while it runs", tried: "rm -rf of the state directory", holds: "it goes on or ends with an error, and a new start works", run: func(f *trial) {
			core, state := f.auditing(), filepath.Join(f.TempDir(), "state")
			r := f.start(started{core: core, state: state})
			f.registered(core)
			f.works(core, 1)
			f.must(os.RemoveAll(state))
			core.AddExecs(f, listing(2, "systemctl list-dependencies removed.service"))
			time.Sleep(4 * time.Second)
			r.kill(core)
			f.start(started{core: core, state: state})
			f.registered(core)
			f.found(core, 30*time.Second, "systemctl list-dependencies removed.service")
		}},
		{name: "no place at all", tried: "neither state nor temporary directory can be written", holds: "it ends with an error that says why", run: func(f *trial) {
			core, dir := f.auditing(), f.TempDir()
			f.write(filepath.Join(dir, "file"), "x")
			r := f.start(started{core: core, state: filepath.Join(dir, "file"), env: []string{"TMPDIR=/nonexistent"}})
			if status := r.end(15 * time.Second); status == 0 || !strings.Contains(r.said.String(), "state") {
				f.Errorf("status %d, said %s", status, r.said)
			}
		}},
		{name: "rules vanish", tried: "files of the rules' directory come and go while it starts, five times", holds: "it starts", run: func(f *trial) {
			dir := f.TempDir()
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() { // ends with the trial
				defer close(done)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					path := filepath.Join(dir, fmt.Sprintf("r%d.yml", i%50))
					_ = os.WriteFile(path, []byte(loud[:i%len(loud)]), 0o600)
					_ = os.Remove(filepath.Join(dir, fmt.Sprintf("r%d.yml", (i+25)%50)))
				}
			}()
			defer func() { close(stop); <-done }()
			for i := range 5 {
				core := f.auditing()
				r := f.start(started{core: core, config: plain + "rules_dir: " + dir + "\n"})
				f.registered(core)
				if i == 4 {
					f.works(core, 1)
				}
				r.signal(syscall.SIGTERM)
				if status := r.end(5 * time.Second); status != 0 {
					f.Errorf("status %d", status)
				}
			}
		}},
	}
}
