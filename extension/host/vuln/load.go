package vuln

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The errors of Load.
var (
	ErrFormat = errors.New("neither a scan of OSV-Scanner, Trivy or Grype nor a list of package, version, id and severity")
	ErrLarge  = errors.New("larger than is read")
	ErrMany   = errors.New("more findings than are kept")
	ErrParts  = errors.New("not understood")
)

// Load reads the findings of one scan. name is what the scan is called in them. A
// scan that is damaged or too large gives what was understood of it and an error.
func Load(name string, r io.Reader) ([]Finding, error) {
	l := &loader{scan: clip(name, maxText), in: &limited{r: r, left: MaxScan, part: maxPart}}
	err := l.load()
	if err == nil && l.odd > 0 {
		err = fmt.Errorf("%w in %d of its parts", ErrParts, l.odd)
	}
	if err != nil {
		return l.found, fmt.Errorf("scan %s: %w", l.scan, err)
	}
	return l.found, nil
}

// limited fails where a file, or one part of it, is longer than is read.
type limited struct {
	r          io.Reader
	left, part int64
}

func (l *limited) Read(b []byte) (int, error) {
	most := min(l.left, l.part)
	if most <= 0 {
		// One byte tells the end from more.
		var one [1]byte
		if n, err := l.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, ErrLarge
	}
	n, err := l.r.Read(b[:min(int64(len(b)), most)])
	l.left -= int64(n)
	l.part -= int64(n)
	return n, err
}

// next says that another part begins.
func (l *limited) next() { l.part = maxPart }

type loader struct {
	scan  string
	in    *limited
	found []Finding
	odd   int
}

func (l *loader) load() error {
	in := bufio.NewReaderSize(l.in, 64<<10)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = in.Discard(3)
	}
	for {
		b, err := in.ReadByte()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("it is empty: %w", ErrFormat)
		}
		if err != nil {
			return err
		}
		if strings.IndexByte(" \t\r\n", b) >= 0 {
			continue
		}
		if err := in.UnreadByte(); err != nil {
			return err
		}
		if b == '{' || b == '[' {
			return l.json(json.NewDecoder(in))
		}
		return l.csv(in)
	}
}

// add keeps a finding.
func (l *loader) add(f Finding) error {
	f.ID, f.Package = clip(f.ID, maxText), clip(f.Package, maxText)
	if f.ID == "" || f.Package == "" {
		l.odd++
		return nil
	}
	if len(l.found) >= maxFindings {
		return ErrMany
	}
	f.Version, f.Fixed, f.Title, f.Path, f.Scan = clip(f.Version, maxText), clip(f.Fixed, maxText), clip(f.Title, maxTitle), clip(f.Path, 4*maxText), l.scan
	var names []string
	for _, n := range f.Names {
		if n = clip(n, maxText); n != "" && n != f.Package && !slices.Contains(names, n) && len(names) < maxNames {
			names = append(names, n)
		}
	}
	f.Names = names
	l.found = append(l.found, f)
	return nil
}

// json reads any of the kinds of JSON, told apart by their outermost names.
func (l *loader) json(dec *json.Decoder) error {
	first, err := dec.Token()
	if err != nil {
		return err
	}
	if first == json.Delim('[') { // Trivy before it had a schema
		return l.elements(dec, func() error { return l.trivyResult(dec) })
	}
	known := false
	err = l.fields(dec, func(name string) error {
		switch name {
		case "results":
			known = true
			return l.list(dec, func() error { return l.osvResult(dec) })
		case "Results":
			known = true
			return l.list(dec, func() error { return l.trivyResult(dec) })
		case "matches":
			known = true
			return l.list(dec, func() error { return l.grypeMatch(dec) })
		case "SchemaVersion": // Trivy leaves Results out where it found nothing
			known = true
		}
		return l.skip(dec)
	})
	if err != nil {
		return err
	}
	if !known {
		return ErrFormat
	}
	return nil
}

// fields calls fn for each name of an object whose begin was read; fn reads the
// value.
func (l *loader) fields(dec *json.Decoder, fn func(name string) error) error {
	for dec.More() {
		l.in.next()
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return ErrFormat
		}
		if err := fn(name); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// elements calls fn for each element of a list whose begin was read.
func (l *loader) elements(dec *json.Decoder, fn func() error) error {
	for dec.More() {
		l.in.next()
		if err := fn(); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// list calls fn for each element of the value that comes, if it is a list. Anything
// else is skipped; null is no list, and in order.
func (l *loader) list(dec *json.Decoder, fn func() error) error {
	return l.begin(dec, '[', func() error { return l.elements(dec, fn) })
}

// object calls fn for each name of the value that comes, if it is an object.
func (l *loader) object(dec *json.Decoder, fn func(name string) error) error {
	return l.begin(dec, '{', func() error { return l.fields(dec, fn) })
}

func (l *loader) begin(dec *json.Decoder, with rune, fn func() error) error {
	t, err := dec.Token()
	switch {
	case err != nil:
		return err
	case t == json.Delim(with):
		return fn()
	case t == nil:
		return nil
	}
	l.odd++
	if d, ok := t.(json.Delim); ok && (d == '[' || d == '{') {
		return l.skipRest(dec)
	}
	return nil
}

// skip reads over a value without keeping it.
func (l *loader) skip(dec *json.Decoder) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	if d, ok := t.(json.Delim); ok && (d == '[' || d == '{') {
		return l.skipRest(dec)
	}
	return nil
}

// skipRest reads over the rest of a list or object.
func (l *loader) skipRest(dec *json.Decoder) error {
	for deep := 1; deep > 0; {
		l.in.next()
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('['), json.Delim('{'):
			if deep++; deep > maxDepth { // the decoder remembers each
				return fmt.Errorf("nested more than %d deep: %w", maxDepth, ErrFormat)
			}
		case json.Delim(']'), json.Delim('}'):
			deep--
		}
	}
	return nil
}

// value decodes a value into v. One of another kind is counted and left out.
func (l *loader) value(dec *json.Decoder, v any) (ok bool, err error) {
	err = dec.Decode(v)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		l.odd++
		return false, nil
	}
	return err == nil, err
}

// osvPackage is a package in OSV-Scanner's results.
type osvPackage struct {
	path    string
	Package struct {
		Name   string `json:"name"`
		OSName string `json:"os_package_name"`
		// Version is the one scanned, Commit the one of software without versions.
		Version string `json:"version"`
		Commit  string `json:"commit"`
	}
	vulnerabilities []osvEntry
	groups          []osvGroup
}

// osvEntry is what is kept of one entry of a database.
type osvEntry struct {
	id, title, severity, fixed string
	aliases                    []string
}

// osvGroup are entries that are the same vulnerability.
type osvGroup struct {
	IDs         []string `json:"ids"`
	Aliases     []string `json:"aliases"`
	MaxSeverity string   `json:"max_severity"`
}

func (l *loader) osvResult(dec *json.Decoder) error {
	var source struct {
		Path string `json:"path"`
		Type string `json:"type"`
	}
	return l.object(dec, func(name string) error {
		switch name {
		case "source":
			_, err := l.value(dec, &source)
			return err
		case "packages":
			return l.list(dec, func() error {
				p := osvPackage{path: source.Path}
				if source.Type == "os" { // found in the database of packages
					p.path = ""
				}
				if err := l.osvPackage(dec, &p); err != nil {
					return err
				}
				return l.osvFindings(&p)
			})
		}
		return l.skip(dec)
	})
}

func (l *loader) osvPackage(dec *json.Decoder, p *osvPackage) error {
	return l.object(dec, func(name string) error {
		switch name {
		case "package":
			_, err := l.value(dec, &p.Package)
			return err
		case "vulnerabilities":
			return l.list(dec, func() error {
				if len(p.vulnerabilities) >= maxFindings {
					return ErrMany
				}
				return l.osvEntry(dec, p)
			})
		case "groups":
			return l.list(dec, func() error {
				var g osvGroup
				if ok, err := l.value(dec, &g); !ok || len(p.groups) >= maxFindings {
					return err
				}
				p.groups = append(p.groups, g)
				return nil
			})
		}
		return l.skip(dec)
	})
}

func (l *loader) osvEntry(dec *json.Decoder, p *osvPackage) error {
	var v struct {
		ID       string   `json:"id"`
		Summary  string   `json:"summary"`
		Aliases  []string `json:"aliases"`
		Specific struct {
			Severity any `json:"severity"`
		} `json:"database_specific"`
		Affected []struct {
			Package struct {
				Name string `json:"name"`
			} `json:"package"`
			Ranges []struct {
				Events []struct {
					Fixed string `json:"fixed"`
				} `json:"events"`
			} `json:"ranges"`
		} `json:"affected"`
	}
	if ok, err := l.value(dec, &v); !ok {
		return err
	}
	e := osvEntry{id: clip(v.ID, maxText), title: clip(v.Summary, maxTitle), aliases: v.Aliases[:min(len(v.Aliases), maxNames)]}
	if s, ok := v.Specific.Severity.(string); ok {
		e.severity = severity(s)
	}
	fixed := ""
	for _, a := range v.Affected {
		if a.Package.Name != "" && a.Package.Name != p.Package.Name {
			continue
		}
		for _, r := range a.Ranges {
			for _, x := range r.Events {
				switch {
				case x.Fixed == "" || x.Fixed == fixed:
				case fixed == "":
					fixed = x.Fixed
				default: // of several branches: which is ours is not known
					p.vulnerabilities = append(p.vulnerabilities, e)
					return nil
				}
			}
		}
	}
	e.fixed = clip(fixed, maxText)
	p.vulnerabilities = append(p.vulnerabilities, e)
	return nil
}

// osvFindings makes one finding of each group of entries.
func (l *loader) osvFindings(p *osvPackage) error {
	group := map[string]int{}
	for i, g := range p.groups {
		for _, id := range g.IDs {
			group[id] = i
		}
	}
	done := map[int]bool{}
	for _, v := range p.vulnerabilities {
		f := Finding{ID: v.id, Package: p.Package.Name, Version: cmp.Or(p.Package.Version, p.Package.Commit), Fixed: v.fixed, Severity: v.severity,
			Names: []string{p.Package.OSName}, Title: v.title, Path: p.path}
		aliases := v.aliases
		if i, ok := group[v.id]; ok {
			if done[i] {
				continue
			}
			done[i] = true
			aliases = slices.Concat(aliases, p.groups[i].Aliases)
			f.Severity = cmp.Or(severity(p.groups[i].MaxSeverity), f.Severity)
		}
		f.ID = common(f.ID, aliases)
		if err := l.add(f); err != nil {
			return err
		}
	}
	return nil
}

// common is the id that other databases know, where there is one.
func common(id string, others []string) string {
	if strings.HasPrefix(id, "CVE-") {
		return id
	}
	for _, o := range others {
		if strings.HasPrefix(o, "CVE-") {
			return o
		}
	}
	return id
}

func (l *loader) trivyResult(dec *json.Decoder) error {
	var target, class string
	return l.object(dec, func(name string) error {
		switch name {
		case "Target":
			_, err := l.value(dec, &target)
			return err
		case "Class":
			_, err := l.value(dec, &class)
			return err
		case "Vulnerabilities":
			return l.list(dec, func() error {
				var v struct {
					VulnerabilityID  string
					PkgName          string
					PkgPath          string
					InstalledVersion string
					FixedVersion     string
					Severity         string
					Title            string
				}
				if ok, err := l.value(dec, &v); !ok {
					return err
				}
				path := v.PkgPath
				if path == "" && class != "os-pkgs" && class != "" {
					path = target
				}
				return l.add(Finding{ID: v.VulnerabilityID, Package: v.PkgName, Version: v.InstalledVersion, Fixed: v.FixedVersion, Severity: severity(v.Severity), Title: v.Title, Path: path})
			})
		}
		return l.skip(dec)
	})
}

func (l *loader) grypeMatch(dec *json.Decoder) error {
	var m struct {
		Vulnerability struct {
			ID       string `json:"id"`
			Severity string `json:"severity"`
			Fix      struct {
				Versions []string `json:"versions"`
			} `json:"fix"`
		} `json:"vulnerability"`
		Related []struct {
			ID string `json:"id"`
		} `json:"relatedVulnerabilities"`
		Artifact struct {
			Name      string `json:"name"`
			Version   string `json:"version"`
			Type      string `json:"type"`
			Locations []struct {
				Path string `json:"path"`
			} `json:"locations"`
			Upstreams []struct {
				Name string `json:"name"`
			} `json:"upstreams"`
		} `json:"artifact"`
	}
	if ok, err := l.value(dec, &m); !ok {
		return err
	}
	f := Finding{ID: m.Vulnerability.ID, Package: m.Artifact.Name, Version: m.Artifact.Version, Severity: severity(m.Vulnerability.Severity)}
	for _, r := range m.Related {
		f.ID = common(f.ID, []string{r.ID})
	}
	if len(m.Vulnerability.Fix.Versions) > 0 {
		f.Fixed = m.Vulnerability.Fix.Versions[0]
	}
	for _, u := range m.Artifact.Upstreams {
		f.Names = append(f.Names, u.Name)
	}
	switch m.Artifact.Type {
	case "deb", "rpm", "apk", "alpm", "portage": // found in the database of packages
	default:
		if len(m.Artifact.Locations) > 0 {
			f.Path = m.Artifact.Locations[0].Path
		}
	}
	return l.add(f)
}

// columns are the names that a list's columns may have.
var columns = map[string]string{
	"package": "package", "package_name": "package", "name": "package", "pkg": "package", "component": "package",
	"version": "version", "package_version": "version", "installed": "version", "installed_version": "version",
	"id": "id", "cve": "id", "vulnerability": "id", "vulnerability_id": "id", "cve_id": "id", "advisory": "id",
	"severity": "severity", "cvss": "severity", "score": "severity",
	"fixed": "fixed", "fixed_version": "fixed", "fixed_in": "fixed", "title": "title", "summary": "title", "path": "path", "file": "path",
}

// csv reads a list. Without a line of names the columns are package, version, id and
// severity.
func (l *loader) csv(in *bufio.Reader) error {
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.LazyQuotes, r.TrimLeadingSpace, r.ReuseRecord = -1, true, true, true
	head, err := in.Peek(in.Size())
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	// Some write semicolons.
	if line, _, _ := bytes.Cut(head, []byte{'\n'}); bytes.Count(line, []byte{';'}) > bytes.Count(line, []byte{','}) {
		r.Comma = ';'
	}
	at := map[string]int{"package": 0, "version": 1, "id": 2, "severity": 3}
	for first := true; ; first = false {
		l.in.next()
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if first {
			named := map[string]int{}
			for i, c := range row {
				if kind := columns[strings.ReplaceAll(strings.ToLower(strings.TrimSpace(c)), " ", "_")]; kind != "" {
					if _, have := named[kind]; !have {
						named[kind] = i
					}
				}
			}
			_, hasPackage := named["package"]
			_, hasID := named["id"]
			if hasPackage && hasID {
				at = named
				continue
			}
			if len(row) < 3 || !advisory(row[2]) {
				return ErrFormat
			}
		}
		field := func(kind string) string {
			if i, ok := at[kind]; ok && i < len(row) {
				return row[i]
			}
			return ""
		}
		if len(row) == 1 && strings.TrimSpace(row[0]) == "" {
			continue
		}
		if err := l.add(Finding{ID: field("id"), Package: field("package"), Version: field("version"), Fixed: field("fixed"), Severity: severity(field("severity")),
			Title: field("title"), Path: field("path")}); err != nil {
			return err
		}
	}
}

// advisory reports a text that looks like the id of a vulnerability: letters, a
// dash, and numbers somewhere.
func advisory(s string) bool {
	s = strings.TrimSpace(s)
	prefix, rest, ok := strings.Cut(s, "-")
	return ok && len(s) <= 64 && len(prefix) >= 2 && strings.ToUpper(prefix) == prefix && strings.ContainsAny(rest, "0123456789") && !strings.ContainsAny(s, " \t")
}
