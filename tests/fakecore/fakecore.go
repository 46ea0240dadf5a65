// Package fakecore is an osquery core for tests: it serves the extension socket,
// registers extensions and calls them back as osquery does, and answers queries
// from an SQLite database with osquery's table names in it, so that SQL meant for
// osquery really runs. It can be told to misbehave in the ways a real core does.
//
// It also watches manners: a query that reads an event table without a
// constraint on time, or the tables of the schedule at all, is refused.
package fakecore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Method is a call of the extension manager's API.
type Method string

// The calls that can be made to misbehave.
const (
	Ping       Method = "ping"
	Query      Method = "query"
	Extensions Method = "extensions"
	Options    Method = "options"
	Register   Method = "registerExtension"
	Deregister Method = "deregisterExtension"
)

// Extension is one registered extension.
type Extension struct {
	UUID     int64
	Name     string
	Version  string
	Registry osquery.ExtensionRegistry
}

// Core is a fake osquery core.
type Core struct {
	path string
	dir  string // to remove, when it is ours

	dbMu sync.Mutex
	db   *sqlite.Conn

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	exts     map[int64]Extension
	nextUUID int64
	options  map[string]*osquery.InternalOptionInfo
	faults   map[Method]fault
	canned   map[string][]byte
	cut      int // close the connection after this many bytes of the next query's answer
	queries  []string
	calls    map[Method]int
	changed  chan struct{} // closed and replaced whenever something happens

	stop chan struct{}
	wg   sync.WaitGroup
}

type fault struct {
	delay   time.Duration
	code    int32
	message string
	times   int // 0: always
}

// Start serves a core on a socket of its own until the test ends.
func Start(tb testing.TB) *Core {
	tb.Helper()
	// Not tb.TempDir: its paths outgrow what a socket's address holds.
	dir, err := os.MkdirTemp("", "core")
	if err != nil {
		tb.Fatal(err)
	}
	c, err := New(address(dir))
	if err != nil {
		_ = os.RemoveAll(dir)
		tb.Fatal(err)
	}
	c.dir = dir
	tb.Cleanup(c.Close)
	return c
}

// New serves a core at path.
func New(path string) (*Core, error) {
	db, err := sqlite.OpenConn(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, fmt.Errorf("opening the core's database: %w", err)
	}
	if err := sqlitex.ExecuteScript(db, schema, nil); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("filling the core's database: %w", err)
	}
	c := &Core{
		path:     path,
		db:       db,
		conns:    map[net.Conn]bool{},
		exts:     map[int64]Extension{},
		nextUUID: 100,
		options:  map[string]*osquery.InternalOptionInfo{},
		faults:   map[Method]fault{},
		canned:   map[string][]byte{},
		calls:    map[Method]int{},
		changed:  make(chan struct{}),
		stop:     make(chan struct{}),
	}
	if err := c.Listen(); err != nil {
		_ = db.Close()
		return nil, err
	}
	return c, nil
}

// Socket is the path of the extension socket, a pipe's name on Windows.
func (c *Core) Socket() string { return c.path }

// Listen begins to serve again after Stop.
func (c *Core) Listen() error {
	l, err := listen(c.path)
	if err != nil {
		return fmt.Errorf("listening as osquery: %w", err)
	}
	c.mu.Lock()
	c.listener = l
	c.mu.Unlock()
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		c.accept(l)
	}()
	return nil
}

// Stop is the death of the core: the socket goes, its connections break, its
// registrations are forgotten. Listen brings up another one.
func (c *Core) Stop() {
	c.mu.Lock()
	l := c.listener
	c.listener = nil
	gone := slices.Collect(maps.Keys(c.exts))
	clear(c.exts)
	c.mu.Unlock()
	for _, uuid := range gone {
		c.unlist(uuid)
	}
	if l != nil {
		_ = l.Close()
	}
	c.DropConnections()
}

// Close ends the core and everything it started.
func (c *Core) Close() {
	close(c.stop)
	c.Stop()
	c.wg.Wait()
	c.dbMu.Lock()
	_ = c.db.Close()
	c.dbMu.Unlock()
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

// DropConnections breaks every connection to the core.
func (c *Core) DropConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

// Connections is the number of open connections to the core.
func (c *Core) Connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.conns)
}

// Exec runs SQL on the core's tables.
func (c *Core) Exec(tb testing.TB, sql string, args ...any) {
	tb.Helper()
	c.dbMu.Lock()
	defer c.dbMu.Unlock()
	if err := sqlitex.Execute(c.db, sql, &sqlitex.ExecOptions{Args: args}); err != nil {
		tb.Fatalf("core: %s: %v", sql, err)
	}
}

// SetFlag sets a flag in osquery_flags and in the options.
func (c *Core) SetFlag(tb testing.TB, name, value string) {
	tb.Helper()
	c.Exec(tb, `DELETE FROM osquery_flags WHERE name = ?`, name)
	c.Exec(tb, `INSERT INTO osquery_flags (name, value, type) VALUES (?, ?, 'string')`, name, value)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.options[name] = &osquery.InternalOptionInfo{Value: value, Type: "string"}
}

// ExecEvent is one row of process_events; zero fields get plausible values.
type ExecEvent struct {
	Time, EID, PID, Parent int64
	Path, CmdLine, CWD     string
	UID, EUID, AUID        int64
	Syscall                string
}

// AddExecs inserts rows into process_events.
func (c *Core) AddExecs(tb testing.TB, events ...ExecEvent) {
	tb.Helper()
	c.dbMu.Lock()
	defer c.dbMu.Unlock()
	var err error
	defer sqlitex.Save(c.db)(&err)
	for _, e := range events {
		if e.Syscall == "" {
			e.Syscall = "execve"
		}
		if e.CWD == "" {
			e.CWD = `"/"`
		}
		err = sqlitex.Execute(c.db, `INSERT INTO process_events
			(time, eid, pid, parent, path, cmdline, cmdline_size, cwd, uid, euid, auid, gid, egid, syscall)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?)`, &sqlitex.ExecOptions{Args: []any{
			e.Time, fmt.Sprintf("%010d", e.EID), e.PID, e.Parent, e.Path, e.CmdLine, len(e.CmdLine), e.CWD,
			e.UID, e.EUID, e.AUID, e.Syscall}})
		if err != nil {
			tb.Fatalf("core: adding an event: %v", err)
		}
	}
}

// Can prepares the answer to one SQL text, so that answering costs nothing.
func (c *Core) Can(sql string, rows []map[string]string) error {
	buf := thrift.NewTMemoryBuffer()
	result := osquery.ExtensionManagerQueryResult{Success: &osquery.ExtensionResponse{
		Status: &osquery.ExtensionStatus{Message: "OK"}, Response: rows}}
	ctx := context.Background()
	if err := result.Write(ctx, thrift.NewTBinaryProtocolConf(buf, nil)); err != nil {
		return fmt.Errorf("preparing an answer: %w", err)
	}
	c.CanRaw(sql, bytes.Clone(buf.Bytes()))
	return nil
}

// CanRaw prepares the bytes that follow the message header in the answer to one
// SQL text: for answers that no honest core gives.
func (c *Core) CanRaw(sql string, answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.canned[sql] = answer
}

// Delay makes a call take its time; times is how often, 0 for always.
func (c *Core) Delay(m Method, d time.Duration, times int) {
	c.setFault(m, fault{delay: d, times: times})
}

// Fail makes a call answer with an error status; times is how often, 0 for always.
func (c *Core) Fail(m Method, code int32, message string, times int) {
	c.setFault(m, fault{code: code, message: message, times: times})
}

// RefuseDuplicate makes the core refuse registrations as osquery refuses those
// of a name that it still knows.
func (c *Core) RefuseDuplicate(times int) {
	c.Fail(Register, 1, "Duplicate extension registered", times)
}

// Heal ends a call's misbehaviour.
func (c *Core) Heal(m Method) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.faults, m)
}

func (c *Core) setFault(m Method, f fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[m] = f
}

// CutNextAnswer breaks the connection after n bytes of the next answer to a query.
func (c *Core) CutNextAnswer(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = n
}

// Forget drops a registration without telling the extension: it becomes a zombie.
func (c *Core) Forget(uuid int64) {
	c.unlist(uuid)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.exts, uuid)
	c.notify()
}

// Registered lists the registered extensions by uuid.
func (c *Core) Registered() []Extension {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Extension, 0, len(c.exts))
	for _, e := range c.exts {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Extension) int { return int(a.UUID - b.UUID) })
	return list
}

// Calls is how often a call was made.
func (c *Core) Calls(m Method) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[m]
}

// Queries lists the SQL that was asked so far.
func (c *Core) Queries() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.queries)
}

// Wait returns when cond holds, which is looked at after every call to the core,
// or fails the test after a minute.
func (c *Core) Wait(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond):
		case <-deadline.C:
			tb.Fatalf("core: still waiting for %s", what)
		}
	}
}

// WaitRegistered waits for an extension of that name whose socket answers.
func (c *Core) WaitRegistered(tb testing.TB, name string) Extension {
	tb.Helper()
	var found Extension
	c.Wait(tb, "extension "+name, func() bool {
		for _, e := range c.Registered() {
			if e.Name != name {
				continue
			}
			p, err := c.Dial(e.UUID)
			if err != nil {
				return false
			}
			_ = p.Close()
			found = e
			return true
		}
		return false
	})
	return found
}

func (c *Core) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Core) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.conns[conn] = true
		c.mu.Unlock()
		c.wg.Add(1)
		go func() {
			defer c.wg.Done()
			c.serve(conn)
			_ = conn.Close()
			c.mu.Lock()
			delete(c.conns, conn)
			c.notify()
			c.mu.Unlock()
		}()
	}
}

// serve answers one connection until it ends.
func (c *Core) serve(conn net.Conn) {
	ctx := context.Background()
	out := &cutter{Conn: conn, left: -1}
	trans := thrift.NewTBufferedTransport(transport{out}, 64<<10)
	proto := thrift.NewTBinaryProtocolConf(trans, nil)
	processor := osquery.NewExtensionManagerProcessor(&handler{core: c})
	for {
		name, _, seq, err := proto.ReadMessageBegin(ctx)
		if err != nil {
			return
		}
		function, ok := processor.GetProcessorFunction(name)
		if !ok {
			return
		}
		if Method(name) == Query {
			c.mu.Lock()
			if c.cut > 0 {
				out.left, c.cut = c.cut, 0
			}
			hasCanned := len(c.canned) > 0
			c.mu.Unlock()
			if hasCanned {
				if err := c.serveCanned(ctx, proto, seq); err != nil {
					return
				}
				continue
			}
		}
		if _, err := function.Process(ctx, seq, proto, proto); err != nil {
			return
		}
	}
}

// serveCanned answers a query with what was prepared for it, or as usual.
func (c *Core) serveCanned(ctx context.Context, proto *thrift.TBinaryProtocol, seq int32) error {
	var args osquery.ExtensionManagerQueryArgs
	if err := args.Read(ctx, proto); err != nil {
		return err
	}
	c.mu.Lock()
	answer, ok := c.canned[args.Sql]
	c.mu.Unlock()
	if err := proto.WriteMessageBegin(ctx, string(Query), thrift.REPLY, seq); err != nil {
		return err
	}
	if ok {
		if _, err := proto.Transport().Write(answer); err != nil {
			return err
		}
		return proto.Flush(ctx)
	}
	response, err := (&handler{core: c}).Query(ctx, args.Sql)
	if err != nil {
		return err
	}
	result := osquery.ExtensionManagerQueryResult{Success: response}
	if err := result.Write(ctx, proto); err != nil {
		return err
	}
	return proto.Flush(ctx)
}

// cutter closes its connection after some bytes, when told so.
type cutter struct {
	net.Conn
	left int
}

func (w *cutter) Write(p []byte) (int, error) {
	if w.left < 0 {
		return w.Conn.Write(p)
	}
	n, err := w.Conn.Write(p[:min(len(p), w.left)])
	w.left -= n
	if err == nil && n < len(p) {
		_ = w.Close()
		return n, io.ErrClosedPipe
	}
	return n, err
}

type transport struct{ net.Conn }

func (t transport) Open() error                 { return nil }
func (t transport) IsOpen() bool                { return true }
func (t transport) Flush(context.Context) error { return nil }
func (t transport) RemainingBytes() uint64      { return ^uint64(0) }

// handler is the manager's API.
type handler struct{ core *Core }

// enter counts a call and applies its fault.
func (h *handler) enter(m Method) *osquery.ExtensionStatus {
	c := h.core
	c.mu.Lock()
	c.calls[m]++
	f, faulty := c.faults[m]
	if faulty && f.times > 0 {
		if f.times--; f.times == 0 {
			delete(c.faults, m)
		} else {
			c.faults[m] = f
		}
	}
	c.notify()
	c.mu.Unlock()
	if !faulty {
		return nil
	}
	if f.delay > 0 {
		timer := time.NewTimer(f.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.stop:
		}
	}
	if f.code != 0 {
		return &osquery.ExtensionStatus{Code: f.code, Message: f.message}
	}
	return nil
}

func (h *handler) Ping(context.Context) (*osquery.ExtensionStatus, error) {
	if s := h.enter(Ping); s != nil {
		return s, nil
	}
	return &osquery.ExtensionStatus{Message: "pong"}, nil
}

func (h *handler) Call(context.Context, string, string, osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	return &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Code: 1, Message: "no plugins here"}}, nil
}

func (h *handler) Shutdown(context.Context) error { return nil }

func (h *handler) Extensions(context.Context) (osquery.InternalExtensionList, error) {
	if s := h.enter(Extensions); s != nil {
		return nil, errors.New(s.Message)
	}
	list := osquery.InternalExtensionList{}
	for _, e := range h.core.Registered() {
		list[osquery.ExtensionRouteUUID(e.UUID)] = &osquery.InternalExtensionInfo{Name: e.Name, Version: e.Version}
	}
	return list, nil
}

func (h *handler) Options(context.Context) (osquery.InternalOptionList, error) {
	if s := h.enter(Options); s != nil {
		return nil, errors.New(s.Message)
	}
	h.core.mu.Lock()
	defer h.core.mu.Unlock()
	list := osquery.InternalOptionList{}
	for name, info := range h.core.options {
		list[name] = info
	}
	return list, nil
}

func (h *handler) RegisterExtension(_ context.Context, info *osquery.InternalExtensionInfo, registry osquery.ExtensionRegistry) (*osquery.ExtensionStatus, error) {
	if s := h.enter(Register); s != nil {
		return s, nil
	}
	c := h.core
	e, ok := c.admit(Extension{Name: info.Name, Version: info.Version, Registry: registry})
	if !ok {
		return &osquery.ExtensionStatus{Code: 1, Message: "Duplicate extension registered"}, nil
	}
	if err := c.list(e); err != nil {
		return nil, err
	}
	return &osquery.ExtensionStatus{Message: "OK", UUID: osquery.ExtensionRouteUUID(e.UUID)}, nil
}

// admit gives an extension its uuid, unless another has its name.
func (c *Core) admit(e Extension) (Extension, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.exts {
		if other.Name == e.Name {
			return Extension{}, false
		}
	}
	c.nextUUID++
	e.UUID = c.nextUUID
	c.exts[e.UUID] = e
	c.notify()
	return e, true
}

func (h *handler) DeregisterExtension(_ context.Context, uuid osquery.ExtensionRouteUUID) (*osquery.ExtensionStatus, error) {
	if s := h.enter(Deregister); s != nil {
		return s, nil
	}
	c := h.core
	c.unlist(int64(uuid))
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.exts[int64(uuid)]; !ok {
		return &osquery.ExtensionStatus{Code: 1, Message: "No extension UUID found"}, nil
	}
	delete(c.exts, int64(uuid))
	c.notify()
	return &osquery.ExtensionStatus{Message: "OK"}, nil
}

var (
	eventTable   = regexp.MustCompile(`(?i)\b(process_events|socket_events|syslog_events|powershell_events|windows_events|process_etw_events|bpf_process_events|es_process_events|user_events)\b`)
	timeBound    = regexp.MustCompile(`(?i)\bWHERE\b.*\btime\s*(>=|>|=|IN\b)`)
	lockedTables = regexp.MustCompile(`(?i)\bosquery_(schedule|packs)\b`)
)

// manners refuses what would harm a real core.
func manners(sql string) error {
	if lockedTables.MatchString(sql) {
		return errors.New("the scheduler holds the lock of this table")
	}
	for _, name := range eventTable.FindAllString(sql, -1) {
		// The name alone, as a value, is fine: WHERE name = 'process_events'.
		if strings.Contains(sql, "'"+name+"'") {
			continue
		}
		if !timeBound.MatchString(strings.ReplaceAll(sql, "\n", " ")) {
			return fmt.Errorf("%s without a constraint on time moves the cursor of a scheduled query", name)
		}
	}
	return nil
}

func (h *handler) Query(_ context.Context, sql string) (*osquery.ExtensionResponse, error) {
	c := h.core
	c.mu.Lock()
	c.queries = append(c.queries, sql)
	c.mu.Unlock()
	if s := h.enter(Query); s != nil {
		return &osquery.ExtensionResponse{Status: s}, nil
	}
	if err := manners(sql); err != nil {
		return &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Code: 1, Message: err.Error()}}, nil
	}
	rows, err := c.Rows(sql)
	if err != nil {
		return &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Code: 1, Message: err.Error()}}, nil
	}
	return &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Message: "OK"}, Response: rows}, nil
}

func (h *handler) GetQueryColumns(_ context.Context, sql string) (*osquery.ExtensionResponse, error) {
	h.core.dbMu.Lock()
	defer h.core.dbMu.Unlock()
	stmt, _, err := h.core.db.PrepareTransient(sql)
	if err != nil {
		return &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Code: 1, Message: err.Error()}}, nil
	}
	defer func() { _ = stmt.Finalize() }()
	columns := osquery.ExtensionPluginResponse{}
	for i := range stmt.ColumnCount() {
		columns = append(columns, map[string]string{stmt.ColumnName(i): "TEXT"})
	}
	return &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Message: "OK"}, Response: columns}, nil
}
