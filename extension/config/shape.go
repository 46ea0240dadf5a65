package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// fits checks a part of the file against the type it is for, so that every mistake
// is named with its place and in the file's own terms. The depth is that of the
// type.
func fits(n *yaml.Node, t reflect.Type, key string) error {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		if n.Kind == yaml.ScalarNode {
			if _, err := time.ParseDuration(n.Value); err == nil {
				return nil
			}
		}
		return wrong(n, key, "a duration with its unit, such as 30s")
	case t == reflect.TypeFor[time.Time]():
		return leaf(n, t, key, "a time such as 2026-12-31T18:00:00Z")
	}
	switch t.Kind() {
	case reflect.String:
		return leaf(n, t, key, "a text")
	case reflect.Float64:
		return leaf(n, t, key, "a number")
	case reflect.Int:
		if n.ShortTag() != "!!int" { // the decoder would cut 1.5
			return wrong(n, key, "a whole number")
		}
		return leaf(n, t, key, "a whole number")
	case reflect.Bool:
		return leaf(n, t, key, "true or false")
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return wrong(n, key, "a list")
		}
		var all Mistakes
		for _, item := range n.Content {
			all = all.with(fits(item, t.Elem(), "an entry of "+key))
		}
		return all.err()
	case reflect.Map, reflect.Struct:
		if n.Kind != yaml.MappingNode {
			return wrong(n, key, "a mapping (name: value)")
		}
		return fitsMapping(n, t)
	}
	return fmt.Errorf("no check for %s", t) // a new kind of option: see TestEveryOptionHasACheck
}

// options are the fields of a struct that are written as options, those of the structs
// in it among them.
func options(t reflect.Type) []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return f.Anonymous })
}

func fitsMapping(n *yaml.Node, t reflect.Type) error {
	types := map[string]reflect.Type{}
	var names []string
	if t.Kind() == reflect.Struct {
		for _, f := range options(t) {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			types[name] = f.Type
			names = append(names, name)
		}
	}
	seen := map[string]bool{}
	var all Mistakes
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			all = all.with(placed(key, fmt.Errorf("%s is there twice", key.Value)))
			continue
		}
		seen[key.Value] = true
		of := types[key.Value]
		if t.Kind() == reflect.Map {
			of = t.Elem()
		}
		if of == nil {
			all = all.with(placed(key, fmt.Errorf("no option %q%s", key.Value, nearest(key.Value, names))))
			continue
		}
		all = all.with(fits(n.Content[i+1], of, key.Value))
	}
	return all.err()
}

// maxMistakes bounds what is said of one configuration.
const maxMistakes = 20

// Mistakes is what is wrong with a configuration, in the order of the file.
type Mistakes []error

func (m Mistakes) Error() string {
	var out []string
	for _, err := range m[:min(len(m), maxMistakes)] {
		out = append(out, err.Error())
	}
	if left := len(m) - maxMistakes; left > 0 {
		out = append(out, fmt.Sprintf("and %d more", left))
	}
	return strings.Join(out, "; ")
}

func (m Mistakes) Unwrap() []error { return m }

func (m Mistakes) with(err error) Mistakes {
	var more Mistakes
	switch {
	case errors.As(err, &more):
		return append(m, more...)
	case err != nil:
		return append(m, err)
	}
	return m
}

// err is nil for none and a single mistake by itself.
func (m Mistakes) err() error {
	switch len(m) {
	case 0:
		return nil
	case 1:
		return m[0]
	}
	return m
}

func leaf(n *yaml.Node, t reflect.Type, key, what string) error {
	if n.Kind != yaml.ScalarNode || n.Decode(reflect.New(t).Interface()) != nil {
		return wrong(n, key, what)
	}
	return nil
}

func wrong(n *yaml.Node, key, what string) error {
	if key == "" {
		key = "the configuration"
	}
	if n.Kind == yaml.ScalarNode {
		value := n.Value
		if len(value) > 40 {
			value = value[:40] + "..."
		}
		return placed(n, fmt.Errorf("%s is %q: must be %s", key, value, what))
	}
	return placed(n, fmt.Errorf("%s must be %s", key, what))
}

// placed adds the place of a node to an error.
func placed(n *yaml.Node, err error) error {
	if n == nil || n.Line == 0 {
		return err
	}
	return fmt.Errorf("line %d, column %d: %w", n.Line, n.Column, err)
}

// lookUp finds the key, or the item of a list, that a path leads to; nil when it is
// not in the file.
func lookUp(n *yaml.Node, path ...string) *yaml.Node {
	found := (*yaml.Node)(nil)
	for _, step := range path {
		n, found = resolve(n), nil
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					found, n = n.Content[i], n.Content[i+1]
					break
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
				found, n = n.Content[i], n.Content[i]
			}
		}
		if found == nil {
			return nil
		}
	}
	return found
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias // never an alias itself
	}
	return n
}

// nearest suggests the valid name that differs least, the first of equals.
func nearest(key string, names []string) string {
	best, dist := "", min(4, 1+(len(key)+1)/2) // of a short word little may differ
	for _, n := range names {
		if d := distance(key, n); d < dist {
			best, dist = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is Levenshtein's, for short names.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur := make([]int, len(b)+1)
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
		}
		prev = cur
	}
	return prev[len(b)]
}
