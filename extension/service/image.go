package service

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/posix"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
)

// MaxImagePath bounds an image path in bytes; the rest is ignored. A registry
// value that the service manager runs holds at most 32,767 characters.
const MaxImagePath = 64 << 10

// Image is a service's command line as its manager would run it.
type Image struct {
	// Program is the file that runs: its whole path where it can be told,
	// variables and the system's own spellings (\SystemRoot\, \??\, 8.3 names)
	// resolved, with the platform's slashes.
	Program string
	// Args is the text behind the program.
	Args string
	// Line is the whole command line, variables resolved.
	Line string
	// Base is the program's name without directory, lower case, without .exe.
	Base string
	// Host is the machine of a UNC path.
	Host string
	// Bare says that the program is named without a directory.
	Bare bool
	// Unquoted says that the program's path holds blanks and no quotes.
	Unquoted bool
	// Stream says that the program is an alternate data stream of a file.
	Stream bool

	lower string // Program in lower case
}

// variables are the environment of a service that runs as LocalSystem on a
// machine with the usual places. Names are lower case.
var variables = map[string]string{
	"systemroot": `C:\Windows`, "windir": `C:\Windows`, "systemdrive": `C:`, "homedrive": `C:`,
	"comspec":      `C:\Windows\System32\cmd.exe`,
	"programfiles": `C:\Program Files`, "programw6432": `C:\Program Files`, "programfiles(x86)": `C:\Program Files (x86)`,
	"commonprogramfiles": `C:\Program Files\Common Files`, "commonprogramw6432": `C:\Program Files\Common Files`,
	"commonprogramfiles(x86)": `C:\Program Files (x86)\Common Files`,
	"programdata":             `C:\ProgramData`, "allusersprofile": `C:\ProgramData`, "public": `C:\Users\Public`,
	"temp": `C:\Windows\Temp`, "tmp": `C:\Windows\Temp`,
	"userprofile":  `C:\Windows\System32\config\systemprofile`,
	"appdata":      `C:\Windows\System32\config\systemprofile\AppData\Roaming`,
	"localappdata": `C:\Windows\System32\config\systemprofile\AppData\Local`,
}

// longestVariable is the length of the longest name in variables.
const longestVariable = len("commonprogramfiles(x86)")

// NormalizeImagePath reads a service's command line as the manager of its kind
// does: the service control manager and the kernel's loader for Windows, systemd
// or launchd elsewhere. It never fails; text without a program gives the zero
// Image.
func NormalizeImagePath(imagePath string, kind Kind) Image {
	text := clip(imagePath, MaxImagePath)
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", " ")
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return Image{}
	}
	if kind.Unix() {
		return unixImage(text)
	}
	text = expand(text)
	var img Image
	program, rest, quoted := splitProgram(text, kind)
	img.Program, img.Host = resolve(program, kind)
	img.Args = strings.TrimSpace(rest)
	img.Bare = img.Host == "" && img.Program != "" && strings.IndexByte(img.Program, '\\') < 0
	img.Unquoted = !quoted && kind != Driver && strings.ContainsAny(img.Program, " \t") && strings.ContainsAny(program, " \t")
	img.lower = strings.ToLower(img.Program)
	img.Base = winargv.Base(img.Program)
	if i := strings.LastIndexByte(img.Program, '\\'); strings.IndexByte(img.Program[i+1:], ':') > 0 && i > 1 {
		img.Stream = true
	}
	img.Line = text
	if img.Program != "" {
		img.Line = img.Program
		if strings.ContainsAny(img.Program, " \t") {
			img.Line = `"` + img.Program + `"`
		}
		if img.Args != "" {
			img.Line += " " + img.Args
		}
	}
	return img
}

// expand replaces the variables that every service has; others stay as they are.
func expand(s string) string {
	at := strings.IndexByte(s, '%')
	if at < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 64)
	for at >= 0 {
		b.WriteString(s[:at])
		s = s[at:]
		end := strings.IndexByte(clip(s[1:], longestVariable+1), '%')
		if end > 0 {
			if v, ok := variables[strings.ToLower(s[1:1+end])]; ok {
				b.WriteString(v)
				s = s[end+2:]
				at = strings.IndexByte(s, '%')
				continue
			}
		}
		b.WriteByte('%')
		s = s[1:]
		at = strings.IndexByte(s, '%')
	}
	b.WriteString(s)
	return b.String()
}

// endings are the endings of files that run as a service's program.
var endings = [...]string{".exe", ".sys", ".com", ".bat", ".cmd", ".scr", ".pif", ".dll", ".ps1", ".vbs", ".js"}

// splitProgram finds the program in front of its arguments.
func splitProgram(s string, kind Kind) (program, rest string, quoted bool) {
	// A word with quotes ends at the first blank outside them.
	inside := false
	for i := 0; i <= len(s); i++ {
		if i == len(s) || !inside && blank(s[i]) {
			if quoted {
				return strings.ReplaceAll(s[:i], `"`, ""), s[i:], true
			}
			break
		}
		if s[i] == '"' {
			inside, quoted = !inside, true
		}
	}
	if kind == Driver {
		// The kernel's loader knows no arguments.
		return strings.TrimRight(s, " \t"), "", false
	}
	first := len(s)
	if i := strings.IndexAny(s, " \t\r\n"); i >= 0 {
		first = i
	}
	if !strings.ContainsAny(s[:first], `\/`) || hasEnding(s[:first]) || programs[winargv.Base(s[:first])].class != classNone {
		return s[:first], s[first:], false
	}
	// Windows tries every blank as the end of an unquoted path. The file it will
	// find is told by its ending; an argument ends the search.
	for i := first; i < len(s); {
		next := i
		for next < len(s) && blank(s[next]) {
			next++
		}
		word := s[next:]
		if word == "" || word[0] == '-' || word[0] == '/' || word[0] == '"' || len(word) > 2 && word[1] == ':' || strings.HasPrefix(word, `\\`) {
			break
		}
		end := len(s)
		if j := strings.IndexAny(word, " \t\r\n"); j >= 0 {
			end = next + j
		}
		if hasEnding(s[:end]) {
			return s[:end], s[end:], false
		}
		i = end
	}
	return s[:first], s[first:], false
}

func hasEnding(s string) bool {
	dot := strings.LastIndexByte(clip2(s, 5), '.')
	if dot < 0 {
		return false
	}
	tail := clip2(s, 5)[dot:]
	for _, e := range endings {
		if strings.EqualFold(tail, e) {
			return true
		}
	}
	return false
}

// clip2 returns the last n bytes of s.
func clip2(s string, n int) string {
	if len(s) > n {
		return s[len(s)-n:]
	}
	return s
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// shortNames are the 8.3 names that directories of a usual Windows have.
var shortNames = map[string]string{
	"progra~1": "Program Files", "progra~2": "Program Files (x86)", "progra~3": "ProgramData",
	"common~1": "Common Files", "docume~1": "Documents and Settings", "locals~1": "Local Settings",
}

// resolve writes a Windows path the one usual way and names the machine of a UNC
// path.
func resolve(p string, kind Kind) (path, host string) {
	p, unc := unprefixed(strings.ReplaceAll(strings.TrimSpace(p), "/", `\`))
	if unc {
		host, tail := p, ""
		if i := strings.IndexByte(p, '\\'); i >= 0 {
			host, tail = p[:i], p[i:]
		}
		return `\\` + host + clean(tail), host
	}
	if prefixFold(p, `\device\harddiskvolume`) {
		return p, "" // none that a drive can be told of
	}
	switch {
	case prefixFold(p, `system32\`), prefixFold(p, `syswow64\`), prefixFold(p, `sysnative\`), prefixFold(p, `microsoft.net\`):
		p = `C:\Windows\` + p
	case kind == Driver && p != "" && p[0] != '\\' && !drive(p):
		p = `C:\Windows\` + p
	case prefixFold(p, `\windows\`), prefixFold(p, `\program files`), prefixFold(p, `\users\`), prefixFold(p, `\programdata\`):
		p = `C:` + p
	}
	return clean(p), ""
}

// unprefixed takes the prefixes of the object manager off a path, which may be stacked. It
// is unc when what is left starts with the name of a host.
func unprefixed(p string) (rest string, unc bool) {
	for {
		switch {
		case strings.HasPrefix(p, `\\`), unc:
			p = strings.TrimLeft(p, `\`)
			if !strings.HasPrefix(p, `.\`) && !strings.HasPrefix(p, `?\`) {
				return p, true
			}
			unc = p[0] == '?' && prefixFold(p, `?\unc\`)
			p = p[2:]
		case prefixFold(p, `\device\mup\`):
			p, unc = p[len(`\device\mup\`):], true
			continue
		case strings.HasPrefix(p, `\??\`), strings.HasPrefix(p, `??\`):
			p = strings.TrimPrefix(p, `\`)[len(`??\`):]
			unc = prefixFold(p, `unc\`)
		case prefixFold(p, `\dosdevices\`):
			p = p[len(`\dosdevices\`):]
		case prefixFold(p, `\systemroot\`):
			return `C:\Windows\` + p[len(`\systemroot\`):], false
		case prefixFold(p, `systemroot\`):
			return `C:\Windows\` + p[len(`systemroot\`):], false
		case prefixFold(p, `\device\harddiskvolume`):
			volume := p[len(`\device\harddiskvolume`):]
			i := strings.IndexByte(volume, '\\')
			// Shadow copies are other devices: their name does not go on in digits.
			if i < 1 || strings.Trim(volume[:i], "0123456789") != "" {
				return p, false
			}
			return "C:" + volume[i:], false
		default:
			return p, false
		}
		if unc {
			p = p[len(`unc\`):]
		}
	}
}

func drive(p string) bool {
	return len(p) > 1 && p[1] == ':' && ('a' <= p[0]|0x20 && p[0]|0x20 <= 'z')
}

func prefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// clean resolves ".", "..", doubled slashes and known 8.3 names.
func clean(p string) string {
	if !strings.Contains(p, `\.`) && !strings.Contains(p, `\\`) && strings.IndexByte(p, '~') < 0 {
		return p
	}
	root := ""
	if strings.HasPrefix(p, `\`) {
		root = `\`
	}
	var out []string
	for part := range strings.SplitSeq(p, `\`) {
		switch part {
		case "", ".":
			continue
		case "..":
			if n := len(out); n > 0 && !(n == 1 && strings.HasSuffix(out[0], ":")) {
				out = out[:n-1]
			}
			continue
		}
		if strings.IndexByte(part, '~') >= 0 {
			if long, ok := shortNames[strings.ToLower(part)]; ok {
				part = long
			}
		}
		out = append(out, part)
	}
	return root + strings.Join(out, `\`)
}

// unixImage reads an ExecStart= or the words of a property list.
func unixImage(text string) Image {
	text = strings.TrimSpace(strings.TrimLeft(text, "-@:+!|"))
	words := posix.Fields(clip(text, 4096))
	if len(words) == 0 {
		return Image{}
	}
	img := Image{Program: words[0], Line: text}
	if head, tail, ok := strings.Cut(text, "/Application Support/"); ok && head == strings.TrimSuffix(words[0], "/Application") {
		// What joined the words of launchd's list has lost their bounds; this blank is
		// part of a path.
		name, args, _ := strings.Cut(tail, " ")
		img.Program, img.Args = head+"/Application Support/"+name, strings.TrimSpace(args)
	} else if i := strings.IndexAny(text, " \t\r\n"); i >= 0 && words[0] == text[:i] {
		img.Args = strings.TrimSpace(text[i:])
	} else if len(words) > 1 {
		img.Args = strings.Join(words[1:], " ")
	}
	if strings.Contains(img.Program, "/.") || strings.Contains(img.Program, "//") {
		img.Program = cleanUnix(img.Program)
	}
	img.Bare = strings.IndexByte(img.Program, '/') < 0
	img.lower = img.Program
	img.Base = img.Program[strings.LastIndexByte(img.Program, '/')+1:]
	return img
}

func cleanUnix(p string) string {
	var out []string
	for part := range strings.SplitSeq(p, "/") {
		switch part {
		case "", ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, part)
		}
	}
	s := strings.Join(out, "/")
	if strings.HasPrefix(p, "/") {
		return "/" + s
	}
	return s
}
