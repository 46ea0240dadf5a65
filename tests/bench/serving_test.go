//go:build linux

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	osquerygo "github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/gen/osquery"
	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/lifecycle"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tables"
	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// tape is a connection that is listened in on.
type tape struct {
	net.Conn
	sent     bytes.Buffer
	received int
}

func (c *tape) Write(p []byte) (int, error) {
	c.sent.Write(p)
	return c.Conn.Write(p)
}

func (c *tape) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received += n
	return n, err
}

// transport lends a connection the shape that thrift wants.
type transport struct{ *tape }

func (transport) Open() error                 { return nil }
func (transport) IsOpen() bool                { return true }
func (transport) Flush(context.Context) error { return nil }
func (transport) RemainingBytes() uint64      { return ^uint64(0) }

// caller asks an extension for a table again and again and takes the answer's bytes
// as they are: what is measured is the server. One real call tells what to send and
// how long the answer is.
func caller(t *testing.T, fake *fakecore.Core, uuid int64, name string, want int) func() {
	t.Helper()
	conn, err := net.Dial("unix", fmt.Sprintf("%s.%d", fake.Socket(), uuid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	heard := &tape{Conn: conn}
	proto := thrift.NewTBinaryProtocolConf(thrift.NewTBufferedTransport(transport{heard}, 64<<10), nil)
	client := osquery.NewExtensionClient(thrift.NewTStandardClient(proto, proto))
	request, err := fakecore.Context(nil, fakecore.Constraint{Column: "recorded", Op: 32, Expr: "1", Affinity: "BIGINT"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Call(context.Background(), "table", name, map[string]string{"action": "generate", "context": request})
	if err != nil || len(answer.Response) != want {
		t.Fatalf("%d rows: %v", len(answer.Response), err)
	}
	call, buf := bytes.Clone(heard.sent.Bytes()), make([]byte, heard.received)
	return func() {
		if _, err := conn.Write(call); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServing asks for 1,000 rows of the widest table over a socket.
func TestServing(t *testing.T) {
	s := openStore(t)
	now := time.Now().Unix()
	if err := s.Commit(t.Context(), &store.Batch{Events: events(1, 1000, now), Now: now}); err != nil {
		t.Fatal(err)
	}
	ours := tables.ServiceDiscoveryEvents(s, nobody{})
	rows, err := ours.Generate.Maps(t.Context(), table.QueryContext{})
	if err != nil || len(rows) != 1000 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	prebuilt := func(context.Context, table.QueryContext) ([]map[string]string, error) { return rows, nil }

	fake := fakecore.Start(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- lifecycle.Serve(ctx, lifecycle.Options{Socket: fake.Socket(), Name: "rollcall", Version: "1", Tables: []*tables.Table{tables.NewGuard(10*time.Second, 4, nil).Wrap(ours)}})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	serve := func(name string, opts ...osquerygo.ServerOption) int64 {
		server, err := osquerygo.NewExtensionManagerServer(name, fake.Socket(), opts...)
		if err != nil {
			t.Fatal(err)
		}
		server.RegisterPlugin(table.NewPlugin(name+"_events", ours.Columns, prebuilt))
		served := make(chan error, 1)
		go func() { served <- server.Start() }()
		t.Cleanup(func() {
			if err := server.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			<-served
		})
		return fake.WaitRegistered(t, name).UUID
	}
	buffered := serve("buffered", osquerygo.WithTransportFactory(thrift.NewTBufferedTransportFactory(64<<10)))
	list := measure([]string{"serve 1000 rows", "serve 1000 rows osquery-go buffered"},
		caller(t, fake, fake.WaitRegistered(t, "rollcall").UUID, ours.Name, 1000),
		caller(t, fake, buffered, "buffered_events", 1000))
	budgets.keep(list...)
	add(t, "table of 1,000 rows over the socket", list[0].cpu(), "osquery-go, buffered, rows made before "+short(list[1].cpu()), list[0].ratio(list[1], ofCPU), 1.3)
	made := measure([]string{"make 1000 rows"}, func() {
		rows, err := ours.Generate(t.Context(), table.QueryContext{})
		if err != nil {
			t.Fatal(err)
		}
		rows.Free()
	})
	budgets.keep(made...)
	budgets.add(t, result{"of this, reading and making the rows", short(made[0].cpu()), "", "", "", false, true})
}

// TestPull reads 1,000 rows of the core's.
func TestPull(t *testing.T) {
	fake := fakecore.Start(t)
	rows := make([]map[string]string, 1000)
	for i := range rows {
		rows[i] = map[string]string{
			"time": "1700000000", "eid": fmt.Sprintf("%010d", i), "pid": fmt.Sprint(1000 + i), "parent": "1",
			"path": "/usr/bin/systemctl", "cmdline": "systemctl list-units --type=service --state=running --no-pager",
			"cwd": `"/home/alex"`, "uid": "1000", "euid": "0", "auid": "1000", "gid": "1000", "syscall": "execve",
		}
	}
	if err := fake.Can("pull", rows); err != nil {
		t.Fatal(err)
	}
	ours := core.NewClient(fake.Socket(), core.ClientOptions{})
	defer func() { _ = ours.Close() }()
	theirs, err := osquerygo.NewClient(fake.Socket(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	list := measure([]string{"pull 1000 rows", "pull 1000 rows osquery-go"},
		func() {
			got := 0
			err := ours.Query(context.Background(), "pull", func(r *core.Row) error {
				if r.Get("cmdline") != "" {
					got++
				}
				return nil
			})
			if err != nil || got != len(rows) {
				t.Fatal(got, err)
			}
		},
		func() {
			if got, err := theirs.QueryRows("pull"); err != nil || len(got) != len(rows) {
				t.Fatal(len(got), err)
			}
		})
	budgets.keep(list...)
	add(t, "pull of 1,000 core rows", list[0].wall(), "osquery-go's client "+short(list[1].wall())+" (on the clock)", list[0].ratio(list[1], ofWall), 0.5)
}
