package proc

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxCmdLine bounds the arguments kept of one process, in bytes.
	maxCmdLine = 128 << 10
	// maxAncestry bounds a chain of parents.
	maxAncestry = 16
	// maxAncestorCmdLine bounds the arguments kept of a parent, in bytes.
	maxAncestorCmdLine = 1 << 10
	// userHZ is the unit of start times in /proc, the same on every architecture
	// that Go supports.
	userHZ = 100
	// kernelThread is PF_KTHREAD of the kernel's task flags.
	kernelThread = 0x00200000
	// unsetID is what the kernel shows for a login user or session never set.
	unsetID = "4294967295"
)

var errFormat = errors.New("not in the format of the process file system")

// stat is what /proc/<pid>/stat says.
type stat struct {
	pid, ppid int
	state     byte
	tty       int
	flags     uint64
	start     uint64 // since boot, in userHZ
}

// parseStat reads /proc/<pid>/stat. The program's own name stands second, in
// parentheses, and may hold any bytes: it ends at the last parenthesis.
func parseStat(b []byte) (stat, error) {
	var s stat
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return s, errFormat
	}
	var err error
	if s.pid, err = strconv.Atoi(string(bytes.TrimSpace(b[:open]))); err != nil || s.pid <= 0 {
		return s, errFormat
	}
	f := bytes.Fields(b[end+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return s, errFormat
	}
	s.state = f[0][0]
	if s.ppid, err = strconv.Atoi(string(f[1])); err != nil || s.ppid < 0 {
		return s, errFormat
	}
	if s.tty, err = strconv.Atoi(string(f[4])); err != nil {
		return s, errFormat
	}
	if s.flags, err = strconv.ParseUint(string(f[6]), 10, 64); err != nil {
		return s, errFormat
	}
	if s.start, err = strconv.ParseUint(string(f[19]), 10, 63); err != nil {
		return s, errFormat
	}
	return s, nil
}

// ttyName is a controlling terminal as people know it; empty for none and for
// devices that are no terminal of a user.
func ttyName(n int) string {
	major, minor := n>>8&0xfff, n&0xff|n>>12&0xfff00
	switch {
	case major >= 136 && major <= 143:
		return "pts/" + strconv.Itoa(minor+(major-136)<<8)
	case major == 4 && minor < 64:
		return "tty" + strconv.Itoa(minor)
	case major == 4:
		return "ttyS" + strconv.Itoa(minor-64)
	}
	return ""
}

// identity is what /proc/<pid>/status says about the user.
type identity struct {
	uid     string // effective
	capable bool   // holds any effective capability
}

func parseStatus(b []byte) identity {
	var id identity
	for line := range bytes.Lines(b) {
		key, val, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		switch string(key) {
		case "Uid":
			if f := bytes.Fields(val); len(f) >= 2 && decimal(f[1]) {
				id.uid = string(f[1])
			}
		case "CapEff":
			id.capable = len(bytes.Trim(bytes.TrimSpace(val), "0")) > 0
		}
	}
	return id
}

func decimal(b []byte) bool {
	if len(b) == 0 || len(b) > 20 {
		return false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// parseID reads /proc/<pid>/loginuid and sessionid; empty where never set.
func parseID(b []byte) string {
	b = bytes.TrimSpace(b)
	if !decimal(b) || string(b) == unsetID {
		return ""
	}
	return string(b)
}

// parseContainer finds the container a process is in from /proc/<pid>/cgroup:
// the last 64 hexadecimal digits of a path, or an LXC container's name.
func parseContainer(b []byte) string {
	found := ""
	for line := range bytes.Lines(b) {
		f := bytes.SplitN(bytes.TrimSpace(line), []byte(":"), 3)
		if len(f) != 3 {
			continue
		}
		lxc := false
		for part := range bytes.SplitSeq(f[2], []byte("/")) {
			name := string(part)
			name = strings.TrimSuffix(name, ".scope")
			if n, ok := strings.CutPrefix(name, "lxc.payload."); ok && found == "" && plainName(n) {
				found = n
				continue
			}
			if lxc && found == "" && plainName(name) {
				found = name
			}
			lxc = name == "lxc"
			// docker-<id>, crio-<id>, cri-containerd-<id>, libpod-<id>, or <id> alone.
			if i := strings.LastIndexAny(name, "-:"); i >= 0 {
				name = name[i+1:]
			}
			if len(name) == 64 && strings.Trim(name, "0123456789abcdef") == "" {
				found = name
			}
		}
		if len(found) == 64 {
			return found
		}
	}
	return found
}

func plainName(s string) bool {
	if s == "" || s[0] == '.' || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// splitArgs cuts the contents of /proc/<pid>/cmdline into arguments. Programs
// that rewrite theirs may leave padding behind and no separators.
func splitArgs(b []byte) []string {
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end--
	}
	if end == 0 {
		return nil
	}
	// Trailing empty arguments look like padding; one NUL ends the last argument.
	return strings.Split(string(b[:end]), "\x00")
}

// joinArgs writes arguments as one line that a POSIX shell reads back as the
// same arguments, with invalid UTF-8 replaced.
func joinArgs(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if !utf8.ValidString(a) {
			a = strings.ToValidUTF8(a, "\uFFFD")
		}
		quoteTo(&b, a)
	}
	return b.String()
}

func quoteTo(b *strings.Builder, a string) {
	plain := a != ""
	for i := 0; plain && i < len(a); i++ {
		c := a[i]
		plain = c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			strings.IndexByte("-_./,:=+@%^", c) >= 0
	}
	if plain {
		b.WriteString(a)
		return
	}
	b.WriteByte('\'')
	for {
		before, after, found := strings.Cut(a, "'")
		b.WriteString(before)
		if !found {
			break
		}
		b.WriteString(`'\''`)
		a = after
	}
	b.WriteByte('\'')
}

// clip cuts s to at most n bytes, at the start of a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// parsePasswd reads /etc/passwd into names by uid. The first entry of a uid is
// the one that counts, as for the system's own lookups.
func parsePasswd(b []byte) map[string]string {
	names := make(map[string]string)
	for line := range bytes.Lines(b) {
		f := bytes.SplitN(line, []byte(":"), 4)
		if len(f) < 4 || len(f[0]) == 0 || len(f[0]) > 256 || f[0][0] == '#' || !decimal(f[2]) {
			continue
		}
		uid := string(f[2])
		if _, have := names[uid]; !have && len(names) < maxUsers {
			names[uid] = strings.ToValidUTF8(string(f[0]), "\uFFFD")
		}
	}
	return names
}

const maxUsers = 65536

// parseBootTime finds the time of boot in /proc/stat, in seconds since 1970.
func parseBootTime(b []byte) (int64, error) {
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64)
			if err != nil || n < 0 {
				return 0, errFormat
			}
			return n, nil
		}
	}
	return 0, errFormat
}
