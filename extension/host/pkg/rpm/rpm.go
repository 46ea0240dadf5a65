// Package rpm reads the databases of rpm: SQLite's since 4.16, ndb's (SUSE) and the
// hashes of Berkeley DB before. It writes nothing, takes no lock that makes anybody
// wait, and bounds what a damaged file can cost.
package rpm

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// The bounds of what is read.
const (
	maxHeader = 32 << 20 // bytes of one package's header
	maxTotal  = 1 << 30  // bytes of all
)

// ErrFormat is the error of a file that is no such database, or one of a kind that
// is not read.
var ErrFormat = errors.New("not a database of rpm that can be read")

var errTotal = errors.New("more than is read of a database")

// DB is one database of packages.
type DB interface {
	// Each calls fn with every header and where it lies. The header is fn's until it
	// returns. Damaged records are left out and counted; an error of fn, or one after
	// which nothing more can be read, ends it.
	Each(ctx context.Context, fn func(at uint64, header []byte) error) (damaged int, err error)
	// Header reads the one that lies there.
	Header(ctx context.Context, at uint64) ([]byte, error)
	Close() error
}

// total counts what was read.
type total int64

func (t *total) add(n int) error {
	if *t += total(n); *t > maxTotal {
		return errTotal
	}
	return nil
}

// readAt reads n bytes of a file.
func readAt(r io.ReaderAt, size int64, at int64, n int) ([]byte, error) {
	if at < 0 || n < 0 || at > size-int64(n) {
		return nil, io.ErrUnexpectedEOF
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("read %d bytes at %d: %w", n, at, err)
	}
	return b, nil
}
