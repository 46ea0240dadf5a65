package self

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/tests/permit"
)

// world is a host with Rollcall's things on it and a clock.
type world struct {
	t        *testing.T
	dir      string
	now      time.Time
	src      *Source
	cursor   string
	owner    string // of every file of content
	verified bool
	audit    Audit
	auditErr error
	asked    int // of the package manager
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), now: time.Now().Add(time.Hour), audit: Audit{Enabled: true, Rules: 4}}
	for path, text := range map[string]string{
		"bin/rollcall.ext": "\x7fELF", "etc/rollcall.yaml": "log_level: info\n", "etc/rules.d/a.yml": "title: a\n", "state/rollcall.db": strings.Repeat("x", 4096), "osquery/extensions.load": "/bin/rollcall.ext\n",
	} {
		w.write(path, text)
	}
	w.restart()
	return w
}

func (w *world) path(p string) string { return filepath.Join(w.dir, filepath.FromSlash(p)) }

func (w *world) write(p, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(p)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.path(p), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// restart is another run of the program on the same state.
func (w *world) restart() {
	w.src = New(Options{
		Items: []Item{
			{w.path("bin/rollcall.ext"), "program", Content, 1, true}, {w.path("etc/rollcall.yaml"), "configuration", Content, 0.6, false}, {w.path("etc/rules.d"), "rules", Listing, 0.6, false},
			{w.path("state"), "state directory", Directory, 1, false}, {w.path("state/rollcall.db"), "database", Identity, 1, false},
			{w.path("osquery/extensions.load"), "load file of osquery", Content, 1, true}, {w.path("osquery/osquery.flags"), "flags of osquery", Content, 0.8, true},
		},
		Packaged: func(context.Context, string) (string, bool) { w.asked++; return w.owner, w.verified },
		Audit:    func() (Audit, error) { return w.audit, w.auditErr },
		Now:      func() time.Time { return w.now },
	})
}

// look reads after a look's time and returns what was told: "name: changes".
func (w *world) look() []string {
	w.t.Helper()
	w.now = w.now.Add(lookEvery)
	b, err := w.src.Read(context.Background(), w.cursor, 1000)
	var state *evidence.Unavailable
	if err != nil && (!errors.As(err, &state) || state.State != evidence.StateDegraded) {
		w.t.Fatal(err)
	}
	w.cursor = b.Cursor
	var out []string
	for i, in := range b.Installs {
		out = append(out, in.Name+": "+strings.Join(in.Changes, ", "))
		if in.Kind != Kind || in.Action != evidence.Modified || len(in.Signs) != 1 || in.Signs[0].Factor != Factor || in.Signs[0].Scale == 0 || in.Source != Name || in.EID == "" || in.Time == 0 || in.Time > w.now.Unix() {
			w.t.Errorf("install %+v", in)
		}
		if c := b.Changes[i]; c.Kind != evidence.ChangeAudit || !strings.Contains(c.Subject, in.UnitPath) || !strings.HasPrefix(c.Detail, strings.Join(in.Changes, ", ")) {
			w.t.Errorf("change %+v", c)
		}
	}
	if len(out) > 0 && state == nil {
		w.t.Error("health is in order after a change")
	}
	return out
}

func (w *world) expect(what string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.look()); diff != "" {
		w.t.Errorf("%s: (-want +got)\n%s", what, diff)
	}
}

func TestChangesAreTold(t *testing.T) {
	w := newWorld(t)
	w.expect("the first look learns")
	w.expect("nothing happened")
	if w.asked != 0 {
		t.Errorf("the package manager was asked %d times of nothing", w.asked)
	}
	before := sumOf(t, w.path("bin/rollcall.ext"))
	w.write("bin/rollcall.ext", "\x7fEVIL")
	w.expect("another program", "rollcall.ext: sha256: "+before+" -> "+sumOf(t, w.path("bin/rollcall.ext")))
	w.expect("is told once")
	now := time.Now()
	w.must(os.Chtimes(w.path("etc/rollcall.yaml"), now, now.Add(-time.Hour)))
	w.expect("touched and no more")
	w.write("etc/rules.d/b.yml", "title: b\n")
	w.must(os.Remove(w.path("etc/rules.d/a.yml")))
	w.expect("rules", "a.yml: file: file -> absent", "b.yml: file: absent -> file, sha256: none -> "+sumOf(t, w.path("etc/rules.d/b.yml")))
	w.must(os.Remove(w.path("osquery/extensions.load")))
	w.write("osquery/osquery.flags", "--disable_extensions\n")
	w.expect("osquery's files", "extensions.load: file: file -> absent", "osquery.flags: file: absent -> file, sha256: none -> "+sumOf(t, w.path("osquery/osquery.flags")))
	w.must(os.RemoveAll(w.path("state")))
	w.expect("the state is gone", "state: file: directory -> absent", "rollcall.db: file: file -> absent")
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	sum, _, err := digest(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	return short(sum)
}

// TestTheDatabaseLives: what is written all the time is no change, what is cut or
// replaced is.
func TestTheDatabaseLives(t *testing.T) {
	w := newWorld(t)
	w.expect("the first look learns")
	w.write("state/rollcall.db", strings.Repeat("y", 8192))
	w.expect("it was written")
	w.must(os.Truncate(w.path("state/rollcall.db"), 100))
	w.expect("it was cut", "rollcall.db: size: 8192 -> 100")
	w.write("state/new", strings.Repeat("z", 8192))
	w.must(os.Rename(w.path("state/new"), w.path("state/rollcall.db")))
	w.expect("it was replaced", "rollcall.db: file: replaced by another")
	permit.Write(t, w.path("state"))
	if got := w.look(); len(got) != 1 || !strings.HasPrefix(got[0], "state: mode: -rwxr-xr-x -> -rwxrwxrwx") && !(runtime.GOOS == "windows" && strings.Contains(got[0], "state: access: O:")) {
		t.Errorf("all may write: %q", got)
	}
}

// TestWhatOthersCanChangeIsSaid: for as long as it is so.
func TestWhatOthersCanChangeIsSaid(t *testing.T) {
	w := newWorld(t)
	state := func(after time.Duration) string {
		t.Helper()
		w.now = w.now.Add(after)
		b, err := w.src.Read(context.Background(), w.cursor, 1000)
		w.cursor = b.Cursor
		var u *evidence.Unavailable
		if errors.As(err, &u) && u.State == evidence.StateDegraded && u.Remedy != "" {
			return u.Detail
		}
		w.must(err)
		return ""
	}
	if said := state(lookEvery); said != "" {
		t.Errorf("only we can change anything, but: %s", said)
	}
	permit.Write(t, w.path("bin/rollcall.ext"))
	if said := state(lookEvery); !strings.Contains(said, "rollcall.ext was changed") {
		t.Errorf("after the change: %s", said)
	}
	for _, after := range []time.Duration{2 * shownFor, time.Second, lookEvery} {
		if said := state(after); !strings.HasPrefix(said, "Rollcall's program "+w.path("bin/rollcall.ext")+" is not safe: others can write to it") {
			t.Errorf("%v later: %s", after, said)
		}
	}
	w.must(os.Remove(w.path("bin/rollcall.ext")))
	state(lookEvery)
	if said := state(2 * shownFor); said != "" {
		t.Errorf("there is none any more, but: %s", said)
	}
}

// TestAPackageManagerMayChangeItsFiles: at once, or while it works; not for ever.
func TestAPackageManagerMayChangeItsFiles(t *testing.T) {
	w := newWorld(t)
	w.expect("the first look learns")
	w.owner, w.verified = "rollcall", true
	w.write("bin/rollcall.ext", "\x7fELF 2")
	w.expect("an upgrade")
	w.verified = false
	w.write("bin/rollcall.ext", "\x7fELF 3")
	w.expect("an upgrade under way")
	w.verified = true
	w.expect("an upgrade that has ended")
	w.verified = false
	w.write("bin/rollcall.ext", "\x7fEVIL")
	var got []string
	for range 5 {
		got = append(got, w.look()...)
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "rollcall.ext: sha256: ") {
		t.Errorf("a package's file that is none of its: %q", got)
	}
}

// TestWhatWasDoneMeanwhileIsTold: the cursor knows what was there before a stop, and a
// commit that failed brings the change again.
func TestWhatWasDoneMeanwhileIsTold(t *testing.T) {
	w := newWorld(t)
	w.expect("the first look learns")
	w.write("etc/rollcall.yaml", "enabled: false\n")
	w.restart()
	before := w.cursor
	want := "rollcall.yaml: sha256: 34bf54a8ba50d3c5 -> " + sumOf(t, w.path("etc/rollcall.yaml"))
	got := w.look()
	w.cursor = before
	again := w.look()
	if len(got) != 1 || !strings.HasSuffix(got[0], want[strings.Index(want, " -> "):]) || cmp.Diff(got, again) != "" {
		t.Errorf("%q, then %q", got, again)
	}
	w.cursor = "{broken"
	w.restart()
	w.expect("a cursor that is none learns anew")
}

func TestTheKernelsAudit(t *testing.T) {
	w := newWorld(t)
	w.expect("the first look learns")
	w.audit.Rules = 0
	w.expect("rules are loaded anew")
	w.audit.Rules = 4
	w.expect("and are there again")
	w.audit.Rules = 9
	w.expect("more of them")
	w.audit = Audit{}
	w.expect("is it so?")
	w.expect("it is", "audit rules: enabled: 1 -> 0, rules: 9 -> 0")
	w.expect("told once")
	w.auditErr = errors.New("not permitted")
	w.expect("nobody may ask")
	w.audit, w.auditErr = Audit{Enabled: true, Rules: 9}, nil
	w.expect("on again")
}

// TestHostileFiles: links are told and not followed, a FIFO blocks nobody.
func TestHostileFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: links on Windows: they need a privilege there")
	}
	w := newWorld(t)
	w.expect("the first look learns")
	w.write("elsewhere", "log_level: info\n")
	w.must(os.Remove(w.path("etc/rollcall.yaml")))
	w.must(os.Symlink(w.path("elsewhere"), w.path("etc/rollcall.yaml")))
	w.must(os.Symlink("/dev/zero", w.path("etc/rules.d/zero.yml")))
	w.write("etc/rules.d/new\nline\x1b[31m.yml", "title: n\n")
	got := w.look()
	if len(got) != 3 || !strings.HasPrefix(got[0], "rollcall.yaml: file: file -> link") || got[2] != "zero.yml: file: absent -> link" {
		t.Errorf("%q", got)
	}
	w.must(os.Remove(w.path("etc/rollcall.yaml")))
	w.must(os.Symlink("/etc/shadow", w.path("etc/rollcall.yaml")))
	w.expect("it leads elsewhere", "rollcall.yaml: target: "+w.path("elsewhere")+" -> /etc/shadow")
	for i := range 3 * maxRules {
		w.write(filepath.Join("etc/rules.d", strings.Repeat("r", 1+i%200)+string(rune('a'+i/200))), "x")
	}
	if n := len(w.look()); n > maxTold {
		t.Errorf("%d changes told at once", n)
	}
	if n := len(w.src.known.Files); n > maxRules+20 {
		t.Errorf("%d files are watched", n)
	}
	if len(w.cursor) > maxCursor {
		t.Errorf("a cursor of %d bytes cannot be read back", len(w.cursor))
	}
}

func TestItReadsSeldom(t *testing.T) {
	w := newWorld(t)
	w.expect("the first look learns")
	w.write("etc/rollcall.yaml", "enabled: false\n")
	b, err := w.src.Read(context.Background(), w.cursor, 1000)
	if err != nil || b.Cursor != w.cursor || b.Read != 0 {
		t.Errorf("right after a look: %+v, %v", b, err)
	}
	if got := w.look(); len(got) != 1 {
		t.Errorf("%q", got)
	}
	// Health shows it for an hour.
	w.now = w.now.Add(30 * time.Minute)
	_, err = w.src.Read(context.Background(), w.cursor, 1000)
	var state *evidence.Unavailable
	if !errors.As(err, &state) || !strings.Contains(state.Detail, "Rollcall's configuration") || state.Remedy == "" {
		t.Errorf("health %v", err)
	}
	w.now = w.now.Add(time.Hour)
	if _, err = w.src.Read(context.Background(), w.cursor, 1000); err != nil {
		t.Errorf("health an hour later %v", err)
	}
}

func TestItems(t *testing.T) {
	got := map[string]Look{}
	for _, it := range Items(Places{Program: "/p", Config: "/c", RulesDir: "/r", StateDir: "/s", Database: "/s/d", IOCFiles: []string{"/i"}}) {
		got[filepath.Base(it.Path)] = it.Look
		if it.What == "" || it.Scale <= 0 {
			t.Errorf("%+v", it)
		}
	}
	want := map[string]Look{"p": Content, "c": Content, "r": Listing, "s": Directory, "d": Identity, "i": Content, "extensions.load": Content, "osquery.flags": Content}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := len(Items(Places{})); n != 2 {
		t.Errorf("%d items without places", n)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(`{"f":{"/a":{"k":"file","h":"00"}},"a":{"e":true,"r":3}}`)
	f.Add(`{"f":null}`)
	f.Fuzz(func(t *testing.T, cursor string) {
		s := New(Options{Items: []Item{{t.TempDir(), "rules", Listing, 1, false}}, Packaged: func(context.Context, string) (string, bool) { return "", false },
			Audit: func() (Audit, error) { return Audit{}, nil }})
		b, err := s.Read(context.Background(), cursor, 10)
		var off *evidence.Unavailable
		if err != nil && !errors.As(err, &off) || b.Cursor == "" || len(b.Installs) > maxTold+1 {
			t.Errorf("%d installs, cursor %q, %v", len(b.Installs), b.Cursor, err)
		}
	})
}
