package ioc_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/ioc"
)

var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

const (
	sha256 = "aa11111111111111111111111111111111111111111111111111111111111111"
	sha1   = "bb11111111111111111111111111111111111111"
	md5    = "cc111111111111111111111111111111"
)

// load reads a feed that must have no mistake.
func load(t *testing.T, text string) *ioc.Set {
	t.Helper()
	f, errs := ioc.Load("feed", strings.NewReader(text))
	if len(errs) > 0 {
		t.Errorf("%q: %v", text, errs)
	}
	return ioc.NewSet(f)
}

func hit(t ioc.Type, indicator string) []ioc.Hit {
	return []ioc.Hit{{Feed: "feed", Indicator: indicator, Type: t}}
}

func TestMatch(t *testing.T) {
	set := load(t, strings.Join([]string{
		sha256, strings.ToUpper(sha1), md5, "Evil.EXE", "EvilSvc", "run.sh",
		`C:\Users\Public\a.exe`, `%SystemRoot%\Temp\b.dll`, "/dev/shm/.x", "/tmp/../tmp/./y",
		"192.0.2.1", "198.51.100.0/24", "2001:db8::1", "2001:db8:7::/48", "203.0.113.9:8443",
		"evil.example", "*.bad.example", "Host.Example.ORG.", "c2.example.net:443",
		"http://site.example/Path?q=1", "https://site.example:443/", "hxxp://evil2[.]example/x", "5[.]6[.]7[.]8", "mal(.)example", "[2001:db8::5]",
	}, "\n"))
	for _, c := range []struct {
		name string
		f    ioc.Facts
		want []ioc.Hit
	}{
		{"nothing", ioc.Facts{}, nil},
		{"sha256", ioc.Facts{SHA256: strings.ToUpper(sha256)}, hit(ioc.SHA256, sha256)},
		{"another sha256", ioc.Facts{SHA256: strings.Repeat("a", 64)}, nil},
		{"cut off", ioc.Facts{SHA256: sha256[:63]}, nil},
		{"sha1", ioc.Facts{SHA1: sha1}, hit(ioc.SHA1, sha1)},
		{"md5", ioc.Facts{MD5: md5}, hit(ioc.MD5, md5)},
		{"a hash of another kind", ioc.Facts{SHA1: md5}, nil},
		{"name", ioc.Facts{Name: "evil.exe"}, hit(ioc.Name, "evil.exe")},
		{"a service's name", ioc.Facts{Name: "EVILSVC"}, hit(ioc.Name, "evilsvc")},
		{"the name in a path", ioc.Facts{Path: `D:\x\EVIL.exe`}, hit(ioc.Name, "evil.exe")},
		{"the name in a path of Linux", ioc.Facts{Path: "/opt/run.sh"}, hit(ioc.Name, "run.sh")},
		{"a name that is a domain too", ioc.Facts{Domain: "run.sh"}, hit(ioc.Domain, "run.sh")},
		{"a part of a name", ioc.Facts{Name: "evil.exe.txt"}, nil},
		{"path", ioc.Facts{Path: `c:\users\PUBLIC\A.exe`}, hit(ioc.Path, `c:\users\public\a.exe`)},
		{"path as the kernel spells it", ioc.Facts{Path: `\??\C:\Users\Public\a.exe`}, hit(ioc.Path, `c:\users\public\a.exe`)},
		{"path with a variable", ioc.Facts{Path: `C:\Windows\temp\b.dll`}, hit(ioc.Path, `c:\windows\temp\b.dll`)},
		{"path with the system's variable", ioc.Facts{Path: `\SystemRoot\temp\b.dll`}, hit(ioc.Path, `c:\windows\temp\b.dll`)},
		{"path of Linux", ioc.Facts{Path: "/dev/shm/.x"}, hit(ioc.Path, "/dev/shm/.x")},
		{"case counts on Linux", ioc.Facts{Path: "/dev/SHM/.x"}, nil},
		{"a detour", ioc.Facts{Path: "/tmp//y"}, hit(ioc.Path, "/tmp/y")},
		{"address", ioc.Facts{Addr: "192.0.2.1"}, hit(ioc.Address, "192.0.2.1")},
		{"address as IPv6 has it", ioc.Facts{Addr: "::ffff:192.0.2.1"}, hit(ioc.Address, "192.0.2.1")},
		{"another address", ioc.Facts{Addr: "192.0.2.2"}, nil},
		{"network", ioc.Facts{Addr: "198.51.100.77"}, hit(ioc.Address, "198.51.100.0/24")},
		{"IPv6", ioc.Facts{Addr: "2001:DB8:0::1"}, hit(ioc.Address, "2001:db8::1")},
		{"IPv6 network", ioc.Facts{Addr: "2001:db8:7:9::1"}, hit(ioc.Address, "2001:db8:7::/48")},
		{"bracketed", ioc.Facts{Addr: "2001:db8::5"}, hit(ioc.Address, "2001:db8::5")},
		{"an address with its port", ioc.Facts{Addr: "203.0.113.9"}, hit(ioc.Address, "203.0.113.9")},
		{"domain", ioc.Facts{Domain: "EVIL.example."}, hit(ioc.Domain, "evil.example")},
		{"below a domain", ioc.Facts{Domain: "a.b.evil.example"}, hit(ioc.Domain, "evil.example")},
		{"a domain that ends alike", ioc.Facts{Domain: "devil.example"}, nil},
		{"above a domain", ioc.Facts{Domain: "example"}, nil},
		{"all below", ioc.Facts{Domain: "x.bad.example"}, hit(ioc.Domain, "bad.example")},
		{"other spelling", ioc.Facts{Domain: "host.example.org"}, hit(ioc.Domain, "host.example.org")},
		{"a domain with its port", ioc.Facts{Domain: "c2.example.net"}, hit(ioc.Domain, "c2.example.net")},
		{"url", ioc.Facts{URL: "HTTP://user@SITE.example:80/Path?q=1#top"}, hit(ioc.URL, "http://site.example/Path?q=1")},
		{"case counts in a path", ioc.Facts{URL: "http://site.example/path?q=1"}, nil},
		{"the root", ioc.Facts{URL: "https://site.example"}, hit(ioc.URL, "https://site.example")},
		{"refanged", ioc.Facts{URL: "http://evil2.example/x"}, hit(ioc.URL, "http://evil2.example/x")},
		{"a URL's domain", ioc.Facts{URL: "http://evil.example/anything"}, hit(ioc.Domain, "evil.example")},
		{"a URL's address", ioc.Facts{URL: "http://[2001:db8::1]:8080/"}, hit(ioc.Address, "2001:db8::1")},
		{"refanged address", ioc.Facts{Addr: "5.6.7.8"}, hit(ioc.Address, "5.6.7.8")},
		{"refanged domain", ioc.Facts{Domain: "mal.example"}, hit(ioc.Domain, "mal.example")},
		{"several", ioc.Facts{SHA256: sha256, Path: "/x/evil.exe", Name: "Evil.exe"}, append(hit(ioc.SHA256, sha256), hit(ioc.Name, "evil.exe")...)},
		{"long", ioc.Facts{Name: strings.Repeat("a", 1<<20), Path: strings.Repeat("/a", 1<<20), Domain: strings.Repeat("a.", 1<<20), URL: "http://" + strings.Repeat("a", 1<<20)}, nil},
	} {
		if diff := cmp.Diff(c.want, set.Match(c.f, now)); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
	var none *ioc.Set
	if none.Match(ioc.Facts{Addr: "192.0.2.1"}, now) != nil || none.Len() != 0 || ioc.NewSet(nil).Match(ioc.Facts{Addr: "192.0.2.1"}, now) != nil {
		t.Error("no feed matches something")
	}
	a, _ := ioc.Load("a", strings.NewReader("192.0.2.1\n192.0.2.1"))
	b, _ := ioc.Load("b", strings.NewReader("192.0.2.0/24"))
	two := ioc.NewSet(a, nil, b)
	want := []ioc.Hit{{Feed: "a", Indicator: "192.0.2.1", Type: ioc.Address}, {Feed: "b", Indicator: "192.0.2.0/24", Type: ioc.Address}}
	if diff := cmp.Diff(want, two.Match(ioc.Facts{Addr: "192.0.2.1"}, now)); diff != "" || two.Len() != 2 || a.Name() != "a" || a.Counts()[ioc.Address] != 2 {
		t.Errorf("two feeds, %d indicators: %s", two.Len(), diff)
	}
}

func TestLists(t *testing.T) {
	text := "\ufeff# a list; // of mine\r\n" +
		"\r\n" +
		"192.0.2.1 # the first\r\n" +
		"\"192.0.2.2\",\r\n" +
		"sha256: " + sha256 + "\r\n" +
		"md5:" + md5 + "\t; why\r\n" +
		"domain:evil[.]example\r\n" +
		"http://x.example/#part\r\n" +
		"  10.1.2.3  \r\n"
	f, errs := ioc.Load("feed", strings.NewReader(text))
	if len(errs) > 0 || f.Len() != 7 {
		t.Fatalf("%d: %v", f.Len(), errs)
	}
	if diff := cmp.Diff(map[ioc.Type]int{ioc.Address: 3, ioc.SHA256: 1, ioc.MD5: 1, ioc.Domain: 1, ioc.URL: 1}, f.Counts()); diff != "" {
		t.Error(diff)
	}
}

func TestCSV(t *testing.T) {
	for name, text := range map[string]string{
		"plain":             "type,indicator,comment\nip,192.0.2.1,\"a, b\"\nFileHash-SHA256," + sha256 + ",x\nhostname,evil.example,\n",
		"semicolons":        "Indicator;Type\r\n192.0.2.1;IPv4\r\n" + sha256 + ";sha-256\r\nevil[.]example;FQDN\r\n",
		"tabs":              "value\ttype\n192.0.2.1\tipv4-addr\n" + sha256 + "\tSHA256\nevil.example\tdomain-name\n",
		"abuse.ch":          "####\n# a feed\n# \"first_seen_utc\",\"ioc_id\",\"ioc_value\",\"ioc_type\"\n\"2026-01-01 00:00:00\", \"1\", \"192.0.2.1:443\", \"ip:port\"\n\"2026\", \"2\", \"" + sha256 + "\", \"sha256_hash\"\n\"2026\", \"3\", \"evil.example\", \"domain\"\n",
		"no type":           "id,value\n1,192.0.2.1\n2," + sha256 + "\n3,evil.example\n",
		"columns are types": "name,ip,sha256,domain\nbad thing,192.0.2.1," + sha256 + ",evil.example\n",
		"MISP":              "uuid,type,value\n1,ip-dst|port,192.0.2.1|443\n2,filename|sha256,x.exe|" + sha256 + "\n3,domain|ip,evil.example|192.0.2.9\n",
		"lines in a field":  "indicator,comment\n192.0.2.1,\"two\nlines, \"\"quoted\"\"\"\n" + sha256 + ",\nevil.example,\n",
		"expiry":            "indicator,valid_until\n192.0.2.1,2027-01-01\n" + sha256 + ",2027-01-01T00:00:00Z\nevil.example,\n192.0.2.7,2026-01-01\n",
	} {
		t.Run(name, func(t *testing.T) {
			set := load(t, text)
			for _, f := range []ioc.Facts{{Addr: "192.0.2.1"}, {SHA256: sha256}, {Domain: "evil.example"}} {
				if got := set.Match(f, now); len(got) != 1 {
					t.Errorf("%+v: %v", f, got)
				}
			}
			for _, f := range []ioc.Facts{{Name: "x.exe"}, {Name: "bad thing"}, {Addr: "192.0.2.7"}, {Name: "indicator"}} {
				if got := set.Match(f, now); got != nil {
					t.Errorf("%+v: %v", f, got)
				}
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	set := load(t, "indicator,expires\n192.0.2.1,2026-11-24T09:00:01Z\n192.0.2.2,1764000000\n192.0.2.3,2026-11-24 08:59:59\n192.0.2.4,never\n192.0.2.5,2026-01-01\n192.0.2.5,2027-01-01\n192.0.2.6,2026-01-01\n192.0.2.6,\n192.0.2.8,2200-01-01\n")
	for addr, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false, "192.0.2.3": false, "192.0.2.4": true, "192.0.2.5": true, "192.0.2.6": true, "192.0.2.8": true} {
		if got := set.Match(ioc.Facts{Addr: addr}, now); (got != nil) != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if got := set.Match(ioc.Facts{Addr: "192.0.2.1"}, now.Add(time.Second)); got != nil {
		t.Errorf("a second later: %v", got)
	}
	if set.Len() != 7 {
		t.Errorf("%d, duplicates are one", set.Len())
	}
}

// TestMistakes: each names its line and costs that indicator only.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1":                        "line 1: \"127.0.0.1\" is an address that every host uses",
		"\n\n0.0.0.0/0":                    "line 3: \"0.0.0.0/0\" is too wide",
		"169.254.169.254":                  "every host uses",
		"::/3":                             "too wide",
		"svchost.exe":                      "its name alone says nothing",
		`C:\Windows\System32\cmd.exe`:      "every host has",
		"*.exe":                            "is a pattern",
		`C:\Users\*\x.exe`:                 "is a pattern",
		`%APPDATA%\x.exe`:                  "differs from user to user",
		`HKLM\Software\Evil`:               "is no whole path",
		"someone@evil.example":             "is no indicator",
		"two words":                        "is no indicator",
		"ip:evil":                          `line 1: "evil" is no address`,
		"md5:abc":                          "is not a md5: 32 hexadecimal digits",
		"d41d8cd98f00b204e9800998ecf8427e": "the hash of an empty file",
		"http://":                          "is no URL",
		"domain:bücher.example":            "xn--",
		strings.Repeat("a", 70_000):        "line 1: longer than 65536 bytes",
		"x" + strings.Repeat("a", 5000):    "longer than 4096 bytes",
		"indicator,type\n1.2.3.4,ip\nx@y.z,email\na@b.c,email\n,\n": `line 3: indicators of type "email" are not read (2 of them)`,
		"indicator,type\n1.2.3.4,ip\n9.9.9.9,domain":                `line 3: "9.9.9.9" is no domain`,
		"indicator,expires\n1.2.3.4,soon":                           `line 2: "soon" is no time`,
		"indicator,type\n\"1.2.3.4,ip":                              "line 2: a quote that does not end",
		"indicator,type\nx,filename|sha256":                         "is not of two parts",
		"\xff\xfe1\x00":                                             "UTF-16",
		`{"type": "bundle", "objects": [`:                           "line 1: not valid JSON: unexpected EOF",
		"{\n\"objects\": [\n{]":                                     "line 3: not valid JSON",
		"{\n\"objects\": [\n{\"type\": 7},\n3]}":                    "line 3: a number where another value should be",
		"{\"objects\": [{\"type\": \"indicator\", \"pattern_type\": \"yara\", \"pattern\": \"x\"}]}":                 `indicators of type "pattern yara" are not read`,
		"{\"objects\": [\n\n{\"type\": \"indicator\", \"id\": \"indicator--1\", \"pattern\": \"[file:size = 1]\"}]}": `"indicator--1": the pattern is not read: file:size is not compared`,
		"{\"objects\": [{\"type\": \"indicator\", \"valid_until\": \"x\", \"pattern\": \"[file:name = 'x']\"}]}":     "valid_until",
		"{\"objects\": [{\"type\": \"indicator\", \"pattern\": \"[file:name = 'svchost.exe']\"}]}":                   "its name alone says nothing",
		"{\"objects\": [{\"type\": \"indicator\", \"x\": \"" + strings.Repeat("a", 3<<20) + "\"}]}":                  "line 1: an object larger than 1 MiB",
	} {
		f, errs := ioc.Load("feed", strings.NewReader(text))
		if f == nil || len(errs) == 0 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, errs, want)
		}
		// What stands beside a mistake is read.
		if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "\xff") && !strings.Contains(text, "indicator,") {
			g, errs := ioc.Load("feed", strings.NewReader(text+"\n192.0.2.1\n"))
			if len(ioc.NewSet(g).Match(ioc.Facts{Addr: "192.0.2.1"}, now)) != 1 || len(errs) != 1 {
				t.Errorf("%.60q: the next line is lost: %v", text, errs)
			}
		}
	}
	f, errs := ioc.Load("feed", strings.NewReader(strings.Repeat("two words\n", 1000)))
	if f.Len() != 0 || len(errs) != 101 || errs[100].Error() != "900 more mistakes" {
		t.Errorf("%d errors, %v", len(errs), errs[len(errs)-1])
	}
}

type broken struct{ r io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("the disk is gone")
	}
	return n, err
}

func TestAReaderThatFails(t *testing.T) {
	for _, text := range []string{"192.0.2.1\n192.0.2.2", `{"objects": [`} {
		f, errs := ioc.Load("feed", broken{strings.NewReader(text)})
		if f == nil || len(errs) != 1 || !strings.Contains(errs[0].Error(), "the disk is gone") {
			t.Errorf("%q: %v", text, errs)
		}
	}
}

func hashOf(n uint64) string { return fmt.Sprintf("%064x", (n+1)*0x9e3779b97f4a7c15) }

// lines makes a feed of n hashes without holding it.
type lines struct {
	n, at int
	buf   bytes.Buffer
}

func (l *lines) Read(p []byte) (int, error) {
	for l.buf.Len() < len(p) && l.at < l.n {
		fmt.Fprintln(&l.buf, hashOf(uint64(l.at)))
		l.at++
	}
	return l.buf.Read(p)
}

func TestBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: a million indicators")
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	f, errs := ioc.Load("feed", &lines{n: 1_100_000})
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "more than 1000000 indicators") && !strings.Contains(errs[0].Error(), "larger than 64 MiB") {
		t.Fatalf("%v", errs)
	}
	after := heap()
	set := ioc.NewSet(f)
	if f.Len() < 999_000 || len(set.Match(ioc.Facts{SHA256: hashOf(777)}, now)) != 1 {
		t.Errorf("%d indicators", f.Len())
	}
	if used := float64(after-min(before, after)) / float64(f.Len()); used > 10 {
		t.Errorf("%.1f bytes an indicator", used)
	}
	// What is cut off at the bound of size is not taken for a value.
	long := strings.Repeat("#"+strings.Repeat("x", 62)+"\n", ioc.MaxSize/64)
	text := long[:len(long)-len("evil.example.co")] + "\nvil.example.com\n"
	f, errs = ioc.Load("feed", strings.NewReader(text))
	if f.Len() != 0 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "larger than 64 MiB") {
		t.Errorf("%d indicators, %v", f.Len(), errs)
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		"192.0.2.1\nevil.example\n" + sha256, "indicator,type\n1.2.3.4,ip\n\"a\nb\",name", "# \"ioc_value\",\"ioc_type\"\n\"1.2.3.4:5\",\"ip:port\"",
		`{"type":"bundle","objects":[{"type":"indicator","pattern":"[file:hashes.'SHA-256' = 'aa'] OR [ipv4-addr:value IN ('1.2.3.4','5.6.7.0/24')]","valid_until":"2027-01-01T00:00:00Z"}]}`,
		`{"type":"indicator","pattern":"[(file:name = 'a\\'b' OR file:name='c') AND file:parent_directory_ref.path = 'C:\\\\x']"}`,
		"hxxp://a[.]b/\n%TEMP%\\x\n[::1]\n\\\\h\\s\\x", "[{}]\n[]", "{", "[[",
	} {
		f.Add([]byte(s), "192.0.2.1")
	}
	f.Fuzz(func(t *testing.T, data []byte, fact string) {
		feed, errs := ioc.Load("feed", bytes.NewReader(data))
		if feed == nil {
			t.Fatal("no feed")
		}
		for _, err := range errs {
			if err.Error() == "" || len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		}
		set := ioc.NewSet(feed)
		for _, h := range set.Match(ioc.Facts{SHA256: fact, MD5: fact, Name: fact, Path: fact, Addr: fact, Port: 443, Domain: fact, URL: fact}, now) {
			if h.Feed != "feed" || h.Indicator == "" || h.Type == "" {
				t.Errorf("%+v", h)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	f, errs := ioc.Load("feed", &lines{n: 100_000})
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	set := ioc.NewSet(f, f)
	b.ReportAllocs()
	for b.Loop() {
		if set.Match(ioc.Facts{SHA256: sha256, Path: "/usr/bin/systemctl", Name: "systemctl"}, now) != nil {
			b.Fatal("matched")
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, errs := ioc.Load("feed", &lines{n: 100_000}); len(errs) > 0 {
			b.Fatal(errs)
		}
	}
}
