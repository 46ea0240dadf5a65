// Rollcall is the command for people: it queries Rollcall's tables without
// osquery, explains command lines, and writes the fleet's query packs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/version"
)

// environment is what a command works with besides its arguments.
type environment struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
}

// usageError is a mistake in the call: exit status 2.
type usageError struct{ text string }

func (u *usageError) Error() string { return u.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

type command struct {
	name, brief string
	run         func(ctx context.Context, env *environment, args []string) error
}

func commands() []command {
	return []command{
		{"query", "run SQL over Rollcall's tables on this host", runQuery},
		{"shell", "type SQL over Rollcall's tables", runShell},
		{"score", "explain what a command line runs and how it scores", runScore},
		{"incident", "show incidents: what happened, whose it is, what to do", runIncident},
		{"doctor", "say what keeps Rollcall from seeing, and the remedy", runDoctor},
		{"report", "write one page of what happened, for people", runReport},
		{"rules", "list rules, or survey a directory of Sigma rules", runRules},
		{"packs", "write or check a fleet's scheduled queries", runPacks},
		{"config", "check, show or describe the configuration", runConfig},
		{"docs", "write the pages of docs/ that come from the code", runDocs},
		{"version", "print the version", func(_ context.Context, env *environment, _ []string) error {
			fmt.Fprintln(env.stdout, "rollcall", version.String())
			return nil
		}},
	}
}

func main() {
	ctx, stop := context.Background(), func() {}
	if len(os.Args) < 2 || os.Args[1] != "shell" {
		// The shell's Ctrl-C stops a query, not the shell; it sees to that itself.
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	}
	env := &environment{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	code := run(ctx, env, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, env *environment, args []string) int {
	err := dispatch(ctx, env, args)
	var u *usageError
	var s *status
	switch {
	case errors.As(err, &s):
		return s.code
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &u):
		fmt.Fprintln(env.stderr, "rollcall:", err)
		return 2
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 130
	}
	fmt.Fprintln(env.stderr, "rollcall:", err)
	return 1
}

func dispatch(ctx context.Context, env *environment, args []string) error {
	if len(args) == 0 {
		help(env.stderr)
		return usage("name a command")
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		if args[0] == "help" && len(args) > 1 && args[1] != "help" {
			return dispatch(ctx, env, []string{args[1], "--help"})
		}
		help(env.stdout)
		return nil
	case "-version", "--version":
		args = []string{"version"}
	}
	for _, c := range commands() {
		if c.name == args[0] {
			err := c.run(ctx, env, args[1:])
			if err != nil && !errors.Is(err, flag.ErrHelp) && isFlagError(err) {
				return usage("%s: %v; see rollcall %s --help", c.name, err, c.name)
			}
			return err
		}
	}
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return usage("no command %q%s; rollcall --help lists them", args[0], config.Nearest(args[0], names))
}

// isFlagError tells the flag package's own errors, which have no type.
func isFlagError(err error) bool {
	for _, prefix := range []string{"flag provided but not defined", "invalid value", "flag needs an argument", "bad flag syntax", "invalid boolean"} {
		if len(err.Error()) >= len(prefix) && err.Error()[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

func help(w io.Writer) {
	fmt.Fprint(w, `Rollcall notices who lists this machine's services, and says why it matters.

Usage: rollcall COMMAND [flags] [arguments]

Commands:
`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.brief)
	}
	fmt.Fprint(w, `
Examples:
  rollcall score 'cmd /c "s^c  query"'
  rollcall query "SELECT component, state, remedy FROM service_discovery_health"
  rollcall query --for 30s "SELECT username, cmdline, score FROM service_discovery_events"
  rollcall incident --from /evidence/logs
  rollcall report --out report.html

"rollcall COMMAND --help" says more about each. NO_COLOR=1 turns colours off.
`)
}
