package check

import (
	"flag"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write osquery.schema from the specs that OSQUERY_SPECS names")

// TestOsquerySchema reads osquery's specs, where OSQUERY_SPECS names the folder, and
// compares them with the file that was made of them.
func TestOsquerySchema(t *testing.T) {
	dir := os.Getenv("OSQUERY_SPECS")
	if dir == "" {
		t.Skip("NOT TESTED: that osquery.schema is what osquery says; set OSQUERY_SPECS")
	}
	got, err := fromSpecs(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("osquery.schema", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != osquerySchema {
		t.Error("osquery.schema is not what these specs say: run with -update")
	}
}

var (
	specName   = regexp.MustCompile(`table_name\(\s*"([^"]+)"`)
	specBlock  = regexp.MustCompile(`(?s)(extended_)?schema\s*\((?:([A-Z +]+),\s*)?\[(.*?)\n\s*\]\s*\)`)
	specColumn = regexp.MustCompile(`(?s)Column\(\s*"([^"]+)",\s*([A-Z_]+)(.*?)(?:\n\s*Column\(|$)`)
	specOption = regexp.MustCompile(`\b(hidden|required|index|additional|optimized)\s*=\s*True`)
	specAlias  = regexp.MustCompile(`aliases\s*=\s*\[([^\]]*)\]`)
	quoted     = regexp.MustCompile(`"([^"]+)"`)
)

var specPlatforms = map[string][]string{
	"darwin": {"darwin"}, "windows": {"windows"}, "linux": {"linux"}, "posix": {"darwin", "linux"}, "sleuthkit": {"darwin", "linux"},
	"linwin": {"linux", "windows"}, "macwin": {"darwin", "windows"}, "lumwin": {"darwin", "linux", "windows"},
	"DARWIN": {"darwin"}, "WINDOWS": {"windows"}, "LINUX": {"linux"}, "POSIX": {"darwin", "linux"},
}

type specTable struct {
	name      string
	platforms []string
	event     bool
	columns   []specCol
}

type specCol struct {
	name, kind, marks string
	platforms         []string
}

func fromSpecs(specs fs.FS) (string, error) {
	byName := map[string]*specTable{}
	err := fs.WalkDir(specs, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) != ".table" {
			return err
		}
		data, err := fs.ReadFile(specs, file)
		if err != nil {
			return err
		}
		text := string(data)
		m := specName.FindStringSubmatch(text)
		if m == nil {
			return nil
		}
		t := byName[m[1]]
		if t == nil {
			t = &specTable{name: m[1], platforms: nil, event: strings.Contains(text, "event_subscriber=True")}
			byName[m[1]] = t
		}
		where := specPlatforms[strings.Split(file, "/")[0]]
		if where == nil {
			where = []string{"darwin", "linux", "windows"}
		}
		t.platforms = append(t.platforms, where...)
		for _, block := range specBlock.FindAllStringSubmatch(text, -1) {
			limited := where
			if block[1] != "" {
				limited = nil
				for _, p := range strings.Split(block[2], "+") {
					limited = append(limited, specPlatforms[strings.TrimSpace(p)]...)
				}
			}
			// Each match of specColumn eats the head of the next.
			body := strings.ReplaceAll(block[3], "Column(", "\n Column(\n Column(")
			for _, c := range specColumn.FindAllStringSubmatch(body, -1) {
				t.add(c[1], c[2], c[3], limited)
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# The tables of osquery 5.23: see schema.go. Made by TestOsquerySchema.\n")
	names := make([]string, 0, len(byName))
	for n := range byName {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		byName[n].write(&b)
	}
	return b.String(), nil
}

func (t *specTable) add(name, kind, options string, platforms []string) {
	marks := ""
	for _, o := range specOption.FindAllStringSubmatch(options, -1) {
		marks += o[1][:1]
	}
	for i := range t.columns {
		if t.columns[i].name == name {
			t.columns[i].platforms = append(t.columns[i].platforms, platforms...)
			return
		}
	}
	t.columns = append(t.columns, specCol{name, kind, marks, slices.Clone(platforms)})
	if m := specAlias.FindStringSubmatch(options); m != nil {
		for _, a := range quoted.FindAllStringSubmatch(m[1], -1) {
			t.columns = append(t.columns, specCol{a[1], kind, "h", slices.Clone(platforms)})
		}
	}
}

func (t *specTable) write(b *strings.Builder) {
	all := unique(t.platforms)
	b.WriteString(t.name + " ")
	if len(all) == 3 {
		b.WriteString("all")
	} else {
		b.WriteString(strings.Join(all, ","))
	}
	if t.event {
		b.WriteString(" event")
	} else {
		b.WriteString(" -")
	}
	for _, c := range t.columns {
		b.WriteString(" " + c.name + ":" + c.kind)
		if c.marks != "" {
			b.WriteString(":" + c.marks)
		}
		if p := unique(c.platforms); len(p) < len(all) {
			b.WriteString("@" + strings.Join(p, ","))
		}
	}
	b.WriteByte('\n')
}

func unique(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// TestSchemaHoldsWhatOsqueryHas knows some of osquery's tables.
func TestSchemaHoldsWhatOsqueryHas(t *testing.T) {
	s, err := schema(Tables())
	if err != nil {
		t.Fatal(err)
	}
	if len(s) < 280 {
		t.Errorf("only %d tables", len(s))
	}
	for name, want := range map[string]string{
		"process_events": "darwin,linux event", "process_etw_events": "windows event", "es_process_events": "darwin event",
		"services": "windows -", "systemd_units": "linux -", "launchd": "darwin -", "osquery_registry": "all -", "users": "all -",
		"service_discovery_events": "all -", "service_discovery_health": "all -",
	} {
		tab := s[name]
		if tab == nil {
			t.Errorf("no table %s", name)
			continue
		}
		got := strings.Join(tab.platforms, ",")
		if got == "" {
			got = "all"
		}
		got += map[bool]string{true: " event", false: " -"}[tab.event]
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	pe := s["process_events"]
	if c := pe.columns["time"]; !c.pushed || c.required {
		t.Errorf("process_events.time: %+v", c)
	}
	if c := pe.columns["auid"]; c.pushed {
		t.Errorf("process_events.auid: %+v", c)
	}
	if c := pe.columns["syscall"]; !slices.Equal(c.platforms, []string{"linux"}) {
		t.Errorf("process_events.syscall: %+v", c)
	}
	if c := s["file"].columns["path"]; !c.required {
		t.Errorf("file.path: %+v", c)
	}
	if got := s["service_discovery_events"].window; !slices.Equal(got, []string{"recorded"}) {
		t.Errorf("the window of events: %v", got)
	}
	for _, line := range []string{"x", "t all - :TEXT", "t all - a", "t all - a:BLOB"} {
		if _, err := parseTable(line); err == nil {
			t.Errorf("%q: no error", line)
		}
	}
}
