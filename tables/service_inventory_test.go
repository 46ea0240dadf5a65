package tables_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/tables"
)

type stock struct {
	services []inventory.Service
	err      error
}

func (s stock) Services(context.Context) ([]inventory.Service, error) { return s.services, s.err }

type verdict struct{ ok bool }

func (v verdict) ScoreService(*inventory.Service) (score.Verdict, bool) {
	return score.Verdict{Score: 61, Severity: "high", Reasons: []score.Reason{{Factor: "a<b", Weight: 1, Evidence: "e"}}}, v.ok
}

type since int64

func (s since) FirstSeen(context.Context, *inventory.Service) int64 { return int64(s) }

func TestServiceInventoryRows(t *testing.T) {
	full := inventory.Service{
		Kind: "systemd", Type: "service", Scope: "system", Name: "a.service", DisplayName: "bad\xff", Path: "/bin/a", Args: "-x", StartType: "enabled",
		Account: "root", UnitPath: "/etc/systemd/system/a.service", DropIns: []string{"/x"}, Package: "p", PackageVersion: "1", Verified: evidence.Yes,
		Running: evidence.Yes, PIDs: []int64{7, 9}, Enabled: evidence.Yes, OnDisk: evidence.No, Writable: []string{"/tmp"}, Looked: true,
		Install: service.Install{ServiceDLL: `C:\x.dll`, Signed: evidence.Yes}, Signer: "X", SHA256: "abc",
		File: files.Info{MTime: 5e9, CTime: 6e9}, Commands: []inventory.Command{{Directive: "ExecStart", Path: "/bin/a", Line: "/bin/a -x"}},
	}
	bare := inventory.Service{Kind: "sysv", Name: "b"}
	tab := tables.ServiceInventory(stock{services: []inventory.Service{full, bare}}, verdict{true}, since(42))
	rows, err := tab.Generate.Maps(context.Background(), table.QueryContext{})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	want := map[string]string{
		"kind": "systemd", "type": "service", "name": "a.service", "display_name": "bad\ufffd", "path": "/bin/a", "args": "-x", "service_dll": `C:\x.dll`, "start_type": "enabled",
		"commands": `[{"directive":"ExecStart","path":"/bin/a","line":"/bin/a -x"}]`, "scope": "system", "username": "", "account": "root",
		"unit_path": "/etc/systemd/system/a.service", "link_target": "", "drop_ins": `["/x"]`, "activated_by": "[]", "triggers": "[]", "package": "p",
		"package_version": "1", "package_verified": "1", "signed": "1", "signer": "X", "sha256": "abc", "state": "running", "pid": "7", "enabled": "1", "on_disk": "0", "writable_by_others": "1",
		"writable_paths": `["/tmp"]`, "unit_mtime": "5", "unit_ctime": "6", "unit_btime": "", "problems": "[]", "first_seen": "42", "score": "61",
		"severity": "high", "reasons": `[{"factor":"a<b","weight":1,"evidence":"e"}]`,
	}
	got := rows[0]
	id := got["rowid"]
	delete(got, "rowid")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if id == "" || id == rows[1]["rowid"] {
		t.Errorf("rowids %q and %q", id, rows[1]["rowid"])
	}
	// What isn't known is empty, not made up.
	for _, c := range []string{"package_verified", "signed", "sha256", "state", "pid", "enabled", "on_disk", "writable_by_others", "unit_mtime"} {
		if rows[1][c] != "" {
			t.Errorf("%s is %q", c, rows[1][c])
		}
	}
	columns := map[string]bool{"rowid": true}
	for _, c := range tab.Columns {
		columns[c.Name] = true
		if _, ok := want[c.Name]; !ok {
			t.Errorf("no value of %s", c.Name)
		}
	}
	for k := range want {
		if !columns[k] {
			t.Errorf("%s is no column", k)
		}
	}
	for _, s := range []tables.InventoryScorer{nil, verdict{false}} {
		rows, err := tables.ServiceInventory(stock{services: []inventory.Service{full}}, s, nil).Generate.Maps(context.Background(), table.QueryContext{})
		if err != nil || rows[0]["score"] != "" || rows[0]["first_seen"] != "" {
			t.Errorf("%v %v", rows, err)
		}
	}
	failed := errors.New("no")
	if _, err := tables.ServiceInventory(stock{err: failed}, nil, nil).Generate.Maps(context.Background(), table.QueryContext{}); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
}
