// Package programs builds what Rollcall ships, for the tests that run it.
package programs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The programs by name, each with its package.
const (
	Extension = "rollcall.ext"
	Command   = "rollcall"
)

var packages = map[string]string{Extension: "./extension", Command: "./extension/cmd/rollcall"}

// Build builds the named programs of the module at root into dir, the way they are
// shipped.
func Build(root, dir string, names ...string) error {
	for _, name := range names {
		out, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("build %s: %w", name, err)
		}
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, packages[name])
		build.Dir = root
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if said, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, said)
		}
		// Whatever the umask: others may run it, as osquery's do.
		if err := os.Chmod(out, 0o755); err != nil {
			return fmt.Errorf("build %s: %w", name, err)
		}
	}
	return nil
}

// Main builds both programs of the module at root, keeps their directory in *dir, and
// runs a package's tests. It returns what they exit with.
func Main(m *testing.M, root string, dir *string) int {
	made, err := os.MkdirTemp("", "rollcall-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(made)
	if err := Build(root, made, Extension, Command); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*dir = made
	return m.Run()
}
