//go:build unix

package term

import (
	"os"

	"golang.org/x/sys/unix"
)

// console is what the terminal tells about itself: its width (0 when it does
// not), whether it takes escape sequences, whether it takes UTF-8 by itself.
func console(f *os.File) (width int, escapes, utf8OK bool) {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, true, false
	}
	return int(ws.Col), true, false
}
