package term

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/mattn/go-isatty"
)

// maxWidth bounds a width that the environment claims.
const maxWidth = 10000

// Detect finds what f can show. Colours need a terminal that is not "dumb" and
// no NO_COLOR in the environment (https://no-color.org). COLUMNS is the width
// where the terminal does not tell its own.
func Detect(f *os.File, getenv func(string) string) Options {
	if f == nil || !(isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())) {
		return Options{Unicode: utf8Locale(getenv, false)}
	}
	// Called for a terminal only, since on Windows it changes its mode.
	width, escapes, utf8OK := console(f)
	return detect(getenv, width, escapes, utf8OK)
}

func detect(getenv func(string) string, width int, escapes, utf8OK bool) Options {
	o := Options{
		Terminal: true,
		Width:    width,
		Unicode:  utf8Locale(getenv, utf8OK),
		Color:    escapes && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb",
	}
	if o.Width <= 0 {
		if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 && n <= maxWidth {
			o.Width = n
		}
	}
	if o.Width <= 0 {
		o.Width = 80
	}
	return o
}

// utf8Locale reports whether text is UTF-8: the first of the locale's variables
// that is set decides. Windows and macOS often set none.
func utf8Locale(getenv func(string) string, console bool) bool {
	for _, v := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if l := strings.ToLower(getenv(v)); l != "" {
			return strings.Contains(l, "utf-8") || strings.Contains(l, "utf8")
		}
	}
	return console || runtime.GOOS == "darwin"
}
