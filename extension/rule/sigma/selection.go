package sigma

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
)

// selection is a search identifier: alternatives (or) of items (and).
type selection struct {
	name         string
	alternatives [][]*item
}

func (s *selection) match(e Event) bool {
	for _, items := range s.alternatives {
		if matchAll(items, e) {
			return true
		}
	}
	return false
}

func matchAll(items []*item, e Event) bool {
	for _, it := range items {
		if !it.match(e) {
			return false
		}
	}
	return true
}

func (s *selection) explain(e Event, out *[]Evidence) {
	for _, items := range s.alternatives {
		if !matchAll(items, e) {
			continue
		}
		for _, it := range items {
			it.explain(s.name, e, out)
		}
	}
}

func (s *selection) cost() int {
	c := 0
	for _, items := range s.alternatives {
		for _, it := range items {
			c += it.cost()
		}
	}
	return c
}

// kind is how an item looks at its field.
type kind uint8

const (
	kindMatch    kind = iota // values against matchers
	kindNull                 // the field is absent or has no value
	kindExists               // the field is there, or is not
	kindFieldRef             // values against the values of another field
)

// item is one line of a selection: a field, or the whole event when field is
// empty, and what is expected of it.
type item struct {
	field     string
	modifiers string // as written
	kind      kind
	values    []value
	all       bool // every value must match, not just one
	negated   bool // neq
	exists    bool // for kindExists
	place     place
	cased     bool // for kindFieldRef
}

// value is one value of a rule.
type value struct {
	source       string // as written
	alternatives []matcher
	ref          string // for kindFieldRef: the other field
}

// matcher decides whether one value of an event is as expected.
type matcher interface {
	match(s string) bool
	cost() int
}

// place is where in a value a text is expected.
type place uint8

const (
	whole place = iota
	anywhere
	atStart
	atEnd
)

func (it *item) eventValues(e Event) (values []string, known bool) {
	if it.field != "" {
		return e.Values(it.field)
	}
	k, ok := e.(Keyworder)
	if !ok {
		return nil, false
	}
	return k.Keywords(), true
}

func (it *item) match(e Event) bool {
	return it.matchPlain(e) != it.negated
}

func (it *item) matchPlain(e Event) bool {
	values, known := it.eventValues(e)
	switch it.kind {
	case kindNull:
		return !known || len(values) == 0
	case kindExists:
		return known == it.exists
	}
	if !known {
		return false
	}
	for i := range it.values {
		_, ok := it.find(&it.values[i], values, e)
		if ok != it.all {
			return ok
		}
	}
	return it.all
}

// find returns the first of the event's values that v accepts.
func (it *item) find(v *value, values []string, e Event) (string, bool) {
	if it.kind == kindFieldRef {
		others, _ := e.Values(v.ref)
		for _, s := range values {
			for _, other := range others {
				if it.compare(bound(s), bound(other)) {
					return s, true
				}
			}
		}
		return "", false
	}
	for _, s := range values {
		cut := bound(s)
		for _, m := range v.alternatives {
			if m.match(cut) {
				return s, true
			}
		}
	}
	return "", false
}

func (it *item) compare(s, other string) bool {
	switch it.place {
	case anywhere:
		return containsFold(s, other, it.cased)
	case atStart:
		_, ok := prefixFold(s, other, it.cased)
		return ok
	case atEnd:
		return suffixFold(s, other, it.cased)
	default:
		n, ok := prefixFold(s, other, it.cased)
		return ok && n == len(s)
	}
}

// explain adds the evidence of an item that matches.
func (it *item) explain(selection string, e Event, out *[]Evidence) {
	values, _ := it.eventValues(e)
	for i := range it.values {
		v := &it.values[i]
		found := Evidence{Selection: selection, Field: it.field, Modifier: it.modifiers, Pattern: v.source}
		switch {
		case it.negated || it.kind == kindNull || it.kind == kindExists:
			if len(values) > 0 {
				found.Value = bound(values[0])
			}
		default:
			s, ok := it.find(v, values, e)
			if !ok {
				continue
			}
			found.Value = bound(s)
		}
		*out = append(*out, found)
	}
}

func (it *item) cost() int {
	c := 1
	for _, v := range it.values {
		for _, m := range v.alternatives {
			c += m.cost()
		}
		if it.kind == kindFieldRef {
			c += 10
		}
	}
	if it.field == "" {
		c *= 10
	}
	return c
}

func compareEvidence(a, b Evidence) int {
	return cmp.Or(
		strings.Compare(a.Selection, b.Selection),
		strings.Compare(a.Field, b.Field),
		strings.Compare(a.Modifier, b.Modifier),
		strings.Compare(a.Pattern, b.Pattern),
		strings.Compare(a.Value, b.Value),
	)
}

// network is an address range.
type network struct{ prefix netip.Prefix }

// parseNetwork reads a range or a single address; the bits below the mask must be
// zero.
func parseNetwork(s string) (network, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return network{}, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p != p.Masked() {
		return network{}, false
	}
	return network{p}, true
}

func (n network) match(s string) bool {
	// A failed parse allocates its error: keep what is no address out of it.
	if len(s) == 0 || len(s) > 64 || strings.IndexByte(s, '.') < 0 && strings.IndexByte(s, ':') < 0 {
		return false
	}
	for i := range len(s) {
		if b := lowerASCII(s[i]); (b < '0' || b > '9') && (b < 'a' || b > 'f') && b != '.' && b != ':' {
			if b == '%' && i > 0 {
				break // the rest names a zone
			}
			return false
		}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return false
	}
	a = a.WithZone("")
	// An IPv4 address mapped into IPv6 is in a range of either kind.
	return n.prefix.Contains(a) || a.Is4In6() && n.prefix.Contains(a.Unmap())
}

func (network) cost() int { return 6 }

// number is a number of a rule or an event. Whole numbers are exact.
type number struct {
	whole int64
	float float64
	exact bool
}

// parseNumber reads a decimal number or, as Windows logs have them, a whole one
// in hexadecimal after 0x.
func parseNumber(s string) (number, bool) {
	if len(s) == 0 || len(s) > 64 {
		return number{}, false
	}
	if len(s) > 2 && s[0] == '0' && lowerASCII(s[1]) == 'x' {
		n := int64(0)
		for i := 2; i < len(s); i++ {
			d := strings.IndexByte("0123456789abcdef", lowerASCII(s[i]))
			if d < 0 || n >= 1<<59 {
				return number{}, false
			}
			n = n<<4 | int64(d)
		}
		return number{whole: n, float: float64(n), exact: true}, true
	}
	// A failed parse allocates its error: keep what is no number out of it.
	digits, dots, exponents := 0, 0, 0
	for i := range len(s) {
		switch b := lowerASCII(s[i]); {
		case '0' <= b && b <= '9':
			digits++
		case b == '.' && dots == 0 && exponents == 0:
			dots++
		case b == 'e' && digits > 0 && exponents == 0 && i+1 < len(s):
			exponents++
		case (b == '-' || b == '+') && (i == 0 || lowerASCII(s[i-1]) == 'e') && i+1 < len(s):
		default:
			return number{}, false
		}
	}
	if digits == 0 {
		return number{}, false
	}
	if dots+exponents == 0 {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return number{whole: n, float: float64(n), exact: true}, true
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return number{}, false
	}
	return number{float: f}, true
}

// comparison is a numeric bound.
type comparison struct {
	operator string // lt, lte, gt, gte
	bound    number
}

func (c comparison) match(s string) bool {
	n, ok := parseNumber(s)
	if !ok {
		return false
	}
	order := cmp.Compare(n.float, c.bound.float)
	if n.exact && c.bound.exact {
		order = cmp.Compare(n.whole, c.bound.whole)
	}
	switch c.operator {
	case "lt":
		return order < 0
	case "lte":
		return order <= 0
	case "gt":
		return order > 0
	default: // gte
		return order >= 0
	}
}

func (comparison) cost() int { return 4 }
