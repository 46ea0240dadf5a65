package accounts

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// sudoers are sudo's rules, of one or more files.
type sudoers struct {
	tree    *files.Tree
	roles   *Roles
	files   int
	steps   int
	aliases map[string][]string // of users
	rules   []rule
	// free are those whom a Defaults line frees of the password; an empty list is
	// everybody.
	free []rule
}

// rule lets some users do something.
type rule struct {
	file     string
	users    []string
	hosts    string
	commands []command
}

// command is one command of a rule.
type command struct {
	text     string
	as       string // the users it may be run as, empty for root and for all
	password bool
}

// read takes in one file and what it includes.
func (s *sudoers) read(name string, depth int) {
	if depth > maxDepth || s.files >= maxIncluded {
		s.roles.problem("%s was not read: too many files include each other", name)
		return
	}
	s.files++
	text, ok := s.trusted(name)
	if !ok {
		return
	}
	s.parse(name, text, depth)
}

// parse takes in the text of a file.
func (s *sudoers) parse(name, text string, depth int) {
	for line := range logical(text) {
		word, rest := cutWord(line)
		switch {
		case word == "@includedir" || word == "#includedir":
			s.include(name, rest, true, depth)
		case word == "@include" || word == "#include":
			s.include(name, rest, false, depth)
		case word == "User_Alias":
			for part := range strings.SplitSeq(rest, ":") {
				if alias, list, ok := strings.Cut(part, "="); ok && len(s.aliases) < 1000 {
					s.aliases[strings.TrimSpace(alias)] = split(list, ',')
				}
			}
		case word == "Host_Alias" || word == "Runas_Alias" || word == "Cmnd_Alias" || word == "Cmd_Alias":
		case word == "Defaults" || strings.HasPrefix(word, "Defaults:"):
			s.defaults(name, word, rest)
		case strings.HasPrefix(word, "Defaults@"), strings.HasPrefix(word, "Defaults!"), strings.HasPrefix(word, "Defaults>"):
			if strings.Contains(rest, "!authenticate") {
				s.roles.problem("%s frees some commands, hosts or users of the password, which was not followed", name)
			}
		default:
			if r, ok := parseRule(line); ok && len(s.rules) < 10000 {
				r.file = name
				s.rules = append(s.rules, r)
			}
		}
	}
}

// include follows an include to /etc/sudoers.d and says which others there are.
func (s *sudoers) include(from, to string, dir bool, depth int) {
	to = unquote(strings.TrimSpace(to))
	if !strings.HasPrefix(to, "/") {
		to = path.Join(path.Dir(from), to)
	}
	if dir && path.Clean(to) == "/etc/sudoers.d" && s.tree != nil {
		s.directory(path.Clean(to), depth)
		return
	}
	s.roles.problem("%s, which %s includes, was not read", to, from)
}

// defaults takes in who needs no password.
func (s *sudoers) defaults(name, word, rest string) {
	users := strings.TrimPrefix(strings.TrimPrefix(word, "Defaults"), ":")
	for strings.HasSuffix(users, ",") { // a list may have blanks
		var more string
		more, rest = cutWord(rest)
		if more == "" {
			return
		}
		users += more
	}
	for _, p := range split(rest, ',') {
		if p == "!authenticate" && len(s.free) < 1000 {
			r := rule{file: name}
			if users != "" {
				r.users = split(users, ',')
			}
			s.free = append(s.free, r)
		}
	}
}

// judge tells what the rules let an account do.
func (s *sudoers) judge(p *person) {
	free := false
	for _, r := range s.free {
		if _, ok := s.match(r.users, p, 0); ok || len(r.users) == 0 {
			free = true
		}
	}
	for _, r := range s.rules {
		by, ok := s.match(r.users, p, 0)
		if !ok {
			continue
		}
		where := r.file
		if by != "" {
			where = by + " " + where
		}
		if r.hosts != "ALL" && r.hosts != "" {
			where += " on " + r.hosts
		}
		// What is run in the same way is one role.
		for i := 0; i < len(r.commands); {
			j := i
			var texts []string
			for ; j < len(r.commands) && r.commands[j].as == r.commands[i].as && r.commands[j].password == r.commands[i].password; j++ {
				texts = append(texts, r.commands[j].text)
			}
			what, as := "NOPASSWD", ""
			if r.commands[i].password && !free {
				what = "sudo"
			}
			if r.commands[i].as != "" {
				as = " as " + r.commands[i].as
			}
			prefix := "in "
			if by != "" {
				prefix = ""
			}
			s.roles.add("%s%s %s%s (%s)", what, as, prefix, where, summed(texts))
			i = j
		}
	}
}

// summed are commands, or how many they are.
func summed(texts []string) string {
	all := strings.Join(texts, ", ")
	if len(all) <= 120 {
		return all
	}
	if len(texts) == 1 {
		return strings.ToValidUTF8(all[:117], "") + "..."
	}
	return fmt.Sprintf("%d commands, the first: %s", len(texts), strings.ToValidUTF8(texts[0][:min(len(texts[0]), 80)], ""))
}

// match reports whether a list of users has an account in it: the last entry that
// speaks of it decides. by says through which group, "by group x in".
func (s *sudoers) match(list []string, p *person, depth int) (by string, ok bool) {
	if depth > maxDepth {
		return "", false
	}
	for _, item := range list {
		// Aliases of aliases multiply.
		if s.steps++; s.steps > maxSteps {
			s.roles.problem("sudo's aliases are too many to be followed")
			return "", false
		}
		no := false
		for strings.HasPrefix(item, "!") {
			no, item = !no, strings.TrimSpace(item[1:])
		}
		how, hit := "", false
		switch {
		case item == "ALL":
			hit = true
		case strings.HasPrefix(item, "%#"):
			if hit = slices.Contains(p.gids, item[2:]); hit {
				how = "by group " + item[1:] + " in"
			}
		case strings.HasPrefix(item, "%:"):
			s.roles.problem("sudo's groups that are not the system's (%s) were not followed", item)
		case strings.HasPrefix(item, "%"):
			if g := unquote(item[1:]); slices.Contains(p.groups, g) {
				hit, how = true, "by group "+g+" in"
			}
		case strings.HasPrefix(item, "+"):
			s.roles.problem("sudo's netgroups (%s) were not followed", item)
		case strings.HasPrefix(item, "#"):
			hit = p.uid != "" && item[1:] == p.uid
		default:
			if more, alias := s.aliases[item]; alias {
				how, hit = s.match(more, p, depth+1)
			} else {
				hit = unquote(item) == p.name
			}
		}
		if hit {
			by, ok = how, !no
		}
	}
	return by, ok
}

// parseRule reads "users hosts = (runas) TAG: command, command".
func parseRule(line string) (rule, bool) {
	at := unquoted(line, "=")
	if at < 0 {
		return rule{}, false
	}
	who, what := strings.TrimSpace(line[:at]), line[at+1:]
	// The users end where no comma joins the next word.
	end := 0
	for {
		next := unquoted(who[end:], " \t,")
		if next < 0 {
			return rule{}, false // no hosts
		}
		end += next
		rest := strings.TrimLeft(who[end:], " \t")
		if !strings.HasPrefix(rest, ",") && !strings.HasSuffix(strings.TrimRight(who[:end], " \t"), "!") {
			break
		}
		rest = strings.TrimLeft(strings.TrimPrefix(rest, ","), " \t")
		end = len(who) - len(rest)
	}
	r := rule{users: split(who[:end], ','), hosts: strings.TrimSpace(who[end:])}
	as, password := "", true
	for _, c := range split(what, ',') {
		if len(r.commands) == 1000 {
			break
		}
		for {
			if strings.HasPrefix(c, "(") {
				inside, rest, ok := strings.Cut(c[1:], ")")
				if !ok {
					return rule{}, false
				}
				as, c = runas(inside), strings.TrimSpace(rest)
				continue
			}
			tag, rest, ok := cutTag(c)
			if !ok {
				break
			}
			switch tag {
			case "NOPASSWD":
				password = false
			case "PASSWD":
				password = true
			}
			c = rest
		}
		if c != "" {
			r.commands = append(r.commands, command{text: c, as: as, password: password})
		}
	}
	return r, len(r.users) > 0 && len(r.commands) > 0
}

// runas is whom a command may be run as, unless it is root or anybody.
func runas(s string) string {
	user, _, _ := strings.Cut(s, ":")
	switch user = strings.Join(split(user, ','), ", "); user {
	case "root", "ALL", "#0":
		return ""
	}
	return user
}

// cutTag cuts a tag (NOPASSWD:), an option (ROLE=x) or a digest (sha256:...) from
// before a command.
func cutTag(c string) (tag, rest string, ok bool) {
	n := 0
	for n < len(c) && (c[n] >= 'A' && c[n] <= 'Z' || c[n] == '_') {
		n++
	}
	after := strings.TrimLeft(c[n:], " \t")
	if n > 0 && strings.HasPrefix(after, ":") {
		return c[:n], strings.TrimLeft(after[1:], " \t"), true
	}
	if n > 0 && strings.HasPrefix(c[n:], "=") {
		_, rest = cutWord(c)
		return c[:n], rest, true
	}
	if strings.HasPrefix(c, "sha") {
		if i := strings.IndexByte(c, ':'); i > 0 && i <= 6 {
			_, rest = cutWord(strings.TrimLeft(c[i+1:], " \t"))
			return c[:i], rest, true
		}
	}
	return "", c, false
}

// logical yields the lines of a file of sudo's: continued ones joined, comments and
// empty ones left out.
func logical(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		joined := ""
		for line := range strings.SplitSeq(text, "\n") {
			line = strings.TrimSuffix(line, "\r")
			if joined == "" && comment(strings.TrimSpace(line)) {
				continue
			}
			if n := len(line) - len(strings.TrimRight(line, `\`)); n%2 == 1 && len(joined) < maxSudoers {
				joined += line[:len(line)-1] + " "
				continue
			}
			line, joined = strings.TrimSpace(uncommented(joined+line)), ""
			if line != "" && !yield(line) {
				return
			}
		}
		if line := strings.TrimSpace(uncommented(joined)); line != "" {
			yield(line)
		}
	}
}

// comment reports a line that is nothing else: an include and a user's number begin
// with the same sign.
func comment(line string) bool {
	if !strings.HasPrefix(line, "#") {
		return false
	}
	word, _ := cutWord(line)
	return word != "#include" && word != "#includedir" && (len(line) < 2 || line[1] < '0' || line[1] > '9')
}

// uncommented cuts what follows a # that is neither quoted nor a number's.
func uncommented(line string) string {
	if strings.HasPrefix(strings.TrimSpace(line), "#include") {
		return line
	}
	for from := 0; ; {
		i := unquoted(line[from:], "#")
		if i < 0 {
			return line
		}
		i += from
		if i+1 >= len(line) || line[i+1] < '0' || line[i+1] > '9' {
			return line[:i]
		}
		from = i + 1
	}
}

// unquoted is where the first of some bytes is that is neither in quotes nor
// escaped, or -1.
func unquoted(s, any string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(any, s[i]) >= 0:
			return i
		}
	}
	return -1
}

// split splits a list at a byte that is neither quoted, escaped nor in parentheses.
func split(s string, at byte) []string {
	var out []string
	from, deep, quoted := 0, 0, false
	add := func(part string) {
		if part = strings.TrimSpace(part); part != "" && len(out) < 1000 {
			out = append(out, part)
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(':
			deep++
		case c == ')':
			deep--
		case c == at && deep <= 0:
			add(s[from:i])
			from = i + 1
		}
	}
	add(s[from:])
	return out
}

// cutWord cuts the first word off.
func cutWord(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// unquote takes quotes and escapes off a word.
func unquote(s string) string {
	if !strings.ContainsAny(s, `"\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
