package accounts

import (
	"context"
	"strconv"
	"strings"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

// Core are the accounts that osquery's tables know. It is safe for concurrent use
// where its core.Asker is.
type Core struct {
	q        core.Asker
	platform evidence.Platform
	host     string
}

// NewCore returns a Core that asks q, of a host of a platform. The host's name is what
// Windows calls the domain of its own accounts.
func NewCore(q core.Asker, p evidence.Platform, host string) *Core {
	return &Core{q: q, platform: p, host: host}
}

// What groups of Windows' give, at the end of a role.
const (
	administers = " (administers the host)"
	elevates    = " (has rights of administrators')"
)

// windowsPowers are groups of Windows' by their number, the last part of their SID, which
// is the same whatever they are called in the host's language. Accounts have no such
// numbers.
var windowsPowers = map[string]string{
	"544": administers,
	"547": elevates, "548": elevates, "549": elevates, "550": elevates, "551": elevates, "553": elevates, "554": elevates, "556": elevates, "569": elevates, "578": elevates,
}

// Roles asks what an account may do. On Windows it is named with its domain or host, or
// its SID is given; of accounts of a domain the tables know what groups of this host they
// are in, once they logged on.
func (c *Core) Roles(ctx context.Context, name string) Roles {
	var r Roles
	if name == "" {
		return r
	}
	if c.platform == evidence.Windows {
		c.windows(ctx, &r, name)
		return r
	}
	p := person{name: name}
	uids, ok := c.numbers(ctx, &r, "uid", squirrel.Select("uid").From("users").Where(squirrel.Eq{"lower(username)": strings.ToLower(name)}).Limit(8))
	if ok && len(uids) == 0 {
		r.problem("%s is no account that osquery knows: its groups are not known", name)
	}
	if len(uids) > 0 {
		p.uid = strconv.FormatInt(uids[0], 10)
		for _, g := range c.groups(ctx, &r, uids) {
			p.groups = append(p.groups, g["groupname"])
			p.gids = append(p.gids, g["gid"])
		}
		p.tell(&r)
	}
	rows, _ := c.ask(ctx, &r, squirrel.Select("source", "header", "rule_details").From("sudoers").Limit(10000))
	s := sudoers{roles: &r, aliases: map[string][]string{}}
	for _, row := range rows {
		// osquery follows includes itself.
		if !strings.Contains(row["header"], "include") {
			s.parse(row["source"], row["header"]+" "+row["rule_details"], 0)
		}
	}
	s.judge(&p)
	return r
}

// windows asks for the groups of an account of Windows'.
func (c *Core) windows(ctx context.Context, r *Roles, name string) {
	domain, user := "", name
	if i := strings.LastIndexByte(name, '\\'); i >= 0 {
		domain, user = name[:i], name[i+1:]
	}
	here, bySID := domain == "" || c.here(domain), strings.HasPrefix(user, "S-1-")
	who := squirrel.Eq{"lower(username)": strings.ToLower(user)}
	if bySID {
		who = squirrel.Eq{"uuid": user}
	}
	rows, ok := c.ask(ctx, r, squirrel.Select("uid", "type").From("users").Where(who).Limit(8))
	if !ok {
		return
	}
	var uids []int64
	for _, row := range rows {
		n, err := strconv.ParseInt(row["uid"], 10, 64)
		// Accounts of a domain have their namesakes on the host.
		if local := row["type"] == "local"; err == nil && (bySID || domain == "" || local == here) {
			uids = append(uids, n)
			here = local
		}
	}
	if len(uids) == 0 {
		r.problem("%s is no account that osquery knows: its groups are not known", name)
		return
	}
	// osquery numbers an account by the last part of its SID, which one of a domain may
	// share with one of the host.
	same, ok := c.numbers(ctx, r, "uid", squirrel.Select("uid").From("users").Where(squirrel.Eq{"uid": uids}).Limit(8))
	if !ok {
		return
	}
	if len(uids) > 1 || len(same) > 1 {
		r.problem("another account has the name or number of %s: its groups are not known", name)
		return
	}
	groups := c.groups(ctx, r, uids)
	for _, g := range groups {
		r.add("in the group %s%s", g["groupname"], windowsPowers[g["gid"]])
	}
	switch {
	case !here:
		r.problem("what %s may do by groups of its domain is not known", name)
	case len(groups) == 0 && len(r.Problems) == 0:
		r.problem("osquery knows no group of %s", name)
	}
}

// here reports whether a domain is this host: Windows cuts its name at 15 characters.
func (c *Core) here(domain string) bool {
	host, _, _ := strings.Cut(c.host, ".")
	return host != "" && strings.EqualFold(domain, host[:min(len(host), 15)]) || domain == "."
}

// groups are the groups of accounts, by name.
func (c *Core) groups(ctx context.Context, r *Roles, uids []int64) []map[string]string {
	gids, _ := c.numbers(ctx, r, "gid", squirrel.Select("gid").Distinct().From("user_groups").Where(squirrel.Eq{"uid": uids}).OrderBy("gid").Limit(maxRoles+1))
	if len(gids) == 0 {
		return nil
	}
	rows, _ := c.ask(ctx, r, squirrel.Select("gid", "groupname").Distinct().From("groups").Where(squirrel.Eq{"gid": gids}).OrderBy("groupname").Limit(maxRoles+1))
	return rows
}

// numbers are the values of a column of numbers.
func (c *Core) numbers(ctx context.Context, r *Roles, column string, stmt squirrel.Sqlizer) ([]int64, bool) {
	rows, ok := c.ask(ctx, r, stmt)
	var out []int64
	for _, row := range rows {
		if n, err := strconv.ParseInt(row[column], 10, 64); err == nil {
			out = append(out, n)
		}
	}
	return out, ok
}

// ask runs a statement; ok is false, and r has the problem, where it fails.
func (c *Core) ask(ctx context.Context, r *Roles, stmt squirrel.Sqlizer) (rows []map[string]string, ok bool) {
	rows, err := core.Ask(ctx, c.q, stmt)
	if err != nil {
		r.problem("osquery could not be asked: %v", err)
		return nil, false
	}
	return rows, true
}
