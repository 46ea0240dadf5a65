package logtail

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin is the time of the first line, and day0 that of the first Read.
var (
	begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	day0  = begin.Add(time.Minute)
)

// host is a host whose audit daemon writes.
type host struct {
	t      *testing.T
	root   string
	log    string
	writer *os.File
	serial int
	now    time.Time
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, root: t.TempDir(), now: day0}
	h.log = filepath.Join(h.root, "var/log/audit/audit.log")
	h.must(os.MkdirAll(filepath.Dir(h.log), 0o700))
	h.create()
	t.Cleanup(func() { h.writer.Close() })
	return h
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) options() Options {
	return Options{Root: h.root, Host: "web1", Location: time.UTC, Now: func() time.Time { return h.now }, Trust: []uint32{uint32(os.Getuid())}}
}

// create begins a new log; the writer turns to it.
func (h *host) create() {
	h.t.Helper()
	f, err := os.OpenFile(h.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	h.must(err)
	if h.writer != nil {
		h.must(h.writer.Close())
	}
	h.writer = f
}

// records are those of one execution; a second passes with each.
func records(serial int) []string {
	at := fmt.Sprintf("audit(%d.000:%d)", begin.Unix()+int64(serial), serial)
	return []string{
		fmt.Sprintf("type=SYSCALL msg=%s: arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=%d auid=1000 uid=0 euid=0 tty=pts0 ses=3 comm=\"id\" exe=\"/usr/bin/id\"\n", at, serial),
		fmt.Sprintf("type=EXECVE msg=%s: argc=2 a0=\"id\" a1=\"%d\"\n", at, serial),
		fmt.Sprintf("type=CWD msg=%s: cwd=\"/root\"\n", at),
		fmt.Sprintf("type=PROCTITLE msg=%s: proctitle=6964\n", at),
	}
}

// write logs n executions, and sets the clock.
func (h *host) write(n int) {
	h.t.Helper()
	for range n {
		h.serial++
		h.raw(strings.Join(records(h.serial), ""))
	}
	h.now = begin.Add(time.Duration(h.serial+60) * time.Second)
}

func (h *host) raw(s string) {
	h.t.Helper()
	_, err := h.writer.WriteString(s)
	h.must(err)
}

func (h *host) rename(from, to string) { h.t.Helper(); h.must(os.Rename(from, to)) }

// touch gives a file the time of its last line, as it has on a host.
func (h *host) touch(name string) {
	h.t.Helper()
	h.must(os.Chtimes(name, h.now, begin.Add(time.Duration(h.serial)*time.Second)))
}

// zip compresses a file as gzip does it.
func (h *host) zip(name string) {
	h.t.Helper()
	info, err := os.Stat(name)
	h.must(err)
	b, err := os.ReadFile(name)
	h.must(err)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, err = w.Write(b)
	h.must(errors.Join(err, w.Close(), os.WriteFile(name+".gz", z.Bytes(), 0o600), os.Chtimes(name+".gz", h.now, info.ModTime()), os.Remove(name)))
}

// reader reads a host's log in one of three ways.
type reader struct {
	h      *host
	mode   string
	source *Source
	cursor string
	got    []int
	rest   evidence.Batch // all but the processes
	err    error
}

var modes = []string{"live", "restarted", "asked twice"}

func (h *host) reader(mode string) *reader {
	r := &reader{h: h, mode: mode, source: NewAudit(h.options())}
	h.t.Cleanup(func() { h.must(r.source.Close()) })
	return r
}

func (r *reader) read(limit int) {
	r.h.t.Helper()
	for range 1000 {
		b, err := r.source.Read(context.Background(), r.cursor, limit)
		if r.mode == "asked twice" {
			again, err2 := r.source.Read(context.Background(), r.cursor, limit)
			if d := cmp.Diff(b.Processes, again.Processes); d != "" || (err == nil) != (err2 == nil) {
				r.h.t.Fatalf("asked again, it says: %v\n%s", err2, d)
			}
			b, err = again, err2
		}
		r.err = err
		var u *evidence.Unavailable
		if err != nil && !errors.As(err, &u) {
			r.h.t.Fatal(err)
		}
		if u != nil && u.Detail == "" {
			r.h.t.Errorf("%+v", u)
		}
		r.cursor = b.Cursor
		for _, p := range b.Processes {
			if p.Path != "/usr/bin/id" || p.CmdLine != fmt.Sprintf("id %d", p.PID) || p.CWD != "/root" || p.Host != "web1" {
				r.h.t.Errorf("a broken row: %+v", p)
			}
			r.got = append(r.got, int(p.PID))
		}
		r.rest.Gaps = append(r.rest.Gaps, b.Gaps...)
		r.rest.Changes = append(r.rest.Changes, b.Changes...)
		r.rest.Dropped += b.Dropped
		r.rest.Read += b.Read
		if limit > 0 && len(b.Processes) > limit {
			r.h.t.Errorf("%d rows, asked for %d", len(b.Processes), limit)
		}
		if r.mode == "restarted" {
			r.h.must(r.source.Close())
			r.source = NewAudit(r.h.options())
		}
		if !b.More {
			return
		}
	}
	r.h.t.Fatal("it never ends")
}

// want checks that exactly these were seen, in order.
func (r *reader) want(serials []int, gaps, changes int) {
	r.h.t.Helper()
	if !slices.Equal(r.got, serials) {
		r.h.t.Errorf("got %v, want %v", short(r.got), short(serials))
	}
	if len(r.rest.Gaps) != gaps || len(r.rest.Changes) != changes {
		r.h.t.Errorf("%d gaps, %d changes; want %d and %d: %+v %+v", len(r.rest.Gaps), len(r.rest.Changes), gaps, changes, r.rest.Gaps, r.rest.Changes)
	}
}

func short(n []int) string {
	if len(n) > 40 {
		return fmt.Sprint(n[:20], "...", n[len(n)-20:])
	}
	return fmt.Sprint(n)
}

func upTo(n int) []int { return between(1, n) }

func between(a, b int) (out []int) {
	for i := a; i <= b; i++ {
		out = append(out, i)
	}
	return out
}

// TestRotations reads through each way in which a log is rotated, in each way of
// reading, with rows before, in between and after.
func TestRotations(t *testing.T) {
	tests := []struct {
		name   string
		rotate func(h *host, r *reader)
	}{
		{"renamed, created anew", func(h *host, r *reader) {
			h.touch(h.log)
			h.rename(h.log, h.log+".1")
			h.create()
		}},
		{"renamed, and for a while written to under its new name", func(h *host, r *reader) {
			h.rename(h.log, h.log+".1")
			h.write(3)
			r.read(0)
			if r.err != nil {
				h.t.Errorf("between two steps of a rotation: %v", r.err)
			}
			h.write(3)
			h.must(os.WriteFile(h.log, nil, 0o600)) // as logrotate does
			h.write(2)
			r.read(0)
			h.write(2)
			h.touch(h.log + ".1")
			h.create()
		}},
		{"copied and truncated", func(h *host, r *reader) {
			b, err := os.ReadFile(h.log)
			h.must(err)
			h.must(os.WriteFile(h.log+".1", b, 0o600))
			h.touch(h.log + ".1")
			h.must(os.Truncate(h.log, 0))
		}},
		{"copied, truncated and soon longer than before", func(h *host, r *reader) {
			b, err := os.ReadFile(h.log)
			h.must(err)
			h.must(os.WriteFile(h.log+".1", b, 0o600))
			h.touch(h.log + ".1")
			h.must(os.Truncate(h.log, 0))
			h.write(h.serial + 5)
		}},
		{"renamed and compressed", func(h *host, r *reader) {
			h.touch(h.log)
			h.rename(h.log, h.log+".1")
			h.zip(h.log + ".1")
			h.create()
		}},
		{"copied, truncated, the copy compressed", func(h *host, r *reader) {
			b, err := os.ReadFile(h.log)
			h.must(err)
			h.must(os.WriteFile(h.log+"-20260301", b, 0o600))
			h.touch(h.log + "-20260301")
			h.zip(h.log + "-20260301")
			h.must(os.Truncate(h.log, 0))
		}},
		{"three times, the older ones compressed", func(h *host, r *reader) {
			for range 3 {
				for i := 4; i > 0; i-- {
					for _, z := range []string{"", ".gz"} {
						from := fmt.Sprintf("%s.%d%s", h.log, i, z)
						if _, err := os.Stat(from); err == nil {
							h.rename(from, fmt.Sprintf("%s.%d%s", h.log, i+1, z))
						}
					}
				}
				if _, err := os.Stat(h.log + ".2"); err == nil {
					h.zip(h.log + ".2")
				}
				h.touch(h.log)
				h.rename(h.log, h.log+".1")
				h.create()
				h.write(7)
			}
		}},
		{"a line without an end in the old one", func(h *host, r *reader) {
			h.serial++
			rec := records(h.serial)
			h.raw(strings.Join(rec[:3], "") + strings.TrimSuffix(rec[3], "\n"))
			h.touch(h.log)
			h.rename(h.log, h.log+".1")
			h.create()
		}},
		{"within an event", func(h *host, r *reader) {
			h.serial++
			rec := records(h.serial)
			h.raw(rec[0] + rec[1])
			r.read(0)
			h.touch(h.log)
			h.rename(h.log, h.log+".1")
			h.create()
			h.raw(rec[2])
			r.read(0)
			h.raw(rec[3])
			r.read(0)
		}},
	}
	for _, tt := range tests {
		for _, mode := range modes {
			for _, limit := range []int{0, 3} {
				t.Run(fmt.Sprintf("%s/%s/%d", tt.name, mode, limit), func(t *testing.T) {
					h := newHost(t)
					r := h.reader(mode)
					h.write(20)
					r.read(limit)
					h.write(10) // not read before the rotation
					tt.rotate(h, r)
					h.write(4)
					r.read(limit)
					h.write(4)
					r.read(limit)
					r.read(limit)
					r.want(upTo(h.serial), 0, 0)
					if r.err != nil {
						t.Error(r.err)
					}
				})
			}
		}
	}
}

// TestTraces: what is no rotation is told.
func TestTraces(t *testing.T) {
	tests := []struct {
		name   string
		modes  []string
		act    func(h *host)
		lost   int // executions that can't be known
		gaps   int
		detail string // of the change
	}{
		{"truncated to nothing", modes, func(h *host) { h.must(os.Truncate(h.log, 0)) }, 5, 1, "cut: "},
		{"truncated, and grown beyond", modes, func(h *host) {
			h.must(os.Truncate(h.log, 0))
			h.write(50)
		}, 5, 1, "cut: "},
		{"lines cut from its end", modes, func(h *host) {
			h.must(os.Truncate(h.log, int64(len(strings.Join(slices.Concat(records(1), records(2), records(3), records(4), records(5)), "")))))
		}, 5, 0, "rewritten: "},
		{"removed, made anew", []string{"live"}, func(h *host) {
			h.must(os.Remove(h.log))
			h.create()
		}, 0, 0, "removed "},
		{"removed, made anew, while we were away", []string{"restarted"}, func(h *host) {
			// Another file keeps the inode from being used again.
			h.must(os.WriteFile(h.log+".x", nil, 0o600))
			h.rename(h.log+".x", h.log)
			h.create()
		}, 5, 1, ""},
		{"removed, made anew with the same inode, while we were away", []string{"restarted"}, func(h *host) {
			was, err := os.Stat(h.log)
			h.must(err)
			h.must(h.writer.Close())
			h.writer = nil
			h.must(os.Remove(h.log))
			h.create()
			now, err := os.Stat(h.log)
			h.must(err)
			if !os.SameFile(was, now) {
				h.t.Skip("NOT TESTED: a file of the same inode: this file system does not use one again at once")
			}
		}, 5, 1, "cut: "},
		{"written over in place", modes, func(h *host) {
			b, err := os.ReadFile(h.log)
			h.must(err)
			f, err := os.OpenFile(h.log, os.O_WRONLY, 0)
			h.must(err)
			end := len(strings.Join(slices.Concat(records(21), records(22), records(23), records(24), records(25)), ""))
			_, err = f.WriteAt([]byte("70"), int64(len(b)-end-3))
			h.must(errors.Join(err, f.Close()))
		}, 0, 0, "rewritten: "},
		{"edited, another file in its place", []string{"live"}, func(h *host) {
			b, err := os.ReadFile(h.log)
			h.must(err)
			lines := strings.SplitAfter(string(b), "\n")
			lines = append(lines[:24], lines[32:]...)
			h.must(os.WriteFile(h.log+".new", []byte(strings.Join(lines, "")), 0o600))
			h.rename(h.log+".new", h.log)
			h.create()
		}, 0, 0, "removed "},
		{"edited while we were away", []string{"restarted"}, func(h *host) {
			b, err := os.ReadFile(h.log)
			h.must(err)
			lines := strings.SplitAfter(string(b), "\n")
			lines = append(lines[:24], lines[32:]...)
			h.must(os.WriteFile(h.log+".new", []byte(strings.Join(lines, "")), 0o600))
			h.rename(h.log+".new", h.log)
			h.create()
		}, 0, 0, "rewritten: "},
	}
	for _, tt := range tests {
		for _, mode := range tt.modes {
			t.Run(tt.name+"/"+mode, func(t *testing.T) {
				h := newHost(t)
				r := h.reader(mode)
				h.write(20)
				r.read(0)
				h.write(5)
				tt.act(h)
				h.write(4)
				r.read(0)
				h.write(4)
				r.read(0)
				want := append(upTo(20), between(21+tt.lost, h.serial)...)
				got := slices.Compact(slices.Sorted(slices.Values(r.got)))
				if !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", short(r.got), short(want))
				}
				// The second of the last row is the one that can come twice.
				if extra := len(r.got) - len(want); extra > 1 {
					t.Errorf("%d rows came twice: %v", extra, r.got)
				}
				if len(r.rest.Gaps) != tt.gaps {
					t.Errorf("gaps %+v", r.rest.Gaps)
				}
				for _, g := range r.rest.Gaps {
					if g.From < begin.Unix() || g.To < g.From || g.Reason == "" {
						t.Errorf("gap %+v", g)
					}
				}
				if tt.detail == "" {
					if len(r.rest.Changes) > 0 {
						t.Errorf("changes %+v", r.rest.Changes)
					}
					return
				}
				if len(r.rest.Changes) == 0 || !strings.HasPrefix(r.rest.Changes[0].Detail, tt.detail) {
					t.Fatalf("changes %+v", r.rest.Changes)
				}
				c := r.rest.Changes[0]
				if c.Kind != evidence.ChangeAudit || c.Subject != "/var/log/audit/audit.log" || c.Source != "auditlog" || c.Host != "web1" || c.EID == "" {
					t.Errorf("change %+v", c)
				}
			})
		}
	}
}

func TestRemovedIsReadOn(t *testing.T) {
	h := newHost(t)
	r := h.reader("live")
	h.write(3)
	r.read(0)
	h.must(os.Remove(h.log))
	h.write(3)
	r.read(0)
	r.read(0)
	h.write(2)
	r.read(0)
	r.want(upTo(8), 0, 1)
	if r.err != nil {
		t.Errorf("while it is written to: %v", r.err)
	}
	h.now = h.now.Add(time.Hour)
	h.must(os.Chtimes(fmt.Sprintf("/proc/self/fd/%d", h.writer.Fd()), h.now, h.now.Add(-time.Hour)))
	r.read(0)
	var u *evidence.Unavailable
	if !errors.As(r.err, &u) || u.State != evidence.StateFailed || !strings.Contains(u.Remedy, "who removed it") {
		t.Errorf("%v", r.err)
	}
	h.create()
	h.write(2)
	r.read(0)
	r.want(upTo(10), 0, 1)
}

func TestUnreadableCompression(t *testing.T) {
	for _, mode := range modes {
		h := newHost(t)
		r := h.reader(mode)
		h.write(3)
		r.read(0)
		h.write(3)
		h.touch(h.log)
		h.must(os.Rename(h.log, h.log+".1.xz"))
		h.must(os.WriteFile(h.log+".1.xz", []byte("not so"), 0o600))
		h.create()
		h.write(3)
		r.read(0)
		r.want(append(upTo(3), between(7, 9)...), 1, 0)
		if len(r.rest.Gaps) == 1 && !strings.Contains(r.rest.Gaps[0].Reason, "compressed in a way") {
			t.Errorf("%s: %+v", mode, r.rest.Gaps)
		}
	}
}

func TestDamagedCompression(t *testing.T) {
	h := newHost(t)
	r := h.reader("restarted")
	h.write(200)
	r.read(50) // until the end
	if len(r.got) != 200 {
		t.Fatalf("%d rows", len(r.got))
	}
	h.write(2000)
	h.touch(h.log)
	h.rename(h.log, h.log+".1")
	h.zip(h.log + ".1")
	b, err := os.ReadFile(h.log + ".1.gz")
	h.must(err)
	copy(b[len(b)*3/4:], bytes.Repeat([]byte{0xa5}, 64))
	h.must(os.WriteFile(h.log+".1.gz", b, 0o600))
	h.touch(h.log + ".1.gz")
	h.create()
	h.write(3)
	r.read(0)
	if n := len(r.got); n < 203 || !slices.Equal(r.got[n-3:], between(2201, 2203)) || !slices.Equal(r.got[:n-3], upTo(n-3)) {
		t.Errorf("%d rows: %v", n, short(r.got))
	}
	if len(r.rest.Gaps) != 1 {
		t.Errorf("%+v", r.rest.Gaps)
	}
}

// TestGrowth reads while lines are written in pieces of any size.
func TestGrowth(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			h := newHost(t)
			r := h.reader(mode)
			h.now = begin
			var all string
			for i := range 120 {
				all += strings.Join(records(i+1), "")
			}
			size := 1
			for len(all) > 0 {
				n := min(size, len(all))
				h.raw(all[:n])
				all = all[n:]
				size = size*7%631 + 1
				h.now = begin.Add(time.Duration(121-strings.Count(all, "PROCTITLE")) * time.Second)
				r.read(2)
			}
			r.want(upTo(120), 0, 0)
		})
	}
}

func TestWaiting(t *testing.T) {
	for _, mode := range modes {
		h := newHost(t)
		r := h.reader(mode)
		rec := records(1)
		h.now = begin
		h.raw(rec[0] + rec[1] + rec[2]) // the title is kept from the log by a rule
		r.read(0)
		r.want(nil, 0, 0)
		h.now = h.now.Add(3 * time.Second)
		r.read(0)
		r.want(nil, 0, 0)
		h.now = h.now.Add(4 * time.Second)
		r.read(0)
		r.want(upTo(1), 0, 0)
		cursor := r.cursor
		h.now = h.now.Add(time.Hour)
		r.read(0)
		r.want(upTo(1), 0, 0)
		if r.cursor != cursor {
			t.Errorf("the cursor of a quiet log moves: %s, %s", cursor, r.cursor)
		}
	}
}

func TestFirstStart(t *testing.T) {
	t.Run("old lines", func(t *testing.T) {
		h := newHost(t)
		h.write(100)
		h.now = begin.Add(24*time.Hour + 61*time.Second)
		r := h.reader("live")
		r.read(0)
		r.want(between(61, 100), 1, 0)
		if g := r.rest.Gaps[0]; g.From != begin.Unix()+1 || g.To != begin.Unix()+61 {
			t.Errorf("%+v", g)
		}
		h.write(2)
		r.read(0)
		r.want(between(61, 102), 1, 0)
	})
	t.Run("a large one", func(t *testing.T) {
		h := newHost(t)
		h.write(12_000)
		r := h.reader("live")
		r.read(0)
		if n := len(r.got); n < 9_000 || n >= 12_000 || !slices.Equal(r.got, between(12_001-n, 12_000)) || len(r.rest.Gaps) != 1 {
			t.Errorf("%d rows, %+v: %s", n, r.rest.Gaps, short(r.got))
		}
	})
	t.Run("an empty one", func(t *testing.T) {
		h := newHost(t)
		r := h.reader("restarted")
		r.read(0)
		h.write(2)
		r.read(0)
		r.want(upTo(2), 0, 0)
	})
	t.Run("a cursor that is none", func(t *testing.T) {
		for _, c := range []string{"x", `{"v":2}`, `{"v":1,"files":{"/var/log/audit/audit.log":{"off":-1}}}`, `{"v":1,"files":{"/var/log/audit/audit.log":{"off":5,"warm":6}}}`, `{"v":1,"files":{"a":null}}`, strings.Repeat("x", maxCursor+1)} {
			h := newHost(t)
			r := h.reader("live")
			h.write(2)
			r.cursor = c
			r.read(0)
			r.want(upTo(2), 1, 0)
		}
	})
}

func TestHostile(t *testing.T) {
	unavailable := func(t *testing.T, err error, state, in string) {
		t.Helper()
		var u *evidence.Unavailable
		if !errors.As(err, &u) || u.State != state || !strings.Contains(u.Detail+"|"+u.Remedy, in) {
			t.Errorf("%v, want %s with %q", err, state, in)
		}
	}
	t.Run("a pipe", func(t *testing.T) {
		h := newHost(t)
		h.must(os.Remove(h.log))
		h.must(syscall.Mkfifo(h.log, 0o600))
		r := h.reader("live")
		r.read(0)
		unavailable(t, r.err, evidence.StateFailed, "fifo")
	})
	t.Run("a pipe in the place of a log that is followed", func(t *testing.T) {
		h := newHost(t)
		r := h.reader("live")
		h.write(2)
		r.read(0)
		h.must(os.Remove(h.log))
		h.must(syscall.Mkfifo(h.log, 0o600))
		h.write(2)
		r.read(0)
		r.want(upTo(4), 0, 1)
		unavailable(t, r.err, evidence.StateFailed, "fifo")
	})
	t.Run("a link that anybody can place", func(t *testing.T) {
		h := newHost(t)
		h.write(1)
		h.rename(h.log, h.root+"/elsewhere")
		h.must(os.Symlink("/elsewhere", h.log))
		r := h.reader("live")
		r.read(0)
		r.want(upTo(1), 0, 0) // root's own link
		h.must(os.Chmod(filepath.Dir(h.log), 0o777))
		r = h.reader("live")
		r.read(0)
		r.want(nil, 0, 0)
		unavailable(t, r.err, evidence.StateFailed, "link")
	})
	t.Run("a directory, and one in the place of the directory", func(t *testing.T) {
		h := newHost(t)
		h.must(os.Remove(h.log))
		h.must(os.Mkdir(h.log, 0o700))
		r := h.reader("live")
		r.read(0)
		unavailable(t, r.err, evidence.StateFailed, "directory")
		h.must(os.RemoveAll(filepath.Dir(h.log)))
		h.must(os.WriteFile(filepath.Dir(h.log), nil, 0o600))
		r.read(0)
		unavailable(t, r.err, evidence.StateOff, "auditd")
	})
	t.Run("no log", func(t *testing.T) {
		h := newHost(t)
		h.must(os.RemoveAll(filepath.Join(h.root, "var")))
		r := h.reader("live")
		r.read(0)
		unavailable(t, r.err, evidence.StateOff, "install auditd")
	})
	t.Run("long lines", func(t *testing.T) {
		for _, mode := range modes {
			h := newHost(t)
			r := h.reader(mode)
			h.write(1)
			r.read(0)
			for range 2 {
				h.raw(strings.Repeat("x", 10<<20))
				r.read(0)
				h.raw(strings.Repeat("y", 10<<20) + "\n")
				h.write(1)
				r.read(0)
			}
			r.want(upTo(3), 0, 0)
			if r.rest.Dropped != 2 {
				t.Errorf("%s: %d dropped", mode, r.rest.Dropped)
			}
			if n := cap(r.source.buf); n > 4*firstBuffer {
				t.Errorf("%s: a buffer of %d bytes is kept", mode, n)
			}
		}
	})
	t.Run("zero bytes", func(t *testing.T) {
		for _, mode := range modes {
			h := newHost(t)
			r := h.reader(mode)
			h.write(1)
			h.raw(strings.Repeat("\x00", 5000))
			h.write(1)
			h.raw("\x00\n\x00\x00\n\n\r\n")
			h.write(1)
			r.read(0)
			// As a writer leaves it that goes on where it was in a truncated file.
			b, err := os.ReadFile(h.log)
			h.must(err)
			h.must(os.WriteFile(h.log+".1", b, 0o600))
			h.touch(h.log + ".1")
			h.must(os.Truncate(h.log, 0))
			h.must(os.Truncate(h.log, 30<<20))
			h.write(2)
			r.read(0)
			h.write(1)
			r.read(0)
			r.want(upTo(6), 0, 0)
		}
	})
	t.Run("rotated files that are none", func(t *testing.T) {
		h := newHost(t)
		r := h.reader("restarted")
		h.write(2)
		r.read(0)
		h.must(syscall.Mkfifo(h.log+".1", 0o600))
		h.must(os.Symlink("/etc/passwd", h.log+".2"))
		h.must(os.Symlink("audit.log.3.gz", h.log+".3.gz"))
		h.must(os.WriteFile(h.log+".4.gz", []byte("\x1f\x8b junk"), 0o600))
		h.must(os.Mkdir(h.log+".5", 0o700))
		h.write(2)
		h.touch(h.log)
		h.rename(h.log, h.log+".6")
		h.create()
		h.write(2)
		r.read(0)
		if !slices.Equal(r.got, upTo(6)) {
			t.Errorf("%v", r.got)
		}
	})
	t.Run("no permission", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("NOT TESTED: files that may not be read: root may read everything")
		}
		h := newHost(t)
		h.must(os.Chmod(h.log, 0))
		r := h.reader("live")
		r.read(0)
		unavailable(t, r.err, evidence.StateFailed, "as root")
	})
}

// TestState: what is said when only some logs can be read.
func TestState(t *testing.T) {
	s := NewSyslog(Options{})
	for _, tt := range []struct {
		readable int
		troubles []error
		state    string
		remedy   string
	}{
		{1, nil, "", ""},
		{0, nil, evidence.StateOff, "rsyslog"},
		{0, []error{fmt.Errorf("a: %w", os.ErrPermission)}, evidence.StateFailed, "as root"},
		{1, []error{fmt.Errorf("a: %w", os.ErrPermission)}, evidence.StateDegraded, "as root"},
		{1, []error{fmt.Errorf("a: %w", os.ErrNotExist)}, evidence.StateDegraded, "was there before"},
		{0, []error{fmt.Errorf("a: %w", errLink), errors.New("b")}, evidence.StateFailed, "link"},
		{0, []error{errors.New("b")}, evidence.StateFailed, "owns"},
	} {
		err := s.state(tt.readable, tt.troubles)
		var u *evidence.Unavailable
		if tt.state == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.As(err, &u) || u.State != tt.state || !strings.Contains(u.Remedy, tt.remedy) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestAudited: rows come also where rules log no programs, and it is said.
func TestAudited(t *testing.T) {
	h := newHost(t)
	asked := 0
	var verdict error = &evidence.Unavailable{State: evidence.StateOff, Detail: "no rules"}
	o := h.options()
	o.Audited = func() error {
		asked++
		return verdict
	}
	s := NewAudit(o)
	defer s.Close()
	h.write(2)
	b, err := s.Read(context.Background(), "", 0)
	if len(b.Processes) != 2 || !errors.Is(err, verdict) {
		t.Errorf("%+v, %v", b, err)
	}
	verdict = nil
	if _, err := s.Read(context.Background(), b.Cursor, 0); err == nil || asked != 1 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	h.now = h.now.Add(askEvery)
	if _, err := s.Read(context.Background(), b.Cursor, 0); err != nil || asked != 2 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

func TestSeveralLogs(t *testing.T) {
	h := newHost(t)
	dir := filepath.Join(h.root, "var/log")
	put := func(name, text string) {
		h.must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		h.must(err)
		_, err = f.WriteString(text)
		h.must(errors.Join(err, f.Close()))
	}
	put("auth.log", "Mar  1 12:00:01 web1 sudo:     anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units\n")
	put("syslog", "2026-03-01T12:00:02.5+00:00 web1.example.com CRON[77]: (root) CMD (service --status-all)\n"+
		"2026-03-01T12:00:03+00:00 other CRON[78]: (root) CMD (chkconfig)\n")
	s := NewSyslog(h.options())
	defer s.Close()
	b, err := s.Read(context.Background(), "", 0)
	h.must(err)
	h.now = h.now.Add(10 * time.Second) // sudo may have more to say
	c, err := s.Read(context.Background(), b.Cursor, 0)
	h.must(err)
	b.Processes = append(b.Processes, c.Processes...)
	b.Cursor = c.Cursor
	type row struct{ Host, CmdLine, Source string }
	var got []row
	for _, p := range b.Processes {
		got = append(got, row{p.Host, p.CmdLine, p.Source})
	}
	want := []row{{"web1", "service --status-all", "syslog"}, {"other", "chkconfig", "syslog"}, {"web1", "/usr/bin/systemctl list-units", "syslog"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if b.Read != 3 || b.More {
		t.Errorf("%+v", b)
	}
	// One log floods; the others have their turn.
	for range 50 {
		put("auth.log", "Mar  1 12:00:04 web1 CRON[9]: (root) CMD (flood)\n")
	}
	put("syslog", "2026-03-01T12:00:05+00:00 web1 CRON[79]: (root) CMD (late)\n")
	put("messages", "2026-03-01T12:00:05+00:00 web1 CRON[79]: (root) CMD (new)\n")
	var seen []string
	for i := 0; i == 0 || b.More; i++ {
		if b, err = s.Read(context.Background(), b.Cursor, 1); err != nil {
			t.Fatal(err)
		}
		for _, p := range b.Processes {
			seen = append(seen, p.CmdLine)
		}
		if i > 200 {
			t.Fatal("it never ends")
		}
	}
	if at := slices.Index(seen, "late"); at < 0 || at > 8 {
		t.Errorf("%d: %v", at, seen)
	}
	if len(seen) != 52 {
		t.Errorf("%d rows", len(seen))
	}
	// The year is that of the last such day.
	h.now = time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	put("auth.log", "Jan 31 12:00:04 web1 CRON[9]: (root) CMD (next year)\n")
	b, err = s.Read(context.Background(), b.Cursor, 0)
	h.must(err)
	if len(b.Processes) != 1 || b.Processes[0].Time != time.Date(2027, 1, 31, 12, 0, 4, 0, time.UTC).Unix() {
		t.Errorf("%+v", b.Processes)
	}

	packages := NewPackages(h.options())
	defer packages.Close()
	if _, err := packages.Read(context.Background(), "", 0); err == nil || !strings.Contains(err.Error(), "off: ") {
		t.Errorf("without logs: %v", err)
	}
	h.now = day0
	put("apt/history.log", "\nStart-Date: 2026-03-01  12:00:01\nCommandline: apt-get install nginx\nRequested-By: anna (1000)\n")
	put("dpkg.log", "2026-03-01 12:00:02 install nginx:amd64 <none> 1.22\n")
	b, err = packages.Read(context.Background(), "", 0)
	h.must(err)
	put("apt/history.log", "Install: nginx:amd64 (1.22)\nEnd-Date: 2026-03-01  12:00:03\n")
	h.must(packages.Close())
	after := NewPackages(h.options()) // as after a restart in the middle of a command
	defer after.Close()
	c, err = after.Read(context.Background(), b.Cursor, 0)
	h.must(err)
	changes := append(b.Changes, c.Changes...)
	if len(changes) != 2 || changes[0].Subject != "nginx 1.22" || changes[1].Detail != "install 1: apt-get install nginx" || changes[1].Username != "anna" || changes[1].Host != "web1" {
		t.Errorf("%+v", changes)
	}
}

func TestCanceled(t *testing.T) {
	h := newHost(t)
	r := h.reader("live")
	h.write(1000)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.source.Read(ctx, "", 0); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.read(0)
	r.want(upTo(1000), 0, 0)
}

// TestSplitEverywhere restarts after each possible limit, so that each place
// between two rows is once the place of a crash.
func TestSplitEverywhere(t *testing.T) {
	h := newHost(t)
	// Records of three events at a time mix.
	for i := 0; i < 60; i += 3 {
		a, b, c := records(i+1), records(i+2), records(i+3)
		for k := range a {
			h.raw(a[k] + c[k] + b[k])
		}
	}
	h.now = begin.Add(2 * time.Minute)
	var want []int
	for i := 0; i < 60; i += 3 {
		want = append(want, i+1, i+3, i+2)
	}
	for limit := 1; limit < 61; limit++ {
		r := h.reader("restarted")
		r.read(limit)
		if !slices.Equal(r.got, want) {
			t.Fatalf("limit %d: %v", limit, r.got)
		}
	}
}

func TestCursorIsSmall(t *testing.T) {
	h := newHost(t)
	r := h.reader("live")
	h.write(3000)
	r.read(0)
	var c cursorForm
	if err := json.Unmarshal([]byte(r.cursor), &c); err != nil || len(r.cursor) > 600 {
		t.Errorf("%d bytes, %v: %s", len(r.cursor), err, r.cursor)
	}
	if p := c.Files["/var/log/audit/audit.log"]; p == nil || p.Off-p.Warm > 64<<10 {
		t.Errorf("%+v", p)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(`{"v":1,"files":{"/var/log/audit/audit.log":{"dev":1,"ino":2,"off":10,"head":{"n":10,"sum":"ab"},"tail":{"n":10,"sum":"ab"},"warm":3,"before":{"dev":1,"ino":3,"off":4}}}}`)
	f.Add("{}")
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseCursor(s)
		if err != nil {
			return
		}
		for path, p := range at {
			if p.Off < 0 || p.Warm > p.Off || p.Head.N > headSize || p.Tail.N > tailSize {
				t.Errorf("%s: %+v", path, p)
			}
		}
	})
}

// FuzzScanner: whatever is read, in whatever pieces, the lines are those of the
// text, at their offsets.
func FuzzScanner(f *testing.F) {
	f.Add([]byte("a\nbb\n\nccc"), uint8(1))
	f.Add(bytes.Repeat([]byte("0123456789\n"), 9000), uint8(200))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		s := newScanner(&pieces{b, int(step) + 1}, make([]byte, 64), 0, false)
		at := int64(0)
		for {
			line, where, err := s.next()
			if err != nil {
				break
			}
			at += int64(zeros(b[at:]))
			if where != at || !bytes.HasPrefix(b[at:], line) || b[at+int64(len(line))] != '\n' {
				t.Fatalf("line %q at %d, want it at %d", line, where, at)
			}
			at += int64(len(line)) + 1
			tail := s.tail()
			if s.off != at || !bytes.HasSuffix(b[:at], tail) || len(tail) < int(min(at, tailSize)) {
				t.Fatalf("at %d: offset %d, tail %q", at, s.off, tail)
			}
		}
		at += int64(zeros(b[at:]))
		rest, where := s.rest()
		if where != at || !bytes.Equal(rest, b[at:]) || s.dropped > 0 {
			t.Fatalf("rest %q at %d, want %q at %d", rest, where, b[at:], at)
		}
	})
}

type pieces struct {
	b    []byte
	step int
}

func (p *pieces) Read(to []byte) (int, error) {
	n := min(p.step, len(to), len(p.b))
	copy(to, p.b[:n])
	p.b = p.b[n:]
	if n == 0 {
		return 0, errEnd
	}
	return n, nil
}

var errEnd = errors.New("end")

func BenchmarkRead(b *testing.B) {
	root := b.TempDir()
	name := filepath.Join(root, "var/log/audit/audit.log")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	for i := range 25_000 { // 100,000 lines
		text.WriteString(strings.Join(records(i+1), ""))
	}
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		b.Fatal(err)
	}
	o, err := look(must(os.Open(name)))
	if err != nil {
		b.Fatal(err)
	}
	defer o.file.Close()
	start, err := cursorText(map[string]*position{"/var/log/audit/audit.log": {identity: o.identity}})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		s := NewAudit(Options{Root: root, Now: func() time.Time { return begin.Add(8 * time.Hour) }})
		cursor, n := start, 0
		for more := true; more; {
			got, err := s.Read(context.Background(), cursor, 0)
			if err != nil {
				b.Fatal(err)
			}
			cursor, more = got.Cursor, got.More
			n += len(got.Processes)
		}
		if n != 25_000 {
			b.Fatalf("%d rows", n)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func must(f *os.File, err error) *os.File {
	if err != nil {
		panic(err)
	}
	return f
}
