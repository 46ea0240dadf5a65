package attribution

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// longest is how long a window that does not recur may be.
const longest = 31 * 24 * time.Hour

// Check looks for the first mistake. The path leads to it within the configuration
// of attribution: names of options and positions in lists.
func (c *Config) Check() (path []string, err error) {
	for i := range c.Expected {
		if err := c.Expected[i].check(); err != nil {
			return at("expected", i), fmt.Errorf("expected entry %d %w", i+1, err)
		}
	}
	for i := range c.Maintenance {
		if err := c.Maintenance[i].check(); err != nil {
			return at("maintenance", i), fmt.Errorf("maintenance window %d %w", i+1, err)
		}
	}
	for i := range c.Agents {
		if err := c.Agents[i].check(); err != nil {
			return at("agents", i), fmt.Errorf("agent %d %w", i+1, err)
		}
	}
	for i := range c.Scanners {
		if err := c.Scanners[i].check(); err != nil {
			return at("scanners", i), fmt.Errorf("scanner %d %w", i+1, err)
		}
	}
	for i := range c.Cases {
		if err := c.Cases[i].check(); err != nil {
			return at("cases", i), fmt.Errorf("case %d %w", i+1, err)
		}
	}
	if path, err := c.BusinessHours.check(); err != nil {
		return append([]string{"business_hours"}, path...), fmt.Errorf("business_hours: %w", err)
	}
	if i := slices.IndexFunc(c.CriticalAssets, blank); i >= 0 {
		return at("critical_assets", i), errors.New("critical_assets has an empty entry")
	}
	if i := slices.IndexFunc(c.SensitiveAccounts, blank); i >= 0 {
		return at("sensitive_accounts", i), errors.New("sensitive_accounts has an empty entry")
	}
	if h := c.KnownUser; h.Days < 0 || h.Days > 365 {
		return []string{"known_user", "days"}, fmt.Errorf("known_user: days is %d: must be 1 to 365", h.Days)
	} else if h.UserDays < 0 || h.UserDays > 365 {
		return []string{"known_user", "user_days"}, fmt.Errorf("known_user: user_days is %d: must be 1 to 365", h.UserDays)
	}
	return nil, nil
}

func at(list string, i int) []string { return []string{list, strconv.Itoa(i)} }

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// all reports whether a pattern matches everything, or nothing was given.
func all(s string) bool { return strings.Trim(s, "* ") == "" }

// everything reports whether one of the patterns matches everything.
func everything(list []string) bool { return slices.ContainsFunc(list, all) }

var errNoReason = errors.New("has no reason")

func (e *Entry) check() error {
	if blank(e.Reason) {
		return errNoReason
	}
	named := func(format string, args ...any) error {
		return fmt.Errorf("(%s) "+format, append([]any{e.name()}, args...)...)
	}
	if all(e.User+e.Parent+e.Command+strings.Join(e.Commands, "")+e.Path+e.Name+e.Remote) && !e.Exact {
		return named("names no user, parent or command: it would attribute everything")
	}
	if slices.ContainsFunc(e.Commands, blank) {
		return named("has an empty command")
	}
	about := e.SHA256 != "" || e.Signer != "" || e.Package != ""
	switch {
	case e.Name == "" && about:
		return named("has sha256, signer or package, which are about a service's program, and no name of a service")
	case e.Name != "" && (all(e.Name) || all(e.Path) && !e.Exact):
		return named("is about a service: it needs its name and the path of its program")
	case e.Name != "" && !about:
		return named("is about a service: it needs sha256, signer or package too, or it would hide a program that was changed")
	case e.Name != "" && e.Remote != "":
		return named("has a name of a service and remote: make two entries of it")
	case e.Signer != "" && all(e.Signer), e.Package != "" && all(e.Package):
		return named("takes every signer or package: name it")
	}
	if e.SHA256 != "" && (len(strings.TrimSpace(e.SHA256)) != 64 || strings.Trim(strings.ToLower(strings.TrimSpace(e.SHA256)), "0123456789abcdef") != "") {
		return named("has a sha256 that is not 64 hexadecimal digits")
	}
	if e.Remote != "" {
		if e.Command != "" || len(e.Commands) > 0 {
			return named("has a command and remote, which is about connections: make two entries of it")
		}
		if n, err := parseNetwork(e.Remote); err == nil && n.Bits() == 0 || err != nil && all(e.Remote) {
			return named("takes every remote address: name a network")
		} else if err != nil && strings.Contains(e.Remote, "/") {
			return named("has a remote that is no network: %q", e.Remote)
		}
	}
	return nil
}

// valid looks for a mistake in a schedule; always says that it may be without limits.
func (s *Schedule) valid(always bool) error {
	if !s.From.IsZero() && !s.To.IsZero() && !s.From.Before(s.To) {
		return errors.New("ends before it begins")
	}
	if _, err := location(s.TimeZone, time.Time{}); err != nil {
		return fmt.Errorf("has %w", err)
	}
	span, err := s.span()
	if err != nil {
		return fmt.Errorf("has a mistake in its times: %w", err)
	}
	for _, n := range s.Weeks {
		if n < 1 || n > 5 {
			return fmt.Errorf("has week %d: weeks are 1 to 5, which of the month's weekdays", n)
		}
	}
	if len(s.Weeks) > 0 && len(s.Weekdays) == 0 {
		return errors.New("has weeks and no weekdays")
	}
	if always {
		return nil
	}
	if !s.recurs() {
		switch {
		case s.From.IsZero() || s.To.IsZero():
			return errors.New("has no time: it needs from and to, or weekdays or hours")
		case s.To.Sub(s.From) > longest:
			return errors.New("is longer than 31 days: make it recur, or shorter")
		}
		return nil
	}
	if span.days == everyDay && span.from == 0 && span.to == minutesADay && len(s.Weeks) == 0 {
		return errors.New("is always: it would attribute everything")
	}
	return nil
}

func (w *Window) check() error {
	switch {
	case blank(w.Reference):
		return errors.New("has no reference, such as the number of the change")
	case blank(w.Reason):
		return fmt.Errorf("(%s) %w", w.Reference, errNoReason)
	case slices.ContainsFunc(w.Hosts, blank) || slices.ContainsFunc(w.Users, blank):
		return fmt.Errorf("(%s) has an empty host or user", w.Reference)
	}
	if err := w.valid(false); err != nil {
		return fmt.Errorf("(%s) %w", w.Reference, err)
	}
	return nil
}

func checkSources(list []string) error {
	for _, s := range list {
		n, err := parseNetwork(s)
		if err != nil {
			return fmt.Errorf("has the source %q: must be an address or a network such as 10.1.2.0/24", s)
		}
		if n.Bits() == 0 || n.Addr() == netip.IPv4Unspecified() {
			return fmt.Errorf("has the source %q, which is everywhere", s)
		}
	}
	return nil
}

func (a *Agent) check() error {
	if blank(a.Name) {
		return errors.New("has no name")
	}
	named := func(err error) error { return fmt.Errorf("(%s) %w", a.Name, err) }
	known := slices.Contains(KnownAgents(), a.Name)
	switch {
	case blank(a.Reason):
		return named(errNoReason)
	case len(a.Sources) > 0 && len(a.Users) == 0:
		return named(errors.New("has sources and no users: both or neither"))
	case everything(a.Users):
		return named(errors.New("takes every user: name them"))
	case everything(a.Programs) || everything(a.Payloads):
		return named(errors.New("takes every program: name them"))
	case worksByLogin(a.Name) && len(a.Sources) == 0:
		return named(errors.New("works by logging in: it needs the users it logs in as and the sources it comes from"))
	case !known && len(a.Programs) == 0 && (len(a.Sources) == 0 || len(a.Payloads) == 0):
		return named(fmt.Errorf("is not an agent that Rollcall knows%s: it needs programs", similar(a.Name)))
	}
	for _, p := range a.Programs {
		if p[0] == '*' {
			return named(fmt.Errorf("has the program %q: a name alone attributes nothing, begin with its directory", p))
		}
	}
	if err := checkSources(a.Sources); err != nil {
		return named(err)
	}
	return nil
}

// similar suggests a known agent whose name begins alike.
func similar(name string) string {
	name = strings.ToLower(name)
	for _, k := range KnownAgents() {
		if len(name) >= 3 && (strings.HasPrefix(k, name[:3]) || strings.Contains(name, k)) {
			return fmt.Sprintf(", did you mean %q?", k)
		}
	}
	return ""
}

func (a *Authorised) check() error {
	if blank(a.Name) {
		return errors.New("has no name")
	}
	named := func(err error) error { return fmt.Errorf("(%s) %w", a.Name, err) }
	switch {
	case blank(a.Reason):
		return named(errNoReason)
	case len(a.Users) == 0 || len(a.Sources) == 0:
		return named(errors.New("needs users, its login accounts, and sources, its addresses"))
	case everything(a.Users):
		return named(errors.New("takes every user: name them"))
	case everything(a.Services):
		return named(errors.New("takes every service: name them"))
	}
	if err := checkSources(a.Sources); err != nil {
		return named(err)
	}
	if err := a.valid(true); err != nil {
		return named(err)
	}
	return nil
}

func (r *Responder) check() error {
	if blank(r.ID) {
		return errors.New("has no id")
	}
	named := func(err error) error { return fmt.Errorf("(%s) %w", r.ID, err) }
	switch {
	case blank(r.Reason):
		return named(errNoReason)
	case len(r.Users) == 0:
		return named(errors.New("has no users"))
	case everything(r.Users):
		return named(errors.New("takes every user: name them"))
	case r.Expires.IsZero():
		return named(errors.New("has no expiry: a case ends"))
	}
	if err := checkSources(r.Sources); err != nil {
		return named(err)
	}
	return nil
}

func (b *BusinessHours) check() (path []string, err error) {
	if _, err := location(b.TimeZone, time.Time{}); err != nil {
		return []string{"time_zone"}, err
	}
	if _, err := parseDays(b.Days, workdays); err != nil {
		return []string{"days"}, err
	}
	if _, err := b.span(); err != nil {
		return nil, err
	}
	for i, h := range b.Holidays {
		h = strings.TrimSpace(h)
		if len(h) == len("12-25") {
			h = "2000-" + h // a leap year: 02-29 is a date
		} else if date, rest, ok := strings.Cut(h, "T"); ok && strings.HasPrefix(rest, "00:00:00") {
			h = date // as tools write dates into YAML
		}
		if _, err := time.Parse(time.DateOnly, h); err != nil {
			return at("holidays", i), fmt.Errorf("%q is no date: write 2026-12-25, or 12-25 for every year", b.Holidays[i])
		}
	}
	return nil, nil
}
