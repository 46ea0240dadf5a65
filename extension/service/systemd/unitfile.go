package systemd

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of one unit file, as systemd's own where it has one.
const (
	maxFile     = 1 << 20 // also the longest line systemd takes
	maxSettings = 4096
	maxKept     = 256 << 10 // bytes of values kept of one file
	maxProblems = 8
)

const blanks = " \t\n\r"

// setting is one assignment of a unit file.
type setting struct {
	section, key, value string
	line                int
}

// unitFile is a unit file or drop-in as systemd reads it.
type unitFile struct {
	settings []setting
	// refused says that systemd stops at a line of it: of a unit file nothing
	// counts then, of a drop-in what stands above.
	refused bool
	// cut says that not all of it was read.
	cut      bool
	problems []string
	// sum tells its text from another's.
	sum uint64
}

func (f *unitFile) problem(line int, format string, args ...any) {
	if len(f.problems) < maxProblems {
		f.problems = append(f.problems, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
	}
}

// parse reads a unit file: systemd.syntax(7), and what the parser does beyond it
// (a carriage return and a NUL end a line as well; comments may stand between the
// lines of a continuation; a comment cannot be continued).
func parse(data []byte) *unitFile {
	f, b := &unitFile{}, string(data)
	var (
		continued strings.Builder
		within    bool
		section   string
		kept      int
		bom       bool
	)
	done := func(line int, text string) (stop bool) {
		text = strings.Trim(text, blanks)
		if text == "" {
			return false
		}
		if !utf8.ValidString(text) {
			f.refused = true
			f.problem(line, "not UTF-8: systemd refuses the file")
			return true
		}
		if text[0] == '[' {
			if text[len(text)-1] != ']' {
				f.refused = true
				f.problem(line, "broken section header: systemd refuses the file")
				return true
			}
			section = text[1 : len(text)-1]
			return false
		}
		if section == "" {
			f.problem(line, "assignment outside of a section")
			return false
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			f.problem(line, "no assignment")
			return false
		}
		key, value = strings.Trim(key, blanks), strings.Trim(value, blanks)
		if !wanted(section, key) || (key == "Environment" && value != "" && !strings.Contains(value, "LD_")) {
			return false
		}
		if kept += len(value); kept > maxKept || len(f.settings) == maxSettings {
			f.problem(line, "more settings than are read")
			f.cut = true
			return true
		}
		f.settings = append(f.settings, setting{strings.Clone(section), strings.Clone(key), strings.Clone(value), line})
		return false
	}
	for line := 1; len(b) > 0; line++ {
		var text string
		text, b = cutLine(b)
		if lead := strings.TrimLeft(text, blanks); lead != "" && (lead[0] == '#' || lead[0] == ';') {
			continue
		}
		if !bom {
			if rest, ok := strings.CutPrefix(text, "\ufeff"); ok {
				text, bom = rest, true
			}
		}
		escaped := endsInBackslash(text)
		if escaped {
			text = text[:len(text)-1] + " "
		}
		switch {
		case escaped:
			continued.WriteString(text)
			within = true
			continue
		case within:
			continued.WriteString(text)
			text = continued.String()
			continued.Reset()
			within = false
		}
		if done(line, text) {
			return f
		}
	}
	if within {
		done(0, continued.String())
	}
	return f
}

// endsInBackslash reports whether the last backslash of a line is not itself
// escaped. Each line counts by itself: one that was joined to it ended in a blank.
func endsInBackslash(s string) bool {
	n := 0
	for n < len(s) && s[len(s)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// cutLine takes one line off b. Different line ends in a row are one line end,
// the same one twice is an empty line.
func cutLine(b string) (line, rest string) {
	i := 0
	for i < len(b) && !isEnd(b[i]) {
		i++
	}
	line = b[:i]
	var seen [3]bool
	for i < len(b) && isEnd(b[i]) {
		k := endKind(b[i])
		if seen[k] {
			break
		}
		seen[k] = true
		i++
		if k == 2 {
			break // a NUL ends the ends
		}
	}
	return line, b[i:]
}

func isEnd(c byte) bool { return c == '\n' || c == '\r' || c == 0 }

func endKind(c byte) int {
	switch c {
	case '\n':
		return 0
	case '\r':
		return 1
	}
	return 2
}

// wanted reports whether a setting says something about what runs, as whom, when
// or how it is turned on.
func wanted(section, key string) bool {
	switch section {
	case "Unit":
		switch key {
		case "Description", "OnFailure", "OnSuccess", "SourcePath":
			return true
		}
	case "Service":
		switch key {
		case "User", "Group", "DynamicUser", "Type", "Restart", "RestartSec", "RootDirectory", "RootImage", "WorkingDirectory", "BusName", "Sockets",
			"PrivateNetwork", "NotifyAccess", "RemainAfterExit", "Environment":
			return true
		}
		return isExec(key)
	case "Socket":
		switch key {
		case "User", "Group", "Service", "Accept":
			return true
		}
		return isExec(key) || strings.HasPrefix(key, "Listen")
	case "Timer":
		return key == "Unit" || key == "Persistent" || (strings.HasPrefix(key, "On") && key != "OnClockChange" && key != "OnTimezoneChange")
	case "Path":
		switch key {
		case "Unit", "PathExists", "PathExistsGlob", "PathChanged", "PathModified", "DirectoryNotEmpty":
			return true
		}
	case "Install":
		switch key {
		case "WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also", "DefaultInstance":
			return true
		}
	}
	return false
}

func isExec(key string) bool {
	switch key {
	case "ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecReloadPost", "ExecStop", "ExecStopPre", "ExecStopPost":
		return true
	}
	return false
}
