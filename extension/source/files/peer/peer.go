// Package peer tells what an address in a log is worth. Sources of all kinds use
// it, so that one peer has one spelling, whoever reports it.
package peer

import (
	"net/netip"
	"strings"
)

// Address returns an address in its usual form: compressed, an IPv4 address
// inside of IPv6 as IPv4. Words for none ("-", "?", "0.0.0.0", "::") are "", and
// what is no address (a host's name) stays as it is.
func Address(s string) string {
	s = strings.TrimSpace(s)
	switch s {
	case "", "-", "?", "0.0.0.0", "::", "(null)":
		return ""
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	if a = a.Unmap(); a.IsUnspecified() {
		return ""
	}
	return a.String()
}

// Local reports whether an address in the form of Address is the host's own way
// to itself: none at all, a loopback address, or "localhost".
func Local(addr string) bool {
	if addr == "" || strings.EqualFold(addr, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(addr)
	return err == nil && a.IsLoopback()
}

// Other reports whether an address in the form of Address is one of another
// host. Loopback, multicast and broadcast addresses are not: what goes there is
// most of what a host sends, and leads to nobody.
func Other(addr string) bool {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return addr != "" && !strings.EqualFold(addr, "localhost")
	}
	return !a.IsLoopback() && !a.IsMulticast() && !a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
