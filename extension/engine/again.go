package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// Where logons are read only when an incident asks for them, what was judged by then knew
// nothing of whoever logged on. It is remembered for a while, and judged anew when more is
// known of that.

// The bounds of what is remembered.
const (
	recallFor      = time.Hour
	recallCommands = 256
	recallInstalls = 128
)

// recall is what may be judged anew, the oldest first.
type recall struct {
	commands []*judgedCommand
	installs []*judgedInstall
}

type judgedCommand struct {
	recorded int64
	sighting *sighting
	process  evidence.Process
	around   Surroundings
	history  *recorder
	told     incident.Command
}

type judgedInstall struct {
	recorded  int64
	install   evidence.Install
	installer *evidence.Process
	around    Surroundings
	history   *recorder
	told      incident.Install
}

// recorder keeps what was asked of a history, so that the same question has the same
// answer later, when the answer would count what was judged.
type recorder struct {
	History
	asked map[store.BaselineKey]answer
}

type answer struct {
	state baseline.State
	rate  float64
}

func newRecorder(h History) *recorder {
	return &recorder{h, map[store.BaselineKey]answer{}}
}

// Of implements History.
func (r *recorder) Of(username, family string) (baseline.State, float64) {
	k := store.BaselineKey{Username: username, Family: family}
	a, ok := r.asked[k]
	if !ok {
		a.state, a.rate = r.History.Of(username, family)
		r.asked[k] = a
	}
	return a.state, a.rate
}

// judgedBy is the history to judge by what is of a host. Where that may be judged anew, it
// is recorded in asked, which is nil elsewhere.
func (e *Engine) judgedBy(host string, h *history) (by History, asked *recorder) {
	if e.opts.WantLogons == nil || !strings.EqualFold(host, e.opts.Host) {
		return h, nil
	}
	asked = newRecorder(h)
	return asked, asked
}

// rejudge judges anew what more became known of, and returns what makes that known for
// good: to be called once it is stored.
func (e *Engine) rejudge(h *history, now time.Time) (stored func()) {
	old := now.Unix() - int64(recallFor/time.Second)
	e.recall.commands = slices.DeleteFunc(e.recall.commands, func(c *judgedCommand) bool { return c.recorded < old })
	e.recall.installs = slices.DeleteFunc(e.recall.installs, func(x *judgedInstall) bool { return x.recorded < old })
	var keep []func()
	var installs []incident.Install
	for _, x := range e.recall.installs {
		around := x.around
		around.Visits = e.sessions.visits(x.install.Host, x.install.Time)
		around.LoginSource = e.sessions.from(x.install.Host, installerOf(&x.install), x.install.LogonID, x.install.Time)
		installer := x.installer
		if installer != nil && installer.LoginSource == "" && around.LoginSource != "" {
			p := *installer
			p.LoginSource = around.LoginSource
			installer = &p
		}
		if around.LoginSource == x.around.LoginSource && slices.Equal(around.Visits, x.around.Visits) {
			continue
		}
		told := x.told
		if err := guarded(func() {
			x.history.History = h
			v := e.opts.Judge.JudgeInstall(&x.install, installer, x.history, around, now)
			told.Verdict = v.told()
		}); err != nil {
			e.opts.Logger.Error("could not judge an install anew", "source", x.install.Source, "error", err)
			continue
		}
		installs = append(installs, told)
		keep = append(keep, func() { x.around, x.installer, x.told = around, installer, told })
	}
	e.book.Rejudge(installs, nil) // what runs under them is judged by that
	var commands []incident.Rejudged
	for _, c := range e.recall.commands {
		p, around := c.process, c.around
		if p.LoginSource == "" {
			p.LoginSource = e.sessions.from(p.Host, loginOf(&p), p.LogonID, p.Time)
		}
		chain := chainOf(p.Ancestry, p.ParentPID, p.ParentPath, p.ParentCmdLine)
		around.YoungService, around.Under = e.youngService(p.Host, chain, p.Time, nil), e.under(p.Host, chain, p.Time, nil)
		if p.LoginSource == c.process.LoginSource && around.YoungService == c.around.YoungService && around.Under == c.around.Under {
			continue
		}
		told := c.told
		if err := guarded(func() {
			c.history.History = h
			v := e.opts.Judge.verdict(&p, c.sighting.understood, c.history, around, now)
			told.Verdict, told.From = v.told(), shown(p.LoginSource)
		}); err != nil {
			e.opts.Logger.Error("could not judge a process anew", "source", p.Source, "error", err)
			continue
		}
		commands = append(commands, incident.Rejudged{Command: told, Was: c.told.Attribution.Attributed()})
		keep = append(keep, func() { c.process, c.around, c.told = p, around, told })
	}
	e.book.Rejudge(nil, commands)
	return func() {
		for _, f := range keep {
			f()
		}
	}
}

// rememberCommand keeps a command that was judged.
func (e *Engine) rememberCommand(s *sighting, p evidence.Process, around Surroundings, h *recorder, told incident.Command, now time.Time) {
	if len(e.recall.commands) >= recallCommands {
		e.recall.commands = slices.Delete(e.recall.commands, 0, 1)
	}
	e.recall.commands = append(e.recall.commands, &judgedCommand{now.Unix(), s, p, around, h, told})
}

// rememberInstall keeps an install that was judged, as it was before it was made fit to be
// shown.
func (e *Engine) rememberInstall(x *judgedInstall, told incident.Install, now time.Time) {
	if len(e.recall.installs) >= recallInstalls {
		e.recall.installs = slices.Delete(e.recall.installs, 0, 1)
	}
	x.told, x.recorded = told, now.Unix()
	e.recall.installs = append(e.recall.installs, x)
}

// loginOf is who is behind a process, as logons name them.
func loginOf(p *evidence.Process) string {
	login := account(p.LoginUser, p.LoginUID)
	if login == "" && personal(p) {
		login = p.Username // Windows has one name
	}
	return login
}

// told is the judgement as incidents keep it.
func (v *Judgement) told() incident.Verdict {
	return incident.Verdict{Score: v.Score, Severity: v.Severity, Reasons: v.Reasons, Attribution: v.Attribution, Never: v.Lineage, IOC: v.IOC, Critical: v.Critical, Sensitive: v.Sensitive}
}

// guarded makes an error of a panic over what somebody else wrote.
func guarded(judge func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("judging panicked: %v", r)
		}
	}()
	judge()
	return nil
}
