package kaudit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	libaudit "github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// audited makes the kernel log every program that starts, and puts everything back
// at the end. It skips the test where audit is somebody's.
func audited(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: the kernel's audit needs root")
	}
	c, err := libaudit.NewAuditClient(nil)
	if err != nil {
		t.Skipf("NOT TESTED: this kernel has no audit: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	was, err := c.GetStatus()
	if err != nil {
		t.Skipf("NOT TESTED: the kernel's audit is not to be had here: %v", err)
	}
	rules, err := c.GetRules()
	if err != nil {
		t.Fatal(err)
	}
	// The kernel forgets a daemon that was killed when it has something to send next.
	_, err = os.Stat(fmt.Sprintf("/proc/%d", was.PID))
	if was.PID != 0 && err == nil || was.Enabled > 1 || len(rules) > 0 {
		t.Skipf("NOT TESTED: the kernel's audit is another's: process %d, enabled %d, %d rules", was.PID, was.Enabled, len(rules))
	}
	added := wire(listExit, actionAlways, execs, fieldArch, nativeArch())
	t.Cleanup(func() {
		if err := errors.Join(c.SetEnabled(was.Enabled == 1, libaudit.WaitForReply), c.SetBacklogLimit(was.BacklogLimit, libaudit.WaitForReply)); err != nil {
			t.Errorf("put the kernel's audit back: %v", err)
		}
		if now, err := c.GetStatus(); err != nil || now.Enabled != was.Enabled || now.BacklogLimit != was.BacklogLimit || now.PID != 0 && now.PID != was.PID || now.Failure != was.Failure || now.RateLimit != was.RateLimit {
			t.Errorf("the kernel's audit is not as it was: %+v, %+v, %v", was, now, err)
		}
	})
	if err := c.SetBacklogLimit(max(was.BacklogLimit, 8192), libaudit.WaitForReply); err != nil {
		t.Fatal(err)
	}
	if err := c.AddRule(added); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.DeleteRule(added); err != nil {
			t.Errorf("remove the test's rule: %v", err)
		}
		if left, err := c.GetRules(); err != nil || len(left) != 0 {
			t.Errorf("%d rules are left, %v", len(left), err)
		}
	})
	if err := c.SetEnabled(true, libaudit.WaitForReply); err != nil {
		t.Fatal(err)
	}
	if p, err := ask(); err != nil || !p.enabled || p.missing != "" {
		t.Fatalf("the kernel says %+v, %v", p, err)
	}
	if err := Check(); err != nil {
		t.Fatal(err)
	}
}

// TestLive hears of real programs from the real kernel.
func TestLive(t *testing.T) {
	audited(t)
	s := New(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Start(ctx); err == nil {
		t.Error("it starts twice")
	}
	dir := t.TempDir()
	begun := time.Now().Unix()
	pids := map[int64]string{}
	for i := range 200 {
		mark := fmt.Sprintf("kaudit %d 'quoted' \"so\"", i)
		cmd := exec.Command("/bin/echo", "-n", mark, "", "a\nb")
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pids[int64(cmd.Process.Pid)] = mark
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	cursor := ""
	seen := map[int64]int{}
	var eids []string
	for deadline := time.Now().Add(time.Minute); len(seen) < len(pids) && time.Now().Before(deadline); {
		b, err := s.Read(ctx, cursor, 7)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.Read(ctx, cursor, 7); err != nil || len(again.Processes) < len(b.Processes) {
			t.Fatalf("asked again, it has %d rows, %v; before, %d", len(again.Processes), err, len(b.Processes))
		} else {
			b = again
		}
		cursor = b.Cursor
		for _, g := range b.Gaps {
			t.Logf("gap: %+v", g)
		}
		for _, p := range b.Processes {
			mark, ours := pids[p.PID]
			if !ours || !strings.Contains(p.CmdLine, "kaudit") {
				continue
			}
			seen[p.PID]++
			eids = append(eids, p.EID)
			want := evidence.Process{Time: p.Time, Platform: evidence.Linux, PID: p.PID, ParentPID: p.ParentPID, Path: p.Path,
				CmdLine: "/bin/echo -n 'kaudit " + strings.ReplaceAll(strings.TrimPrefix(mark, "kaudit "), "'", `'\''`) + "' '' 'a\nb'", CWD: dir, UID: "0", LoginUID: p.LoginUID, Session: p.Session, TTY: p.TTY,
				Elevated: evidence.Yes, Source: "kaudit", EID: p.EID}
			if fmt.Sprintf("%+v", p) != fmt.Sprintf("%+v", want) || p.Time < begun || p.ParentPID != int64(os.Getpid()) || !strings.HasSuffix(p.Path, "/echo") {
				t.Errorf("got  %+v\nwant %+v", p, want)
			}
		}
		if !b.More {
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	for pid, n := range seen {
		if n != 1 {
			t.Errorf("process %d was told of %d times", pid, n)
		}
	}
	if st := s.Stats(); len(seen) != len(pids) || st.Lost > 0 || st.Overflows > 0 {
		t.Errorf("%d of %d programs, %+v", len(seen), len(pids), st)
	}
	slices.Sort(eids)
	if n := len(slices.Compact(eids)); n != len(pids) {
		t.Errorf("%d event ids", n)
	}
}

// TestLiveOverflow: what comes while nobody reads is counted.
func TestLiveOverflow(t *testing.T) {
	if os.Getenv("ROLLCALL_LIVE") == "" {
		t.Skip("NOT TESTED: a flood of the kernel's audit takes a machine of one's own (ROLLCALL_LIVE=1)")
	}
	if testing.Short() {
		t.Skip("NOT TESTED: what takes ten seconds (-short)")
	}
	audited(t)
	s := New(Options{})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	run := func(n int) {
		t.Helper()
		for range n {
			if err := exec.Command("/bin/true", "kaudit-overflow").Run(); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(5)
	s.mu.Lock() // the reader stops at its next record
	err := s.client.Netlink.(*socket).raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<10); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	run(200)
	s.mu.Unlock()
	// An event at the edge of what was discarded can have come in part: as a broken
	// row, or without the records that make one.
	const edges = 2
	total := int64(205)
	seen, cut, dropped, gaps := 0, 0, int64(0), 0
	cursor := ""
	for deadline := time.Now().Add(4 * settle); time.Now().Before(deadline) && (dropped == 0 || int64(seen+cut)+dropped < total-edges); {
		run(1) // its number tells of the others
		total++
		b, err := s.Read(t.Context(), cursor, 0)
		if err != nil {
			t.Fatal(err)
		}
		cursor = b.Cursor
		dropped += b.Dropped
		gaps += len(b.Gaps)
		for _, p := range b.Processes {
			switch {
			case strings.Contains(p.CmdLine, "kaudit-overflow"):
				seen++
			case p.CmdLine == "" || p.PID == 0:
				cut++
			}
		}
		select {
		case <-t.Context().Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	st := s.Stats()
	if st.Overflows == 0 || int64(seen) == total || int64(seen+cut)+dropped < total-edges || cut > edges || gaps == 0 || st.Lost != dropped {
		t.Errorf("%d of %d programs were seen, %d in part, %d events dropped, %d gaps, %+v", seen, total, cut, dropped, gaps, st)
	}
}

// TestLiveHandOver ends in favour of a successor while nothing is told, too.
func TestLiveHandOver(t *testing.T) {
	s := New(Options{})
	if err := s.Start(t.Context()); err != nil {
		t.Skipf("NOT TESTED: the kernel's audit can't be listened to: %v", err)
	}
	for range 3 {
		if err := s.HandOver(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.HandOver(t.Context()); err != nil {
		t.Error(err)
	}
}
