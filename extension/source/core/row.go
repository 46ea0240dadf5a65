package core

import "strconv"

// Row is one row of a query's answer. It is valid only until the function it
// was given to returns; the strings taken from it stay valid. osquery sends
// every value as text, and NULL as an empty string.
type Row struct {
	names  []string
	values []string
}

// NewRow makes a row from alternating names and values; a name without a value
// gets an empty one. It serves whoever stands in for a Client in tests.
func NewRow(pairs ...string) *Row {
	r := &Row{}
	for i := 0; i < len(pairs); i += 2 {
		r.names = append(r.names, pairs[i])
		value := ""
		if i+1 < len(pairs) {
			value = pairs[i+1]
		}
		r.values = append(r.values, value)
	}
	return r
}

// Len is the number of columns.
func (r *Row) Len() int { return len(r.names) }

// Column returns the name and value of column i, in the order they arrived.
func (r *Row) Column(i int) (name, value string) { return r.names[i], r.values[i] }

// Get returns a column's text, or an empty string when there is no such column.
func (r *Row) Get(name string) string {
	for i, n := range r.names {
		if n == name {
			return r.values[i]
		}
	}
	return ""
}

// Int returns a column as a number and whether it is one.
func (r *Row) Int(name string) (int64, bool) {
	n, err := strconv.ParseInt(r.Get(name), 10, 64)
	return n, err == nil
}

// Map copies the row.
func (r *Row) Map() map[string]string {
	m := make(map[string]string, len(r.names))
	for i, n := range r.names {
		m[n] = r.values[i]
	}
	return m
}
