package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/osquery-rollcall/rollcall/packs"
)

const packsHelp = `Usage: rollcall packs [--format osquery] [--out DIR]

Writes the scheduled queries of the catalogue in the form osquery reads. Without
--out the pack goes to standard output.

Flags:
`

func runPacks(_ context.Context, env *environment, args []string) error {
	fs := newFlags(env, "packs", packsHelp)
	format := fs.String("format", "osquery", "osquery")
	out := fs.String("out", "", "directory to write to")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return usage("packs: unexpected argument %q", fs.Arg(0))
	}
	if *format != "osquery" {
		return usage("packs: --format is osquery, not %q", *format)
	}
	queries, err := packs.Catalogue()
	if err != nil {
		return err
	}
	data, err := packs.Osquery(queries)
	if err != nil {
		return err
	}
	if *out == "" {
		_, err = env.stdout.Write(data)
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return fmt.Errorf("write packs: %w", err)
	}
	path := filepath.Join(*out, packs.OsqueryName)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write packs: %w", err)
	}
	fmt.Fprintln(env.stdout, path)
	return nil
}
