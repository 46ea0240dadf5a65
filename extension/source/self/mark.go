package self

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// The kinds of what is at a path.
const (
	kindNone  = "absent"
	kindFile  = "file"
	kindDir   = "directory"
	kindLink  = "link"
	kindOther = "special file"
	kindError = "unreadable"
)

// mark is what one path looked like. Times are nanoseconds since 1970 UTC, 0 when
// unknown.
type mark struct {
	Kind   string `json:"k"`
	Mode   uint32 `json:"m,omitempty"`
	UID    uint32 `json:"u,omitempty"`
	GID    uint32 `json:"g,omitempty"`
	Size   int64  `json:"s,omitempty"`
	MTime  int64  `json:"t,omitempty"`
	CTime  int64  `json:"c,omitempty"`
	Ino    uint64 `json:"i,omitempty"`
	Dev    uint64 `json:"d,omitempty"`
	Target string `json:"l,omitempty"` // of a link
	Sum    string `json:"h,omitempty"` // sha256, of content that is looked at
	Access string `json:"a,omitempty"` // on Windows: owner and access list, in SDDL
}

// same reports whether nothing was done to the file itself, so that its content need
// not be read again.
func (m *mark) same(n *mark) bool {
	return m.Kind == n.Kind && m.Mode == n.Mode && m.UID == n.UID && m.GID == n.GID && m.Size == n.Size && m.MTime == n.MTime && m.CTime == n.CTime && m.Ino == n.Ino && m.Dev == n.Dev && m.Access == n.Access
}

// changes names what about it matters and is other than before, "what: old -> new".
func (m mark) changes(n mark, look Look) (out []string) {
	add := func(what, from, to string) {
		if from != to {
			out = append(out, what+": "+from+" -> "+to)
		}
	}
	add("file", m.Kind, n.Kind)
	if m.Kind != n.Kind || n.Kind == kindNone || n.Kind == kindError {
		if n.Sum != "" {
			add("sha256", short(m.Sum), short(n.Sum))
		}
		return out
	}
	add("owner", fmt.Sprintf("%d:%d", m.UID, m.GID), fmt.Sprintf("%d:%d", n.UID, n.GID))
	add("mode", fs.FileMode(m.Mode).String(), fs.FileMode(n.Mode).String())
	add("access", m.Access, n.Access)
	add("target", m.Target, n.Target)
	switch {
	case look == Content:
		add("sha256", short(m.Sum), short(n.Sum))
	case m.Ino != n.Ino: // devices are numbered anew at every start
		out = append(out, n.Kind+": replaced by another")
	case look == Identity && n.Size < m.Size:
		out = append(out, fmt.Sprintf("size: %d -> %d", m.Size, n.Size))
	}
	return out
}

// short is enough of a digest to tell two apart by.
func short(sum string) string {
	if sum == "" {
		return "none"
	}
	return sum[:min(16, len(sum))]
}

// lookAt looks at a path and follows no link at its end.
func lookAt(ctx context.Context, path string, look Look, known mark) mark {
	info, err := os.Lstat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return mark{Kind: kindNone}
		}
		return mark{Kind: kindError}
	}
	m := markOf(path, info)
	switch m.Kind {
	case kindLink:
		if m.Target, err = os.Readlink(path); err != nil {
			return mark{Kind: kindError}
		}
	case kindFile:
		if look != Content {
			break
		}
		if known.Sum != "" && known.same(&m) {
			m.Sum = known.Sum
			break
		}
		sum, opened, err := digest(ctx, path)
		if err != nil {
			return mark{Kind: kindError}
		}
		m = markOf(path, opened) // that which was read
		m.Sum = sum
	}
	return m
}

func markOf(path string, info fs.FileInfo) mark {
	m := mark{Kind: kindOther, Mode: uint32(info.Mode().Perm() | info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)), MTime: info.ModTime().UnixNano()}
	switch t := info.Mode(); {
	case t.IsRegular():
		m.Kind, m.Size = kindFile, info.Size()
	case t.IsDir():
		m.Kind = kindDir
	case t&fs.ModeSymlink != 0:
		m.Kind = kindLink
	}
	m.system(path, info)
	return m
}

// digest is the sha256 of a regular file, in hex.
func digest(ctx context.Context, path string) (sum string, info fs.FileInfo, err error) {
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("%s is not a regular file", path)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(reader{ctx, f}, maxHash)); err != nil {
		return "", nil, fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), info, nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// names are those in a directory, in order, at most maxRules.
func names(dir string) []string {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	all, err := d.Readdirnames(maxRules)
	if err != nil {
		return nil // empty, or it went away: the next look tells
	}
	slices.Sort(all)
	return all
}
