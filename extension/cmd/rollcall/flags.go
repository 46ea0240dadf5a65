package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// newFlags returns a flag set that prints its help to stdout when asked for it. Where
// the help says "Flags:" on a line of its own, they are listed. A mistake prints
// nothing: it is said once, by run.
func newFlags(env *environment, name, help string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	var mistake strings.Builder // the flag package writes it before it calls Usage
	fs.SetOutput(&mistake)
	fs.Usage = func() {
		if mistake.Len() > 0 {
			return
		}
		before, after, _ := strings.Cut(help, "\nFlags:\n")
		fmt.Fprint(env.stdout, before, "\nFlags:\n")
		listFlags(env.stdout, fs)
		fmt.Fprint(env.stdout, after)
	}
	return fs
}

// listFlags writes a line a flag, the way it is typed.
func listFlags(w io.Writer, fs *flag.FlagSet) {
	column := 0
	type line struct{ flag, text string }
	var lines []line
	fs.VisitAll(func(f *flag.Flag) {
		kind, text := flag.UnquoteUsage(f)
		l := line{"--" + f.Name, text}
		switch kind {
		case "":
		case "string":
			l.flag += " TEXT"
		case "int":
			l.flag += " NUMBER"
		default:
			l.flag += " " + strings.ToUpper(kind)
		}
		switch f.DefValue {
		case "", "false", "0", "0s":
		default:
			l.text += " (default " + f.DefValue + ")"
		}
		column = max(column, len(l.flag))
		lines = append(lines, l)
	})
	for _, l := range lines {
		fmt.Fprintf(w, "  %-*s  %s\n", column, l.flag, l.text)
	}
}

// parse reads flags before and after the other arguments, which people write in either
// order. After "--" nothing is a flag.
func parse(fs *flag.FlagSet, args []string) error {
	var others []string
	for {
		if err := fs.Parse(args); err != nil {
			return err
		}
		rest := fs.Args()
		if n := len(args) - len(rest); len(rest) == 0 || n > 0 && args[n-1] == "--" {
			others = append(others, rest...)
			break
		}
		others, args = append(others, rest[0]), rest[1:]
	}
	return fs.Parse(append([]string{"--"}, others...))
}
