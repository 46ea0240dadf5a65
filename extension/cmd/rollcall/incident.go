package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

const incidentHelp = `Usage: rollcall incident [flags] [ID]

Shows one incident for a person: what happened, why it was decided so, in what
order, and the analyst's questions answered. The beginning of an ID is enough.
Without an ID it lists the incidents, the most urgent first.

Flags:

Examples:
  rollcall incident
  rollcall incident --from /evidence --all
  rollcall incident b6dc
  rollcall incident b6dc --allow
`

func runIncident(ctx context.Context, env *environment, args []string) (err error) {
	fs := newFlags(env, "incident", incidentHelp)
	var f sessionFlags
	f.flags(fs)
	format := fs.String("format", "text", "text, markdown or json")
	all := fs.Bool("all", false, "list those that were only recorded, too")
	allow := fs.Bool("allow", false, "print the expiring configuration entry that would attribute it")
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 1 {
		return usage("incident: name one ID, or none for a list")
	}
	switch *format {
	case "text", "markdown", "json":
	default:
		return usage("incident: --format is text, markdown or json, not %q", *format)
	}
	if *allow && fs.NArg() == 0 {
		return usage("incident: --allow needs the ID of one")
	}
	s, err := f.open(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.collect(ctx, env, 0); err != nil {
		return fmt.Errorf("collect evidence: %w", err)
	}
	out := bufio.NewWriter(env.stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	if fs.NArg() == 0 {
		return listIncidents(ctx, s.app.Store, &pane{out, terminal(env)}, *format, *all)
	}
	x, err := findIncident(ctx, s.app.Store, fs.Arg(0))
	if err != nil {
		return err
	}
	if *allow {
		text, err := s.app.Judge.Allow(x, time.Now())
		if err != nil {
			return err
		}
		fmt.Fprint(out, text)
		return nil
	}
	switch *format {
	case "json":
		return incidentJSON(out, x)
	case "markdown":
		incidentMarkdown(out, x)
	default:
		incidentText(&pane{out, terminal(env)}, x)
	}
	return nil
}

func findIncident(ctx context.Context, st *store.Store, id string) (*incident.Incident, error) {
	found, err := st.FindIncidents(ctx, strings.ToLower(id))
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no incident %q: \"rollcall incident --all\" lists them", id)
	case 1:
		return found[0], nil
	}
	ids := make([]string, len(found))
	for i, x := range found {
		ids[i] = x.ID
	}
	return nil, fmt.Errorf("%q is the beginning of several: %s", id, strings.Join(ids, ", "))
}

func urgency(decision string) int {
	switch decision {
	case incident.Escalate:
		return 2
	case incident.Review:
		return 1
	}
	return 0
}

func listIncidents(ctx context.Context, st *store.Store, p *pane, format string, all bool) error {
	w := p.w
	var list []*incident.Incident
	recorded := 0
	err := st.Incidents(ctx, store.IncidentFilter{}, func(x *incident.Incident) error {
		if x.Decision == incident.Record && !all {
			recorded++
			return nil
		}
		list = append(list, x)
		return nil
	})
	if err != nil {
		return err
	}
	sortIncidents(list)
	if format == "json" {
		for _, x := range list {
			if err := incidentJSON(w, x); err != nil {
				return err
			}
		}
		return nil
	}
	for _, x := range list {
		tail := fmt.Sprintf("  %s  ", at(x.Opened))
		p.item(fmt.Sprintf("%s  %-8s  %3d %-13s%s", x.ID, x.Decision, x.Score, x.Severity, tail),
			fmt.Sprintf("%s  %s  %3d %s%s", x.ID, padded(p.o, x.Decision, 8), x.Score, padded(p.o, x.Severity, 13), tail), x.Summary, 4)
	}
	switch {
	case recorded > 0:
		fmt.Fprintf(w, "%d to look at; %d more were only recorded (--all shows them).\n", len(list), recorded)
	case len(list) == 0:
		fmt.Fprintln(w, "No incidents.")
	}
	return nil
}

func at(t int64) string { return time.Unix(t, 0).UTC().Format("2006-01-02 15:04:05Z") }

func incidentJSON(w io.Writer, x *incident.Incident) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		*incident.Incident
		Timeline []incident.Entry  `json:"timeline"`
		Triage   []incident.Answer `json:"triage"`
	}{x, x.Timeline(), x.Triage()})
}

// padded colours a word as the tables do and fills it up to a width.
func padded(o term.Options, word string, width int) string {
	return o.Paint(word) + strings.Repeat(" ", max(0, width-len(word)))
}

func incidentText(p *pane, x *incident.Incident) {
	w, o := p.w, p.o
	fmt.Fprintf(w, "Incident %s on %s, opened %s, %s\n\n", x.ID, nonEmpty(x.Host, "an unknown host"), at(x.Opened), x.Status)
	decision := strings.ToUpper(x.Decision)
	if painted := o.Paint(x.Decision); painted != x.Decision {
		decision = strings.Replace(painted, x.Decision, decision, 1)
	}
	fmt.Fprintf(w, "%s  score %d (%s)\n", decision, x.Score, o.Paint(x.Severity))
	for _, r := range x.DecisionReasons {
		p.item("  - ", "", r, 4)
	}
	fmt.Fprintln(w)
	p.item("", "", x.Summary+".", 0)
	fmt.Fprintln(w, "\nSum, in log-odds:")
	for _, r := range x.Reasons {
		p.item(fmt.Sprintf("  %+6.2f  %-26s ", r.Weight, r.Factor), "", r.Evidence, 37)
	}
	fmt.Fprintln(w, "\nTimeline:")
	phase := ""
	for _, e := range x.Timeline() {
		if e.Phase != phase {
			phase = e.Phase
			fmt.Fprintf(w, "  %s\n", o.Bold(phase))
		}
		points := ""
		if e.Score >= 0 {
			points = fmt.Sprint(e.Score)
		}
		p.item(fmt.Sprintf("    %s  %-10s %3s  ", at(e.Time), e.Kind, points), "", e.Subject, 42)
		if e.Detail != "" {
			p.item(strings.Repeat(" ", 42), "", e.Detail, 42)
		}
	}
	tier := ""
	for _, a := range x.Triage() {
		if a.Tier != tier {
			tier = a.Tier
			fmt.Fprintf(w, "\n%s\n", o.Bold(tier))
		}
		fmt.Fprintf(w, "  %2d. %s  [%s]\n", a.Step, o.Bold(a.Question), o.Paint(a.Verdict))
		p.item("      ", "", a.Answer, 6)
		for i, e := range a.Evidence {
			if i == 8 {
				fmt.Fprintf(w, "      * and %d more\n", len(a.Evidence)-i)
				break
			}
			p.item("      * ", "", e, 8)
		}
		// What is copied from here is not broken.
		if a.SQL != "" {
			fmt.Fprintf(w, "      sql: %s\n", a.SQL)
		}
		if a.Command != "" {
			fmt.Fprintf(w, "      $ %s\n", strings.ReplaceAll(a.Command, "\n", "\n        "))
		}
	}
}

// incidentMarkdown is for tickets. Texts of the evidence are shown as code, fenced by
// more backticks than they have.
func incidentMarkdown(w io.Writer, x *incident.Incident) {
	fmt.Fprintf(w, "# Incident %s: %s\n\n", x.ID, x.Decision)
	fmt.Fprintf(w, "| | |\n|---|---|\n| Host | %s |\n| Opened | %s |\n| Status | %s |\n| Score | %d (%s) |\n| Attribution | %s |\n\n",
		code(x.Host), at(x.Opened), x.Status, x.Score, x.Severity, code(string(x.Attribution.Kind)))
	fmt.Fprintf(w, "%s\n\n## Why\n\n", code(x.Summary))
	for _, r := range x.DecisionReasons {
		fmt.Fprintf(w, "- %s\n", code(r))
	}
	fmt.Fprint(w, "\n## Timeline\n\n| time | phase | kind | score | what | detail |\n|---|---|---|---|---|---|\n")
	for _, e := range x.Timeline() {
		points := ""
		if e.Score >= 0 {
			points = fmt.Sprint(e.Score)
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", at(e.Time), e.Phase, e.Kind, points, code(e.Subject), code(e.Detail))
	}
	tier := ""
	for _, a := range x.Triage() {
		if a.Tier != tier {
			tier = a.Tier
			fmt.Fprintf(w, "\n## %s\n", tier)
		}
		fmt.Fprintf(w, "\n%d. **%s** (%s) %s\n", a.Step, a.Question, a.Verdict, code(a.Answer))
		for _, e := range a.Evidence {
			fmt.Fprintf(w, "   - %s\n", code(e))
		}
		if a.Command != "" {
			fmt.Fprintf(w, "\n   ```\n   %s\n   ```\n", strings.ReplaceAll(a.Command, "\n", "\n   "))
		}
	}
}

// code shows a text as it is in Markdown, in a table too.
func code(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ReplaceAll(s, "|", "\u2502") // no escape of it works in every table
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

// sortIncidents puts the most urgent first, then the highest score, then the newest.
func sortIncidents(list []*incident.Incident) {
	slices.SortStableFunc(list, func(a, b *incident.Incident) int {
		return cmp.Or(cmp.Compare(urgency(b.Decision), urgency(a.Decision)), cmp.Compare(b.Score, a.Score), cmp.Compare(b.Opened, a.Opened))
	})
}
