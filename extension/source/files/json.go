package files

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
)

// The bounds of what one line of JSON can hold.
const (
	maxRows   = 100_000
	maxUnwrap = 4
)

// wrappers are keys under which exports put the object itself.
var wrappers = []string{"_source", "properties", "result", "event"}

// lists are keys under which exports put many objects.
var lists = []string{"data", "records", "results", "Results", "value"}

// jsonDecoder reads the objects of any of the forms in JSON.
type jsonDecoder struct {
	maps    *fieldmap.Set
	journal *syslog.Decoder
	rows    int
}

// decodeObject reads one JSON object.
func decodeObject(b []byte) (fieldmap.Object, error) {
	if n := nesting(b); n > maxNesting {
		return nil, fmt.Errorf("JSON nested %d deep", n)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var o fieldmap.Object
	if err := dec.Decode(&o); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the object")
	}
	return o, nil
}

// object reads one object and what is in it. The kind is that of the form it has,
// "" when it has none.
func (d *jsonDecoder) object(o fieldmap.Object) (out []evidence.Process, kind string) {
	d.rows = 0
	return d.read(o, 0)
}

func (d *jsonDecoder) read(o fieldmap.Object, depth int) (out []evidence.Process, kind string) {
	if d.rows++; d.rows > maxRows {
		return nil, ""
	}
	if syslog.IsEntry(o) {
		return d.journal.Entry(syslog.EntryOf(o)), KindJournal
	}
	if isResult(o) {
		return d.result(o), KindOsquery
	}
	if p, known, ok := d.maps.Process(o, fieldmap.File); known {
		if !ok {
			return nil, p.Source
		}
		return []evidence.Process{p}, p.Source
	}
	if depth == maxUnwrap {
		return nil, ""
	}
	for _, k := range wrappers {
		if inner, ok := o[k].(fieldmap.Object); ok {
			if out, kind := d.read(inner, depth+1); kind != "" {
				return out, kind
			}
		}
	}
	for _, k := range lists {
		items, ok := o[k].([]any)
		if !ok {
			continue
		}
		for _, it := range items {
			inner, ok := it.(fieldmap.Object)
			if !ok {
				continue
			}
			ps, one := d.read(inner, depth+1)
			out = append(out, ps...)
			if kind == "" {
				kind = one
			}
		}
		if kind != "" {
			return out, kind
		}
	}
	return out, kind
}

// isResult reports whether an object is a result of one of osquery's scheduled
// queries, in any of the forms its loggers write.
func isResult(o fieldmap.Object) bool {
	if _, ok := o["name"].(string); !ok {
		return false
	}
	for _, k := range []string{"columns", "snapshot", "diffResults"} {
		switch o[k].(type) {
		case fieldmap.Object, []any:
			return true
		}
	}
	return false
}

// result reads the rows that a query brought.
func (d *jsonDecoder) result(o fieldmap.Object) (out []evidence.Process) {
	var rows []any
	switch {
	case o["columns"] != nil:
		if action, _ := o["action"].(string); action == "removed" {
			return nil
		}
		rows = []any{o["columns"]}
	case o["snapshot"] != nil:
		rows, _ = o["snapshot"].([]any)
	default:
		diff, _ := o["diffResults"].(fieldmap.Object)
		switch added := diff["added"].(type) {
		case []any:
			rows = added
		case fieldmap.Object:
			rows = []any{added}
		}
	}
	host, _ := o["hostIdentifier"].(string)
	if deco, ok := o["decorations"].(fieldmap.Object); ok {
		for _, k := range []string{"hostname", "host", "computer_name"} {
			if s, ok := deco[k].(string); ok && s != "" {
				host = s
				break
			}
		}
	}
	when := resultTime(o)
	for _, r := range rows {
		if d.rows++; d.rows > maxRows {
			return out
		}
		row, ok := r.(fieldmap.Object)
		if !ok {
			continue
		}
		p, _, ok := d.maps.Process(row, fieldmap.Osquery)
		if !ok {
			continue
		}
		finishRow(&p, row)
		p.Host = host
		if p.Time == 0 {
			p.Time = when
		}
		out = append(out, p)
	}
	return out
}

// resultTime is when a query was run.
func resultTime(o fieldmap.Object) int64 {
	switch v := o["unixTime"].(type) {
	case json.Number:
		t, _ := fieldmap.Time(v.String())
		return t
	case string:
		t, _ := fieldmap.Time(v)
		return t
	}
	return 0
}

// finishRow mends what osquery's process_events on Linux spoils.
func finishRow(p *evidence.Process, row fieldmap.Object) {
	if s := p.CWD; len(s) > 1 && s[0] == '"' && strings.HasSuffix(s, `"`) {
		p.CWD = s[1 : len(s)-1]
	}
	_, audit := row["auid"]
	if audit && p.Platform == evidence.Linux {
		p.CmdLine, _ = core.RestoreArgs(p.CmdLine)
	}
	if _, etw := row["token_elevation_status"]; etw {
		p.CWD = ""
	}
}
