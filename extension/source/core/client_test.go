package core_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/google/go-cmp/cmp"
	osquerygo "github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/gen/osquery"
	"go.uber.org/goleak"

	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/Microsoft/go-winio.ioCompletionProcessor"))
}

func newClient(t testing.TB, fake *fakecore.Core, opts core.ClientOptions) *core.Client {
	t.Helper()
	c := core.NewClient(fake.Socket(), opts)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func collect(t testing.TB, c *core.Client, sql string) []map[string]string {
	t.Helper()
	rows, err := query(c, sql)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func query(c *core.Client, sql string) (rows []map[string]string, err error) {
	err = c.Query(context.Background(), sql, func(r *core.Row) error {
		rows = append(rows, r.Map())
		return nil
	})
	return rows, err
}

func TestClientAnswers(t *testing.T) {
	fake := fakecore.Start(t)
	fake.SetFlag(t, "custom_rollcall", `{"a":1}`)
	c := newClient(t, fake, core.ClientOptions{})
	ctx := context.Background()

	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	got := collect(t, c, `SELECT username, uid, NULL AS none FROM users ORDER BY uid`)
	want := []map[string]string{
		{"username": "root", "uid": "0", "none": ""},
		{"username": "alex", "uid": "1000", "none": ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if rows := collect(t, c, `SELECT * FROM users WHERE uid = 7`); len(rows) != 0 {
		t.Errorf("%d rows of nothing", len(rows))
	}
	options, err := c.Options(ctx)
	if err != nil || options["custom_rollcall"].Value != `{"a":1}` {
		t.Errorf("options %v, %v", options, err)
	}
	uuid, err := c.Register(ctx, &osquery.InternalExtensionInfo{Name: "x", Version: "1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	extensions, err := c.Extensions(ctx)
	if diff := cmp.Diff(map[int64]core.Extension{uuid: {Name: "x", Version: "1"}}, extensions); diff != "" || err != nil {
		t.Error(diff, err)
	}
	_, err = c.Register(ctx, &osquery.InternalExtensionInfo{Name: "x"}, nil)
	var status *core.StatusError
	if !errors.As(err, &status) || !strings.Contains(status.Message, "Duplicate") {
		t.Errorf("second registration: %v", err)
	}
	if err := c.Deregister(ctx, uuid); err != nil {
		t.Error(err)
	}
	if fake.Connections() != 1 {
		t.Errorf("%d connections for one client", fake.Connections())
	}
}

func TestClientLargeValues(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	for _, n := range []int{0, 1, 63, 64, 65535, 65536, 65537, 200_000, 1 << 20} {
		rows := collect(t, c, fmt.Sprintf(`SELECT 'a' AS a, printf('%%.*c', %d, 'x') AS big, 'z' AS z`, n))
		if len(rows) != 1 || rows[0]["a"] != "a" || rows[0]["z"] != "z" {
			t.Fatalf("%d bytes: the neighbours are wrong", n)
		}
		if want := max(n, 1); n > 0 && len(rows[0]["big"]) != want {
			t.Errorf("%d bytes arrived as %d", n, len(rows[0]["big"]))
		}
	}
}

func TestClientStatusKeepsConnection(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	for range 3 {
		_, err := query(c, `SELECT * FROM no_such_table`)
		var status *core.StatusError
		if !errors.As(err, &status) || !strings.Contains(status.Message, "no such table") {
			t.Fatalf("got %v", err)
		}
	}
	if len(collect(t, c, `SELECT 1 AS one`)) != 1 || fake.Connections() != 1 {
		t.Error("the connection did not survive a refusal")
	}
}

func TestClientTimeoutPoisons(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	fake.Delay(fakecore.Query, 300*time.Millisecond, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := c.Query(ctx, `SELECT 'old' AS answer`, func(*core.Row) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	// The old answer must not arrive as the new one, however long we wait.
	time.Sleep(350 * time.Millisecond)
	rows := collect(t, c, `SELECT 'new' AS answer`)
	if diff := cmp.Diff([]map[string]string{{"answer": "new"}}, rows); diff != "" {
		t.Error(diff)
	}
}

func TestClientCancellation(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	fake.Delay(fakecore.Ping, time.Hour, 1)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(30*time.Millisecond, cancel)
	if err := c.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := c.Ping(context.Background()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestClientWaitsItsTurn(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	fake.Delay(fakecore.Ping, 3*time.Second, 1)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		if err := c.Ping(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	fake.Wait(t, "the slow ping", func() bool { return fake.Calls(fakecore.Ping) == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := c.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second caller got %v", err)
	}
	wg.Wait()
	var many sync.WaitGroup
	for i := range 8 {
		many.Add(1)
		go func() {
			defer many.Done()
			want := fmt.Sprint(i)
			rows, err := query(c, `SELECT `+want+` AS n`)
			if err != nil || len(rows) != 1 || rows[0]["n"] != want {
				t.Errorf("query %d: %v, %v", i, rows, err)
			}
		}()
	}
	many.Wait()
}

func TestClientDroppedMidResponse(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	sql := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 2000) SELECT i, 'text' AS t FROM n`
	for _, cut := range []int{1, 5, 30, 500, 50_000} {
		fake.CutNextAnswer(cut)
		_, err := query(c, sql)
		if err == nil {
			t.Fatalf("cut at %d: no error", cut)
		}
		if rows := collect(t, c, sql); len(rows) != 2000 {
			t.Fatalf("cut at %d: then %d rows", cut, len(rows))
		}
	}
}

func TestClientSurvivesCoreRestart(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	if err := c.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
	fake.Stop()
	if err := c.Ping(context.Background()); !errors.Is(err, core.ErrUnreachable) {
		t.Errorf("a dead core: %v", err)
	}
	if err := fake.Listen(); err != nil {
		t.Fatal(err)
	}
	// A connection that died while unused costs the caller nothing.
	for range 3 {
		if err := c.Ping(context.Background()); err != nil {
			t.Errorf("after the restart: %v", err)
		}
		fake.DropConnections()
		fake.Wait(t, "the connections to go", func() bool { return fake.Connections() == 0 })
	}
}

func TestClientCallbackError(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	enough := errors.New("enough")
	err := c.Query(context.Background(), `SELECT * FROM users`, func(*core.Row) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if rows := collect(t, c, `SELECT 1 AS one`); len(rows) != 1 {
		t.Error("the client did not recover")
	}
}

func TestClientClose(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	fake.Delay(fakecore.Ping, time.Hour, 0)
	failed := make(chan error, 2)
	for range 2 {
		go func() { failed <- c.Ping(context.Background()) }()
	}
	fake.Wait(t, "the ping", func() bool { return fake.Calls(fakecore.Ping) == 1 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case err := <-failed:
			if !errors.Is(err, core.ErrClosed) {
				t.Errorf("got %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("a call outlives Close")
		}
	}
	if err := c.Ping(context.Background()); !errors.Is(err, core.ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestClientRefusesUnsafeSockets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: owners of sockets, where there are pipes instead")
	}
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ping := func(path string) error {
		c := core.NewClient(path, core.ClientOptions{})
		defer c.Close()
		return c.Ping(context.Background())
	}

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ping(file); !errors.Is(err, core.ErrUnsafe) {
		t.Errorf("a plain file: %v", err)
	}
	if err := ping(filepath.Join(dir, "missing")); !errors.Is(err, core.ErrUnreachable) {
		t.Errorf("nothing: %v", err)
	}
	path := filepath.Join(dir, "osquery.em")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := ping(link); !errors.Is(err, core.ErrUnsafe) {
		t.Errorf("a link: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: a stranger's socket, which takes root to make")
	}
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if err := ping(path); !errors.Is(err, core.ErrUnsafe) || !strings.Contains(err.Error(), "owner") {
		t.Errorf("a stranger's socket: %v", err)
	}
}

// answer builds the bytes of a response whose list of rows says it has n rows of
// m columns, with what body writes after.
func answer(n, m int32, body func(*bytes.Buffer)) []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.BigEndian, v) }
	b.WriteByte(byte(thrift.STRUCT))
	put(int16(0))
	b.WriteByte(byte(thrift.LIST))
	put(int16(2))
	b.WriteByte(byte(thrift.MAP))
	put(n)
	b.WriteByte(byte(thrift.STRING))
	b.WriteByte(byte(thrift.STRING))
	put(m)
	if body != nil {
		body(&b)
	}
	return b.Bytes()
}

func TestClientBounds(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{MaxRows: 100, MaxString: 4096, MaxBytes: 256 << 10, Timeout: time.Minute})
	size := func(n int32) func(*bytes.Buffer) {
		return func(b *bytes.Buffer) { _ = binary.Write(b, binary.BigEndian, n) }
	}
	endless := bytes.Repeat(answer(1, 1, nil), 100_000)
	hostile := map[string][]byte{
		"rows":            answer(101, 1, nil),
		"a billion rows":  answer(1<<30+1, 1, nil), // times four bytes overflows to four
		"negative rows":   answer(-1, 1, nil),
		"columns":         answer(1, 1<<20, nil),
		"overflown":       answer(1, 1<<29, nil),
		"name":            answer(1, 1, size(2000)),
		"negative name":   answer(1, 1, size(-5)),
		"value":           answer(1, 1, func(b *bytes.Buffer) { size(1)(b); b.WriteByte('n'); size(300 << 10)(b) }), // more than the whole answer may have
		"negative value":  answer(1, 1, func(b *bytes.Buffer) { size(1)(b); b.WriteByte('n'); size(-1)(b) }),
		"no response":     {byte(thrift.STOP)},
		"wrong row type":  append(answer(1, 1, nil)[:6], byte(thrift.I64), 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"unknown, a lot":  append([]byte{byte(thrift.LIST), 0, 9, byte(thrift.BYTE), 0x7f, 0xff, 0xff, 0xff}, endless...),
		"unknown, nested": append([]byte{byte(thrift.STRUCT), 0, 9}, bytes.Repeat([]byte{byte(thrift.STRUCT), 0, 1}, 5000)...),
	}
	for name, bytes := range hostile {
		t.Run(name, func(t *testing.T) {
			fake.CanRaw("hostile", bytes)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := query(c, "hostile")
			runtime.ReadMemStats(&after)
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
				t.Errorf("took %d bytes of memory", grown)
			}
			if rows := collect(t, c, `SELECT 1 AS one`); len(rows) != 1 {
				t.Error("the client did not recover")
			}
		})
	}

	// A value that is too long is cut, and hides none of the rows beside it.
	if err := fake.Can("long", []map[string]string{{"v": strings.Repeat("x", 5000)}, {"v": "short"}}); err != nil {
		t.Fatal(err)
	}
	if rows, err := query(c, "long"); err != nil || len(rows) != 2 || len(rows[0]["v"]) != 4096 || rows[1]["v"] != "short" {
		t.Errorf("a long value: %d rows, %v", len(rows), err)
	}

	many := make([]map[string]string, 100)
	for i := range many {
		many[i] = map[string]string{"v": strings.Repeat("x", 4000)}
	}
	if err := fake.Can("too much", many); err != nil {
		t.Fatal(err)
	}
	if _, err := query(c, "too much"); !errors.Is(err, core.ErrTooLarge) {
		t.Errorf("400 kB: %v", err)
	}
	if err := fake.Can("enough", many[:50]); err != nil {
		t.Fatal(err)
	}
	if rows, err := query(c, "enough"); err != nil || len(rows) != 50 {
		t.Errorf("200 kB: %d rows, %v", len(rows), err)
	}
}

func TestClientColumnsMayVary(t *testing.T) {
	fake := fakecore.Start(t)
	c := newClient(t, fake, core.ClientOptions{})
	want := []map[string]string{
		{"a": "1", "b": "2"}, {}, {"c": "3"}, {"a": "", "b": "x", "c": "y", "d": "z"}, {"b": "2"},
	}
	if err := fake.Can("ragged", want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, collect(t, c, "ragged")); diff != "" {
		t.Error(diff)
	}
}

// benchRows are rows like those of process_events.
func benchRows(n int) []map[string]string {
	rows := make([]map[string]string, n)
	for i := range rows {
		rows[i] = map[string]string{
			"time": "1700000000", "eid": fmt.Sprintf("%010d", i), "pid": fmt.Sprint(1000 + i), "parent": "1",
			"path": "/usr/bin/systemctl", "cmdline": "systemctl list-units --type=service --state=running --no-pager",
			"cwd": `"/home/alex"`, "uid": "1000", "euid": "0", "auid": "1000", "gid": "1000", "syscall": "execve",
		}
	}
	return rows
}

func BenchmarkPull(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		fake := fakecore.Start(b)
		if err := fake.Can("pull", benchRows(n)); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("rollcall/%d", n), func(b *testing.B) {
			c := newClient(b, fake, core.ClientOptions{})
			b.ReportAllocs()
			for b.Loop() {
				got := 0
				err := c.Query(context.Background(), "pull", func(r *core.Row) error {
					if r.Get("cmdline") != "" {
						got++
					}
					return nil
				})
				if err != nil || got != n {
					b.Fatal(got, err)
				}
			}
		})
		b.Run(fmt.Sprintf("osquery-go/%d", n), func(b *testing.B) {
			c, err := osquerygo.NewClient(fake.Socket(), time.Minute)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.ReportAllocs()
			for b.Loop() {
				rows, err := c.QueryRows("pull")
				if err != nil || len(rows) != n {
					b.Fatal(len(rows), err)
				}
			}
		})
	}
}
