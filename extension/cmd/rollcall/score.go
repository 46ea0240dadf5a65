package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// scoreInput is one line of "rollcall score --format json -".
type scoreInput struct {
	ID               string `json:"id"`
	Platform         string `json:"platform"`
	Path             string `json:"path"`
	CmdLine          string `json:"cmdline"`
	Parent           string `json:"parent"`
	ParentCmdLine    string `json:"parent_cmdline"`
	User             string `json:"user"`
	OriginalFileName string `json:"original_filename"`
}

func (in scoreInput) process() evidence.Process {
	return evidence.Process{
		Platform: evidence.ParsePlatform(in.Platform), Path: in.Path, CmdLine: in.CmdLine, ParentPath: in.Parent,
		ParentCmdLine: in.ParentCmdLine, Username: in.User, OriginalFileName: in.OriginalFileName,
	}
}

// scoreOutput is the verdict as JSON, one line an input.
type scoreOutput struct {
	ID        string         `json:"id"`
	T1007     bool           `json:"t1007"`
	Scope     string         `json:"scope"`
	Technique string         `json:"technique"`
	Score     int            `json:"score"`
	Severity  string         `json:"severity"`
	RuleIDs   []string       `json:"rule_ids"`
	Canonical []string       `json:"canonical"`
	Reasons   []score.Reason `json:"reasons"`
	Error     string         `json:"error,omitempty"`
}

func output(id string, v engine.Verdict) scoreOutput {
	out := scoreOutput{ID: id, T1007: v.T1007, Scope: string(v.Scope), Technique: v.Technique, Score: v.Score, Severity: v.Severity,
		RuleIDs: v.RuleIDs, Canonical: engine.Presentable(v.Canonical), Reasons: v.Reasons}
	if out.RuleIDs == nil {
		out.RuleIDs = []string{}
	}
	if out.Reasons == nil {
		out.Reasons = []score.Reason{}
	}
	return out
}

const scoreHelp = `Usage: rollcall score [flags] 'COMMAND LINE'
       rollcall score [flags] --format json -
       rollcall score --installs [--name NAME] 'IMAGE PATH'
       rollcall score --installs --format json -

Explains one command line: what it runs, which rules match, how it scores.
With "-" it reads one JSON object a line (id, platform, path, cmdline, parent,
parent_cmdline, user, original_filename) and prints one verdict a line.
With --installs it explains a service that was installed, by the command line its
manager holds; the objects are then events 7045 and 4697 (id, ServiceName,
ImagePath, ServiceType, StartType, AccountName, installer).

Flags:

Examples:
  rollcall score 'cmd /c "s^c  qu^ery | find /i "running""'
  rollcall score --parent /usr/sbin/nginx --user www-data 'systemctl list-units --type=service'
  rollcall score --installs --name Updater 'C:\Users\Public\u.exe -k'
`

func runScore(ctx context.Context, env *environment, args []string) error {
	fs := newFlags(env, "score", scoreHelp)
	var in scoreInput
	fs.StringVar(&in.Platform, "platform", "", "windows, linux or darwin; guessed from the text when not given")
	fs.StringVar(&in.Path, "path", "", "image that runs")
	fs.StringVar(&in.Parent, "parent", "", "image of the parent")
	fs.StringVar(&in.User, "user", "", "user who runs it")
	format := fs.String("format", "text", "text or json")
	configFile := fs.String("config", "", "configuration `file`")
	installs := fs.Bool("installs", false, "score installs of services instead of command lines")
	var install installInput
	install.flags(fs)
	// What follows the first word is of the command line, flags too.
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *format != "text" && *format != "json" {
		return usage("score: --format is text or json, not %q", *format)
	}
	if fs.NArg() == 0 {
		return usage("score: name a command line in quotes, or - to read JSON lines")
	}
	if in.Platform != "" && evidence.ParsePlatform(in.Platform) == "" {
		return usage("score: --platform is windows, linux or darwin, not %q", in.Platform)
	}
	if !*installs && install != (installInput{}) {
		return usage("score: --name, --type and --account describe a service: they need --installs")
	}
	_, judge, notes, err := app.NewJudge(*configFile)
	if err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintln(env.stderr, "rollcall:", n)
	}
	if *installs {
		if fs.Arg(0) != "-" {
			install.ImagePath = word(strings.Join(fs.Args(), " "))
			if in.User != "" {
				install.Installer = word(in.User)
			}
			return scoreInstall(env, install, *format, judge.Weights)
		}
		if *format != "json" {
			return usage("score: reading from - needs --format json")
		}
		return scoreLines(ctx, env, func(line []byte) installOutput { return installLine(line, judge.Weights) })
	}
	if fs.NArg() == 1 && fs.Arg(0) == "-" {
		if *format != "json" {
			return usage("score: reading from - needs --format json")
		}
		return scoreLines(ctx, env, func(line []byte) scoreOutput { return scoreLine(judge, line) })
	}
	in.CmdLine = strings.Join(fs.Args(), " ")
	p := in.process()
	v := judge.Judge(&p, nil, time.Now())
	if *format == "json" {
		enc := json.NewEncoder(env.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(output("", v))
	}
	explain(env.stdout, terminal(env), v)
	return nil
}

// maxLine bounds one line of input.
const maxLine = 4 << 20

// scoreLines judges NDJSON by row on all processors, in order. row must not panic.
func scoreLines[T any](ctx context.Context, env *environment, row func(line []byte) T) error {
	type job struct {
		line []byte
		out  chan T
	}
	workers := runtime.GOMAXPROCS(0)
	jobs := make(chan job, 4*workers)
	order := make(chan chan T, 16*workers)
	for range workers {
		go func() { // ends when jobs is closed
			for j := range jobs {
				j.out <- row(j.line)
			}
		}()
	}
	readErr := make(chan error, 1)
	go func() { // ends at end of input, or with the program when that is interrupted
		defer close(order)
		defer close(jobs)
		r := bufio.NewReaderSize(env.stdin, 1<<20)
		if mark, err := r.Peek(3); err == nil && string(mark) == "\ufeff" {
			_, _ = r.Discard(len(mark)) // PowerShell begins its files with it
		}
		for {
			line, err := readLine(r)
			if len(strings.TrimSpace(string(line))) > 0 {
				j := job{line, make(chan T, 1)}
				order <- j.out
				jobs <- j
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					readErr <- fmt.Errorf("read input: %w", err)
				}
				close(readErr)
				return
			}
		}
	}()
	w := bufio.NewWriter(env.stdout)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var writeErr error
	for {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), w.Flush())
		case out, ok := <-order:
			if !ok {
				if writeErr == nil {
					writeErr = w.Flush()
				}
				return errors.Join(<-readErr, writeErr)
			}
			o := <-out
			if writeErr == nil {
				writeErr = enc.Encode(o)
			}
		}
	}
}

// readLine reads one line of at most maxLine bytes; the rest of a longer one is
// skipped.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line) < maxLine {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func scoreLine(judge *engine.Judge, line []byte) (out scoreOutput) {
	var in scoreInput
	if err := json.Unmarshal(line, &in); err != nil {
		return scoreOutput{RuleIDs: []string{}, Canonical: []string{}, Reasons: []score.Reason{}, Severity: "informational", Error: "not a JSON object: " + err.Error()}
	}
	defer func() {
		if r := recover(); r != nil {
			out = scoreOutput{ID: in.ID, RuleIDs: []string{}, Canonical: []string{}, Reasons: []score.Reason{}, Severity: "informational", Error: fmt.Sprint("internal error: ", r)}
		}
	}()
	p := in.process()
	return output(in.ID, judge.Judge(&p, nil, time.Now()))
}

// explain shows a verdict to a person.
func explain(w io.Writer, o term.Options, v engine.Verdict) {
	fmt.Fprintln(w, "Runs:")
	matched := map[int][]string{}
	for _, h := range v.Hits {
		if h.Command >= 0 {
			matched[h.Command] = append(matched[h.Command], fmt.Sprintf("%s [%s, %s]", h.Rule.Title, h.Rule.Severity(), h.Rule.ID))
		}
	}
	for i := range v.Commands {
		c := &v.Commands[i]
		text := c.Canonical
		if text == "" {
			text = "(not understood) " + c.Raw
		}
		fmt.Fprintf(w, "  %s%s\n", strings.Repeat("  ", c.Depth), engine.Presentable([]string{text})[0])
		indent := strings.Repeat("  ", c.Depth)
		if len(c.Wrappers) > 0 {
			fmt.Fprintf(w, "  %s  through %s\n", indent, strings.Join(c.Wrappers, " > "))
		}
		if len(c.Obfuscation) > 0 {
			fmt.Fprintf(w, "  %s  hidden by %v\n", indent, c.Obfuscation)
		}
		if c.RemoteHost != "" {
			fmt.Fprintf(w, "  %s  on %s\n", indent, engine.Presentable([]string{c.RemoteHost})[0])
		}
		for _, m := range matched[i] {
			fmt.Fprintf(w, "  %s  matches %s\n", indent, m)
		}
	}
	for _, issue := range v.Issues {
		fmt.Fprintln(w, "  note:", engine.Presentable([]string{issue})[0])
	}
	if !v.Matched {
		fmt.Fprintln(w, "Verdict: no rule matches; not service discovery.")
		return
	}
	fmt.Fprintf(w, "Verdict: %d (%s), scope %s, technique %s\n", v.Score, o.Paint(v.Severity), nonEmpty(string(v.Scope), "-"), nonEmpty(v.Technique, "-"))
	explainSum(w, v.Reasons)
}

func explainSum(w io.Writer, reasons []score.Reason) {
	fmt.Fprintln(w, "Sum, in log-odds:")
	for _, r := range reasons {
		fmt.Fprintf(w, "  %+6.2f  %-22s %s\n", r.Weight, r.Factor, r.Evidence)
	}
}

func nonEmpty(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
