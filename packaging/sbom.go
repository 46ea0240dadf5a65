package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// bill is an SBOM in the form of CycloneDX 1.5, as far as we fill it in.
type bill struct {
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Serial      string      `json:"serialNumber"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl"`
	Licenses   []licence  `json:"licenses,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type licence struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// sbom tells what is linked into programs, from what the Go linker wrote into them: no
// network and no source is needed.
func sbom(programs []string, version string, at time.Time) ([]byte, error) {
	var infos []*debug.BuildInfo
	for _, p := range programs {
		info, err := buildinfo.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("read what %s is built of: %w", p, err)
		}
		infos = append(infos, info)
	}
	return billOf(infos, version, at)
}

// billOf is the SBOM of programs that were built so. The standard library counts as a
// component.
func billOf(infos []*debug.BuildInfo, version string, at time.Time) ([]byte, error) {
	modules := map[string]component{}
	var main component
	for _, info := range infos {
		main = module(&debug.Module{Path: info.Main.Path, Version: "v" + version})
		main.Type = "application"
		var apache licence
		apache.License.ID = "Apache-2.0"
		main.Licenses = []licence{apache}
		std := module(&debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")})
		modules[std.Ref] = std
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			c := module(m)
			modules[c.Ref] = c
		}
	}
	b := bill{Format: "CycloneDX", SpecVersion: "1.5", Version: 1, Metadata: metadata{Timestamp: at.UTC().Format(time.RFC3339), Component: main}}
	words := []string{"sbom", version}
	for _, ref := range slices.Sorted(maps.Keys(modules)) {
		b.Components = append(b.Components, modules[ref])
		words = append(words, ref)
	}
	b.Serial = "urn:uuid:" + uuid(words...)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(b); err != nil {
		return nil, fmt.Errorf("write the SBOM: %w", err)
	}
	return out.Bytes(), nil
}

func module(m *debug.Module) component {
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	c := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	if m.Sum != "" {
		c.Properties = []property{{"go:sum", m.Sum}}
	}
	return c
}
