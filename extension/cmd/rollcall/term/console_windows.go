package term

import (
	"os"

	"golang.org/x/sys/windows"
)

// codePageUTF8 is CP_UTF8.
const codePageUTF8 = 65001

// console is what the terminal tells about itself: its width (0 when it does
// not), whether it takes escape sequences, which is turned on, and whether its
// code page is UTF-8.
func console(f *os.File) (width int, escapes, utf8OK bool) {
	h := windows.Handle(f.Fd())
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(h, &info); err == nil {
		width = int(info.Window.Right-info.Window.Left) + 1
	}
	var mode uint32
	if err := windows.GetConsoleMode(h, &mode); err == nil {
		escapes = windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
	}
	// Go writes to a console in UTF-16 whatever its code page, so what counts is
	// whether this is a console at all.
	cp, err := windows.GetConsoleOutputCP()
	return width, escapes, err == nil && (cp == codePageUTF8 || escapes)
}
