package doctor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// The bounds of what is read.
const (
	maxFlags   = 1 << 20
	maxConfig  = 8 << 20
	maxEntries = 10_000
)

// key is the name of a path in Files.
func (p *patient) key(name string) string {
	if p.Platform == evidence.Windows {
		if len(name) > 1 && name[1] == ':' {
			name = name[2:]
		}
		name = strings.ReplaceAll(name, `\`, "/")
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}

// dir is the directory of a path, base its last part, join a path below another.
func (p *patient) dir(name string) string {
	if p.Platform == evidence.Windows {
		i := strings.LastIndexByte(name, '\\')
		if i < 0 {
			return "."
		}
		return name[:i]
	}
	return path.Dir(name)
}

func (p *patient) base(name string) string {
	if p.Platform == evidence.Windows {
		name = strings.ReplaceAll(name, `\`, "/")
	}
	return path.Base(name)
}

func (p *patient) join(dir, name string) string {
	if p.Platform == evidence.Windows {
		return dir + `\` + name
	}
	return path.Join(dir, name)
}

func (p *patient) lstat(name string) (fs.FileInfo, error) { return fs.Lstat(p.Files, p.key(name)) }
func (p *patient) stat(name string) (fs.FileInfo, error)  { return fs.Stat(p.Files, p.key(name)) }

func (p *patient) exists(name string) bool {
	_, err := p.stat(name)
	return err == nil
}

// missing reports that a file is not there, and not just out of our sight.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// read returns the beginning of a regular file.
func (p *patient) read(name string, most int64) ([]byte, error) {
	info, err := p.stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := p.Files.Open(p.key(name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(io.LimitReader(f, most))
}

// list returns the names in a directory, in order.
func (p *patient) list(name string) []string {
	entries, err := fs.ReadDir(p.Files, p.key(name))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries[:min(len(entries), maxEntries)] {
		out = append(out, e.Name())
	}
	return out
}

// foreign says in words what lets somebody else than root change a file, and the
// command that mends it; empty when nobody can, or where files have no such owner.
func (p *patient) foreign(name string, info fs.FileInfo) (problem, remedy string) {
	if p.Platform == evidence.Windows || p.Owner == nil {
		return "", ""
	}
	uid, known := p.Owner(info)
	switch {
	case known && uid != 0:
		return fmt.Sprintf("%s belongs to uid %d, not to root", name, uid), p.sudo("chown root " + quoted(name))
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Sprintf("others can write to %s (mode %v)", name, info.Mode().Perm()), p.sudo("chmod go-w " + quoted(name))
	}
	return "", ""
}

// quoted is a path for the shell.
func quoted(name string) string {
	if strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`/._-+:@\`, r))
	}) < 0 {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
