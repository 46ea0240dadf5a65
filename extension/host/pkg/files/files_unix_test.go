//go:build unix

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func write(t testing.TB, root, name, text string) {
	t.Helper()
	p := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if to, ok := strings.CutPrefix(text, "-> "); ok {
		if err := os.Symlink(to, p); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestResolve(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/b/file": "x", "abs": "-> /a/b/file", "rel": "-> a/../a/./b/file", "dir": "-> /a", "up": "-> ../../../../../a/b/file", "a/b/back": "-> ../../rel",
		"loop": "-> loop", "l1": "-> l2/x", "l2": "-> l1/x", "dangling": "-> /a/none/x", "through": "-> /a/b/file/x",
	} {
		write(t, root, name, text)
	}
	for i := range 60 {
		write(t, root, fmt.Sprintf("chain%d", i), fmt.Sprintf("-> chain%d", i+1))
	}
	tree := New(root, Options{})
	for p, want := range map[string]string{
		"/a/b/file": "/a/b/file", "/abs": "/a/b/file", "/rel": "/a/b/file", "/dir/b/file": "/a/b/file", "/up": "/a/b/file", "/a/b/back": "/a/b/file",
		"//a//b/./file": "/a/b/file", "/dir/../a/b": "/a/b", "/../../a": "/a", "/": "/", "/a/b/..": "/a", "/a/": "/a",
	} {
		r, err := tree.Resolve(p, 0)
		if err != nil || r.Path != want {
			t.Errorf("%s: %s %v", p, r.Path, err)
		}
	}
	for p, want := range map[string]error{
		"/loop": ErrLoop, "/l1": ErrLoop, "/chain0": ErrLoop, "/dangling": fs.ErrNotExist, "/through": fs.ErrNotExist, "/a/b/file/x": fs.ErrNotExist,
		"": ErrPath, "relative": ErrPath, "/nul\x00": ErrPath, "/" + strings.Repeat("x/", 3000): ErrPath, strings.Repeat("/.", 2000) + "/none": fs.ErrNotExist,
	} {
		if _, err := tree.Resolve(p, 0); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", p, err, want)
		}
	}
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, root, "f", strings.Repeat("x", 1000))
	write(t, root, "l", "-> f")
	tree := New(root, Options{})
	began := time.Now()
	for _, p := range []string{"/fifo", "/"} {
		if _, _, err := tree.ReadFile(p, 10); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if b, cut, err := tree.ReadFile("/l", 10); len(b) != 10 || !cut || err != nil {
		t.Errorf("%d %v %v", len(b), cut, err)
	}
	if b, cut, err := tree.ReadFile("/l", 1000); len(b) != 1000 || cut || err != nil {
		t.Errorf("%d %v %v", len(b), cut, err)
	}
	// What was a file when it was looked at is a link now: it isn't followed.
	r, err := tree.Resolve("/f", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "f")); err != nil {
		t.Fatal(err)
	}
	write(t, root, "f", "-> /etc/passwd")
	if b, _, _, err := tree.ReadResolved(r, 10); err == nil {
		t.Errorf("read %q through a link", b)
	}
	if err := os.Remove(filepath.Join(root, "f")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(root, "f"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := tree.ReadResolved(r, 10); err == nil {
		t.Error("read a fifo")
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("took %v", took)
	}
}
