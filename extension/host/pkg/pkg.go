// Package pkg tells which software package a file of a Linux host belongs to, and
// whether the file is still what the package brought. It reads the databases of
// dpkg, rpm, apk and pacman itself and starts no program.
//
// The databases are as good as root: who is root can change them. A file that
// verifies is one nobody changed without that.
package pkg

import (
	"cmp"
	"context"
	"crypto/md5"  //nolint:gosec // what dpkg's database has
	"crypto/sha1" //nolint:gosec // what apk's database has
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// The bounds of what is read.
const (
	maxDatabase = 64 << 20 // bytes of one database file
	maxTotal    = 256 << 20
	maxPackages = 50000
	maxPaths    = 2000000
	// MaxVerify is the largest file that is hashed.
	MaxVerify = 128 << 20
	maxCached = 20000
	// checkEvery is how long the databases are taken to be unchanged.
	checkEvery = time.Second
)

// Package is one installed package.
type Package struct {
	Name    string
	Version string
	Manager string // dpkg, rpm, apk or pacman
}

// ErrTooLarge is the error of Verify for a file larger than MaxVerify.
var ErrTooLarge = errors.New("too large to be hashed")

// DB is the package databases of one host. It reads them when it is first asked,
// and again when they change. It is safe for concurrent use.
type DB struct {
	root string
	seed maphash.Seed
	now  func() time.Time

	mu       sync.Mutex
	checked  time.Time
	tree     *files.Tree // of this second
	stamp    stamp
	ix       *index
	verified map[string]verdict
	last     header
	problems []string
}

type verdict struct {
	info      files.Info
	ok, known bool
}

// Open returns the databases below root ("/" is this host). Nothing is read yet.
func Open(root string) *DB {
	return &DB{root: root, seed: maphash.MakeSeed(), now: time.Now, verified: map[string]verdict{}}
}

// index holds a keyed hash of every path and the package it belongs to: 12 bytes a
// path. The key is random, so nobody can make a path that looks owned.
type index struct {
	paths    []owned
	packages []Package
	sources  []source // of packages, how its files are verified
	// diverted are paths dpkg has another package's file at, to who put it there.
	diverted map[string]diversion
	// movedTo are the places diverted files went to, to where they came from.
	movedTo map[string]string
	conf    map[uint64][16]byte // md5 of configuration files
	merged  bool                // /lib is /usr/lib
	sbin    bool                // /usr/sbin is /usr/bin
	rpms    rpmFile
}

// owned is a path's package; the hash is in halves, so that it takes 12 bytes.
type owned struct{ high, low, pkg uint32 }

func (o owned) hash() uint64 { return uint64(o.high)<<32 | uint64(o.low) }

// source says where the digests of a package's files are.
type source struct {
	kind byte // 'd' dpkg, 'r' rpm, 'a' apk, 'p' pacman
	at   string
	key  uint64 // where rpm has it
}

type diversion struct {
	to, by string
}

// Managers are the package managers whose database was found.
func (d *DB) Managers() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh()
	var all []string
	for _, p := range d.ix.packages {
		if !slices.Contains(all, p.Manager) {
			all = append(all, p.Manager)
		}
	}
	return all
}

// Problems are what could not be read of the databases, in words.
func (d *DB) Problems() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh()
	return slices.Clone(d.problems)
}

// Owner is the package a path belongs to: a path as it is spelled or, where /lib is
// a link to /usr/lib, by either name. Links in the path are not followed.
func (d *DB) Owner(p string) (Package, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh()
	i, _, ok := d.ix.owner(d.seed, p)
	if !ok {
		return Package{}, false
	}
	return d.ix.packages[i], true
}

// Verify hashes a file and compares it with what its package brought. known is
// false when no package says what it should be (no package, no digest, a kind of
// database that has none). Results are remembered until the file changes.
func (d *DB) Verify(ctx context.Context, p string) (ok, known bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh()
	at, err := d.tree.Resolve(p, 0)
	if err != nil {
		return false, false, fmt.Errorf("verify %s: %w", p, err)
	}
	if have, hit := d.verified[p]; hit && have.info == at.Info {
		return have.ok, have.known, nil
	}
	i, name, found := d.ix.owner(d.seed, p)
	if !found {
		return false, false, nil
	}
	if d.ix.sources[i].kind == 'r' {
		ok, known, err = d.compare(ctx, p, at, i, name)
	} else {
		ok, known, err = d.same(ctx, at, d.digest(i, name))
	}
	if err != nil {
		return false, false, fmt.Errorf("verify %s: %w", p, err)
	}
	if len(d.verified) >= maxCached {
		clear(d.verified)
	}
	if at.Info.CTime < d.now().Add(-100*time.Millisecond).UnixNano() {
		d.verified[p] = verdict{at.Info, ok, known}
	}
	return ok, known, nil
}

// same hashes a file and compares; known is false where there is nothing to compare
// with.
func (d *DB) same(ctx context.Context, at files.Resolved, want []byte) (ok, known bool, err error) {
	h := newHash(len(want))
	if h == nil {
		return false, false, nil
	}
	if at.Info.Size > MaxVerify {
		return false, false, ErrTooLarge
	}
	if err := d.tree.Hash(ctx, at, h, MaxVerify); err != nil {
		return false, false, err
	}
	return string(h.Sum(nil)) == string(want), true, nil
}

// Remembered is Verify without reading the file: fresh is false when it would have
// to be read.
func (d *DB) Remembered(p string) (ok, known, fresh bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh()
	if have, hit := d.verified[p]; hit {
		if at, err := d.tree.Resolve(p, 0); err == nil && at.Info == have.info {
			return have.ok, have.known, true
		}
		return false, false, false
	}
	_, _, owned := d.ix.owner(d.seed, p)
	return false, false, !owned
}

func newHash(size int) hash.Hash {
	switch size {
	case md5.Size:
		return md5.New() //nolint:gosec // see above
	case sha1.Size:
		return sha1.New() //nolint:gosec // see above
	case sha256.Size:
		return sha256.New()
	case sha256.Size224:
		return sha256.New224()
	case sha512.Size384:
		return sha512.New384()
	case sha512.Size:
		return sha512.New()
	}
	return nil
}

// stamp tells whether the databases changed.
type stamp [len(stampPaths) + len(rpmDatabases)]files.Info

var stampPaths = [...]string{
	"/var/lib/dpkg/info", "/var/lib/dpkg/status", "/var/lib/dpkg/diversions", "/var/lib/dpkg/status.d",
	"/lib/apk/db/installed", "/usr/lib/apk/db/installed", "/var/lib/pacman/local", "/lib", "/usr/sbin",
}

var rpmDatabases = [...]string{
	"/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite-wal", "/var/lib/rpm/Packages.db", "/var/lib/rpm/Packages",
	"/usr/lib/sysimage/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "/usr/lib/sysimage/rpm/Packages.db", "/usr/lib/sysimage/rpm/Packages",
}

// Databases are the files that change whenever a package is installed, changed or
// removed.
func Databases() []string {
	return append([]string{"/var/lib/dpkg/status", "/lib/apk/db/installed", "/usr/lib/apk/db/installed", "/var/lib/pacman/local"}, rpmDatabases[:]...)
}

// refresh reads the databases anew when they changed. The caller holds mu.
func (d *DB) refresh() {
	now := d.now()
	if d.ix != nil && now.Sub(d.checked) < checkEvery && now.After(d.checked) {
		return
	}
	d.checked = now
	var st stamp
	tree := files.New(d.root, files.Options{Trust: []uint32{uint32(os.Geteuid())}})
	d.tree = tree
	for i, p := range slices.Concat(stampPaths[:], rpmDatabases[:]) {
		if at, err := tree.Parent(p, 0); err == nil {
			switch {
			case p == "/lib" || p == "/usr/sbin":
				at.Info = files.Info{Mode: at.Info.Mode}
			case at.Info.Size == 0 && strings.HasSuffix(p, "-wal"):
				at.Info = files.Info{} // whoever only asks rpm makes it anew
			}
			st[i] = at.Info
		}
	}
	if d.ix != nil && st == d.stamp {
		return
	}
	d.stamp = st
	d.problems = nil
	b := &builder{
		tree: tree, seed: d.seed, strings: map[string]string{},
		ix: &index{diverted: map[string]diversion{}, movedTo: map[string]string{}, conf: map[uint64][16]byte{}},
	}
	if at, err := tree.Resolve("/lib", 0); err == nil && at.Path == "/usr/lib" {
		b.ix.merged = true
	}
	if at, err := tree.Resolve("/usr/sbin", 0); err == nil && at.Path == "/usr/bin" {
		b.ix.sbin = true
	}
	b.dpkg()
	b.rpm()
	b.apk()
	b.pacman()
	slices.SortFunc(b.ix.paths, func(x, y owned) int {
		return cmp.Or(cmp.Compare(x.hash(), y.hash()), cmp.Compare(x.pkg, y.pkg))
	})
	b.ix.paths = slices.Clone(b.ix.paths) // without the room to grow
	d.ix = b.ix
	d.problems = b.problems
	d.last = header{}
	clear(d.verified)
}

// canonical spells a path one way where the top directories are links into /usr.
func (ix *index) canonical(p string) string {
	if ix.merged && len(p) >= 5 {
		switch {
		case strings.HasPrefix(p, "/bin/"), strings.HasPrefix(p, "/sbin/"), strings.HasPrefix(p, "/lib/"), strings.HasPrefix(p, "/lib32/"),
			strings.HasPrefix(p, "/lib64/"), strings.HasPrefix(p, "/libx32/"):
			p = "/usr" + p
		}
	}
	if rest, ok := strings.CutPrefix(p, "/usr/sbin/"); ok && ix.sbin {
		p = "/usr/bin/" + rest
	}
	return p
}

// owner finds the package of a path, and the name the path has in it.
func (ix *index) owner(seed maphash.Seed, p string) (pkg uint32, name string, ok bool) {
	if p == "" || p[0] != '/' {
		return 0, "", false
	}
	p = ix.canonical(path.Clean(p))
	if from, moved := ix.movedTo[p]; moved {
		// What another package's file made way for: whose file it is that moved.
		by := ix.diverted[from].by
		for _, o := range ix.find(seed, from) {
			if n := ix.packages[o.pkg].Name; n != by {
				return o.pkg, from, true
			}
		}
	}
	all := ix.find(seed, p)
	if len(all) == 0 {
		return 0, "", false
	}
	if div, ok := ix.diverted[p]; ok {
		for _, o := range all {
			if ix.packages[o.pkg].Name == div.by {
				return o.pkg, p, true
			}
		}
		return 0, "", false // put there by hand
	}
	return all[0].pkg, p, true
}

func (ix *index) find(seed maphash.Seed, p string) []owned {
	h := maphash.String(seed, p)
	from, _ := slices.BinarySearchFunc(ix.paths, h, func(o owned, h uint64) int { return cmp.Compare(o.hash(), h) })
	to := from
	for to < len(ix.paths) && ix.paths[to].hash() == h {
		to++
	}
	return ix.paths[from:to]
}

// builder fills an index.
type builder struct {
	tree     *files.Tree
	seed     maphash.Seed
	ix       *index
	strings  map[string]string
	read     int
	problems []string
}

func (b *builder) problem(format string, args ...any) {
	if len(b.problems) < 20 {
		b.problems = append(b.problems, fmt.Sprintf(format, args...))
	}
}

// file reads a database file, "" when there is none.
func (b *builder) file(p string) string {
	if b.read > maxTotal {
		return ""
	}
	data, cut, err := b.tree.ReadFile(p, maxDatabase)
	b.read += len(data)
	if cut {
		b.problem("%s is larger than %d bytes: the rest is not read", p, maxDatabase)
	}
	if err != nil && !isMissing(err) {
		b.problem("%v", err)
	}
	return string(data)
}

func (b *builder) pkg(p Package, s source) (uint32, bool) {
	if len(b.ix.packages) >= maxPackages {
		b.problem("more than %d packages", maxPackages)
		return 0, false
	}
	b.ix.packages = append(b.ix.packages, p)
	b.ix.sources = append(b.ix.sources, s)
	return uint32(len(b.ix.packages) - 1), true
}

func (b *builder) path(p string, pkg uint32) {
	if len(b.ix.paths) >= maxPaths {
		b.problem("more than %d files", maxPaths)
		return
	}
	h := maphash.String(b.seed, b.ix.canonical(p))
	b.ix.paths = append(b.ix.paths, owned{uint32(h >> 32), uint32(h), pkg})
}
