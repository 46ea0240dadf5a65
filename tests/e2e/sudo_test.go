//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/e2e/osqueryd"
)

// elsewhere gives a script of the shell's ($4) a syslog of the test's own ($1, a socket)
// and the sudoers $2, says that $3 logged in, and runs it as that user, on a terminal of its own
// where $5 says so. There sudo 1.9.13 now and then waits for ever when its command is quick.
// $0 is a directory.
const elsewhere = `
login=$3
mkdir -p "$0/dev"
mount --bind /dev "$0/dev"
mount -t tmpfs none /dev
for f in null zero full random urandom tty; do touch /dev/$f; mount --bind "$0/dev/$f" /dev/$f; done
mkdir /dev/pts
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 none /dev/pts
ln -s pts/ptmx /dev/ptmx
touch /dev/log
mount --bind "$1" /dev/log
mount --bind "$2" /etc/sudoers
echo "$login" >/proc/self/loginuid
if [ "$5" = terminal ]; then set -- "$1" "$2" "$3" timeout -k 2 15 script -qec "/bin/sh $4" /dev/null; else set -- "$1" "$2" "$3" /bin/sh "$4"; fi
shift 3
exec setpriv --reuid="$login" --regid="$login" --clear-groups "$@"`

// timedOut is what timeout ends with when it ended what it ran.
const timedOut = 124

// receive is a syslog daemon: it writes what is reported on a socket to a log, as
// rsyslog does, until the test ends.
func receive(t *testing.T, socket, log string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		const stamp = len("Jan _2 15:04:05")
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			_, text, found := bytes.Cut(bytes.TrimRight(buf[:n], "\x00\n"), []byte(">"))
			if found && len(text) > stamp {
				fmt.Fprintf(out, "%s %s%s\n", text[:stamp], host, text[stamp:])
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
		_ = out.Close()
	})
}

// TestSudoIsOneRow: one "sudo systemctl list-units" is told of by the kernel's audit,
// by osquery, and by sudo itself through syslog. It is one row, which names them all and
// who is behind it.
func TestSudoIsOneRow(t *testing.T) {
	for _, tool := range []string{"sudo", "setpriv", "mount", "script", "timeout"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf(osqueryd.Missing+"no %s on PATH", tool)
		}
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf(osqueryd.Missing+"%v", err)
	}
	if out, err := osqueryd.Within("exit", "").CombinedOutput(); err != nil {
		t.Skipf(osqueryd.Missing+"no mounts of its own: %v: %s", err, out)
	}
	if _, err := os.Stat("/proc/self/loginuid"); err != nil {
		t.Skipf(osqueryd.Missing+"no login ids: %v", err)
	}
	ext := extension(t)
	dir := osqueryd.Home(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	logs, socket, sudoers := filepath.Join(dir, "logs"), filepath.Join(dir, "syslog"), filepath.Join(dir, "sudoers")
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sudoers, []byte("Defaults use_pty\nnobody ALL=(ALL) NOPASSWD: ALL\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	receive(t, socket, filepath.Join(logs, "auth.log"))
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	d := osqueryd.Start(t, osqueryd.Options{Extension: ext, Config: map[string]any{}, Audit: true, Logs: logs})
	d.Audited(60 * time.Second)
	systemctl := osqueryd.Tool(t, dir, "systemctl")
	for where, command := range map[string]string{"no terminal": "list-units", "terminal": "list-timers"} {
		t.Run(where, func(t *testing.T) {
			typed := filepath.Join(dir, command)
			if err := os.WriteFile(typed, []byte("sudo -n "+systemctl+" "+command+"\n:\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := osqueryd.Within(elsewhere, dir, socket, sudoers, nobody.Uid, typed, where)
			var exit *exec.ExitError
			switch out, err := cmd.CombinedOutput(); {
			case errors.As(err, &exit) && exit.ExitCode() == timedOut:
				t.Log("sudo had to be ended; its command has run")
			case err != nil:
				t.Fatalf("%v: %s", err, out)
			}
			oneRow(t, d, systemctl, command)
		})
	}
}

// oneRow waits until everybody has told of what sudo runs, and looks at the row.
func oneRow(t *testing.T, d *osqueryd.Daemon, tool, command string) {
	t.Helper()
	var rows []map[string]string
	sources := []string{"kaudit", "process_events", "syslog"}
	d.Eventually(90*time.Second, "all have told of it", func() bool {
		rows = d.Must("SELECT time, pid, parent, source, path, cmdline, username, login_user, parent_path FROM service_discovery_events WHERE time > 0 AND cmdline LIKE '%" + tool + " " + command + "%'")
		told := map[string]bool{}
		for _, r := range rows {
			for source := range strings.SplitSeq(r["source"], ",") {
				told[source] = true
			}
		}
		return !slices.ContainsFunc(sources, func(s string) bool { return !told[s] })
	})
	if len(rows) != 1 {
		t.Fatalf("%d rows of one command: %v", len(rows), rows)
	}
	r := rows[0]
	if r["username"] != "root" || r["login_user"] != "nobody" {
		t.Errorf("%v", r)
	}
	// A row that was stored before the command was seen stays the launcher's.
	if own := r["path"] == tool && r["cmdline"] == tool+" "+command && strings.HasSuffix(r["parent_path"], "/sudo"); !own && !strings.HasSuffix(r["path"], "/sudo") {
		t.Errorf("%v", r)
	}
	t.Log(r)
}
