package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/engine"
)

const configHelp = `Usage: rollcall config check [flags] [FILE]
       rollcall config show [flags] [FILE]
       rollcall config schema

"check" says what is wrong with a configuration, with line, column and the nearest
valid name. "show" prints every option in force and where it comes from. Both take the
host's own configuration when no FILE is named; - is standard input. With --central they
lay a fleet's configuration over it, the JSON that the view rollcall_config or the
option custom_rollcall holds. "schema" prints the JSON Schema of all options, which
editors complete and check by.

Flags:

Examples:
  rollcall config check /etc/rollcall/rollcall.yaml
  rollcall config check --central fleet.json
  rollcall config show --format json
  rollcall config schema > rollcall.schema.json
`

func runConfig(_ context.Context, env *environment, args []string) error {
	flags := newFlags(env, "config", configHelp)
	var f configFlags
	flags.StringVar(&f.central, "central", "", "`file` with a fleet's configuration (JSON)")
	flags.StringVar(&f.format, "format", "text", "show: text or json")
	sub := ""
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		sub, args = args[0], args[1:]
	}
	if err := parse(flags, args); err != nil {
		return err
	}
	if f.format != "text" && f.format != "json" {
		return usage("config: --format is text or json, not %q", f.format)
	}
	most := 1
	if sub == "schema" {
		most = 0
	}
	if flags.NArg() > most {
		return usage("config %s: unexpected argument %q", sub, flags.Arg(most))
	}
	f.file = flags.Arg(0)
	switch sub {
	case "check":
		return f.check(env)
	case "show":
		return f.show(env)
	case "schema":
		schema, err := config.Schema()
		if err != nil {
			return err
		}
		_, err = env.stdout.Write(schema)
		return err
	case "":
		return usage("config: say check, show or schema")
	}
	return usage("config: no command %q; see rollcall config --help", sub)
}

type configFlags struct {
	file, central, format string
}

// errConfig is the end of a check that found something: it was said already.
var errConfig = errors.New("config check: not valid")

func (f *configFlags) check(env *environment) error {
	name, data, err := f.own(env)
	if err != nil {
		return err
	}
	base, err := config.Parse(data)
	if err != nil {
		sayMistakes(env.stdout, name, err)
		return errConfig
	}
	if f.central == "" {
		fmt.Fprintf(env.stdout, "%s: valid\n", name)
		return nil
	}
	central, err := readConfig(env, f.central)
	if err != nil {
		return err
	}
	if _, err := config.Overlay(base, central); err != nil {
		sayMistakes(env.stdout, f.central, err)
		return errConfig
	}
	fmt.Fprintf(env.stdout, "%s: valid over %s, sha256 %s\n", f.central, name, config.Hash(central))
	return nil
}

// sayMistakes writes a line a mistake.
func sayMistakes(w io.Writer, name string, err error) {
	all := config.Mistakes{err}
	errors.As(err, &all)
	for _, err := range all {
		fmt.Fprintf(w, "%s: %s\n", name, plain(err.Error()))
	}
}

func (f *configFlags) show(env *environment) error {
	_, data, err := f.own(env)
	if err != nil {
		return err
	}
	var central []byte
	if f.central != "" {
		if central, err = readConfig(env, f.central); err != nil {
			return err
		}
	}
	settings, err := config.Settings(data, central)
	if err != nil {
		return err
	}
	if f.format == "json" {
		type row struct {
			Key    string `json:"key"`
			Value  string `json:"value"`
			Origin string `json:"origin"`
		}
		rows := []row{}
		for _, s := range settings {
			rows = append(rows, row(s))
		}
		enc := json.NewEncoder(env.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(rows)
	}
	w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
	for _, s := range settings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", plain(s.Key), plain(s.Value), s.Origin)
	}
	return w.Flush()
}

// own reads the host's configuration or the file that was named. Where Rollcall itself
// would refuse it, for its owner or its permissions, so does this.
func (f *configFlags) own(env *environment) (name string, data []byte, err error) {
	if f.file != "" {
		data, err = readConfig(env, f.file)
		return f.file, data, err
	}
	name, explicit := config.File()
	file, err := config.OpenTrusted(name, "the configuration")
	if errors.Is(err, fs.ErrNotExist) && !explicit {
		return "the defaults (" + name + " is not there)", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	data, err = limited(file)
	return name, data, err
}

func readConfig(env *environment, name string) ([]byte, error) {
	if name == "-" {
		return limited(env.stdin)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer file.Close()
	return limited(file)
}

func limited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, config.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(data) > config.MaxFile {
		return nil, errors.New("the configuration is larger than 1 MiB")
	}
	return data, nil
}

// plain is text of a file for a terminal.
func plain(s string) string { return engine.Presentable([]string{s})[0] }
