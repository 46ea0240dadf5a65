package main

import (
	"encoding/json"
	"flag"
	"fmt"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
)

// word is a value that logs write as text or as a number.
type word string

func (w *word) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(w))
	}
	if len(b) > 0 && (b[0] == '-' || '0' <= b[0] && b[0] <= '9') {
		*w = word(b)
	}
	return nil // null, lists and objects are as good as missing
}

// installInput is one line of "rollcall score --installs --format json -", with
// the keys of the events 7045 and 4697. Other keys are ignored.
type installInput struct {
	ID          word `json:"id"`
	ServiceName word `json:"ServiceName"`
	ImagePath   word `json:"ImagePath"`
	// ServiceFileName is 4697's name of the image path.
	ServiceFileName word `json:"ServiceFileName"`
	ServiceType     word `json:"ServiceType"`
	StartType       word `json:"StartType"`
	AccountName     word `json:"AccountName"`
	Installer       word `json:"installer"`
}

func (in *installInput) flags(fs *flag.FlagSet) {
	fs.StringVar((*string)(&in.ServiceName), "name", "", "with --installs: the service's name")
	fs.StringVar((*string)(&in.ServiceType), "type", "", "with --installs: the service's type, as words or a number")
	fs.StringVar((*string)(&in.AccountName), "account", "", "with --installs: the account it runs as")
}

func (in *installInput) install() service.Install {
	path := in.ImagePath
	if path == "" {
		path = in.ServiceFileName
	}
	t := service.ParseType(string(in.ServiceType))
	return service.Install{
		Kind: service.KindOf(t, string(in.ServiceName), string(path)), Name: string(in.ServiceName), ImagePath: string(path),
		Type: t, Start: service.ParseStart(string(in.StartType)), Account: string(in.AccountName), Installer: string(in.Installer),
	}
}

// installOutput is the verdict on an install as JSON.
type installOutput struct {
	ID       string         `json:"id"`
	Score    int            `json:"score"`
	Severity string         `json:"severity"`
	Reasons  []score.Reason `json:"reasons"`
	Error    string         `json:"error,omitempty"`
}

func judgeInstall(in *installInput, w score.Weights) installOutput {
	v := score.Install(service.Features(in.install()), nil, w)
	for i := range v.Reasons {
		v.Reasons[i].Evidence = engine.Presentable([]string{v.Reasons[i].Evidence})[0]
	}
	return installOutput{ID: string(in.ID), Score: v.Score, Severity: v.Severity, Reasons: v.Reasons}
}

func installLine(line []byte, w score.Weights) (out installOutput) {
	var in installInput
	failed := func(text string) installOutput {
		return installOutput{ID: string(in.ID), Severity: "informational", Reasons: []score.Reason{}, Error: text}
	}
	if err := json.Unmarshal(line, &in); err != nil {
		return failed("not a JSON object: " + err.Error())
	}
	defer func() {
		if r := recover(); r != nil {
			out = failed(fmt.Sprint("internal error: ", r))
		}
	}()
	return judgeInstall(&in, w)
}

// scoreInstall shows one verdict to a person or a program.
func scoreInstall(env *environment, in installInput, format string, w score.Weights) error {
	out := judgeInstall(&in, w)
	if format == "json" {
		return json.NewEncoder(env.stdout).Encode(out)
	}
	install := in.install()
	img := service.NormalizeImagePath(install.ImagePath, install.Kind)
	shown := engine.Presentable([]string{img.Program, img.Args})
	fmt.Fprintf(env.stdout, "Program: %s\n", nonEmpty(shown[0], "(none)"))
	if shown[1] != "" {
		fmt.Fprintf(env.stdout, "Arguments: %s\n", shown[1])
	}
	fmt.Fprintf(env.stdout, "Kind: %s\n", install.Kind)
	fmt.Fprintf(env.stdout, "Verdict: %d (%s)\n", out.Score, out.Severity)
	explainSum(env.stdout, out.Reasons)
	return nil
}
