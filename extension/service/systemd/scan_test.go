package systemd

import (
	"context"
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
)

// plant makes a tree of files: "-> x" is a link to x, "x" in a name that ends in
// "!" an executable.
func plant(t testing.TB, root string, tree map[string]string) {
	t.Helper()
	for name, text := range tree {
		mode := os.FileMode(0o644)
		if cut, ok := strings.CutSuffix(name, "!"); ok {
			name, mode = cut, 0o755
		}
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, p)
		} else {
			err = os.WriteFile(p, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		if mode == 0o755 { // whatever the umask
			if err := os.Chmod(p, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func needLinks(t testing.TB) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: units of a Linux host, on Windows")
	}
}

func options() Options {
	o := Options{Hostname: "web1.example.org"}
	if uid := os.Getuid(); uid > 0 {
		o.Trust = []uint32{uint32(uid)}
	}
	return o
}

func scanned(t testing.TB, root string) *Result {
	t.Helper()
	r, err := Scan(context.Background(), root, options())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func find(t testing.TB, r *Result, name string) *Unit {
	t.Helper()
	for i := range r.Units {
		if r.Units[i].Name == name {
			return &r.Units[i]
		}
	}
	t.Fatalf("no unit %s among %d; notes %v", name, len(r.Units), r.Notes)
	return nil
}

func lines(u *Unit) []string {
	var all []string
	for _, e := range u.Exec {
		all = append(all, strings.TrimSpace(e.Directive+" "+e.Prefixes+" "+strings.Join(append([]string{e.Path}, e.Args...), " ")))
	}
	return all
}

func service(exec string) string {
	return "[Unit]\nDescription=test\n[Service]\nExecStart=" + exec + "\n[Install]\nWantedBy=multi-user.target\n"
}

func TestTheFirstDirectoryWins(t *testing.T) {
	needLinks(t)
	var order []string
	for _, d := range systemDirs() {
		if !strings.HasPrefix(d.path, "/lib/") {
			order = append(order, d.path)
		}
	}
	// systemd.unit(5), table 1.
	want := []string{
		"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early", "/etc/systemd/system",
		"/etc/systemd/system.attached", "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator", "/usr/local/lib/systemd/system",
		"/usr/lib/systemd/system", "/run/systemd/generator.late",
	}
	if d := cmp.Diff(want, order); d != "" {
		t.Fatalf("-want +got:\n%s", d)
	}
	for i, dir := range want {
		root := t.TempDir()
		tree := map[string]string{}
		for _, lower := range want[i:] {
			tree[lower+"/x.service"] = service("/bin/true " + lower)
		}
		plant(t, root, tree)
		u := find(t, scanned(t, root), "x.service")
		if u.Path != dir+"/x.service" || u.Exec[0].Args[0] != dir {
			t.Errorf("%s: found %s", dir, u.Path)
		}
	}
}

func TestDropIns(t *testing.T) {
	needLinks(t)
	root := t.TempDir()
	plant(t, root, map[string]string{
		"usr/lib/systemd/system/foo-bar.service":                  service("/bin/main"),
		"usr/lib/systemd/system/foo-bar.service.d/20-vendor.conf": "[Service]\nExecStartPre=/bin/vendor20\n",
		"etc/systemd/system/foo-bar.service.d/20-vendor.conf":     "[Service]\nExecStartPre=/bin/etc20\n", // hides the vendor's
		"usr/lib/systemd/system/foo-bar.service.d/30.conf":        "[Service]\nExecStartPre=/bin/vendor30\n",
		"etc/systemd/system/foo-bar.service.d/30.conf":            "-> /dev/null", // masks it
		"etc/systemd/system/foo-bar.service.d/40.conf":            "[Service]\nExecStart=\nExecStart=-/bin/evil %n\nUser=nobody\n",
		"etc/systemd/system/foo-.service.d/10-prefix.conf":        "[Service]\nExecStartPre=/bin/prefix\n",
		"etc/systemd/system/service.d/05-all.conf":                "[Service]\nExecStartPre=/bin/all\n",
		"etc/systemd/system/foo-bar.service.d/.hidden.conf":       "[Service]\nExecStartPre=/bin/no\n",
		"etc/systemd/system/foo-bar.service.d/50.conf.bak":        "[Service]\nExecStartPre=/bin/no\n",
		"run/systemd/system/foo-bar.service.d/45.conf":            "-> /opt/elsewhere.conf",
		"opt/elsewhere.conf":                                      "[Service]\nExecStartPost=/bin/elsewhere\n",
		"usr/lib/systemd/system/alias.service.d/60.conf":          "[Service]\nExecStop=/bin/by-alias\n",
		"etc/systemd/system/alias.service":                        "-> /usr/lib/systemd/system/foo-bar.service",
	})
	u := find(t, scanned(t, root), "foo-bar.service")
	want := []string{
		"ExecStartPre  /bin/all", "ExecStartPre  /bin/prefix", "ExecStartPre  /bin/etc20", "ExecStart - /bin/evil foo-bar.service",
		"ExecStartPost  /bin/elsewhere", "ExecStop  /bin/by-alias",
	}
	if d := cmp.Diff(want, lines(u)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if u.User != "nobody" || !slices.Equal(u.Aliases, []string{"alias.service"}) || u.State != Enabled {
		t.Errorf("user %q, aliases %v, state %s", u.User, u.Aliases, u.State)
	}
	var evil Exec
	for _, e := range u.Exec {
		if e.Path == "/bin/evil" {
			evil = e
		}
	}
	if evil.From != "/etc/systemd/system/foo-bar.service.d/40.conf" || evil.OnDisk != evidence.No {
		t.Errorf("%+v", evil)
	}
	var drops []string
	for _, d := range u.DropIns {
		drops = append(drops, fmt.Sprint(filepath.Base(d.Path), " ", d.Class, " ", d.Shared))
	}
	if d := cmp.Diff([]string{"05-all.conf etc true", "10-prefix.conf etc true", "20-vendor.conf etc false", "40.conf etc false", "45.conf run false", "60.conf vendor true"}, drops); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestLinks(t *testing.T) {
	needLinks(t)
	root := t.TempDir()
	plant(t, root, map[string]string{
		"usr/lib/systemd/system/a.service":                                service("/bin/a"),
		"etc/systemd/system/masked.service":                               "-> /dev/null",
		"usr/lib/systemd/system/masked.service":                           service("/bin/no"),
		"etc/systemd/system/empty.service":                                "",
		"run/systemd/system/rmasked.service":                              "-> ../../../dev/null",
		"dev/null":                                                        "",
		"etc/systemd/system/linked.service":                               "-> /opt/app/linked.service",
		"opt/app/linked.service":                                          service("/opt/app/run"),
		"opt/app/run!":                                                    "x",
		"etc/systemd/system/b.service":                                    "-> /lib/systemd/system/a.service", // through /lib -> usr/lib
		"lib":                                                             "-> usr/lib",
		"etc/systemd/system/loop1.service":                                "-> loop2.service",
		"etc/systemd/system/loop2.service":                                "-> loop1.service",
		"etc/systemd/system/wrong.service":                                "-> /usr/lib/systemd/system/t.timer",
		"usr/lib/systemd/system/t.timer":                                  "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
		"usr/lib/systemd/system/t.service":                                "[Service]\nExecStart=/bin/t\n",
		"etc/systemd/system/timers.target.wants/t.timer":                  "-> /usr/lib/systemd/system/t.timer",
		"usr/lib/systemd/system/w@.service":                               "[Service]\nExecStart=/bin/w %i %I %p %j\nUser=u-%i\n",
		"etc/systemd/system/multi-user.target.wants/w@x-y.service":        "-> /usr/lib/systemd/system/w@.service",
		"etc/systemd/system/multi-user.target.wants/gone.service":         "-> /tmp/gone.service",
		"usr/lib/systemd/system/sysinit.target.wants/static.service":      "-> ../static.service",
		"usr/lib/systemd/system/static.service":                           "[Service]\nExecStart=/bin/s\n",
		"usr/lib/systemd/system/off.service":                              service("/bin/off"),
		"usr/lib/systemd/system/s.socket":                                 "[Socket]\nListenStream=4444\nAccept=yes\nExecStartPre=/bin/pre\n[Install]\nAlso=off.service\n",
		"usr/lib/systemd/system/s@.service":                               "[Service]\nExecStart=-/bin/cat\n",
		"usr/lib/systemd/system/p.path":                                   "[Path]\nPathExists=/tmp/x\nPathChanged=\nPathModified=/tmp/y\nUnit=off.service\n",
		"run/systemd/transient/run-1.service":                             service("/bin/tr"),
		"run/systemd/generator/gen.service":                               service("/bin/gen"),
		"etc/systemd/system/dead.service":                                 "-> /nowhere/dead.service",
		"etc/systemd/system/self.service":                                 "-> /usr/lib/systemd/system/self.service",
		"usr/lib/systemd/system/self.service":                             service("/bin/self"),
		"etc/systemd/system/multi-user.target.requires/linked.service":    "-> ../linked.service",
		"etc/systemd/system/fail.service":                                 "[Unit]\nOnFailure=off.service x@%n.service\n[Service]\nExecStart=/bin/false\n",
		"usr/lib/systemd/system/root.service":                             "[Service]\nRootDirectory=/srv\nExecStart=/bin/inside\nUser=%u\nExecStop=sh %H %l %h %t/%% %v\n",
		"usr/bin/sh!":                                                     "x",
		"usr/lib/systemd/system/default.target.wants/w@from-usr.service":  "-> ../w@.service",
		"usr/lib/systemd/system/w@only-dropin.service.d/x.conf":           "[Service]\nExecStartPost=/bin/post\n",
		"usr/lib/systemd/system/multi-user.target.upholds/static.service": "-> ../static.service",
	})
	r := scanned(t, root)
	for name, want := range map[string]State{
		"masked.service": Masked, "empty.service": Masked, "rmasked.service": MaskedRuntime, "linked.service": Enabled, "a.service": Enabled,
		"t.timer": Enabled, "t.service": Static, "w@.service": Enabled, "w@x-y.service": Enabled, "static.service": Static, "off.service": Disabled,
		"s.socket": Indirect, "run-1.service": IsTransient, "gen.service": IsGenerated, "dead.service": Linked, "self.service": Disabled,
	} {
		if u := find(t, r, name); u.State != want {
			t.Errorf("%s is %s, want %s", name, u.State, want)
		}
	}
	for name, want := range map[string][]string{
		"masked.service": nil, "linked.service": {"ExecStart  /opt/app/run"}, "w@x-y.service": {"ExecStart  /bin/w x-y x/y w w"},
		"s.socket": {"ExecStartPre  /bin/pre"}, "w@only-dropin.service": {"ExecStart  /bin/w only-dropin only/dropin w w", "ExecStartPost  /bin/post"},
		"w@from-usr.service": {"ExecStart  /bin/w from-usr from/usr w w"},
		"root.service":       {"ExecStart  /bin/inside", "ExecStop  /usr/bin/sh web1.example.org web1 /root /run/% %v"},
	} {
		if d := cmp.Diff(want, lines(find(t, r, name))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if u := find(t, r, "a.service"); !slices.Equal(u.Aliases, []string{"b.service"}) {
		t.Errorf("aliases %v", u.Aliases)
	}
	if u := find(t, r, "linked.service"); u.Real != "/opt/app/linked.service" || u.LinkTarget != "/opt/app/linked.service" || u.Exec[0].OnDisk != evidence.Yes {
		t.Errorf("%+v", u)
	}
	if u := find(t, r, "dead.service"); u.Real != "" || len(u.Problems) != 1 {
		t.Errorf("%+v", u)
	}
	if u := find(t, r, "t.service"); !slices.Equal(u.TriggeredBy, []string{"t.timer"}) {
		t.Errorf("triggered by %v", u.TriggeredBy)
	}
	if u := find(t, r, "s@.service"); !slices.Equal(u.TriggeredBy, []string{"s.socket"}) || !u.Template {
		t.Errorf("triggered by %v", u.TriggeredBy)
	}
	if u := find(t, r, "p.path"); !slices.Equal(u.Waits, []string{"PathModified=/tmp/y"}) {
		t.Errorf("waits %v", u.Waits)
	}
	if u := find(t, r, "off.service"); !slices.Equal(u.TriggeredBy, []string{"fail.service", "p.path"}) {
		t.Errorf("triggered by %v", u.TriggeredBy)
	}
	if u := find(t, r, "root.service"); u.Exec[0].OnDisk != evidence.Unknown || u.User != "root" {
		t.Errorf("%+v", u.Exec[0])
	}
	notes := fmt.Sprint(r.Notes)
	for _, want := range []string{"wrong.service leads to", "loop1.service alias", "enables gone.service, which has no unit file"} {
		if !strings.Contains(strings.ReplaceAll(notes, "loop1.service}", ""), want) && !strings.Contains(notes, strings.TrimPrefix(want, "wrong.service ")) {
			t.Errorf("no note of %q: %s", want, notes)
		}
	}
}

func TestUsersHaveUnitsOfTheirOwn(t *testing.T) {
	needLinks(t)
	root := t.TempDir()
	plant(t, root, map[string]string{
		"etc/passwd":                                                      fmt.Sprintf("root:x:0:0::/root:/bin/sh\nana:x:%d:1000::/home/ana:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n", max(os.Getuid(), 1)),
		"usr/lib/systemd/user/common.service":                             service("/bin/common"),
		"usr/lib/systemd/user/other.service":                              service("/bin/other"),
		"home/ana/.config/systemd/user/mine.service":                      service("%h/.local/bin/mine %u %t"),
		"home/ana/.config/systemd/user/common.service.d/x.conf":           "[Service]\nExecStartPost=/home/ana/post\n",
		"home/ana/.config/systemd/user/default.target.wants/mine.service": "-> ../mine.service",
		"run/user/4242/systemd/transient/run-2.service":                   service("/bin/run2"),
		"home/ldap/.local/share/systemd/user/ldap.service":                service("/bin/ldap"),
		"root/.config/systemd/user/r.timer":                               "[Timer]\nOnBootSec=1\n",
	})
	r := scanned(t, root)
	var got []string
	for _, u := range r.Units {
		got = append(got, fmt.Sprintf("%s %s %s %s", u.Scope, u.Username, u.Name, u.State))
	}
	want := []string{
		"user  common.service disabled", "user  other.service disabled", "user root r.timer static", "user ana common.service disabled",
		"user ana mine.service enabled", "user ldap ldap.service disabled", "user 4242 run-2.service transient",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]string{fmt.Sprintf("ExecStart  /home/ana/.local/bin/mine ana /run/user/%d", max(os.Getuid(), 1))}, lines(find(t, r, "mine.service"))); d != "" {
		t.Error(d)
	}
}

func TestGeneratorsAndHooks(t *testing.T) {
	needLinks(t)
	root := t.TempDir()
	plant(t, root, map[string]string{
		"usr/lib/systemd/system-generators/g!":                 "x",
		"usr/lib/systemd/system-generators/masked!":            "x",
		"etc/systemd/system-generators/masked":                 "-> /dev/null",
		"dev/null":                                             "",
		"etc/systemd/system-generators/evil!":                  "x",
		"etc/systemd/system-generators/not-executable":         "x",
		"usr/local/lib/systemd/user-environment-generators/e!": "x",
		"usr/lib/systemd/system-shutdown/s!":                   "x",
	})
	var got []string
	for _, u := range scanned(t, root).Units {
		got = append(got, fmt.Sprint(u.Kind, " ", u.Scope, " ", u.Class, " ", u.Exec[0].Path))
	}
	want := []string{
		"generator system etc /etc/systemd/system-generators/evil", "generator system vendor /usr/lib/systemd/system-generators/g",
		"generator user local /usr/local/lib/systemd/user-environment-generators/e", "hook system vendor /usr/lib/systemd/system-shutdown/s",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestWhoCanWrite(t *testing.T) {
	needLinks(t)
	root := t.TempDir()
	plant(t, root, map[string]string{
		"usr/lib/systemd/system/ok.service":     service("/usr/bin/ok"),
		"usr/lib/systemd/system/open.service":   service("/usr/bin/ok"),
		"usr/lib/systemd/system/dir.service":    service("/opt/open/sub/prog"),
		"usr/lib/systemd/system/tmp.service":    service("/tmp/gone"),
		"usr/lib/systemd/system/tmp2.service":   service("/tmp/kept"),
		"usr/lib/systemd/system/script.service": service("/usr/bin/bash -x /opt/script.sh"),
		"usr/lib/systemd/system/link.service":   service("/usr/bin/link"),
		"usr/lib/systemd/system/group.service":  service("/usr/bin/group"),
		"usr/lib/systemd/system/empty.service":  service("/usr/bin/nobodys"),
		"usr/bin/ok!":                           "x", "usr/bin/bash!": "x", "opt/open/sub/prog!": "x", "tmp/kept!": "x", "opt/script.sh!": "x",
		"usr/bin/link":  "-> /opt/open/target",
		"usr/bin/group": "x", "usr/bin/nobodys": "x",
		"opt/open/target!": "x",
		"etc/group":        "root:x:0:\nstaff:x:50:\ndev:x:60:ana\n",
		"etc/passwd":       "root:x:0:0::/root:/bin/sh\n",
	})
	for p, mode := range map[string]os.FileMode{
		"usr/lib/systemd/system/open.service": 0o666, "opt/open": 0o777, "tmp": 0o777 | os.ModeSticky, "opt/script.sh": 0o757,
	} {
		if err := os.Chmod(filepath.Join(root, p), mode); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string][]string{
		"ok.service": nil, "open.service": {"/usr/lib/systemd/system/open.service"}, "dir.service": {"/opt/open"}, "tmp.service": {"/tmp"},
		"tmp2.service": nil, "script.service": {"/opt/script.sh"}, "link.service": {"/opt/open"},
	}
	if os.Getuid() == 0 {
		for p, gid := range map[string]int{"usr/bin/group": 60, "usr/bin/nobodys": 50} {
			if err := os.Chown(filepath.Join(root, p), 0, gid); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(root, p), 0o775); err != nil {
				t.Fatal(err)
			}
		}
		want["group.service"], want["empty.service"] = []string{"/usr/bin/group"}, nil
	} else {
		t.Log("NOT TESTED: files of other groups, which only root can make")
	}
	r := scanned(t, root)
	for name, w := range want {
		if d := cmp.Diff(w, find(t, r, name).Writable); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestOnlyWhatChangedIsReadAgain(t *testing.T) {
	needLinks(t)
	root := t.TempDir()
	plant(t, root, map[string]string{
		"usr/lib/systemd/system/a.service":          service("/bin/a"),
		"usr/lib/systemd/system/b.service":          service("/bin/b"),
		"usr/lib/systemd/system/a.service.d/x.conf": "[Service]\nUser=x\n",
		"usr/bin/other!":                            "x",
		"bin/a!":                                    "x",
		"etc/systemd/system/z.service":              service("/bin/z"),
		"home/ana/keep":                             "x",
		"etc/passwd":                                "ana:x:0:0::/home/ana:/bin/sh\n",
	})
	sc := NewScanner(root, options())
	ctx := context.Background()
	scan := func() *Result {
		t.Helper()
		r, err := sc.Scan(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	rest := func() { time.Sleep(2 * settle) }
	rest()
	if !scan().Changed {
		t.Fatal("the first scan finds nothing new")
	}
	if scan().Changed {
		t.Fatal("nothing changed, but a scan says so")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(p string) string { return filepath.Join(root, p) }
	for _, c := range []struct {
		what  string
		do    func()
		check func(*Result) bool
	}{
		{"same size, time put back", func() {
			st, err := os.Stat(at("etc/systemd/system/z.service"))
			must(err)
			must(os.WriteFile(at("etc/systemd/system/z.service"), []byte(service("/bin/y")), 0o644))
			must(os.Chtimes(at("etc/systemd/system/z.service"), st.ModTime(), st.ModTime()))
		}, func(r *Result) bool { return find(t, r, "z.service").Exec[0].Path == "/bin/y" }},
		{"drop-in", func() {
			must(os.WriteFile(at("usr/lib/systemd/system/a.service.d/x.conf"), []byte("[Service]\nUser=yy\n"), 0o644))
		},
			func(r *Result) bool { return find(t, r, "a.service").User == "yy" }},
		{"new drop-in directory", func() {
			plant(t, root, map[string]string{"etc/systemd/system/b.service.d/y.conf": "[Service]\nUser=b\n"})
		},
			func(r *Result) bool { return find(t, r, "b.service").User == "b" }},
		{"new search directory", func() { plant(t, root, map[string]string{"run/systemd/transient/t.service": service("/bin/t")}) },
			func(r *Result) bool { return find(t, r, "t.service").State == IsTransient }},
		{"new user directory", func() {
			plant(t, root, map[string]string{"home/ana/.config/systemd/user/u.service": service("/bin/u")})
		},
			func(r *Result) bool { return find(t, r, "u.service").Username == "ana" }},
		{"program gone", func() { must(os.Remove(at("bin/a"))) },
			func(r *Result) bool { return find(t, r, "a.service").Exec[0].OnDisk == evidence.No }},
		{"program's directory opened", func() { must(os.Chmod(at("bin"), 0o777)) },
			func(r *Result) bool { return len(find(t, r, "a.service").Writable) == 1 }},
		{"unit gone", func() { must(os.Remove(at("etc/systemd/system/z.service"))) },
			func(r *Result) bool {
				return !slices.ContainsFunc(r.Units, func(u Unit) bool { return u.Name == "z.service" })
			}},
	} {
		c.do()
		rest()
		r := scan()
		if !r.Changed || !c.check(r) {
			t.Errorf("%s: not seen (changed %v)", c.what, r.Changed)
		}
		if scan().Changed {
			t.Errorf("%s: seen again", c.what)
		}
	}
	must(os.WriteFile(at("usr/bin/more"), nil, 0o644))
	if scan().Changed {
		t.Error("a file beside a program is no change")
	}
	// A change within the clock tick of a scan isn't lost.
	must(os.WriteFile(at("etc/systemd/system/q.service"), []byte(service("/bin/1")), 0o644))
	scan()
	must(os.WriteFile(at("etc/systemd/system/q.service"), []byte(service("/bin/2")), 0o644))
	if u := find(t, scan(), "q.service"); u.Exec[0].Path != "/bin/2" {
		t.Errorf("a quick second change is not seen: %v", lines(u))
	}
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Scan(ctx, t.TempDir(), Options{}); err == nil {
		t.Error("no error")
	}
	if _, err := Scan(context.Background(), filepath.Join(t.TempDir(), "none"), Options{}); err == nil {
		t.Error("no error for a root that isn't there")
	}
}

// A scan says what it could not tell of.
func TestScanSaysWhatIsLeftOut(t *testing.T) {
	root := t.TempDir()
	plant(t, root, map[string]string{
		"etc/systemd/system/a.service":          service("/bin/a"),
		"etc/systemd/system/b.service":          service("/bin/a"),
		"etc/systemd/system/c.service":          service("/bin/a"),
		"home/ana/.config/systemd/user/u.timer": "[Timer]\nOnCalendar=daily\n",
		"etc/passwd":                            fmt.Sprintf("ana:x:%d:1000::/home/ana:/bin/sh\n", max(os.Getuid(), 1000)),
	})
	for _, c := range []struct {
		o        Options
		full     Scope
		unlisted int
	}{
		{Options{}, "", 0},
		{Options{MaxUnits: 3}, User, 0},
		{Options{MaxUnits: 2}, System, 0},
		{Options{MaxEntries: 2}, "", 1},
	} {
		o := c.o
		o.Trust = options().Trust
		r, err := Scan(context.Background(), root, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Full != c.full || len(r.Unlisted) != c.unlisted {
			t.Errorf("%+v: full %q, unlisted %v", c.o, r.Full, r.Unlisted)
		}
	}
	sc := NewScanner(root, options())
	if _, err := sc.Scan(context.Background()); err != nil {
		t.Fatal(err)
	}
	if seen := sc.Looked()["/etc/systemd/system"]; !seen.Listed || !seen.Info.IsDir() {
		t.Errorf("%+v", seen)
	}
	if seen, ok := sc.Looked()["/etc/systemd/system.control"]; !ok || !seen.Err {
		t.Errorf("what is not there counts as well: %v %+v", ok, seen)
	}
}

func TestSumTellsTexts(t *testing.T) {
	root := t.TempDir()
	sum := func() uint64 {
		t.Helper()
		return find(t, scanned(t, root), "a.service").Sum
	}
	plant(t, root, map[string]string{"etc/systemd/system/a.service": service("/bin/a")})
	one := sum()
	plant(t, root, map[string]string{"etc/systemd/system/a.service": service("/bin/a") + "# more\n"})
	two := sum()
	plant(t, root, map[string]string{"etc/systemd/system/a.service.d/x.conf": "[Unit]\n"})
	three := sum()
	if one == 0 || one == two || two == three || one == three {
		t.Error(one, two, three)
	}
}
