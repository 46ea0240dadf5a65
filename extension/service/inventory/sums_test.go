package inventory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/rpm/rpmtest"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

func sum256(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// later is a Reader to which all files are old.
func later(root string) *Reader {
	r := New(root, options())
	r.sums.now = func() time.Time { return time.Now().Add(time.Hour) }
	return r
}

func sums256(t *testing.T, r *Reader) map[string]string {
	t.Helper()
	all, err := r.Services(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i := range all {
		got[all[i].Name] = all[i].SHA256
	}
	return got
}

func TestSums(t *testing.T) {
	root := t.TempDir()
	exec := func(line string) string { return "[Service]\nExecStart=" + line + "\n" }
	plant(t, root, map[string]string{
		"etc/systemd/system/a.service":      exec("/usr/sbin/a -x"),
		"etc/systemd/system/link.service":   exec("/usr/sbin/link"),
		"etc/systemd/system/script.service": exec("/bin/sh /opt/run.sh"),
		"etc/systemd/system/gone.service":   exec("/usr/sbin/gone"),
		"etc/systemd/system/large.service":  exec("/usr/sbin/large"),
		"etc/systemd/system/only.timer":     "[Timer]\nOnCalendar=daily\n",
		"usr/sbin/a":                        "a", "usr/sbin/link": "-> a", "bin/sh": "sh", "opt/run.sh": "run", "usr/sbin/large": "",
	})
	if err := os.Truncate(filepath.Join(root, "usr/sbin/large"), 10<<30); err != nil {
		t.Fatal(err)
	}
	r := later(root)
	for name, sum := range sums256(t, r) {
		if sum != "" {
			t.Errorf("%s: the inventory itself read %s", name, sum)
		}
	}
	r.HashSome(context.Background(), time.Hour)
	want := map[string]string{"a.service": sum256("a"), "link.service": sum256("a"), "script.service": sum256("run")}
	check := func() {
		t.Helper()
		for name, sum := range sums256(t, r) {
			if sum != want[name] {
				t.Errorf("%s: %q, want %q", name, sum, want[name])
			}
		}
	}
	check()
	if len(r.unread) > 0 {
		t.Errorf("%v are to be read though nothing changed", r.unread)
	}
	if err := os.WriteFile(filepath.Join(root, "usr/sbin/a"), []byte("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	want["a.service"], want["link.service"] = "", ""
	check()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	r.HashSome(ended, time.Hour)
	if len(r.unread) == 0 {
		t.Error("what was not read for want of time is forgotten")
	}
	r.HashSome(context.Background(), time.Hour)
	want["a.service"], want["link.service"] = sum256("other"), sum256("other")
	check()

	tree, budget := files.New(root, files.Options{}), int64(3)
	c := Command{Real: "/opt/run.sh"}
	if got := r.Sum(context.Background(), tree, c, &budget, time.Now().Add(time.Hour)); got != sum256("run") || budget != 3 {
		t.Errorf("%q of what is known, %d bytes left", got, budget)
	}
	plant(t, root, map[string]string{"opt/new": "new!"})
	if got := r.Sum(context.Background(), tree, Command{Real: "/opt/new"}, &budget, time.Now().Add(time.Hour)); got != "" {
		t.Errorf("%q of more bytes than there were left", got)
	}
	budget = 4
	if got := r.Sum(context.Background(), tree, Command{Real: "/opt/new"}, &budget, time.Now().Add(time.Hour)); got != sum256("new!") || budget != 0 {
		t.Errorf("%q, %d bytes left", got, budget)
	}
}

// A file that was written a moment ago may be written again in the same tick: its hash
// is told and not kept.
func TestFreshSums(t *testing.T) {
	root := t.TempDir()
	plant(t, root, map[string]string{"a": "a"})
	r := New(root, options())
	written := time.Now()
	r.sums.now = func() time.Time { return written }
	tree := files.New(root, files.Options{})
	budget := int64(10)
	if got := r.Sum(context.Background(), tree, Command{Real: "/a"}, &budget, time.Now().Add(time.Hour)); got != sum256("a") || len(r.sums.known) != 0 {
		t.Errorf("%q, %d kept", got, len(r.sums.known))
	}
}

// A host with rpm: whose each service is, and whether it is as it was brought.
func TestServicesOfRPM(t *testing.T) {
	root := t.TempDir()
	const unit = "[Service]\nExecStart=/usr/sbin/%s\n"
	tree := map[string]string{"etc/systemd/system/own.service": fmt.Sprintf(unit, "good")}
	var p rpmtest.Package
	p.Name, p.Version, p.Release = "web", "1.2", "3.el9"
	for _, name := range []string{"good", "bad", "config"} {
		u := fmt.Sprintf(unit, name)
		p.Files = append(p.Files, rpmtest.File{Path: "/usr/lib/systemd/system/" + name + ".service", Content: u, Mode: 0o100755},
			rpmtest.File{Path: "/usr/sbin/" + name, Content: name, Mode: 0o100755})
		tree["usr/lib/systemd/system/"+name+".service"], tree["usr/sbin/"+name] = u, name
	}
	p.Files = append(p.Files, rpmtest.File{Path: "/usr/lib/systemd/system/ghost.service", Mode: 0o100644, Flags: 1 << 6})
	tree["usr/lib/systemd/system/ghost.service"] = fmt.Sprintf(unit, "good")
	tree["usr/sbin/bad"] = "BAD"
	tree["usr/lib/sysimage/rpm/Packages.db"] = string(rpmtest.NDB([][]byte{p.Header()}))
	plant(t, root, tree)
	all, err := New(root, options()).Services(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, pkg       string
		owned, verified evidence.Tristate
		factor          string
	}{
		{"good.service", "web", evidence.Yes, evidence.Yes, "attribution"},
		{"config.service", "web", evidence.Yes, evidence.Yes, "attribution"},
		{"bad.service", "web", evidence.Yes, evidence.No, "package_modified"},
		{"own.service", "", evidence.No, evidence.Unknown, ""},
		{"ghost.service", "", evidence.No, evidence.Unknown, ""},
	} {
		s := find(t, all, c.name)
		if s.Package != c.pkg || s.Owned != c.owned || s.Verified != c.verified || c.pkg != "" && s.PackageVersion != "1.2-3.el9" {
			t.Errorf("%s: package %q %q, owned %v, verified %v, altered %v", c.name, s.Package, s.PackageVersion, s.Owned, s.Verified, s.Altered)
		}
		v, _ := Judge{Weights: score.DefaultWeights()}.ScoreService(s)
		found := c.factor == ""
		for _, r := range v.Reasons {
			found = found || r.Factor == c.factor
		}
		if !found {
			t.Errorf("%s: no %s: %s", c.name, c.factor, v.Explain())
		}
	}
}
