// Package accounts tells what an account of this host may do: its groups, and what
// sudo lets it do. It reads the files of a Linux host itself, or asks osquery.
//
// Where it reads, it reads only files that root alone can write: what others wrote
// says nothing about rights. Directories of accounts on the network (LDAP, SSSD)
// are not asked; that they are in use is said.
package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// The bounds of what is read and told.
const (
	maxDatabase = 4 << 20 // bytes of /etc/passwd and /etc/group
	maxSudoers  = 1 << 20 // bytes of one file of sudo's
	maxIncluded = 128     // files of sudo's
	maxDepth    = 8       // of aliases and included files in each other
	maxSteps    = 1 << 20 // entries of lists that are compared
	maxRoles    = 48
	maxProblems = 16
)

// Roles are what an account may do.
type Roles struct {
	// List are the roles, each in a few words: "member of sudo", "NOPASSWD in
	// /etc/sudoers.d/x (ALL)".
	List []string
	// Problems are what is not known and why.
	Problems []string
}

func (r *Roles) add(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	switch {
	case slices.Contains(r.List, s):
	case len(r.List) >= maxRoles:
		r.problem("more than %d roles: the others are left out", maxRoles)
	default:
		r.List = append(r.List, s)
	}
}

func (r *Roles) problem(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if len(r.Problems) < maxProblems && !slices.Contains(r.Problems, s) {
		r.Problems = append(r.Problems, s)
	}
}

// Administrator reports whether the account is one of the host's administrators: in such
// a group, or by sudo's rules. It is unknown where it was not found to be and something is
// not known of it, and where another group of Windows' gives as much.
func (r *Roles) Administrator() evidence.Tristate {
	out := evidence.No
	if len(r.Problems) > 0 {
		out = evidence.Unknown
	}
	for _, s := range r.List {
		switch {
		case s == "member of sudo", s == "member of wheel", s == "member of admin", s == "member of root", strings.Contains(s, "sudoers"), strings.HasPrefix(s, "uid 0"),
			strings.HasSuffix(s, administers):
			return evidence.Yes
		case strings.HasSuffix(s, elevates):
			out = evidence.Unknown
		}
	}
	return out
}

// Options says where a host's files are.
type Options struct {
	// Root is where the host's files are, "/" when empty.
	Root string
	// Trust are users whose files count as root's, for trees of tests.
	Trust []uint32
}

// Files are the accounts in the files of a Linux host. It is safe for concurrent
// use.
type Files struct {
	opts Options
}

// NewFiles returns the accounts of a host; nothing is read yet.
func NewFiles(o Options) *Files {
	if o.Root == "" {
		o.Root = "/"
	}
	return &Files{opts: o}
}

// person is an account that is asked about.
type person struct {
	name    string
	uid     string
	groups  []string // names
	gids    []string
	primary string // gid
}

// powers are groups whose members can become root without sudo, or nearly so.
var powers = map[string]string{
	"docker": "as good as root", "lxd": "as good as root", "incus-admin": "as good as root", "libvirt": "as good as root", "disk": "may read and write every disk",
	"shadow": "may read password hashes", "kmem": "may read the kernel's memory", "adm": "may read logs", "systemd-journal": "may read logs",
}

// Roles reads what an account may do. It is named, or its number is given.
func (f *Files) Roles(name string) Roles {
	var r Roles
	if name == "" {
		return r
	}
	t := files.New(f.opts.Root, files.Options{Trust: f.opts.Trust})
	p := person{name: name}
	if b := database(t, "/etc/passwd", &r); b != "" && !p.find(b) {
		r.problem("%s is not in /etc/passwd: what a directory of accounts says is not known", name)
	}
	p.join(database(t, "/etc/group", &r))
	if p.uid == "0" && p.name != "root" {
		r.add("uid 0 (is root by another name)")
	}
	p.tell(&r)
	services(t, &r)
	s := sudoers{tree: t, roles: &r, aliases: map[string][]string{}}
	s.read("/etc/sudoers", 0)
	s.judge(&p)
	return r
}

// tell tells of the groups; a user's own group of the same name is none.
func (p *person) tell(r *Roles) {
	for _, g := range p.groups {
		switch {
		case g == p.name:
		case powers[g] != "":
			r.add("member of %s (%s)", g, powers[g])
		default:
			r.add("member of %s", g)
		}
	}
}

// find finds the account in /etc/passwd, by name or else by number, and reports
// whether it is there.
func (p *person) find(passwd string) bool {
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) < 4 || f[0] != p.name && f[2] != p.name || !number(f[2]) || !number(f[3]) {
			continue
		}
		p.name, p.uid, p.primary = f[0], f[2], f[3]
		return true
	}
	return false
}

// join finds the groups of the account in /etc/group.
func (p *person) join(group string) {
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) < 4 || f[0] == "" || !number(f[2]) || slices.Contains(p.gids, f[2]) {
			continue
		}
		if f[2] == p.primary || slices.Contains(strings.Split(f[3], ","), p.name) {
			p.groups, p.gids = append(p.groups, f[0]), append(p.gids, f[2])
		}
	}
}

func number(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// database reads one of the files of accounts.
func database(t *files.Tree, name string, r *Roles) string {
	b, cut, err := t.ReadFile(name, maxDatabase)
	switch {
	case err != nil:
		r.problem("%s could not be read: %v", name, err)
	case cut:
		r.problem("%s is longer than %d MiB: the rest was not read", name, maxDatabase>>20)
	}
	return string(b)
}

// services says which sources of groups and of sudo's rules besides files the host
// uses.
func services(t *files.Tree, r *Roles) {
	b, _, err := t.ReadFile("/etc/nsswitch.conf", 64<<10)
	if err != nil {
		return // then files are all there is
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		key, list, ok := strings.Cut(line, ":")
		key = strings.TrimSpace(key)
		if !ok || key != "group" && key != "initgroups" && key != "sudoers" {
			continue
		}
		for source := range strings.FieldsSeq(list) {
			switch {
			case source == "files", source == "compat", source == "systemd", source == "db", strings.ContainsAny(source, "[]=!"):
			case key == "sudoers":
				r.problem("sudo also has rules of %q, which were not asked", source)
			default:
				r.problem("groups also come from %q, which was not asked", source)
			}
		}
	}
}

// trusted reads a file that only root can write.
func (s *sudoers) trusted(name string) (text string, ok bool) {
	at, err := s.tree.Resolve(name, 0)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.roles.problem("%s could not be read: %v", name, err)
		}
		return "", false
	}
	if at.Writable != "" {
		s.roles.problem("%s was not read: others than root can write %s", name, at.Writable)
		return "", false
	}
	b, _, cut, err := s.tree.ReadResolved(at, maxSudoers)
	if err != nil {
		s.roles.problem("%s could not be read: %v", name, err)
		return "", false
	}
	if cut {
		s.roles.problem("%s is longer than %d MiB: the rest was not read", name, maxSudoers>>20)
	}
	return string(b), true
}

// directory reads the files of a directory as sudo does: in order of their names,
// those with a dot or a tilde at their end left out.
func (s *sudoers) directory(dir string, depth int) {
	entries, at, more, err := s.tree.ReadDir(dir, 4*maxIncluded)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.roles.problem("%s could not be listed: %v", dir, err)
		}
		return
	}
	if at.Writable != "" {
		s.roles.problem("%s was not read: others than root can write %s", dir, at.Writable)
		return
	}
	if more {
		s.roles.problem("%s has more files than are read", dir)
	}
	var names []string
	for _, e := range entries {
		if !e.Dir && !strings.Contains(e.Name, ".") && !strings.HasSuffix(e.Name, "~") {
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		s.read(path.Join(dir, n), depth+1)
	}
}
