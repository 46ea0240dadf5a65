package proc

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// maxTied bounds the processes of one clock tick that a cursor names.
const maxTied = 4096

// Running are the processes that run on this host, each once: those that started
// since the last read, and those that have turned into another program since.
// One that starts and ends between two reads is never seen; see Connector.
type Running struct {
	host host

	mu sync.Mutex
	// images is what each process ran when it was last seen, to notice one that
	// was caught between its fork and its exec.
	images map[processKey]uint64
}

type processKey struct {
	pid   int
	start uint64
}

// NewRunning returns the source. It reads nothing yet.
func NewRunning(opts Options) *Running {
	return &Running{host: host{opts: opts.withDefaults()}}
}

// Name is the source's name in evidence.
func (*Running) Name() string { return runningName }

// Read returns the processes that are new since cursor, oldest first, at most
// limit of them (0 means 10,000). It returns an *evidence.Unavailable if there is
// no process file system.
func (r *Running) Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error) {
	batch := evidence.Batch{Cursor: cursor}
	if limit <= 0 {
		limit = 10000
	}
	if err := r.host.open(); err != nil {
		return batch, &evidence.Unavailable{State: evidence.StateFailed, Detail: err.Error(), Remedy: "mount the process file system at " + r.host.opts.Root}
	}
	r.host.refreshUsers()
	r.mu.Lock()
	defer r.mu.Unlock()

	pids, err := r.host.pids()
	if err != nil {
		return batch, &evidence.Unavailable{State: evidence.StateFailed, Detail: err.Error(), Remedy: "mount the process file system at " + r.host.opts.Root}
	}
	t := table{host: &r.host, stats: make(map[int]stat, len(pids)), seen: map[int]evidence.Ancestor{}}
	var user []stat
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return batch, fmt.Errorf("scan processes: %w", err)
		}
		s, err := r.host.stat(pid)
		if err != nil {
			continue
		}
		t.stats[pid] = s
		if s.flags&kernelThread == 0 && s.state != 'Z' && s.state != 'X' {
			user = append(user, s)
		}
	}
	slices.SortFunc(user, func(a, b stat) int {
		if a.start != b.start {
			if a.start < b.start {
				return -1
			}
			return 1
		}
		return a.pid - b.pid
	})

	at := parseCursor(cursor, r.host.bootID)
	images := make(map[processKey]uint64, len(user))
	for i, s := range user {
		key := processKey{s.pid, s.start}
		old, known := r.images[key]
		fresh := !at.passed(s)
		if len(batch.Processes) >= limit {
			// Not looked at yet: what was known of it stays known.
			if known {
				images[key] = old
			}
			batch.More = batch.More || fresh
			continue
		}
		if !fresh {
			now := r.image(s.pid)
			images[key] = now
			if !known || now == 0 || now == old {
				continue
			}
		}
		if err := ctx.Err(); err != nil {
			return evidence.Batch{Cursor: cursor}, fmt.Errorf("scan processes: %w", err)
		}
		batch.Read++
		f, err := r.host.process(s.pid)
		if err != nil || f.start != s.start {
			if err != nil && !errors.Is(err, errGone) {
				r.host.opts.Logger.Debug("cannot read process", "pid", s.pid, "error", err)
			}
			if fresh {
				at.pass(user[i])
			}
			continue
		}
		images[key] = hash(f.path)
		p := r.host.evidence(&f, runningName)
		p.EID = r.host.bootID + ":" + strconv.Itoa(f.pid) + ":" + strconv.FormatUint(f.start, 10) + ":" + strconv.FormatUint(hash(f.path), 16)
		t.lineage(&p, s)
		batch.Processes = append(batch.Processes, p)
		if fresh {
			at.pass(s)
		}
	}
	r.images = images
	batch.Cursor = at.String()
	return batch, nil
}

// image identifies the program a process runs; 0 if that cannot be told.
func (r *Running) image(pid int) uint64 {
	fd, err := r.host.openProcess(pid)
	if err != nil {
		return 0
	}
	defer closeFD(fd)
	path := readLink(fd, "exe")
	if path == "" {
		return 0
	}
	// A package update removes the file under a running program.
	return hash(strings.TrimSuffix(path, " (deleted)"))
}

func hash(path string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.TrimSuffix(path, " (deleted)")))
	return h.Sum64()
}

// table is one scan of all processes, for looking up parents.
type table struct {
	host  *host
	stats map[int]stat
	seen  map[int]evidence.Ancestor
}

// lineage fills in the parents of p, nearest first.
func (t *table) lineage(p *evidence.Process, s stat) {
	for range maxAncestry {
		parent, ok := t.stats[s.ppid]
		// A parent that started later is another process under an old number.
		if !ok || parent.start > s.start || parent.pid == s.pid {
			break
		}
		a, ok := t.seen[parent.pid]
		if !ok {
			a = t.host.ancestor(parent)
			t.seen[parent.pid] = a
		}
		p.Ancestry = append(p.Ancestry, a)
		s = parent
	}
	if len(p.Ancestry) > 0 {
		p.ParentPath, p.ParentCmdLine = p.Ancestry[0].Path, p.Ancestry[0].CmdLine
	}
}

// ancestor reads the little that a lineage shows of a process.
func (h *host) ancestor(s stat) evidence.Ancestor {
	a := evidence.Ancestor{PID: int64(s.pid)}
	fd, err := h.openProcess(s.pid)
	if err != nil {
		return a
	}
	defer closeFD(fd)
	if now, err := readStat(fd); err != nil || now.start != s.start {
		return a
	}
	a.Path = readLink(fd, "exe")
	if b, err := readFile(fd, "cmdline", maxAncestorCmdLine); err == nil {
		a.CmdLine = joinArgs(splitArgs(b))
	}
	return a
}

// cursor says up to which start time processes were read, and which of those
// that started in that very tick.
type cursor struct {
	bootID string
	start  uint64
	tied   map[int]bool
}

// parseCursor reads a cursor; one of another boot, or none, starts afresh.
func parseCursor(s, bootID string) *cursor {
	c := &cursor{bootID: bootID, tied: map[int]bool{}}
	f := strings.Split(s, "|")
	if len(f) != 3 || f[0] != bootID {
		return c
	}
	start, err := strconv.ParseUint(f[1], 10, 63)
	if err != nil {
		return c
	}
	c.start = start
	for i, p := range strings.Split(f[2], ",") {
		if pid, err := strconv.Atoi(p); err == nil && i < maxTied {
			c.tied[pid] = true
		}
	}
	return c
}

func (c *cursor) passed(s stat) bool {
	// More in one tick than can be told apart are taken for passed, so that a read
	// always gets on.
	return s.start < c.start || s.start == c.start && (c.tied[s.pid] || len(c.tied) >= maxTied)
}

func (c *cursor) pass(s stat) {
	if s.start != c.start {
		c.start = s.start
		clear(c.tied)
	}
	c.tied[s.pid] = true
}

func (c *cursor) String() string {
	pids := make([]int, 0, len(c.tied))
	for pid := range c.tied {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	var b strings.Builder
	b.WriteString(c.bootID + "|" + strconv.FormatUint(c.start, 10) + "|")
	for i, pid := range pids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(pid))
	}
	return b.String()
}
