package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestWaiting: the line is there while something goes on, and gone before anything else
// is written.
func TestWaiting(t *testing.T) {
	var screen bytes.Buffer
	tick, stopped := make(chan time.Time), false
	stop := showWaiting(&screen, tick, func() { stopped = true }, working)
	tick <- time.Now().Add(1500 * time.Millisecond)
	tick <- time.Now().Add(2500 * time.Millisecond)
	out := &firstWrite{&screen, stop}
	for _, s := range []string{"row\n", "row\n"} {
		if _, err := out.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	want := "\r\x1b[Krollcall: 1 s, Ctrl-C stops it\r\x1b[Krollcall: 2 s, Ctrl-C stops it\r\x1b[Krow\nrow\n"
	if screen.String() != want || !stopped {
		t.Errorf("%q, want %q; the ticker is stopped: %v", screen.String(), want, stopped)
	}

	// What ends at once shows nothing, and neither does what is no terminal.
	var quiet bytes.Buffer
	showWaiting(&quiet, nil, func() {}, working)()
	startWaiting(&quiet, func(time.Duration) string { return strings.Repeat("x", 9) })()
	if quiet.Len() > 0 {
		t.Errorf("%q", quiet.String())
	}
}
