// Package sqlshell answers SQL over Rollcall's tables without osquery: an
// in-memory SQLite in which each tables.Table is a virtual table, fed by the
// same generator and the same constraints that osquery would hand it.
//
// What osquery does to an extension's table is done here too, down to its
// surprises, so that a query gives the same rows in both places: which
// constraints reach a generator (the column options decide), how text becomes a
// number, that a missing TEXT value is an empty string. The facts are those of
// osquery's virtual_table.cpp and dynamic_table_row.cpp. Deliberately different:
//
//   - an IN list on an Optimized column arrives one element a call, never as
//     one list, and an empty text in it is no constraint, as with "=";
//   - the same scan repeated by a nested loop reuses the rows of the scan before
//     it, within one statement;
//   - a rowid that is no number is hashed where osquery fails the query.
//
// The database lives in memory, no statement can reach a file, and nothing can
// write to a table of Rollcall's. Temporary tables and views are allowed.
package sqlshell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/osquery/osquery-go/plugin/table"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/osquery-rollcall/rollcall/tables"
)

// Options are the choices of Open. The zero value is usable.
type Options struct {
	// Warn is told, in one line without a newline, what a person who wrote the
	// query should know although it ran. It is called from the goroutine of
	// Query. Nil drops the warnings.
	Warn func(msg string)
	// Strict fails a query that leaves out a table's required column, as
	// osquery does. Otherwise such a table has no rows and Warn says why.
	Strict bool
	// Lookup answers constraints that no generator reads, those on columns that are
	// neither required, nor an index, nor additional, from the rows of one call: a join
	// then goes through the rows that fit alone. osquery goes through all of them, or
	// asks again for each value.
	Lookup bool
}

// The caps on one database: what a statement can make SQLite allocate.
const (
	maxValueBytes = 64 << 20  // one string or blob
	maxSQLBytes   = 1 << 20   // one statement
	maxPages      = 64 * 1024 // of 4 KiB: what temporary tables may hold
)

// DB is an open shell. Its methods may be called from several goroutines;
// queries run one at a time.
type DB struct {
	conn   *sqlite.Conn
	opts   Options
	tables map[string]*tables.Table // by lower-case name
	names  []string                 // sorted

	// lock holds one token; whoever has it owns conn and the fields below.
	lock   chan struct{}
	closed bool

	// The state of the query that runs, for SQLite's callbacks.
	ctx    context.Context // of the running query; context.Background between queries
	failed error           // what a generator or a function failed with
	denied string          // what the authorizer refused
	warned map[string]bool // what Warn was told about the running statement
}

// Open makes a database in memory with one eponymous virtual table per element
// of tabs. It fails when two tables share a name, when a table has no name, no
// columns, no generator, or two columns of one name.
func Open(ctx context.Context, tabs []*tables.Table, opts Options) (_ *DB, err error) {
	conn, err := sqlite.OpenConn(":memory:", sqlite.OpenReadWrite, sqlite.OpenCreate, sqlite.OpenMemory)
	if err != nil {
		return nil, fmt.Errorf("open an in-memory database: %w", err)
	}
	db := &DB{
		conn:   conn,
		opts:   opts,
		tables: make(map[string]*tables.Table, len(tabs)),
		lock:   make(chan struct{}, 1),
		ctx:    context.Background(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}()

	conn.SetInterrupt(ctx.Done())
	defer conn.SetInterrupt(nil)
	conn.Limit(sqlite.LimitLength, maxValueBytes)
	conn.Limit(sqlite.LimitSQLLength, maxSQLBytes)
	conn.Limit(sqlite.LimitAttached, 0)
	if err := conn.SetDefensive(true); err != nil {
		return nil, fmt.Errorf("set up the database: %w", err)
	}
	// Sorting and temporary tables would otherwise spill to files.
	setup := fmt.Sprintf(`PRAGMA temp_store = MEMORY;
		PRAGMA main.max_page_count = %d;
		PRAGMA temp.max_page_count = %d;`, maxPages, maxPages)
	if err := sqlitex.ExecuteScript(conn, setup, nil); err != nil {
		return nil, fmt.Errorf("set up the database: %w", err)
	}
	if err := registerFunctions(conn, db.fail); err != nil {
		return nil, err
	}
	for _, tab := range tabs {
		if err := db.register(tab); err != nil {
			return nil, err
		}
	}
	slices.Sort(db.names)
	// Last, since the statements above are ones it refuses.
	if err := conn.SetAuthorizer(sqlite.AuthorizeFunc(db.authorize)); err != nil {
		return nil, fmt.Errorf("set up the database: %w", err)
	}
	return db, nil
}

func (db *DB) register(tab *tables.Table) error {
	switch {
	case tab == nil || tab.Name == "":
		return errors.New("register a table: it has no name")
	case len(tab.Columns) == 0:
		return fmt.Errorf("register table %s: it has no columns", tab.Name)
	case tab.Generate == nil:
		return fmt.Errorf("register table %s: it has no generator", tab.Name)
	}
	key := strings.ToLower(tab.Name)
	if _, dup := db.tables[key]; dup {
		return fmt.Errorf("register table %s: the name is taken", tab.Name)
	}
	seen := make(map[string]bool, len(tab.Columns))
	for _, c := range tab.Columns {
		name := strings.ToLower(c.Name)
		if name == "" || strings.ContainsAny(name, "\x00`") {
			return fmt.Errorf("register table %s: column name %q", tab.Name, c.Name)
		}
		if seen[name] {
			return fmt.Errorf("register table %s: column %s appears twice", tab.Name, c.Name)
		}
		seen[name] = true
	}
	vt := newVTable(db, tab)
	err := db.conn.SetModule(tab.Name, &sqlite.Module{
		Connect: func(*sqlite.Conn, *sqlite.VTableConnectOptions) (sqlite.VTable, *sqlite.VTableConfig, error) {
			// Views over the tables are allowed: the tables only read.
			return vt, &sqlite.VTableConfig{Declaration: declaration(tab), AllowIndirect: true}, nil
		},
	})
	if err != nil {
		return fmt.Errorf("register table %s: %w", tab.Name, err)
	}
	db.tables[key] = tab
	db.names = append(db.names, tab.Name)
	return nil
}

// Close releases the database. It waits for a running query to end.
func (db *DB) Close() error {
	db.lock <- struct{}{}
	defer func() { <-db.lock }()
	if db.closed {
		return nil
	}
	db.closed = true
	if err := db.conn.Close(); err != nil {
		return fmt.Errorf("close the in-memory database: %w", err)
	}
	return nil
}

// Tables lists the names of Rollcall's tables, sorted.
func (db *DB) Tables() []string { return slices.Clone(db.names) }

// Table is the table of that name in any case, or nil.
func (db *DB) Table(name string) *tables.Table { return db.tables[strings.ToLower(name)] }

// Columns are the columns of a table, hidden ones included; nil when there is
// no such table.
func (db *DB) Columns(name string) []table.ColumnDefinition {
	tab := db.Table(name)
	if tab == nil {
		return nil
	}
	return slices.Clone(tab.Columns)
}

// Schema is a table's CREATE TABLE statement for people to read, one column a
// line with its description, or "" when there is no such table.
func (db *DB) Schema(name string) string {
	tab := db.Table(name)
	if tab == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s(\n", tab.Name)
	for i, c := range tab.Columns {
		fmt.Fprintf(&b, "    `%s` %s", c.Name, c.Type)
		if c.Hidden {
			b.WriteString(" HIDDEN")
		}
		if i < len(tab.Columns)-1 {
			b.WriteByte(',')
		}
		var notes []string
		if c.Required {
			notes = append(notes, "required")
		}
		// A comment ends with its line.
		if d := strings.Join(strings.Fields(c.Description), " "); d != "" {
			notes = append(notes, d)
		}
		if len(notes) > 0 {
			b.WriteString(" -- " + strings.Join(notes, ": "))
		}
		b.WriteByte('\n')
	}
	b.WriteString(");")
	return b.String()
}

// declaration is what SQLite is told about a table. It has no PRIMARY KEY: a
// single INTEGER one would turn the column into an alias of the rowid, and no
// constraint on it would ever reach the generator.
func declaration(tab *tables.Table) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE x(")
	for i, c := range tab.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "`%s` %s", c.Name, c.Type)
		if c.Hidden {
			b.WriteString(" HIDDEN")
		}
	}
	b.WriteByte(')')
	return b.String()
}

// Kind is the storage class of a Value.
type Kind uint8

// The kinds of values.
const (
	Null Kind = iota
	Integer
	Float
	Text
	Blob
)

func (k Kind) String() string {
	switch k {
	case Integer:
		return "INTEGER"
	case Float:
		return "REAL"
	case Text:
		return "TEXT"
	case Blob:
		return "BLOB"
	}
	return "NULL"
}

// Value is one cell of a result.
type Value struct {
	Kind  Kind
	Int   int64   // when Kind is Integer
	Float float64 // when Kind is Float
	// Text is the value as SQLite writes it, "" for NULL: what osqueryi prints.
	// It may hold any bytes.
	Text string
}

func (v Value) String() string { return v.Text }

// Sink receives the results of the statements of a query, one after another.
// A statement that returns no columns (CREATE VIEW) is not announced. Slices are
// valid during the call only. An error ends the query and is returned as it is.
type Sink interface {
	// Begin announces a result, which may turn out to have no rows.
	Begin(cols []string) error
	Row(row []Value) error
	// End says that the result is complete; it is not called after an error.
	End() error
}

// TextSink is a Sink that takes values as text.
type TextSink interface {
	Begin(cols []string) error
	Row(row []string) error
	End() error
}

// Texts makes a Sink of one that takes text.
func Texts(w TextSink) Sink { return &texts{w: w} }

type texts struct {
	w   TextSink
	row []string
}

func (t *texts) Begin(cols []string) error { return t.w.Begin(cols) }

func (t *texts) Row(row []Value) error {
	t.row = t.row[:0]
	for i := range row {
		t.row = append(t.row, row[i].Text)
	}
	return t.w.Row(t.row)
}

func (t *texts) End() error { return t.w.End() }

// Query runs the statements of sql, separated by semicolons, and calls fn with
// every row. See Run for what it returns; fn's slices are valid during the call
// only.
func (db *DB) Query(ctx context.Context, sql string, fn func(cols []string, row []Value) error) error {
	return db.Run(ctx, sql, &funcSink{fn: fn})
}

type funcSink struct {
	fn   func([]string, []Value) error
	cols []string
}

func (f *funcSink) Begin(cols []string) error { f.cols = cols; return nil }
func (f *funcSink) Row(row []Value) error     { return f.fn(f.cols, row) }
func (f *funcSink) End() error                { return nil }

// Run runs the statements of sql, separated by semicolons, into sink and stops
// at the first error. An error of the SQL or of a table is an *Error, which says
// where; a table's own error is wrapped in it. When ctx ends, so does the query,
// with an error that wraps ctx's. An error of sink is returned as it is.
func (db *DB) Run(ctx context.Context, sql string, sink Sink) error {
	select {
	case db.lock <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for the query before: %w", context.Cause(ctx))
	}
	defer func() { <-db.lock }()
	if db.closed {
		return errors.New("run a query: the database is closed")
	}
	if i := strings.IndexByte(sql, 0); i >= 0 {
		return newError(sql, i, errors.New("a NUL byte cannot be part of SQL"))
	}

	db.ctx = ctx
	db.conn.SetInterrupt(ctx.Done())
	defer func() {
		db.conn.SetInterrupt(nil)
		db.ctx = context.Background()
		db.failed, db.denied, db.warned = nil, "", nil
	}()

	for pos := skipBlank(sql, 0); pos < len(sql); pos = skipBlank(sql, pos) {
		n, err := db.runOne(sql, pos, sink)
		if err != nil {
			return err
		}
		pos += n
	}
	return nil
}

// runOne runs the statement at sql[pos:] and returns its length.
func (db *DB) runOne(sql string, pos int, sink Sink) (n int, err error) {
	db.failed, db.denied, db.warned = nil, "", nil
	rest := sql[pos:]
	stmt, trailing, err := db.conn.PrepareTransient(rest)
	if err != nil {
		off, ok := sqlite.ErrorOffset(err)
		if !ok || off > len(rest) {
			off = 0
		}
		return 0, db.wrap(sql, pos+off, err)
	}
	defer func() {
		// Finalize repeats the error of the last step, which was reported.
		if ferr := stmt.Finalize(); err == nil && ferr != nil {
			err = db.wrap(sql, pos, ferr)
		}
	}()
	n = len(rest) - trailing
	if n <= 0 {
		return 0, newError(sql, pos, errors.New("no statement here"))
	}

	cols := db.columnNames(stmt, rest[:n])
	if len(cols) > 0 {
		if err := sink.Begin(cols); err != nil {
			return 0, err
		}
	}
	row := make([]Value, len(cols))
	for {
		more, err := stmt.Step()
		if err == nil {
			err = db.failed
		}
		if err != nil {
			return 0, db.wrap(sql, pos, err)
		}
		if !more {
			break
		}
		for i := range row {
			row[i] = readValue(stmt, i)
		}
		if err := sink.Row(row); err != nil {
			return 0, err
		}
	}
	if len(cols) > 0 {
		if err := sink.End(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// columnNames are the names of a statement's result. The library (v1.4.2) keeps
// them by name, so that of columns with the same name only the last has one; the
// others' come from a statement around the text, in which SQLite keeps the first
// of a name and numbers the rest ("eid:1").
func (db *DB) columnNames(stmt *sqlite.Stmt, text string) []string {
	cols := make([]string, stmt.ColumnCount())
	known := make(map[string]bool, len(cols))
	missing := false
	for i := range cols {
		cols[i] = stmt.ColumnName(i)
		known[cols[i]] = true
		missing = missing || cols[i] == ""
	}
	if !missing {
		return cols
	}
	around, _, err := db.conn.PrepareTransient("SELECT * FROM (\n" + strings.TrimRight(text, ";") + "\n)")
	if err != nil {
		// No SELECT, such as EXPLAIN or PRAGMA; those name columns once.
		return cols
	}
	defer func() { _ = around.Finalize() }() // it never ran
	if around.ColumnCount() != len(cols) {
		return cols
	}
	for i := range cols {
		if cols[i] != "" {
			continue
		}
		name := around.ColumnName(i)
		if !known[name] {
			if bare := strings.TrimRight(name, "0123456789"); strings.HasSuffix(bare, ":") && known[bare[:len(bare)-1]] {
				name = bare[:len(bare)-1]
			}
		}
		cols[i] = name
	}
	return cols
}

func readValue(stmt *sqlite.Stmt, i int) Value {
	switch stmt.ColumnType(i) {
	case sqlite.TypeInteger:
		return Value{Kind: Integer, Int: stmt.ColumnInt64(i), Text: stmt.ColumnText(i)}
	case sqlite.TypeFloat:
		return Value{Kind: Float, Float: stmt.ColumnFloat(i), Text: stmt.ColumnText(i)}
	case sqlite.TypeText:
		return Value{Kind: Text, Text: stmt.ColumnText(i)}
	case sqlite.TypeBlob:
		return Value{Kind: Blob, Text: stmt.ColumnText(i)}
	}
	return Value{}
}

// fail makes the running statement fail with the first of its errors.
func (db *DB) fail(err error) {
	if db.failed == nil {
		db.failed = err
	}
}

// warn passes a warning on, once a statement.
func (db *DB) warn(msg string) {
	if db.opts.Warn == nil || db.warned[msg] {
		return
	}
	if db.warned == nil {
		db.warned = make(map[string]bool)
	}
	db.warned[msg] = true
	db.opts.Warn(msg)
}
