package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/packs"
)

const packsHelp = `Usage: rollcall packs [--format FORMAT] [--out DIR]
       rollcall packs check [FILE...]

Writes the catalogue of scheduled queries in the form a fleet manager reads: osquery
(packs, flags), fleet (GitOps), fleet-legacy (fleetctl apply, Kolide Fleet), osctrl.
Without --out the queries go to standard output, without what belongs to them.

"packs check" says what is wrong with packs of any of these forms.

Flags:

Examples:
  rollcall packs --format fleet --out fleet
  rollcall packs --format osquery --shard 10 --out packs
  rollcall packs check packs/t1007.conf
`

func runPacks(ctx context.Context, env *environment, args []string) error {
	if len(args) > 0 && args[0] == "check" {
		return runPacksCheck(ctx, env, args[1:])
	}
	fs := newFlags(env, "packs", packsHelp)
	format := fs.String("format", packs.Osquery, strings.Join(packs.Formats(), ", "))
	out := fs.String("out", "", "`dir`ectory to write to")
	var o packs.Options
	fs.BoolVar(&o.FleetQueries, "fleet-queries", false, "fleet: the form before Fleet 4.83, \"queries\" for \"reports\"")
	fs.BoolVar(&o.FleetFree, "fleet-free", false, "fleet: leave out the labels, which need Fleet Premium")
	fs.IntVar(&o.Shard, "shard", 100, "osquery and osctrl: `percent` of the hosts that run the packs")
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return usage("packs: unexpected argument %q", fs.Arg(0))
	}
	if !slices.Contains(packs.Formats(), *format) {
		return usage("packs: --format is %s, not %q", strings.Join(packs.Formats(), ", "), *format)
	}
	if (o.FleetQueries || o.FleetFree) && *format != packs.Fleet {
		return usage("packs: --fleet-queries and --fleet-free need --format fleet")
	}
	if o.Shard < 1 || o.Shard > 100 {
		return usage("packs: --shard is a percentage, 1 to 100")
	}
	catalogue, err := packs.Load()
	if err != nil {
		return err
	}
	files, err := catalogue.Generate(*format, o)
	if err != nil {
		return err
	}
	if *out == "" {
		_, err = env.stdout.Write(files[0].Data)
		return err
	}
	for _, f := range files {
		path := filepath.Join(*out, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write packs: %w", err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			return fmt.Errorf("write packs: %w", err)
		}
		fmt.Fprintln(env.stdout, path)
	}
	return nil
}
