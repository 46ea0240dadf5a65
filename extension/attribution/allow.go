package attribution

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/secret"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	// AllowFor is how long an entry of AllowEntry lasts.
	AllowFor = 30 * 24 * time.Hour

	maxAllowed  = 50   // entries
	maxCommands = 50   // of one entry
	maxValue    = 2048 // bytes of a value
)

// AllowEntry returns configuration, as YAML, whose entries attribute all that is
// given, and as little else as can be said: the same user on the same host, under
// the same parent, with these commands; a service by its name, program, command line
// and hash, package or signer. The entries have the id given and expire AllowFor
// after now. It is an error when no entry can attribute something: under an ancestor
// that rules it out, or for a program whose hash is not known.
func AllowEntry(list []Facts, id, reason string, now time.Time) (string, error) {
	var entries []Entry
	index := map[string]int{}
	for i := range list {
		f := list[i]
		f.Now = now
		if r := Attribute(f, Config{}); f.Lineage != "" || f.Concealed || f.YoungService != "" {
			return "", fmt.Errorf("no entry can attribute it: %s", r.Basis)
		}
		e, err := entryFor(&f)
		if err != nil {
			return "", err
		}
		key := strings.Join([]string{e.User, e.Parent, e.Host, e.Path, e.Name, e.SHA256, e.Signer, e.Package, e.Remote, strings.Join(e.Commands, "\x01")}, "\x00")
		if f.Process != nil {
			key = strings.Join([]string{e.User, e.Parent, e.Host}, "\x00")
		}
		if at, ok := index[key]; ok {
			entries[at].Commands = append(entries[at].Commands, e.Commands...)
		} else {
			index[key] = len(entries)
			entries = append(entries, e)
		}
		if len(entries) > maxAllowed {
			return "", fmt.Errorf("more than %d entries would be needed: write one that says what is legitimate", maxAllowed)
		}
	}
	if len(entries) == 0 {
		return "", errors.New("there is nothing to attribute")
	}
	for i := range entries {
		e := &entries[i]
		e.ID, e.Reason, e.Expires = id, reason, now.Add(AllowFor).UTC().Truncate(time.Second)
		slices.Sort(e.Commands)
		e.Commands = slices.Compact(e.Commands)
		if len(e.Commands) > maxCommands {
			return "", fmt.Errorf("%s ran more than %d different commands: write an entry that says what is legitimate", e.User, maxCommands)
		}
		e.literal()
		if len(e.Commands) == 1 {
			e.Command, e.Commands = e.Commands[0], nil
		}
	}
	c := Config{Expected: entries}
	if _, err := c.Check(); err != nil {
		return "", fmt.Errorf("no entry can attribute it: %w", err)
	}
	for i := range list {
		f := list[i]
		f.Now = now
		if r := Attribute(f, c); r.Kind != Expected {
			return "", fmt.Errorf("no entry can attribute it: %s", r.Basis)
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# These entries end on %s. Say in reason why it is legitimate, and leave out what you don't need.\n", now.Add(AllowFor).UTC().Format(time.DateOnly))
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(map[string]any{"attribution": c}); err != nil {
		return "", fmt.Errorf("write the entry: %w", err)
	}
	return out.String(), nil
}

// literal makes the entry take its values as they stand, where one holds a star of
// its own. Secrets were masked when they were stored: there any text must do.
func (e *Entry) literal() {
	values := []*string{&e.User, &e.Parent, &e.Host, &e.Path, &e.Name, &e.Remote, &e.Signer, &e.Package}
	for i := range e.Commands {
		values = append(values, &e.Commands[i])
	}
	masked := false
	for _, v := range values {
		masked = masked || strings.Contains(*v, secret.Mask)
		e.Exact = e.Exact || strings.Contains(*v, "*")
	}
	if masked {
		e.Exact = false
		for _, v := range values {
			*v = strings.ReplaceAll(*v, secret.Mask, "*")
		}
	}
}

// entryFor is the entry for one thing.
func entryFor(f *Facts) (Entry, error) {
	a, ok := newActor(f)
	if !ok {
		return Entry{}, errors.New("nothing is known of who did it")
	}
	e := Entry{User: nonEmpty(a.login, a.user), Host: a.host}
	switch a.what {
	case "command":
		e.Parent = nonEmpty(f.Process.ParentPath, parentOf(a))
		e.Commands = slices.Clone(f.Canonical)
		if len(e.Commands) == 0 {
			return Entry{}, errors.New("no entry can attribute it: the commands are not known")
		}
		if e.User == "" && e.Parent == "" {
			return Entry{}, errors.New("no entry can attribute it: neither user nor parent is known")
		}
	case "install":
		in := f.Install
		e.Name, e.Path = in.Name, programOf(in)
		if in.ImagePath != "" {
			e.Commands = []string{in.ImagePath}
		}
		switch {
		case e.Name == "" || e.Path == "":
			return Entry{}, errors.New("no entry can attribute it: the service's name or program is not known")
		case in.SHA256 != "":
			e.SHA256 = strings.ToLower(in.SHA256)
		case in.Package != "" && in.PackageVerified == evidence.Yes:
			e.Package = in.Package
		case f.Signer != "" && in.Signed == evidence.Yes:
			e.Signer = f.Signer
		default:
			return Entry{}, fmt.Errorf("no entry can attribute %s: neither hash, package nor signer of %s is known, so that an entry would hide a program that is changed later", in.Name, e.Path)
		}
	case "connection":
		e.Path, e.Remote = f.Connection.Path, f.Connection.RemoteAddr
		if e.Path == "" || e.Remote == "" {
			return Entry{}, errors.New("no entry can attribute it: the program or the other end is not known")
		}
	}
	for _, v := range append([]string{e.User, e.Parent, e.Host, e.Path, e.Name}, e.Commands...) {
		if len(v) > maxValue {
			return Entry{}, errors.New("no entry can attribute it: a value is too long to be compared by eye")
		}
	}
	return e, nil
}
