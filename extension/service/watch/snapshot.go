package watch

import (
	"bytes"
	"cmp"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/secret"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/service/systemd"
)

// The bounds of what a cursor remembers.
const (
	maxRecords  = 25000
	maxCommands = 16  // of one service, by their text
	maxValue    = 320 // bytes of one value; of a longer one a digest besides
	maxGone     = 1000
	maxNoted    = 400
	maxSnapshot = 64 << 20
	// goneFor is how long a service that went away by itself is remembered.
	goneFor = 7 * 24 * time.Hour
)

// cursorPrefix names the form of the cursor.
const cursorPrefix = "services1:"

// The values of a record, in the order they are stored.
const (
	unitPath = iota
	linkTarget
	account
	startType
	dropIns
	aliases
	links
	waits
	triggers
	preload
	onDisk
	writable
	verified
	program
	contents
	packaged
	values
)

var valueNames = [values]string{
	"unit_path", "link_target", "account", "start_type", "drop_ins", "aliases", "links", "waits", "triggers", "preload", "on_disk", "writable_by_others",
	"package_verified", "program", "contents", "package",
}

// record is what is remembered of one service.
type record struct {
	Kind, Type, Scope, Username, Name string

	Values [values]string
	// Commands are "Directive=line", without secrets.
	Commands []string
	// Image is the command an install row would show of it.
	Image string
	// On says that it is turned on by itself, not by what triggers it.
	On bool
	// Told says that what becomes of it needs no more rows: a transient unit whose
	// coming and going were told, or one that was there when watching began.
	Told bool

	// Seen is when it was seen first, Changed when it last made a row, Gone when it
	// went away; seconds since 1970 UTC.
	Seen, Changed, Gone int64
}

// snapshot is what a cursor remembers.
type snapshot struct {
	Time    int64 // of the scan
	Records map[string]*record
	// Noted are digests of the notes that were told.
	Noted map[uint64]bool
}

func newSnapshot() *snapshot {
	return &snapshot{Records: map[string]*record{}, Noted: map[uint64]bool{}}
}

// recordOf is a service as it is remembered.
func recordOf(s *inventory.Service) *record {
	r := &record{Kind: s.Kind, Type: s.Type, Scope: s.Scope, Username: s.Username, Name: s.Name, On: switchedOn(s)}
	v := &r.Values
	v[unitPath], v[linkTarget], v[account], v[startType] = brief(s.UnitPath), brief(s.LinkTarget), brief(s.Account), brief(s.StartType)
	v[dropIns], v[aliases], v[links] = list(s.DropIns), list(s.Aliases), list(s.Links)
	v[waits], v[triggers], v[preload] = list(s.Waits), list(s.Triggers), list(s.Preload)
	v[onDisk], v[verified] = word(s.OnDisk), word(s.Verified)
	v[writable], v[packaged] = list(s.Writable), brief(s.Package)
	if s.Sum != 0 {
		v[contents] = fmt.Sprintf("%016x", s.Sum)
	}
	if isTemplate(s.Name) && !masked(s.StartType) {
		// A template is turned on by its instances: they tell.
		v[startType], v[links], r.On = "", "", false
	}
	main := evidence.Unknown
	if len(s.Commands) > 0 {
		main = s.Commands[0].Packaged
	}
	if p := s.Program; p.IsRegular() && main != evidence.Yes {
		v[program] = fmt.Sprintf("%d bytes of %s\x00%d.%d", p.Size, stamp(p.MTime), p.Ino, p.MTime)
	} else if s.Type == string(systemd.Generator) || s.Type == string(systemd.Hook) {
		v[program] = fmt.Sprintf("%d bytes of %s\x00%d.%d", s.File.Size, stamp(s.File.MTime), s.File.Ino, s.File.MTime)
	}
	for i, c := range s.Commands {
		if i == maxCommands {
			h := sha256.New()
			for _, c := range s.Commands[i:] {
				fmt.Fprintf(h, "%s\x00%s\x00", c.Directive, c.Line)
			}
			r.Commands = append(r.Commands, fmt.Sprintf("more=%d others %x", len(s.Commands)-i, h.Sum(nil)[:6]))
			break
		}
		r.Commands = append(r.Commands, c.Directive+"="+brief(c.Line))
	}
	return r
}

// stamp is a time in nanoseconds since 1970 as people read it.
func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }

// switchedOn reports whether a service is turned on by itself.
func switchedOn(s *inventory.Service) bool {
	if s.Kind != "systemd" {
		return s.Enabled == evidence.Yes
	}
	switch systemd.State(s.StartType) {
	case systemd.Masked, systemd.MaskedRuntime:
		return false
	case systemd.Enabled, systemd.EnabledRuntime, systemd.IsGenerated, systemd.IsTransient:
		return true
	}
	return len(s.Links) > 0
}

func masked(startType string) bool { return strings.HasPrefix(startType, string(systemd.Masked)) }

func isTemplate(name string) bool { return strings.Contains(name, "@.") }

// isInstance reports whether a unit is made from a template's file.
func isInstance(name, unit string) bool {
	return strings.Contains(name, "@") && !isTemplate(name) && isTemplate(path.Base(unit))
}

func word(t evidence.Tristate) string {
	switch t {
	case evidence.Yes:
		return "yes"
	case evidence.No:
		return "no"
	}
	return ""
}

// brief is a value as it is kept: without secrets, short, and still different for
// different texts.
func brief(s string) string {
	if s == "" {
		return ""
	}
	shown := s
	if len(shown) > 4*maxValue {
		shown = shown[:4*maxValue]
	}
	shown, _ = secret.MaskIn(shown)
	if len(shown) <= maxValue && len(s) <= 4*maxValue {
		return shown
	}
	sum := sha256.Sum256([]byte(s))
	return fmt.Sprintf("%s... (%d bytes, %x)", strings.ToValidUTF8(shown[:min(len(shown), maxValue-48)], ""), len(s), sum[:4])
}

// list is a list of values as it is kept.
func list(all []string) string {
	if len(all) == 0 {
		return ""
	}
	if len(all) == 1 {
		return brief(all[0])
	}
	return brief(strings.Join(all, ", "))
}

// transient reports whether a unit lives only as long as it runs.
func transient(unit string) bool { return strings.Contains(unit, "/systemd/transient/") }

// keyOf tells services apart over time. Of a transient unit the shape of its name
// and what it runs count: tools make one for each run, under ever new names.
func keyOf(s *inventory.Service) string {
	parts := []string{s.Kind, s.Type, s.Scope, s.Username, s.Name}
	switch {
	case transient(s.UnitPath):
		h := sha256.New()
		for _, c := range s.Commands {
			fmt.Fprintf(h, "%s\x00%s\x00", c.Path, c.Args)
		}
		fmt.Fprintf(h, "\x00%s\x00%s\x00%q", s.Account, strings.Join(s.Waits, "\x00"), s.Preload)
		parts[4] = shape(s.Name)
		parts = append(parts, "transient", fmt.Sprintf("%x", h.Sum(nil)[:8]))
	case s.Type == string(systemd.Generator) || s.Type == string(systemd.Hook):
		parts = append(parts, s.DisplayName)
	case s.Kind != "systemd":
		parts = append(parts, s.UnitPath)
	}
	return strings.Join(parts, "\x00")
}

// shape is a name without the numbers in it: "run-r0f3a.service" is
// "run-r#.service".
func shape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); {
		j, digits := i, 0
		for j < len(name) && (name[j] >= '0' && name[j] <= '9' || name[j] >= 'a' && name[j] <= 'f') {
			if name[j] <= '9' {
				digits++
			}
			j++
		}
		if digits > 0 {
			b.WriteByte('#')
			i = j
			continue
		}
		if j == i {
			j++
		}
		b.WriteString(name[i:j])
		i = j
	}
	return b.String()
}

var errCursor = errors.New("what was remembered of services cannot be read")

// encode writes a snapshot as a cursor.
func (s *snapshot) encode() (string, error) {
	var b bytes.Buffer
	num := func(n int64) { b.Write(binary.AppendVarint(nil, n)) }
	text := func(t string) {
		num(int64(len(t)))
		b.WriteString(t)
	}
	num(s.Time)
	noted := make([]uint64, 0, len(s.Noted))
	for n := range s.Noted {
		noted = append(noted, n)
	}
	slices.Sort(noted)
	num(int64(len(noted)))
	for _, n := range noted {
		b.Write(binary.LittleEndian.AppendUint64(nil, n))
	}
	keys := make([]string, 0, len(s.Records))
	for k := range s.Records {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	num(int64(len(keys)))
	for _, k := range keys {
		r := s.Records[k]
		text(k)
		for _, t := range []string{r.Kind, r.Type, r.Scope, r.Username, r.Name, r.Image} {
			text(t)
		}
		for _, t := range r.Values {
			text(t)
		}
		num(int64(len(r.Commands)))
		for _, t := range r.Commands {
			text(t)
		}
		flags := int64(0)
		if r.On {
			flags |= 1
		}
		if r.Told {
			flags |= 2
		}
		for _, n := range []int64{flags, r.Seen, r.Changed, r.Gone} {
			num(n)
		}
	}
	var z bytes.Buffer
	w, err := flate.NewWriter(&z, flate.DefaultCompression)
	if err != nil {
		return "", fmt.Errorf("remember the services: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return "", fmt.Errorf("remember the services: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("remember the services: %w", err)
	}
	sum := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b.Bytes()))
	return cursorPrefix + base64.RawStdEncoding.EncodeToString(append(sum, z.Bytes()...)), nil
}

// decode reads a cursor. The error wraps errCursor.
func decode(cursor string) (*snapshot, error) {
	fail := func(why string) (*snapshot, error) { return nil, fmt.Errorf("%w: %s", errCursor, why) }
	body, ok := strings.CutPrefix(cursor, cursorPrefix)
	if !ok {
		return fail("of another form")
	}
	raw, err := base64.RawStdEncoding.DecodeString(body)
	if err != nil || len(raw) < 4 {
		return fail("damaged")
	}
	z := flate.NewReader(bytes.NewReader(raw[4:]))
	b, err := io.ReadAll(io.LimitReader(z, maxSnapshot+1))
	if err != nil || len(b) > maxSnapshot || crc32.ChecksumIEEE(b) != binary.LittleEndian.Uint32(raw) {
		return fail("damaged")
	}
	d := &decoder{b: b}
	s := newSnapshot()
	s.Time = d.num()
	for n := d.count(maxNoted); n > 0; n-- {
		s.Noted[d.fixed()] = true
	}
	for n := d.count(maxRecords + maxGone); n > 0 && !d.bad; n-- {
		k, r := d.text(), &record{}
		for _, t := range []*string{&r.Kind, &r.Type, &r.Scope, &r.Username, &r.Name, &r.Image} {
			*t = d.text()
		}
		for i := range r.Values {
			r.Values[i] = d.text()
		}
		for c := d.count(maxCommands + 1); c > 0; c-- {
			r.Commands = append(r.Commands, d.text())
		}
		flags := d.num()
		r.On, r.Told = flags&1 != 0, flags&2 != 0
		r.Seen, r.Changed, r.Gone = d.num(), d.num(), d.num()
		s.Records[k] = r
	}
	if d.bad || len(d.b) != 0 {
		return fail("damaged")
	}
	return s, nil
}

// decoder takes values off b; bad says that there were none left.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) num() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) count(most int) int {
	n := d.num()
	if n < 0 || n > int64(most) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n := d.num()
	if n < 0 || n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) fixed() uint64 {
	if len(d.b) < 8 {
		d.bad, d.b = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// trimGone forgets services that are gone for long, and the oldest beyond the bound.
func (s *snapshot) trimGone(now int64) {
	type at struct {
		key  string
		gone int64
	}
	var gone []at
	for k, r := range s.Records {
		if r.Gone == 0 {
			continue
		}
		if now-r.Gone > int64(goneFor/time.Second) {
			delete(s.Records, k)
			continue
		}
		gone = append(gone, at{k, r.Gone})
	}
	if len(gone) <= maxGone {
		return
	}
	slices.SortFunc(gone, func(a, b at) int {
		return cmp.Or(cmp.Compare(a.gone, b.gone), strings.Compare(a.key, b.key))
	})
	for _, g := range gone[:len(gone)-maxGone] {
		delete(s.Records, g.key)
	}
}
