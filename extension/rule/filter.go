package rule

import (
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/literal"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
)

// filter tells most processes that no rule of a platform matches from all others,
// before their command line is read.
type filter struct {
	// all says that some rule can match any process, as far as can be told.
	all bool
	// texts are looked for in the fields of a process as it is, marked with the
	// fields they count in; fields are all of these.
	texts  []*literal.Set
	fields uint64
	sieve  *cmdline.Sieve
}

// rawFields are the fields in which texts are looked for. Their order is that of
// the marks and of rawValue.
var rawFields = [...]string{"CommandLine", "Image", "ParentCommandLine", "ParentImage", "OriginalFileName", "CurrentDirectory", "User",
	"IntegrityLevel", "LogonId", "Computer"}

func rawValue(p *evidence.Process, field int) string {
	switch field {
	case 0:
		return p.CmdLine
	case 1:
		return p.Path
	case 2:
		return p.ParentCmdLine
	case 3:
		return p.ParentPath
	case 4:
		return p.OriginalFileName
	case 5:
		return p.CWD
	case 6:
		return p.Username
	case 7:
		return p.IntegrityLevel
	case 8:
		return p.LogonID
	}
	return p.Host
}

// keywords are the marks of the fields that keywords are searched in.
const keywords = 1<<0 | 1<<1 | 1<<2 | 1<<3

// rawMarks are the marks of a field, 0 for one that is not looked at.
func rawMarks(field string) uint64 {
	if field == "" {
		return keywords
	}
	if i := slices.Index(rawFields[:], field); i >= 0 {
		return 1 << i
	}
	return 0
}

// MayMatch reports whether a rule may match p: when it is false, [Set.Match] finds
// nothing, whatever p's command line is understood as. It allocates nothing. A rule
// that needs no text of the process, nor a tool, makes it true for every process of
// the rule's platform, and so does an unknown platform.
func (s *Set) MayMatch(p *evidence.Process) bool {
	f := &s.plan(p.Platform).filter
	if f.all {
		return true
	}
	for i, left := 0, f.fields; left != 0; i, left = i+1, left>>1 {
		if left&1 == 0 {
			continue
		}
		value := rawValue(p, i)
		for _, t := range f.texts {
			if t.Contains(value, 1<<i) {
				return true
			}
		}
	}
	in := input(p)
	return f.sieve.MayRun(&in)
}

func input(p *evidence.Process) cmdline.Input {
	return cmdline.Input{
		Text: p.CmdLine, Platform: p.Platform, Path: p.Path, CWD: p.CWD,
		OriginalFileName: p.OriginalFileName, ArgsJoined: p.ArgsJoined,
	}
}

// newFilter derives the filter of the rules that apply to a platform from what each
// of them needs.
func newFilter(platform evidence.Platform, needs [][][]sigma.Clue) filter {
	var f filter
	var wanted []cmdline.Wanted
	var texts []literal.Text
	for _, alternatives := range needs {
		if len(alternatives) == 0 {
			return filter{all: true}
		}
		for _, clues := range alternatives {
			if tool, ok := clueOf(clues, "Tool"); ok {
				wanted = append(wanted, want(tool, clues)...)
				continue
			}
			more := raw(clues)
			if more == nil {
				return filter{all: true}
			}
			texts = append(texts, more...)
		}
	}
	for part := range slices.Chunk(texts, 1000) {
		set, ok := literal.New(part, false)
		if !ok {
			return filter{all: true}
		}
		f.texts = append(f.texts, set)
	}
	for _, t := range texts {
		f.fields |= t.Marks
	}
	f.sieve = cmdline.NewSieve(platform, wanted)
	return f
}

func clueOf(clues []sigma.Clue, field string) (sigma.Clue, bool) {
	for _, c := range clues {
		if c.Field == field {
			return c, true
		}
	}
	return sigma.Clue{}, false
}

// raw are the texts of the clue that tells most among those about the process as it
// is; nil for none.
func raw(clues []sigma.Clue) (out []literal.Text) {
	best := 0
	for _, c := range clues {
		marks := rawMarks(c.Field)
		if marks == 0 {
			continue
		}
		least := len(c.Texts[0].Literal)
		for _, t := range c.Texts {
			least = min(least, len(t.Literal))
		}
		if least <= best {
			continue
		}
		best, out = least, nil
		for _, t := range c.Texts {
			out = append(out, literal.Text{Literal: t.Literal, Marks: marks})
		}
	}
	return out
}

// want are the tools of a clue, each with the texts that its words must hold, where
// another clue tells of any.
func want(tool sigma.Clue, clues []sigma.Clue) (out []cmdline.Wanted) {
	for _, t := range tool.Texts {
		w := cmdline.Wanted{Tool: t.Literal, Place: placeOf(tool, t)}
		best := 0
		for _, c := range clues {
			var names []cmdline.Clue
			least := 0
			switch {
			case c.Field == "Object" && c.Whole && w.Place == cmdline.Whole:
				names, least = implied(w.Tool, c)
			case cmdline.Verbatim(w.Tool, w.Place, c.Field):
				names, least = namesOf(c)
			}
			if least > best {
				best, w.Clues = least, names
			}
		}
		out = append(out, w)
	}
	return out
}

func placeOf(c sigma.Clue, t sigma.Text) cmdline.Place {
	switch {
	case c.Whole:
		return cmdline.Whole
	case t.Edge:
		return cmdline.AtStart
	}
	return cmdline.Anywhere
}

// implied are the names that a tool's words hold when its object is one of a clue's.
func implied(tool string, c sigma.Clue) (names []cmdline.Clue, least int) {
	for i, t := range c.Texts {
		some := cmdline.Implied(tool, t.Literal)
		if len(some) == 0 {
			return nil, 0
		}
		for k, name := range some {
			if i+k == 0 || len(name.Text) < least {
				least = len(name.Text)
			}
		}
		names = append(names, some...)
	}
	return names, least
}

// namesOf are the most telling names of a clue's texts, and what the least of them
// is worth; 0 when a text has none.
func namesOf(c sigma.Clue) (names []cmdline.Clue, least int) {
	for i, t := range c.Texts {
		name, worth := nameOf(t, c.Whole)
		if i == 0 || worth < least {
			least = worth
		}
		names = append(names, name)
	}
	return names, least
}

// nameOf is the most telling name in a text, and what it is worth. A name that is
// only known to be part of another is worth less.
func nameOf(t sigma.Text, whole bool) (best cmdline.Clue, worth int) {
	literal.Names(t.Literal, func(name string, before, behind bool) {
		c := cmdline.Clue{Text: name, Edge: before || t.Edge}
		c.Whole = c.Edge && (behind || whole)
		if c.Text = strings.TrimLeft(name, "-"); c.Text != name {
			c.Edge, c.Whole = false, false
		}
		n := len(c.Text)
		switch {
		case n == 0 || usual[c.Text]:
			return
		case c.Whole:
			n += 2
		case !c.Edge:
			n -= 2
		}
		if n > worth {
			best, worth = c, n
		}
	})
	return best, worth
}

// usual are names in most paths, which tell nothing.
var usual = map[string]bool{"etc": true, "usr": true, "lib": true, "var": true, "run": true, "home": true, "root": true, "local": true,
	"share": true, "bin": true, "sbin": true, "opt": true, "proc": true, "dev": true, "tmp": true, "library": true, "users": true,
	"system": true, "user": true, "windows": true, "system32": true, "exe": true}

// taste is what a filter looks for.
var taste = sigma.Taste{
	Worth: func(field string, t sigma.Text) int {
		switch field {
		case "Arguments", "Options", "Paths", "Verb":
			_, worth := nameOf(t, false)
			return worth
		}
		return len(t.Literal)
	},
	// Whoever is given text beyond ASCII has to read it: see [cmdline.Sieve].
	ASCII: func(field string) bool { _, ok := commandFields[field]; return ok },
}
