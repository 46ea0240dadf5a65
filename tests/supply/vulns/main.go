// Vulns looks for known vulnerabilities in what is shipped, with govulncheck. Both that and
// its database are modules, pinned as any module is, so that a check gives the same answer
// wherever and whenever it runs; a newer database is a newer version here.
//
// Its argument is the Go that builds what is shipped, "go1.26.10" or "local", which is the
// one at hand and stands in where the other cannot be had. A vulnerability that Rollcall
// calls is a failure; one of Go itself only where the Go is the one that builds what is
// shipped. Where a module cannot be had, nothing is tested, and that is said.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

const (
	checker  = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
	database = "golang.org/x/vulndb@v0.0.0-20261105234957-e22db6528018"
	standard = "stdlib" // govulncheck's name of Go itself
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	var missing *missing
	switch {
	case errors.As(err, &missing):
		fmt.Println("NOT TESTED: known vulnerabilities:", missing)
	case err != nil:
		fmt.Fprintln(os.Stderr, "vulns:", err)
		os.Exit(1)
	}
}

// missing says what cannot be had here.
type missing struct {
	what string
	err  error
}

func (m *missing) Error() string { return m.what + " cannot be had: " + m.err.Error() }

func run(ctx context.Context, args []string, to io.Writer) error {
	builder := builder("local")
	if len(args) > 0 {
		builder = toolchain(ctx, args[0], to)
	}
	dir, err := os.MkdirTemp("", "rollcall-vulns-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	out, err := builder.command(ctx, dir, "mod", "download", "-json", database)
	if err != nil {
		return &missing{"the database", err}
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return fmt.Errorf("read where the database is: %w", err)
	}
	n, err := write(filepath.Join(module.Dir, "data", "osv"), filepath.Join(dir, "db"))
	if err != nil {
		return err
	}
	if _, err := builder.command(ctx, ".", "run", checker, "-version"); err != nil {
		return &missing{"govulncheck", err}
	}
	out, err = builder.command(ctx, ".", "run", checker, "-db", "file://"+filepath.ToSlash(filepath.Join(dir, "db")), "-format", "json", "./extension", "./extension/cmd/rollcall")
	if err != nil {
		return fmt.Errorf("look for vulnerabilities: %w", err)
	}
	found, err := called(bytes.NewReader(out))
	if err != nil {
		return err
	}
	fmt.Fprintf(to, "%d known vulnerabilities of Go and its modules, of which Rollcall calls %d\n", n, len(found))
	bad := 0
	for _, id := range slices.Sorted(maps.Keys(found)) {
		f := found[id]
		fmt.Fprintf(to, "  %s in %s %s, mended in %s: %s\n", id, f.module, f.version, f.fixed, f.symbol)
		if f.module != standard || builder != "local" {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d vulnerabilities are called", bad)
	}
	if len(found) > 0 {
		fmt.Fprintln(to, "NOT MENDED HERE: those are of Go itself; build releases with a Go that has the versions above")
	}
	return nil
}

// builder is the Go that runs, as GOTOOLCHAIN names it.
type builder string

// toolchain returns the Go that is asked for, or the one at hand where that cannot be had.
func toolchain(ctx context.Context, name string, to io.Writer) builder {
	b := builder(name)
	if _, err := b.command(ctx, ".", "version"); err != nil {
		fmt.Fprintf(to, "NOT TESTED: known vulnerabilities of %s: %v\n", name, err)
		return "local"
	}
	return b
}

// command runs the go command in dir.
func (b builder) command(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOTOOLCHAIN="+string(b))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w: %.500s", strings.Join(args, " "), err, said.String()+out.String())
	}
	return out.Bytes(), nil
}

// finding is a vulnerability and what of it is called.
type finding struct{ module, version, fixed, symbol string }

// called reads what govulncheck tells, and keeps what is called.
func called(r io.Reader) (map[string]finding, error) {
	found := map[string]finding{}
	for dec := json.NewDecoder(r); ; {
		var message struct {
			Finding *struct {
				OSV   string `json:"osv"`
				Fixed string `json:"fixed_version"`
				Trace []struct{ Module, Version, Package, Receiver, Function string }
			} `json:"finding"`
		}
		if err := dec.Decode(&message); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("read what govulncheck tells: %w", err)
		}
		f := message.Finding
		if f == nil || len(f.Trace) == 0 || f.Trace[0].Function == "" {
			continue
		}
		if _, has := found[f.OSV]; !has {
			at := f.Trace[0]
			symbol := strings.TrimPrefix(strings.Join([]string{at.Package, at.Receiver, at.Function}, "."), ".")
			found[f.OSV] = finding{at.Module, at.Version, f.Fixed, strings.ReplaceAll(symbol, "..", ".")}
		}
	}
}
