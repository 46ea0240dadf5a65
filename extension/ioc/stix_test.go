package ioc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/ioc"
)

// bundle is a bundle with one indicator of the pattern.
func bundle(pattern string) string {
	p, err := json.Marshal(pattern)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf(`{"type": "bundle", "id": "bundle--1", "spec_version": "2.1", "objects": [
  {"type": "identity", "id": "identity--1", "name": "x", "deep": {"a": [{"objects": []}]}},
  {"type": "indicator", "id": "indicator--1", "pattern_type": "stix", "pattern": %s, "valid_from": "2026-01-01T00:00:00Z"}
]}`, p)
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		f       ioc.Facts
		want    []ioc.Hit
	}{
		{"[file:hashes.'SHA-256' = '" + sha256 + "']", ioc.Facts{SHA256: sha256}, hit(ioc.SHA256, sha256)},
		{"[file:hashes.\"SHA-256\" = '" + strings.ToUpper(sha256) + "']", ioc.Facts{SHA256: sha256}, hit(ioc.SHA256, sha256)},
		{"[file:hashes.MD5='" + md5 + "']", ioc.Facts{MD5: md5}, hit(ioc.MD5, md5)},
		{"[file:hashes.'MD5' = '" + md5 + "' AND file:hashes.'SHA-1' = '" + sha1 + "' AND file:name = 'svchost.exe' AND file:size = 7]", ioc.Facts{SHA1: sha1}, hit(ioc.SHA1, sha1)},
		{"[file:hashes.'MD5' = '" + md5 + "' AND file:name = 'x.exe']", ioc.Facts{Name: "x.exe"}, nil},
		{"[process:image_ref.hashes.'SHA-256' = '" + sha256 + "']", ioc.Facts{SHA256: sha256}, hit(ioc.SHA256, sha256)},
		{"[file:name = 'a.exe']", ioc.Facts{Name: "A.EXE"}, hit(ioc.Name, "a.exe")},
		{"[file:name = 'it\\'s.exe']", ioc.Facts{Name: "it's.EXE"}, hit(ioc.Name, "it's.exe")},
		{"[file:name = 'a.exe' OR file:name = 'b.exe']", ioc.Facts{Name: "b.exe"}, hit(ioc.Name, "b.exe")},
		{"[file:name IN ('a.exe', 'b.exe')]", ioc.Facts{Name: "b.exe"}, hit(ioc.Name, "b.exe")},
		{"[file:name LIKE 'a.exe']", ioc.Facts{Name: "a.exe"}, hit(ioc.Name, "a.exe")},
		{"[file:name = 'a.exe'] OR ([ipv4-addr:value = '192.0.2.1'] OR [domain-name:value = 'evil.example'])", ioc.Facts{Domain: "evil.example"}, hit(ioc.Domain, "evil.example")},
		{"[file:name = 'a.exe' AND file:parent_directory_ref.path = 'C:\\\\Temp']", ioc.Facts{Path: `c:\temp\a.exe`}, hit(ioc.Path, `c:\temp\a.exe`)},
		{"[file:name = 'a.exe' AND file:parent_directory_ref.path = 'C:\\\\Temp']", ioc.Facts{Path: `c:\a.exe`}, nil},
		{"[file:parent_directory_ref.path = '/dev/shm/' AND (file:name = 'a' OR file:name = 'bb')]", ioc.Facts{Path: "/dev/shm/bb"}, hit(ioc.Path, "/dev/shm/bb")},
		{"[ipv4-addr:value = '192.0.2.1']", ioc.Facts{Addr: "192.0.2.1"}, hit(ioc.Address, "192.0.2.1")},
		{"[ipv4-addr:value ISSUBSET '192.0.2.0/24']", ioc.Facts{Addr: "192.0.2.1"}, hit(ioc.Address, "192.0.2.0/24")},
		{"[ipv6-addr:value = '2001:db8::/32']", ioc.Facts{Addr: "2001:db8:1::1"}, hit(ioc.Address, "2001:db8::/32")},
		{"[url:value = 'http://evil.example/x']", ioc.Facts{URL: "http://evil.example/x"}, hit(ioc.URL, "http://evil.example/x")},
		{"[url:value = 'http://evil.example/x']", ioc.Facts{URL: "http://evil.example/y"}, nil},
		{"[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:dst_port = 443 AND network-traffic:protocols[*] = 'tcp']", ioc.Facts{Addr: "192.0.2.1", Port: 443}, hit(ioc.Address, "192.0.2.1 and 443")},
		{"[network-traffic:dst_port = 443 AND network-traffic:dst_ref.value = '192.0.2.1']", ioc.Facts{Addr: "192.0.2.1", Port: 80}, nil},
		{"[network-traffic:dst_ref.value = 'c2.example.net']", ioc.Facts{Domain: "c2.example.net"}, hit(ioc.Domain, "c2.example.net")},
		{"[process:extensions.'windows-service-ext'.service_name = 'EvilSvc']", ioc.Facts{Name: "evilsvc"}, hit(ioc.Name, "evilsvc")},
		{"[file:name = 'a.exe' AND ipv4-addr:value = '192.0.2.1']", ioc.Facts{Name: "a.exe"}, nil},
		{"[file:name = 'a.exe' AND ipv4-addr:value = '192.0.2.1']", ioc.Facts{Name: "a.exe", Addr: "192.0.2.1"}, hit(ioc.Name, "a.exe and 192.0.2.1")},
		{"[file:name = 'a.exe' OR file:size = 3]", ioc.Facts{Name: "a.exe"}, hit(ioc.Name, "a.exe")},
	} {
		set := load(t, bundle(c.pattern))
		if diff := cmp.Diff(c.want, set.Match(c.f, now)); diff != "" {
			t.Errorf("%s:\n%s", c.pattern, diff)
		}
		if set.Len() == 0 {
			t.Errorf("%s: nothing was read", c.pattern)
		}
	}
}

// TestPatternsThatWouldMatchMore are refused.
func TestPatternsThatWouldMatchMore(t *testing.T) {
	for pattern, want := range map[string]string{
		"[file:name != 'a.exe']":                                        "file:name != is not compared",
		"[file:name NOT = 'a.exe']":                                     "NOT of file:name",
		"[file:name LIKE 'a%.exe']":                                     "file:name LIKE",
		"[file:name MATCHES '.*']":                                      "file:name MATCHES",
		"[file:name = 'a.exe' AND file:size = 3]":                       "file:size",
		"[network-traffic:dst_port = 443]":                              "a port alone",
		"[network-traffic:protocols[0] = 'tcp']":                        "nothing in it is compared",
		"[file:parent_directory_ref.path = 'C:\\\\Temp']":               "a directory without",
		"[file:hashes.SSDEEP = 'x']":                                    "file:hashes.SSDEEP",
		"[windows-registry-key:key = 'HKLM']":                           "windows-registry-key:key",
		"[file:name = 'a.exe'] AND [file:name = 'b.exe']":               "several observations",
		"[file:name = 'a.exe'] FOLLOWEDBY [file:name = 'b.exe']":        "several observations",
		"[file:name = 'a.exe'] REPEATS 5 TIMES":                         `"REPEATS" is not compared`,
		"[file:name = 'a.exe'] START t'2026-01-01T00:00:00Z' STOP t'x'": `"START" is not compared`,
		"":                             "where [ should be",
		"file:name = 'a.exe'":          "where [ should be",
		"[file:name 'a.exe']":          "where a comparison should be",
		"[file:name = ]":               "where a value should be",
		"[file:name = 'a.exe'":         "where ] should be",
		"[file:name = 'a.exe]":         "where a value should be",
		"[name = 'a.exe']":             "where a property should be",
		"[file:name IN 'a.exe']":       "where ( should be",
		"[file:name = 'a.exe'] x":      "is not compared",
		"[file:name = 'a.exe'] ]":      `"]" at byte`,
		strings.Repeat("(", 100):       "nested too deeply",
		"[" + strings.Repeat("(", 100): "nested too deeply",
		"[" + strings.Repeat("(file:name='a' OR file:name='b') AND ", 20) + "file:name='c']": "alternatives",
	} {
		f, errs := ioc.Load("feed", strings.NewReader(bundle(pattern)))
		if f.Len() != 0 || len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "line ") || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%.80s: %d indicators, %v, want %q", pattern, f.Len(), errs, want)
		}
	}
}

func TestBundles(t *testing.T) {
	indicator := func(extra string) string {
		return `{"type": "indicator", "id": "indicator--1", "pattern": "[ipv4-addr:value = '192.0.2.1']"` + extra + `}`
	}
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"an object":         {indicator(""), 1},
		"a list":            {"[" + indicator("") + "]", 1},
		"a list, blanks":    {" [\n " + indicator("") + "]", 1},
		"one a line":        {indicator("") + "\n" + indicator("") + "\n", 1},
		"revoked":           {"[" + indicator(`, "revoked": true`) + "]", 0},
		"expired":           {"[" + indicator(`, "valid_until": "2026-01-01T00:00:00Z"`) + "]", 0},
		"valid":             {"[" + indicator(`, "valid_until": "2027-01-01T00:00:00.000Z"`) + "]", 1},
		"STIX 2.0":          {`{"type": "bundle", "spec_version": "2.0", "objects": [` + indicator(`, "labels": ["x"]`) + `]}`, 1},
		"objects elsewhere": {`{"other": {"objects": [` + indicator("") + `]}, "objects": {"a": 1}}`, 0},
		"empty":             {"[]", 0},
		"nothing":           {"", 0},
	} {
		if got := load(t, c.text).Match(ioc.Facts{Addr: "192.0.2.1"}, now); len(got) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// The line is that on which the object ends.
	_, errs := ioc.Load("feed", strings.NewReader("{\n\"objects\": [\n"+indicator("")+",\n"+strings.Replace(indicator(""), "192.0.2.1", "x", 1)+"\n]}"))
	if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), `line 4: "indicator--1": "x" is no address`) {
		t.Error(errs)
	}
}
