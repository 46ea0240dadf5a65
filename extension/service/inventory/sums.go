package inventory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

const (
	// maxSum is the largest program that is hashed, in bytes.
	maxSum = 64 << 20
	// maxSums bounds how many hashes are remembered.
	maxSums = 4096
	// fresh is how long after its last change a file may change again unseen: its times
	// are set in ticks.
	fresh = 100 * time.Millisecond
)

// sums are hashes of files by where they lie, each good until the file changes. It is
// safe for concurrent use.
type sums struct {
	now func() time.Time

	mu    sync.Mutex
	known map[string]fileSum
}

type fileSum struct {
	info files.Info
	hex  string
}

// hashable reports whether a file is one whose hash is told.
func hashable(at files.Resolved) bool { return at.Info.IsRegular() && at.Info.Size <= maxSum }

// look is the hash of a file where it is known.
func (s *sums) look(at files.Resolved) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.known[at.Path]
	if !ok || have.info != at.Info {
		return "", false
	}
	return have.hex, true
}

// hash reads a file for its hash unless it is known.
func (s *sums) hash(ctx context.Context, tree *files.Tree, at files.Resolved) (string, error) {
	if have, ok := s.look(at); ok {
		return have, nil
	}
	h := sha256.New()
	if err := tree.Hash(ctx, at, h, maxSum); err != nil {
		return "", err
	}
	sum := fileSum{at.Info, hex.EncodeToString(h.Sum(nil))}
	if at.Info.CTime < s.now().Add(-fresh).UnixNano() {
		s.mu.Lock()
		if len(s.known) >= maxSums {
			clear(s.known)
		}
		s.known[at.Path] = sum
		s.mu.Unlock()
	}
	return sum.hex, nil
}

// target is the file a command is about: the script, where an interpreter is given
// one.
func (c *Command) target() string {
	if c.Script != "" {
		return c.Script
	}
	return c.Real
}

// Sum is the SHA-256 of the file a command runs, the script where an interpreter is
// given one. The file is read where its hash is not known, unless that would be more
// than budget bytes or take longer than until; budget is lowered by what was read.
// Empty means that it is not known.
func (r *Reader) Sum(ctx context.Context, tree *files.Tree, c Command, budget *int64, until time.Time) string {
	p := c.target()
	if p == "" {
		return ""
	}
	at, err := tree.Resolve(p, 0)
	if err != nil || !hashable(at) {
		return ""
	}
	if have, ok := r.sums.look(at); ok {
		return have
	}
	if *budget < at.Info.Size || r.now().After(until) {
		return ""
	}
	*budget -= at.Info.Size
	sum, err := r.sums.hash(ctx, tree, at)
	if err != nil {
		return ""
	}
	return sum
}

// sum tells a service the hash of its program where it is known, and notes for
// HashSome where it is not.
func (r *Reader) sum(tree *files.Tree, s *Service) {
	if len(s.Commands) == 0 || s.OnDisk != evidence.Yes || s.Commands[0].target() == "" {
		return
	}
	at, err := tree.Resolve(s.Commands[0].target(), 0)
	if err != nil || !hashable(at) {
		return
	}
	sum, ok := r.sums.look(at)
	if !ok && len(r.unread) < maxSums {
		r.unread = append(r.unread, at.Path)
	}
	s.SHA256 = sum
}

// HashSome reads programs whose hash the last read of the inventory did not know, for
// as long as budget. It is for the background: the inventory itself reads none.
func (r *Reader) HashSome(ctx context.Context, budget time.Duration) {
	r.mu.Lock()
	due := r.unread
	r.unread = nil
	r.mu.Unlock()
	if len(due) == 0 {
		return
	}
	tree := files.New(r.root, files.Options{})
	until := r.now().Add(budget)
	for i, p := range due {
		if ctx.Err() != nil || r.now().After(until) {
			r.mu.Lock()
			r.unread = append(r.unread, due[i:]...)
			r.mu.Unlock()
			return
		}
		if at, err := tree.Resolve(p, 0); err == nil && hashable(at) {
			_, _ = r.sums.hash(ctx, tree, at) // what cannot be read has no hash
		}
	}
}
