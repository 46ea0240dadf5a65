//go:build linux

package osqueryd

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	libaudit "github.com/elastic/go-libaudit/v2"
)

// KeepAudit puts the kernel's audit back at the end of the test as it was: osquery
// changes its limits and leaves them, and where it was killed, its rules as well. The
// test is skipped where audit belongs to somebody else.
func KeepAudit(tb testing.TB) {
	tb.Helper()
	before, rules, err := auditStatus()
	if err != nil {
		tb.Skipf(Missing+"the kernel's audit: %v", err)
	}
	if before.PID != 0 && syscall.Kill(int(before.PID), 0) == nil {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", before.PID))
		tb.Skipf(Missing+"the kernel's audit belongs to %s (pid %d)", strings.TrimSpace(string(name)), before.PID)
	}
	tb.Cleanup(func() {
		if err := restoreAudit(before, rules); err != nil {
			tb.Errorf("the kernel's audit is not as it was: %v", err)
		}
	})
}

func auditStatus() (status *libaudit.AuditStatus, rules int, err error) {
	c, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = c.Close() }()
	list, err := c.GetRules()
	if err != nil {
		return nil, 0, err
	}
	status, err = c.GetStatus()
	return status, len(list), err
}

func restoreAudit(before *libaudit.AuditStatus, rules int) error {
	c, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	// The kernel finds that a reader that was killed is gone only when it has something
	// to tell it: every change of a limit is.
	_ = c.SetEnabled(true, libaudit.WaitForReply)
	for i := range uint32(20) {
		now, err := c.GetStatus()
		if err != nil {
			return err
		}
		if now.PID == 0 {
			break
		}
		_ = c.SetBacklogLimit(64+i, libaudit.WaitForReply)
		<-time.After(50 * time.Millisecond)
	}
	if rules == 0 {
		if _, err := c.DeleteRules(); err != nil {
			return fmt.Errorf("delete rules: %w", err)
		}
	}
	for _, set := range []struct {
		what string
		do   func() error
	}{
		{"backlog limit", func() error { return c.SetBacklogLimit(before.BacklogLimit, libaudit.WaitForReply) }},
		{"backlog wait time", func() error { return c.SetBacklogWaitTime(int32(before.BacklogWaitTime), libaudit.WaitForReply) }},
		{"failure mode", func() error { return c.SetFailure(libaudit.FailureMode(before.Failure), libaudit.WaitForReply) }},
		{"enabled", func() error { return c.SetEnabled(before.Enabled != 0, libaudit.WaitForReply) }},
	} {
		if err := set.do(); err != nil {
			return fmt.Errorf("%s: %w", set.what, err)
		}
	}
	return nil
}
