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
}

// NewCore returns a Core that asks q, of a host of a platform.
func NewCore(q core.Asker, p evidence.Platform) *Core { return &Core{q: q, platform: p} }

// Roles asks what an account may do. On Windows its domain is left out: the tables
// know local accounts and who logged on.
func (c *Core) Roles(ctx context.Context, name string) Roles {
	var r Roles
	if name == "" {
		return r
	}
	if i := strings.LastIndexByte(name, '\\'); i >= 0 && c.platform == evidence.Windows {
		name = name[i+1:]
	}
	p := person{name: name}
	uids, ok := c.numbers(ctx, &r, "uid", squirrel.Select("uid").From("users").Where(squirrel.Eq{"lower(username)": strings.ToLower(name)}).Limit(8))
	if ok && len(uids) == 0 {
		r.problem("%s is no account that osquery knows: its groups are not known", name)
	}
	if len(uids) > 0 {
		p.uid = strconv.FormatInt(uids[0], 10)
		gids, _ := c.numbers(ctx, &r, "gid", squirrel.Select("gid").Distinct().From("user_groups").Where(squirrel.Eq{"uid": uids}).OrderBy("gid").Limit(maxRoles+1))
		for _, g := range gids {
			p.gids = append(p.gids, strconv.FormatInt(g, 10))
		}
		if len(gids) > 0 {
			rows, _ := c.ask(ctx, &r, squirrel.Select("groupname").Distinct().From("groups").Where(squirrel.Eq{"gid": gids}).OrderBy("groupname").Limit(maxRoles+1))
			for _, row := range rows {
				p.groups = append(p.groups, row["groupname"])
			}
		}
		p.tell(&r)
	}
	if c.platform != evidence.Windows {
		rows, _ := c.ask(ctx, &r, squirrel.Select("source", "header", "rule_details").From("sudoers").Limit(10000))
		s := sudoers{roles: &r, aliases: map[string][]string{}}
		for _, row := range rows {
			// osquery follows includes itself.
			if !strings.Contains(row["header"], "include") {
				s.parse(row["source"], row["header"]+" "+row["rule_details"], 0)
			}
		}
		s.judge(&p)
	}
	return r
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
