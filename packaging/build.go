// Packaging builds what is handed out, all of it on one machine: deb and rpm (with
// nfpm), tarballs for macOS, zip and MSI (with wixl, where that is installed) for
// Windows, an SBOM beside each, and SHA256SUMS. The same source, version and
// SOURCE_DATE_EPOCH give the same bytes.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nfpm is the program that makes deb and rpm, by its version.
const nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0"

// versionVariable is where the linker puts the version.
const versionVariable = "github.com/osquery-rollcall/rollcall/extension/version.Number"

// job is one run of the program.
type job struct {
	version string
	epoch   time.Time // the time of everything that is packed
	root    string    // of the repository
	out     string
	nfpm    []string // the command
	log     io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(ctx context.Context, args []string, log io.Writer) error {
	flags := flag.NewFlagSet("packaging", flag.ContinueOnError)
	flags.SetOutput(log)
	j := job{log: log}
	flags.StringVar(&j.version, "version", "", "version, as in 1.2.3 or 1.2.3-rc1")
	flags.StringVar(&j.out, "out", "build/packages", "directory to write to; its packages are replaced")
	flags.StringVar(&j.root, "root", ".", "root of the repository")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64", "what to build for, as GOOS/GOARCH with commas between")
	tool := flags.String("nfpm", "go run "+nfpm, "command that makes deb and rpm")
	if err := flags.Parse(args); err != nil {
		return err
	}
	j.nfpm = strings.Fields(*tool)
	if !validVersion(j.version) || len(j.nfpm) == 0 || flags.NArg() > 0 {
		return fmt.Errorf("say --version 1.2.3, not %q", j.version)
	}
	for _, path := range []*string{&j.root, &j.out} {
		whole, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = whole
	}
	var err error
	if j.epoch, err = j.sourceDate(ctx); err != nil {
		return err
	}
	if err := j.clear(); err != nil {
		return err
	}
	for _, p := range strings.Split(*platforms, ",") {
		goos, arch, ok := strings.Cut(p, "/")
		if !ok {
			return fmt.Errorf("platform %q is none: say GOOS/GOARCH", p)
		}
		if err := j.pack(ctx, goos, arch); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return j.sums()
}

// validVersion reports whether v can be put into scripts and packages: digits and dots,
// then perhaps what marks a version before the release.
func validVersion(v string) bool {
	number, pre, dashed := strings.Cut(v, "-")
	parts := strings.Split(number, ".")
	if len(parts) != 3 || dashed && pre == "" {
		return false
	}
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return false
		}
	}
	return strings.Trim(pre, "abcdefghijklmnopqrstuvwxyz0123456789.") == ""
}

// debVersion is how deb and rpm write a version: what comes before the release sorts
// before it.
func debVersion(v string) string { return strings.Replace(v, "-", "~", 1) }

// sourceDate is SOURCE_DATE_EPOCH, or the time of the last commit.
func (j *job) sourceDate(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.CommandContext(ctx, "git", "-C", j.root, "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("no SOURCE_DATE_EPOCH, and no commit to take it from: %w", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: must be seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// artifact reports whether a file's name is that of something we make.
func artifact(name string) bool {
	return strings.HasPrefix(name, "rollcall") || name == "SHA256SUMS"
}

// clear makes the directory of the packages, without those of an earlier run.
func (j *job) clear() error {
	if err := os.MkdirAll(j.out, 0o755); err != nil {
		return fmt.Errorf("make the directory of the packages: %w", err)
	}
	files, err := os.ReadDir(j.out)
	if err != nil {
		return fmt.Errorf("read the directory of the packages: %w", err)
	}
	for _, f := range files {
		if f.Type().IsRegular() && artifact(f.Name()) {
			if err := os.Remove(filepath.Join(j.out, f.Name())); err != nil {
				return fmt.Errorf("remove an earlier package: %w", err)
			}
		}
	}
	return nil
}

// pack builds for one platform and makes its packages.
func (j *job) pack(ctx context.Context, goos, arch string) (err error) {
	stage, err := os.MkdirTemp("", "rollcall-packages-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	if err := j.stage(ctx, stage, goos, arch); err != nil {
		return err
	}
	name := fmt.Sprintf("rollcall_%s_%s_%s", j.version, goos, arch)
	sbom, err := os.ReadFile(filepath.Join(stage, "sbom.json"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(j.out, name+".sbom.json"), sbom, 0o644); err != nil {
		return err
	}
	switch goos {
	case "linux":
		return j.linux(ctx, stage, arch)
	case "darwin":
		return j.write(name+".tar.gz", func(w io.Writer) error { return tarball(w, stage, name, j.epoch) })
	case "windows":
		if err := j.write(name+".zip", func(w io.Writer) error { return zipped(w, stage, j.epoch) }); err != nil {
			return err
		}
		return j.msi(ctx, stage, name, arch)
	}
	return fmt.Errorf("nobody has said how to pack for %s", goos)
}

// stage puts together what is packed for a platform.
func (j *job) stage(ctx context.Context, stage, goos, arch string) error {
	suffix := ""
	if goos == "windows" {
		suffix = ".exe"
	}
	for _, b := range [][2]string{{"rollcall.ext" + suffix, "./extension"}, {"rollcall" + suffix, "./extension/cmd/rollcall"}} {
		fmt.Fprintln(j.log, "build", goos+"/"+arch, b[0])
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X "+versionVariable+"="+j.version, "-o", filepath.Join(stage, b[0]), b[1])
		cmd.Dir, cmd.Stderr = j.root, j.log
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch)
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w", b[0], err)
		}
	}
	bill, err := sbom([]string{filepath.Join(stage, "rollcall.ext"+suffix), filepath.Join(stage, "rollcall"+suffix)}, j.version, j.epoch)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(stage, "sbom.json"), bill, 0o644); err != nil {
		return err
	}
	for _, part := range []string{"packs/osquery", "packs/fleet", "packs/fleet-legacy", "packs/osctrl", "docs"} {
		if err := copyTree(filepath.Join(j.root, part), filepath.Join(stage, part)); err != nil {
			return err
		}
	}
	files := map[string]string{"LICENSE": "LICENSE", "rollcall.yaml": "packaging/rollcall.yaml"}
	switch goos {
	case "darwin":
		files["install.sh"], files["uninstall.sh"] = "packaging/darwin/install.sh", "packaging/darwin/uninstall.sh"
	case "windows":
		files["register.ps1"] = "packaging/windows/register.ps1"
	case "linux":
		if err := j.scripts(stage); err != nil {
			return err
		}
	}
	for _, to := range slices.Sorted(maps.Keys(files)) {
		if err := copyFile(filepath.Join(j.root, files[to]), filepath.Join(stage, to)); err != nil {
			return err
		}
	}
	return j.settle(stage)
}

// scripts writes what deb and rpm run, each whole in itself.
func (j *job) scripts(stage string) error {
	load, err := os.ReadFile(filepath.Join(j.root, "packaging/linux/load.sh"))
	if err != nil {
		return err
	}
	for _, name := range []string{"preinstall.sh", "postinstall.sh", "preremove.sh", "postremove.sh"} {
		text, err := os.ReadFile(filepath.Join(j.root, "packaging/linux", name))
		if err != nil {
			return err
		}
		out := fill(string(text), map[string]string{"LOAD": string(load), "DEBVERSION": debVersion(j.version)})
		if err := os.WriteFile(filepath.Join(stage, name), []byte(out), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// fill puts values in the place of ${NAMES}; what is not named stays.
func fill(text string, values map[string]string) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, "${"+k+"}", values[k])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// settle gives all that is staged the modes and the time of a package.
func (j *job) settle(stage string) error {
	return filepath.WalkDir(stage, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if d.IsDir() || program(d.Name()) {
			mode = 0o755
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return os.Chtimes(path, j.epoch, j.epoch)
	})
}

// program reports whether a staged file is to be run.
func program(name string) bool {
	switch filepath.Ext(name) {
	case "", ".ext", ".exe", ".sh":
		return name != "LICENSE"
	}
	return false
}

// linux makes the deb and the rpm.
func (j *job) linux(ctx context.Context, stage, arch string) error {
	text, err := os.ReadFile(filepath.Join(j.root, "packaging/linux/nfpm.yaml"))
	if err != nil {
		return err
	}
	conf := filepath.Join(stage, "nfpm.yaml")
	out := fill(string(text), map[string]string{"ARCH": arch, "VERSION": j.version, "STAGE": stage, "MTIME": j.epoch.Format(time.RFC3339)})
	if err := os.WriteFile(conf, []byte(out), 0o644); err != nil {
		return err
	}
	for _, format := range []string{"deb", "rpm"} {
		args := append(slices.Clone(j.nfpm[1:]), "package", "--packager", format, "--config", conf, "--target", j.out+"/")
		cmd := exec.CommandContext(ctx, j.nfpm[0], args...)
		cmd.Stdout, cmd.Stderr = j.log, j.log
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(j.epoch.Unix(), 10))
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("make the %s: %w", format, err)
		}
	}
	return nil
}

// msi makes the MSI where wixl is installed; it knows x64 only.
func (j *job) msi(ctx context.Context, stage, name, arch string) error {
	wixl, err := exec.LookPath("wixl")
	if err != nil || arch != "amd64" {
		why := "wixl (Debian: apt install wixl) is not installed"
		if err == nil {
			why = "wixl makes none for " + arch
		}
		fmt.Fprintln(j.log, "NO MSI for windows/"+arch+":", why)
		return nil
	}
	text, err := os.ReadFile(filepath.Join(j.root, "packaging/windows/rollcall.wxs"))
	if err != nil {
		return err
	}
	number, _, _ := strings.Cut(j.version, "-")
	wxs := filepath.Join(stage, "rollcall.wxs")
	out := fill(string(text), map[string]string{"MSIVERSION": number,
		"PRODUCT": uuid("product", j.version, arch)})
	if err := os.WriteFile(wxs, []byte(out), 0o644); err != nil {
		return err
	}
	// wixl puts some rows in the order of addresses: those must not be drawn at random,
	// and what it works in must have the same length each time.
	command := []string{wixl, "--arch", "x64", "-o", "rollcall.msi", "rollcall.wxs"}
	if setarch, err := exec.LookPath("setarch"); err == nil {
		command = append([]string{setarch, "--addr-no-randomize"}, command...)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = stage, &said, &said // sources are named from here
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make the MSI: %w\n%s", err, said.String())
	}
	data, err := os.ReadFile(filepath.Join(stage, "rollcall.msi"))
	if err != nil {
		return err
	}
	if err := settleMSI(data, uuid("package", j.version, arch, j.epoch.String()), j.epoch, began, time.Now()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(j.out, name+".msi"), data, 0o644)
}

// uuid is an id made of words: the same words, the same id.
func uuid(words ...string) string {
	h := sha256.Sum256([]byte("rollcall\x00" + strings.Join(words, "\x00")))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // version 8, whose bits are ours
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// write makes one file among the packages.
func (j *job) write(name string, fn func(io.Writer) error) error {
	f, err := os.OpenFile(filepath.Join(j.out, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(fn(f), f.Close())
}

// sums writes SHA256SUMS, as sha256sum -c reads it.
func (j *job) sums() error {
	files, err := os.ReadDir(j.out)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range files {
		if !e.Type().IsRegular() || !artifact(e.Name()) {
			continue
		}
		f, err := os.Open(filepath.Join(j.out, e.Name()))
		if err != nil {
			return err
		}
		h := sha256.New()
		n, err := io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("hash %s: %w", e.Name(), err)
		}
		fmt.Fprintf(&b, "%x  %s\n", h.Sum(nil), e.Name())
		fmt.Fprintf(j.log, "%9d  %s\n", n, e.Name())
	}
	return os.WriteFile(filepath.Join(j.out, "SHA256SUMS"), []byte(b.String()), 0o644)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// copyTree copies a folder's plain files; hidden ones and links stay behind.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type().IsRegular() && !strings.HasPrefix(d.Name(), "."):
			return copyFile(path, target)
		}
		return nil
	})
}
