// Package sigma reads detection rules in Sigma's YAML format and matches events
// against them.
//
// It follows version 2.1.0 of the Sigma specification
// (https://github.com/SigmaHQ/sigma-specification). A rule is either understood
// completely or refused: [UnsupportedError] names a feature of Sigma that this
// package does not have, [InvalidError] a rule that the specification does not
// allow. Both carry the position in the file.
//
// Where the specification leaves room, this package decides as follows:
//
//   - Case is ignored by Unicode simple folding, but an ASCII letter equals ASCII
//     letters only (U+017F is no s, U+212A no k), so that a search for ASCII
//     literals can be a sound prefilter.
//   - A pattern or regular expression sees the first [MaxValue] bytes of a value.
//   - A regular expression may match anywhere in the value. Its syntax and its
//     case folding are those of Go's regexp; look-around and back-references,
//     which the specification does not allow either, are refused. As in PCRE, "$"
//     also matches before a final newline.
//   - windash makes every dash and slash of a value interchangeable, not only
//     those that begin a word.
//   - A whole number matches its decimal form and the form it has in the rule.
//   - A field that an event does not have matches null and exists: false, and
//     every neq; nothing else.
//   - A field with several values matches a pattern when one of them does.
//   - A search identifier that begins with an underscore is outside "them", and
//     outside a pattern unless that begins with an underscore too.
//   - utf16 writes the byte order mark FF FE and little-endian units.
//   - The specification gives no default for a missing level: Rule.Level is then
//     empty, and [cmp.Or] supplies the caller's choice.
package sigma

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// Limits on what is read and matched.
const (
	// MaxFile is the size in bytes of the largest rule file.
	MaxFile = 1 << 20
	// MaxFiles is how many rule files LoadFS reads.
	MaxFiles = 20_000
	// MaxValue is how many bytes of an event's value are examined. It holds the
	// longest command line of Windows (32,767 UTF-16 units) twice over, and the
	// longest single argument of Linux (128 KiB).
	MaxValue = 256 << 10
)

// Level is how critical a triggered rule is.
type Level string

// The levels of the specification.
const (
	Informational Level = "informational"
	Low           Level = "low"
	Medium        Level = "medium"
	High          Level = "high"
	Critical      Level = "critical"
)

// Related names another rule and how this one relates to it.
type Related struct {
	ID string
	// Type is derived, obsolete, merged, renamed or similar.
	Type string
}

// LogSource describes the log a rule is meant for. Matching does not look at it:
// choosing the rules that fit an event is the caller's part.
type LogSource struct {
	Category   string // process_creation
	Product    string // windows
	Service    string // security
	Definition string // text for people
	// Custom holds the keys that the specification does not name.
	Custom map[string]yaml.Node
}

// Rule is one Sigma rule, ready to match. It is not changed after Parse, and may
// be used from several goroutines at once as long as no one changes its fields.
type Rule struct {
	Title       string
	ID          string
	Name        string
	Related     []Related
	Taxonomy    string // "sigma" when the rule names none
	Status      string // stable, test, experimental, deprecated, unsupported or empty
	Description string
	License     string
	Author      string
	Date        string // as written; the specification asks for YYYY-MM-DD
	Modified    string
	References  []string
	Tags        []string // attack.t1007, in lower case as the specification has them
	Fields      []string // fields of interest to an analyst
	// FalsePositives are known benign causes, for people.
	FalsePositives []string
	Level          Level // empty when the rule has none
	Scope          []string
	LogSource      LogSource
	// Custom holds the top-level keys that the specification does not name.
	Custom map[string]yaml.Node
	// Line is where the rule's document begins in its file, from 1.
	Line int

	condition  *node
	selections []*selection
}

// Event is what a rule is matched against.
type Event interface {
	// Values returns the values of a field; known is false when the event does
	// not have the field. The rule does not change or keep the slice.
	Values(field string) (values []string, known bool)
}

// Keyworder is an Event that can also be searched as a whole. Rules with
// keywords never match an event that is not one.
type Keyworder interface {
	Event
	// Keywords returns the texts that keywords are searched in: the log message
	// or all values of the event.
	Keywords() []string
}

// Match is a rule that matched an event.
type Match struct {
	rule  *Rule
	event Event
}

// Rule returns the rule that matched.
func (m Match) Rule() *Rule { return m.rule }

// Evidence is one reason why a rule matched.
type Evidence struct {
	Selection string // the search identifier
	Field     string // empty for a keyword
	Modifier  string // the modifiers as the rule has them: "contains|all"
	Pattern   string // the value in the rule
	Value     string // the first of the event's values that satisfied it
}

// Match reports whether e satisfies the rule. It allocates nothing of its own
// unless the rule uses fieldref together with contains.
func (r *Rule) Match(e Event) (Match, bool) {
	if r.condition == nil || !r.condition.eval(e) {
		return Match{}, false
	}
	return Match{rule: r, event: e}, true
}

// Evidence explains the match: the parts of all selections that made the
// condition true, sorted and without duplicates. What made it true by being
// absent (not filter) is not listed. It is computed from the event on each call,
// so call it before the event changes.
func (m Match) Evidence() []Evidence {
	if m.rule == nil {
		return nil
	}
	var out []Evidence
	m.rule.condition.explain(m.event, true, &out)
	slices.SortFunc(out, compareEvidence)
	return slices.Compact(out)
}

// EventFields returns the names of the event fields that the rule looks at,
// sorted.
func (r *Rule) EventFields() []string {
	var out []string
	for _, s := range r.selections {
		for _, alternative := range s.alternatives {
			for _, it := range alternative {
				if it.field != "" {
					out = append(out, it.field)
				}
				if it.kind == kindFieldRef {
					for _, v := range it.values {
						out = append(out, v.ref)
					}
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// UsesKeywords reports whether the rule searches the event as a whole, which
// only a [Keyworder] can be.
func (r *Rule) UsesKeywords() bool {
	for _, s := range r.selections {
		for _, alternative := range s.alternatives {
			for _, it := range alternative {
				if it.field == "" {
					return true
				}
			}
		}
	}
	return false
}
