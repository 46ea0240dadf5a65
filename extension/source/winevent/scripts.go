package winevent

import (
	"sort"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// script is 4104: a script block, or a part of one.
func (r *Reader) script(e *Event, b *evidence.Batch) {
	b.Processes = append(b.Processes, r.scripts.add(script{
		key:   e.Host + "\x00" + e.text("ScriptBlockId"),
		total: e.integer("MessageTotal"), number: e.integer("MessageNumber"),
		text: e.text("ScriptBlockText"),
		process: evidence.Process{
			Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID,
			PID: e.PID, Path: "powershell.exe", UID: e.UID,
		},
	})...)
}

// integer is a number of a few digits, 0 where there is none.
func (e *Event) integer(name string) int {
	n, err := strconv.ParseInt(strings.TrimSpace(e.Data[name]), 10, 32)
	if err != nil {
		return 0
	}
	return int(n)
}

// The bounds of script blocks that are put together from parts.
const (
	maxScript      = 1 << 20 // bytes of one script
	maxParts       = 4096    // of one script
	maxOpenScripts = 64
	maxOpenText    = 16 << 20 // bytes of all that wait for a part
)

// script is one part of a script block.
type script struct {
	key           string
	number, total int
	text          string
	process       evidence.Process
}

// block is a script block whose parts are not all there.
type block struct {
	total   int
	parts   map[int]string
	size    int
	cut     bool
	age     int
	process evidence.Process
}

// scripts puts script blocks together: PowerShell splits long ones over several
// events, which need not be neighbours.
type scripts struct {
	open map[string]*block
	size int
	age  int
}

// add takes a part and returns the scripts that are now complete, or that had to
// make room.
func (s *scripts) add(p script) []evidence.Process {
	if p.text == "" {
		return nil
	}
	if p.total <= 1 || p.number < 1 || p.number > p.total {
		whole := p.process
		whole.CmdLine, whole.Truncated = cut(p.text)
		return []evidence.Process{whole}
	}
	b := s.open[p.key]
	if b == nil || b.total != p.total {
		if b != nil {
			s.drop(p.key)
		}
		if s.open == nil {
			s.open = map[string]*block{}
		}
		s.age++
		b = &block{total: p.total, parts: map[int]string{}, age: s.age, process: p.process}
		s.open[p.key] = b
	}
	if _, twice := b.parts[p.number]; !twice && len(b.parts) < maxParts {
		if p.number == 1 {
			b.process = p.process
		}
		if b.size+len(p.text) > maxScript {
			b.cut = true
			p.text = ""
		}
		b.parts[p.number] = p.text
		b.size += len(p.text)
		s.size += len(p.text)
	}
	var out []evidence.Process
	if len(b.parts) >= b.total || len(b.parts) >= maxParts {
		out = append(out, b.join())
		s.drop(p.key)
	}
	for len(s.open) > maxOpenScripts || s.size > maxOpenText {
		key := s.oldest()
		out = append(out, s.open[key].join())
		s.drop(key)
	}
	return out
}

func (s *scripts) drop(key string) {
	s.size -= s.open[key].size
	delete(s.open, key)
}

func (s *scripts) oldest() (key string) {
	age := s.age + 1
	for k, b := range s.open {
		if b.age < age {
			key, age = k, b.age
		}
	}
	return key
}

// flush returns what is there of the scripts that never became complete.
func (s *scripts) flush() []evidence.Process {
	var out []evidence.Process
	for len(s.open) > 0 {
		key := s.oldest()
		out = append(out, s.open[key].join())
		s.drop(key)
	}
	return out
}

// join puts the parts in order; where one is missing the script is truncated.
func (b *block) join() evidence.Process {
	numbers := make([]int, 0, len(b.parts))
	for n := range b.parts {
		numbers = append(numbers, n)
	}
	sort.Ints(numbers)
	var text strings.Builder
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			text.WriteByte('\n') // what was between is not known: don't make words of two halves
		}
		text.WriteString(b.parts[n])
	}
	p := b.process
	p.CmdLine, p.Truncated = cut(text.String())
	p.Truncated = p.Truncated || b.cut || len(b.parts) < b.total
	return p
}

func cut(s string) (string, bool) {
	if len(s) <= maxScript {
		return s, false
	}
	return s[:maxScript], true
}
