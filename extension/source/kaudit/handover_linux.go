package kaudit

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// continues reports whether a record of a type goes on with what a system call's record
// began.
func continues(typ uint16) bool { return typ > typeSyscall && typ < 1400 && typ != typeConfig }

// HandOver leaves what the kernel tells from now on to a successor that listens already.
// Events of before are completed, and Read returns what of them was not read yet, with
// a cursor that tells the successor where to begin. Nothing is heard after it.
func (s *Source) HandOver(ctx context.Context) error {
	// What came before the successor listened has come by now: take it.
	if err := s.drain(ctx); err != nil {
		return err
	}
	s.leave()
	timer := time.NewTimer(overlap)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return fmt.Errorf("wait for the last audit records: %w", ctx.Err())
	}
	if err := s.drain(ctx); err != nil {
		return err
	}
	s.complete()
	return nil
}

// leave sets the mark where the successor begins.
func (s *Source) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mine = mark{true, s.serials.top}
}

// complete tells what waits for records that will not come any more.
func (s *Source) complete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone(s.serials.settle(s.mine.serial), s.last)
	if s.client != nil {
		var b evidence.Batch
		s.dec.Flush(&b)
		s.push(b)
	}
}

// drain returns when all that the kernel has told so far is taken.
func (s *Source) drain(ctx context.Context) error {
	s.mu.Lock()
	sock, done := s.sock, s.done
	if s.client == nil || sock == nil {
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	number, err := sock.empty()
	if err != nil {
		return err
	}
	for {
		s.mu.Lock()
		if s.emptied >= number {
			s.mu.Unlock()
			return nil
		}
		if s.empty == nil {
			s.empty = make(chan struct{})
		}
		empty := s.empty
		s.mu.Unlock()
		select {
		case <-empty:
		case <-done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("take the last audit records: %w", ctx.Err())
		}
	}
}

// noteEmpty notes that the socket was found empty.
func (s *Source) noteEmpty(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emptied = number
	if s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// bootID is another one each time the kernel starts; empty where it does not tell.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	id := strings.TrimSpace(string(b))
	if err != nil || len(id) > 64 || strings.Contains(id, "|") {
		return ""
	}
	return id
}
