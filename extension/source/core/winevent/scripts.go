package winevent

import (
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// The bounds of script blocks that are put together from parts.
const (
	maxScript     = 1 << 20 // bytes of one script
	maxParts      = 4096    // of one script
	maxScriptText = 8 << 20 // bytes of all that wait for a part
)

// scripts puts PowerShell's script blocks together: long ones come in several
// events, which need not be neighbours.
type scripts struct {
	open  map[string]*block
	order []string
	size  int
}

// block is a script block of which not all parts have come.
type block struct {
	total   int64
	parts   map[int64]string
	size    int
	cut     bool
	process evidence.Process
}

// script is 4104: a script block, or a part of one.
func (r *Reader) script(e *Event, b *evidence.Batch) {
	s := &r.scripts
	total, ok := e.integer("MessageTotal")
	number, ok2 := e.integer("MessageNumber")
	text := e.text("ScriptBlockText")
	p := evidence.Process{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID,
		PID: e.PID, Path: "powershell.exe",
	}
	if text == "" {
		return
	}
	if !ok || !ok2 || total <= 1 || number < 1 || number > total {
		p.CmdLine, p.Truncated = cut(text)
		b.Processes = append(b.Processes, p)
		return
	}
	key := e.text("ScriptBlockId")
	open := s.open[key]
	if open == nil {
		if s.open == nil {
			s.open = map[string]*block{}
		}
		open = &block{total: total, parts: map[int64]string{}, process: p}
		s.open[key] = open
		s.order = append(s.order, key)
	}
	if _, twice := open.parts[number]; !twice {
		if number == 1 {
			open.process = p
		}
		if len(open.parts) >= maxParts || open.size+len(text) > maxScript || s.size+len(text) > maxScriptText {
			open.cut = true
		} else {
			open.parts[number] = text
			open.size += len(text)
			s.size += len(text)
		}
	}
	if int64(len(open.parts)) == open.total {
		b.Processes = append(b.Processes, open.join())
		s.drop(key)
	}
}

// flush adds what is there of the scripts whose other parts did not come.
func (s *scripts) flush(b *evidence.Batch) {
	for len(s.order) > 0 {
		key := s.order[0]
		b.Processes = append(b.Processes, s.open[key].join())
		s.drop(key)
	}
}

func (s *scripts) drop(key string) {
	s.size -= s.open[key].size
	delete(s.open, key)
	s.order = slices.DeleteFunc(s.order, func(k string) bool { return k == key })
}

// join puts the parts in order; where one is missing the script is truncated.
func (b *block) join() evidence.Process {
	numbers := make([]int64, 0, len(b.parts))
	for n := range b.parts {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	var text strings.Builder
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			text.WriteByte('\n') // what was between is not known: don't make words of two halves
		}
		text.WriteString(b.parts[n])
	}
	p := b.process
	p.CmdLine = text.String()
	p.Truncated = b.cut || int64(len(b.parts)) < b.total
	return p
}

func cut(s string) (string, bool) {
	if len(s) <= maxScript {
		return s, false
	}
	return s[:maxScript], true
}

func (e *Event) integer(name string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(e.Data[name]), 10, 32)
	return n, err == nil
}
