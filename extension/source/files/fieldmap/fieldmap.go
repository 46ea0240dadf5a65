// Package fieldmap reads evidence from the JSON objects of other products:
// processes, installs of services, logons, connections and changes. What a
// product calls its fields is data (maps.yml), which a user can add to.
package fieldmap

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

//go:embed maps.yml
var builtin []byte

// Map says which objects are evidence, of what kind, and where their facts are.
type Map struct {
	Name     string              `yaml:"name"`
	Kind     string              `yaml:"kind"`
	Within   string              `yaml:"within"`
	Has      []string            `yaml:"has"`
	HasNot   []string            `yaml:"hasnt"`
	When     map[string][]string `yaml:"when"`
	Only     map[string][]string `yaml:"only"`
	Platform string              `yaml:"platform"`
	Joined   bool                `yaml:"joined"`
	Fields   map[string][]string `yaml:"fields"`
}

// The values of Map.Within.
const (
	File    = ""
	Osquery = "osquery"
)

// Object is a JSON object as it was decoded, numbers as json.Number.
type Object = map[string]any

// Set is an ordered list of maps. It is immutable and safe for concurrent use.
type Set struct{ maps []Map }

// The bounds of a user's file of maps.
const (
	maxMaps    = 256
	maxMapFile = 1 << 20
)

// Builtin returns the maps that come with Rollcall.
func Builtin() (*Set, error) {
	s := &Set{}
	if err := s.parse(builtin); err != nil {
		return nil, fmt.Errorf("built-in field maps: %w", err)
	}
	return s, nil
}

// With returns the maps of s behind those read from r, which has the form of the
// built-in ones and thus precedence over them.
func (s *Set) With(r io.Reader) (*Set, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxMapFile+1))
	if err != nil {
		return nil, fmt.Errorf("read field maps: %w", err)
	}
	if len(b) > maxMapFile {
		return nil, fmt.Errorf("field maps: more than %d bytes", maxMapFile)
	}
	out := &Set{}
	if err := out.parse(b); err != nil {
		return nil, fmt.Errorf("field maps: %w", err)
	}
	out.maps = append(out.maps, s.maps...)
	return out, nil
}

func (s *Set) parse(b []byte) error {
	dec := yaml.NewDecoder(strings.NewReader(string(b)))
	dec.KnownFields(true)
	if err := dec.Decode(&s.maps); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("empty")
		}
		return err
	}
	if len(s.maps) > maxMaps {
		return fmt.Errorf("more than %d maps", maxMaps)
	}
	for i, m := range s.maps {
		where := fmt.Sprintf("map %d (%s)", i+1, m.Name)
		if m.Name == "" || strings.ContainsFunc(m.Name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }) {
			return fmt.Errorf("%s: a name of small letters, digits and _ is needed", where)
		}
		if len(m.Has) == 0 && len(m.When) == 0 {
			return fmt.Errorf("%s: it needs a key that its objects have", where)
		}
		if m.Within != File && m.Within != Osquery {
			return fmt.Errorf("%s: within is osquery or absent, not %q", where, m.Within)
		}
		if m.Platform != "" && evidence.ParsePlatform(m.Platform) == "" {
			return fmt.Errorf("%s: unknown platform %q", where, m.Platform)
		}
		if err := m.checkFields(); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	return nil
}

// About is what is known of an object from outside of it, and holds where the
// object doesn't say it.
type About struct {
	Host string
	Time int64
}

// Read reads an object and adds what it tells to the batch. source names the map
// that knows objects of this form, "" none; ok says that this one tells of
// something. Of the maps of that name the first one of each kind decides whether
// the object is of that kind.
func (s *Set) Read(o Object, within string, about About, to *evidence.Batch) (source string, ok bool) {
	var refused []string
	for i := range s.maps {
		m := &s.maps[i]
		if m.Within != within || source != "" && (m.Name != source || slices.Contains(refused, m.kind())) || !m.fits(o) {
			continue
		}
		source = m.Name
		if m.wanted(o) {
			return source, m.read(o, about, to)
		}
		refused = append(refused, m.kind())
	}
	return source, false
}

func (m *Map) fits(o Object) bool {
	for _, k := range m.Has {
		if _, ok := lookup(o, k); !ok {
			return false
		}
	}
	for _, k := range m.HasNot {
		if _, ok := lookup(o, k); ok {
			return false
		}
	}
	for k, values := range m.When {
		if v, ok := lookup(o, k); !ok || !oneOf(v, values) {
			return false
		}
	}
	return true
}

// wanted reports whether the keys of Only that are there have one of their values.
func (m *Map) wanted(o Object) bool {
	for k, values := range m.Only {
		if v, ok := lookup(o, k); ok && !oneOf(v, values) {
			return false
		}
	}
	return true
}

// oneOf reports whether a value, or one of a list's, is among others.
func oneOf(v any, values []string) bool {
	for _, have := range texts(v) {
		for _, want := range values {
			if strings.EqualFold(have, want) {
				return true
			}
		}
	}
	return false
}

// fact returns the text of the first key that has one.
func (m *Map) fact(o Object, fact string, platform evidence.Platform) string {
	for _, k := range m.Fields[fact] {
		var s string
		if word, ok := strings.CutPrefix(k, "="); ok {
			s = word
		} else if strings.Contains(k, "{") {
			s = template(o, k)
		} else if v, ok := lookup(o, k); ok {
			s = text(v, platform)
		}
		if s != "" && s != "-" {
			return s
		}
	}
	return ""
}

// template replaces {keys}; it is empty when one of them is.
func template(o Object, t string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(t, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		key, after, _ := strings.Cut(rest, "}")
		v, _ := lookup(o, key)
		s := text(v, "")
		if s == "" || s == "-" {
			return ""
		}
		b.WriteString(s)
		t = after
	}
}

// maxParts bounds the dots of a key.
const maxParts = 8

// lookup finds a key whose dots go into objects or are part of a name.
func lookup(o Object, key string) (any, bool) { return find(o, key, maxParts) }

func find(o Object, key string, depth int) (any, bool) {
	if v, ok := o[key]; ok {
		return v, v != nil
	}
	if depth == 0 {
		return nil, false
	}
	for at := 0; ; {
		dot := strings.IndexByte(key[at:], '.')
		if dot < 0 {
			return nil, false
		}
		at += dot
		if inner, ok := o[key[:at]].(Object); ok {
			if v, ok := find(inner, key[at+1:], depth-1); ok {
				return v, true
			}
		}
		at++
	}
}

// text is a value as text; a list becomes a command line.
func text(v any, platform evidence.Platform) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return join(texts(v), platform)
	}
	return ""
}

// texts is a value or the values of a list.
func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		if s := text(v, ""); s != "" {
			return []string{s}
		}
		return nil
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		switch item := item.(type) {
		case string:
			out = append(out, item)
		case json.Number:
			out = append(out, item.String())
		case bool:
			out = append(out, strconv.FormatBool(item))
		}
	}
	return out
}

// guess tells the platform by the form of a path.
func guess(paths ...string) evidence.Platform {
	for _, p := range paths {
		switch {
		case len(p) > 2 && p[1] == ':' && (p[2] == '\\' || p[2] == '/'), strings.HasPrefix(p, `\`):
			return evidence.Windows
		case strings.HasPrefix(p, "/System/"), strings.HasPrefix(p, "/Applications/"), strings.HasPrefix(p, "/Library/"), strings.HasPrefix(p, "/Users/"),
			strings.HasPrefix(p, "/private/"):
			return evidence.Darwin
		case strings.HasPrefix(p, "/"):
			return evidence.Linux
		}
	}
	return ""
}

// elevated tells by the integrity level or the user's id.
func elevated(p *evidence.Process) evidence.Tristate {
	switch strings.ToLower(p.IntegrityLevel) {
	case "high", "system":
		return evidence.Yes
	case "medium", "low", "untrusted":
		return evidence.No
	}
	if p.Platform == evidence.Windows || p.UID == "" {
		return evidence.Unknown
	}
	if p.UID == "0" {
		return evidence.Yes
	}
	return evidence.No
}

func tristate(s string) evidence.Tristate {
	switch strings.ToLower(s) {
	case "1", "true", "yes", "tokenelevationtypefull":
		return evidence.Yes
	case "0", "false", "no", "tokenelevationtypelimited":
		return evidence.No
	}
	return evidence.Unknown
}

func unset(s string) string {
	if s == "4294967295" || s == "-1" {
		return ""
	}
	return s
}

func pid(s string) int64 {
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		return 0
	}
	return int64(n)
}

// layouts are the times that exports write.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 MST", "2006-01-02T15:04:05.999999999Z0700", "1/2/2006 3:04:05.999999999 PM", "Jan 2, 2006 3:04:05.999999999 PM",
}

// maxSecond is the year 9999.
const maxSecond = 253_402_300_799

// Time reads a time in any of the forms maps.yml names, rounded down to seconds
// since 1970 UTC. Times without a zone are UTC.
func Time(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 64 {
		return 0, false
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		switch {
		case math.IsNaN(f) || f < 0:
			return 0, false
		case f < 1e11:
			return int64(f), true
		case f < 1e14:
			return int64(f / 1e3), true
		case f < 1e17:
			return int64(f / 1e6), true
		case f < 1e18: // 100 ns since 1601
			n, err := strconv.ParseInt(s, 10, 64)
			return (n - 116_444_736_000_000_000) / 10_000_000, err == nil && n >= 116_444_736_000_000_000
		case f < 9e18:
			n, err := strconv.ParseInt(s, 10, 64)
			return n / 1_000_000_000, err == nil
		}
		return 0, false
	}
	if at, serial, ok := strings.Cut(s, ":"); ok && strings.Contains(at, ".") && strings.Trim(serial, "0123456789") == "" {
		if _, err := strconv.ParseFloat(at, 64); err == nil {
			return Time(at) // the kernel's number of an audited event
		}
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			if u := t.Unix(); u >= 0 && u <= maxSecond {
				return u, true
			}
			return 0, false
		}
	}
	return 0, false
}
