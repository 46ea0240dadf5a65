package packs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Registered has a row where the extension's tables are. osquery caches the answer
// "no" for pack_refresh_interval (an hour): start it with
// --extensions_require=rollcall.
const Registered = "SELECT 1 FROM osquery_registry WHERE registry = 'table' AND name = 'service_discovery_events' AND active = 1"

// unregistered has a row where they are not.
const unregistered = "SELECT 1 WHERE NOT EXISTS (" + Registered + ")"

// pack is an osquery pack.
type pack struct {
	Platform  string               `json:"platform,omitempty"`
	Shard     int                  `json:"shard"`
	Discovery []string             `json:"discovery"`
	Queries   map[string]packQuery `json:"queries"`
}

type packQuery struct {
	Query       string `json:"query"`
	Interval    int    `json:"interval"`
	Platform    string `json:"platform,omitempty"`
	Version     string `json:"version"`
	Description string `json:"description"`
	Value       string `json:"value"`
	// Rows that leave a window are no news.
	Removed  bool `json:"removed"`
	Snapshot bool `json:"snapshot"`
	// A query that once ran into the watchdog must not blind the host for a day.
	Denylist bool `json:"denylist"`
}

// mainPack is the pack for hosts with the extension.
func (c *Catalogue) mainPack(o Options) pack {
	p := pack{Shard: o.Shard, Discovery: []string{Registered}, Queries: map[string]packQuery{}}
	for _, q := range c.Queries {
		p.Queries[q.Name] = q.entry(q.SQL, q.Platform)
	}
	return p
}

// corePack is the pack for hosts of one platform without the extension. It has the
// same names; osquery cannot hold one name for two platforms in one pack.
func (c *Catalogue) corePack(platform string, o Options) pack {
	p := pack{Platform: platform, Shard: o.Shard, Discovery: []string{unregistered}, Queries: map[string]packQuery{}}
	for _, q := range c.Queries {
		if sql := q.Core[platform]; sql != "" {
			p.Queries[q.Name] = q.coarse().entry(sql, platform)
		}
	}
	return p
}

// coarse is a query as it is described where osquery's own tables answer it.
func (q Query) coarse() Query {
	q.Description = "Without the extension, coarser and unscored: " + q.Description
	return q
}

func (q Query) entry(sql, platform string) packQuery {
	e := packQuery{Query: oneLine(sql), Interval: q.Interval, Version: q.Version, Description: q.Description, Value: q.Value, Denylist: q.Denylist}
	if platform != "any" {
		e.Platform = platform
	}
	return e
}

// packNames are the packs' names with their contents: t1007, and t1007-core for
// Linux, t1007-core-darwin, t1007-core-windows.
func (c *Catalogue) packNames(o Options) ([]string, map[string]pack) {
	names, all := []string{"t1007"}, map[string]pack{"t1007": c.mainPack(o)}
	for _, p := range c.corePlatforms() {
		name := coreName(p)
		names = append(names, name)
		all[name] = c.corePack(p, o)
	}
	return names, all
}

func coreName(platform string) string {
	if platform == "linux" {
		return "t1007-core"
	}
	return "t1007-core-" + platform
}

func (c *Catalogue) osquery(o Options) ([]File, error) {
	var files []File
	names, all := c.packNames(o)
	for _, n := range names {
		f, err := jsonFile(n+".conf", all[n])
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	f, err := jsonFile("decorators.conf", map[string]any{"decorators": c.decorators()})
	if err != nil {
		return nil, err
	}
	files = append(files, f)
	for _, p := range Platforms() {
		files = append(files, File{p + ".flags", []byte(c.flagfile(p))})
	}
	return files, nil
}

// decorators are in osquery's form, which Fleet and osctrl share.
func (c *Catalogue) decorators() map[string]any {
	out := map[string]any{"load": c.Decorators.Load}
	if len(c.Decorators.Interval) > 0 {
		interval := map[string][]string{}
		for seconds, list := range c.Decorators.Interval {
			interval[fmt.Sprint(seconds)] = list
		}
		out["interval"] = interval
	}
	return out
}

// autoload is where osquery looks for the list of extensions.
var autoload = map[string]string{
	"linux": "/etc/osquery/extensions.load", "darwin": "/var/osquery/extensions.load", "windows": `C:\Program Files\osquery\extensions.load`,
}

// flagfile is what a platform's osquery.flags needs: the evidence, and the extension
// before packs are decided on.
func (c *Catalogue) flagfile(platform string) string {
	options := c.optionsFor(platform)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(options)) {
		fmt.Fprintf(&b, "--%s=%v\n", k, options[k])
	}
	fmt.Fprintf(&b, "--extensions_autoload=%s\n--extensions_require=rollcall\n--extensions_timeout=10\n", autoload[platform])
	return b.String()
}
