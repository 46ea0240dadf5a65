package kaudit

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	libaudit "github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer is what the kernel may queue for us, in bytes: some fourteen thousand
	// records.
	receiveBuffer = 32 << 20
	// maxMessage is more than any record has (MAX_AUDIT_MESSAGE_LENGTH is 8970).
	maxMessage = 16 << 10
	// gather is for how long records may come together before they are taken: what they
	// cost is to be woken for them, and not to read them. The buffer holds what 10,000
	// programs a second write meanwhile.
	gather = 200 * time.Millisecond
	// many is how many records taken at once make it likely that more come at once, so that
	// it is not even waited for the first of them; from tooMany on they are taken earlier.
	many, tooMany = 64, 2048
	gatherLess    = gather / 4
)

// socket hears the multicast group. go-libaudit's own transport has the system's
// default buffer, which a burst of a hundred programs fills, and a Receive that
// nothing can end; this one is a part of Go's poller, and can't send.
type socket struct {
	file     *os.File
	raw      syscall.RawConn
	buf      []byte
	overflow func() // called when the kernel had to discard messages

	taken  int           // messages since it was waited for one
	look   bool          // without waiting for one
	pause  time.Duration // before it is looked for the next
	closed chan struct{}
	once   sync.Once

	// emptied is called when nothing waits to be taken any more that came before the
	// call of empty that returned this number; an older one says that of older calls.
	emptied func(uint64)
	asked   atomic.Uint64
	hurry   chan struct{}
}

var _ libaudit.NetlinkSendReceiver = (*socket)(nil)

func listen() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_AUDIT)
	if err != nil {
		return nil, fmt.Errorf("open an audit socket: %w", err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), name), buf: make([]byte, maxMessage), closed: make(chan struct{}), hurry: make(chan struct{}, 1)}
	// Only root may exceed the limit of the machine; a smaller buffer still works.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("set the receive buffer: %w", err), s.Close())
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: libaudit.NetlinkGroupReadLog}); err != nil {
		return nil, errors.Join(fmt.Errorf("join the kernel's audit: %w", err), s.Close())
	}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Receive implements libaudit.NetlinkReceiver. It waits until a message comes or
// the socket is closed; what others than the kernel send is passed by.
func (s *socket) Receive(_ bool, parse libaudit.NetlinkParser) ([]syscall.NetlinkMessage, error) {
	for {
		if s.pause > 0 {
			s.wait()
		}
		var n int
		var from unix.Sockaddr
		var rerr error
		asked := s.asked.Load()
		err := s.raw.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), s.buf, 0)
			return !errors.Is(rerr, unix.EAGAIN) || s.look
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Somebody wants to know that it is empty: look, and don't wait.
			if err := s.file.SetReadDeadline(time.Time{}); err != nil {
				return nil, fmt.Errorf("wait for audit records: %w", err)
			}
			s.look = true
			continue
		case err != nil:
			return nil, err
		case errors.Is(rerr, unix.EAGAIN):
			s.emptied(asked)
			switch {
			case s.taken >= tooMany:
				s.pause = gatherLess
			case s.taken >= many:
				s.pause = gather
			default:
				s.look = false
			}
			s.taken = 0
			continue
		case errors.Is(rerr, unix.EINTR):
			continue
		case errors.Is(rerr, unix.ENOBUFS):
			s.overflow()
			continue
		case rerr != nil:
			return nil, fmt.Errorf("receive audit records: %w", rerr)
		}
		if nl, ok := from.(*unix.SockaddrNetlink); !ok || nl.Pid != 0 || n < unix.NLMSG_HDRLEN {
			continue
		}
		if !s.look { // the first for a while
			s.look, s.pause = true, gather
		}
		s.taken++
		return parse(s.buf[:n])
	}
}

// wait lets records come together.
func (s *socket) wait() {
	timer := time.NewTimer(s.pause)
	defer timer.Stop()
	s.pause = 0
	select {
	case <-timer.C:
	case <-s.hurry:
	case <-s.closed:
	}
}

// empty asks for all that has come to be taken now; emptied tells when it was, by the
// number that is returned.
func (s *socket) empty() (uint64, error) {
	n := s.asked.Add(1)
	select {
	case s.hurry <- struct{}{}:
	default:
	}
	if err := s.file.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return n, fmt.Errorf("take the last audit records: %w", err)
	}
	return n, nil
}

// Send implements libaudit.NetlinkSender, by refusing.
func (s *socket) Send(syscall.NetlinkMessage) (uint32, error) { return 0, errors.ErrUnsupported }

// SendNoWait implements libaudit.NetlinkSender, by refusing.
func (s *socket) SendNoWait(syscall.NetlinkMessage) (uint32, error) { return 0, errors.ErrUnsupported }

// Close implements libaudit.NetlinkSendReceiver.
func (s *socket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.file.Close()
}

// policy is what the kernel is told to audit.
type policy struct {
	enabled bool
	owner   uint32 // the process that the kernel hands its records to; 0 is none
	lost    uint32 // records that the kernel could not queue since it started
	missing string // why not every program that starts is logged
}

// ask asks the kernel for its policy. It changes nothing.
func ask() (p policy, err error) {
	c, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return p, err
	}
	defer func() { _ = c.Close() }() // only asked
	status, err := c.GetStatus()
	if err != nil {
		return p, fmt.Errorf("ask for the state of the kernel's audit: %w", err)
	}
	rules, err := c.GetRules()
	if err != nil {
		return p, fmt.Errorf("ask for the kernel's audit rules: %w", err)
	}
	return policy{enabled: status.Enabled != 0, owner: status.PID, lost: status.Lost, missing: missing(rules)}, nil
}
