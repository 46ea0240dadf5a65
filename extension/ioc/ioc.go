// Package ioc compares what was seen with the user's own indicators of compromise:
// plain lists, CSV and STIX 2.1 bundles of hashes, names, paths, addresses, domains
// and URLs. Matching is pure: facts in, hits out, no disk and no clock.
//
// Feeds are large and memory is not: a feed keeps 8 bytes an indicator (12 where
// they expire), a keyed hash of it. Two different values have the same with a
// probability of 5e-14 at a million indicators, and nobody can choose a value that
// collides, since the key is drawn when the feed is read.
package ioc

import (
	"hash/maphash"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"
)

// The bounds of one feed.
const (
	MaxSize       = 64 << 20  // bytes that are read
	MaxIndicators = 1_000_000 // indicators that are kept
	maxValue      = 4096      // bytes of one indicator or fact
	maxErrors     = 100       // errors that Load tells one by one
	maxTogether   = 100_000   // indicators that need several facts at once
)

// Type is what an indicator is about.
type Type string

// The types of indicators.
const (
	SHA256  Type = "sha256"
	SHA1    Type = "sha1"
	MD5     Type = "md5"
	Name    Type = "name" // of a file or service
	Path    Type = "path"
	Address Type = "address" // an address or a network
	Domain  Type = "domain"  // and all below it
	URL     Type = "url"
	port    Type = "port" // only together with others
)

// Facts are what was seen of one thing: a program, a service, a connection. An
// unknown fact is empty.
type Facts struct {
	SHA256, SHA1, MD5 string
	// Name is a file's or service's name; the name in Path is looked for as well.
	Name string
	Path string
	// Addr is the other end of a connection, Port its port.
	Addr string
	Port int64
	// Domain is a name that was resolved or asked for.
	Domain string
	// URL's host is looked for as well.
	URL string
}

// Hit is one indicator that matched.
type Hit struct {
	Feed      string
	Indicator string // as it is compared: in lower case, refanged
	Type      Type
}

// Feed is what was read from one file. It is immutable.
type Feed struct {
	name  string
	seed  maphash.Seed
	keys  []uint64 // sorted
	until []uint32 // when the key of the same index expires, 0 for never; nil when none does
	// networks are the lengths of the networks' prefixes, of addresses 32 and 128.
	networks4, networks6 []uint8
	together             map[uint64][]conjunction
	counts               map[Type]int
}

// conjunction are values that must all be seen; its first is the key in
// Feed.together.
type conjunction struct {
	more  []uint64
	until uint32
}

// Name is what the feed was called when it was read.
func (f *Feed) Name() string { return f.name }

// Len is the number of indicators.
func (f *Feed) Len() int {
	n := len(f.keys)
	for _, list := range f.together {
		n += len(list)
	}
	return n
}

// Counts are the indicators read, by type, before duplicates were removed; those
// that need several facts count by their first.
func (f *Feed) Counts() map[Type]int { return f.counts }

// Set is all of the user's feeds. A nil Set matches nothing. It is immutable and safe
// for concurrent use.
type Set struct {
	feeds []*Feed
}

// NewSet puts feeds together; nil ones are left out.
func NewSet(feeds ...*Feed) *Set {
	return &Set{feeds: slices.DeleteFunc(slices.Clone(feeds), func(f *Feed) bool { return f == nil })}
}

// Feeds are the feeds of the set.
func (s *Set) Feeds() []*Feed {
	if s == nil {
		return nil
	}
	return s.feeds
}

// Len is the number of indicators in all feeds.
func (s *Set) Len() int {
	n := 0
	for _, f := range s.Feeds() {
		n += f.Len()
	}
	return n
}

// value is one thing to look for.
type value struct {
	typ  Type
	text string
	addr netip.Addr // for an Address
}

// Match returns the indicators that the facts agree with at the time now, each once
// a feed, in the order of the feeds.
func (s *Set) Match(f Facts, now time.Time) []Hit {
	if s.Len() == 0 {
		return nil
	}
	values := f.values()
	if len(values) == 0 {
		return nil
	}
	var hits []Hit
	for _, feed := range s.feeds {
		hits = feed.match(values, now, hits)
	}
	return hits
}

// found is a value with its key in a feed.
type found struct {
	key  uint64
	text string
	typ  Type
}

func (f *Feed) match(values []value, now time.Time, hits []Hit) []Hit {
	if f.Len() == 0 {
		return hits
	}
	var space [32]found
	seen := space[:0]
	for _, v := range values {
		if v.typ != Address {
			seen = append(seen, found{f.key(v.typ, v.text), v.text, v.typ})
			continue
		}
		lengths := f.networks4
		if v.addr.Is6() {
			lengths = f.networks6
		}
		for _, bits := range lengths {
			p, err := v.addr.Prefix(int(bits))
			if err != nil {
				continue
			}
			text := networkText(p)
			seen = append(seen, found{f.key(Address, text), text, Address})
		}
	}
	first := len(hits)
	add := func(h Hit) {
		if !slices.Contains(hits[first:], h) {
			hits = append(hits, h)
		}
	}
	for _, k := range seen {
		if i, ok := slices.BinarySearch(f.keys, k.key); ok && (f.until == nil || alive(f.until[i], now)) {
			add(Hit{f.name, k.text, k.typ})
		}
	next:
		for _, c := range f.together[k.key] {
			if !alive(c.until, now) {
				continue
			}
			text := k.text
			for _, want := range c.more {
				i := slices.IndexFunc(seen, func(o found) bool { return o.key == want })
				if i < 0 {
					continue next
				}
				text += " and " + seen[i].text
			}
			add(Hit{f.name, text, k.typ})
		}
	}
	return hits
}

// alive reports whether an indicator that is valid until a time is so now.
func alive(until uint32, now time.Time) bool { return until == 0 || now.Unix() < int64(until) }

// key is the keyed hash of a value.
func (f *Feed) key(t Type, text string) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	_, _ = h.WriteString(string(t))
	_ = h.WriteByte(0)
	_, _ = h.WriteString(text)
	return h.Sum64()
}

// values are the facts as they are compared.
func (f *Facts) values() []value {
	var space [24]value
	out := space[:0]
	add := func(t Type, text string) {
		if text != "" && !slices.ContainsFunc(out, func(v value) bool { return v.typ == t && v.text == text }) {
			out = append(out, value{typ: t, text: text})
		}
	}
	for _, h := range [...]struct {
		typ  Type
		text string
	}{{SHA256, f.SHA256}, {SHA1, f.SHA1}, {MD5, f.MD5}} {
		if len(h.text) == hexLength(h.typ) {
			add(h.typ, strings.ToLower(h.text))
		}
	}
	if len(f.Name) <= maxValue {
		add(Name, strings.ToLower(f.Name))
	}
	if f.Path != "" {
		if p, err := normalPath(f.Path); err == nil {
			add(Path, p)
			add(Name, strings.ToLower(baseName(p)))
		}
	}
	domain, addr := f.Domain, f.Addr
	if f.URL != "" {
		if u, host, err := normalURL(f.URL); err == nil {
			add(URL, u)
			hosts(&out, add, host)
		}
	}
	hosts(&out, add, domain)
	hosts(&out, add, addr)
	if f.Port > 0 {
		add(port, portText(f.Port))
	}
	return out
}

// hosts adds an address, or a domain with those it lies below.
func hosts(out *[]value, add func(Type, string), host string) {
	if host == "" || len(host) > maxValue {
		return
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		addr = addr.Unmap().WithZone("")
		if !slices.ContainsFunc(*out, func(v value) bool { return v.typ == Address && v.addr == addr }) {
			*out = append(*out, value{typ: Address, addr: addr})
		}
		return
	}
	d := strings.ToLower(strings.TrimSuffix(host, "."))
	if len(d) > 253 {
		return
	}
	for n := 0; n < 32 && strings.Contains(d, "."); n++ {
		add(Domain, d)
		_, d, _ = strings.Cut(d, ".")
	}
}

// baseName is the name in a normal path.
func baseName(p string) string {
	if i := strings.LastIndexByte(p, '\\'); i >= 0 && !strings.HasPrefix(p, "/") {
		return p[i+1:]
	}
	return path.Base(p)
}
