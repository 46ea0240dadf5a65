package core_test

import (
	"context"
	"math"
	"testing"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

func TestRender(t *testing.T) {
	for _, tt := range []struct {
		stmt squirrel.Sqlizer
		want string
	}{
		{squirrel.Select("a").From("t").Where(squirrel.Eq{"b": "it's"}), `SELECT a FROM t WHERE b = 'it''s'`},
		{squirrel.Select("a").From("t").Where(squirrel.Eq{"b": []string{"?", "x"}}), `SELECT a FROM t WHERE b IN ('?','x')`},
		{squirrel.Expr(`SELECT '?', "?", 'it''s ?', ? , ?`, 5, -1.0), `SELECT '?', "?", 'it''s ?', 5 , -1.0`},
		{squirrel.Expr(`? ? ? ? ?`, nil, true, false, int64(math.MinInt64), uint64(7)), `NULL 1 0 -9223372036854775808 7`},
		{squirrel.Expr(`?`, "'; DROP TABLE x; --"), `'''; DROP TABLE x; --'`},
	} {
		if got, err := core.Render(tt.stmt); got != tt.want || err != nil {
			t.Errorf("got %s (%v), want %s", got, err, tt.want)
		}
	}
	for name, stmt := range map[string]squirrel.Sqlizer{
		"NUL":          squirrel.Expr(`?`, "a\x00b"),
		"too few":      squirrel.Expr(`? ?`, 1),
		"too many":     squirrel.Expr(`?`, 1, 2),
		"type":         squirrel.Expr(`?`, struct{}{}),
		"infinity":     squirrel.Expr(`?`, math.Inf(1)),
		"not a number": squirrel.Expr(`?`, math.NaN()),
		"too large":    squirrel.Expr(`?`, uint64(math.MaxUint64)),
	} {
		if got, err := core.Render(stmt); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func FuzzLiteral(f *testing.F) {
	f.Add("it's", int64(5), 0.5)
	f.Add("';--", int64(-1), 1e300)
	f.Add("?", int64(math.MinInt64), math.Copysign(0, -1))
	fake := fakecore.Start(f)
	c := newClient(f, fake, core.ClientOptions{})
	f.Fuzz(func(t *testing.T, text string, n int64, x float64) {
		sql, err := core.Render(squirrel.Expr(`SELECT ? AS text, ? AS n, ? = ? AS same`, text, n, x, x))
		if err != nil {
			return
		}
		err = c.Query(context.Background(), sql, func(r *core.Row) error {
			if got, ok := r.Int("n"); r.Get("text") != text || got != n || !ok || r.Get("same") != "1" {
				t.Errorf("%q, %d, %v came back as %v", text, n, x, r.Map())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
