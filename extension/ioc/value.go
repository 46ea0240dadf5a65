package ioc

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
)

func hexLength(t Type) int {
	switch t {
	case SHA256:
		return 64
	case SHA1:
		return 40
	case MD5:
		return 32
	}
	return 0
}

// refang undoes what keeps people from following an indicator by mistake:
// hxxp://evil[.]example.
func refang(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 5 && (s[0] == 'h' || s[0] == 'H') {
		for _, p := range []string{"hxxp", "h**p", "hxtp", "htxp"} {
			if len(s) > 4 && strings.EqualFold(s[:4], p) {
				s = "http" + s[4:]
				break
			}
		}
	}
	if len(s) > 4 && strings.EqualFold(s[:3], "fxp") && s[3] == ':' {
		s = "ftp" + s[3:]
	}
	if strings.ContainsAny(s, "[({") {
		s = fangs.Replace(s)
	}
	return s
}

var fangs = strings.NewReplacer("[.]", ".", "(.)", ".", "{.}", ".", "[dot]", ".", "(dot)", ".", "{dot}", ".", "[DOT]", ".", "(DOT)", ".",
	"[:]", ":", "[://]", "://", "(:)", ":", "[/]", "/", "[:", ":", "[at]", "@", "[@]", "@")

// isHex reports whether s is n hexadecimal digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Hashes of nothing, which feeds hold by mistake and every host has.
var emptyFile = map[string]bool{
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": true,
	"da39a3ee5e6b4b0d3255bfef95601890afd80709":                         true,
	"d41d8cd98f00b204e9800998ecf8427e":                                 true,
}

// normal is the form in which a value of a type is compared.
func normal(t Type, s string) (string, error) {
	if len(s) > maxValue {
		return "", errors.New("longer than 4096 bytes")
	}
	switch t {
	case SHA256, SHA1, MD5:
		s = strings.ToLower(strings.TrimSpace(s))
		if !isHex(s, hexLength(t)) {
			return "", fmt.Errorf("%s is not a %s: %d hexadecimal digits", show(s), t, hexLength(t))
		}
		if emptyFile[s] {
			return "", fmt.Errorf("%s is the hash of an empty file, which every host has", show(s))
		}
		return s, nil
	case Name:
		s = strings.ToLower(strings.Trim(strings.TrimSpace(s), `"`))
		if strings.ContainsAny(s, "*?") {
			return "", fmt.Errorf("%s is a pattern: only whole names are compared", show(s))
		}
		if len(s) < 2 || strings.ContainsAny(s, `/\`) {
			return "", fmt.Errorf("%s is no name of a file or service", show(s))
		}
		if common(s) {
			return "", fmt.Errorf("%s is a program that every host has: its name alone says nothing", show(s))
		}
		return s, nil
	case Path:
		p, err := normalPath(strings.Trim(strings.TrimSpace(s), `"`))
		if err != nil {
			return "", err
		}
		if common(strings.ToLower(baseName(p))) && (strings.HasPrefix(p, `c:\windows\`) || strings.HasPrefix(p, "/bin/") || strings.HasPrefix(p, "/usr/")) {
			return "", fmt.Errorf("%s is a program that every host has", show(s))
		}
		return p, nil
	case Address:
		p, err := normalNetwork(refang(s))
		if err != nil {
			return "", err
		}
		return networkText(p), nil
	case Domain:
		return normalDomain(refang(s))
	case URL:
		u, _, err := normalURL(refang(s))
		return u, err
	}
	return "", fmt.Errorf("indicators of type %s are not read", show(string(t)))
}

// common reports whether a name is that of a program every host of a platform has.
func common(name string) bool {
	switch strings.TrimSuffix(name, ".exe") {
	case "svchost", "services", "lsass", "csrss", "smss", "wininit", "winlogon", "explorer", "rundll32", "regsvr32", "cmd", "powershell", "conhost", "dllhost", "taskhostw",
		"wmiprvse", "msiexec", "spoolsv", "cscript", "wscript", "mshta", "net", "net1", "sc", "reg", "schtasks", "tasklist", "whoami", "certutil", "wmic", "ntdll.dll", "kernel32.dll", "system", "system32",
		"systemd", "bash", "sh", "dash", "python", "python3", "perl", "curl", "wget", "ssh", "sshd", "cron", "crond", "sudo", "init", "launchd", "zsh", "osascript", "ls", "cat", "ps":
		return true
	}
	return false
}

// variables are what a path may begin with. Lower case.
var variables = []struct{ name, is string }{
	{"%systemroot%", `c:\windows`}, {"%windir%", `c:\windows`}, {`\systemroot`, `c:\windows`}, {"%systemdrive%", "c:"}, {"%programfiles%", `c:\program files`}, {"%programfiles(x86)%", `c:\program files (x86)`},
	{"%programdata%", `c:\programdata`}, {"%allusersprofile%", `c:\programdata`}, {"%public%", `c:\users\public`},
}

// normalPath is a path as it is compared: Windows' in lower case with backslashes,
// others without detours.
func normalPath(s string) (string, error) {
	switch {
	case len(s) < 3 || len(s) > maxValue:
		return "", fmt.Errorf("%s is no path", show(s))
	case s[0] == '/' && !strings.Contains(s, `\`):
		if strings.ContainsAny(s, "*") {
			return "", fmt.Errorf("%s is a pattern: only whole paths are compared", show(s))
		}
		return path.Clean(s), nil
	}
	l := strings.ToLower(strings.ReplaceAll(s, "/", `\`))
	for _, p := range []string{`\\?\`, `\??\`, `\\.\`} {
		l = strings.TrimPrefix(l, p)
	}
	for _, v := range variables {
		if strings.HasPrefix(l, v.name) {
			l = v.is + l[len(v.name):]
			break
		}
	}
	switch {
	case strings.ContainsAny(l, "*?"):
		return "", fmt.Errorf("%s is a pattern: only whole paths are compared", show(s))
	case strings.HasPrefix(l, "%"):
		return "", fmt.Errorf("%s begins with a variable that differs from user to user", show(s))
	case len(l) > 3 && l[1] == ':' && l[2] == '\\' && l[0] >= 'a' && l[0] <= 'z', strings.HasPrefix(l, `\\`) && strings.Count(l, `\`) > 3:
		return l, nil
	}
	return "", fmt.Errorf("%s is no whole path", show(s))
}

// normalNetwork reads an address or network. Those that every host uses are refused.
func normalNetwork(s string) (netip.Prefix, error) {
	s = strings.Trim(strings.TrimSpace(s), "[]")
	p, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			ap, err := netip.ParseAddrPort(strings.TrimSpace(s))
			if err != nil {
				return netip.Prefix{}, fmt.Errorf("%s is no address or network", show(s))
			}
			addr = ap.Addr()
		}
		addr = addr.Unmap().WithZone("")
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%s is too wide", show(s))
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	p = p.Masked()
	a := p.Addr()
	switch {
	case a.Is4() && p.Bits() < 8, a.Is6() && p.Bits() < 16:
		return netip.Prefix{}, fmt.Errorf("%s is too wide: at least /8, for IPv6 /16", show(s))
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.Prefix{}, fmt.Errorf("%s is an address that every host uses", show(s))
	}
	return p, nil
}

// networkText is how a network is compared and shown: an address alone without its
// length.
func networkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func portText(n int64) string { return strconv.FormatInt(n, 10) }

// normalDomain is a domain in lower case, without the mark for all below it.
func normalDomain(s string) (string, error) {
	d := bareDomain(s)
	if !isDomain(d) {
		for i := range len(d) {
			if d[i] >= 0x80 {
				return "", fmt.Errorf("%s: write the domain as it is resolved, which begins with xn--", show(s))
			}
		}
		return "", fmt.Errorf("%s is no domain", show(s))
	}
	return d, nil
}

// bareDomain takes off what feeds write around a domain: a port, the dot at the end,
// the mark for all below it.
func bareDomain(s string) string {
	d := strings.ToLower(strings.TrimSpace(s))
	if host, port, ok := strings.Cut(d, ":"); ok && port != "" && len(port) < 6 && strings.Trim(port, "0123456789") == "" {
		d = host
	}
	d = strings.TrimSuffix(d, ".")
	return strings.TrimPrefix(strings.TrimPrefix(d, "*"), ".")
}

// isDomain reports whether s, in lower case, has the form of a domain with at least
// two labels.
func isDomain(s string) bool {
	if len(s) < 4 || len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
		last = label
	}
	return len(last) > 1 && (last[0] < '0' || last[0] > '9') && strings.IndexByte(last, '_') < 0
}

// normalURL is a URL as it is compared: scheme and host in lower case, without the
// usual port and what is behind #. It returns the host too.
func normalURL(s string) (u, host string, err error) {
	if s == "" || len(s) > maxValue || !strings.Contains(s, "://") {
		return "", "", fmt.Errorf("%s is no URL", show(s))
	}
	p, err := url.Parse(strings.TrimSpace(s))
	if err != nil || p.Host == "" {
		return "", "", fmt.Errorf("%s is no URL", show(s))
	}
	p.Scheme, p.Host = strings.ToLower(p.Scheme), strings.TrimSuffix(strings.ToLower(p.Host), ".")
	p.Fragment, p.RawFragment, p.User = "", "", nil
	host = p.Hostname()
	if n := p.Port(); p.Scheme == "http" && n == "80" || p.Scheme == "https" && n == "443" || p.Scheme == "ftp" && n == "21" {
		p.Host = strings.TrimSuffix(p.Host, ":"+n)
	}
	if p.Path == "/" && p.RawQuery == "" {
		p.Path, p.RawPath = "", ""
	}
	return p.String(), host, nil
}

// Endings of file names. Those that are top-level domains too leave open what is
// meant.
var (
	endings = map[string]bool{
		"exe": true, "dll": true, "sys": true, "ocx": true, "cpl": true, "scr": true, "msi": true, "ps1": true, "psm1": true, "bat": true, "cmd": true, "vbs": true, "vbe": true, "js": true, "jse": true, "wsf": true, "hta": true, "lnk": true, "jar": true, "war": true,
		"doc": true, "docx": true, "docm": true, "xls": true, "xlsx": true, "xlsm": true, "xlsb": true, "ppt": true, "pptx": true, "rtf": true, "pdf": true, "one": true, "iso": true, "img": true, "vhd": true, "cab": true, "7z": true, "gz": true, "tgz": true, "rar": true, "tmp": true, "dat": true, "bin": true, "txt": true, "log": true, "ini": true, "xml": true, "json": true,
		"elf": true, "ko": true, "service": true, "timer": true, "socket": true, "plist": true, "dylib": true, "dmg": true, "deb": true, "rpm": true, "php": true, "jsp": true, "jspx": true, "asp": true, "aspx": true, "class": true,
	}
	both = map[string]bool{"com": true, "sh": true, "py": true, "pl": true, "so": true, "zip": true, "mov": true, "app": true, "pub": true, "ps": true, "md": true, "pkg": true, "rs": true}
)

// classify tells what a value without a type is; a name such as run.sh may be two
// things.
func classify(s string) []Type {
	s = refang(s)
	for _, t := range []Type{SHA256, SHA1, MD5} {
		if isHex(s, hexLength(t)) {
			return []Type{t}
		}
	}
	if strings.Contains(s, "://") {
		return []Type{URL}
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return []Type{Address}
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return []Type{Address}
	}
	if _, err := netip.ParseAddrPort(s); err == nil {
		return []Type{Address}
	}
	if strings.ContainsAny(s, `/\`) {
		return []Type{Path}
	}
	l, d := strings.ToLower(s), bareDomain(s)
	ending := d[strings.LastIndexByte(d, '.')+1:]
	switch {
	case endings[ending] && ending != d && !strings.ContainsAny(s, "@:"):
		return []Type{Name}
	case isDomain(d) && both[ending] && strings.Count(l, ".") == 1:
		return []Type{Domain, Name}
	case isDomain(d):
		return []Type{Domain}
	case s == "" || strings.ContainsAny(s, " \t,;:|=<>@"):
		return nil
	}
	return []Type{Name}
}

// show quotes a value in an error, and bounds it.
func show(s string) string {
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return strconv.Quote(s)
}
