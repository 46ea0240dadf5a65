package systemd

import "strings"

const maxName = 255

// typeOf is the unit type a name ends in, empty for a name no unit can have.
func typeOf(name string) Kind {
	if len(name) > maxName {
		return ""
	}
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 {
		return ""
	}
	switch name[dot+1:] {
	case "service", "timer", "socket", "path", "target", "mount", "automount", "swap", "slice", "scope", "device":
	default:
		return ""
	}
	if name[0] == '@' {
		return ""
	}
	for i := range dot {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(`:-_.\@`, c) < 0 {
			return ""
		}
	}
	return Kind(name[dot+1:])
}

// starts reports whether units of this type start programs, or services.
func (k Kind) starts() bool {
	return k == Service || k == Timer || k == Socket || k == PathUnit
}

// parts are the pieces of a name: "foo@bar.service" is foo, bar, .service.
func parts(name string) (prefix, instance, suffix string, templated bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return name, "", "", false
	}
	suffix = name[dot:]
	prefix, instance, templated = strings.Cut(name[:dot], "@")
	return prefix, instance, suffix, templated
}

func isTemplate(name string) bool {
	_, instance, _, templated := parts(name)
	return templated && instance == ""
}

// templateOf is the template of an instance, empty for other names.
func templateOf(name string) string {
	prefix, instance, suffix, templated := parts(name)
	if !templated || instance == "" {
		return ""
	}
	return prefix + "@" + suffix
}

// unescapeName undoes the escaping of unit names: "-" is "/", "\x2d" is "-".
func unescapeName(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '-':
			b.WriteByte('/')
		case s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x':
			text, n := unescape(s[i+1:])
			if n == 0 {
				b.WriteByte(s[i])
				continue
			}
			b.WriteString(text)
			i += n
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// dropInNames are the names whose ".d" directories hold drop-ins of a unit, the
// most specific first: the unit, its template, and each prefix that ends in a
// dash.
func dropInNames(name string) []string {
	all := []string{name}
	if t := templateOf(name); t != "" {
		all = append(all, dropInNames(t)...)
	}
	for range maxName {
		prefix, instance, suffix, templated := parts(name)
		dash := strings.LastIndexByte(strings.TrimSuffix(prefix, "-"), '-')
		if dash <= 0 {
			break
		}
		name = prefix[:dash+1]
		if templated {
			name += "@" + instance
		}
		name += suffix
		all = append(all, name)
	}
	return all
}
