package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/osquery-rollcall/rollcall/packs"
	"github.com/osquery-rollcall/rollcall/packs/check"
)

const packsCheckHelp = `Usage: rollcall packs check [FILE...]

Says what is wrong with scheduled queries: SQL that does not compile against the
tables of osquery 5.23 and Rollcall, fields nobody reads, platforms without the table,
events without a bound on time, intervals and budgets. Reads osquery packs and
configurations, Fleet's YAML (GitOps and apiVersion v1), parts of osctrl's, and the
catalogue. Without a file it checks what "rollcall packs" writes.

An error ends it with status 1; a warning does not.

Flags:

Examples:
  rollcall packs check
  rollcall packs check --quiet /etc/osquery/packs/t1007.conf
`

// errFindings is the end of a check that found errors.
var errFindings = errors.New("packs check: there are errors")

func runPacksCheck(ctx context.Context, env *environment, args []string) (err error) {
	fs := newFlags(env, "packs check", packsCheckHelp)
	quiet := fs.Bool("quiet", false, "leave warnings out")
	if err := parse(fs, args); err != nil {
		return err
	}
	c, err := check.New(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	var failed bool
	one := func(name string, data []byte) {
		for _, f := range c.File(ctx, data) {
			failed = failed || f.Level == check.Error
			if f.Level == check.Error || !*quiet {
				fmt.Fprintf(env.stdout, "%s: %s\n", name, f)
			}
		}
	}
	if fs.NArg() == 0 {
		catalogue, err := packs.Load()
		if err != nil {
			return err
		}
		one("catalogue", packs.Source())
		for _, format := range packs.Formats() {
			files, err := catalogue.Generate(format, packs.Options{})
			if err != nil {
				return err
			}
			for _, f := range files {
				if check.Readable(f.Name) {
					one(format+"/"+f.Name, f.Data)
				}
			}
		}
		cost := catalogue.Cost()
		fmt.Fprintf(env.stdout, "%d queries and %d policies; a median host logs %.1f rows (%.0f KB) a day and spends %.0f s of CPU\n",
			len(catalogue.Queries), len(catalogue.Policies), cost.Rows, cost.Bytes/1024, cost.MS/1000)
	}
	for _, name := range fs.Args() {
		data, err := readPack(env, name)
		if err != nil {
			return err
		}
		one(name, data)
	}
	if failed {
		return errFindings
	}
	return nil
}

// readPack reads a file, or standard input for "-".
func readPack(env *environment, name string) ([]byte, error) {
	in := env.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("check packs: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, check.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("check packs: %w", err)
	}
	return data, nil
}
