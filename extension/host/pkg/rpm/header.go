package rpm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"path"
	"strconv"
	"strings"
)

// ErrHeader is the error of a package header that cannot be one.
var ErrHeader = errors.New("not a package header")

// The tags that are read.
const (
	tagName        = 1000
	tagVersion     = 1001
	tagRelease     = 1002
	tagEpoch       = 1003
	tagSizes       = 1028
	tagStates      = 1029
	tagModes       = 1030
	tagDigests     = 1035
	tagLinks       = 1036
	tagFlags       = 1037
	tagVerify      = 1045
	tagDirIndexes  = 1116
	tagBaseNames   = 1117
	tagDirNames    = 1118
	tagLongSizes   = 5008
	tagDigestAlgo  = 5011
	flagGhost      = 1 << 6
	verifyDigest   = 1 << 0
	verifySize     = 1 << 1
	verifyLink     = 1 << 2
	verifyMode     = 1 << 6
	stateInstalled = 0

	maxTags = 64 << 10
	maxDirs = 1 << 20
)

// The types of values.
const (
	typeChar   = 1
	typeInt8   = 2
	typeInt16  = 3
	typeInt32  = 4
	typeInt64  = 5
	typeString = 6
	typeArray  = 8
	typeI18N   = 9
)

// Header is the header of one package as rpm's database has it.
type Header struct {
	data []byte // the values
	tags map[uint32]value
}

type value struct{ kind, at, count uint32 }

// ParseHeader looks through a header. It keeps blob.
func ParseHeader(blob []byte) (Header, error) {
	if len(blob) < 8 {
		return Header{}, ErrHeader
	}
	n, size := binary.BigEndian.Uint32(blob), binary.BigEndian.Uint32(blob[4:])
	if n == 0 || n > maxTags || uint64(8)+16*uint64(n)+uint64(size) > uint64(len(blob)) {
		return Header{}, ErrHeader
	}
	h := Header{data: blob[8+16*n:][:size], tags: make(map[uint32]value, 16)}
	for i := range n {
		e := blob[8+16*i:]
		tag := binary.BigEndian.Uint32(e)
		switch tag {
		case tagName, tagVersion, tagRelease, tagEpoch, tagSizes, tagStates, tagModes, tagDigests, tagLinks, tagFlags, tagVerify,
			tagDirIndexes, tagBaseNames, tagDirNames, tagLongSizes, tagDigestAlgo:
			v := value{binary.BigEndian.Uint32(e[4:]), binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])}
			if v.at > size {
				return Header{}, ErrHeader
			}
			h.tags[tag] = v // of two the later one counts: what was added when it was installed
		}
	}
	if h.Name() == "" {
		return Header{}, ErrHeader
	}
	return h, nil
}

// Name is the package's.
func (h Header) Name() string { return h.text(tagName) }

// Version is the package's epoch, where it has one, version and release.
func (h Header) Version() string {
	v := h.text(tagVersion)
	if r := h.text(tagRelease); r != "" {
		v += "-" + r
	}
	if e, ok := h.ints(tagEpoch).at(0); ok {
		v = strconv.FormatInt(e, 10) + ":" + v
	}
	return v
}

func (h Header) text(tag uint32) string {
	v, ok := h.tags[tag]
	if !ok || v.kind != typeString && v.kind != typeArray && v.kind != typeI18N {
		return ""
	}
	s, _, ok := bytes.Cut(h.data[v.at:], []byte{0})
	if !ok || len(s) > 256 {
		return ""
	}
	return string(s)
}

// texts walks an array of texts, one after the other.
type texts struct {
	rest []byte
	left uint32
}

func (h Header) texts(tag uint32) *texts {
	v, ok := h.tags[tag]
	if !ok || v.kind != typeString && v.kind != typeArray {
		return &texts{}
	}
	return &texts{h.data[v.at:], v.count}
}

func (t *texts) next() ([]byte, bool) {
	if t.left == 0 {
		return nil, false
	}
	s, rest, ok := bytes.Cut(t.rest, []byte{0})
	if !ok {
		t.left = 0
		return nil, false
	}
	t.left--
	t.rest = rest
	return s, true
}

// numbers are an array of numbers.
type numbers struct {
	data  []byte
	width int
	count uint32
}

func (h Header) ints(tag uint32) numbers {
	v, ok := h.tags[tag]
	if !ok {
		return numbers{}
	}
	width := map[uint32]int{typeChar: 1, typeInt8: 1, typeInt16: 2, typeInt32: 4, typeInt64: 8}[v.kind]
	return numbers{h.data[v.at:], width, v.count}
}

func (n numbers) at(i uint32) (int64, bool) {
	if n.width == 0 || i >= n.count || (uint64(i)+1)*uint64(n.width) > uint64(len(n.data)) {
		return 0, false
	}
	b := n.data[uint64(i)*uint64(n.width):]
	switch n.width {
	case 1:
		return int64(b[0]), true
	case 2:
		return int64(binary.BigEndian.Uint16(b)), true
	case 4:
		return int64(binary.BigEndian.Uint32(b)), true
	}
	return int64(binary.BigEndian.Uint64(b)), true
}

// File is what a package says about one of its files. What is not to be verified is
// unknown.
type File struct {
	Path   string
	Mode   uint32 // unix type and permission bits
	Size   int64  // bytes; -1 is unknown
	Link   string // where a link leads
	Digest []byte // nil is unknown
	// AnyMode says that the permission bits are not to be verified.
	AnyMode bool
}

// Paths calls fn with the files the package has brought, directories aside: not with
// ghosts, which a package only lays claim to, nor with files that were left out or
// that another package has replaced.
func (h Header) Paths(fn func(path string)) {
	h.files("", func(path string, _ uint32, _, _ []byte) bool {
		fn(path)
		return true
	})
}

// File finds the file of a package at a path, in the spelling of canonical.
func (h Header) File(name string, canonical func(string) string) (found File, ok bool) {
	sizes := h.ints(tagSizes)
	if long := h.ints(tagLongSizes); long.count > 0 {
		sizes = long
	}
	algorithm, known := h.ints(tagDigestAlgo).at(0)
	if !known {
		algorithm = 1
	}
	h.files(path.Base(name), func(at string, i uint32, digest, link []byte) bool {
		if canonical(at) != name {
			return true
		}
		mode, _ := h.ints(tagModes).at(i)
		check, told := h.ints(tagVerify).at(i)
		if !told {
			check = -1
		}
		ok = true
		found = File{Path: at, Mode: uint32(mode), Size: -1, AnyMode: check&verifyMode == 0}
		if size, told := sizes.at(i); told && size >= 0 && check&verifySize != 0 {
			found.Size = size
		}
		if check&verifyLink != 0 {
			found.Link = string(link)
		}
		if check&verifyDigest != 0 {
			found.Digest = digestOf(algorithm, digest)
		}
		return false
	})
	return found, ok
}

// files calls fn with the files of a base name, with all where that is empty, until
// it returns false.
func (h Header) files(only string, fn func(path string, i uint32, digest, link []byte) bool) {
	var dirs [][]byte
	for t := h.texts(tagDirNames); len(dirs) < maxDirs; {
		d, ok := t.next()
		if !ok {
			break
		}
		dirs = append(dirs, d)
	}
	names, digests, links := h.texts(tagBaseNames), h.texts(tagDigests), h.texts(tagLinks)
	index, modes, flags, states := h.ints(tagDirIndexes), h.ints(tagModes), h.ints(tagFlags), h.ints(tagStates)
	for i := uint32(0); ; i++ {
		name, ok := names.next()
		if !ok {
			return
		}
		digest, _ := digests.next()
		link, _ := links.next()
		dir, ok := index.at(i)
		if !ok || dir < 0 || dir >= int64(len(dirs)) || !bytes.HasPrefix(dirs[dir], slash) || !bytes.HasSuffix(dirs[dir], slash) ||
			len(name) == 0 || bytes.Contains(name, slash) || only != "" && string(name) != only {
			continue
		}
		mode, ok := modes.at(i)
		if !ok || mode&0o170000 == 0o040000 {
			continue
		}
		if flag, _ := flags.at(i); flag&flagGhost != 0 {
			continue
		}
		if state, ok := states.at(i); ok && state != stateInstalled {
			continue
		}
		if at := string(dirs[dir]) + string(name); !strings.ContainsAny(at, "\n\x00") && !fn(at, i, digest, link) {
			return
		}
	}
}

var slash = []byte("/")

// digestOf reads a file's digest, nil where it is not one of the algorithm: RFC
// 4880's numbers.
func digestOf(algorithm int64, s []byte) []byte {
	size := map[int64]int{1: 16, 2: 20, 8: 32, 9: 48, 10: 64, 11: 28}[algorithm]
	if size == 0 || len(s) != 2*size {
		return nil
	}
	sum := make([]byte, size)
	if _, err := hex.Decode(sum, s); err != nil {
		return nil
	}
	return sum
}
