package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// directory is osquery on a Windows host with one account.
type directory struct {
	gid   string
	fail  bool
	asked int
	// during runs while it answers.
	during func()
}

func (d *directory) Query(ctx context.Context, sql string) ([]map[string]string, error) {
	d.asked++
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("no deadline")
	}
	if d.during != nil {
		d.during()
	}
	switch {
	case d.fail:
		return nil, errors.New("no socket")
	case strings.Contains(sql, "FROM users"):
		return []map[string]string{{"uid": "1001", "type": "local"}}, nil
	case strings.Contains(sql, "FROM user_groups"):
		return []map[string]string{{"gid": d.gid}}, nil
	}
	return []map[string]string{{"gid": d.gid, "groupname": "Administratoren"}}, nil
}

func TestAdminsThroughCore(t *testing.T) {
	ctx := context.Background()
	d := &directory{gid: "544"}
	now := time.Unix(1_700_000_000, 0)
	a := newAdmins(d, evidence.Windows, "ws-7")
	a.now = func() time.Time { return now }
	expect := func(what string, want evidence.Tristate, asked bool) {
		t.Helper()
		before := d.asked
		if got := a.administrator(ctx, `WS-7\kim`); got != want || (d.asked > before) != asked {
			t.Errorf("%s: %v after %d questions, want %v", what, got, d.asked-before, want)
		}
	}
	expect("at first", evidence.Yes, true)
	d.gid = "545"
	now = now.Add(coreRolesFor - time.Second)
	expect("it is remembered", evidence.Yes, false)
	now = now.Add(time.Second)
	expect("for a while", evidence.No, true)
	now = now.Add(-time.Hour)
	expect("the clock was set back", evidence.No, true)
	now, d.fail = now.Add(coreRolesFor), true
	expect("osquery is busy", evidence.Unknown, true)
	d.fail = false
	now = now.Add(rolesFor)
	expect("and asked again soon", evidence.No, true)
	now = now.Add(coreRolesFor)
	d.during = func() { a.administrator(ctx, ""); a.mu.Lock(); a.mu.Unlock() } //nolint:staticcheck // that it can be taken
	expect("osquery may ask us meanwhile", evidence.No, true)
	if a.administrator(ctx, "") != evidence.Unknown {
		t.Error("nobody is somebody")
	}
	if newAdmins(nil, evidence.Windows, "ws-7") != nil {
		t.Error("nobody can be asked")
	}
}
