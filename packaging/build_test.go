package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var epoch = time.Unix(1795676542, 0).UTC()

func TestVersions(t *testing.T) {
	for v, want := range map[string]bool{
		"1.2.3": true, "0.1.0-dev": true, "1.2.3-rc.1": true, "": false, "1.2": false, "v1.2.3": false, "1.2.3-": false,
		"1.2.x": false, "1.2.3'; rm -rf /": false, "1.2.3-$(id)": false, "1.2.99999": false, "1.2.3 4": false,
	} {
		if validVersion(v) != want {
			t.Errorf("%q: want %v", v, want)
		}
	}
	if got := debVersion("0.1.0-dev"); got != "0.1.0~dev" {
		t.Error(got)
	}
}

func TestMistakes(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "tomorrow")
	for want, args := range map[string][]string{
		"say --version":           {"--version", "1"},
		"must be seconds":         {"--version", "1.2.3", "--out", t.TempDir()},
		"flag provided but not d": {"--nonsense"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

// stageOf is a folder of a few files, later changed in nothing that is packed.
func stageOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"rollcall.ext": "program", "packs/a.conf": "{}", "install.sh": "#!/bin/sh\n", "LICENSE": "free"} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestArchivesAreTheSame(t *testing.T) {
	var tars, zips [2]bytes.Buffer
	for i := range 2 {
		dir := stageOf(t)
		if err := errors.Join(tarball(&tars[i], dir, "rollcall_1", epoch), zipped(&zips[i], dir, epoch)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(tars[0].Bytes(), tars[1].Bytes()) || !bytes.Equal(zips[0].Bytes(), zips[1].Bytes()) {
		t.Error("the same files give other bytes")
	}
	zr, err := gzip.NewReader(&tars[0])
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = h.Mode
		if h.Uid != 0 || h.Uname != "root" || !h.ModTime.Equal(epoch) {
			t.Errorf("%+v", h)
		}
	}
	want := map[string]int64{"rollcall_1/LICENSE": 0o644, "rollcall_1/install.sh": 0o755, "rollcall_1/packs/": 0o755, "rollcall_1/packs/a.conf": 0o644, "rollcall_1/rollcall.ext": 0o755}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	z, err := zip.NewReader(bytes.NewReader(zips[0].Bytes()), int64(zips[0].Len()))
	if err != nil || len(z.File) != 4 {
		t.Errorf("%d files, %v", len(z.File), err)
	}
}

func TestSBOM(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "github.com/osquery-rollcall/rollcall", Version: "(devel)"}, Deps: []*debug.Module{
		{Path: "example.org/b", Version: "v1.0.0", Sum: "h1:abc="},
		{Path: "example.org/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/a", Version: "v2.0.0"}},
	}}
	one, err := billOf([]*debug.BuildInfo{info, info}, "1.2.3", epoch)
	if err != nil {
		t.Fatal(err)
	}
	again, err := billOf([]*debug.BuildInfo{info}, "1.2.3", epoch)
	if err != nil || !bytes.Equal(one, again) {
		t.Errorf("two SBOMs differ: %v", err)
	}
	var b bill
	if err := json.Unmarshal(one, &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || b.Metadata.Component.PURL != "pkg:golang/github.com/osquery-rollcall/rollcall@v1.2.3" || b.Metadata.Timestamp != "2026-11-26T07:02:22Z" || !strings.HasPrefix(b.Serial, "urn:uuid:") {
		t.Errorf("%+v, %s", b.Metadata, b.Serial)
	}
	var got []string
	for _, c := range b.Components {
		got = append(got, c.PURL)
	}
	if d := cmp.Diff([]string{"pkg:golang/example.org/a@v2.0.0", "pkg:golang/example.org/b@v1.0.0", "pkg:golang/std@1.26.8"}, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]property{{"go:sum", "h1:abc="}}, b.Components[1].Properties); d != "" {
		t.Error(d)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sbom([]string{program}, "1.2.3", epoch); err != nil {
		t.Error(err)
	}
	if _, err := sbom([]string{"build_test.go"}, "1.2.3", epoch); err == nil {
		t.Error("a file that is no program has an SBOM")
	}
}

func TestMSISettles(t *testing.T) {
	made := epoch.Add(1000 * time.Hour)
	msi := func(id string, at time.Time) []byte {
		b := append([]byte("front"), packageCode...)
		b = append(b, id+"}\x00middle\x40\x00\x00\x00"...)
		b = append(b, fileTime(at.Unix())...)
		return append(b, fileTime(at.Unix())...) // without its type: another thing
	}
	a, b := msi("5720D383-905D-40F2-ACF0-A8CA6EF2F65D", made), msi("56F0C5AF-2578-47DF-8A1B-1346B6834342", made.Add(time.Second))
	id := uuid("x")
	for _, m := range [][]byte{a, b} {
		if err := settleMSI(m, id, epoch, made, made.Add(2*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Equal(a, b) || !bytes.Equal(a[:len(a)-8], b[:len(b)-8]) || !bytes.Contains(a, []byte("{"+strings.ToUpper(id)+"}")) {
		t.Errorf("%q\n%q", a, b)
	}
	for _, bad := range [][]byte{nil, []byte("no id"), append(msi("a", made), msi("b", made)...), msi("5720D383-905D-40F2-ACF0-A8CA6EF2F65D", epoch.Add(time.Hour))} {
		if err := settleMSI(bad, id, epoch, made, made); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestUUID(t *testing.T) {
	if a, b := uuid("a", "b"), uuid("a", "b"); a != b || len(a) != 36 || a == uuid("ab") || a == uuid("b", "a") {
		t.Error(a, b)
	}
}

// TestScriptsAreShell: every script parses once it is filled in, and nothing is left to
// fill in.
func TestScriptsAreShell(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: there is no sh on Windows to read the scripts")
	}
	stage := t.TempDir()
	j := job{root: "..", version: "1.2.3-rc1"}
	if err := j.scripts(stage); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(stage, "*.sh"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	files = append(files, "darwin/install.sh", "darwin/uninstall.sh")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "${LOAD}") || strings.Contains(string(text), "${DEBVERSION}") {
			t.Errorf("%s is not filled in", f)
		}
		if out, err := exec.Command("sh", "-n", f).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", f, out)
		}
	}
}
