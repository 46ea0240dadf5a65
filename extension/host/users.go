// Package host knows facts about this host: who its users are.
package host

import (
	"context"
	"sync"
	"time"
)

// The bounds of the names kept and how often they are asked for again.
const (
	usersLife = 5 * time.Minute
	// unknownWait is how long an id without a name is not asked for again. Another one is
	// asked for after newWait: the next command is by the account that was just made.
	unknownWait = 30 * time.Second
	newWait     = 2 * time.Second
	maxUnknown  = 4096
)

// Users names user ids. It asks a lookup, seldom, and remembers. It is safe for
// concurrent use.
type Users struct {
	lookup func(ctx context.Context) (map[string]string, error)
	now    func() time.Time

	mu      sync.Mutex
	names   map[string]string
	asked   time.Time
	unknown map[string]time.Time // when an id was found to have no name
}

// NewUsers returns Users that ask lookup for a map of id to name.
func NewUsers(lookup func(ctx context.Context) (map[string]string, error)) *Users {
	return &Users{lookup: lookup, now: time.Now}
}

// Name is the name of a user id, empty when unknown.
func (u *Users) Name(ctx context.Context, uid string) string {
	if uid == "" {
		return ""
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now()
	name, ok := u.names[uid]
	age := now.Sub(u.asked)
	missed, missing := u.unknown[uid]
	if ok && age < usersLife || !ok && u.names != nil && (age < newWait || missing && now.Sub(missed) < unknownWait) {
		return name
	}
	u.asked = now
	names, err := u.lookup(ctx)
	if err != nil || len(names) == 0 {
		if u.names == nil {
			u.names = map[string]string{}
		}
		return name // what was known stays better than nothing
	}
	u.names = names
	if _, ok := names[uid]; ok {
		delete(u.unknown, uid)
		return names[uid]
	}
	if u.unknown == nil || len(u.unknown) >= maxUnknown {
		u.unknown = map[string]time.Time{}
	}
	u.unknown[uid] = now
	return ""
}
