package core

import (
	"errors"
	"fmt"
)

// The errors of a Client. Test for them with errors.Is.
var (
	// ErrUnreachable says that nobody serves the socket: the file is missing or
	// nothing listens on it.
	ErrUnreachable = errors.New("osquery core is not reachable")
	// ErrUnsafe says that the socket could belong to somebody who is neither root
	// nor ourselves, so that nothing it says may be believed.
	ErrUnsafe = errors.New("osquery socket is not to be trusted")
	// ErrTooLarge says that a response went over the client's limits.
	ErrTooLarge = errors.New("osquery response is larger than allowed")
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("osquery client is closed")
)

// StatusError is a request that reached osquery and was refused by it: bad SQL,
// a missing table, a duplicate extension. The connection stays usable.
type StatusError struct {
	Op      string // what was asked, such as "query"
	Code    int32
	Message string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("osquery %s: status %d: %s", e.Op, e.Code, e.Message)
}
