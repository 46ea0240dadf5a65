package files

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
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
	maps      *fieldmap.Set
	journal   *syslog.Decoder
	audit     *auditlog.Decoder
	inventory inventory
	windows   winevent.Reader
	rows      int
}

// flush adds what waits for more.
func (d *jsonDecoder) flush(to *evidence.Batch) {
	d.journal.Flush(to)
	d.inventory.flush(to)
	d.windows.Flush(to)
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

// object reads one object and what is in it, and adds what it tells to the batch.
// The kind is that of the form it has, "" when it has none.
func (d *jsonDecoder) object(o fieldmap.Object, to *evidence.Batch) (kind string) {
	d.rows = 0
	return d.read(o, 0, to)
}

func (d *jsonDecoder) read(o fieldmap.Object, depth int, to *evidence.Batch) (kind string) {
	if d.rows++; d.rows > maxRows {
		return ""
	}
	if syslog.IsEntry(o) {
		d.journal.Entry(syslog.EntryOf(o), to)
		return KindJournal
	}
	if isResult(o) {
		d.result(o, to)
		return KindOsquery
	}
	if source, _ := d.maps.Read(o, fieldmap.File, fieldmap.About{}, to); source != "" {
		return source
	}
	if d.event(o, to) {
		return KindWindows
	}
	if depth == maxUnwrap {
		return ""
	}
	for _, k := range wrappers {
		if inner, ok := o[k].(fieldmap.Object); ok {
			if kind := d.read(inner, depth+1, to); kind != "" {
				return kind
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
			if one := d.read(inner, depth+1, to); kind == "" {
				kind = one
			}
		}
		if kind != "" {
			return kind
		}
	}
	return kind
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
func (d *jsonDecoder) result(o fieldmap.Object, to *evidence.Batch) {
	about := fieldmap.About{Time: resultTime(o)}
	about.Host, _ = o["hostIdentifier"].(string)
	if deco, ok := o["decorations"].(fieldmap.Object); ok {
		for _, k := range []string{"hostname", "host", "computer_name"} {
			if s, ok := deco[k].(string); ok && s != "" {
				about.Host = s
				break
			}
		}
	}
	switch {
	case o["columns"] != nil:
		action, _ := o["action"].(string)
		d.resultRows([]any{o["columns"]}, about, runOf(o), action == "removed", to)
	case o["snapshot"] != nil:
		rows, _ := o["snapshot"].([]any)
		d.resultRows(rows, about, "", false, to)
	default:
		diff, _ := o["diffResults"].(fieldmap.Object)
		for _, k := range []string{"removed", "added"} {
			rows, ok := diff[k].([]any)
			if one, is := diff[k].(fieldmap.Object); !ok && is {
				rows = []any{one}
			}
			d.resultRows(rows, about, runOf(o), k == "removed", to)
		}
	}
}

// resultRows reads the rows of a run. Of rows that are gone only those of services
// tell of something that happened.
func (d *jsonDecoder) resultRows(rows []any, about fieldmap.About, run string, removed bool, to *evidence.Batch) {
	for _, r := range rows {
		if d.rows++; d.rows > maxRows {
			return
		}
		row, ok := r.(fieldmap.Object)
		if !ok {
			continue
		}
		var got evidence.Batch
		if e, ok := windowsRow(row, about); ok {
			if !removed {
				d.windows.Read(e, to)
			}
			continue
		}
		if isUserEvent(row) {
			d.userEvent(row, about, &got)
		} else {
			d.maps.Read(row, fieldmap.Osquery, about, &got)
		}
		for _, i := range got.Installs {
			d.inventory.row(run, i, removed, to)
		}
		if removed {
			continue
		}
		for i := range got.Processes {
			finishRow(&got.Processes[i], row)
		}
		got.Installs = nil
		add(to, &got)
	}
}

// isUserEvent reports whether a row is of osquery's user_events, which hands on
// what programs report through Linux' audit system as they wrote it.
func isUserEvent(row fieldmap.Object) bool {
	for _, k := range []string{"message", "auid", "pid", "terminal", "type"} {
		if _, ok := row[k].(string); !ok {
			return false
		}
	}
	return true
}

// userEvent reads a row of user_events as the audit record it was.
func (d *jsonDecoder) userEvent(row fieldmap.Object, about fieldmap.About, to *evidence.Batch) {
	when := about.Time
	if t, ok := fieldmap.Time(text(row["time"])); ok && t > 0 {
		when = t
	}
	id := text(row["eid"])
	for _, k := range []string{"type", "pid", "uid", "auid"} {
		if strings.ContainsAny(text(row[k]), " '\"=\n") {
			return
		}
	}
	line := "type=" + text(row["type"]) + " msg=audit(" + strconv.FormatInt(when, 10) + ".000:0): pid=" + text(row["pid"]) + " uid=" + text(row["uid"]) + " auid=" + text(row["auid"]) +
		" msg='" + strings.Trim(text(row["message"]), "'") + "'"
	d.audit.Line([]byte(line), to)
	for i := range to.Processes {
		to.Processes[i].Source, to.Processes[i].EID, to.Processes[i].Host = KindOsquery, id, about.Host
	}
	for i := range to.Logons {
		to.Logons[i].Source, to.Logons[i].EID, to.Logons[i].Host = KindOsquery, id, about.Host
	}
	for i := range to.Changes {
		to.Changes[i].Source, to.Changes[i].EID, to.Changes[i].Host = KindOsquery, id, about.Host
	}
}

// text is a value that is text or a number.
func text(v any) string {
	switch v := v.(type) {
	case json.Number:
		return v.String()
	case string:
		return v
	}
	return ""
}

func number(v any) int64 {
	n, err := strconv.ParseInt(text(v), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// resultTime is when a query was run.
func resultTime(o fieldmap.Object) int64 {
	t, _ := fieldmap.Time(text(o["unixTime"]))
	return t
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
