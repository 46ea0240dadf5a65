//go:build unix

package config_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/config"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte("log_level: warn\n"), 0o600))
	must(t, os.Chmod(path, mode))
}

func TestWhatIsNoFileOfOursIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(path string)
		want    string // empty when it is read
	}{
		"plain":              {func(p string) { write(t, p, 0o644) }, ""},
		"writable by group":  {func(p string) { write(t, p, 0o664) }, "others can write"},
		"writable by others": {func(p string) { write(t, p, 0o602) }, "others can write"},
		"pipe":               {func(p string) { must(t, unix.Mkfifo(p, 0o600)) }, "not a regular file"},
		"directory":          {func(p string) { must(t, os.Mkdir(p, 0o700)) }, "not a regular file"},
		"device":             {func(p string) { must(t, os.Symlink("/dev/zero", p)) }, "not a regular file"},
		"link to ours":       {func(p string) { write(t, p+".real", 0o600); must(t, os.Symlink(p+".real", p)) }, ""},
		"link to anybody's":  {func(p string) { write(t, p+".real", 0o666); must(t, os.Symlink(p+".real", p)) }, "others can write"},
		"link to itself":     {func(p string) { must(t, os.Symlink(p, p)) }, "open the configuration"},
		"another user's": {func(p string) {
			write(t, p, 0o600)
			if os.Geteuid() != 0 {
				t.Skip("NOT TESTED: files of other users, which only root can make")
			}
			must(t, os.Chown(p, 65534, 65534))
		}, "belongs to uid 65534"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "rollcall.yaml")
			c.prepare(path)
			done := make(chan error, 1)
			go func() {
				cfg, err := config.Load(path, true)
				if err == nil && cfg.LogLevel != "warn" {
					t.Errorf("read %+v", cfg)
				}
				done <- err
			}()
			select {
			case err := <-done:
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
			case <-time.After(time.Minute):
				t.Fatal("it waits")
			}
		})
	}
}

func TestRulesOthersCanWriteAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules.d")
	if _, err := config.OpenRules(dir); !os.IsNotExist(err) {
		t.Errorf("no directory: %v", err)
	}
	must(t, os.MkdirAll(filepath.Join(dir, "open"), 0o755))
	write(t, filepath.Join(dir, "good.yml"), 0o644)
	write(t, filepath.Join(dir, "bad.yml"), 0o666)
	write(t, filepath.Join(dir, "open", "inside.yml"), 0o644)
	must(t, os.Chmod(filepath.Join(dir, "open"), 0o777))
	write(t, dir+".secret.yml", 0o600)
	must(t, os.Symlink("../rules.d.secret.yml", filepath.Join(dir, "out.yml")))
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe.yml"), 0o600))
	rules, err := config.OpenRules(dir)
	must(t, err)
	defer rules.Close()
	if data, err := fs.ReadFile(rules, "good.yml"); err != nil || len(data) == 0 {
		t.Errorf("a good rule: %v", err)
	}
	for name, want := range map[string]string{
		"bad.yml": "others can write", "open": "others can write", "out.yml": "escapes", "pipe.yml": "not a regular file",
		"../rules.d.secret.yml": "invalid", "none.yml": "no such file",
	} {
		if f, err := rules.Open(name); err == nil {
			_ = f.Close()
			t.Errorf("%s was opened", name)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	must(t, os.Chmod(dir, 0o777))
	if _, err := config.OpenRules(dir); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("a directory others can write: %v", err)
	}
}
