package sysv

import (
	"path"
	"strings"
	"unicode/utf8"
)

const (
	maxLines = 4000
	maxText  = 1024
)

// header is what a script says of itself.
type header struct {
	openrc       bool
	provides     []string
	description  string
	defaultStart []string
	program      string
	args         string
	account      string
}

func (h header) apply(v *Service) {
	if h.openrc {
		v.Kind = OpenRC
	}
	v.Provides, v.Description, v.DefaultStart = h.provides, h.description, h.defaultStart
	v.Program, v.Args, v.Account = h.program, h.args, h.account
}

// parseScript reads the header of an init script (LSB, chkconfig, OpenRC) and the
// plain assignments that name its program. Nothing of the shell is evaluated.
func parseScript(text string) header {
	var h header
	vars := map[string]string{}
	lsb := false
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		if n++; n > maxLines {
			break
		}
		line = strings.TrimRight(line, "\r")
		if n == 1 && strings.HasPrefix(line, "#!") && (strings.Contains(line, "openrc-run") || strings.Contains(line, "/runscript")) {
			h.openrc = true
			continue
		}
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			switch strings.TrimSpace(comment) {
			case "## BEGIN INIT INFO":
				lsb = true
				continue
			case "## END INIT INFO":
				lsb = false
				continue
			}
			key, value, ok := strings.Cut(strings.TrimSpace(comment), ":")
			if !ok {
				continue
			}
			value = clean(value)
			switch key = strings.ToLower(key); {
			case lsb && key == "provides":
				h.provides = fields(value)
			case lsb && key == "short-description":
				h.description = value
			case lsb && key == "default-start":
				h.defaultStart = fields(value)
			case !lsb && key == "chkconfig":
				levels, _, _ := strings.Cut(value, " ")
				if h.defaultStart == nil && levels != "-" {
					for _, r := range levels {
						h.defaultStart = append(h.defaultStart, string(r))
					}
				}
			case !lsb && key == "description" && h.description == "":
				h.description = strings.TrimSpace(strings.TrimSuffix(value, `\`))
			}
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || len(name) > 40 || len(value) > maxText || len(vars) > 200 {
			continue
		}
		name = strings.TrimPrefix(name, "export ")
		if _, have := vars[name]; !have && isName(name) {
			vars[name] = unquote(value, vars)
		}
	}
	if h.openrc {
		h.program, h.args = vars["command"], vars["command_args"]
		h.account, _, _ = strings.Cut(vars["command_user"], ":")
		if h.description == "" {
			h.description = vars["description"]
		}
		return h
	}
	for _, name := range []string{"DAEMON", "daemon", "EXEC", "exec", "PROG", "prog", "BIN", "COMMAND", "cmd", "PROGRAM"} {
		if strings.HasPrefix(vars[name], "/") {
			h.program, _, _ = strings.Cut(vars[name], " ")
			break
		}
	}
	for _, name := range []string{"DAEMON_ARGS", "DAEMON_OPTS", "ARGS", "OPTIONS"} {
		if h.program != "" && vars[name] != "" {
			h.args = vars[name]
			break
		}
	}
	if u := vars["DAEMON_USER"]; u != "" && !strings.Contains(u, "$") {
		h.account = u
	}
	return h
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return s != ""
}

// unquote takes the quotes off a value and puts in the variables that are known.
func unquote(s string, vars map[string]string) string {
	s = strings.TrimSpace(s)
	switch {
	case len(s) > 1 && s[0] == '\'':
		body, _, _ := strings.Cut(s[1:], "'")
		return body
	case len(s) > 1 && s[0] == '"':
		s, _, _ = strings.Cut(s[1:], `"`)
	default:
		if i := strings.IndexAny(s, " \t;"); i >= 0 {
			s = s[:i]
		}
	}
	if !strings.Contains(s, "$") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < maxText; {
		if s[i] != '$' {
			b.WriteByte(s[i])
			i++
			continue
		}
		rest := s[i+1:]
		name, n := "", 0
		if strings.HasPrefix(rest, "{") {
			if end := strings.IndexByte(rest, '}'); end > 0 {
				name, n = rest[1:end], end+1
				name, _, _ = strings.Cut(name, ":")
			}
		} else {
			for n < len(rest) && isName(rest[:n+1]) {
				n++
			}
			name = rest[:n]
		}
		v, ok := vars[name]
		if name == "RC_SVCNAME" || name == "SVCNAME" {
			ok = false
		}
		if !ok {
			b.WriteByte('$')
			i++
			continue
		}
		b.WriteString(v)
		i += 1 + n
	}
	return b.String()
}

func clean(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxText {
		s = s[:maxText]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return s
}

func fields(s string) []string {
	f := strings.Fields(s)
	return f[:min(len(f), 32)]
}

// execLine is the program a run script turns into: its last line that starts with
// exec, past the wrappers of runit and s6.
func execLine(text string) (program, args, account string) {
	var last string
	n := 0
	execline := strings.HasPrefix(text, "#!") && strings.Contains(strings.SplitN(text, "\n", 2)[0], "execlineb")
	for line := range strings.SplitSeq(text, "\n") {
		if n++; n > maxLines {
			break
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "exec "); ok && !strings.HasPrefix(strings.TrimSpace(rest), "2>") {
			last = rest
		} else if execline {
			last = line
		}
	}
	if len(last) > maxText {
		last = last[:maxText]
	}
	words := strings.Fields(last)
	for len(words) > 0 {
		w := words[0]
		switch base := path.Base(w); {
		case base == "chpst" || base == "s6-setuidgid" || base == "setuidgid" || base == "softlimit" || base == "envdir" || base == "env" || base == "nice" ||
			base == "svlogd-wrapper" || base == "s6-softlimit" || base == "s6-envdir" || base == "fdmove" || base == "foreground":
			words = words[1:]
			if base == "s6-setuidgid" || base == "setuidgid" {
				if len(words) > 0 {
					account, words = words[0], words[1:]
				}
				continue
			}
			for len(words) > 0 && strings.HasPrefix(words[0], "-") {
				flag := words[0]
				words = words[1:]
				if base == "chpst" && len(flag) == 2 && strings.Contains("uUbe/noplftcrdm", flag[1:]) && !strings.Contains("P012", flag[1:]) && len(words) > 0 {
					if flag == "-u" {
						account, _, _ = strings.Cut(words[0], ":")
					}
					words = words[1:]
				}
			}
			continue
		case strings.Contains(w, "=") && !strings.HasPrefix(w, "/"):
			words = words[1:]
			continue
		}
		break
	}
	if len(words) == 0 {
		return "", "", account
	}
	return strings.Trim(words[0], `"'`), strings.Join(words[1:], " "), account
}

type inittabEntry struct {
	id, levels, action, program, args string
}

// parseInittab reads "id:runlevels:action:process" lines.
func parseInittab(text string) []inittabEntry {
	var all []inittabEntry
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || len(all) >= 500 {
			continue
		}
		f := strings.SplitN(line, ":", 4)
		if len(f) < 4 {
			continue
		}
		switch f[2] {
		case "respawn", "wait", "once", "boot", "bootwait", "sysinit", "ondemand", "askfirst", "off":
		default:
			continue // shutdown, ctrlaltdel, the default runlevel
		}
		process := strings.TrimPrefix(strings.TrimSpace(f[3]), "+")
		process = strings.TrimPrefix(process, "-")
		program, args, _ := strings.Cut(process, " ")
		if program == "" {
			continue
		}
		id := f[0]
		if id == "" {
			id = path.Base(program) // BusyBox
		}
		all = append(all, inittabEntry{clean(id), clean(f[1])[:min(len(clean(f[1])), 16)], f[2], clean(program), clean(args)})
	}
	return all
}

// parseUpstart reads an upstart job.
func parseUpstart(text string) (description, program, args string, enabled bool) {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		if n++; n > maxLines {
			break
		}
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch {
		case word == "description":
			description = clean(strings.Trim(rest, `"`))
		case word == "start" && strings.HasPrefix(rest, "on"):
			enabled = true
		case word == "manual":
			enabled = false
		case word == "exec" && program == "":
			program, args, _ = strings.Cut(rest, " ")
			program, args = clean(program), clean(args)
		}
	}
	return description, program, args, enabled
}
