package ioc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

// Load reads a feed of any of the forms, told apart by content. What is wrong with a
// line or an indicator is an error that names its line, and costs that indicator
// only; past the bounds of size the rest of the feed is left out. The feed is never
// nil.
func Load(name string, r io.Reader) (*Feed, []error) {
	b := &builder{
		feed: &Feed{name: name, seed: maphash.MakeSeed(), together: map[uint64][]conjunction{}, counts: map[Type]int{}},
	}
	lim := &limited{r: r, left: MaxSize}
	b.text = lim
	in := bufio.NewReaderSize(lim, maxRecord)
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	} else if bytes.HasPrefix(mark, []byte("\xff\xfe")) || bytes.HasPrefix(mark, []byte("\xfe\xff")) {
		return b.done(), []error{errors.New("line 1: the text is UTF-16: save it as UTF-8")}
	}
	head, _ := in.Peek(4096)
	var err error
	switch {
	case looksJSON(head):
		err = b.stix(in)
	default:
		err = b.lines(in)
	}
	if lim.over {
		err = fmt.Errorf("larger than %d MiB: the rest was not read", MaxSize>>20)
	}
	if err != nil {
		b.errs = append(b.errs, err)
	}
	return b.done(), b.allErrors()
}

// looksJSON reports whether text begins as JSON: an object, or a list of them. A
// defanged address may begin with a bracket too.
func looksJSON(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n")
	if len(head) == 0 {
		return false
	}
	if head[0] == '[' {
		head = bytes.TrimLeft(head[1:], " \t\r\n")
		return len(head) > 0 && (head[0] == '{' || head[0] == ']')
	}
	return head[0] == '{'
}

// limited ends a reader after so many bytes, and remembers that there was more.
type limited struct {
	r    io.Reader
	left int64
	over bool
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		if n, err := l.r.Read(p[:min(1, len(p))]); n == 0 {
			return 0, err
		}
		l.over = true
		return 0, io.EOF
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// errFull ends the reading of a feed that holds all it may.
var errFull = fmt.Errorf("more than %d indicators: the rest was not read", MaxIndicators)

// builder fills a feed.
type builder struct {
	feed *Feed
	text *limited
	// keys are what was read so far, until when they expire, nil while none does.
	keys     []uint64
	until    []uint32
	bits4    [33]bool
	bits6    [129]bool
	together int
	errs     []error
	more     int // errors beyond maxErrors
	// left are types of indicators that are not read, with their number and the line
	// of the first.
	left map[string]*leftOut
}

type leftOut struct{ n, line int }

// Len, Less and Swap sort the keys; of equal ones the one that lives longest comes
// first, and 0 is forever.
func (b *builder) Len() int { return len(b.keys) }

func (b *builder) Less(i, j int) bool {
	if b.keys[i] != b.keys[j] {
		return b.keys[i] < b.keys[j]
	}
	return b.until[i]-1 > b.until[j]-1 // 0 wraps to the most
}

func (b *builder) Swap(i, j int) {
	b.keys[i], b.keys[j] = b.keys[j], b.keys[i]
	b.until[i], b.until[j] = b.until[j], b.until[i]
}

func (b *builder) fail(line int, format string, args ...any) {
	if len(b.errs) >= maxErrors {
		b.more++
		return
	}
	b.errs = append(b.errs, fmt.Errorf("line %d: "+format, append([]any{line}, args...)...))
}

// leave notes an indicator of a type that is not read.
func (b *builder) leave(line int, kind string) {
	if b.left == nil {
		b.left = map[string]*leftOut{}
	}
	if len(kind) > 40 {
		kind = kind[:40]
	}
	if b.left[kind] == nil {
		if len(b.left) >= 20 {
			kind = "other"
		}
		if b.left[kind] == nil {
			b.left[kind] = &leftOut{line: line}
		}
	}
	b.left[kind].n++
}

func (b *builder) allErrors() []error {
	var kinds []string
	for k := range b.left {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		b.errs = append(b.errs, fmt.Errorf("line %d: indicators of type %s are not read (%d of them)", b.left[k].line, show(k), b.left[k].n))
	}
	if b.more > 0 {
		b.errs = append(b.errs, fmt.Errorf("%d more mistakes", b.more))
	}
	return b.errs
}

// add keeps an indicator.
func (b *builder) add(t Type, text string, until uint32) error {
	key, err := b.know(t, text)
	if err != nil {
		return err
	}
	if len(b.keys) >= MaxIndicators {
		return errFull
	}
	if until != 0 && b.until == nil {
		b.until = make([]uint32, len(b.keys))
	}
	b.keys = append(b.keys, key)
	if b.until != nil {
		b.until = append(b.until, until)
	}
	b.feed.counts[t]++
	return nil
}

// know brings a value into the form in which it is compared.
func (b *builder) know(t Type, text string) (uint64, error) {
	s := text
	if t != port {
		var err error
		if s, err = normal(t, text); err != nil {
			return 0, err
		}
	}
	if t == Address {
		p, err := normalNetwork(s)
		if err != nil {
			return 0, err
		}
		if p.Addr().Is4() {
			b.bits4[p.Bits()] = true
		} else {
			b.bits6[p.Bits()] = true
		}
	}
	return b.feed.key(t, s), nil
}

// addAll keeps values that must be seen together.
func (b *builder) addAll(list []condition, until uint32) error {
	if len(list) == 1 {
		return b.add(list[0].typ, list[0].text, until)
	}
	if b.together >= maxTogether {
		return fmt.Errorf("more than %d indicators need several facts at once: the rest was not read", maxTogether)
	}
	keys := make([]uint64, len(list))
	for i, c := range list {
		var err error
		if keys[i], err = b.know(c.typ, c.text); err != nil {
			return err
		}
	}
	b.together++
	b.feed.together[keys[0]] = append(b.feed.together[keys[0]], conjunction{more: keys[1:], until: until})
	b.feed.counts[list[0].typ]++
	return nil
}

// done sorts what was read and lets go of what is not needed.
func (b *builder) done() *Feed {
	f := b.feed
	if b.until == nil {
		slices.Sort(b.keys)
		f.keys = slices.Clone(slices.Compact(b.keys)) // without room for more
	} else {
		sort.Sort(b)
		n := 0
		for i := range b.keys {
			if i == 0 || b.keys[i] != b.keys[n-1] {
				b.keys[n], b.until[n] = b.keys[i], b.until[i]
				n++
			}
		}
		f.keys, f.until = slices.Clone(b.keys[:n]), slices.Clone(b.until[:n])
	}
	b.keys, b.until = nil, nil
	for n, ok := range b.bits4 {
		if ok {
			f.networks4 = append(f.networks4, uint8(n))
		}
	}
	for n, ok := range b.bits6 {
		if ok {
			f.networks6 = append(f.networks6, uint8(n))
		}
	}
	slices.Reverse(f.networks4) // the narrowest first
	slices.Reverse(f.networks6)
	return f
}

// parseUntil reads when an indicator expires; nothing is never.
func parseUntil(s string) (uint32, error) {
	s = strings.TrimSpace(s)
	switch strings.ToLower(s) {
	case "", "never", "none", "null", "-":
		return 0, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly, "2006-01-02 15:04:05 MST", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return seconds(t.Unix()), nil
		}
	}
	var n int64
	if len(s) >= 9 && len(s) <= 10 && strings.Trim(s, "0123456789") == "" {
		for i := range len(s) {
			n = n*10 + int64(s[i]-'0')
		}
		return seconds(n), nil
	}
	return 0, fmt.Errorf("%s is no time: write 2026-12-31 or 2026-12-31T00:00:00Z", show(s))
}

func seconds(n int64) uint32 {
	if n >= math.MaxUint32 {
		return 0 // in 2106
	}
	return uint32(max(n, 1))
}
