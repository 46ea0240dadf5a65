//go:build linux

// Package packages builds what is handed out and installs it, in a copy of this
// machine's root that goes afterwards. It takes minutes and root, so ROLLCALL_PACKAGES=1
// asks for it; ROLLCALL_NFPM may name an nfpm that is installed.
package packages_test

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	root     = "../.."
	older    = "0.1.0"
	newer    = "0.2.0"
	notes    = "NOT TESTED: packages: "
	askedFor = "ROLLCALL_PACKAGES"
)

func wanted(t *testing.T) {
	t.Helper()
	if os.Getenv(askedFor) != "1" {
		t.Skip(notes + "set " + askedFor + "=1 (as root, some minutes)")
	}
}

func tool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(notes + "no " + name)
	}
}

// make packages into dir.
func pack(dir, version, platforms string) error {
	args := []string{"run", "./packaging", "--version", version, "--out", dir, "--platforms", platforms}
	if nfpm := os.Getenv("ROLLCALL_NFPM"); nfpm != "" {
		args = append(args, "--nfpm", nfpm)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "SOURCE_DATE_EPOCH=1795676542")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// built holds all packages of the older version for one architecture a system, and the
// deb and rpm of the newer. The first test that needs them makes them.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "rollcall-test-packages-")
	if err != nil {
		return "", err
	}
	if err := pack(filepath.Join(dir, newer), newer, "linux/amd64"); err != nil {
		return dir, err
	}
	return dir, pack(filepath.Join(dir, older), older, "linux/amd64,darwin/arm64,windows/amd64")
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv(askedFor) == "1" {
		if dir, _ := built(); dir != "" {
			_ = os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

func packages(t *testing.T) string {
	t.Helper()
	wanted(t)
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inChroot runs a script in a copy of this machine's root, with the deb and rpm packages in
// the folder it starts in.
func inChroot(t *testing.T, script string) string {
	t.Helper()
	dir := packages(t)
	if os.Geteuid() != 0 {
		t.Skip(notes + "needs root")
	}
	tool(t, "unshare")
	tool(t, "dpkg")
	files, base := t.TempDir(), t.TempDir()
	for _, v := range []string{older, newer} {
		for _, name := range []string{"rollcall_" + v + "_amd64.deb", "rollcall-" + v + "-1.x86_64.rpm"} {
			if err := os.Link(filepath.Join(dir, v, name), filepath.Join(files, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	at := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(at, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unshare", "--mount", "sh", "-c", `mount --make-rprivate / && mount -t tmpfs tmpfs "$0" && mkdir "$0/u" "$0/w" "$0/m" && mount -t overlay o -o "lowerdir=/,upperdir=$0/u,workdir=$0/w" "$0/m"`, base).CombinedOutput(); err != nil {
		t.Skipf(notes+"no overlay of / to install into: %s", out)
	}
	out, err := exec.Command("unshare", "--mount", "sh", "testdata/chroot.sh", base, files, at).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return string(out)
}

func TestDeb(t *testing.T) {
	script, err := os.ReadFile("testdata/deb.sh")
	if err != nil {
		t.Fatal(err)
	}
	out := inChroot(t, "OLD="+older+"\nNEW="+newer+"\n"+string(script))
	for _, want := range []string{"installed " + older, "upgraded to " + newer, "downgrade refused", "removed", "purged", "a link is not followed", "all well"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("the script did not come to %q", want)
		}
	}
}

// TestInstalledByOrbit: a package that Fleet's agent installs must not restart the agent
// under its own feet.
func TestInstalledByOrbit(t *testing.T) {
	out := inChroot(t, `
mkdir -p /cg && mount -t cgroup2 none /cg && mkdir -p /cg/orbit.service && echo $$ >/cg/orbit.service/cgroup.procs || { echo "no cgroup"; exit 0; }
printf '#!/bin/sh\necho "$*" >>/systemd-run.log\n' >/usr/local/sbin/systemd-run
chmod 0755 /usr/local/sbin/systemd-run
dpkg -i rollcall_`+newer+`_amd64.deb
echo $$ >/cg/cgroup.procs
rmdir /cg/orbit.service
echo "now: $(cat /systemctl.log)"
echo "later: $(cat /systemd-run.log)"
`)
	if strings.Contains(out, "no cgroup\n") {
		t.Skip(notes + "no cgroup of the test's own can be made")
	}
	if !strings.Contains(out, "now: try-restart osqueryd.service\nlater: --quiet --on-active=10 ") || !strings.Contains(out, " systemctl try-restart orbit.service\n") {
		t.Error("Fleet's agent is restarted while it installs")
	}
}

// TestDefaultList: osqueryd reads the list that the package writes without any flag, on
// which the pages of Fleet and osctrl rest.
func TestDefaultList(t *testing.T) {
	tool(t, "osqueryd")
	out := inChroot(t, `
dpkg -i rollcall_`+newer+`_amd64.deb >/dev/null
mkdir -p /var/osquery /log
echo '{"schedule": {"x": {"query": "SELECT name FROM osquery_extensions", "interval": 2, "snapshot": true}}}' >/conf
osqueryd --config_path=/conf --pidfile=/var/osquery/osqueryd.pid --logger_path=/log --disable_audit=true >/osqueryd.log 2>&1 &
echo $! >/osqueryd.started
n=0
until grep -q '"name":"rollcall"' /log/osqueryd.snapshots.log 2>/dev/null; do
	n=$((n + 1))
	[ $n -lt 60 ] || exit 1
	sleep 1
done
echo "loaded without a flag"
`)
	if !strings.Contains(out, "loaded without a flag\n") {
		t.Error("osqueryd does not load what the package names")
	}
}

// page is what a start page says to type.
func page(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "docs/start", name))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	indent, open := "", false
	begin := regexp.MustCompile("^( *)```sh$")
	for _, line := range strings.Split(string(data), "\n") {
		switch m := begin.FindStringSubmatch(line); {
		case !open && m != nil:
			open, indent = true, m[1]
		case open && strings.TrimSpace(line) == "```":
			open = false
		case open:
			fmt.Fprintln(&out, strings.TrimPrefix(line, indent))
		}
	}
	return out.String()
}

// scored tells whether a table that rollcall query printed has a row with the command
// and a score of at least 20.
func scored(out, command string) bool {
	row := regexp.MustCompile(`\|[^|\n]*\|[^|\n]*` + regexp.QuoteMeta(command) + `[^|\n]*\| *(\d+) *\|`)
	for _, m := range row.FindAllStringSubmatch(out, -1) {
		if n, err := strconv.Atoi(m[1]); err == nil && n >= 20 {
			return true
		}
	}
	return false
}

// TestStartOsqueryd types what the page says, with a real osqueryd. Its audit stays off:
// the kernel's is the whole machine's.
func TestStartOsqueryd(t *testing.T) {
	tool(t, "osqueryd")
	script := page(t, "osqueryd.md")
	if !strings.Contains(script, "dpkg -i") {
		t.Fatalf("the page has changed:\n%s", script)
	}
	// What else lists services on this machine is in the way of the page's five newest rows.
	script = strings.ReplaceAll(script, "LIMIT 5", "LIMIT 300")
	for range 3 {
		out := inChroot(t, "rm rollcall_"+newer+"_amd64.deb rollcall-*.rpm\n"+script)
		if scored(out, "systemctl list-units --type=service") {
			return
		}
	}
	t.Error("no scored row of what the page lists")
}

// TestStartWithoutOsquery does the same with the other page.
func TestStartWithoutOsquery(t *testing.T) {
	script := "dpkg -i rollcall_" + newer + "_amd64.deb >/dev/null\nmv /usr/local/bin/osqueryd /usr/local/bin/osqueryi /packages/ 2>/dev/null || true\n" + page(t, "no-osquery.md")
	// How high it is depends on where the test's own program lies, which is an ancestor.
	live := regexp.MustCompile(`\| 0 +\| [^|\n]*(systemctl list-units|ls -l /etc/init\.d)[^|\n]*\| *[2-9]\d *\| (low|medium|high) +\| (proc_connector|kaudit) *\|`)
	var out string
	// The kernel's audit is the whole machine's: somebody may turn it off meanwhile, which
	// takes what was being told with it.
	for range 3 {
		if out = inChroot(t, script); live.MatchString(out) {
			break
		}
	}
	if !live.MatchString(out) {
		t.Error("no scored row of what was listed")
	}
	if !strings.Contains(out, "| 33  | systemctl list-units --type=service | 25") {
		t.Error("no scored row from the log")
	}
	if !strings.Contains(out, "Verdict: 69 (high)") {
		t.Error("step 1 has another verdict")
	}
}

func TestRPM(t *testing.T) {
	dir := packages(t)
	tool(t, "rpm")
	file := filepath.Join(dir, older, "rollcall-"+older+"-1.x86_64.rpm")
	list := output(t, "rpm", "-qp", "--qf", `[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]`, file)
	for _, want := range []string{
		"-rwxr-xr-x root:root /usr/lib/rollcall/rollcall.ext", "-rwxr-xr-x root:root /usr/bin/rollcall", "drwxr-xr-x root:root /usr/lib/rollcall",
		"-rw-r--r-- root:root /etc/rollcall/rollcall.yaml", "drwx------ root:root /var/lib/rollcall", "drwxr-xr-x root:root /etc/rollcall/rules.d",
		"-rw-r--r-- root:root /usr/share/rollcall/packs/osquery/t1007.conf",
	} {
		if !slices.Contains(strings.Split(list, "\n"), want) {
			t.Errorf("the rpm lacks %s", want)
		}
	}
	if got := strings.TrimSpace(output(t, "rpm", "-qpc", file)); got != "/etc/rollcall/rollcall.yaml" {
		t.Errorf("configuration of the rpm: %s", got)
	}
	if got := output(t, "rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{ARCH} %{LICENSE}", file); got != "rollcall "+older+" x86_64 Apache-2.0" {
		t.Error(got)
	}
	scripts := output(t, "rpm", "-qp", "--scripts", file)
	if !strings.Contains(scripts, "postinstall scriptlet") || !strings.Contains(scripts, "preuninstall scriptlet") || strings.Contains(scripts, "dpkg --") {
		t.Errorf("scripts of the rpm:\n%s", scripts)
	}
	if strings.Contains(scripts, "${LOAD}") || strings.Contains(scripts, "${DEBVERSION}") {
		t.Error("a script was not filled in")
	}
	tool(t, "rpm2cpio")
	tool(t, "cpio")
	out := t.TempDir()
	output(t, "sh", "-c", `rpm2cpio "$0" | (cd "$1" && cpio -idm --quiet --no-absolute-filenames)`, file, out)
	if got := output(t, filepath.Join(out, "usr/lib/rollcall/rollcall.ext"), "--version"); !strings.Contains(got, older) {
		t.Error(got)
	}
}

// TestRPMInstalls lets rpm itself install, upgrade, refuse to go back, and remove.
func TestRPMInstalls(t *testing.T) {
	tool(t, "rpm")
	script, err := os.ReadFile("testdata/rpm.sh")
	if err != nil {
		t.Fatal(err)
	}
	out := inChroot(t, "OLD="+older+"\nNEW="+newer+"\n"+string(script))
	for _, want := range []string{"installed " + older, "upgraded to " + newer, "downgrade refused", "removed", "all well"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("the script did not come to %q", want)
		}
	}
}

// TestTarball installs for macOS below a folder: the script is plain sh.
func TestTarball(t *testing.T) {
	dir := packages(t)
	work, dest := t.TempDir(), t.TempDir()
	output(t, "tar", "-xzf", filepath.Join(dir, older, "rollcall_"+older+"_darwin_arm64.tar.gz"), "-C", work)
	folder := filepath.Join(work, "rollcall_"+older+"_darwin_arm64")
	load := filepath.Join(dest, "var/osquery/extensions.load")
	if err := os.MkdirAll(filepath.Dir(load), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(load, []byte("/opt/other.ext"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DESTDIR", dest)
	conf := filepath.Join(dest, "Library/Application Support/Rollcall/rollcall.yaml")
	for range 2 {
		output(t, filepath.Join(folder, "install.sh"))
		if got, err := os.ReadFile(load); err != nil || string(got) != "/opt/other.ext\n/opt/rollcall/rollcall.ext\n" {
			t.Fatalf("extensions.load: %q, %v", got, err)
		}
		if err := os.WriteFile(conf, []byte("log_level: debug\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(dest, "Library/Application Support/Rollcall/state")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state: %v, %v", info, err)
	}
	if kind := output(t, "file", "-b", filepath.Join(dest, "opt/rollcall/rollcall.ext")); !strings.Contains(kind, "Mach-O 64-bit") {
		t.Error(kind)
	}
	output(t, filepath.Join(folder, "uninstall.sh"))
	if got, err := os.ReadFile(load); err != nil || string(got) != "/opt/other.ext\n" {
		t.Errorf("extensions.load after the removal: %q, %v", got, err)
	}
	if got, err := os.ReadFile(conf); err != nil || string(got) != "log_level: debug\n" {
		t.Errorf("configuration after the removal: %q, %v", got, err)
	}
	output(t, filepath.Join(folder, "uninstall.sh"), "--purge")
	if _, err := os.Stat(conf); err == nil {
		t.Error("the configuration outlived the purge")
	}
}

func TestZipAndMSI(t *testing.T) {
	dir := packages(t)
	z, err := zip.OpenReader(filepath.Join(dir, older, "rollcall_"+older+"_windows_amd64.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	for _, want := range []string{"rollcall.ext.exe", "rollcall.exe", "register.ps1", "LICENSE", "packs/osquery/t1007.conf", "docs/README.md", "sbom.json"} {
		if !slices.Contains(names, want) {
			t.Errorf("the zip lacks %s", want)
		}
	}
	tool(t, "wixl")
	tool(t, "msiinfo")
	msi := filepath.Join(dir, older, "rollcall_"+older+"_windows_amd64.msi")
	table := func(name string) string { return output(t, "msiinfo", "export", msi, name) }
	if files := table("File"); !strings.Contains(files, "rollcall.ext.exe") || !strings.Contains(files, "register.ps1") {
		t.Errorf("files of the MSI:\n%s", files)
	}
	if p := table("Property"); !strings.Contains(p, "ProductVersion\t"+older) || !strings.Contains(p, "6A0C2A52-5C3D-5F0E-9F65-5A3A3A1D7C10") {
		t.Errorf("properties of the MSI:\n%s", p)
	}
	steps := map[string]int{}
	for _, line := range strings.Split(table("InstallExecuteSequence"), "\n") {
		if f := strings.Split(strings.TrimRight(line, "\r"), "\t"); len(f) == 3 {
			steps[f[0]], _ = strconv.Atoi(f[2])
		}
	}
	// What is deferred must lie between InstallInitialize and InstallFinalize.
	order := []string{"InstallInitialize", "FindPowerShell", "UnregisterExtension", "RemoveFiles", "InstallFiles", "RegisterExtension", "InstallFinalize"}
	for i, name := range order {
		if steps[name] == 0 || i > 0 && steps[name] <= steps[order[i-1]] {
			t.Errorf("step %s of the MSI is at %d: %v", name, steps[name], steps)
		}
	}
}

func TestSumsAndBills(t *testing.T) {
	dir := filepath.Join(packages(t), older)
	cmd := exec.Command("sha256sum", "-c", "--strict", "SHA256SUMS")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), ": OK") < 8 {
		t.Errorf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.sbom.json"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			BOMFormat  string
			Components []struct{ Name, Version, PURL string }
		}
		if err := json.Unmarshal(data, &b); err != nil || b.BOMFormat != "CycloneDX" || len(b.Components) < 10 {
			t.Errorf("%s: %v, %d components", f, err, len(b.Components))
		}
		for _, c := range b.Components {
			if c.Version == "" || !strings.HasPrefix(c.PURL, "pkg:golang/") {
				t.Errorf("%s: %+v", f, c)
			}
		}
	}
}

// TestReproducible builds once more: the same bytes.
func TestReproducible(t *testing.T) {
	dir := packages(t)
	again := filepath.Join(t.TempDir(), "again")
	if err := pack(again, older, "linux/amd64,darwin/arm64,windows/amd64"); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(dir, older, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(again, "SHA256SUMS"))
	if err != nil || string(got) != string(want) || len(want) == 0 {
		t.Errorf("two builds differ: %v\n%s\n%s", err, want, got)
	}
}
