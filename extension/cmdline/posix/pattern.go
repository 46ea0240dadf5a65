package posix

import (
	"strings"
)

// tools are the programs whose names a pattern or a word with holes is resolved
// to, because hiding them is what such a word is for.
var tools = map[string]string{
	"systemctl": "/usr/bin", "service": "/usr/sbin", "chkconfig": "/usr/sbin", "initctl": "/sbin",
	"rc-status": "/bin", "rc-service": "/sbin", "rc-update": "/sbin", "sv": "/usr/bin", "busctl": "/usr/bin",
	"launchctl": "/bin", "journalctl": "/usr/bin", "loginctl": "/usr/bin", "systemd-run": "/usr/bin",
	"systemd-analyze": "/usr/bin", "systemd-cgls": "/usr/bin", "insserv": "/sbin", "update-rc.d": "/usr/sbin",
	"sysv-rc-conf": "/usr/sbin", "s6-rc": "/usr/bin", "ps": "/usr/bin", "ls": "/usr/bin", "find": "/usr/bin",
	"cat": "/usr/bin", "sh": "/bin", "bash": "/bin", "dash": "/bin", "zsh": "/bin", "ksh": "/bin",
	"sudo": "/usr/bin", "env": "/usr/bin", "nohup": "/usr/bin", "python": "/usr/bin", "python3": "/usr/bin",
	"perl": "/usr/bin", "grep": "/usr/bin", "awk": "/usr/bin", "netstat": "/usr/bin", "ss": "/usr/bin",
	"whoami": "/usr/bin", "id": "/usr/bin", "uname": "/usr/bin", "curl": "/usr/bin", "wget": "/usr/bin",
	"nc": "/usr/bin", "base64": "/usr/bin", "busybox": "/bin", "plutil": "/usr/bin", "defaults": "/usr/bin",
	"crontab": "/usr/bin", "lsof": "/usr/sbin", "docker": "/usr/bin", "dbus-send": "/usr/bin", "gdbus": "/usr/bin",
	"tree": "/usr/bin", "du": "/usr/bin", "stat": "/usr/bin", "dinitctl": "/usr/bin", "supervisorctl": "/usr/bin",
	"svcs": "/usr/bin", "lssrc": "/usr/bin", "systemd-cgtop": "/usr/bin", "s6-rc-db": "/usr/bin", "s6-svstat": "/usr/bin",
	"invoke-rc.d": "/usr/sbin", "dir": "/usr/bin", "echo": "/usr/bin", "brew": "/usr/local/bin", "sfltool": "/usr/bin",
}

// toolDirs are where a pattern may find them.
var toolDirs = [...]string{"/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin"}

// resolveGlob returns the program a pattern in command position stands for, if
// exactly one well-known one fits.
func resolveGlob(word string) (string, bool) {
	if len(word) > 256 {
		return "", false
	}
	dir, base := "", word
	if i := strings.LastIndexByte(word, '/'); i >= 0 {
		dir, base = word[:i], word[i+1:]
	}
	found := ""
	if _, ok := tools[base]; ok {
		found = base
	} else {
		if !hasMeta(base) || strings.Trim(base, "*?") == "" && len(base) < 5 {
			return "", false
		}
		for name := range tools {
			if match(base, name) {
				if found != "" {
					return "", false
				}
				found = name
			}
		}
	}
	if found == "" {
		return "", false
	}
	if dir == "" {
		return found, true
	}
	if !hasMeta(dir) {
		return dir + "/" + found, true
	}
	home := tools[found]
	if match(dir, home) && strings.Count(dir, "/") == strings.Count(home, "/") {
		return home + "/" + found, true
	}
	for _, d := range toolDirs {
		if strings.Count(dir, "/") == strings.Count(d, "/") && match(dir, d) {
			return d + "/" + found, true
		}
	}
	return "", false
}

func hasMeta(s string) bool { return strings.ContainsAny(s, "*?[") }

// match reports whether all of s fits the shell pattern. Its time is bounded by
// len(pattern) * len(s).
func match(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) || p < len(pattern) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, mark = p, i
				p++
				continue
			}
			if i < len(s) {
				if n, ok := matchOne(pattern[p:], s[i]); ok {
					p += n
					i++
					continue
				}
			}
		}
		if star < 0 || mark >= len(s) {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	return true
}

// matchOne matches one byte against the first element of pattern and returns
// that element's length.
func matchOne(pattern string, c byte) (int, bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	case '[':
		i, not, ok := 1, false, false
		if i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^') {
			not = true
			i++
		}
		for start := i; i < len(pattern) && (pattern[i] != ']' || i == start); i++ {
			lo, hi := pattern[i], pattern[i]
			if strings.HasPrefix(pattern[i:], "[:") {
				if end := strings.Index(pattern[i:], ":]"); end > 0 {
					ok = ok || inClass(pattern[i+2:i+end], c)
					i += end + 1
					continue
				}
			}
			if i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']' {
				hi = pattern[i+2]
				i += 2
			}
			ok = ok || lo <= c && c <= hi
		}
		if i < len(pattern) {
			return i + 1, ok != not
		}
	}
	return 1, pattern[0] == c
}

func inClass(class string, c byte) bool {
	lower, upper, digit := c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9'
	switch class {
	case "lower":
		return lower
	case "upper":
		return upper
	case "alpha":
		return lower || upper
	case "digit":
		return digit
	case "alnum":
		return lower || upper || digit
	case "space", "blank":
		return isBlank(c)
	}
	return false
}

// trim removes what fits pattern from the start or the end of s, the shortest
// or the longest piece. It gives up where that would cost too much.
func trim(s, pattern string, suffix, longest bool) (string, bool) {
	if !strings.ContainsAny(pattern, `*?[\`) {
		if suffix {
			return strings.TrimSuffix(s, pattern), true
		}
		return strings.TrimPrefix(s, pattern), true
	}
	if (len(s)+1)*(len(s)+1)*(len(pattern)+1) > 1<<20 {
		return "", false
	}
	for k := range len(s) + 1 {
		n := k
		if longest {
			n = len(s) - k
		}
		if suffix && match(pattern, s[len(s)-n:]) {
			return s[:len(s)-n], true
		}
		if !suffix && match(pattern, s[:n]) {
			return s[n:], true
		}
	}
	return s, true
}

// replace is ${s/pattern/with}, or ${s//pattern/with} if all is set.
func replace(s, pattern, with string, all bool) (string, bool) {
	if pattern == "" {
		return s, true
	}
	anchor := pattern[0]
	if !all && (anchor == '#' || anchor == '%') && len(pattern) > 1 {
		cut, ok := trim(s, pattern[1:], anchor == '%', true)
		if !ok || len(cut) == len(s) {
			return s, ok
		}
		if anchor == '%' {
			return cut + with, true
		}
		return with + cut, true
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		n := 1
		if all {
			n = -1
			if strings.Count(s, pattern)*len(with) > maxValue {
				return "", false
			}
		}
		return strings.Replace(s, pattern, with, n), true
	}
	if (len(s)+1)*(len(s)+1)*(len(s)+1)*(len(pattern)+1) > 1<<22 {
		return "", false
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		end := -1
		for j := len(s); j > i; j-- {
			if match(pattern, s[i:j]) {
				end = j
				break
			}
		}
		if end < 0 {
			out.WriteByte(s[i])
			i++
			continue
		}
		out.WriteString(with)
		i = end
		if !all {
			out.WriteString(s[i:])
			break
		}
	}
	return out.String(), true
}
