package lifecycle

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestRoomFor(t *testing.T) {
	for name, tt := range map[string]struct {
		u    used
		want int64
	}{
		"little in use":     {used{10, 10}, 100},
		"as much as may be": {used{80, 0}, 100},
		"more":              {used{200, 30}, 280},
		"nothing known":     {used{}, 100},
	} {
		if got := roomFor(100, tt.u); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// TestRoom: with much in use the limit is above that, and comes down after.
func TestRoom(t *testing.T) {
	was := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(was)
	const atMost, much = 32 << 20, 128 << 20
	held := make([]byte, much)
	runtime.GC()
	if got := Room(atMost); got < much || got != debug.SetMemoryLimit(-1) || got > 2*much {
		t.Errorf("%d bytes for %d", got, much)
	}
	runtime.KeepAlive(held)
	runtime.GC()
	if got := Room(atMost); got != atMost || got != debug.SetMemoryLimit(-1) {
		t.Errorf("%d bytes", got)
	}
}
