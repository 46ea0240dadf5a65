package sqlshell

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery/osquery-go/plugin/table"
	"zombiezen.com/go/sqlite"

	"github.com/osquery-rollcall/rollcall/tables"
)

// The costs of osquery's planner: the same plans call a generator the same way.
const (
	costScan   = 1000000 // no constraint reaches the generator
	costPushed = 1       // one does
	costUseful = 10      // added for a comparison that is not passed on
)

// vtable is one of Rollcall's tables to SQLite. It has no state: what BestIndex
// decides travels to Filter in the index's name.
type vtable struct {
	db       *DB
	tab      *tables.Table
	required bool           // a column is Required
	place    map[string]int // of a column, by name
}

func newVTable(db *DB, tab *tables.Table) *vtable {
	vt := &vtable{db: db, tab: tab, place: make(map[string]int, len(tab.Columns))}
	for i, c := range tab.Columns {
		vt.required = vt.required || c.Required
		vt.place[c.Name] = i
	}
	return vt
}

func (vt *vtable) Open() (sqlite.VTableCursor, error) { return &cursor{vt: vt, read: -1}, nil }
func (vt *vtable) Disconnect() error                  { return nil }
func (vt *vtable) Destroy() error                     { return nil }

// read reports whether generators read constraints on the column.
func read(c *table.ColumnDefinition) bool { return c.Required || c.Index || c.Additional }

// pushed reports whether constraints on the column reach the generator. osquery
// takes a column of an extension without any option for an indexed one
// (extensions_default_index).
func pushed(c *table.ColumnDefinition) bool {
	return read(c) || c.Options() == 0
}

// unread reports whether no generator reads constraints on the column, and the rows are to
// be looked up by it instead.
func (vt *vtable) unread(c *table.ColumnDefinition) bool {
	return vt.db.opts.Lookup && !read(c)
}

// seekable reports whether a comparison is of texts that are the same byte by byte.
func seekable(c *table.ColumnDefinition, con *sqlite.IndexConstraint) bool {
	return con.Op == sqlite.IndexConstraintEq && c.Type == table.ColumnTypeText && con.Collation == "BINARY"
}

// sensible reports whether a comparison is passed on: osquery keeps ranges over
// text to itself.
func sensible(c *table.ColumnDefinition, op sqlite.IndexConstraintOp) bool {
	if c.Type != table.ColumnTypeText {
		return true
	}
	switch op {
	case sqlite.IndexConstraintGT, sqlite.IndexConstraintGE, sqlite.IndexConstraintLT, sqlite.IndexConstraintLE:
		return false
	}
	return true
}

// BestIndex picks the constraints that Filter is given. None is ever omitted
// from SQLite's own check, so a generator may return too much.
func (vt *vtable) BestIndex(in *sqlite.IndexInputs) (*sqlite.IndexOutputs, error) {
	out := &sqlite.IndexOutputs{
		ConstraintUsage: make([]sqlite.IndexConstraintUsage, len(in.Constraints)),
		EstimatedCost:   costScan,
	}
	var id []byte
	args, requiredGiven := 0, false
	for i := range in.Constraints {
		con := &in.Constraints[i]
		// LIMIT and OFFSET come with column 0, and go on with it.
		if !con.Usable || con.Column < 0 || con.Column >= len(vt.tab.Columns) {
			continue
		}
		col := &vt.tab.Columns[con.Column]
		if !sensible(col, con.Op) {
			out.EstimatedCost += costUseful
			continue
		}
		used := pushed(col)
		if vt.unread(col) {
			used = seekable(col, con)
		}
		if !used {
			continue
		}
		requiredGiven = requiredGiven || col.Required
		out.EstimatedCost = costPushed
		args++
		out.ConstraintUsage[i].ArgvIndex = args
		id = strconv.AppendInt(id, int64(con.Column), 10)
		id = append(id, ':')
		id = strconv.AppendInt(id, int64(con.Op), 10)
		id = append(id, ' ')
	}
	if !requiredGiven && vt.requiredUsed(in.ColumnsUsed) {
		out.EstimatedCost = costScan
	}
	out.ID.String = string(id)
	return out, nil
}

// requiredUsed reports whether the statement uses a required column. The last
// bit stands for all columns from the 64th on.
func (vt *vtable) requiredUsed(used uint64) bool {
	for i := range vt.tab.Columns {
		if vt.tab.Columns[i].Required && used&(1<<min(i, 63)) != 0 {
			return true
		}
	}
	return false
}

// cursor goes through the rows of one scan.
type cursor struct {
	vt   *vtable
	rows []tables.Row
	row  int

	// What the row at place read says; read is -1 when none was looked at.
	read   int
	values []string // by column
	id     string
	hasID  bool

	// key names the scan that rows come from; filled says that there was one.
	key    string
	filled bool

	// places are those of the rows by the text in a column, as far as it was asked for;
	// chosen are those of the rows that this scan goes through, where some is set.
	places map[int]map[string][]int32
	chosen []int32
	some   bool
}

// seek is a text that a column must have.
type seek struct {
	column int
	text   string
}

// choose has the scan go through the rows alone that have the rarest of the texts.
func (c *cursor) choose(seeks []seek) {
	c.chosen, c.some = nil, false
	for _, s := range seeks {
		if list := c.at(s.column)[s.text]; !c.some || len(list) < len(c.chosen) {
			c.chosen, c.some = list, true
		}
	}
}

// at is where the rows are by the text in a column.
func (c *cursor) at(column int) map[string][]int32 {
	if c.places[column] == nil {
		if c.places == nil {
			c.places = map[int]map[string][]int32{}
		}
		places, wanted := map[string][]int32{}, c.vt.tab.Columns[column].Name
		for i, row := range c.rows {
			text := ""
			for name, value := range row.Cells() {
				if string(name) == wanted {
					text = string(value)
				}
			}
			places[text] = append(places[text], int32(i))
		}
		c.places[column] = places
	}
	return c.places[column]
}

// size is how many rows the scan goes through, here the place of the one it is at.
func (c *cursor) size() int {
	if c.some {
		return len(c.chosen)
	}
	return len(c.rows)
}

func (c *cursor) here() int {
	if c.some {
		return int(c.chosen[c.row])
	}
	return c.row
}

// Filter begins a scan: it asks the generator for rows.
func (c *cursor) Filter(id sqlite.IndexID, argv []sqlite.Value) error {
	db, tab := c.vt.db, c.vt.tab
	if err := db.ctx.Err(); err != nil {
		return err
	}
	qc, key, seeks, requiredGiven, err := c.vt.queryContext(id.String, argv)
	if err != nil {
		return err
	}
	c.row, c.read = 0, -1
	if c.filled && c.key == key {
		c.choose(seeks)
		return nil
	}
	c.rows, c.filled, c.places, c.some = nil, false, nil, false

	if c.vt.required && !requiredGiven {
		err := &RequiredError{Table: tab.Name, Columns: requiredColumns(tab)}
		if db.opts.Strict {
			db.fail(err)
			return errors.New(err.Error())
		}
		db.warn(err.Error())
		return nil
	}
	rows, err := generate(db.ctx, tab, qc)
	if err != nil {
		db.fail(err)
		// SQLite's copy of the text can hold no NUL.
		return errors.New(strings.ReplaceAll(err.Error(), "\x00", `\x00`))
	}
	c.rows, c.key, c.filled = slices.AppendSeq(make([]tables.Row, 0, rows.Len()), rows.All()), key, true
	c.choose(seeks)
	return nil
}

// generate calls the generator. A panic must not unwind through SQLite, which
// would keep its locks.
func generate(ctx context.Context, tab *tables.Table, qc table.QueryContext) (rows *tables.Rows, err error) {
	defer func() {
		if r := recover(); r != nil {
			rows, err = nil, fmt.Errorf("table %s panicked: %v", tab.Name, r)
		}
	}()
	rows, err = tab.Generate(ctx, qc)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", tab.Name, err)
	}
	// A generator that was cut short may have returned what it had.
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("table %s: %w", tab.Name, err)
	}
	return rows, nil
}

// queryContext rebuilds what osquery sends a generator from the constraints that
// BestIndex chose and their values. Every column has an entry. A constraint
// without a value (IS NULL, = NULL, = and empty text) is left out but counts as given.
// Those that no generator reads are seeks.
func (vt *vtable) queryContext(id string, argv []sqlite.Value) (qc table.QueryContext, key string, seeks []seek, requiredGiven bool, err error) {
	qc.Constraints = make(map[string]table.ConstraintList, len(vt.tab.Columns))
	for _, c := range vt.tab.Columns {
		qc.Constraints[c.Name] = table.ConstraintList{Affinity: c.Type, Constraints: []table.Constraint{}}
	}
	var k strings.Builder
	terms := strings.Fields(id)
	if len(terms) != len(argv) {
		return qc, "", nil, false, fmt.Errorf("table %s: %d values for %d constraints", vt.tab.Name, len(argv), len(terms))
	}
	for i, term := range terms {
		colText, opText, _ := strings.Cut(term, ":")
		col, err1 := strconv.Atoi(colText)
		op, err2 := strconv.Atoi(opText)
		if err1 != nil || err2 != nil || col < 0 || col >= len(vt.tab.Columns) {
			return qc, "", nil, false, fmt.Errorf("table %s: index %q", vt.tab.Name, id)
		}
		def := &vt.tab.Columns[col]
		requiredGiven = requiredGiven || def.Required
		if vt.unread(def) {
			if argv[i].Type() == sqlite.TypeText {
				seeks = append(seeks, seek{col, argv[i].Text()})
			}
			continue
		}
		k.WriteByte(' ')
		k.WriteString(term)
		if argv[i].Type() == sqlite.TypeNull {
			k.WriteString("\x00-")
			continue
		}
		expr := argv[i].Text()
		fmt.Fprintf(&k, "\x00%d:%s", len(expr), expr)
		if expr == "" {
			continue
		}
		list := qc.Constraints[def.Name]
		list.Constraints = append(list.Constraints, table.Constraint{Operator: table.Operator(op), Expression: expr})
		qc.Constraints[def.Name] = list
	}
	return qc, k.String(), seeks, requiredGiven, nil
}

// Next moves on. Cancellation is looked at here too, since SQLite forgets an
// interrupt that arrives just before a statement starts.
func (c *cursor) Next() error {
	c.row++
	if c.row&0xff == 0 {
		return c.vt.db.ctx.Err()
	}
	return nil
}

func (c *cursor) EOF() bool { return c.row >= c.size() }

func (c *cursor) Column(i int, _ bool) (sqlite.Value, error) {
	if c.row >= c.size() || i < 0 || i >= len(c.vt.tab.Columns) {
		return sqlite.Value{}, nil
	}
	c.look()
	return convert(c.vt.tab.Columns[i].Type, c.values[i]), nil
}

// look reads the row that the cursor is at.
func (c *cursor) look() {
	if c.read == c.row {
		return
	}
	if c.values == nil {
		c.values = make([]string, len(c.vt.tab.Columns))
	}
	clear(c.values)
	c.read, c.id, c.hasID = c.row, "", false
	for column, value := range c.rows[c.here()].Cells() {
		if i, ok := c.vt.place[string(column)]; ok {
			c.values[i] = string(value)
		}
		if string(column) == "rowid" {
			c.id, c.hasID = string(value), true
		}
	}
}

// RowID is the row's "rowid", as a number or hashed, or else its place in the
// scan, as in osquery: SQLite then loses rows of different scans that it joins
// by OR.
func (c *cursor) RowID() (int64, error) {
	if c.row >= c.size() {
		return 0, nil
	}
	c.look()
	if !c.hasID {
		return int64(c.here()), nil
	}
	if n, err := strconv.ParseInt(c.id, 10, 64); err == nil {
		return n, nil
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.id)) // never fails
	return int64(h.Sum64()), nil
}

func (c *cursor) Close() error {
	c.rows, c.values, c.places, c.chosen = nil, nil, nil, nil
	return nil
}

// RequiredError says that a query left out a column that a table cannot do
// without.
type RequiredError struct {
	Table   string
	Columns []string
}

func (e *RequiredError) Error() string {
	col := strings.Join(e.Columns, " or ")
	return fmt.Sprintf("table %s was queried without its required column in the WHERE clause, so it has no rows: add WHERE %s = '...'", e.Table, col)
}

func requiredColumns(tab *tables.Table) []string {
	var cols []string
	for _, c := range tab.Columns {
		if c.Required {
			cols = append(cols, c.Name)
		}
	}
	return cols
}
