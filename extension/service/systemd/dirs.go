package systemd

import (
	"path"
	"strconv"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// searchDir is one directory systemd searches for units.
type searchDir struct {
	path  string
	class Class
	// own marks a directory of one user.
	own bool
}

// systemDirs are the directories of the system manager, first found wins:
// systemd.unit(5), "Unit File Load Path".
func systemDirs() []searchDir {
	return []searchDir{
		{path: "/etc/systemd/system.control", class: Control},
		{path: "/run/systemd/system.control", class: Control},
		{path: "/run/systemd/transient", class: Transient},
		{path: "/run/systemd/generator.early", class: Generated},
		{path: "/etc/systemd/system", class: Etc},
		{path: "/etc/systemd/system.attached", class: Attached},
		{path: "/run/systemd/system", class: Runtime},
		{path: "/run/systemd/system.attached", class: Attached},
		{path: "/run/systemd/generator", class: Generated},
		{path: "/usr/local/lib/systemd/system", class: Local},
		{path: "/usr/lib/systemd/system", class: Vendor},
		{path: "/lib/systemd/system", class: Vendor},
		{path: "/run/systemd/generator.late", class: Generated},
	}
}

// userDirs are the directories of a user's manager; home and runtime are empty
// for those that every user has.
func userDirs(home, runtime string) []searchDir {
	var d []searchDir
	own := func(base, sub string, c Class) {
		if base != "" {
			d = append(d, searchDir{path: path.Join(base, sub), class: c, own: true})
		}
	}
	all := func(p string, c Class) { d = append(d, searchDir{path: p, class: c}) }
	own(home, ".config/systemd/user.control", Home)
	own(runtime, "systemd/user.control", Control)
	own(runtime, "systemd/transient", Transient)
	own(runtime, "systemd/generator.early", Generated)
	own(home, ".config/systemd/user", Home)
	all("/etc/xdg/systemd/user", Etc)
	all("/etc/systemd/user", Etc)
	own(runtime, "systemd/user", Runtime)
	all("/run/systemd/user", Runtime)
	own(runtime, "systemd/generator", Generated)
	own(home, ".local/share/systemd/user", Home)
	all("/usr/local/share/systemd/user", Local)
	all("/usr/share/systemd/user", Vendor)
	all("/usr/local/lib/systemd/user", Local)
	all("/usr/lib/systemd/user", Vendor)
	all("/lib/systemd/user", Vendor)
	own(runtime, "systemd/generator.late", Generated)
	return d
}

// hookDir is a directory of programs systemd runs by itself.
type hookDir struct {
	path  string
	class Class
	kind  Kind
	scope Scope
	what  string
}

func hookDirs() []hookDir {
	var all []hookDir
	for _, g := range []struct {
		name, what string
		scope      Scope
	}{
		{"system-generators", "unit generator", System},
		{"user-generators", "unit generator", User},
		{"system-environment-generators", "environment generator", System},
		{"user-environment-generators", "environment generator", User},
	} {
		for _, base := range []struct {
			path  string
			class Class
		}{{"/run/systemd/", Runtime}, {"/etc/systemd/", Etc}, {"/usr/local/lib/systemd/", Local}, {"/usr/lib/systemd/", Vendor}, {"/lib/systemd/", Vendor}} {
			all = append(all, hookDir{base.path + g.name, base.class, Generator, g.scope, g.what})
		}
	}
	for _, base := range []string{"/usr/lib/systemd/", "/lib/systemd/"} {
		all = append(all,
			hookDir{base + "system-shutdown", Vendor, Hook, System, "shutdown hook"},
			hookDir{base + "system-sleep", Vendor, Hook, System, "sleep hook"})
	}
	return append(all, hookDir{"/etc/systemd/system-sleep", Etc, Hook, System, "sleep hook"})
}

// owner is a user who may have a manager of his own.
type owner struct {
	files.User
	runtime string
}

// The bounds of users looked at.
const maxOwners = 2000

// owners are the users with a home, those of /etc/passwd first, then those whose
// home lies in /home or who have a session.
func (s *scan) owners() []owner {
	var all []owner
	homes := map[string]bool{"": true, "/": true, "/nonexistent": true, "/dev/null": true}
	ids := map[uint32]bool{}
	for _, u := range s.tree.Users() {
		if len(all) == maxOwners {
			s.note("/etc/passwd", "more users than are looked at")
			return all
		}
		ids[u.UID] = true
		if !homes[u.Home] {
			homes[u.Home] = true
			all = append(all, owner{u, "/run/user/" + strconv.FormatUint(uint64(u.UID), 10)})
		}
	}
	for _, e := range s.list("/home", maxOwners) {
		home := "/home/" + e.Name
		info, err := s.tree.Lstat(home)
		if homes[home] || err != nil || !info.IsDir() || len(all) == maxOwners {
			continue
		}
		ids[info.UID] = true
		all = append(all, owner{files.User{Name: e.Name, UID: info.UID, GID: info.GID, Home: home}, "/run/user/" + strconv.FormatUint(uint64(info.UID), 10)})
	}
	for _, e := range s.list("/run/user", maxOwners) {
		n, err := strconv.ParseUint(e.Name, 10, 32)
		if err != nil || ids[uint32(n)] || len(all) == maxOwners {
			continue
		}
		all = append(all, owner{files.User{Name: e.Name, UID: uint32(n), GID: uint32(n)}, "/run/user/" + e.Name})
	}
	return all
}
