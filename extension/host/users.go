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
	// unknownWait keeps a stream of unknown ids from asking all the time.
	unknownWait = 30 * time.Second
)

// Users names user ids. It asks a lookup, seldom, and remembers. It is safe for
// concurrent use.
type Users struct {
	lookup func(ctx context.Context) (map[string]string, error)
	now    func() time.Time

	mu    sync.Mutex
	names map[string]string
	asked time.Time
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
	name, ok := u.names[uid]
	age := u.now().Sub(u.asked)
	if (ok && age < usersLife) || (!ok && u.names != nil && age < unknownWait) {
		return name
	}
	u.asked = u.now()
	names, err := u.lookup(ctx)
	if err != nil || len(names) == 0 {
		if u.names == nil {
			u.names = map[string]string{}
		}
		return name // what was known stays better than nothing
	}
	u.names = names
	return names[uid]
}
