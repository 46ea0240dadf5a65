package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxNesting bounds a fleet's configuration: the deepest option is far above it.
const maxNesting = 32

// Overlay lays a fleet's configuration, a JSON object, over base: the options it
// names replace those of base, maps of names (weights) are merged name by name, lists
// are replaced as a whole. An empty object changes nothing. It is checked as the file
// is; an error names the place, the option and the nearest valid one, and comes with
// base. base itself is never changed.
func Overlay(base Config, data []byte) (Config, error) {
	root, err := jsonTree(data)
	if err != nil {
		return base, err
	}
	if root.Kind != yaml.MappingNode {
		return base, wrong(root, "the configuration", "an object, {} for none")
	}
	if err := fits(root, reflect.TypeFor[Config](), ""); err != nil {
		return base, err
	}
	over := clone(reflect.ValueOf(base)).Interface().(Config)
	if err := root.Decode(&over); err != nil {
		return base, fmt.Errorf("not valid: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := over.check(root); err != nil {
		return base, err
	}
	return over, nil
}

// Nearest suggests the valid name that differs least from a wrong one, as the end of
// an error's text; empty when none is near.
func Nearest(key string, names []string) string { return nearest(key, names) }

// Hash names a fleet's configuration in 12 hexadecimal digits, whatever its blanks.
func Hash(data []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		b.Reset()
		b.Write(bytes.TrimSpace(data))
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:6])
}

// clone copies what lies behind maps, slices and pointers, so that decoding over the
// copy leaves the original alone.
func clone(v reflect.Value) reflect.Value {
	if v.Type() == reflect.TypeFor[time.Time]() {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(clone(v.Field(i)))
			}
		}
	case reflect.Map:
		if v.IsNil() {
			return out
		}
		out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for iter := v.MapRange(); iter.Next(); {
			out.SetMapIndex(iter.Key(), clone(iter.Value()))
		}
	case reflect.Slice:
		if v.IsNil() {
			return out
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(clone(v.Index(i)))
		}
	case reflect.Pointer:
		if v.IsNil() {
			return out
		}
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(clone(v.Elem()))
	}
	return out
}

// jsonTree reads JSON into a tree that knows its places, for the same checks as the
// file's. YAML's own reader would do for most JSON, but takes YAML too, and not all of
// JSON's escapes.
func jsonTree(data []byte) (*yaml.Node, error) {
	if len(data) > MaxFile {
		return nil, errors.New("the configuration is larger than 1 MiB")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("the configuration is empty: {} is none")
	}
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	root, err := r.value(0)
	if err != nil {
		return nil, r.explain(err)
	}
	rest := r.at(r.next())
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, placed(rest, errors.New("something follows the object"))
	}
	return root, nil
}

type jsonReader struct {
	data []byte
	dec  *json.Decoder
}

// next is where the next token begins.
func (r *jsonReader) next() int {
	i := int(r.dec.InputOffset())
	for i < len(r.data) && strings.IndexByte(" \t\r\n:,", r.data[i]) >= 0 {
		i++
	}
	return i
}

// at is a node at a place in the text.
func (r *jsonReader) at(offset int) *yaml.Node {
	before := r.data[:min(offset, len(r.data))]
	line := bytes.LastIndexByte(before, '\n') + 1
	return &yaml.Node{Kind: yaml.ScalarNode, Line: bytes.Count(before, []byte("\n")) + 1, Column: utf8.RuneCount(before[line:]) + 1}
}

func (r *jsonReader) explain(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return placed(r.at(r.next()), fmt.Errorf("not valid JSON: %w", err))
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return placed(r.at(len(r.data)), errors.New("not valid JSON: it ends too early"))
	}
	return err
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	n := r.at(r.next())
	if depth > maxNesting {
		return nil, placed(n, fmt.Errorf("nested deeper than %d", maxNesting))
	}
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		if t == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		for r.dec.More() {
			child, err := r.value(depth + 1) // an object's keys are values too
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if _, err := r.dec.Token(); err != nil {
			return nil, err
		}
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
		if _, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
			n.Tag = "!!int"
		}
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
	case nil:
		n.Tag = "!!null"
	}
	return n, nil
}

// Setting is one option as it is in force.
type Setting struct {
	Key   string // "attribution.expected[0].user"
	Value string
	// Origin is "default", "file, line 3" or "fleet".
	Origin string
}

// Settings are the options in force with a file and a fleet's configuration over it,
// either of which may be empty, in the order of the type. Options without a value are
// left out.
func Settings(file, fleet []byte) ([]Setting, error) {
	base, err := Parse(file)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(fleet)) == 0 {
		fleet = []byte("{}")
	}
	over, err := Overlay(base, fleet)
	if err != nil {
		return nil, fmt.Errorf("the fleet's configuration: %w", err)
	}
	fleetRoot, err := jsonTree(fleet)
	if err != nil {
		return nil, err
	}
	var fileDoc, all yaml.Node
	if err := yaml.Unmarshal(file, &fileDoc); err != nil {
		return nil, err
	}
	fileRoot := &yaml.Node{}
	if len(fileDoc.Content) > 0 {
		fileRoot = fileDoc.Content[0]
	}
	if err := all.Encode(over); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	s := &settings{file: fileRoot, fleet: fleetRoot}
	s.walk(&all, nil)
	return s.out, nil
}

type settings struct {
	file, fleet *yaml.Node
	out         []Setting
}

func (s *settings) walk(n *yaml.Node, path []string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			s.walk(n.Content[i+1], append(slices.Clone(path), n.Content[i].Value))
		}
		return
	case yaml.SequenceNode:
		for i, item := range n.Content {
			s.walk(item, append(slices.Clone(path), strconv.Itoa(i)))
		}
		return
	}
	origin := "default"
	if lookUp(s.fleet, path...) != nil {
		origin = "fleet"
	} else if found := lookUp(s.file, path...); found != nil {
		origin = fmt.Sprintf("file, line %d", found.Line)
	}
	if origin == "default" && (n.Value == "" || n.Tag == "!!null" || n.Tag == "!!timestamp" || n.Value == "0" || n.Value == "0s" || n.Value == "false") {
		return
	}
	s.out = append(s.out, Setting{dotted(path), n.Value, origin})
}

// dotted writes a path the way people do.
func dotted(path []string) string {
	var b strings.Builder
	for i, p := range path {
		switch _, err := strconv.Atoi(p); {
		case err == nil:
			b.WriteString("[" + p + "]")
		case i > 0:
			b.WriteString("." + p)
		default:
			b.WriteString(p)
		}
	}
	return b.String()
}
