// Package memory looks for signs in running processes that something runs which
// is not on the disk, or not what it says it is: deleted and memory-only programs,
// anonymous memory that can be executed, preloaded libraries, tracers, borrowed
// names.
//
// It reads what the kernel tells of a process and never the process's memory. What
// it says is in words, one English sentence a sign. The words hold names and paths
// as they were found: whoever shows them masks and escapes them.
package memory

import (
	"fmt"
	"slices"
	"sync"
)

// The bounds of one look.
const (
	maxProcesses = 64
	maxSigns     = 32
	maxProblems  = 16
	// maxPaths bounds the programs that are looked for among all processes.
	maxPaths = 32
	// slack is how much later than its evidence a process may seem to have started,
	// in seconds: both times are rounded and the clock is adjusted now and then.
	slack = 2
)

// Process is one process to look at.
type Process struct {
	PID int64
	// Seen is when it was known to run last, seconds since 1970 UTC. Who has its
	// number now but started later is another one.
	Seen int64
}

// Program is a program to look for among all processes.
type Program struct {
	Path string
	// Argument is one that the process must have been given: the script of an
	// interpreter. Empty accepts any.
	Argument string
}

// Question is what to look at.
type Question struct {
	Processes []Process
	Programs  []Program
}

// Result is what a look found.
type Result struct {
	// Signs are sentences, most telling first for each process.
	Signs []string
	// Looked is how many processes were looked at, Gone how many of those asked for
	// had ended.
	Looked, Gone int
	// Problems are what could not be looked at and why, in words.
	Problems []string
}

// Report collects a Result while a look goes on, so that one which does not come
// back has told what it found so far. The zero value is empty. It is safe for
// concurrent use.
type Report struct {
	mu     sync.Mutex
	result Result
	more   int
}

// Result is what was found until now.
func (r *Report) Result() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.result
	x.Signs, x.Problems = slices.Clone(x.Signs), slices.Clone(x.Problems)
	if r.more > 0 {
		x.Problems = append(x.Problems, fmt.Sprintf("%d more signs are not listed", r.more))
	}
	return x
}

func (r *Report) sign(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := fmt.Sprintf(format, args...)
	switch {
	case slices.Contains(r.result.Signs, s):
	case len(r.result.Signs) == maxSigns:
		r.more++
	default:
		r.result.Signs = append(r.result.Signs, s)
	}
}

func (r *Report) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := fmt.Sprintf(format, args...)
	if len(r.result.Problems) < maxProblems && !slices.Contains(r.result.Problems, s) {
		r.result.Problems = append(r.result.Problems, s)
	}
}

func (r *Report) looked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Looked++
}

func (r *Report) gone() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Gone++
}

// bounded is q without what is too much or makes no sense, each process once, with
// the last time it was seen.
func (q Question) bounded(r *Report) Question {
	var out Question
	last := map[int64]int{}
	for _, p := range q.Processes {
		if p.PID <= 0 {
			continue
		}
		if i, ok := last[p.PID]; ok {
			out.Processes[i].Seen = max(out.Processes[i].Seen, p.Seen)
			continue
		}
		if len(out.Processes) == maxProcesses {
			r.problem("more than %d processes are involved: the others were not looked at", maxProcesses)
			break
		}
		last[p.PID] = len(out.Processes)
		out.Processes = append(out.Processes, p)
	}
	for _, p := range q.Programs {
		if p.Path == "" || slices.Contains(out.Programs, p) {
			continue
		}
		if len(out.Programs) == maxPaths {
			r.problem("more than %d programs are involved: the others were not looked for", maxPaths)
			break
		}
		out.Programs = append(out.Programs, p)
	}
	return out
}

// plural is "1 area" or "3 areas".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
