package pkg

import (
	"encoding/hex"
	"errors"
	"hash/maphash"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const dpkgInfo = "/var/lib/dpkg/info"

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// dpkg reads what dpkg has installed: its status, its diversions and the list of
// files of each package.
func (b *builder) dpkg() {
	versions := map[string]string{}
	for _, s := range b.statuses() {
		parseStatus(s, func(p statusEntry) {
			if len(versions) < maxPackages {
				v := strings.Clone(p.version)
				versions[strings.Clone(p.name)] = v
				versions[p.name+":"+p.arch] = v
			}
			for name, sum := range p.conffiles {
				b.ix.conf[maphash.String(b.seed, b.ix.canonical(name))] = sum
			}
		})
	}
	parseDiversions(b.file("/var/lib/dpkg/diversions"), func(from, to, by string) {
		from, to = b.ix.canonical(from), b.ix.canonical(to)
		b.ix.diverted[from] = diversion{to: to, by: by}
		b.ix.movedTo[to] = from
	})
	entries, _, more, err := b.tree.ReadDir(dpkgInfo, 20*maxPackages)
	if err != nil {
		if !isMissing(err) {
			b.problem("%v", err)
		}
		return
	}
	if more {
		b.problem("%s has more names than are read", dpkgInfo)
	}
	for _, e := range entries {
		full, ok := strings.CutSuffix(e.Name, ".list")
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(full, ":")
		i, ok := b.pkg(Package{Name: name, Version: versions[full], Manager: "dpkg"}, source{kind: 'd', at: dpkgInfo + "/" + full + ".md5sums"})
		if !ok {
			return
		}
		parseList(b.file(dpkgInfo+"/"+e.Name), func(p string) { b.path(p, i) })
	}
}

func (b *builder) statuses() []string {
	all := []string{b.file("/var/lib/dpkg/status")}
	entries, _, _, err := b.tree.ReadDir("/var/lib/dpkg/status.d", maxPackages)
	if err != nil {
		return all
	}
	for _, e := range entries {
		if !e.Dir && !strings.Contains(e.Name, ".md5sums") {
			all = append(all, b.file("/var/lib/dpkg/status.d/"+e.Name))
		}
	}
	return all
}

// statusEntry is one stanza of dpkg's status.
type statusEntry struct {
	name, version, arch string
	conffiles           map[string][16]byte
}

// parseStatus calls fn for each package that has files on the system.
func parseStatus(s string, fn func(statusEntry)) {
	var e statusEntry
	installed, conf := true, false
	done := func() {
		if e.name != "" && installed {
			fn(e)
		}
		e, installed, conf = statusEntry{}, true, false
	}
	for len(s) > 0 {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		line = strings.TrimRight(line, "\r")
		switch {
		case strings.TrimSpace(line) == "":
			done()
		case line[0] == ' ' || line[0] == '\t':
			if !conf {
				continue
			}
			f := strings.Fields(line)
			if len(f) < 2 || slices.Contains(f[2:], "obsolete") || f[0][0] != '/' {
				continue
			}
			if sum, ok := md5Of(f[1]); ok {
				if e.conffiles == nil {
					e.conffiles = map[string][16]byte{}
				}
				e.conffiles[strings.Clone(f[0])] = sum
			}
		default:
			key, value, _ := strings.Cut(line, ":")
			value = strings.TrimSpace(value)
			conf = false
			switch strings.ToLower(key) {
			case "package":
				e.name = value
			case "version":
				e.version = value
			case "architecture":
				e.arch = value
			case "status":
				f := strings.Fields(value)
				installed = len(f) > 0 && f[len(f)-1] != "not-installed"
			case "conffiles":
				conf = true
			}
		}
	}
	done()
}

func md5Of(s string) (sum [16]byte, ok bool) {
	if len(s) != 32 {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(s))
	return sum, err == nil
}

// parseList calls fn for the files of a package's list, not for its directories: a
// directory is a line that begins the next one.
func parseList(s string, fn func(string)) {
	var last string
	for len(s) > 0 {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		if line == "" || line[0] != '/' {
			continue
		}
		if last != "" && !(len(line) > len(last) && line[len(last)] == '/' && strings.HasPrefix(line, last)) {
			fn(last)
		}
		last = strings.TrimSuffix(line, "/.")
		if last == "/" {
			last = ""
		}
	}
	if last != "" {
		fn(last)
	}
}

// parseDiversions calls fn for each diversion; by is ":" for one of the
// administrator's.
func parseDiversions(s string, fn func(from, to, by string)) {
	lines := strings.Split(s, "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		if strings.HasPrefix(lines[i], "/") && strings.HasPrefix(lines[i+1], "/") {
			fn(path.Clean(lines[i]), path.Clean(lines[i+1]), lines[i+2])
		}
	}
}

// parseSums finds the digest of one file in a list of "md5  path" lines.
func parseSums(s, name string, canonical func(string) string) []byte {
	for len(s) > 0 {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		if len(line) < 35 || line[32] != ' ' {
			continue
		}
		p := strings.TrimPrefix(line[33:], " ")
		p = strings.TrimPrefix(p, "*")
		if !strings.HasSuffix(name, path.Base(p)) || canonical("/"+strings.TrimPrefix(p, "/")) != name {
			continue
		}
		if sum, ok := md5Of(line[:32]); ok {
			return sum[:]
		}
	}
	return nil
}

// digest is what a package's file should hash to, nil when nothing says. name is
// the file's name in the package.
func (d *DB) digest(i uint32, name string) []byte {
	b := &builder{tree: d.tree, ix: d.ix}
	src := d.ix.sources[i]
	switch src.kind {
	case 'd':
		if sum := parseSums(b.file(src.at), name, d.ix.canonical); sum != nil {
			return sum
		}
		if sum, ok := d.ix.conf[maphash.String(d.seed, name)]; ok {
			return sum[:]
		}
	case 'a':
		return apkDigest(b.file(src.at), name, d.ix.canonical)
	case 'p':
		return b.pacmanDigest(src.at, name)
	}
	return nil
}
