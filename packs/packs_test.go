package packs_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
	"github.com/osquery-rollcall/rollcall/packs"
)

// TestCommittedPackIsTheCatalogue fails when the catalogue changed and "make packs"
// was not run.
func TestCommittedPackIsTheCatalogue(t *testing.T) {
	queries, err := packs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	want, err := packs.Osquery(queries)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("osquery/" + packs.OsqueryName)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("packs/osquery/t1007.conf is not what the catalogue says: run make packs")
	}
	if strings.Contains(string(want), `"removed": true`) {
		t.Error("rows that leave a window are no news")
	}
}

// TestEveryQueryRuns runs each query of the catalogue on the real tables.
func TestEveryQueryRuns(t *testing.T) {
	ctx := context.Background()
	a, err := app.Open(ctx, app.Options{Temporary: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	db, err := sqlshell.Open(ctx, a.Tables, sqlshell.Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	queries, err := packs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		if err := db.Query(ctx, q.SQL, func([]string, []sqlshell.Value) error { return nil }); err != nil {
			t.Errorf("%s: %v", q.Name, err)
		}
	}
}
