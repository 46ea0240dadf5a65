// Package literal finds many texts in one pass over a value: an Aho-Corasick
// automaton over bytes, in which ASCII letters match in any case.
package literal

// Text is what is searched for.
type Text struct {
	// Literal is lower-case ASCII.
	Literal string
	// Edge says that no byte of a name may stand in front of it: see [IsName]. Such
	// a literal consists of these bytes only.
	Edge bool
	// Whole is for the caller, who looks at what is behind: see [Set.Ends].
	Whole bool
	// Marks come back when the text is found; they are never 0.
	Marks uint64
}

// IsName reports whether names of programs and files are written with b: ASCII
// letters, digits and "._-~". All other bytes, those outside ASCII too, stand
// between names.
func IsName(b byte) bool {
	return 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9' || b == '.' || b == '_' || b == '-' || b == '~'
}

// State is how far the automaton got.
type State uint16

// Set is a compiled set of texts. It is immutable and safe for concurrent use.
type Set struct {
	class [256]uint8
	shift uint8
	start State
	final State // from this state on a text ends
	next  []State
	ends  []ends // of the states from final on
}

type ends struct{ any, whole uint64 }

// maxStates is how many states a State can tell apart.
const maxStates = 1<<16 - 1

// The classes of bytes that are in no literal.
const (
	between uint8 = iota // ends a name
	other                // is part of one
	used                 // the first class of a byte that is in a literal
)

// trie is the automaton while it is built.
type trie struct {
	kids []map[uint8]int
	ends []ends
}

func (t *trie) add(from int, class uint8) int {
	if next, ok := t.kids[from][class]; ok {
		return next
	}
	if t.kids[from] == nil {
		t.kids[from] = map[uint8]int{}
	}
	t.kids[from][class] = len(t.kids)
	t.kids = append(t.kids, nil)
	t.ends = append(t.ends, ends{})
	return len(t.kids) - 1
}

// New compiles texts. It is false when there are too many for the automaton. With
// dash, one dash at the start of a name is passed over, and no text starts with one.
func New(texts []Text, dash bool) (*Set, bool) {
	s := &Set{}
	classes := s.classify(texts)
	for 1<<s.shift < classes {
		s.shift++
	}
	t := &trie{kids: make([]map[uint8]int, 1), ends: make([]ends, 1)}
	edge := t.add(0, between)
	for _, x := range texts {
		at := 0
		if x.Edge {
			at = edge
		}
		for i := range len(x.Literal) {
			at = t.add(at, s.class[x.Literal[i]])
		}
		if len(t.kids) > maxStates {
			return nil, false
		}
		if x.Whole {
			t.ends[at].whole |= x.Marks
		} else {
			t.ends[at].any |= x.Marks
		}
	}
	if dash && s.class['-'] < used {
		s.class['-'] = uint8(classes)
		classes++
		for 1<<s.shift < classes {
			s.shift++
		}
	}
	s.compile(t, edge, classes, dash)
	return s, true
}

// classify gives every byte of a literal a class of its own, both cases of a letter
// the same, and returns how many classes there are.
func (s *Set) classify(texts []Text) int {
	for b := range 256 {
		if IsName(byte(b)) {
			s.class[b] = other
		}
	}
	n := int(used)
	for _, x := range texts {
		for i := range len(x.Literal) {
			b := x.Literal[i]
			if s.class[b] < used {
				s.class[b] = uint8(n)
				n++
			}
		}
	}
	for b := 'a'; b <= 'z'; b++ {
		s.class[b-'a'+'A'] = s.class[b]
	}
	return n
}

// compile writes the automaton out as a table: the states in which no text ends
// first, each with its step for every class.
func (s *Set) compile(t *trie, edge, classes int, dash bool) {
	n := len(t.kids)
	step := make([]int, (n+1)<<s.shift)
	fail := make([]int, n)
	queue := []int{0}
	for k := 0; k < len(queue); k++ {
		at := queue[k]
		for c := range classes {
			below := step[fail[at]<<s.shift|c]
			to, ok := t.kids[at][uint8(c)]
			if !ok {
				step[at<<s.shift|c] = below
				continue
			}
			if at != 0 {
				fail[to] = below
			}
			t.ends[to].any |= t.ends[fail[to]].any
			t.ends[to].whole |= t.ends[fail[to]].whole
			step[at<<s.shift|c] = to
			queue = append(queue, to)
		}
	}
	if dash {
		// A state like the edge, reached by one dash and left by the next.
		copy(step[n<<s.shift:], step[edge<<s.shift:(edge+1)<<s.shift])
		step[edge<<s.shift|int(s.class['-'])] = n
		t.ends = append(t.ends, t.ends[edge])
		queue = append(queue, n)
		n++
	}
	number := make([]State, n)
	next := 0
	for _, ending := range []bool{false, true} {
		if ending {
			s.final = State(next)
		}
		for _, at := range queue {
			if (t.ends[at] != ends{}) == ending {
				number[at] = State(next)
				if ending {
					s.ends = append(s.ends, t.ends[at])
				}
				next++
			}
		}
	}
	s.next = make([]State, n<<s.shift)
	for at := range n {
		for c := range classes {
			s.next[int(number[at])<<s.shift|c] = number[step[at<<s.shift|c]]
		}
	}
	s.start = number[edge]
}

// Class returns the class of a byte, at most 127, for [Set.Step].
func (s *Set) Class(b byte) uint8 { return s.class[b] }

// Start is the state at the start of a value, where a name may begin.
func (s *Set) Start() State { return s.start }

// Step is the state behind one more byte of the class.
func (s *Set) Step(at State, class uint8) State {
	return s.next[int(at)<<s.shift|int(class)]
}

// Final reports whether texts end in this state.
func (s *Set) Final(at State) bool { return at >= s.final }

// Ends returns the marks of the texts that end in a final state: those to be taken
// as they are, and those that count only where a name ends too.
func (s *Set) Ends(at State) (marks, whole uint64) {
	e := &s.ends[at-s.final]
	return e.any, e.whole
}

// Contains reports whether a text with one of the marks is in value. It takes whole
// names for texts like others.
func (s *Set) Contains(value string, marks uint64) bool {
	at := s.start
	for i := range len(value) {
		at = s.next[int(at)<<s.shift|int(s.class[value[i]])]
		if at >= s.final {
			if e := &s.ends[at-s.final]; (e.any|e.whole)&marks != 0 {
				return true
			}
		}
	}
	return false
}

// Names splits a text into the names in it, each with whether a byte that is no part
// of a name stands in front of it and behind it within the text.
func Names(text string, yield func(name string, before, behind bool)) {
	for i := 0; i < len(text); {
		if !IsName(text[i]) {
			i++
			continue
		}
		end := i + 1
		for end < len(text) && IsName(text[end]) {
			end++
		}
		yield(text[i:end], i > 0, end < len(text))
		i = end
	}
}
