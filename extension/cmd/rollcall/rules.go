package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
)

func (f *sessionFlags) flags(fs *flag.FlagSet) {
	fs.StringVar(&f.configFile, "config", "", "configuration `file`")
	fs.StringVar(&f.stateDir, "state", "", "`dir`ectory of the state")
	fs.BoolVar(&f.temporary, "temporary", false, "forget everything at the end: no state is read or written")
	fs.BoolVar(&f.verbose, "verbose", false, "log what is going on")
	fs.Var(&f.from, "from", "file or folder (`path`) of recorded evidence, or - for standard input; can be given again")
	fs.StringVar(&f.fieldMaps, "fieldmap", "", "`file` of field maps for JSON of other forms")
}

const rulesHelp = `Usage: rollcall rules [flags]
       rollcall rules --survey DIR

Lists the loaded rules and those that were refused. --survey reads a directory of
Sigma rules (SigmaHQ's "rules", say) and prints how many process_creation rules
load, and why the others don't.

Flags:

Examples:
  rollcall rules
  rollcall rules --survey sigma/rules
`

func runRules(_ context.Context, env *environment, args []string) error {
	fs := newFlags(env, "rules", rulesHelp)
	configFile := fs.String("config", "", "configuration `file`")
	survey := fs.String("survey", "", "`dir`ectory of Sigma rules")
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return usage("rules: unexpected argument %q", fs.Arg(0))
	}
	if *survey != "" {
		info, err := os.Stat(*survey)
		if err != nil {
			return fmt.Errorf("survey rules: %w", err)
		}
		if !info.IsDir() {
			return usage("rules: --survey names a directory")
		}
		fmt.Fprint(env.stdout, sigma.Survey(os.DirFS(*survey), ".").String())
		return nil
	}
	_, judge, notes, err := app.NewJudge(*configFile)
	if err != nil {
		return err
	}
	for _, r := range judge.Rules.Rules() {
		fmt.Fprintf(env.stdout, "%-36s %-13s %-8s %-8s %s\n", r.ID, r.Severity(), nonEmpty(r.LogSource.Product, "any"), nonEmpty(string(r.Scope), "-"), r.Title)
	}
	for _, n := range notes {
		fmt.Fprintln(env.stderr, "rollcall:", n)
	}
	return nil
}
