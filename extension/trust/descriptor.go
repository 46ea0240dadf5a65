package trust

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Descriptor is what a security descriptor of Windows says about who may change
// something.
type Descriptor struct {
	Owner string // a SID as text, "S-1-5-18"
	// Unlisted is true without an access list: everybody may do everything then.
	Unlisted bool
	Entries  []Entry
}

// Entry is an entry of an access list, as Windows numbers its kind, flags and rights.
type Entry struct {
	Kind   byte
	Flags  byte
	Rights uint32
	Who    string
}

// The kinds of entries that allow something; those that deny and audit are passed over,
// so that nothing is believed safe because of one.
const (
	kindAllow               = 0x00
	kindDeny                = 0x01
	kindAudit               = 0x02
	kindAlarm               = 0x03
	kindAllowCompound       = 0x04
	kindAllowObject         = 0x05
	kindDenyObject          = 0x06
	kindAllowCallback       = 0x09
	kindDenyCallback        = 0x0a
	kindAllowCallbackObject = 0x0b
	kindDenyCallbackObject  = 0x0c
)

// The flags of an entry that matter here.
const (
	flagInheritOnly = 0x08
	flagInherited   = 0x10
)

// The rights that change something.
const (
	rightRead        = 0x1
	rightWrite       = 0x2 // in a directory: add files
	rightAppend      = 0x4 // in a directory: add directories
	rightAttributes  = 0x10 | 0x100
	rightDeleteChild = 0x40
	rightDelete      = 0x10000
	rightList        = 0x40000
	rightOwner       = 0x80000
	rightAll         = 0x10000000
	rightGenericW    = 0x40000000
	rightGenericR    = 0x80000000
)

// Use is what a thing is used as, which says what others must not do with it.
type Use int

// The uses.
const (
	// Content is a file or directory whose content is believed.
	Content Use = iota
	// Secret is content that others must not read either.
	Secret
	// Way is a directory on the way to such a thing: others may add to it, and must not
	// take away what is in it.
	Way
	// Owned is a thing of which only the owner matters.
	Owned
)

// rights are those that others must not have.
func (u Use) rights() uint32 {
	const change = rightDelete | rightDeleteChild | rightList | rightOwner | rightAll
	switch u {
	case Way:
		return change
	case Owned:
		return 0
	case Secret:
		return change | rightWrite | rightAppend | rightAttributes | rightGenericW | rightRead | rightGenericR
	}
	return change | rightWrite | rightAppend | rightAttributes | rightGenericW
}

const (
	sidSystem         = "S-1-5-18"
	sidAdministrators = "S-1-5-32-544"
	sidInstaller      = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
)

// nobody are stand-ins that no token carries: whoever creates something, in entries that
// are made for what is created, and the owner, who is looked at for himself.
var nobody = []string{"S-1-3-0", "S-1-3-1", "S-1-3-4"}

// theirs are groups that everybody knows by name.
var theirs = map[string]string{
	"S-1-1-0": "everybody", "S-1-5-7": "anonymous users", "S-1-5-11": "all users who logged on", "S-1-5-4": "interactive users", "S-1-5-2": "network users",
	"S-1-5-32-545": "the group Users", "S-1-5-32-546": "guests", "S-1-5-32-547": "the group Power Users", "S-1-5-19": "LocalService", "S-1-5-20": "NetworkService",
	"S-1-15-2-1": "all applications",
}

// Judge is an error when somebody other than SYSTEM, the administrators,
// TrustedInstaller and ours owns the thing or has rights that its use forbids.
func (d Descriptor) Judge(use Use, ours ...string) error {
	root := func(sid string) bool {
		return sid == sidSystem || sid == sidAdministrators || sid == sidInstaller || slices.Contains(ours, sid)
	}
	if !root(d.Owner) {
		return fmt.Errorf("it belongs to %s, must be the administrators'; takeown /a", name(d.Owner))
	}
	forbidden := use.rights()
	if forbidden == 0 {
		return nil
	}
	if d.Unlisted {
		return errors.New("others can write to it: it has no access list; " + remedy)
	}
	for _, e := range d.Entries {
		switch e.Kind {
		case kindDeny, kindAudit, kindAlarm, kindDenyObject, kindDenyCallback, kindDenyCallbackObject:
			continue
		case kindAllow, kindAllowCallback, kindAllowObject, kindAllowCallbackObject, kindAllowCompound:
		default:
			return fmt.Errorf("its access list has an entry of an unknown kind, %d", e.Kind)
		}
		if e.Flags&flagInheritOnly != 0 || e.Rights&forbidden == 0 || root(e.Who) || slices.Contains(nobody, e.Who) {
			continue
		}
		return fmt.Errorf("others can %s it: %s; %s", can(e.Rights&forbidden), name(e.Who), remedy)
	}
	return nil
}

// remedy leaves a file to SYSTEM and the administrators.
const remedy = "icacls /inheritance:r /grant *S-1-5-18:F *S-1-5-32-544:F"

// inherited reports whether whatever gives others a right that use forbids came from
// the directory above, so that nobody decided it for this thing.
func (d Descriptor) inherited(use Use, ours ...string) bool {
	kept := d
	kept.Entries = slices.DeleteFunc(slices.Clone(d.Entries), func(e Entry) bool { return e.Flags&flagInherited != 0 })
	return kept.Judge(use, ours...) == nil
}

func can(rights uint32) string {
	switch {
	case rights&(rightWrite|rightAppend|rightAll|rightGenericW) != 0:
		return "write to"
	case rights&(rightList|rightOwner) != 0:
		return "take"
	case rights&(rightDelete|rightDeleteChild) != 0:
		return "delete or rename what is in"
	case rights&rightAttributes != 0:
		return "redirect"
	}
	return "read"
}

func name(sid string) string {
	if n := theirs[sid]; n != "" {
		return n
	}
	return sid
}

// Parse reads a self-relative security descriptor.
func Parse(b []byte) (Descriptor, error) {
	const selfRelative, listed = 0x8000, 0x0004
	var d Descriptor
	if len(b) < 20 || b[0] != 1 {
		return d, errors.New("not a security descriptor")
	}
	control := binary.LittleEndian.Uint16(b[2:])
	if control&selfRelative == 0 {
		return d, errors.New("not a self-relative security descriptor")
	}
	from := func(offset uint32, what string) ([]byte, error) {
		if offset < 20 || uint64(offset) >= uint64(len(b)) {
			return nil, fmt.Errorf("the security descriptor has no %s", what)
		}
		return b[offset:], nil
	}
	owner, err := from(binary.LittleEndian.Uint32(b[4:]), "owner")
	if err != nil {
		return d, err
	}
	if d.Owner, err = parseSID(owner); err != nil {
		return d, err
	}
	at := binary.LittleEndian.Uint32(b[16:])
	if control&listed == 0 || at == 0 {
		d.Unlisted = true
		return d, nil
	}
	list, err := from(at, "access list")
	if err != nil {
		return d, err
	}
	d.Entries, err = parseList(list)
	return d, err
}

// parseList reads an access list.
func parseList(b []byte) ([]Entry, error) {
	cut := errors.New("the access list is cut off")
	if len(b) < 8 {
		return nil, cut
	}
	size, count := int(binary.LittleEndian.Uint16(b[2:])), int(binary.LittleEndian.Uint16(b[4:]))
	if size < 8 || size > len(b) {
		return nil, cut
	}
	b = b[8:size]
	var out []Entry
	for range count {
		if len(b) < 8 {
			return nil, cut
		}
		n := int(binary.LittleEndian.Uint16(b[2:]))
		if n < 8 || n > len(b) {
			return nil, cut
		}
		e := Entry{Kind: b[0], Flags: b[1], Rights: binary.LittleEndian.Uint32(b[4:])}
		who := b[8:n]
		switch e.Kind {
		case kindAllowObject, kindDenyObject, kindAllowCallbackObject, kindDenyCallbackObject:
			if len(who) < 4 {
				return nil, cut
			}
			skip := 4 + 16*int(who[0]&1) + 8*int(who[0]&2) // which of two GUIDs there are
			if skip > len(who) {
				return nil, cut
			}
			who = who[skip:]
		case kindAllowCompound: // of a server and a client; no SID is where others have theirs
			out, b = append(out, e), b[n:]
			continue
		}
		var err error
		if e.Who, err = parseSID(who); err != nil {
			return nil, err
		}
		out, b = append(out, e), b[n:]
	}
	return out, nil
}

// parseSID reads the SID that b begins with.
func parseSID(b []byte) (string, error) {
	if len(b) < 8 || b[0] != 1 || b[1] > 15 || len(b) < 8+4*int(b[1]) {
		return "", errors.New("not a SID")
	}
	var out strings.Builder
	fmt.Fprintf(&out, "S-1-%d", uint64(binary.BigEndian.Uint16(b[2:]))<<32|uint64(binary.BigEndian.Uint32(b[4:])))
	for i := range int(b[1]) {
		fmt.Fprintf(&out, "-%d", binary.LittleEndian.Uint32(b[8+4*i:]))
	}
	return out.String(), nil
}
