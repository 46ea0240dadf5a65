package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
	"github.com/osquery-rollcall/rollcall/extension/doctor"
	"github.com/osquery-rollcall/rollcall/extension/version"
)

const doctorHelp = `Usage: rollcall doctor [flags]

Says what keeps Rollcall from seeing, and what to do about each: osquery and its flags,
the extension and who could change it, the kernel's audit, configuration, rules and
indicators, the state and how fresh it is, every source of evidence, the schedule. It
changes nothing and starts no program; as root it sees all.

Ends with status 0 when all is well, 1 with warnings, 2 with failures.

Flags:

Examples:
  rollcall doctor
  rollcall doctor --all
  rollcall doctor --format json
`

// status is the end of a command that said already why it ends so.
type status struct{ code int }

func (s *status) Error() string { return fmt.Sprintf("status %d", s.code) }

func runDoctor(ctx context.Context, env *environment, args []string) error {
	fs := newFlags(env, "doctor", doctorHelp)
	format := fs.String("format", "text", "text or json")
	configFile := fs.String("config", "", "configuration `file`")
	stateDir := fs.String("state", "", "`dir`ectory of the state")
	all := fs.Bool("all", false, "say of what is optional, too, how it is turned on")
	flagFile := fs.String("flagfile", "", "osquery's flag `file`, where it is not at a usual place")
	if err := parse(fs, args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return usage("doctor: unexpected argument %q", fs.Arg(0))
	case *format != "text" && *format != "json":
		return usage("doctor: --format is text or json, not %q", *format)
	}
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	host := doctor.ThisHost(*configFile, *stateDir, *flagFile)
	host.Machine = app.MachineID(name)
	checks := doctor.Diagnose(ctx, host)
	out := bufio.NewWriter(env.stdout)
	if *format == "json" {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(struct {
			Version string         `json:"version"`
			Host    string         `json:"host"`
			Time    int64          `json:"time"`
			State   string         `json:"state"`
			Checks  []doctor.Check `json:"checks"`
		}{version.Number, name, host.Now.Unix(), doctor.Worst(checks), checks})
	} else {
		fmt.Fprintf(out, "rollcall %s on %s (%s), %s\n\n", version.Number, terminal(env).Visible(name), host.Platform, host.Now.UTC().Format(time.DateTime+"Z"))
		showChecks(out, terminal(env), checks, *all)
	}
	if err != nil {
		return fmt.Errorf("write the checks: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the checks: %w", err)
	}
	switch doctor.Worst(checks) {
	case doctor.Fail:
		return &status{2}
	case doctor.Warn:
		return &status{1}
	}
	return nil
}

// showChecks writes a line a check: its state, its name, what was found, and below it
// the remedy: all of them, or those of what is wrong.
func showChecks(w io.Writer, o term.Options, checks []doctor.Check, all bool) {
	column := 0
	count := map[string]int{}
	for _, c := range checks {
		column = max(column, term.Width(o.Visible(c.Name)))
		count[c.State]++
	}
	const left = 6 // of the state
	indent := strings.Repeat(" ", left+column+2)
	width := 0
	if o.Width > len(indent)+24 {
		width = o.Width - len(indent)
	}
	for _, c := range checks {
		name := o.Visible(c.Name)
		fmt.Fprintf(w, "%s%s%s%s", paint(o, c.State), strings.Repeat(" ", left-len(c.State)), name, strings.Repeat(" ", column-term.Width(name)+2))
		fmt.Fprintln(w, strings.Join(words(o.Visible(c.Detail), width), "\n"+indent))
		if c.Remedy != "" && (all || c.State != doctor.Skip) {
			fmt.Fprintf(w, "%s-> %s\n", indent, strings.Join(words(o.Visible(c.Remedy), width-3), "\n"+indent+"   "))
		}
	}
	fmt.Fprintf(w, "\n%d ok, %d warnings, %d failures, %d not looked at or optional\n", count[doctor.OK], count[doctor.Warn], count[doctor.Fail], count[doctor.Skip])
}

// paint colours a state like the state of a source.
func paint(o term.Options, state string) string {
	like := map[string]string{doctor.OK: "ok", doctor.Warn: "degraded", doctor.Fail: "failed", doctor.Skip: "off"}[state]
	return strings.Replace(o.Paint(like), like, state, 1)
}

// words breaks a text at blanks into lines of a width; 0 is one line.
func words(s string, width int) []string {
	if width <= 0 {
		return []string{s}
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && term.Width(line)+1+term.Width(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
