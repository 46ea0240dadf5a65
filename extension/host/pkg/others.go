package pkg

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strings"
)

// apk reads Alpine's database: one file of stanzas, a letter and a colon a line.
func (b *builder) apk() {
	for _, at := range []string{"/lib/apk/db/installed", "/usr/lib/apk/db/installed"} {
		if b.ix.merged && strings.HasPrefix(at, "/lib/") {
			continue
		}
		var p uint32
		ok, last, version := false, "", ""
		parseApk(b.file(at), func(name, v, file, _ string) {
			if name != last || v != version {
				last, version = name, v
				p, ok = b.pkg(Package{Name: strings.Clone(name), Version: strings.Clone(v), Manager: "apk"}, source{kind: 'a', at: at})
			}
			if ok {
				b.path(file, p)
			}
		})
	}
}

// parseApk calls fn for each file: its package, its absolute path and its digest as
// written.
func parseApk(s string, fn func(name, version, file, sum string)) {
	var name, version, dir, file, sum string
	flush := func() {
		if file != "" && name != "" {
			p := "/" + file
			if dir != "" {
				p = "/" + dir + "/" + file
			}
			fn(name, version, p, sum)
		}
		file, sum = "", ""
	}
	for len(s) > 0 {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		if len(line) < 2 || line[1] != ':' {
			if line == "" {
				flush()
				name, version, dir = "", "", ""
			}
			continue
		}
		v := line[2:]
		switch line[0] {
		case 'P':
			name = v
		case 'V':
			version = v
		case 'F':
			flush()
			dir = strings.Trim(v, "/")
		case 'R':
			flush()
			file = v
		case 'Z':
			sum = v
		}
	}
	flush()
}

// apkDigest finds a file's digest: "Q1" and the SHA-1 in base64.
func apkDigest(s, name string, canonical func(string) string) []byte {
	var found []byte
	parseApk(s, func(_, _, file, sum string) {
		if found != nil || !strings.HasPrefix(sum, "Q1") || canonical(file) != name {
			return
		}
		if b, err := base64.StdEncoding.DecodeString(sum[2:]); err == nil && len(b) == 20 {
			found = b
		}
	})
	return found
}

const pacmanLocal = "/var/lib/pacman/local"

// pacman reads Arch's database: a directory a package.
func (b *builder) pacman() {
	entries, _, _, err := b.tree.ReadDir(pacmanLocal, maxPackages)
	if err != nil {
		if !isMissing(err) {
			b.problem("%v", err)
		}
		return
	}
	for _, e := range entries {
		if e.File {
			continue
		}
		dir := pacmanLocal + "/" + e.Name
		desc := sections(b.file(dir+"/desc"), "%NAME%", "%VERSION%")
		if len(desc["%NAME%"]) == 0 {
			continue
		}
		p := Package{Name: strings.Clone(desc["%NAME%"][0]), Manager: "pacman"}
		if v := desc["%VERSION%"]; len(v) > 0 {
			p.Version = strings.Clone(v[0])
		}
		i, ok := b.pkg(p, source{kind: 'p', at: dir})
		if !ok {
			return
		}
		for _, f := range sections(b.file(dir+"/files"), "%FILES%")["%FILES%"] {
			if !strings.HasSuffix(f, "/") {
				b.path("/"+f, i)
			}
		}
	}
}

// sections are the lines under each of the headers that were asked for.
func sections(s string, headers ...string) map[string][]string {
	all := map[string][]string{}
	at := ""
	for len(s) > 0 {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		if len(line) > 2 && line[0] == '%' && line[len(line)-1] == '%' {
			at = ""
			for _, h := range headers {
				if h == line {
					at = h
				}
			}
			continue
		}
		if at != "" && line != "" {
			all[at] = append(all[at], line)
		}
	}
	return all
}

// pacmanDigest finds a file's SHA-256 in the package's compressed mtree.
func (b *builder) pacmanDigest(dir, name string) []byte {
	z, err := gzip.NewReader(bytes.NewReader([]byte(b.file(dir + "/mtree"))))
	if err != nil {
		return nil
	}
	return mtreeDigest(io.LimitReader(z, maxDatabase), name, b.ix.canonical)
}

func mtreeDigest(r io.Reader, name string, canonical func(string) string) []byte {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), 64<<10)
	for lines.Scan() {
		file, rest, ok := strings.Cut(lines.Text(), " ")
		if !ok || !strings.HasPrefix(file, "./") || canonical(unescapeMtree(file[1:])) != name {
			continue
		}
		for f := range strings.FieldsSeq(rest) {
			if v, ok := strings.CutPrefix(f, "sha256digest="); ok && len(v) == 64 {
				if sum, err := hex.DecodeString(v); err == nil {
					return sum
				}
			}
		}
		return nil
	}
	return nil
}

// unescapeMtree undoes the octal escapes of mtree(5).
func unescapeMtree(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			n, ok := 0, true
			for _, c := range []byte(s[i+1 : i+4]) {
				ok = ok && c >= '0' && c <= '7'
				n = n*8 + int(c) - '0'
			}
			if ok && n < 256 {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
