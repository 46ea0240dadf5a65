package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
)

// startWaiting shows on a terminal that something goes on: what text says of the time
// it takes, every second from the first. Stop takes that away and waits until nothing
// more is shown; it can be called again.
func startWaiting(w io.Writer, text func(since time.Duration) string) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return func() {}
	}
	tick := time.NewTicker(time.Second)
	return showWaiting(w, tick.C, tick.Stop, text)
}

// showWaiting is startWaiting by somebody's clock.
func showWaiting(w io.Writer, tick <-chan time.Time, stopTick func(), text func(time.Duration) string) (stop func()) {
	begin := time.Now()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { // stop waits for it
		defer close(ended)
		defer stopTick()
		shown := false
		for {
			select {
			case now := <-tick:
				shown = true
				fmt.Fprintf(w, "\r\x1b[K%s", text(now.Sub(begin)))
			case <-done:
				if shown {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			}
		}
	}()
	var once sync.Once
	return func() {
		once.Do(func() { close(done) })
		<-ended
	}
}

// working is what is shown while a query runs.
func working(since time.Duration) string {
	return fmt.Sprintf("rollcall: %d s, Ctrl-C stops it", int(since.Seconds()))
}

// firstWrite calls before when something is written.
type firstWrite struct {
	w      io.Writer
	before func()
}

func (f *firstWrite) Write(p []byte) (int, error) {
	f.before()
	return f.w.Write(p)
}
