package trust

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"github.com/osquery-rollcall/rollcall/tests/permit"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDescribe lets the system write descriptors and reads them.
func TestDescribe(t *testing.T) {
	me, err := ours()
	must(t, err)
	for sddl, want := range map[string]string{
		"O:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)":     "",
		"O:BAD:(A;;FA;;;" + me[0] + ")(A;ID;FR;;;WD)": "",
		"O:BAD:(A;;FA;;;SY)(A;;0x1301bf;;;AU)":        "all users who logged on",
		"O:BAD:(A;;FA;;;SY)(A;CIIOID;0x1301bf;;;AU)":  "",
		"O:BAD:(A;;FA;;;SY)(D;;FA;;;WD)(A;;GW;;;LS)":  "LocalService",
		"O:BUD:(A;;FA;;;SY)":                          "belongs to the group Users",
		"O:SYD:":                                      "",
		"O:SYG:SY":                                    "no access list",
	} {
		sd, err := windows.SecurityDescriptorFromString(sddl)
		must(t, err)
		d, err := Parse(unsafe.Slice((*byte)(unsafe.Pointer(sd)), sd.Length()))
		if err != nil {
			t.Errorf("%s: %v", sddl, err)
			continue
		}
		if err := d.Judge(Content, me...); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q (%+v)", sddl, err, want, d)
		}
	}
}

func refused(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := OwnFile(path)
	must(t, err)
	if _, err := f.WriteString("kept"); err != nil {
		t.Error(err)
	}
	if err := File(f); err != nil {
		t.Errorf("our own file: %v", err)
	}
	must(t, f.Close())
	permit.Write(t, path)
	f, err = os.Open(path)
	must(t, err)
	refused(t, "a file everybody can write", File(f), "others can")
	must(t, f.Close())
	f, err = OwnFile(path)
	must(t, err)
	if err := File(f); err != nil {
		t.Errorf("our own file, mended: %v", err)
	}
	must(t, f.Close())
	if data, err := os.ReadFile(path); err != nil || string(data) != "kept" {
		t.Errorf("it has %q, %v", data, err)
	}
	if _, err := OwnFile(filepath.Dir(path)); err == nil {
		t.Error("a directory passes for a file")
	}
}

func TestDir(t *testing.T) {
	all := func(string) bool { return true }
	none := func(string) bool { return false }
	root := t.TempDir()
	dir := filepath.Join(root, "new", "state")
	must(t, OwnDir(dir, none))
	must(t, OwnDir(dir, none))
	check := func() error {
		d, err := os.Open(dir)
		must(t, err)
		defer d.Close()
		return Dir(d)
	}
	if err := check(); err != nil {
		t.Errorf("a directory of our own making: %v", err)
	}
	permit.Write(t, dir) // by somebody's decision, which is not ours to undo
	refused(t, "a directory everybody can write", OwnDir(dir, all), "others can")
	refused(t, "a directory everybody can write", check(), "others can")
	d, err := open(dir, windows.FILE_LIST_DIRECTORY, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
	must(t, err)
	must(t, repair(dir, d))
	must(t, d.Close())
	must(t, OwnDir(dir, none))
	refused(t, "another directory", func() error {
		d, err := open(dir, windows.FILE_LIST_DIRECTORY, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
		must(t, err)
		defer d.Close()
		return repair(root, d)
	}(), "replaced")

	above := filepath.Dir(dir)
	permit.Write(t, above)
	refused(t, "a directory that everybody can move", OwnDir(dir, all), above)
	permit.Entry(t, above, "(A;;FR;;;WD)")
	must(t, OwnDir(dir, none))

	file := filepath.Join(dir, "rollcall.db")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := OwnDir(file, all); !errors.Is(err, ErrNoDir) {
		t.Errorf("a file for a directory: %v", err)
	}
	if !holdsOnly(dir, all) || holdsOnly(dir, none) {
		t.Error("names do not matter")
	}
	permit.Write(t, file)
	if holdsOnly(dir, all) {
		t.Error("what everybody writes passes for ours")
	}
}

func TestLinks(t *testing.T) {
	root, err := os.MkdirTemp("", "links-") // wine cannot take away what it makes for a link
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	must(t, os.Mkdir(filepath.Join(root, "there"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, "there", "file"), nil, 0o600))
	link := filepath.Join(root, "link")
	if err := os.Symlink(filepath.Join(root, "there"), link); err != nil {
		t.Skipf("NOT TESTED: links, which cannot be made here: %v", err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Skipf("NOT TESTED: links, which are no links here: %v, %v", info, err)
	}
	all := func(string) bool { return true }
	for _, dir := range []string{link, filepath.Join(link, "state")} {
		if err := OwnDir(dir, all); !errors.Is(err, ErrNoDir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	must(t, os.Symlink(filepath.Join(root, "there", "file"), filepath.Join(root, "linked")))
	if _, err := OwnFile(filepath.Join(root, "linked")); !errors.Is(err, ErrNoFile) {
		t.Errorf("a link to a file: %v", err)
	}
}

func TestPipe(t *testing.T) {
	wait := time.Minute
	for name, c := range map[string]struct{ sddl, want string }{
		"ours":        {"", ""},
		"everybody's": {"O:BUD:(A;;GA;;;WD)", "belongs to the group Users"},
	} {
		t.Run(name, func(t *testing.T) {
			path := `\\.\pipe\trust-` + strconv.Itoa(os.Getpid()) + name
			l, err := winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: c.sddl})
			if err != nil && c.sddl != "" {
				t.Skipf("NOT TESTED: a pipe of others, which we may not make: %v", err)
			}
			must(t, err)
			defer l.Close()
			conn, err := winio.DialPipe(path, &wait)
			must(t, err)
			defer conn.Close()
			err = Pipe(windows.Handle(conn.(interface{ Fd() uintptr }).Fd()))
			if c.want != "" {
				refused(t, "the pipe", err, c.want)
			} else if err != nil {
				t.Errorf("a pipe of our own: %v", err)
			}
		})
	}
}
