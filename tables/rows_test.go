package tables_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-rollcall/rollcall/tables"
)

// asOsqueryReadsThem decodes rows with Thrift's own reader.
func asOsqueryReadsThem(t *testing.T, rows *tables.Rows) []map[string]string {
	t.Helper()
	ctx := context.Background()
	var sent bytes.Buffer
	out := thrift.NewTBinaryProtocolConf(thrift.NewStreamTransportW(&sent), nil)
	for _, err := range []error{
		out.WriteFieldBegin(ctx, "response", thrift.LIST, 2), out.WriteListBegin(ctx, thrift.MAP, rows.Len()), out.Flush(ctx),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	before := sent.Len()
	if n, err := rows.WriteTo(&sent); err != nil || int(n) != sent.Len()-before {
		t.Fatalf("%d of %d bytes: %v", n, sent.Len()-before, err)
	}
	sent.WriteByte(thrift.STOP)
	// The status is not optional to the reader.
	status := thrift.NewTMemoryBuffer()
	if err := (&osquery.ExtensionStatus{}).Write(ctx, thrift.NewTBinaryProtocolConf(status, nil)); err != nil {
		t.Fatal(err)
	}
	whole := append(append([]byte{thrift.STRUCT, 0, 1}, status.Bytes()...), sent.Bytes()...)
	var got osquery.ExtensionResponse
	if err := got.Read(ctx, thrift.NewTBinaryProtocolConf(thrift.NewStreamTransportR(bytes.NewReader(whole)), nil)); err != nil {
		t.Fatal(err)
	}
	return got.Response
}

// fields are texts to copy.
type fields []string

func (f fields) Append(to []byte, field int) []byte { return append(to, f[field]...) }

// TestRows writes rows of all sizes in all ways and reads them in all ways.
func TestRows(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		n := random.IntN(40)
		switch random.IntN(200) {
		case 0:
			n = 200_000
		case 1:
			n = 9_000
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return string(b)
	}
	pool := &tables.Pool{}
	for _, rows := range []*tables.Rows{{}, pool.Rows(), pool.Rows(), pool.Rows()} {
		writeAndRead(t, random, text, rows)
		rows.Free()
		rows.Free() // again is nothing
	}
}

func writeAndRead(t *testing.T, random *rand.Rand, text func() string, rows *tables.Rows) {
	t.Helper()
	var want []map[string]string
	for i := range int64(600) {
		row := map[string]string{"rowid": strconv.FormatInt(i, 10)}
		if i%3 == 0 {
			f := fields{row["rowid"], text(), text(), text(), text()}
			rows.Copy(tables.HeadsOf([]string{"rowid", "a", "", "b", "c"}), f)
			row["a"], row["b"], row["c"] = f[1], f[3], f[4]
			want = append(want, row)
			continue
		}
		rows.Add(i)
		for c := range random.IntN(40) {
			column := "column" + strconv.Itoa(c)
			switch random.IntN(3) {
			case 0:
				n := int64(random.Uint64())
				rows.Int(column, n)
				row[column] = strconv.FormatInt(n, 10)
			case 1:
				row[column] = text()
				rows.Text(column, row[column])
			default:
				row[column], row[column+"x"] = text(), text()
				rows.Texts(column, row[column], column+"x", row[column+"x"])
			}
		}
		want = append(want, row)
	}
	if rows.Len() != len(want) {
		t.Errorf("%d rows of %d", rows.Len(), len(want))
	}
	if d := cmp.Diff(want, rows.Maps()); d != "" {
		t.Errorf("Maps: (-want +got)\n%.2000s", d)
	}
	if d := cmp.Diff(want, asOsqueryReadsThem(t, rows)); d != "" {
		t.Errorf("Thrift: (-want +got)\n%.2000s", d)
	}
	if d := cmp.Diff(want, tables.RowsOf(want).Maps()); d != "" {
		t.Errorf("RowsOf: (-want +got)\n%.2000s", d)
	}
}

func TestRowsAtTheEdges(t *testing.T) {
	var none *tables.Rows
	for _, rows := range []*tables.Rows{none, {}, tables.RowsOf(nil)} {
		if rows.Len() != 0 || len(rows.Maps()) != 0 || len(asOsqueryReadsThem(t, rows)) != 0 {
			t.Error("no rows are some")
		}
	}
	rows := &tables.Rows{}
	rows.Add(math.MinInt64)
	rows.Known("zero", 0)
	rows.Known("most", math.MaxInt64)
	rows.Texts("text", strings.Repeat("x", 1<<20), "none", "")
	rows.Add(2)
	want := []map[string]string{{"rowid": "-9223372036854775808", "zero": "", "most": "9223372036854775807", "text": strings.Repeat("x", 1<<20), "none": ""}, {"rowid": "2"}}
	if d := cmp.Diff(want, asOsqueryReadsThem(t, rows)); d != "" {
		t.Errorf("(-want +got)\n%.500s", d)
	}
	if d := cmp.Diff([]map[string]string{{}, {"a": "b"}}, asOsqueryReadsThem(t, tables.RowsOf([]map[string]string{nil, {"a": "b"}})), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for row := range rows.All() { // whoever has enough stops
		for column := range row.Cells() {
			if string(column) != "rowid" {
				t.Errorf("the first cell is %s", column)
			}
			break
		}
		break
	}
}
