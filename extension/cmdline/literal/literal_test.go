package literal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plainly finds texts by looking for each.
func plainly(texts []Text, value string, dash bool) (marks uint64) {
	low := []byte(value)
	for i, c := range low {
		if 'A' <= c && c <= 'Z' {
			low[i] = c + 32
		}
	}
	edge := func(i int) bool { return i == 0 || !IsName(low[i-1]) }
	for _, t := range texts {
		for i := range len(low) - len(t.Literal) + 1 {
			if string(low[i:i+len(t.Literal)]) != t.Literal {
				continue
			}
			if !t.Edge || edge(i) || dash && low[i-1] == '-' && edge(i-1) {
				marks |= t.Marks
			}
		}
	}
	return marks
}

func found(s *Set, value string) (marks uint64) {
	at := s.Start()
	for i := range len(value) {
		at = s.Step(at, s.Class(value[i]))
		if s.Final(at) {
			some, whole := s.Ends(at)
			marks |= some | whole
		}
	}
	return marks
}

// TestAgainstLookingForEach compares the automaton with the plainest way, on letters
// few enough for texts to overlap.
func TestAgainstLookingForEach(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func(letters string, n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	for range 2000 {
		dash := r.IntN(2) == 0
		var texts []Text
		for k := range 1 + r.IntN(12) {
			x := Text{Edge: r.IntN(2) == 0, Whole: r.IntN(2) == 0, Marks: 1 << k}
			if x.Literal = word("abc.", 1+r.IntN(4)); !x.Edge && !dash && r.IntN(2) == 0 {
				x.Literal = word("ab/ -", 1+r.IntN(4))
			}
			texts = append(texts, x)
		}
		s, ok := New(texts, dash)
		if !ok {
			t.Fatal("too many")
		}
		for range 20 {
			value := word("aAbBc.C/ -x\x80", r.IntN(14))
			// A literal with other bytes than those of names makes them no edges.
			if slices.ContainsFunc(texts, func(x Text) bool { return strings.ContainsAny(x.Literal, "/ -") }) {
				value = string(bytes.TrimFunc([]byte(value), func(r rune) bool { return strings.ContainsRune("/ -\ufffd", r) })) // \x80 decodes to the replacement
				texts := slices.DeleteFunc(slices.Clone(texts), func(x Text) bool { return x.Edge })
				for _, x := range texts {
					if got, want := s.Contains(value, x.Marks), plainly([]Text{x}, value, dash) != 0; got != want {
						t.Fatalf("%+v in %q: %v, want %v", x, value, got, want)
					}
				}
				continue
			}
			if got, want := found(s, value), plainly(texts, value, dash); got != want {
				t.Fatalf("%+v in %q, dash %v: %b, want %b", texts, value, dash, got, want)
			}
		}
	}
}

func TestTooManyTexts(t *testing.T) {
	var texts []Text
	for i := range 20_000 {
		texts = append(texts, Text{Literal: fmt.Sprintf("%05d", i), Marks: 1})
	}
	if _, ok := New(texts[:1000], false); !ok {
		t.Error("a thousand are too many")
	}
	for i := range texts {
		texts[i].Literal = strings.Repeat(texts[i].Literal, 4)
	}
	if _, ok := New(texts, false); ok {
		t.Error("more states than there are numbers")
	}
}

func TestNames(t *testing.T) {
	var got []string
	Names("/etc/init.d/*-x", func(name string, before, behind bool) {
		got = append(got, fmt.Sprintf("%s %v %v", name, before, behind))
	})
	Names("one", func(name string, before, behind bool) {
		got = append(got, fmt.Sprintf("%s %v %v", name, before, behind))
	})
	if diff := cmp.Diff([]string{"etc true true", "init.d true true", "-x true false", "one false false"}, got); diff != "" {
		t.Error(diff)
	}
}
