package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

const (
	// installWindow is how far apart sources may date one install, seconds.
	installWindow = 120
	// The processes looked through for who installed something: how long before and
	// after it they started, in seconds, and how many.
	installerBefore = 1800 // package managers take long
	installerAfter  = 20
	installerMost   = 512
)

// Facts turns an install into the model that features are found in.
func installFacts(in *evidence.Install) service.Install {
	t := service.ParseType(in.ServiceType)
	image := in.ImagePath
	if image == "" {
		image = strings.TrimSpace(in.Path + " " + in.Args)
	}
	if image == "" && in.ServiceDLL != "" {
		image = `%SystemRoot%\System32\svchost.exe -k netsvcs` // what loads libraries for services
	}
	kind := service.Kind(in.Kind)
	if kind == "" || kind == service.WindowsService && t.Driver() {
		kind = service.KindOf(t, in.Name, image)
	}
	return service.Install{
		Kind: kind, Name: in.Name, DisplayName: in.DisplayName, ImagePath: image, ServiceDLL: in.ServiceDLL, UnitPath: in.UnitPath, Type: t,
		Start: service.ParseStart(in.StartType), Account: in.Account, Installer: in.InstallerUsername,
		OnDisk: in.OnDisk, WritableByOthers: in.WritableByOthers, Packaged: in.Packaged, Signed: in.Signed, Broken: in.Broken,
	}
}

// InstallVerdict is what Rollcall makes of an install.
type InstallVerdict struct {
	Judgement
	Found service.Findings
}

// JudgeInstall scores an install at the time now. Installer is the process that did
// it, nil when it is not known.
func (j *Judge) JudgeInstall(in *evidence.Install, installer *evidence.Process, h History, around Surroundings, now time.Time) InstallVerdict {
	facts := installFacts(in)
	v := InstallVerdict{Found: service.Features(facts)}
	var factors []score.Factor
	for _, s := range in.Signs {
		factors = append(factors, score.Factor{Name: s.Factor, Evidence: s.Evidence, Scale: s.Scale})
	}
	a := attribution.Facts{
		Install: in, YoungService: around.YoungService, Template: v.Found.Template, ProgramPackaged: in.Packaged, Signer: in.Signer, Visits: around.Visits, Now: now,
	}
	a.Odd = odd(v.Found.Features)
	p := installer
	if p == nil {
		p = &evidence.Process{Time: in.Time, Platform: in.Platform, Host: in.Host, Username: in.InstallerUsername, UID: in.InstallerUID, LoginUser: in.LoginUser,
			Path: in.InstallerPath, CmdLine: in.InstallerCmdLine, Ancestry: in.InstallerAncestry, LogonID: in.LogonID, Session: in.Session, PID: in.InstallerPID,
			LoginSource: around.LoginSource}
	}
	v.Lineage = lineageOf(p)
	a.Lineage = v.Lineage
	a.History = habits(p, familyInstall, h)
	a.Session = sessionOf(p, h)
	v.Attribution = attribution.Attribute(a, j.Attribution)
	if category, name := score.SuspiciousAncestor(p); category != "" {
		factors = append(factors, score.Factor{Name: category + "_ancestor", Evidence: "installed under " + name})
	}
	if around.YoungService != "" {
		factors = append(factors, score.Factor{Name: "young_service_ancestor", Evidence: around.YoungService})
		v.Lineage = "the young service " + around.YoungService
	} else if v.Lineage != "" {
		v.Lineage = attribution.Ancestor(v.Lineage)
	}
	setting := j.setting(p, in.InstallerUsername, in.LoginUser, in.Account)
	v.Critical, v.Sensitive = setting.critical, setting.sensitive
	factors = append(factors, setting.factors...)
	if j.IOC != nil {
		if v.IOC = presentAll(j.IOC.Install(in, now)); len(v.IOC) > 0 {
			factors = append(factors, score.Factor{Name: "ioc_match", Evidence: strings.Join(v.IOC, "; ")})
		}
	}
	if v.Attribution.Attributed() {
		factors = append(factors, attributed(v.Attribution))
	}
	v.Verdict = score.Install(v.Found, factors, j.Weights)
	if in.Action == evidence.Removed || in.Action == evidence.Disabled {
		// What is gone runs no more: it is told, and judged only by who did it.
		v.Verdict = score.Install(service.Findings{}, factors, j.Weights)
	}
	presentReasons(v.Reasons)
	return v
}

// oddities are features of a service that no package brings.
var oddities = map[string]bool{
	"everybodys_directory": true, "temp_directory": true, "remote_file": true, "user_directory": true, "alternate_stream": true, "hidden_file": true, "drive_root": true, "bare_name": true,
	"reverse_shell": true, "download": true, "in_memory_code": true, "named_pipe": true, "account_added": true, "credential_access": true, "defence_off": true, "attack_tool": true,
}

// odd is the evidence of the first such feature, empty for none.
func odd(features []service.Feature) string {
	for _, f := range features {
		if oddities[f.Name] && (f.Scale == 0 || f.Scale >= 1) {
			return f.Name + ", " + f.Evidence
		}
	}
	return ""
}

// pendingInstall is an install on its way to a row.
type pendingInstall struct {
	row     *store.Install
	verdict InstallVerdict
	actor   incident.Actor
	again   *judgedInstall // nil when it is not to be judged anew
}

// installs are those of a cycle that no row tells of yet: one for each install, with
// all its sources named.
func (e *Engine) installs(ctx context.Context, readings []reading, now time.Time) ([]*pendingInstall, error) {
	var all []*evidence.Install
	for _, r := range readings {
		for i := range r.batch.Installs {
			in := &r.batch.Installs[i]
			in.Host = e.hostOf(in.Platform, in.Host)
			all = append(all, in)
		}
	}
	slices.SortStableFunc(all, func(a, b *evidence.Install) int { return int(min(max(a.Time-b.Time, -1), 1)) })
	var rows []*store.Install
	latest := map[int64]*store.Install{}
	for _, in := range all {
		id := installIdentity(in)
		// One source tells each install once: what it tells twice happened twice.
		if first := latest[id]; first != nil && in.Time-first.Install.Time <= installWindow && (!named(first.Install.Source, in.Source) || first.Install.EID == in.EID) {
			mergeInstall(&first.Install, in)
			continue
		}
		row := &store.Install{Identity: id, Install: *in, Recorded: now.Unix()}
		sum := sha256.Sum256(fmt.Appendf(nil, "install\x00%s\x00%d\x00%d", e.evidenceID(), in.Time, id))
		row.InstallID = hex.EncodeToString(sum[:10])
		latest[id] = row
		rows = append(rows, row)
	}
	rows, err := e.opts.Store.FreshInstalls(ctx, rows, installWindow)
	if err != nil {
		return nil, err
	}
	out := make([]*pendingInstall, len(rows))
	for i, row := range rows {
		out[i] = &pendingInstall{row: row}
	}
	return out, nil
}

// installIdentity is the same for one install whichever source tells of it.
func installIdentity(in *evidence.Install) int64 {
	h := sha256.New()
	facts := installFacts(in)
	img := service.NormalizeImagePath(facts.ImagePath, facts.Kind)
	name, as := "", in.Account
	if !facts.Kind.Unix() {
		as = "" // Sysmon's registry events do not tell it
	}
	switch {
	case facts.Kind.Unix():
		name = strings.TrimSuffix(in.Name, ".service")
		img.Program, img.Args = in.UnitPath, "" // the unit's file names it, whatever it runs
	case img.Program == "" || strings.EqualFold(img.Base, "svchost.exe") || strings.EqualFold(img.Base, "svchost"):
		name = strings.ToLower(in.Name) // the program is many services'
	default:
		// Event 7045 has the display name where 4697 has the name: the command line,
		// and the moment, tell that they are one.
	}
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00%s\x00%s", strings.ToLower(in.Host), in.Action, name, as, strings.ToLower(img.Program), img.Args)
	if in.Action == evidence.Modified {
		fmt.Fprintf(h, "\x00%q", in.Changes)
	}
	return int64(binary.LittleEndian.Uint64(h.Sum(nil)) >> 1)
}

// mergeInstall takes what only the second sighting of an install knows.
func mergeInstall(to, from *evidence.Install) {
	if !strings.Contains(","+to.Source+",", ","+from.Source+",") {
		to.Source += "," + from.Source
	}
	if to.Platform == evidence.Windows && !strings.EqualFold(to.Name, from.Name) {
		// Commands need the name of the key; event 7045 has the display name.
		switch {
		case keyed(from) && !keyed(to):
			to.Name, to.DisplayName = from.Name, nonEmpty(from.DisplayName, to.Name)
		case keyed(to) && !keyed(from) && to.DisplayName == "":
			to.DisplayName = from.Name
		}
	}
	for _, f := range []struct{ to, from *string }{
		{&to.DisplayName, &from.DisplayName}, {&to.Path, &from.Path}, {&to.Args, &from.Args}, {&to.ServiceDLL, &from.ServiceDLL},
		{&to.ServiceType, &from.ServiceType}, {&to.StartType, &from.StartType}, {&to.Account, &from.Account}, {&to.UnitPath, &from.UnitPath},
		{&to.InstallerPath, &from.InstallerPath}, {&to.InstallerCmdLine, &from.InstallerCmdLine}, {&to.InstallerUID, &from.InstallerUID},
		{&to.InstallerUsername, &from.InstallerUsername}, {&to.LoginUser, &from.LoginUser}, {&to.LogonID, &from.LogonID}, {&to.Session, &from.Session},
		{&to.Package, &from.Package}, {&to.SHA256, &from.SHA256}, {&to.Signer, &from.Signer},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	for _, f := range []struct{ to, from *evidence.Tristate }{
		{&to.PackageVerified, &from.PackageVerified}, {&to.Signed, &from.Signed}, {&to.OnDisk, &from.OnDisk},
		{&to.WritableByOthers, &from.WritableByOthers}, {&to.Packaged, &from.Packaged},
	} {
		if *f.to == evidence.Unknown {
			*f.to = *f.from
		}
	}
	to.Broken = to.Broken || from.Broken
	if to.InstallerPID == 0 {
		to.InstallerPID = from.InstallerPID
	}
	if len(to.InstallerAncestry) == 0 {
		to.InstallerAncestry = from.InstallerAncestry
	}
	if len(to.Signs) == 0 {
		to.Signs = from.Signs
	}
}

// keyed reports whether an install of Windows' is named by its key in the registry: by 4697
// and the registry, which have its type as a number or not at all, and by the list of
// services, which has it in capitals. Event 7045 has it in words.
func keyed(in *evidence.Install) bool {
	return strings.HasPrefix(in.ServiceType, "0x") || in.ServiceType == strings.ToUpper(in.ServiceType)
}

// judgeInstalls finds out who installed what, scores it, and hands it to facts. It
// returns the unattributed ones by the program they run, for what runs under them.
func (e *Engine) judgeInstalls(list []*pendingInstall, h *history, now time.Time, facts *incident.Facts) (young []*incident.Install) {
	for _, x := range list {
		if err := guarded(func() { e.judgeInstall(x, h, now, young) }); err != nil {
			e.opts.Logger.Error("could not judge an install", "source", x.row.Install.Source, "error", err)
			x.verdict = InstallVerdict{Judgement: Judgement{Verdict: score.Verdict{Severity: score.Severity(0)}, Attribution: attribution.Result{Kind: attribution.None}}}
		}
		in, v := &x.row.Install, &x.verdict
		x.actor = incident.Actor{Username: shown(in.InstallerUsername), LoginUser: shown(in.LoginUser), Session: shown(in.Session), LogonID: shown(in.LogonID),
			PIDs: ownPIDs(in.InstallerPID, in.InstallerAncestry)}
		e.presentInstall(x)
		made := incident.Install{
			ID: x.row.InstallID, Time: in.Time, Host: in.Host, Platform: in.Platform, Actor: x.actor, Action: in.Action, Kind: in.Kind, Name: in.Name,
			Path: in.Path, Args: in.Args, Image: in.ImagePath, UnitPath: in.UnitPath, Account: in.Account, SHA256: in.SHA256, Package: in.Package,
			Installer: in.InstallerCmdLine, Source: in.Source, EID: in.EID,
			Verdict: v.told(),
		}
		if x.again != nil {
			e.rememberInstall(x.again, made, now)
		}
		facts.Installs = append(facts.Installs, made)
		if in.Action == evidence.Created && !v.Attribution.Attributed() {
			young = append(young, &made)
		}
		if in.Action == evidence.Created {
			h.observe(installerOf(in), familyInstall, in.Time)
		}
	}
	return young
}

func (e *Engine) judgeInstall(x *pendingInstall, h *history, now time.Time, young []*incident.Install) {
	in := &x.row.Install
	installer := e.installer(in)
	if installer != nil {
		fillInstaller(in, installer)
	}
	facts := installFacts(in)
	in.Kind = string(facts.Kind)
	if in.Path == "" {
		img := service.NormalizeImagePath(facts.ImagePath, facts.Kind)
		in.Path, in.Args = img.Program, img.Args
	}
	if in.ImagePath == "" {
		in.ImagePath = facts.ImagePath
	}
	chain := append([]evidence.Ancestor{{PID: in.InstallerPID, Path: in.InstallerPath, CmdLine: in.InstallerCmdLine}}, in.InstallerAncestry...)
	around := Surroundings{YoungService: e.youngService(in.Host, chain, in.Time, young), Visits: e.sessions.visits(in.Host, in.Time),
		LoginSource: e.sessions.from(in.Host, installerOf(in), in.LogonID, in.Time)}
	by, asked := e.judgedBy(in.Host, h)
	var again *judgedInstall
	if asked != nil {
		again = &judgedInstall{install: *in, installer: installer, around: around, history: asked}
	}
	x.verdict = e.opts.Judge.JudgeInstall(in, installer, by, around, now)
	x.again = again
}

// installerOf is whose habit an install is.
func installerOf(in *evidence.Install) string {
	return nonEmpty(in.LoginUser, account(in.InstallerUsername, in.InstallerUID))
}

// installer is the process that installed a service: the one the source names, else
// the likeliest of those that started around it.
func (e *Engine) installer(in *evidence.Install) *evidence.Process {
	if r, ok := e.lineage.find(in.Host, in.InstallerPID, in.Time); ok {
		p := e.processOf(&r, in.Platform)
		return &p
	}
	if in.InstallerPID != 0 || in.InstallerCmdLine != "" {
		return nil // the source knows better than a guess
	}
	c := e.candidates(in)
	best, _ := c.Installer(in)
	if best < 0 {
		return nil
	}
	found := c.List[best]
	return &found
}

// maxMoments bounds for how many moments of a cycle the candidates are kept.
const maxMoments = 16

// moments are the candidates by the moment that they are of.
type moments map[moment]*service.Candidates

// moment is where and when services appeared.
type moment struct {
	host     string
	at       int64
	platform evidence.Platform
}

// candidates are the processes that may have made an install. Those of one moment are
// found and understood once: a thousand services of one second cost what one does.
func (e *Engine) candidates(in *evidence.Install) *service.Candidates {
	key := moment{in.Host, in.Time, in.Platform}
	if c := e.moments[key]; c != nil {
		return c
	}
	near := e.lineage.around(in.Host, in.Time, installerBefore, installerAfter, installerMost)
	list := make([]evidence.Process, len(near))
	for i := range near {
		list[i] = e.processOf(&near[i], in.Platform)
	}
	if e.moments == nil || len(e.moments) >= maxMoments {
		e.moments = moments{}
	}
	c := service.NewCandidates(list)
	e.moments[key] = c
	return c
}

func (e *Engine) processOf(r *remembered, platform evidence.Platform) evidence.Process {
	return evidence.Process{
		Time: r.time, Platform: platform, Host: r.host, PID: r.pid, ParentPID: r.parent, Path: r.path, CmdLine: r.cmdline,
		Username: r.username, LoginUser: r.loginUser, Session: r.session, LogonID: r.logonID,
		UID: r.uid, LoginUID: r.loginUID, CWD: r.cwd, ContainerID: r.containerID, LoginSource: r.loginSource, ArgsJoined: r.argsJoined, Ancestry: e.lineage.chainOf(*r),
	}
}

func fillInstaller(in *evidence.Install, p *evidence.Process) {
	in.InstallerPID = p.PID
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&in.InstallerPath, p.Path}, {&in.InstallerCmdLine, p.CmdLine}, {&in.InstallerUsername, p.Username},
		{&in.LoginUser, p.LoginUser}, {&in.Session, p.Session}, {&in.LogonID, p.LogonID}, {&in.InstallerUID, p.UID},
	} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
	if len(in.InstallerAncestry) == 0 {
		in.InstallerAncestry = p.Ancestry
	}
}

// presentInstall makes an install's texts fit to be stored: masked, printable,
// bounded.
func (e *Engine) presentInstall(x *pendingInstall) {
	in, row, v := &x.row.Install, x.row, &x.verdict
	for _, s := range []*string{&in.ImagePath, &in.Args, &in.InstallerCmdLine} {
		*s = present(*s)
	}
	for _, s := range []*string{&in.Name, &in.DisplayName, &in.Path, &in.ServiceDLL, &in.ServiceType, &in.StartType, &in.Account, &in.UnitPath, &in.Host,
		&in.InstallerPath, &in.InstallerUID, &in.InstallerUsername, &in.LoginUser, &in.LogonID, &in.Session, &in.Package, &in.Signer, &in.SHA256, &in.Source, &in.EID} {
		*s = shown(*s)
	}
	in.Changes = presentAll(in.Changes)
	if len(in.InstallerAncestry) > maxAncestors {
		in.InstallerAncestry = in.InstallerAncestry[:maxAncestors]
	}
	chain := slices.Clone(in.InstallerAncestry)
	for i := range chain {
		chain[i].Path, chain[i].CmdLine = shown(chain[i].Path), present(chain[i].CmdLine)
	}
	in.InstallerAncestry = chain
	in.Signs = nil // they are among the reasons
	row.Score, row.Severity, row.Reasons = v.Score, v.Severity, jsonText(v.Reasons)
	row.Attribution = string(v.Attribution.Kind)
	row.Basis = present(strings.TrimSpace(v.Attribution.Subject + ": " + v.Attribution.Basis))
	row.Basis = strings.TrimPrefix(row.Basis, ": ")
}
