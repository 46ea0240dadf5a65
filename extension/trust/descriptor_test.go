package trust

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	everybody = "S-1-1-0"
	users     = "S-1-5-32-545"
	me        = "S-1-5-21-1111111111-2222222222-3333333333-1001"
	somebody  = "S-1-5-21-1111111111-2222222222-3333333333-1002"
)

func allow(who string, rights uint32, flags byte) Entry {
	return Entry{Kind: kindAllow, Flags: flags, Rights: rights, Who: who}
}

const (
	full    = 0x1f01ff
	modify  = 0x1301bf
	execute = 0x1200a9 // read and execute
	create  = 0x000116 // what Users may in ProgramData: add files and directories, set attributes
)

func TestJudge(t *testing.T) {
	system, admins := allow(sidSystem, full, 0), allow(sidAdministrators, full, 0)
	list := func(owner string, more ...Entry) Descriptor {
		return Descriptor{Owner: owner, Entries: append([]Entry{system, admins}, more...)}
	}
	for name, c := range map[string]struct {
		d    Descriptor
		use  Use
		want string // empty when nobody else can change it
	}{
		"the administrators'":             {list(sidAdministrators), Content, ""},
		"the system's":                    {list(sidSystem), Content, ""},
		"the installer's":                 {list(sidInstaller, allow(sidInstaller, full, 0), allow(users, execute, 0)), Content, ""},
		"ours":                            {list(me, allow(me, full, 0)), Content, ""},
		"somebody's":                      {list(somebody), Content, "belongs to " + somebody},
		"a service account's":             {list("S-1-5-20"), Content, "belongs to NetworkService"},
		"nobody's":                        {Descriptor{}, Content, "belongs to"},
		"others read":                     {list(sidSystem, allow(everybody, execute, 0)), Content, ""},
		"others read a secret":            {list(sidSystem, allow(everybody, execute, 0)), Secret, "others can read it: everybody"},
		"others read all of a secret":     {list(sidSystem, allow(everybody, rightGenericR, 0)), Secret, "others can read it: everybody"},
		"a secret of ours":                {list(me, allow(me, full, 0)), Secret, ""},
		"others change it":                {list(sidSystem, allow("S-1-5-11", modify, 0)), Content, "others can write to it: all users who logged on"},
		"others write data":               {list(sidSystem, allow(users, rightWrite, 0)), Content, "others can write to it: the group Users"},
		"others append":                   {list(sidSystem, allow(users, rightAppend, 0)), Content, "others can write to it"},
		"others redirect":                 {list(sidSystem, allow(users, 0x100, 0)), Content, "others can redirect it"},
		"others delete":                   {list(sidSystem, allow(users, rightDelete, 0)), Content, "others can delete"},
		"others take what is in it":       {list(sidSystem, allow(users, rightDeleteChild, 0)), Content, "others can delete"},
		"others change the list":          {list(sidSystem, allow(users, rightList, 0)), Content, "others can take it"},
		"others become the owner":         {list(sidSystem, allow(users, rightOwner, 0)), Content, "others can take it"},
		"others may all":                  {list(sidSystem, allow(users, rightAll, 0)), Content, "others can write to it"},
		"others may write, in general":    {list(sidSystem, allow(users, rightGenericW, 0)), Content, "others can write to it"},
		"in what is made in it":           {list(sidSystem, allow(users, full, flagInheritOnly|0x3)), Content, ""},
		"whoever makes something in it":   {list(sidSystem, allow("S-1-3-0", full, flagInheritOnly|0x3)), Content, ""},
		"the creator, who is nobody":      {list(sidSystem, allow("S-1-3-0", full, 0)), Content, ""},
		"the owner":                       {list(sidSystem, allow("S-1-3-4", full, 0)), Content, ""},
		"denied first":                    {Descriptor{Owner: sidSystem, Entries: []Entry{{Kind: kindDeny, Rights: full, Who: users}, allow(users, modify, 0)}}, Content, "others can write to it"},
		"only denied":                     {Descriptor{Owner: sidSystem, Entries: []Entry{{Kind: kindDeny, Rights: full, Who: users}}}, Content, ""},
		"on a condition":                  {list(sidSystem, Entry{Kind: kindAllowCallback, Rights: modify, Who: users}), Content, "others can write to it"},
		"of one property":                 {list(sidSystem, Entry{Kind: kindAllowObject, Rights: modify, Who: users}), Content, "others can write to it"},
		"through a server":                {list(sidSystem, Entry{Kind: kindAllowCompound, Rights: modify}), Content, "others can write to it"},
		"an unknown kind":                 {list(sidSystem, Entry{Kind: 0x15, Who: users}), Content, "unknown kind, 21"},
		"an empty list":                   {Descriptor{Owner: sidSystem}, Content, ""},
		"no list":                         {Descriptor{Owner: sidSystem, Unlisted: true}, Content, "no access list"},
		"ProgramData, with its rights":    {list(sidSystem, allow(users, execute, 0x3), allow(users, create, 0x2), allow("S-1-3-0", rightAll, 0xb)), Content, "others can write to it"},
		"ProgramData, on the way":         {list(sidSystem, allow(users, execute, 0x3), allow(users, create, 0x2), allow("S-1-3-0", rightAll, 0xb)), Way, ""},
		"a way that others may take from": {list(sidSystem, allow(everybody, full, 0)), Way, "others can take it: everybody"},
		"a way that others may rename":    {list(sidSystem, allow("S-1-5-11", modify, 0)), Way, "others can delete or rename"},
		"a way of somebody's":             {list(somebody), Way, "belongs to"},
		"a way without a list":            {Descriptor{Owner: sidSystem, Unlisted: true}, Way, "no access list"},
		"a pipe for everybody":            {list(sidSystem, allow(everybody, full, 0)), Owned, ""},
		"a pipe of somebody's":            {list(somebody), Owned, "belongs to"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.d.Judge(c.use, me)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			read, err := Parse(encode(t, c.d))
			if c.d.Owner == "" {
				if err == nil {
					t.Error("a descriptor without an owner was read")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.d, read); diff != "" {
				t.Errorf("written and read again: %s", diff)
			}
		})
	}
}

func TestInherited(t *testing.T) {
	from := func(flags byte) Descriptor {
		return Descriptor{Owner: sidSystem, Entries: []Entry{allow(sidSystem, full, flagInherited), allow(users, create, flags)}}
	}
	if d := from(flagInherited); !d.inherited(Content) || d.Judge(Content) == nil {
		t.Error("what came from above is not told")
	}
	if from(0).inherited(Content) {
		t.Error("what somebody decided passes for inherited")
	}
	if (Descriptor{Owner: somebody}).inherited(Content) {
		t.Error("somebody's passes for ours")
	}
}

// encode is a self-relative security descriptor as Windows writes it, the list first.
func encode(t testing.TB, d Descriptor) []byte {
	t.Helper()
	sid := func(s string) []byte {
		parts := strings.Split(s, "-")
		if len(parts) < 4 {
			return nil
		}
		b := []byte{1, byte(len(parts) - 3), 0, 0, 0, 0, 0, 0}
		for i, p := range parts[2:] {
			n, err := strconv.ParseUint(p, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				binary.BigEndian.PutUint32(b[4:], uint32(n))
				continue
			}
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
		return b
	}
	var list []byte
	for _, e := range d.Entries {
		who := sid(e.Who)
		switch e.Kind {
		case kindAllowObject:
			who = append(append([]byte{3, 0, 0, 0}, make([]byte, 32)...), who...)
		case kindAllowCompound:
			who = make([]byte, 16)
		case kindAllowCallback:
			who = append(who, "artx the condition"...)
		}
		list = append(list, e.Kind, e.Flags)
		list = binary.LittleEndian.AppendUint16(list, uint16(8+len(who)))
		list = append(binary.LittleEndian.AppendUint32(list, e.Rights), who...)
	}
	head := []byte{2, 0}
	head = binary.LittleEndian.AppendUint16(head, uint16(8+len(list)))
	head = append(binary.LittleEndian.AppendUint16(head, uint16(len(d.Entries))), 0, 0)
	list = append(head, list...)
	b := []byte{1, 0, 0x04, 0x80}
	at := uint32(20)
	if d.Unlisted {
		list = nil
		at = 0
	}
	owner := uint32(20 + len(list))
	if d.Owner == "" {
		owner = 0
	}
	for _, n := range []uint32{owner, 0, 0, at} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(append(b, list...), sid(d.Owner)...)
}

func TestParseDamaged(t *testing.T) {
	whole := encode(t, Descriptor{Owner: sidInstaller, Entries: []Entry{
		allow(users, modify, 0), {Kind: kindAllowObject, Rights: 1, Who: users}, {Kind: kindAllowCompound, Rights: 1},
	}})
	if _, err := Parse(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if d, err := Parse(whole[:n]); err == nil {
			t.Errorf("the first %d bytes of %d read as %+v", n, len(whole), d)
		}
	}
	absolute := bytes.Clone(whole)
	absolute[3] = 0
	if _, err := Parse(absolute); err == nil {
		t.Error("addresses were taken for offsets")
	}
	absent := bytes.Clone(whole)
	absent[2] = 0
	if d, err := Parse(absent); err != nil || !d.Unlisted {
		t.Errorf("a list that is not in force: %+v, %v", d, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(encode(f, Descriptor{Owner: sidSystem, Entries: []Entry{allow(users, create, 2), {Kind: kindAllowObject, Rights: 1, Who: users}}}))
	f.Add(encode(f, Descriptor{Owner: sidSystem, Unlisted: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			return
		}
		if d.Owner == "" {
			t.Error("an owner without a SID")
		}
		if len(d.Entries) > len(b)/8 {
			t.Errorf("%d entries in %d bytes", len(d.Entries), len(b))
		}
		if d.Judge(Content) == nil && d.Judge(Way) != nil {
			t.Error("what nobody can write to is not good for a way")
		}
	})
}
