package host

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestUsersAskSeldom(t *testing.T) {
	ctx, now := context.Background(), time.Unix(1_800_000_000, 0)
	asked, known, fail := 0, map[string]string{"0": "root"}, error(nil)
	u := NewUsers(func(context.Context) (map[string]string, error) { asked++; return known, fail })
	u.now = func() time.Time { return now }
	for i, c := range []struct {
		name  string
		after time.Duration
		do    func()
		uid   string
		want  string
		asked int
	}{
		{name: "no id, no question", uid: "", want: "", asked: 0},
		{name: "first", uid: "0", want: "root", asked: 1},
		{name: "remembered", after: time.Minute, uid: "0", want: "root", asked: 1},
		{name: "unknown, asked again", uid: "1000", want: "", asked: 2},
		{name: "unknown, a moment later", after: 10 * time.Second, do: func() { known = map[string]string{"0": "root", "1000": "al"} }, uid: "1000", want: "", asked: 2},
		{name: "unknown, later", after: 30 * time.Second, uid: "1000", want: "al", asked: 3},
		{name: "renamed, still remembered", do: func() { known = map[string]string{"0": "toor"} }, uid: "0", want: "root", asked: 3},
		{name: "renamed, after its life", after: 6 * time.Minute, uid: "0", want: "toor", asked: 4},
		{name: "a failure keeps what was known", after: 6 * time.Minute, do: func() { fail = errors.New("busy") }, uid: "0", want: "toor", asked: 5},
		{name: "and is not repeated at once", after: time.Second, uid: "0", want: "toor", asked: 5},
		{name: "an empty answer too", after: 6 * time.Minute, do: func() { fail, known = nil, nil }, uid: "0", want: "toor", asked: 6},
	} {
		now = now.Add(c.after)
		if c.do != nil {
			c.do()
		}
		if got := u.Name(ctx, c.uid); got != c.want || asked != c.asked {
			t.Errorf("%d %s: %q after %d questions, want %q after %d", i, c.name, got, asked, c.want, c.asked)
		}
	}
}

// TestUsersThatCannotBeAsked: a stream of ids does not become a stream of questions.
func TestUsersThatCannotBeAsked(t *testing.T) {
	asked := 0
	u := NewUsers(func(context.Context) (map[string]string, error) { asked++; return nil, errors.New("no") })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				if got := u.Name(context.Background(), "1000"); got != "" {
					t.Errorf("a name from nowhere: %s", got)
				}
			}
		})
	}
	wg.Wait()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
