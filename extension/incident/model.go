// Package incident turns what was seen into what an analyst handles: commands
// become bursts, bursts and installs become incidents with all that belongs to
// them, incidents get a decision with reasons, a timeline, and the analyst's
// questions answered.
//
// It is pure: facts in, verdicts out, no clock, no disk. A [Book] holds what is
// still open; whoever keeps it persists what it says was changed and restores it.
//
// All texts in the facts are masked and printable already: they come from an
// attacker, and they are shown as they are.
package incident

import (
	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// The decisions, from least to most urgent (DESIGN.md, section 6).
const (
	Record   = "record"
	Review   = "review"
	Escalate = "escalate"
)

// The states of an incident.
const (
	Open     = "open"     // something came within the last hour
	Watching = "watching" // quiet, and reopened by news
	Closed   = "closed"
)

// The relations of a fact to a burst, nearest first.
const (
	BySession = "session" // the same logon session
	ByTree    = "tree"    // a process in common
	ByUser    = "user"    // the same account
	ByHost    = "host"    // the same host, and nothing more is known
)

// Actor is who acted, as far as it is known.
type Actor struct {
	Username  string `json:"username,omitempty"`
	LoginUser string `json:"login_user,omitempty"`
	Session   string `json:"session,omitempty"`
	LogonID   string `json:"logon_id,omitempty"`
	// PIDs are the process and those ancestors that are its own (shells, tools; not
	// what everything on a host descends from), nearest first.
	PIDs []int64 `json:"pids,omitempty"`
}

// Verdict is what Rollcall makes of one command, install or connection.
type Verdict struct {
	Score       int                `json:"score"`
	Severity    string             `json:"severity"`
	Reasons     []score.Reason     `json:"reasons,omitempty"`
	Attribution attribution.Result `json:"attribution"`
	// Never says why nothing may attribute it (an ancestor that serves the web, a
	// young service); empty when something may.
	Never string `json:"never,omitempty"`
	// IOC are the indicators that matched, with their feeds.
	IOC []string `json:"ioc,omitempty"`
	// Critical and Sensitive are the entries of the configuration that name the host
	// or the account.
	Critical  string `json:"critical,omitempty"`
	Sensitive string `json:"sensitive,omitempty"`
}

func (v *Verdict) attributed() bool { return v.Attribution.Attributed() }

// Command is one command that enumerated services.
type Command struct {
	ID            string            `json:"id"`
	Time          int64             `json:"time"`
	Host          string            `json:"host,omitempty"`
	Platform      evidence.Platform `json:"platform,omitempty"`
	Actor         Actor             `json:"actor"`
	Origin        string            `json:"origin,omitempty"` // the daemon or tool everything of it descends from
	PID           int64             `json:"pid,omitempty"`
	Path          string            `json:"path,omitempty"`
	CmdLine       string            `json:"cmdline,omitempty"`
	Parent        string            `json:"parent,omitempty"`
	ParentCmdLine string            `json:"parent_cmdline,omitempty"`
	Canonical     []string          `json:"canonical,omitempty"`
	Family        string            `json:"family,omitempty"`
	Scope         string            `json:"scope,omitempty"`
	Technique     string            `json:"technique,omitempty"`
	Remote        string            `json:"remote_host,omitempty"`
	From          string            `json:"login_source,omitempty"`
	Elevated      evidence.Tristate `json:"elevated,omitempty"`
	Container     string            `json:"container_id,omitempty"`
	Source        string            `json:"source,omitempty"`
	EID           string            `json:"eid,omitempty"`
	Verdict       `json:"verdict"`

	// Expected and Tail are the baseline's word: commands a day, and the probability
	// of as many as today's; Tail 0 is unknown.
	Expected float64 `json:"expected,omitempty"`
	Tail     float64 `json:"tail,omitempty"`
	// Known says that the baseline knew this user and family before.
	Known bool `json:"known,omitempty"`
}

// Context is a command of another ATT&CK Discovery technique.
type Context struct {
	Time      int64  `json:"time"`
	Host      string `json:"host,omitempty"`
	Actor     Actor  `json:"actor"`
	Technique string `json:"technique"`
	CmdLine   string `json:"cmdline"`
	Source    string `json:"source,omitempty"`
	EID       string `json:"eid,omitempty"`
}

// Install is one service that was installed or changed.
type Install struct {
	ID        string            `json:"id"`
	Time      int64             `json:"time"`
	Host      string            `json:"host,omitempty"`
	Platform  evidence.Platform `json:"platform,omitempty"`
	Actor     Actor             `json:"actor"`
	Action    string            `json:"action"`
	Kind      string            `json:"kind,omitempty"`
	Name      string            `json:"name"`
	Path      string            `json:"path,omitempty"`
	Args      string            `json:"args,omitempty"`
	Image     string            `json:"image,omitempty"`
	UnitPath  string            `json:"unit_path,omitempty"`
	Account   string            `json:"account,omitempty"`
	SHA256    string            `json:"sha256,omitempty"`
	Package   string            `json:"package,omitempty"`
	Installer string            `json:"installer,omitempty"` // command line
	Source    string            `json:"source,omitempty"`
	EID       string            `json:"eid,omitempty"`
	Verdict   `json:"verdict"`

	// Relation is how it belongs to a burst before it; empty when none was.
	Relation string `json:"relation,omitempty"`
}

// Connection is one connection that belongs to an incident.
type Connection struct {
	Time       int64  `json:"time"`
	Host       string `json:"host,omitempty"`
	Actor      Actor  `json:"actor"`
	Path       string `json:"path,omitempty"`
	CmdLine    string `json:"cmdline,omitempty"`
	Protocol   string `json:"protocol,omitempty"`
	Inbound    bool   `json:"inbound,omitempty"`
	RemoteAddr string `json:"remote_addr"`
	RemotePort int64  `json:"remote_port,omitempty"`
	RemoteName string `json:"remote_name,omitempty"`
	Source     string `json:"source,omitempty"`
	EID        string `json:"eid,omitempty"`
	Verdict    `json:"verdict"`

	// Unusual says why it is not one this host makes every day; empty when it is.
	Unusual  string `json:"unusual,omitempty"`
	Relation string `json:"relation,omitempty"`
}

// Logon is a logon or a failed one around an incident.
type Logon struct {
	Time     int64  `json:"time"`
	Host     string `json:"host,omitempty"`
	Username string `json:"username"`
	Type     string `json:"type,omitempty"`
	From     string `json:"from,omitempty"`
	LogonID  string `json:"logon_id,omitempty"`
	TTY      string `json:"tty,omitempty"`
	Failed   bool   `json:"failed,omitempty"`
	// Privileged says that Windows gave it administrator's rights.
	Privileged bool   `json:"privileged,omitempty"`
	Source     string `json:"source,omitempty"`
	EID        string `json:"eid,omitempty"`
}

// Change is a change to the host around an incident.
type Change struct {
	Time     int64  `json:"time"`
	Host     string `json:"host,omitempty"`
	Kind     string `json:"kind"` // one of evidence's Change constants
	Subject  string `json:"subject"`
	Detail   string `json:"detail,omitempty"`
	Username string `json:"username,omitempty"`
	Source   string `json:"source,omitempty"`
	EID      string `json:"eid,omitempty"`
}

// Burst is one actor's run of commands, split on a quiet gap.
type Burst struct {
	ID       string            `json:"id"`
	Key      string            `json:"key"`
	Host     string            `json:"host,omitempty"`
	Platform evidence.Platform `json:"platform,omitempty"`
	Actor    Actor             `json:"actor"`
	Origin   string            `json:"origin,omitempty"`
	Start    int64             `json:"start"`
	End      int64             `json:"end"`
	Recorded int64             `json:"recorded"`
	Updated  int64             `json:"updated"`

	Events   int64    `json:"events"`
	Distinct []uint32 `json:"distinct,omitempty"` // hashes of the distinct commands, at most maxDistinct
	Families []string `json:"families,omitempty"`
	Commands []string `json:"commands,omitempty"` // distinct canonical commands, at most maxShown
	Remotes  []string `json:"remotes,omitempty"`
	// Sample are the first commands, and the strongest one among them.
	Sample []Command `json:"sample,omitempty"`
	// Best is the strongest command, Loose the strongest that nothing attributes.
	Best       Command   `json:"best"`
	Loose      *Command  `json:"loose,omitempty"`
	Attributed int64     `json:"attributed"`
	Strong     bool      `json:"strong,omitempty"` // something in it is attributed by more than that somebody works here
	Contexts   []Context `json:"contexts,omitempty"`
	Wide       bool      `json:"wide"` // it asked for more than single services
	// Earlier is how many other questions the same user asked in bursts within a day
	// before, none of which is known for more than that somebody works here.
	Earlier int `json:"earlier,omitempty"`

	Expected float64 `json:"expected"`
	Tail     float64 `json:"tail"`

	Score      int            `json:"score"`
	Severity   string         `json:"severity"`
	Reasons    []score.Reason `json:"reasons,omitempty"`
	IncidentID string         `json:"incident_id,omitempty"`
}

// Attribution is whose operation the burst is: of its strongest command that
// nothing attributes, else of its strongest.
func (x *Burst) Attribution() attribution.Result {
	if x.Loose != nil {
		return x.Loose.Attribution
	}
	return x.Best.Attribution
}

// Incident is a burst or an install with all that belongs to it.
type Incident struct {
	ID       string            `json:"id"`
	Host     string            `json:"host,omitempty"`
	HostUUID string            `json:"host_uuid,omitempty"`
	Platform evidence.Platform `json:"platform,omitempty"`
	Actor    Actor             `json:"actor"`
	Opened   int64             `json:"opened"`   // the time of its first evidence
	Recorded int64             `json:"recorded"` // when Rollcall opened it
	Updated  int64             `json:"updated"`  // when something about it that matters changed last
	Last     int64             `json:"last"`     // the time of its last evidence
	Status   string            `json:"status"`

	Bursts      []*Burst     `json:"bursts,omitempty"`
	Installs    []Install    `json:"installs,omitempty"`
	Connections []Connection `json:"connections,omitempty"`
	Logons      []Logon      `json:"logons,omitempty"`
	Changes     []Change     `json:"changes,omitempty"`
	Facts       HostFacts    `json:"facts"`
	// LeftOut counts what the caps left out, by kind.
	LeftOut map[string]int `json:"left_out,omitempty"`

	Decision        string             `json:"decision"`
	DecisionReasons []string           `json:"decision_reasons,omitempty"`
	Attribution     attribution.Result `json:"attribution"`
	Score           int                `json:"score"`
	Severity        string             `json:"severity"`
	Reasons         []score.Reason     `json:"reasons,omitempty"`
	Summary         string             `json:"summary"`

	mark string // what of it mattered when it was changed last
}

// HostFacts is what was known of the host when the incident was looked at.
type HostFacts struct {
	// Looked says when, seconds since 1970 UTC; 0 is never.
	Looked int64 `json:"looked,omitempty"`
	// Critical and Sensitive are the entries of the configuration that name the host
	// or the account.
	Critical  string `json:"critical,omitempty"`
	Sensitive string `json:"sensitive,omitempty"`
	OffHours  string `json:"off_hours,omitempty"`
	// Memory are signs found in processes of the incident that still ran.
	Memory []string `json:"memory,omitempty"`
	// Gone is how many of its processes had ended when it was looked.
	Gone int `json:"gone,omitempty"`
	// Groups are the roles of the account.
	Groups []string `json:"groups,omitempty"`
	// Vulnerabilities are findings of the user's scans for the software behind the
	// services involved.
	Vulnerabilities []string `json:"vulnerabilities,omitempty"`
	// Services counts the services of the host and names those at medium or above.
	Services int      `json:"services,omitempty"`
	Suspects []string `json:"suspects,omitempty"`
	// Missing names the kinds of evidence that no source brings on this host, with
	// the reason ("connections": "socket_events is off").
	Missing map[string]string `json:"missing,omitempty"`
}
