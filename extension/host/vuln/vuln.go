// Package vuln knows the findings of vulnerability scans that the user points to:
// files of OSV-Scanner, Trivy or Grype (JSON), or a plain list (CSV). It scans
// nothing itself.
package vuln

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The bounds of one scan.
const (
	// MaxScan is the largest file that is read, in bytes.
	MaxScan     = 64 << 20
	maxDepth    = 1000 // of lists in each other
	maxFindings = 20000
	// maxPart is the largest part of a scan that is held at a time: one vulnerability,
	// one line of a list.
	maxPart  = 4 << 20
	maxText  = 200
	maxTitle = 100
	maxNames = 8
)

// The severities, from most to least severe.
const (
	Critical   = "critical"
	High       = "high"
	Medium     = "medium"
	Low        = "low"
	Negligible = "negligible"
)

// Finding is one vulnerability of one package.
type Finding struct {
	ID       string // CVE-2024-1234, or the database's own
	Package  string
	Version  string // the one that was scanned
	Fixed    string // the one in which it is mended, empty when unknown
	Severity string // one of the severities, empty when unknown
	Title    string
	// Names are other names of the package: of its source, of the system's package.
	Names []string
	// Path is the file it was found in, where the scan tells.
	Path string
	// Scan is the name of the scan.
	Scan string
}

// String is the finding in words.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.ID)
	if f.Severity != "" {
		b.WriteString(" (" + f.Severity + ")")
	}
	b.WriteString(" in " + f.Package)
	if f.Version != "" {
		b.WriteString(" " + f.Version)
	}
	if f.Fixed != "" {
		b.WriteString(", fixed in " + f.Fixed)
	}
	if f.Title != "" {
		b.WriteString(": " + f.Title)
	}
	if f.Scan != "" {
		b.WriteString(" [" + f.Scan + "]")
	}
	return b.String()
}

// rank orders severities.
func rank(severity string) int {
	switch severity {
	case Critical:
		return 0
	case High:
		return 1
	case Medium:
		return 2
	case Low:
		return 3
	case Negligible:
		return 5
	}
	return 4
}

// severity is a scan's word or CVSS score as one of the severities.
func severity(s string) string {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "critical", "very high":
		return Critical
	case "high", "important":
		return High
	case "medium", "moderate":
		return Medium
	case "low", "minor":
		return Low
	case "negligible", "unimportant", "informational", "info", "none":
		return Negligible
	}
	score, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return ""
	}
	// The bands of CVSS 3 and 4.
	switch {
	case score > 10 || score < 0:
		return ""
	case score >= 9:
		return Critical
	case score >= 7:
		return High
	case score >= 4:
		return Medium
	case score > 0:
		return Low
	case score == 0:
		return Negligible
	}
	return ""
}

// Set finds findings by package and by file. The zero value is empty. A Set does not
// change once it is made and is safe for concurrent use.
type Set struct {
	all    []Finding
	byName map[string][]int32
	byPath map[string][]int32
}

// NewSet returns the findings of some scans, each finding once.
func NewSet(scans ...[]Finding) *Set {
	s := &Set{byName: map[string][]int32{}, byPath: map[string][]int32{}}
	type key struct{ id, name, version, path string }
	seen := map[key]bool{}
	for _, list := range scans {
		for _, f := range list {
			k := key{f.ID, f.Package, f.Version, f.Path}
			if seen[k] {
				continue
			}
			seen[k] = true
			i := int32(len(s.all))
			s.all = append(s.all, f)
			for _, n := range append([]string{f.Package}, f.Names...) {
				n = Name(n)
				if list := s.byName[n]; n != "" && (len(list) == 0 || list[len(list)-1] != i) {
					s.byName[n] = append(list, i)
				}
			}
			if p := clean(f.Path); p != "" {
				s.byPath[p] = append(s.byPath[p], i)
			}
		}
	}
	return s
}

// Len is how many findings there are.
func (s *Set) Len() int { return len(s.all) }

// For are the findings for some packages, the most severe first. A package is named
// as a package manager does: "nginx", "nginx:amd64", "nginx 1.24", "nginx=1.24".
func (s *Set) For(packages []string) []Finding {
	found := map[int32]bool{}
	for _, p := range packages {
		for _, i := range s.byName[Name(p)] {
			found[i] = true
		}
	}
	return s.pick(found)
}

// At are the findings in some files, the most severe first: of programs that carry
// their dependencies in them.
func (s *Set) At(paths []string) []Finding {
	found := map[int32]bool{}
	for _, p := range paths {
		if p = clean(p); p == "" {
			continue
		}
		for _, i := range s.byPath[p] {
			found[i] = true
		}
	}
	return s.pick(found)
}

func (s *Set) pick(found map[int32]bool) []Finding {
	out := make([]Finding, 0, len(found))
	for i := range found {
		out = append(out, s.all[i])
	}
	Sort(out)
	return out
}

// Sort orders findings by severity, then package and id.
func Sort(list []Finding) {
	slices.SortFunc(list, func(a, b Finding) int {
		return cmp.Or(rank(a.Severity)-rank(b.Severity), strings.Compare(a.Package, b.Package), strings.Compare(b.ID, a.ID),
			strings.Compare(a.Version, b.Version), strings.Compare(a.Path, b.Path), strings.Compare(a.Scan, b.Scan))
	})
}

// Name is the name of a package alone, in lower case: without version and
// architecture.
func Name(p string) string {
	p = strings.ToLower(strings.TrimSpace(p))
	if i := strings.IndexAny(p, " =\t"); i >= 0 {
		p = p[:i]
	}
	// Java's names have a colon, too: "org.apache:log4j".
	if i := strings.LastIndexByte(p, ':'); i >= 0 && architectures[p[i+1:]] {
		p = p[:i]
	}
	return p
}

var architectures = map[string]bool{"amd64": true, "arm64": true, "i386": true, "armhf": true, "armel": true, "all": true, "any": true, "native": true,
	"ppc64el": true, "s390x": true, "riscv64": true, "mips64el": true, "x86_64": true, "aarch64": true, "noarch": true, "i686": true}

// clean is a path as it is compared: absolute, since scans of a root leave the slash
// out.
func clean(p string) string {
	if p = strings.TrimSpace(p); p == "" {
		return ""
	}
	p = strings.ReplaceAll(p, `\`, "/")
	return path.Clean("/" + p)
}

// clip cuts a text from a scan to what is kept, in one line.
func clip(s string, n int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s[:min(len(s), 4*n)], "")), " ")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "..."
	}
	return strings.Clone(s)
}
