package core

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/service/managed"
)

// Services reads the services of a host of Windows or macOS: what changes among
// them, as a source of evidence, and all of them, as an inventory.
type Services struct{ *Snapshots }

// Services are the services as of the last read, none before the first. It never
// waits for osquery. The answer is the caller's own; what it points to is not.
func (s *Services) Services(context.Context) ([]inventory.Service, error) {
	if all := s.shot.books.latest.Load(); all != nil {
		return slices.Clone(*all), nil
	}
	return nil, nil
}

// books are what is known of all services of a host. Nothing but latest is safe
// for concurrent use.
type books struct {
	latest atomic.Pointer[[]inventory.Service]
	files  fileFacts
	// all makes the services of the rows of a look.
	all func(ctx context.Context, c *comparison, rows []map[string]string) []inventory.Service
}

// keep brings the books up to date.
func (b *books) keep(ctx context.Context, c *comparison, found map[string]map[string]string) {
	rows := make([]map[string]string, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		rows = append(rows, found[key])
	}
	all := b.all(ctx, c, rows)
	b.latest.Store(&all)
}

// steps asks one thing after the other until one cannot be asked: the rest waits for
// the next look, and nobody waits for it to learn what changed.
func steps(all ...func() error) {
	for _, ask := range all {
		if ask() != nil {
			return
		}
	}
}

// The bounds of what is asked of files in one look, and how long that holds.
const (
	maxStats  = 100
	maxSigned = 6
	maxHashed = 6
	// maxAsked are the files of one query that reads them.
	maxAsked = 3
	// maxHashSize is the largest file that is read for its hash, in bytes.
	maxHashSize = 32 << 20
	// maxFilePath bounds a path that is asked for, in bytes.
	maxFilePath = 1024
	statLife    = time.Hour
)

// fileFacts is what osquery tells of the files of services. What reading a file
// told holds until its size or times change.
type fileFacts struct {
	darwin bool
	known  map[string]*fileFact
}

type fileFact struct {
	managed.File
	size int64
	at   time.Duration // when it was looked at
	// verified and hashed say that it was asked for, whatever the answer.
	verified, hashed bool
}

func (f *fileFacts) key(path string) string {
	if f.darwin {
		return path
	}
	return strings.ToLower(path)
}

// look tells what is known of a file.
func (f *fileFacts) look(path string) managed.File {
	if fact := f.known[f.key(path)]; fact != nil && path != "" {
		return fact.File
	}
	return managed.File{}
}

// retain forgets all files but those of the paths.
func (f *fileFacts) retain(paths []string) {
	used := make(map[string]bool, len(paths))
	for _, p := range paths {
		used[f.key(p)] = true
	}
	maps.DeleteFunc(f.known, func(key string, _ *fileFact) bool { return !used[key] })
}

// stat looks at those of the files that were not looked at for the longest time, at
// all that are new when now is set.
func (f *fileFacts) stat(ctx context.Context, c *comparison, paths []string, now bool) error {
	if f.known == nil {
		f.known = map[string]*fileFact{}
	}
	age := func(p string) time.Duration {
		if fact := f.known[f.key(p)]; fact != nil {
			return c.at - fact.at
		}
		return 1 << 62
	}
	due := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return p == "" || len(p) > maxFilePath || !now && age(p) < statLife })
	slices.SortStableFunc(due, func(a, b string) int { return cmp.Compare(age(b), age(a)) })
	due = due[:min(len(due), maxStats)]
	if len(due) == 0 || !c.caps.Tables["file"] {
		return nil
	}
	columns := []string{"path", "size", "mtime", "ctime", "btime"}
	if f.darwin {
		columns = append(columns, "mode", "uid")
	}
	there := map[string]*fileFact{}
	ok, err := c.answered(ctx, squirrel.Select(columns...).From("file").Where(squirrel.Eq{"path": due}).Limit(maxStats), func(r *Row) error {
		fact := &fileFact{size: number(r.Get("size"))}
		fact.OnDisk = evidence.Yes
		fact.Modified, fact.Changed, fact.Born = number(r.Get("mtime")), number(r.Get("ctime")), number(r.Get("btime"))
		if mode, err := strconv.ParseUint(r.Get("mode"), 8, 32); err == nil && f.darwin {
			fact.Mode, fact.UID, fact.Stated = uint32(mode), uint32(number(r.Get("uid"))), true
		}
		there[f.key(r.Get("path"))] = fact
		return nil
	})
	if !ok {
		return err
	}
	for _, p := range due {
		key := f.key(p)
		is, was := there[key], f.known[key]
		if is == nil {
			is = &fileFact{}
			is.OnDisk = evidence.No
		} else if was != nil && was.size == is.size && was.Modified == is.Modified && was.Changed == is.Changed && was.OnDisk == is.OnDisk {
			is.verified, is.Signed, is.Signer, is.Broken = was.verified, was.Signed, was.Signer, was.Broken
			is.hashed, is.SHA256 = was.hashed, was.SHA256
		}
		is.at = c.at
		f.known[key] = is
	}
	return nil
}

// unread are the first files on disk of which something was not asked yet.
func (f *fileFacts) unread(paths []string, limit int, read func(*fileFact) bool) (out []string) {
	for _, p := range paths {
		fact := f.known[f.key(p)]
		if len(out) < limit && fact != nil && fact.OnDisk == evidence.Yes && !read(fact) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// verify asks for the signatures of the first files of which they are not known.
func (f *fileFacts) verify(ctx context.Context, c *comparison, paths []string) error {
	table := "authenticode"
	stmt := squirrel.Select("path", "result", "subject_name").From(table)
	if f.darwin {
		table = "signature"
		// What is sealed beside the program itself can be gigabytes.
		stmt = squirrel.Select("path", "signed", "authority").From(table).Where(squirrel.Eq{"hash_resources": 0})
	}
	if !c.caps.Tables[table] {
		return nil
	}
	due := f.unread(paths, maxSigned, func(fact *fileFact) bool { return fact.verified })
	for part := range slices.Chunk(due, maxAsked) {
		_, err := c.answered(ctx, stmt.Where(squirrel.Eq{"path": part}).Limit(1000), func(r *Row) error {
			fact := f.known[f.key(r.Get("path"))]
			if fact == nil {
				return nil
			}
			signed, signer, broken := authenticode(r)
			if f.darwin {
				signed, signer, broken = codeSigned(r)
			}
			fact.Broken = fact.Broken || broken
			// Of several architectures the worst counts.
			if fact.Signed != evidence.No {
				fact.Signed, fact.Signer = signed, signer
			}
			return nil
		})
		for _, p := range part { // also of one that takes too long, or it would be asked for ever
			f.known[f.key(p)].verified = true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// authenticode reads a row of Windows' signatures. One that is invalid was on another
// file; one that is distrusted somebody forbade.
func authenticode(r *Row) (signed evidence.Tristate, signer string, broken bool) {
	switch result := r.Get("result"); result {
	case "trusted", "valid":
		return evidence.Yes, r.Get("subject_name"), false
	case "missing", "untrusted":
		return evidence.No, "", false
	case "invalid", "distrusted":
		return evidence.No, "", true
	}
	return evidence.Unknown, "", false
}

// codeSigned reads a row of macOS' signatures. One without an authority is ad hoc:
// whoever builds a program makes it. One with an authority that does not hold is another
// program's.
func codeSigned(r *Row) (signed evidence.Tristate, signer string, broken bool) {
	authority := r.Get("authority")
	if r.Get("signed") == "1" && authority != "" {
		return evidence.Yes, authority, false
	}
	return evidence.No, "", r.Get("signed") == "0" && authority != ""
}

// unsigned are the files among paths of which no signature is known to hold.
func (f *fileFacts) unsigned(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return f.look(p).Signed != evidence.No })
}

// hash asks for the hashes of the first files of which they are not known.
func (f *fileFacts) hash(ctx context.Context, c *comparison, paths []string) error {
	if !c.caps.Tables["hash"] {
		return nil
	}
	due := f.unread(paths, maxHashed, func(fact *fileFact) bool { return fact.hashed || fact.size > maxHashSize })
	for part := range slices.Chunk(due, maxAsked) {
		_, err := c.answered(ctx, squirrel.Select("path", "sha256").From("hash").Where(squirrel.Eq{"path": part}).Limit(100), func(r *Row) error {
			if fact := f.known[f.key(r.Get("path"))]; fact != nil {
				fact.SHA256 = r.Get("sha256")
			}
			return nil
		})
		for _, p := range part {
			f.known[f.key(p)].hashed = true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// learn looks at the files of what changed, at once.
func (f *fileFacts) learn(ctx context.Context, c *comparison, paths []string) error {
	if err := f.stat(ctx, c, paths, true); err != nil {
		return err
	}
	return cmp.Or(f.verify(ctx, c, paths), f.hash(ctx, c, paths))
}

// tell puts what is known of the program of a service, and of the library it loads,
// into its install.
func (f *fileFacts) tell(in *evidence.Install, program, library string) {
	code := managed.Code(f.look, program, library)
	in.OnDisk, in.Signed, in.Signer, in.Broken, in.SHA256 = code.OnDisk, code.Signed, code.Signer, code.Broken, code.SHA256
}
