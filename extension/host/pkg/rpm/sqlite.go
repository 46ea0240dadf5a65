package rpm

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

type sqliteDB struct {
	conn *sqlite.Conn
	buf  []byte
}

// OpenSQLite reads an rpmdb.sqlite. With wal it reads what was written beside it, too,
// where rpm has left the index to that; else the file alone is read, without a lock.
func OpenSQLite(ctx context.Context, path string, wal bool) (DB, error) {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: "mode=ro&immutable=1"}
	if wal {
		// Neither the log nor its index is made or written.
		u.RawQuery = "mode=ro&readonly_shm=1"
	}
	conn, err := sqlite.OpenConn(u.String(), sqlite.OpenReadOnly, sqlite.OpenURI, sqlite.OpenPrivateCache)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	d := &sqliteDB{conn: conn}
	if err := d.prepare(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return d, nil
}

func (d *sqliteDB) prepare(ctx context.Context) error {
	d.conn.SetInterrupt(ctx.Done())
	d.conn.Limit(sqlite.LimitLength, maxHeader)
	if err := d.conn.SetDefensive(true); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	// Nothing the file says of itself is run.
	tables := 0
	err := sqlitex.ExecuteTransient(d.conn, "PRAGMA trusted_schema=OFF", nil)
	if err == nil {
		err = sqlitex.ExecuteTransient(d.conn, "PRAGMA cache_size=-512", nil)
	}
	if err == nil {
		err = sqlitex.ExecuteTransient(d.conn, "SELECT count(*) FROM sqlite_schema WHERE name = 'Packages' AND type = 'table' AND sql NOT LIKE '%virtual%'", &sqlitex.ExecOptions{
			ResultFunc: func(s *sqlite.Stmt) error {
				tables = s.ColumnInt(0)
				return nil
			},
		})
	}
	if err == nil && tables != 1 {
		err = ErrFormat
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

func (d *sqliteDB) Close() error {
	d.conn.SetInterrupt(nil)
	return d.conn.Close()
}

func (d *sqliteDB) Each(ctx context.Context, fn func(uint64, []byte) error) (damaged int, err error) {
	var sum total
	d.conn.SetInterrupt(ctx.Done())
	err = sqlitex.ExecuteTransient(d.conn, "SELECT hnum, blob FROM Packages", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		n := s.ColumnLen(1)
		if n == 0 || s.ColumnType(1) != sqlite.TypeBlob {
			damaged++
			return nil
		}
		if err := sum.add(n); err != nil {
			return err
		}
		if cap(d.buf) < n {
			d.buf = make([]byte, n)
		}
		s.ColumnBytes(1, d.buf[:n])
		return fn(uint64(s.ColumnInt64(0)), d.buf[:n])
	}})
	if err != nil {
		return damaged, fmt.Errorf("read the packages: %w", err)
	}
	return damaged, nil
}

func (d *sqliteDB) Header(ctx context.Context, at uint64) (blob []byte, err error) {
	d.conn.SetInterrupt(ctx.Done())
	err = sqlitex.ExecuteTransient(d.conn, "SELECT blob FROM Packages WHERE hnum = ?", &sqlitex.ExecOptions{Args: []any{int64(at)}, ResultFunc: func(s *sqlite.Stmt) error {
		blob = make([]byte, s.ColumnLen(0))
		s.ColumnBytes(0, blob)
		return nil
	}})
	if err == nil && blob == nil {
		err = ErrFormat
	}
	if err != nil {
		return nil, fmt.Errorf("read a package: %w", err)
	}
	return blob, nil
}
