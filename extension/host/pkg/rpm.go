package pkg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/rpm"
)

const (
	// maxRPMTime is how long one read of rpm's database may take, damaged or not.
	maxRPMTime = 20 * time.Second
	// maxKeptHeader is the largest header that is kept for the next file of its package.
	maxKeptHeader = 2 << 20
)

// rpmFile is the file of rpm's database: of the kinds "rpmdb.sqlite", "Packages.db" and
// "Packages".
type rpmFile struct {
	kind string
	at   files.Resolved
	wal  bool // something lies beside rpmdb.sqlite that is not in it yet
}

// header is the last header of a package that was read to verify a file.
type header struct {
	pkg uint32
	h   rpm.Header
	ok  bool
}

// rpm reads what rpm has installed. Of several databases the first that has packages
// counts: an update of the system leaves old ones behind.
func (b *builder) rpm() {
	for _, dir := range []string{"/var/lib/rpm", "/usr/lib/sysimage/rpm"} {
		for _, kind := range []string{"rpmdb.sqlite", "Packages.db", "Packages"} {
			at, err := b.tree.Resolve(dir+"/"+kind, 0)
			if err != nil {
				if !isMissing(err) {
					b.problem("%v", err)
				}
				continue
			}
			f := rpmFile{kind: kind, at: at}
			if log, err := b.tree.Parent(dir+"/"+kind+"-wal", 0); err == nil && log.Info.Size > 0 {
				f.wal = true
			}
			before := len(b.ix.packages)
			damaged, err := b.rpmPackages(&f)
			if err != nil {
				b.problem("%s: %v", at.Path, err)
			}
			if damaged > 0 {
				b.problem("%s: %d records of packages are damaged", at.Path, damaged)
			}
			if len(b.ix.packages) > before {
				b.ix.rpms = f
				return
			}
		}
	}
}

func (b *builder) rpmPackages(f *rpmFile) (damaged int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), maxRPMTime)
	defer cancel()
	db, err := openRPM(ctx, b.tree, *f)
	if err != nil && f.wal {
		// The log needs an index that is not there, and we make none.
		b.problem("%s: what was installed last is not known yet: %v", f.at.Path, err)
		f.wal = false
		db, err = openRPM(ctx, b.tree, *f)
	}
	if err != nil {
		return 0, err
	}
	bad := 0
	damaged, err = db.Each(ctx, func(at uint64, blob []byte) error {
		h, err := rpm.ParseHeader(blob)
		if err != nil {
			bad++
			return nil
		}
		i, ok := b.pkg(Package{Name: h.Name(), Version: h.Version(), Manager: "rpm"}, source{kind: 'r', key: at})
		if !ok {
			return errFull
		}
		h.Paths(func(p string) { b.path(p, i) })
		return nil
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return damaged + bad, errors.Join(err, db.Close())
}

var errFull = errors.New("no more packages")

func openRPM(ctx context.Context, tree *files.Tree, f rpmFile) (rpm.DB, error) {
	if f.at.Writable != "" {
		return nil, fmt.Errorf("others than root can write %s: not read", f.at.Writable)
	}
	file, err := tree.Open(f.at)
	if err != nil {
		return nil, err
	}
	var db rpm.DB
	switch f.kind {
	case "rpmdb.sqlite":
		// A path without links, to a regular file, in a directory of root's: what SQLite
		// opens is that file.
		db, err = rpm.OpenSQLite(ctx, tree.Path(f.at), f.wal)
		return db, errors.Join(err, file.Close())
	case "Packages.db":
		db, err = rpm.OpenNDB(file, f.at.Info.Size)
	default:
		db, err = rpm.OpenBDB(file, f.at.Info.Size)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return rpmOpened{db, file.Close}, nil
}

// rpmOpened closes the file of a database with it.
type rpmOpened struct {
	rpm.DB
	file func() error
}

func (o rpmOpened) Close() error { return errors.Join(o.DB.Close(), o.file()) }

// compare tells whether the file at p is as a package of rpm's brought it: kind, size
// and digest, where a link leads, and that nobody has more rights to it.
func (d *DB) compare(ctx context.Context, p string, at files.Resolved, i uint32, name string) (ok, known bool, err error) {
	want, found, err := d.brought(ctx, i, name)
	if err != nil || !found {
		return false, false, err
	}
	itself, err := d.tree.Parent(p, 0)
	if err != nil {
		return false, false, err
	}
	if as := (files.Info{Mode: want.Mode}); as.Kind() != itself.Info.Kind() {
		return false, true, nil
	} else if as.IsLink() {
		to, err := d.tree.Readlink(itself.Path)
		switch {
		case err != nil:
			return false, false, err
		case want.Link == "":
			return false, false, nil
		case to != want.Link:
			return false, true, nil
		}
		// The link is as it was: what it leads to decides.
		i, name, found := d.ix.owner(d.seed, at.Path)
		switch {
		case !found:
			return false, false, nil
		case d.ix.sources[i].kind != 'r':
			return d.same(ctx, at, d.digest(i, name))
		}
		if want, found, err = d.brought(ctx, i, name); err != nil || !found {
			return false, false, err
		}
		if as := (files.Info{Mode: want.Mode}); as.Kind() != at.Info.Kind() {
			return false, true, nil
		}
	}
	if want.Size >= 0 && want.Size != at.Info.Size || !want.AnyMode && at.Info.Mode&^want.Mode&moreRights != 0 {
		return false, true, nil
	}
	return d.same(ctx, at, want.Digest)
}

// moreRights are the bits of a mode that hand out rights: less than the package gave is
// hardening.
const moreRights = 0o6022

// brought is what a package of rpm's says of its file.
func (d *DB) brought(ctx context.Context, i uint32, name string) (f rpm.File, found bool, err error) {
	if !d.last.ok || d.last.pkg != i {
		db, err := openRPM(ctx, d.tree, d.ix.rpms)
		if err != nil {
			return f, false, err
		}
		blob, err := db.Header(ctx, d.ix.sources[i].key)
		if err = errors.Join(err, db.Close()); err != nil {
			return f, false, err
		}
		h, err := rpm.ParseHeader(blob)
		if err != nil {
			return f, false, err
		}
		d.last = header{i, h, true}
		if len(blob) > maxKeptHeader {
			defer func() { d.last = header{} }()
		}
	}
	if d.last.h.Name() != d.ix.packages[i].Name {
		return f, false, nil // the database has changed since
	}
	f, found = d.last.h.File(name, d.ix.canonical)
	return f, found, nil
}
