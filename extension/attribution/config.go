package attribution

import (
	"strings"
	"time"
)

// Config is what an administrator declares. Users, hosts, commands and paths are
// patterns: they match whole values without regard to case, and * stands for any
// text. A user is written as the evidence has it, on Windows with the domain
// (CORP\svc_scan, *\svc_scan).
type Config struct {
	// Expected are operations that are known and wanted.
	Expected []Entry `yaml:"expected,omitempty" json:"expected,omitempty"`
	// Maintenance are windows of time in which changes are wanted.
	Maintenance []Window `yaml:"maintenance,omitempty" json:"maintenance,omitempty"`
	// Agents are the management agents and tools in use here.
	Agents []Agent `yaml:"agents,omitempty" json:"agents,omitempty"`
	// Scanners are the authorised vulnerability and inventory scanners.
	Scanners []Authorised `yaml:"scanners,omitempty" json:"scanners,omitempty"`
	// Cases are the responders' own operations.
	Cases []Responder `yaml:"cases,omitempty" json:"cases,omitempty"`
	// BusinessHours say when people usually work.
	BusinessHours BusinessHours `yaml:"business_hours,omitempty" json:"business_hours,omitzero"`
	// CriticalAssets are patterns of hosts on which less is needed to escalate.
	CriticalAssets []string `yaml:"critical_assets,omitempty" json:"critical_assets,omitempty"`
	// SensitiveAccounts are patterns of users for whom less is needed to escalate. A
	// pattern without a domain matches the account of every domain.
	SensitiveAccounts []string `yaml:"sensitive_accounts,omitempty" json:"sensitive_accounts,omitempty"`
	// KnownUser says when habit makes an operation its user's own.
	KnownUser Habit `yaml:"known_user,omitempty" json:"known_user,omitzero"`
}

// Entry is a configured expectation: every field that is set must agree.
//
// An entry with a name is about installs of that service: it needs the program's
// path and one of sha256, signer and package too, and no longer applies when they
// differ, so that it never hides a program that was changed. Where the program is
// an interpreter it needs the command as well. An entry without a name is about
// commands, and about connections when it has a path or remote.
type Entry struct {
	// ID is what the entry is called in rows, the reason where it has none.
	ID string `yaml:"id,omitempty" json:"id,omitempty"`
	// User is who did it: the effective or the login user.
	User string `yaml:"user,omitempty" json:"user,omitempty"`
	// Parent is the path of the program that started the command, of the installer
	// for an install.
	Parent string `yaml:"parent,omitempty" json:"parent,omitempty"`
	// Command matches the canonical command, for an install the service's own command
	// line. Commands are more of them: each command that ran must match one.
	Command  string   `yaml:"command,omitempty" json:"command,omitempty"`
	Commands []string `yaml:"commands,omitempty" json:"commands,omitempty"`
	Host     string   `yaml:"host,omitempty" json:"host,omitempty"`
	// Path is the program that runs; for a service, its program, or the library that
	// svchost.exe loads for it.
	Path string `yaml:"path,omitempty" json:"path,omitempty"`
	// Name is the name of the service.
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	// SHA256 is the hash of the service's program in hexadecimal.
	SHA256 string `yaml:"sha256,omitempty" json:"sha256,omitempty"`
	// Signer is who signed the service's program; the signature must be valid.
	Signer string `yaml:"signer,omitempty" json:"signer,omitempty"`
	// Package is the package the service belongs to; its files must verify.
	Package string `yaml:"package,omitempty" json:"package,omitempty"`
	// Remote is the other end of a connection: an address, a network such as
	// 10.0.0.0/8, or a pattern of its name.
	Remote string `yaml:"remote,omitempty" json:"remote,omitempty"`
	// Exact takes every value as it stands, * included.
	Exact bool `yaml:"exact,omitempty" json:"exact,omitempty"`
	// Reason is why it is legitimate.
	Reason string `yaml:"reason" json:"reason"`
	// Expires is when the entry ends.
	Expires time.Time `yaml:"expires,omitempty" json:"expires,omitzero"`
}

// Schedule is a span of time, once (from, to) or recurring (weekdays, hours); one that
// has both recurs between from and to.
type Schedule struct {
	From time.Time `yaml:"from,omitempty" json:"from,omitzero"`
	To   time.Time `yaml:"to,omitempty" json:"to,omitzero"`
	// Weekdays are the days a recurring span begins on: sat, mon-fri.
	Weekdays []string `yaml:"weekdays,omitempty" json:"weekdays,omitempty"`
	// Weeks are which of the month's weekdays, 1 to 5: weekdays [tue] with weeks [2]
	// is the second Tuesday.
	Weeks []int `yaml:"weeks,omitempty" json:"weeks,omitempty"`
	// Hours are when it begins and ends, such as 22:00-04:00; all day without.
	Hours string `yaml:"hours,omitempty" json:"hours,omitempty"`
	// TimeZone is that of weekdays and hours, such as Europe/Berlin; the host's own
	// without.
	TimeZone string `yaml:"time_zone,omitempty" json:"time_zone,omitempty"`
}

// Window is a maintenance window. It needs a schedule.
type Window struct {
	// Reference is the change or ticket behind it; it must be there.
	Reference string `yaml:"reference" json:"reference"`
	Schedule  `yaml:",inline"`
	// Hosts and Users limit whom it is for.
	Hosts   []string  `yaml:"hosts,omitempty" json:"hosts,omitempty"`
	Users   []string  `yaml:"users,omitempty" json:"users,omitempty"`
	Reason  string    `yaml:"reason" json:"reason"`
	Expires time.Time `yaml:"expires,omitempty" json:"expires,omitzero"`
}

// Agent declares a management agent or tool that is in use here. The name of one
// that Rollcall knows (see KnownAgents) suffices for an agent that runs on the host;
// any other needs programs. One that works through logins (Ansible) needs users and
// sources.
type Agent struct {
	Name string `yaml:"name" json:"name"`
	// Programs are paths of the agent's programs, in places only root or SYSTEM
	// writes.
	Programs []string `yaml:"programs,omitempty" json:"programs,omitempty"`
	// Payloads are paths of the scripts and programs it runs. They must lie in places
	// only root or SYSTEM writes, unless users and sources say who brings them.
	Payloads []string `yaml:"payloads,omitempty" json:"payloads,omitempty"`
	// Users are the accounts it runs as or logs in with, Sources the addresses and
	// networks it logs in from.
	Users   []string  `yaml:"users,omitempty" json:"users,omitempty"`
	Sources []string  `yaml:"sources,omitempty" json:"sources,omitempty"`
	Hosts   []string  `yaml:"hosts,omitempty" json:"hosts,omitempty"`
	Reason  string    `yaml:"reason" json:"reason"`
	Expires time.Time `yaml:"expires,omitempty" json:"expires,omitzero"`
}

// Authorised is a scanner that may log in with its account from its addresses, at
// its times, and may install its temporary service meanwhile.
type Authorised struct {
	Name string `yaml:"name" json:"name"`
	// Users are its login accounts, Sources its addresses and networks; both must be
	// there.
	Users   []string `yaml:"users" json:"users"`
	Sources []string `yaml:"sources" json:"sources"`
	// Services are names of its temporary services beyond the usual ones.
	Services []string `yaml:"services,omitempty" json:"services,omitempty"`
	Hosts    []string `yaml:"hosts,omitempty" json:"hosts,omitempty"`
	// Schedule is when it scans; always without.
	Schedule `yaml:",inline"`
	Reason   string    `yaml:"reason" json:"reason"`
	Expires  time.Time `yaml:"expires,omitempty" json:"expires,omitzero"`
}

// Responder is the work on a case: what these accounts do until it expires is the
// responders' own.
type Responder struct {
	ID      string   `yaml:"id" json:"id"`
	Users   []string `yaml:"users" json:"users"`
	Sources []string `yaml:"sources,omitempty" json:"sources,omitempty"`
	Hosts   []string `yaml:"hosts,omitempty" json:"hosts,omitempty"`
	Reason  string   `yaml:"reason" json:"reason"`
	// Expires is when the entry ends; it must be there.
	Expires time.Time `yaml:"expires" json:"expires"`
}

// Habit are the thresholds of known_user. Zero means the default.
type Habit struct {
	// Off turns the kind off.
	Off bool `yaml:"off,omitempty" json:"off,omitempty"`
	// Days are the days with the same family in the same hours that make an operation
	// the user's own, 3 by default.
	Days int `yaml:"days,omitempty" json:"days,omitempty"`
	// UserDays are the days of interactive work that make it so in business hours, 5
	// by default.
	UserDays int `yaml:"user_days,omitempty" json:"user_days,omitempty"`
}

// The thresholds of known_user by default.
const (
	DefaultDays     = 3
	DefaultUserDays = 5
)

func (h Habit) days() int {
	if h.Days > 0 {
		return h.Days
	}
	return DefaultDays
}

func (h Habit) userDays() int {
	if h.UserDays > 0 {
		return h.UserDays
	}
	return DefaultUserDays
}

// Critical returns the pattern that makes a host a critical asset, empty for none.
func (c *Config) Critical(host string) (pattern string) {
	pattern, _ = anyHost(c.CriticalAssets, host)
	return pattern
}

// Sensitive returns the pattern that makes a user a sensitive account, empty for
// none.
func (c *Config) Sensitive(user string) (pattern string) {
	bare := bareUser(user)
	for _, p := range c.SensitiveAccounts {
		if user != "" && (glob(p, user) || !strings.ContainsAny(p, `\@`) && glob(p, bare)) {
			return p
		}
	}
	return ""
}

// bareUser is an account without its domain.
func bareUser(user string) string {
	if i := strings.LastIndexByte(user, '\\'); i >= 0 {
		return user[i+1:]
	}
	if i := strings.IndexByte(user, '@'); i > 0 {
		return user[:i]
	}
	return user
}

// over reports whether an entry has ended.
func over(expires, now time.Time) bool { return !expires.IsZero() && now.After(expires) }
