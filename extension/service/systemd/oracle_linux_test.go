package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"mvdan.cc/sh/v3/shell"
)

// systemd itself is the judge: its test mode loads units and prints what it would
// run. It refuses to do so as root, so it runs as nobody.
func TestAsSystemdItself(t *testing.T) {
	manager := ""
	for _, p := range []string{"/usr/lib/systemd/systemd", "/lib/systemd/systemd"} {
		if _, err := os.Stat(p); err == nil {
			manager = p
			break
		}
	}
	if manager == "" || os.Getuid() != 0 {
		t.Skip("NOT TESTED: units as systemd itself reads them: needs systemd and root")
	}
	root, err := os.MkdirTemp("/tmp", "units")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("y", 5000)
	exec1 := func(v string) string { return "[Service]\nType=oneshot\nExecStart=" + v + "\n" }
	tree := map[string]string{
		"continued.service":           exec1("/bin/echo a\\\n# c\n  b \\\n; d\n\t\"q r\"x"),
		"slashes.service":             "[Service]\nExecStart=/bin/echo a \\\\\nType=oneshot\n",
		"cr.service":                  "# hidden\r[Service]\rType=oneshot\rExecStart=/bin/echo cr\r",
		"nul.service":                 "# hidden\x00[Service]\x00Type=oneshot\x00ExecStart=/bin/echo nul\x00",
		"nul-2.service":               "[Service]\n\x00\x00Type=oneshot\n\x00\n\rExecStart=/bin/echo nul2 \\\n\x00 x\n",
		"bom.service":                 "\ufeff" + exec1("/bin/echo bom"),
		"reset.service":               exec1("/bin/echo 1") + "ExecStart=\nExecStart=/bin/echo 2\nExecStart=-/bin/echo 3 ; +/bin/echo 4 \\; 5\n",
		"quotes.service":              exec1(`"/bin/echo" 'a "b"' "c 'd'" e"f g"h \x41\101\u00e9\s| "\\" 'i\'j'`),
		"escapes.service":             exec1(`/bin/echo \z \q"\d"`),
		"open.service":                exec1("/bin/echo ok") + "ExecStart=/bin/echo \"open\nExecStart=/bin/echo after\n",
		"specifiers.service":          exec1("/bin/echo %n %N %p %P %j %% %t %S %C %L %E %T %V %u %U %f"),
		"spec-if@in-st\\x2dx.service": exec1("/bin/echo %n %N %p %P %i %I %j %J %f"),
		"tmpl@.service":               exec1("/bin/echo tmpl %i %I"),
		"long.service":                exec1("/bin/echo " + long),
		"prefix.service":              exec1("@/bin/echo argv0 one") + "ExecStart=-@+/bin/echo zero two\nExecStartPre=!!/bin/echo pre\nExecStop=-/bin/echo stop\n",
		"relative.service":            exec1("echo relative"),
		"sections.service":            exec1("/bin/echo a") + "[X-Mine]\nExecStart=/bin/no\n[Unit]\nDescription=d\n[Service]\nExecStart=/bin/echo b\n",
		"drop-in.service":             exec1("/bin/echo main"),
		"drop-in.service.d/20.conf":   "[Service]\nExecStart=/bin/echo twenty\n",
		"drop-in.service.d/10.conf":   "[Service]\nExecStart=\nExecStart=/bin/echo ten\n",
		"drop-.service.d/15.conf":     "[Service]\nExecStart=/bin/echo fifteen\n",
		"service.d/17.conf":           "[Service]\nExecStartPost=/bin/echo all\n",
		"drop-.service.d/20.conf":     "[Service]\nExecStart=/bin/echo hidden\n",
		"drop-in.service.d/30.conf":   "[Service]\nExecStart=/bin/echo before\n[Broken\nExecStart=/bin/echo no\n",
		"alias.service":               "-> drop-in.service",
		"alias.service.d/40.conf":     "[Service]\nExecStart=/bin/echo through alias\n",
		"empty-args.service":          exec1(`/bin/echo "" '' x`),
		"tab.service":                 exec1("/bin/echo\ta\t\tb"),
		"semicolon.service":           exec1("/bin/echo a;b ;c ; /bin/echo d;"),
		"default.target":              "",
	}
	var names []string
	for name := range tree {
		if strings.HasSuffix(name, ".service") && !strings.Contains(name, "/") && name != "tmpl@.service" {
			names = append(names, name)
		}
	}
	names = append(names, "tmpl@a-b.service")
	tree["default.target.wants/tmpl@a-b.service"] = "-> ../tmpl@.service"
	tree["default.target"] = "[Unit]\nWants=" + strings.Join(names, " ") + "\n"
	planted := map[string]string{}
	for name, text := range tree {
		planted["etc/systemd/system/"+name] = text
	}
	plant(t, root, planted)

	cmd := exec.Command(manager, "--test", "--system", "--no-pager")
	cmd.Env = []string{"SYSTEMD_UNIT_PATH=" + root + "/etc/systemd/system", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_LOG_LEVEL=err"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := output(ctx, cmd)
	if err != nil || !strings.Contains(out, "Unit continued.service") {
		t.Skipf("NOT TESTED: units as systemd itself reads them: %v %.300s", err, out)
	}
	theirs := dumped(t, out)
	r := scanned(t, root)
	for _, name := range names {
		if name == "open.service" { // refused as a whole; what it says is kept for the reader
			if len(theirs[name]) > 0 || len(find(t, r, name).Problems) == 0 {
				t.Errorf("%s: systemd runs %q", name, theirs[name])
			}
			continue
		}
		want, ok := theirs[name]
		if !ok {
			if name != "alias.service" {
				t.Errorf("systemd has no %s", name)
			}
			continue
		}
		var got []string
		for _, directive := range []string{"ExecStartPre", "ExecStart", "ExecStartPost", "ExecStop"} { // the order of the dump
			for _, e := range find(t, r, name).Exec {
				if e.Directive != directive {
					continue
				}
				argv0 := e.Path
				if e.Argv0 != "" {
					argv0 = e.Argv0
				}
				got = append(got, fmt.Sprintf("%s %q", directive, append([]string{argv0}, e.Args...)))
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-systemd +rollcall):\n%s", name, d)
		}
	}
	t.Logf("%d units as systemd itself", len(names))
}

func output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	f, err := os.CreateTemp("", "dump")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	cmd.Stdout = f
	if err := cmd.Start(); err != nil {
		return "", err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		err = <-done
	}
	b, readErr := os.ReadFile(filepath.Clean(f.Name()))
	if readErr != nil {
		return "", readErr
	}
	return string(b), err
}

// dumped are the commands of each unit in systemd's dump.
func dumped(t *testing.T, out string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	unit, directive := "", ""
	for line := range strings.SplitSeq(out, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "-> Unit "):
			unit, directive = strings.TrimSuffix(strings.TrimPrefix(line, "-> Unit "), ":"), ""
			all[unit] = nil
		case strings.HasPrefix(line, "-> Exec"):
			directive = strings.TrimSuffix(strings.TrimPrefix(line, "-> "), ":")
		case strings.HasPrefix(line, "Command Line: ") && directive != "":
			words, err := shell.Fields(strings.TrimPrefix(line, "Command Line: "), func(string) string { return "" })
			if err != nil {
				t.Errorf("%s: %s: %v", unit, line, err)
			}
			all[unit] = append(all[unit], fmt.Sprintf("%s %q", directive, words))
		}
	}
	return all
}

// systemctl is the judge of how units of this host are turned on.
func TestStatesAsSystemctl(t *testing.T) {
	systemctl, err := exec.LookPath("systemctl")
	if err != nil {
		t.Skip("NOT TESTED: states as systemctl tells them: there is none here")
	}
	out, err := exec.Command(systemctl, "--root=/", "list-unit-files", "--no-legend", "--no-pager", "--type=service,timer,socket,path").Output()
	if err != nil {
		t.Skip("NOT TESTED: states as systemctl tells them:", err)
	}
	r, err := Scan(context.Background(), "/", Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.SplitSeq(string(out), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 || f[1] == "alias" {
			continue
		}
		n++
		u := (*Unit)(nil)
		for i := range r.Units {
			if r.Units[i].Name == f[0] && r.Units[i].Scope == System {
				u = &r.Units[i]
			}
		}
		if u == nil {
			t.Errorf("no %s", f[0])
		} else if string(u.State) != f[1] {
			t.Errorf("%s is %s, systemctl says %s", u.Name, u.State, f[1])
		}
	}
	t.Logf("%d units of this host as systemctl", n)
}

// host400 makes a host of 400 units with programs, drop-ins and links.
func host400(b *testing.B) string {
	b.Helper()
	root := b.TempDir()
	tree := map[string]string{}
	for i := range 400 {
		name := fmt.Sprintf("unit-%d.service", i)
		tree["usr/lib/systemd/system/"+name] = "# a comment\n" + service(fmt.Sprintf("/usr/bin/prog-%d --config /etc/x.conf $OPTS", i%250)) + "# the end\n"
		tree[fmt.Sprintf("usr/bin/prog-%d!", i%250)] = "x"
		if i%20 == 0 {
			tree["etc/systemd/system/"+name+".d/override.conf"] = "[Service]\nUser=daemon\n"
		}
		if i%3 == 0 {
			tree["etc/systemd/system/multi-user.target.wants/"+name] = "-> /usr/lib/systemd/system/" + name
		}
	}
	plant(b, root, tree)
	time.Sleep(2 * settle)
	return root
}

func BenchmarkScanFirst(b *testing.B) {
	root := host400(b)
	for b.Loop() {
		if _, err := Scan(context.Background(), root, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScanUnchanged(b *testing.B) {
	sc := NewScanner(host400(b), Options{})
	for range 2 {
		if _, err := sc.Scan(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if r, err := sc.Scan(context.Background()); err != nil || r.Changed {
			b.Fatal(err, r.Changed)
		}
	}
}

func BenchmarkScanOneChanged(b *testing.B) {
	sc := NewScanner(host400(b), Options{})
	if _, err := sc.Scan(context.Background()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		sc.trace = nil
		if _, err := sc.Scan(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
