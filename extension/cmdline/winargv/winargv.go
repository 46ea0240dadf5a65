// Package winargv splits a Windows command line into arguments, as the C
// runtime of the started program does: on Windows a process is handed one text
// and finds its arguments itself.
package winargv

import "strings"

// Split returns the arguments of line by the rules of the Universal C Runtime,
// from which CommandLineToArgvW differs only in how three quotes in a row end.
// Blanks before the program are skipped, since logs add them. The program's own
// word knows no backslash escapes: quotes toggle, a blank outside them ends it.
// In the other words 2n backslashes before a quote are n backslashes, 2n+1 are n
// and a literal quote, and "" inside quotes is a literal quote. An unbalanced
// quote runs to the end of line. The answer is nil when line holds only blanks.
//
// Source: Microsoft, "Parsing C command-line arguments" (C language reference)
// and CommandLineToArgvW (Win32 API reference).
func Split(line string) []string {
	i := skipBlanks(line, 0)
	if i == len(line) {
		return nil
	}
	args := make([]string, 0, 4)
	arg, i := program(line, i)
	args = append(args, arg)
	for {
		i = skipBlanks(line, i)
		if i == len(line) {
			return args
		}
		arg, i = argument(line, i)
		args = append(args, arg)
	}
}

// Tail returns the text of line after its first n arguments as it stands, quotes
// kept, without the blanks that separate it from them. It is empty when line has
// no more than n arguments.
func Tail(line string, n int) string {
	i := skipBlanks(line, 0)
	for k := 0; k < n && i < len(line); k++ {
		if k == 0 {
			_, i = program(line, i)
		} else {
			_, i = argument(line, i)
		}
		i = skipBlanks(line, i)
	}
	return line[i:]
}

// Base returns the name of the program at path, in lower case: without
// directory (either slash), quotes, trailing dots and blanks (which Windows
// ignores in file names), and without the ending .exe, .com, .bat or .cmd. A path
// that ends in a slash has no name.
func Base(path string) string {
	end := len(path)
	for end > 0 && isTrailer(path[end-1]) {
		end--
	}
	start := end
	for start > 0 && path[start-1] != '\\' && path[start-1] != '/' {
		start--
	}
	name := path[start:end]
	for len(name) > 0 && (name[0] == '"' || name[0] == ' ' || name[0] == '\t') {
		name = name[1:]
	}
	// "C:sc.exe" is relative to the drive's current directory.
	if len(name) > 2 && name[1] == ':' && isLetter(name[0]) {
		name = name[2:]
	}
	if strings.IndexByte(name, '"') >= 0 {
		name = strings.ReplaceAll(name, `"`, "")
	}
	if n := len(name) - 4; n > 0 && name[n] == '.' {
		switch ext := name[n+1:]; {
		case strings.EqualFold(ext, "exe"), strings.EqualFold(ext, "com"),
			strings.EqualFold(ext, "bat"), strings.EqualFold(ext, "cmd"):
			name = name[:n]
		}
	}
	return strings.ToLower(name)
}

// OddQuotes reports whether line has quotes where only hiding needs them: inside
// a word that holds no blank, such as s"c" or qu""ery. A word that is quoted
// whole, a quoted path with blanks (C:\"Program Files"\x), a switch's quoted
// value (/d"x", name="x") and escaped quotes are ordinary.
func OddQuotes(line string) bool {
	if strings.IndexByte(line, '"') < 0 {
		return false
	}
	first := true
	for i := skipBlanks(line, 0); i < len(line); i = skipBlanks(line, i) {
		start := i
		if first {
			_, i = program(line, i)
		} else {
			_, i = argument(line, i)
		}
		if oddWord(line[start:i], first) {
			return true
		}
		first = false
	}
	return false
}

func oddWord(word string, program bool) bool {
	if strings.IndexByte(word, '"') < 0 || strings.ContainsAny(word, " \t") {
		return false
	}
	isSwitch := word[0] == '-' || word[0] == '/'
	inside := false
	for i := 0; i < len(word); i++ {
		if word[i] != '"' {
			continue
		}
		if !program && i > 0 && word[i-1] == '\\' {
			continue
		}
		run := i
		for run < len(word) && word[run] == '"' {
			run++
		}
		before := i > 0 && isWordByte(word[i-1])
		after := run < len(word) && isWordByte(word[run])
		n := run - i
		switch {
		case n >= 2 && !inside && (before || after):
			// An empty pair beside text: qu""ery, ""sc.
			return true
		case n == 1 && inside && after:
			return true
		case n == 1 && !inside && before && !isSwitch:
			return true
		}
		if n%2 == 1 {
			inside = !inside
		}
		i = run - 1
	}
	return false
}

// program reads the first word: no backslash rules, quotes toggle.
func program(line string, i int) (string, int) {
	start, quotes, inside := i, 0, false
	for i < len(line) && (inside || !isBlank(line[i])) {
		if line[i] == '"' {
			inside = !inside
			quotes++
		}
		i++
	}
	word := line[start:i]
	switch {
	case quotes == 0:
		return word, i
	case quotes == 2 && len(word) >= 2 && word[0] == '"' && word[len(word)-1] == '"':
		return word[1 : len(word)-1], i
	}
	return strings.ReplaceAll(word, `"`, ""), i
}

func argument(line string, i int) (string, int) {
	// Most words have neither quotes nor need of a copy.
	start := i
	for i < len(line) && line[i] != '"' && !isBlank(line[i]) {
		i++
	}
	if i == len(line) || isBlank(line[i]) {
		return line[start:i], i
	}
	i = start
	var word []byte
	inside := false
	for i < len(line) {
		switch c := line[i]; {
		case c == '\\':
			n := 0
			for i < len(line) && line[i] == '\\' {
				n++
				i++
			}
			if i == len(line) || line[i] != '"' {
				word = append(word, line[i-n:i]...)
				continue
			}
			word = append(word, line[i-n:i-n+n/2]...)
			if n%2 == 1 {
				word = append(word, '"')
				i++
			}
		case c == '"':
			if inside && i+1 < len(line) && line[i+1] == '"' {
				word = append(word, '"')
				i += 2
				continue
			}
			inside = !inside
			i++
		case !inside && isBlank(c):
			return string(word), i
		default:
			word = append(word, c)
			i++
		}
	}
	return string(word), i
}

func skipBlanks(s string, i int) int {
	for i < len(s) && isBlank(s[i]) {
		i++
	}
	return i
}

// isBlank reports what separates words: a line break is part of one.
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isTrailer(c byte) bool { return c == '"' || c == '.' || c == '\n' || c == '\r' || isBlank(c) }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isWordByte(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_' || c >= 0x80
}
