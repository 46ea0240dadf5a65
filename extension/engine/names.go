package engine

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// maxNames bounds the names of accounts that are remembered.
const maxNames = 8192

// names are the names of user ids as the evidence itself tells them: one source has
// only ids (audit.log), another the name behind one (a logon). Ids in containers are
// their own, and Windows' evidence has names.
type names map[accountKey]string

type accountKey struct{ host, uid string }

func (n names) learn(platform evidence.Platform, host, uid, name string) {
	if uid == "" || name == "" || platform == evidence.Windows || len(n) >= maxNames {
		return
	}
	n[accountKey{host, uid}] = name
}

// of is the name of a user id, empty when nobody told.
func (n names) of(platform evidence.Platform, host, uid string) string {
	switch {
	case platform == evidence.Windows, noLogin(uid):
		return ""
	case uid == "0":
		return "root"
	}
	return n[accountKey{host, uid}]
}

// noLogin reports whether a login user's id says that nobody logged in.
func noLogin(uid string) bool { return uid == "" || uid == "4294967295" || uid == "-1" }

// account is a name for whoever an id is: his own, or the id where nobody told. Ids
// that name themselves (Windows') need no more.
func account(name, uid string) string {
	switch {
	case name != "" || noLogin(uid):
		return name
	case strings.HasPrefix(uid, "S-"):
		return uid
	}
	return "uid " + uid
}
