package doctor

import (
	"errors"
	"fmt"

	libaudit "github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"
)

// audit asks the kernel; it changes nothing.
func audit() (Audit, error) {
	c, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return Audit{}, auditError(err)
	}
	defer func() { _ = c.Close() }() // only asked
	s, err := c.GetStatus()
	if err != nil {
		return Audit{}, auditError(err)
	}
	return Audit{Enabled: int(s.Enabled), PID: int(s.PID), Backlog: int(s.Backlog), Limit: int(s.BacklogLimit), Lost: int(s.Lost)}, nil
}

func auditError(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return ErrDenied
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return ErrNone
	}
	return fmt.Errorf("ask the kernel for its audit: %w", err)
}

// synced reads the kernel's clock discipline.
func synced() (yes, known bool) {
	state, err := unix.Adjtimex(&unix.Timex{})
	if err != nil {
		return false, false
	}
	return state != unix.TIME_ERROR, true
}
