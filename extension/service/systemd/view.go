package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// view is what one manager, the system's or a user's, finds.
type view struct {
	scope Scope
	owner *owner
	dirs  []searchDir

	real    []string // of dirs
	names   map[string]entry
	aliases map[string][]string
	dropIns map[string][]int // name before ".d" -> dirs that have it
	links   map[string][]Link
	ownWant map[string]bool
	hidden  map[string][]string // name -> files of that name in later directories
	made    map[string][]Class  // template -> where its instances are enabled
}

type entryKind uint8

const (
	regular entryKind = iota
	linked
	alias
	mask
)

// entry is the first thing found for a name.
type entry struct {
	kind   entryKind
	dir    int
	target string // of a link: its text; of an alias: the name it stands for
	text   string
}

// trust is whose hold on a unit's files is in order, besides root's.
func (v *view) trust() uint32 {
	if v.owner != nil {
		return v.owner.UID
	}
	return 0
}

func (s *scan) view(v *view) error {
	v.names, v.aliases = map[string]entry{}, map[string][]string{}
	v.dropIns, v.links, v.ownWant = map[string][]int{}, map[string][]Link{}, map[string]bool{}
	v.hidden = map[string][]string{}
	s.findDirs(v)
	for i := range v.dirs {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		s.readSearchDir(v, i)
	}
	instances := map[string]bool{}
	instance := func(name string) {
		if t := templateOf(name); t != "" && typeOf(name).starts() {
			if _, ok := v.names[t]; ok {
				instances[name] = true
			}
		}
	}
	v.made = map[string][]Class{}
	for name, links := range v.links {
		if t := templateOf(name); t != "" && len(v.made[t]) < 64 {
			for _, l := range links {
				v.made[t] = append(v.made[t], l.Class)
			}
		}
		if _, ok := v.names[name]; ok {
			continue
		}
		instance(name)
		if !instances[name] && typeOf(name).starts() && (v.owner == nil || v.ownWant[name]) {
			s.dangling(links[0].Path, "enables %s, which has no unit file", name)
		}
	}
	for name := range v.dropIns {
		if _, ok := v.names[name]; !ok {
			instance(name)
		}
	}
	for name, e := range v.names {
		if e.kind == alias {
			if end, ok := v.follow(name); ok {
				v.aliases[end] = append(v.aliases[end], name)
				if _, ok := v.names[end]; !ok {
					instances[end] = true
				}
			} else {
				s.dangling(joined(v.dirs[e.dir].path, name), "alias of %s, which has no unit file", e.target)
			}
		}
	}
	order := make([]string, 0, len(v.names)+len(instances))
	for name, e := range v.names {
		if e.kind != alias && typeOf(name).starts() {
			order = append(order, name)
		}
	}
	for name := range instances {
		order = append(order, name)
	}
	slices.Sort(order)
	from := len(s.result.Units)
	for _, name := range order {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if s.full(name, v.scope) {
			break
		}
		slices.Sort(v.aliases[name])
		s.load(v, name)
	}
	activate(s.result.Units[from:])
	return nil
}

// findDirs keeps the directories that exist, each once.
func (s *scan) findDirs(v *view) {
	seen := map[string]bool{}
	var dirs []searchDir
	for _, d := range v.dirs {
		at, err := s.tree.Resolve(d.path, v.trust())
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				s.note(d.path, "not searched: %v", err)
				s.unlisted(d.path, err)
			}
			continue
		}
		if at.Info.IsDir() && !seen[at.Path] {
			seen[at.Path] = true
			dirs = append(dirs, d)
			v.real = append(v.real, at.Path)
		}
	}
	v.dirs = dirs
}

func (s *scan) readSearchDir(v *view, i int) {
	d := v.dirs[i]
	for _, e := range s.list(d.path, s.sc.o.MaxEntries) {
		name := e.Name
		if base, ok := strings.CutSuffix(name, ".d"); ok && !e.File {
			v.dropIns[base] = append(v.dropIns[base], i)
			continue
		}
		if by, ok := cutAny(name, ".wants", ".requires", ".upholds"); ok && !e.File {
			s.readWants(v, i, name, by)
			continue
		}
		kind := typeOf(name)
		if !kind.starts() {
			if kind == "" && (strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".timer")) {
				s.note(joined(d.path, name), "no name of a unit: systemd leaves it out")
			}
			continue
		}
		if _, ok := v.names[name]; ok {
			if (e.File || e.Link) && len(v.hidden[name]) < 8 {
				v.hidden[name] = append(v.hidden[name], joined(d.path, name))
			}
			continue
		}
		switch {
		case e.Link:
			if en, ok := s.link(v, i, name); ok {
				v.names[name] = en
			}
		case e.File:
			v.names[name] = entry{kind: regular, dir: i}
		default:
			what := "no file"
			if info, err := s.tree.Lstat(joined(v.real[i], name)); err == nil {
				what = "a " + info.Kind()
			}
			s.note(joined(d.path, name), "%s: not read", what)
		}
	}
}

func cutAny(s string, suffixes ...string) (string, bool) {
	for _, x := range suffixes {
		if before, ok := strings.CutSuffix(s, x); ok {
			return before, true
		}
	}
	return s, false
}

// link says what a link in a search directory is: a mask, an alias of another
// unit, or a unit that lies elsewhere.
func (s *scan) link(v *view, i int, name string) (entry, bool) {
	at := joined(v.dirs[i].path, name)
	text, err := s.tree.Readlink(joined(v.real[i], name))
	if err != nil {
		s.note(at, "%v", err)
		return entry{}, false
	}
	target := text
	if !strings.HasPrefix(target, "/") {
		target = joined(v.real[i], target)
	}
	end, err := s.tree.Parent(target, v.trust())
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
	default:
		s.note(at, "leads to %s: %v", text, err)
		return entry{}, false
	}
	if path.Clean(target) == "/dev/null" || (err == nil && end.Info.IsNull()) {
		return entry{kind: mask, dir: i, text: text}, true
	}
	dir, base := path.Split(end.Path)
	if !slices.Contains(v.real, strings.TrimSuffix(dir, "/")) {
		return entry{kind: linked, dir: i, text: text}, true
	}
	if base == name {
		return entry{}, false // itself, further down
	}
	fromInstance := templateOf(name) != "" && isTemplate(base)
	_, _, _, one := parts(name)
	_, _, _, two := parts(base)
	if typeOf(base) != typeOf(name) || (one != two) || (isTemplate(name) != isTemplate(base) && !fromInstance) {
		s.note(at, "leads to %s, which no %s can be: systemd leaves it out", text, typeOf(name))
		return entry{}, false
	}
	return entry{kind: alias, dir: i, target: base, text: text}, true
}

// follow goes from an alias to the name that has a file.
func (v *view) follow(name string) (string, bool) {
	for range 8 {
		e, ok := v.names[name]
		if !ok {
			if t := templateOf(name); t != "" {
				_, ok = v.names[t]
			}
			return name, ok
		}
		if e.kind != alias {
			return name, true
		}
		name = e.target
	}
	return "", false
}

func (s *scan) readWants(v *view, i int, sub, by string) {
	dir := joined(v.dirs[i].path, sub)
	for _, e := range s.list(dir, s.sc.o.MaxEntries) {
		if e.Dir || !typeOf(e.Name).starts() {
			continue
		}
		if len(v.links) >= s.sc.o.MaxUnits {
			s.note(dir, "more links than are read")
			s.beyond(v.scope)
			return
		}
		l := Link{Path: joined(dir, e.Name), By: by, Class: v.dirs[i].class}
		if e.Link {
			if at, err := s.tree.Resolve(dir, v.trust()); err == nil {
				l.Target, _ = s.tree.Readlink(joined(at.Path, e.Name))
			}
		}
		v.links[e.Name] = append(v.links[e.Name], l)
		if v.dirs[i].own {
			v.ownWant[e.Name] = true
		}
	}
}

// load makes the Unit of a name.
func (s *scan) load(v *view, name string) {
	from := name
	e, ok := v.names[name]
	if !ok {
		if from, ok = v.follow(templateOf(name)); !ok {
			return
		}
		e = v.names[from]
	}
	u := Unit{
		Name: name, Kind: typeOf(name), Scope: v.scope, Path: joined(v.dirs[e.dir].path, from), Class: v.dirs[e.dir].class,
		LinkTarget: e.text, Links: v.links[name], Aliases: v.aliases[name], Template: isTemplate(name),
	}
	if from != name {
		u.TemplateName = from
	}
	own := v.dirs[e.dir].own || v.ownWant[name]
	for _, a := range u.Aliases {
		u.Links = append(u.Links[:len(u.Links):len(u.Links)], v.links[a]...)
		own = own || v.dirs[v.names[a].dir].own || v.ownWant[a]
	}
	u.Shadows = v.hidden[from]
	for _, a := range u.Aliases {
		u.Shadows = append(u.Shadows[:len(u.Shadows):len(u.Shadows)], v.hidden[a]...)
	}
	drops, ownDrop := s.findDropIns(v, &u)
	if v.owner != nil {
		if !own && !ownDrop {
			return // every user's: told once
		}
		u.Username = v.owner.Name
	}
	trust := v.trust()
	var all []sourced
	if e.kind != mask {
		at, err := s.tree.Resolve(u.Path, trust)
		u.Real, u.File = at.Path, at.Info
		s.writable(&u, at.Writable)
		switch {
		case err != nil:
			u.Real = ""
			u.Problems = append(u.Problems, "cannot be read: "+plain(err))
			s.note(u.Path, "%v", err)
		case at.Info.IsNull(), at.Info.IsRegular() && at.Info.Size == 0:
			e.kind = mask
		default:
			f, err := s.readUnit(at)
			if err != nil {
				u.Problems = append(u.Problems, "cannot be read: "+plain(err))
				s.note(u.Path, "%v", err)
				break
			}
			all = append(all, sourced{u.Path, f})
		}
	} else if info, err := s.tree.Lstat(joined(v.real[e.dir], from)); err == nil {
		u.File = info
	}
	for _, d := range drops {
		at, err := s.tree.Resolve(d.Path, trust)
		if err != nil {
			s.note(d.Path, "%v", err)
			continue
		}
		d.Real, d.File = at.Path, at.Info
		s.writable(&u, at.Writable)
		if at.Info.IsNull() || at.Info.Size == 0 && at.Info.IsRegular() {
			continue // masks a drop-in of its name elsewhere
		}
		f, err := s.readUnit(at)
		if err != nil {
			s.note(d.Path, "%v", err)
			continue
		}
		u.DropIns = append(u.DropIns, d)
		all = append(all, sourced{d.Path, f})
	}
	if e.kind != mask {
		s.merge(v, &u, all)
	}
	for _, src := range all {
		if src.file.cut {
			s.note(src.path, "not all of it is read")
			u.Excess = true
		}
		u.Sum = u.Sum*1099511628211 ^ src.file.sum // the order counts
	}
	u.State = state(v, &u, e.kind)
	s.result.Units = append(s.result.Units, u)
}

func plain(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func (s *scan) writable(u *Unit, p string) {
	if p != "" && len(u.Writable) < 16 && !slices.Contains(u.Writable, p) {
		u.Writable = append(u.Writable, p)
	}
}

// findDropIns finds the drop-ins of a unit in the order they apply: by name of the
// file; of one name, the one of the more specific directory.
func (s *scan) findDropIns(v *view, u *Unit) (drops []DropIn, own bool) {
	if len(v.dropIns) == 0 {
		return nil, false
	}
	type dir struct {
		name string
		at   int
	}
	var dirs []dir
	seen := map[dir]bool{}
	add := func(name string, at int) {
		if d := (dir{name, at}); !seen[d] {
			seen[d] = true
			dirs = append(dirs, d)
		}
	}
	for _, name := range append([]string{u.Name}, u.Aliases...) {
		names := dropInNames(name)
		for at := range v.dirs {
			for _, n := range names {
				if slices.Contains(v.dropIns[n], at) {
					add(n, at)
				}
			}
		}
	}
	for _, at := range v.dropIns[string(u.Kind)] {
		add(string(u.Kind), at)
	}
	have := map[string]bool{}
	for _, d := range dirs {
		base := joined(v.dirs[d.at].path, d.name+".d")
		for _, e := range s.list(base, s.sc.o.MaxEntries) {
			if !strings.HasSuffix(e.Name, ".conf") || e.Name[0] == '.' || e.Dir || have[e.Name] {
				continue
			}
			if !e.File && !e.Link {
				s.note(joined(base, e.Name), "no file: not read")
				continue
			}
			if len(drops) == maxDropIns {
				s.note(base, "more than %d drop-ins of %s", maxDropIns, u.Name)
				break
			}
			have[e.Name] = true
			own = own || v.dirs[d.at].own
			drops = append(drops, DropIn{Path: joined(base, e.Name), Class: v.dirs[d.at].class, Shared: d.name != u.Name && d.name != u.TemplateName})
		}
	}
	slices.SortStableFunc(drops, func(a, b DropIn) int { return strings.Compare(path.Base(a.Path), path.Base(b.Path)) })
	return drops, own
}

// sourced is a parsed file with where it was found.
type sourced struct {
	path string
	file *unitFile
}

type execSetting struct {
	setting
	from string
}

// merge applies the settings of all files of a unit, in order.
func (s *scan) merge(v *view, u *Unit, all []sourced) {
	var execs []execSetting
	one := map[string]string{}
	same := map[execSetting]bool{}
	var waits []setting
	list := func(into *[]string, value string) {
		if value == "" {
			*into = nil
			return
		}
		for w := range strings.FieldsSeq(value) {
			if len(*into) < maxCommands {
				*into = append(*into, w)
			}
		}
	}
	section := strings.ToUpper(string(u.Kind[:1])) + string(u.Kind[1:])
	var onFailure []string
	for _, src := range all {
		for _, p := range src.file.problems {
			if len(u.Problems) < 2*maxProblems {
				u.Problems = append(u.Problems, src.path+": "+p)
			}
		}
		for _, set := range src.file.settings {
			if s.merged += len(set.value); s.merged > maxMerged {
				s.note(u.Path, "more settings than are kept: the rest of its settings is left out")
				return
			}
			switch {
			case set.section == "Unit":
				switch set.key {
				case "OnFailure", "OnSuccess":
					list(&onFailure, set.value)
				default:
					one[set.key] = set.value
				}
			case set.section == "Install":
				switch set.key {
				case "WantedBy", "UpheldBy":
					list(&u.WantedBy, set.value)
				case "RequiredBy":
					list(&u.RequiredBy, set.value)
				case "Alias":
					list(&u.Alias, set.value)
				case "Also":
					list(&u.Also, set.value)
				default:
					one[set.key] = set.value
				}
			case set.section != section:
			case set.key == "Environment":
				u.Preload = preloads(u.Preload, set.value)
			case isExec(set.key):
				if set.value == "" {
					execs = slices.DeleteFunc(execs, func(x execSetting) bool { return x.key == set.key })
					clear(same)
					continue
				}
				k := execSetting{setting{key: set.key, value: set.value}, ""}
				switch {
				case same[k]: // over and over
				case len(execs) == maxCommands:
					u.Excess = true
				default:
					same[k] = true
					execs = append(execs, execSetting{set, src.path})
				}
			case isWait(set.key):
				if set.value == "" {
					waits = slices.DeleteFunc(waits, func(w setting) bool { return resets(set.key, w.key) })
				} else if len(waits) < maxCommands {
					waits = append(waits, set)
				}
			default:
				one[set.key] = set.value
			}
		}
	}
	sp := s.specifiersOf(v, u)
	expand := func(key string) string {
		text, _ := sp.expand(one[key])
		return text
	}
	u.Description, u.SourcePath = expand("Description"), expand("SourcePath")
	u.User, u.Group, u.Type, u.Restart = expand("User"), expand("Group"), one["Type"], one["Restart"]
	u.DynamicUser = yes(one["DynamicUser"])
	for _, w := range waits {
		text, _ := sp.expand(w.value)
		u.Waits = append(u.Waits, w.key+"="+text)
	}
	prefix, _, _, templated := parts(u.Name)
	base := strings.TrimSuffix(u.Name, "."+string(u.Kind))
	switch u.Kind {
	case Timer, PathUnit:
		u.Triggers = []string{or(expand("Unit"), base+".service")}
	case Socket:
		switch {
		case yes(one["Accept"]) && !templated:
			u.Triggers = []string{prefix + "@.service"}
		default:
			u.Triggers = []string{or(expand("Service"), base+".service")}
		}
	}
	for _, t := range onFailure {
		text, _ := sp.expand(t)
		u.Triggers = append(u.Triggers, text)
	}
	elsewhere := one["RootDirectory"] != "" && one["RootDirectory"] != "/" || one["RootImage"] != ""
	trust := v.trust()
	for _, x := range execs {
		cs, err := commands(x.value)
		if err != nil {
			u.Problems = append(u.Problems, fmt.Sprintf("%s: line %d: %s: %v: systemd refuses the unit", x.from, x.line, x.key, err))
			continue
		}
		for _, c := range cs {
			if len(u.Exec) == maxCommands {
				u.Excess = true
				return
			}
			e := s.exec(x.setting, x.from, c, sp, trust, elsewhere)
			u.Exec = append(u.Exec, e)
			s.writable(u, e.Writable)
		}
	}
}

// preloads adds the assignments of an Environment= that make the dynamic linker
// load something; an empty one takes all back.
func preloads(have []string, value string) []string {
	if value == "" {
		return nil
	}
	for value = strings.TrimLeft(value, blanks); value != "" && len(have) < 8; value = strings.TrimLeft(value, blanks) {
		w, rest, err := word(value)
		if err != nil {
			return have
		}
		value = rest
		name, to, _ := strings.Cut(w, "=")
		switch name {
		case "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH":
			if to != "" {
				have = append(have, w)
			}
		}
	}
	return have
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func yes(s string) bool {
	switch strings.ToLower(s) {
	case "1", "yes", "y", "true", "t", "on":
		return true
	}
	return false
}

func isWait(key string) bool {
	return strings.HasPrefix(key, "Listen") || strings.HasPrefix(key, "On") || strings.HasPrefix(key, "Path") || key == "DirectoryNotEmpty"
}

// resets reports whether an empty assignment of one key takes back another: the
// triggers of a timer or path are one list, each kind of listener is its own.
func resets(key, other string) bool {
	if strings.HasPrefix(key, "Listen") {
		return strings.HasPrefix(other, "Listen")
	}
	return !strings.HasPrefix(other, "Listen")
}

// state is how a unit is turned on.
func state(v *view, u *Unit, kind entryKind) State {
	switch {
	case kind == mask && (u.Class == Runtime || u.Class == Generated || u.Class == Transient):
		return MaskedRuntime
	case kind == mask:
		return Masked
	case u.Class == Transient:
		return IsTransient
	case u.Class == Generated:
		return IsGenerated
	}
	on, runtime := false, false
	note := func(c Class) {
		switch c {
		case Etc, Home, Control, Attached:
			on = true
		case Runtime:
			runtime = true
		}
	}
	for _, l := range u.Links {
		note(l.Class)
	}
	for _, a := range u.Aliases {
		if e := v.names[a]; e.kind == alias {
			note(v.dirs[e.dir].class)
		}
	}
	for _, c := range v.made[u.Name] { // a template is enabled by any of its instances
		note(c)
	}
	switch {
	case on:
		return Enabled
	case runtime:
		return EnabledRuntime
	case kind == linked && u.Class == Runtime:
		return LinkedRuntime
	case kind == linked:
		return Linked
	case len(u.WantedBy)+len(u.RequiredBy)+len(u.Alias) > 0:
		return Disabled
	case len(u.Also) > 0:
		return Indirect
	}
	return Static
}

// activate tells units which others start them.
func activate(units []Unit) {
	at := map[string]int{}
	for i := range units {
		at[units[i].Name] = i
		for _, a := range units[i].Aliases {
			at[a] = i
		}
	}
	for i := range units {
		for _, t := range units[i].Triggers {
			if j, ok := at[t]; ok && j != i && len(units[j].TriggeredBy) < 64 {
				units[j].TriggeredBy = append(units[j].TriggeredBy, units[i].Name)
			}
		}
	}
}
