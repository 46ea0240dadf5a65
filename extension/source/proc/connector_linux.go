package proc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	// receiveBuffer is what the kernel may queue for us, in bytes: some ten
	// thousand events.
	receiveBuffer = 8 << 20
	// ackTimeout is how long the kernel may take to confirm that it listens.
	ackTimeout = 2 * time.Second
	// initPIDNamespace is the inode of the first pid namespace, fixed by the
	// kernel (PROC_PID_INIT_INO).
	initPIDNamespace = "pid:[4026531836]"
	lineageLimit     = 4096
	ringBytes        = 16 << 20
)

// Stats are counts since the start.
type Stats struct {
	// Execs are the programs that started.
	Execs int64
	// Vanished are those of them that had ended before they could be looked at.
	Vanished int64
	// Overflows are the times the kernel had to discard events.
	Overflows int64
	// Dropped are the rows that nobody read in time.
	Dropped int64
}

// Connector is the kernel's process connector: every program that starts on the
// machine while Connector runs, in order. It needs root in the first namespaces
// and a kernel with CONFIG_PROC_EVENTS.
type Connector struct {
	host host
	// run tells the rows of this start from those of an earlier one.
	run string

	execs, vanished, overflows, dropped atomic.Int64

	mu     sync.Mutex
	socket *os.File // nil unless started
	done   chan struct{}
	cancel func() bool // lets go of the context
	err    error       // why events ended
	ending *atomic.Bool
	ring   *ring
	gaps   []evidence.Gap
	last   int64 // when the last event happened
}

// NewConnector returns the source, not started.
func NewConnector(opts Options) *Connector {
	o := opts.withDefaults()
	return &Connector{host: host{opts: o}, ring: newRing(o.Ring, ringBytes)}
}

// Name is the source's name in evidence.
func (*Connector) Name() string { return connectorName }

// Stats returns the counts since the start.
func (c *Connector) Stats() Stats {
	return Stats{Execs: c.execs.Load(), Vanished: c.vanished.Load(), Overflows: c.overflows.Load(), Dropped: c.dropped.Load()}
}

// Start begins to listen, until ctx ends or Close is called. It returns an
// *evidence.Unavailable where the kernel does not let us.
func (c *Connector) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != nil {
		return errors.New("process connector is started already")
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start process connector: %w", err)
	}
	if err := c.host.open(); err != nil {
		return &evidence.Unavailable{State: evidence.StateFailed, Detail: err.Error(), Remedy: "mount the process file system at " + c.host.opts.Root}
	}
	if ns := readLink(unix.AT_FDCWD, filepath.Join(c.host.opts.Root, "self/ns/pid")); ns != "" && ns != initPIDNamespace {
		return refused("not in the host's pid namespace", nil)
	}
	socket, err := listen()
	if err != nil {
		return err
	}
	c.host.refreshUsers()
	known := newLineages(lineageLimit)
	c.remember(known)

	c.run = c.host.bootID + "." + strconv.FormatInt(time.Now().UnixNano(), 36)
	c.socket, c.err = socket, nil
	c.done = make(chan struct{})
	ending := new(atomic.Bool)
	c.ending = ending
	c.cancel = context.AfterFunc(ctx, func() {
		ending.Store(true)
		_ = socket.Close()
	})
	go c.receive(socket, known, c.done)
	return nil
}

// Close ends listening and waits until it has ended. What was not read yet can
// still be read.
func (c *Connector) Close() error {
	c.mu.Lock()
	socket, done, cancel, ending := c.socket, c.done, c.cancel, c.ending
	c.mu.Unlock()
	if socket == nil {
		return nil
	}
	cancel()
	ending.Store(true)
	err := socket.Close()
	<-done
	if err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close process connector: %w", err)
	}
	return nil
}

// refused is the error for a kernel that does not let us listen.
func refused(detail string, err error) error {
	if err != nil {
		detail += ": " + err.Error()
	}
	return &evidence.Unavailable{
		State:  evidence.StateOff,
		Detail: "process connector: " + detail,
		Remedy: "run as root on the host itself, outside of containers, on a kernel with CONFIG_PROC_EVENTS; or turn on osquery's process_events",
	}
}

// listen opens a socket on which the kernel has confirmed to send events.
func listen() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, refused("open a connector socket", err)
	}
	socket := os.NewFile(uintptr(fd), connectorName)
	if err := subscribe(fd); err != nil {
		_ = socket.Close()
		return nil, err
	}
	return socket, nil
}

func subscribe(fd int) error {
	// Only root may exceed the limit of the machine; a smaller buffer still works.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return refused("set the receive buffer", err)
		}
	}
	filter := eventFilter()
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		return refused("attach the event filter", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: connectorProc}); err != nil {
		return refused("join the process events", err)
	}
	if err := unix.Sendto(fd, listenMessage(true, uint32(os.Getpid())), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return refused("ask for process events", err)
	}
	return awaitAck(fd)
}

// awaitAck waits for the kernel to confirm. In a network namespace of its own,
// or without CONFIG_PROC_EVENTS, it never does.
func awaitAck(fd int) error {
	deadline := time.Now().Add(ackTimeout)
	buf := make([]byte, 4096)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return refused("the kernel does not answer", nil)
		}
		if _, err := retry(func() (int, error) {
			return unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		}); err != nil {
			return refused("wait for process events", err)
		}
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOBUFS) {
				continue
			}
			return refused("wait for process events", err)
		}
		if !fromKernel(from) {
			continue
		}
		for _, e := range parseEvents(buf[:n]) {
			if e.what != eventNone {
				// Events arrive: somebody's request was granted before ours.
				return nil
			}
			if e.code != 0 {
				return refused("ask for process events", unix.Errno(e.code))
			}
			return nil
		}
	}
}

func fromKernel(sa unix.Sockaddr) bool {
	nl, ok := sa.(*unix.SockaddrNetlink)
	return ok && nl.Pid == 0
}

// eventFilter is a socket filter that lets through what matters: starts of
// programs, and forks of processes rather than of threads. Ends are not needed,
// since the lineages forget by age.
func eventFilter() []unix.SockFilter {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	is := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: netOrder(k)}
	}
	const all, nothing = 0xffffffff, 0
	end := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
	}
	return []unix.SockFilter{
		0: load(eventAt),
		1: is(eventExec, 3, 0),
		2: is(eventNone, 2, 0),
		3: is(eventFork, 2, 0),
		4: end(nothing),
		5: end(all),
		// A fork of a process: the child's pid and tgid are the same.
		6:  load(eventDataAt + 8),
		7:  {Code: unix.BPF_MISC | unix.BPF_TAX},
		8:  load(eventDataAt + 12),
		9:  {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X, Jt: 0, Jf: 1},
		10: end(all),
		11: end(nothing),
	}
}

// netOrder turns a number of the kernel's messages into what a filter loads: it
// reads them as if they came from the network.
func netOrder(n uint32) uint32 {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return bits.ReverseBytes32(n)
	}
	return n
}

// remember fills the lineages with what runs already.
func (c *Connector) remember(known *lineages) {
	pids, err := c.host.pids()
	if err != nil {
		return
	}
	t := table{host: &c.host, stats: make(map[int]stat, len(pids)), seen: map[int]evidence.Ancestor{}}
	for _, pid := range pids {
		if s, err := c.host.stat(pid); err == nil {
			t.stats[pid] = s
		}
	}
	// The newest are the likeliest parents, so they are remembered last.
	slices.SortFunc(pids, func(a, b int) int {
		sa, sb := t.stats[a].start, t.stats[b].start
		switch {
		case sa < sb:
			return -1
		case sa > sb:
			return 1
		}
		return a - b
	})
	for _, pid := range pids {
		s, ok := t.stats[pid]
		if !ok || s.flags&kernelThread != 0 {
			continue
		}
		a := c.host.ancestor(s)
		var p evidence.Process
		t.lineage(&p, s)
		known.put(&ancestorLine{pid: pid, ppid: s.ppid, path: a.Path, cmdline: a.CmdLine, parents: p.Ancestry})
	}
}

// receive takes events off the socket until it is closed.
func (c *Connector) receive(socket *os.File, known *lineages, done chan struct{}) {
	defer close(done)
	err := c.events(socket, known)
	// Closing again is harmless where the end came from Close or the context.
	_ = socket.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel()
	c.socket = nil
	if !c.ending.Load() {
		c.err = err
		c.host.opts.Logger.Error("process connector ended", "error", err)
	}
}

// events handles datagrams until the socket fails or is closed. A panic over a
// message must not end the program, only this source.
func (c *Connector) events(socket *os.File, known *lineages) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("handle process event: %v", r)
		}
	}()
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(rerr, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return err
		case errors.Is(rerr, unix.EINTR):
			continue
		case errors.Is(rerr, unix.ENOBUFS):
			c.overflow()
			continue
		case rerr != nil:
			return fmt.Errorf("receive process events: %w", rerr)
		case !fromKernel(from):
			continue
		}
		for _, e := range parseEvents(buf[:n]) {
			c.handle(e, known)
		}
	}
}

// overflow notes that the kernel discarded events: how many it does not say.
func (c *Connector) overflow() {
	c.overflows.Add(1)
	now := time.Now().Unix()
	c.mu.Lock()
	defer c.mu.Unlock()
	from := c.last
	if from == 0 {
		from = now
	}
	c.gap(evidence.Gap{From: from, To: now, Reason: "the kernel discarded process events: more started than could be read"})
	c.host.opts.Logger.Warn("process events were lost", "overflows", c.overflows.Load())
}

// gap adds a gap, or widens the last one of the same kind.
func (c *Connector) gap(g evidence.Gap) {
	if n := len(c.gaps); n > 0 && c.gaps[n-1].Reason == g.Reason && g.From <= c.gaps[n-1].To+1 || len(c.gaps) >= 64 {
		c.gaps[len(c.gaps)-1].To = max(g.To, c.gaps[len(c.gaps)-1].To)
		return
	}
	c.gaps = append(c.gaps, g)
}

func (c *Connector) handle(e event, known *lineages) {
	switch e.what {
	case eventFork:
		if e.pid == e.tgid {
			known.forked(int(e.parent), int(e.tgid))
		}
	case eventExec:
		c.started(e, known)
	}
}

// started looks at a program at once, before it ends.
func (c *Connector) started(e event, known *lineages) {
	c.execs.Add(1)
	pid := int(e.tgid)
	f, err := c.host.process(pid)
	if err == nil && f.path == "" && (f.state == 'Z' || f.state == 'X') {
		err = errGone
	}
	f.pid = pid
	if err != nil && f.path == "" && f.cmdline == "" {
		c.vanished.Add(1)
	}
	p := c.host.evidence(&f, connectorName)
	p.Time = eventTime(e.nanos)

	line := known.executed(pid, f.ppid, f.path, f.cmdline)
	// A parent that has ended since is replaced by another one in /proc.
	p.ParentPID = int64(line.ppid)
	p.Ancestry = slices.Clone(line.parents)
	if len(p.Ancestry) > 0 {
		p.ParentPath, p.ParentCmdLine = p.Ancestry[0].Path, p.Ancestry[0].CmdLine
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = p.Time
	p.EID = c.host.bootID + ":" + strconv.Itoa(pid) + ":" + strconv.FormatUint(e.nanos, 36)
	c.ring.push(p)
}

// eventTime turns the kernel's monotonic clock into seconds since 1970.
func eventTime(nanos uint64) int64 {
	now := time.Now()
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return now.Unix()
	}
	ago := mono.Nano() - int64(nanos)
	if ago < 0 || ago > int64(time.Hour) {
		return now.Unix()
	}
	return now.Add(-time.Duration(ago)).Unix()
}

// Read returns the programs that started since cursor, in order, at most limit
// of them (0 means 10,000). What it returns is kept until a later call's cursor
// shows that it arrived. It returns an *evidence.Unavailable if Connector is not
// running and nothing is left to read.
func (c *Connector) Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error) {
	if err := ctx.Err(); err != nil {
		return evidence.Batch{Cursor: cursor}, fmt.Errorf("read process events: %w", err)
	}
	c.host.refreshUsers()
	if limit <= 0 {
		limit = 10000
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if run, n, ok := strings.Cut(cursor, "|"); ok && run == c.run {
		if seq, err := strconv.ParseUint(n, 10, 63); err == nil {
			c.ring.acknowledge(seq)
		}
	}
	n := min(limit, len(c.ring.rows))
	if n == 0 && c.socket == nil {
		detail, state := "process connector is not running", evidence.StateOff
		if c.err != nil {
			detail, state = c.err.Error(), evidence.StateFailed
		}
		return evidence.Batch{Cursor: cursor}, &evidence.Unavailable{State: state, Detail: detail, Remedy: "start Rollcall again"}
	}
	batch := evidence.Batch{
		Processes: slices.Clone(c.ring.rows[:n]),
		Cursor:    c.run + "|" + strconv.FormatUint(c.ring.first+uint64(n)-1, 10),
		More:      n < len(c.ring.rows),
		Read:      int64(n),
		Gaps:      c.gaps,
	}
	c.gaps = nil
	if c.ring.dropped > 0 {
		batch.Dropped = c.ring.dropped
		c.dropped.Add(c.ring.dropped)
		batch.Gaps = append(batch.Gaps, evidence.Gap{From: c.ring.from, To: c.ring.to, Reason: "more programs started than were read in time"})
		c.ring.dropped = 0
	}
	return batch, nil
}
