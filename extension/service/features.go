package service

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Feature is one thing about an install that a responder would look at. Its name
// is a factor of extension/score.
type Feature struct {
	Name     string
	Evidence string
	// Scale weakens or strengthens the factor; 0 means 1.
	Scale float64
}

// Findings is what an install shows by itself.
type Findings struct {
	Image    Image
	Features []Feature
	// Template is the per-user service that this is a user's instance of, with
	// Windows' own program; empty for anything else.
	Template string
}

// finder collects the features of one install.
type finder struct {
	in    *Install
	img   Image
	lists *lists
	out   []Feature
}

// add records a feature once; a stronger one of the same name replaces it.
func (f *finder) add(name string, scale float64, format string, args ...any) {
	for i := range f.out {
		if f.out[i].Name == name {
			if f.out[i].Scale < scale {
				f.out[i] = Feature{name, fmt.Sprintf(format, args...), scale}
			}
			return
		}
	}
	f.out = append(f.out, Feature{name, fmt.Sprintf(format, args...), scale})
}

// Features returns what an experienced responder sees in the install.
func Features(in Install) Findings {
	in.Name, in.DisplayName = clip(in.Name, 512), clip(in.DisplayName, 512)
	in.Account, in.Installer = clip(in.Account, 512), clip(in.Installer, 512)
	in.ServiceDLL, in.UnitPath = clip(in.ServiceDLL, 4096), clip(in.UnitPath, 4096)
	if in.Kind == "" {
		in.Kind = KindOf(in.Type, in.Name, in.ImagePath)
	}
	f := &finder{in: &in, lists: known(), img: NormalizeImagePath(in.ImagePath, in.Kind)}
	template := ""
	if in.Kind.Unix() {
		f.unix()
	} else {
		template = f.windows()
	}
	f.facts()
	return Findings{Image: f.img, Features: f.out, Template: template}
}

// facts are what somebody who looked at the host knows of the program.
func (f *finder) facts() {
	if f.img.Program == "" {
		return
	}
	if f.in.OnDisk == evidence.No {
		f.add("missing_program", 1, "%s does not exist", show(f.img.Program))
	}
	if f.in.WritableByOthers == evidence.Yes {
		f.add("writable_by_others", 1, "others than root can change %s or a directory above it", show(f.img.Program))
	}
	if f.in.Signed == evidence.No && f.in.OnDisk != evidence.No {
		f.unsigned()
	}
	if f.in.Packaged == evidence.No && f.in.Kind.Unix() {
		for _, dir := range []string{"/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/", "/bin/", "/sbin/", "/lib/"} {
			if strings.HasPrefix(f.img.Program, dir) {
				f.add("unpackaged", 1, "%s lies among packaged programs and belongs to no package", show(f.img.Program))
				break
			}
		}
	}
}

// unsigned looks at a program without a signature that holds, where programs have one.
// Who signed another says nothing in its favour here: anybody can buy a certificate.
func (f *finder) unsigned() {
	what, own := f.img.Program, false
	switch f.in.Kind {
	case WindowsService, Driver:
		lower := f.img.lower
		if f.in.ServiceDLL != "" {
			dll := NormalizeImagePath(f.in.ServiceDLL, Driver)
			what, lower = dll.Program, dll.lower
		}
		own = drive(lower) && (strings.HasPrefix(lower[2:], `\windows\system32\`) || strings.HasPrefix(lower[2:], `\windows\syswow64\`))
	case Launchd:
		for _, dir := range []string{"/System/", "/usr/libexec/", "/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"} {
			own = own || strings.HasPrefix(what, dir)
		}
	default:
		return // nobody signs programs there
	}
	if f.in.Broken {
		f.add("broken_signature", 1, "%s carries a signature that does not hold: it was changed after it was signed, or its signer is distrusted", show(what))
		return
	}
	if own {
		f.add("unsigned", 1.8, "%s lies among the system's own programs and has no signature that this host trusts", show(what))
	} else {
		f.add("unsigned", 1, "%s has no signature that this host trusts", show(what))
	}
}

// windows looks at a Windows service or driver and returns the per-user template
// it is an instance of.
func (f *finder) windows() (template string) {
	driver := f.in.Kind == Driver
	f.oddCharacters()
	if f.img.Program == "" {
		return ""
	}
	base := strings.TrimSuffix(f.img.Base, ".sys")
	own := f.ownImage()
	if own && (f.in.Type == 0 || f.in.Type.PerUser()) {
		t, ok := luid(f.in.Name)
		// svchost.exe, or the one program that is called like its service.
		ok = ok && (base == "svchost" && hasSwitch(f.img.Args, "k") || len(base) > 8 && strings.HasPrefix(strings.ToLower(t), base))
		if ok && (f.in.Type.PerUser() || strings.HasSuffix(strings.ToLower(t), "usersvc")) {
			f.add("per_user_template", 1, "a user's instance of the per-user service %s, with Windows' own program", show(t))
			template = t
		}
	}
	if f.img.Stream {
		f.add("alternate_stream", 1, "%s is an alternate data stream", show(f.img.Program))
	}
	if f.in.ServiceDLL != "" {
		dll := NormalizeImagePath(f.in.ServiceDLL, Driver)
		if p := windowsPlace(dll.lower, dll.Host, false); p.factor != "" {
			f.add(p.factor, p.scale, "svchost.exe loads %s: %s", show(dll.Program), p.why)
		}
	}
	// Defender loads a driver of a new name with each update of its definitions.
	if driver && drive(f.img.lower) && defenders(f.img.lower[2:]) && strings.HasPrefix(base, "mpksl") {
		return ""
	}
	hosted := own && (base == "svchost" && hasSwitch(f.img.Args, "k") || base == "lsass" || base == "dllhost" && strings.Contains(strings.ToLower(clip(f.img.Args, 64)), "/processid:{"))
	if own && base == "svchost" && !hosted {
		f.add("empty_host", 1, "svchost.exe is started without a group of services (-k)")
	}
	if hosted && base == "svchost" {
		if g := near(strings.ToLower(switchValue(f.img.Args, "k")), f.lists.groups, 6); g != "" {
			f.add("near_system_name", 1, "the group of services %s is nearly %s", show(switchValue(f.img.Args, "k")), g)
		}
		if template == "" {
			f.nearName()
		}
	}
	if template != "" || hosted {
		return template
	}
	t := f.tool(base)
	f.place(driver, t)
	f.program(driver)
	f.forwards()
	f.masquerade(own, driver)
	f.name(own, driver, t)
	f.account(driver)
	if f.img.Unquoted {
		scale := 1.0
		if strings.HasPrefix(f.img.lower, `c:\program files`) || strings.HasPrefix(f.img.lower, `c:\windows\`) {
			scale = 0.4 // who can write C:\Program.exe needs no service
		}
		f.add("unquoted_path", scale, "blanks in the path without quotes: Windows tries %s.exe first", show(f.img.Program[:strings.IndexAny(f.img.Program, " \t")]))
	}
	return ""
}

// nearName says so when the service is called nearly like one of Windows.
func (f *finder) nearName() {
	for _, name := range [...]string{f.in.Name, f.in.DisplayName} {
		lower := strings.ToLower(name)
		if _, ok := f.lists.windows[lower]; name == "" || ok || f.lists.known[lower] {
			continue
		}
		if n := near(lower, f.lists.ordered, 6); n != "" {
			f.add("near_system_name", 1, "%s is nearly %s, a service of Windows", show(name), n)
		}
	}
}

// ownImage reports whether the program is where Windows keeps it.
func (f *finder) ownImage() bool {
	if !drive(f.img.lower) || f.img.Stream {
		return false
	}
	rest := f.img.lower[2:]
	rest, ok := strings.CutPrefix(rest, `\windows\system32\`)
	if !ok {
		rest, ok = strings.CutPrefix(f.img.lower[2:], `\windows\syswow64\`)
	}
	return ok && strings.IndexByte(rest, '\\') < 0
}

// hasSwitch reports whether one of the words is the switch -name or /name.
func hasSwitch(args, name string) bool {
	for w := range strings.FieldsSeq(clip(args, 1024)) {
		if len(w) == len(name)+1 && (w[0] == '-' || w[0] == '/') && strings.EqualFold(w[1:], name) {
			return true
		}
	}
	return false
}

// switchValue is the word behind a switch.
func switchValue(args, name string) string {
	found := false
	for w := range strings.FieldsSeq(clip(args, 1024)) {
		if found {
			return w
		}
		found = len(w) == len(name)+1 && (w[0] == '-' || w[0] == '/') && strings.EqualFold(w[1:], name)
	}
	return ""
}

// tool finds publicly known software by the service's name or program.
func (f *finder) tool(base string) tool {
	for i, n := range [...]string{base, strings.ToLower(f.in.Name), strings.ToLower(f.in.DisplayName)} {
		n = strings.TrimSuffix(n, ".exe")
		t, ok := tools[n]
		if !ok {
			for _, p := range toolPrefixes {
				if strings.HasPrefix(n, p.prefix) {
					t, ok = p.tool, true
					break
				}
			}
		}
		if ok {
			by := "its program"
			if i > 0 {
				by = "its name"
			}
			f.add(t.factor, 1, "%s, by %s", t.is, by)
			return t
		}
	}
	return tool{}
}

func (f *finder) place(driver bool, t tool) {
	if f.img.Bare {
		scale := 1.0
		switch {
		case driver:
			scale = 0.2
		case t.is != "":
			scale = 0.65 // it is known what runs
		}
		f.add("bare_name", scale, "%s is named without a directory: what runs depends on the search path", show(f.img.Program))
		return
	}
	p := windowsPlace(f.img.lower, f.img.Host, driver)
	if p.factor == "windows_root" && useful(t) {
		return
	}
	switch {
	case p.factor == "temp_directory" && !driver && f.in.Start == 2:
		// Installers unpack what they need for a moment; nothing that is to stay.
		p.scale *= 1.2
		p.why += ", and it is to run at every start"
	case p.factor == "root_directory" && strings.HasSuffix(dir(f.img.lower), `\bin\`):
		p.scale *= 0.85 // a tree of software that somebody unpacked
	}
	if p.factor != "" {
		f.add(p.factor, p.scale, "%s: %s", show(f.img.Program), p.why)
	}
	if driver && p.factor != "" && f.img.Host == "" {
		switch p.factor {
		case "user_directory", "temp_directory", "everybodys_directory", "drive_root", "root_directory", "odd_directory":
			f.add("driver_place", 1, "code for the kernel outside the directories for drivers")
		}
	}
}

// masquerade looks for programs that carry the name of one of Windows' own, or
// nearly so, elsewhere.
func (f *finder) masquerade(own, driver bool) {
	if driver || own || f.img.Bare {
		return
	}
	base := f.img.Base
	if f.lists.borrowed[base] {
		rest := f.img.lower
		if drive(rest) {
			rest = rest[2:]
		}
		if strings.HasPrefix(rest, `\windows\system32\`) {
			return
		}
		for _, p := range systemPlaces[base] {
			if strings.HasPrefix(rest, p) {
				return
			}
		}
		f.add("masquerade", 1, "%s.exe is a program of Windows, but not in %s", show(base), show(dir(f.img.Program)))
	}
}

// name looks at what the service and its program are called.
func (f *finder) name(own, driver bool, t tool) {
	base := strings.TrimSuffix(f.img.Base, ".sys")
	if !driver && !f.lists.known[base] && programs[base].class == classNone && t.is == "" {
		if n := near(base, f.lists.shown, 5); n != "" && base != "service" {
			scale := 1.0
			if strings.HasPrefix(f.img.lower, `c:\program files`) {
				scale = 0.5
			}
			f.add("near_system_program", scale, "%s.exe is nearly %s.exe, a program of Windows", show(base), n)
		}
	}
	for _, name := range [...]string{f.in.Name, f.in.DisplayName} {
		if name == "" {
			continue
		}
		lower := strings.ToLower(name)
		if s, ok := f.lists.windows[lower]; ok {
			if !driver && !f.isImageOf(s, own) {
				f.add("system_service_name", 1, "%s is a service of Windows, which runs %s.exe and not %s", show(name), s.image, show(baseName(f.img.Program)))
			}
		} else if f.lists.borrowed[lower] && lower != base && !driver {
			f.add("system_service_name", 1, "%s is the name of a program of Windows, but it runs %s", show(name), show(baseName(f.img.Program)))
		}
	}
	if !own && !driver && t.is == "" {
		f.nearName()
	}
	f.vendor(own)
	if t.is != "" {
		return
	}
	// Vendors of drivers and of what Windows itself keeps in System32 choose names
	// that no model would call words.
	weaken := 0.35
	for _, o := range f.out {
		switch o.Name {
		case "root_directory", "program_data", "unusual_directory":
			weaken = max(weaken, 0.7)
		case "user_directory", "temp_directory", "everybodys_directory", "remote_file", "drive_root", "windows_root", "odd_directory", "bare_name",
			"shell_program", "script_program", "proxy_program", "no_service", "inline_code":
			weaken = 1
		}
	}
	if strings.Contains(f.img.lower, `\syswow64\`) {
		weaken = max(weaken, 0.8) // few services are programs of 32 bits there
	}
	if driver {
		weaken *= 0.5
	}
	name := f.in.Name
	if t, ok := luid(name); ok {
		name = t
	}
	if r := f.lists.randomness(name); r > 0 {
		f.add("random_name", r*weaken, "%s looks drawn at random: no vendor's names have such letters in a row", show(name))
	}
	stem := f.stem()
	r := f.lists.randomness(stem)
	switch {
	case r <= 0:
	case strings.EqualFold(stem, name):
		f.add("random_program", r*weaken*0.5, "%s is called like its service", show(baseName(f.img.Program)))
	default:
		f.add("random_program", r*weaken, "%s looks drawn at random", show(baseName(f.img.Program)))
	}
}

// stem is the program's name without directory and ending, in its own case.
func (f *finder) stem() string {
	name := baseName(f.img.Program)
	if i := strings.LastIndexByte(name, '.'); i > 0 && hasEnding(name) {
		return name[:i]
	}
	return name
}

// isImageOf reports whether the program can be that of a service of Windows.
func (f *finder) isImageOf(s osService, own bool) bool {
	if own && (f.img.Base == s.image || f.img.Base == "svchost" || f.img.Base == "lsass" || f.img.Base == "dllhost") {
		return true
	}
	if f.img.Base != s.image {
		// Names change hands between versions: what Windows or Program Files hold,
		// only administrators put there.
		return own && programs[f.img.Base].class == classNone || strings.HasPrefix(f.img.lower, `c:\program files`)
	}
	for _, p := range systemPlaces[s.image] {
		if drive(f.img.lower) && strings.HasPrefix(f.img.lower[2:], p) {
			return true
		}
	}
	return strings.HasPrefix(f.img.lower, `c:\windows\`) || strings.HasPrefix(f.img.lower, `c:\program files`)
}

// vendors are makers that names claim to be of.
var vendors = []string{"microsoft", "windows", "google", "intel", "nvidia", "adobe", "realtek", "vmware", "mozilla", "amd ", "dell ", "lenovo", "symantec", "mcafee", "oracle", "apple"}

// vendor finds names that claim a well-known maker for a program in a place that
// maker's installers don't use.
func (f *finder) vendor(own bool) {
	if own {
		return
	}
	odd := false
	for _, o := range f.out {
		switch o.Name {
		case "user_directory", "temp_directory", "everybodys_directory", "drive_root", "remote_file", "odd_directory":
			odd = true
		}
	}
	if !odd {
		return
	}
	names := [...]string{strings.ToLower(f.in.Name), strings.ToLower(f.in.DisplayName), f.img.Base}
	for _, v := range vendors {
		claims := strings.HasPrefix(names[0], v) || strings.HasPrefix(names[1], v) || strings.HasPrefix(names[2], v)
		if claims && !strings.Contains(dir(f.img.lower), strings.TrimSpace(v)+`\`) {
			f.add("false_vendor", 1, "named after %s, but not where its installers put programs", strings.TrimSpace(v))
			return
		}
	}
}

// account looks at whom the service runs as and who installed it.
func (f *finder) account(driver bool) {
	if !driver {
		if a := f.in.Account; a != "" && !builtinAccount(a) {
			f.add("user_account", 1, "it runs as the account %s", show(a))
		}
	}
	switch l := strings.ToLower(f.in.Installer); {
	case strings.HasPrefix(l, `iis apppool\`), strings.HasSuffix(l, `\network service`), strings.HasSuffix(l, `\local service`), strings.HasSuffix(l, `\iusr`),
		strings.HasSuffix(l, `\guest`), strings.HasSuffix(l, `\defaultaccount`), strings.HasPrefix(l, `nt service\mssql`), strings.HasSuffix(l, `\anonymous logon`):
		f.add("unusual_installer", 1, "%s installed it, an account that installs nothing", show(f.in.Installer))
	}
}

// builtinAccount reports whether an account is one that services usually have:
// the system's own, virtual and managed accounts.
func builtinAccount(a string) bool {
	l := strings.ToLower(strings.TrimSpace(a))
	l = strings.TrimPrefix(l, `.\`)
	for _, p := range []string{`nt authority\`, `nt service\`, "nt-autorit", `autorite nt\`, `autorité nt\`, `iis apppool\`, `font driver host\`, `window manager\`, "s-1-5-18", "s-1-5-19", "s-1-5-20", "s-1-5-80-", "s-1-5-82-"} {
		if strings.HasPrefix(l, p) {
			return true
		}
	}
	switch l {
	case "", "-", "localsystem", "local system", "system", "localservice", "local service", "networkservice", "network service", "root", "%%1797":
		return true
	}
	return strings.HasSuffix(l, "$")
}

// oddCharacters finds names that are not what they look like.
func (f *finder) oddCharacters() {
	latin, other := false, false
	for _, r := range f.in.Name {
		switch {
		case r == utf8.RuneError, unicode.Is(unicode.Cf, r), unicode.Is(unicode.Cc, r), unicode.Is(unicode.Co, r):
			f.add("odd_characters", 1, "%s holds invisible characters", show(f.in.Name))
			return
		case r < 0x80 && unicode.IsLetter(r):
			latin = true
		case unicode.Is(unicode.Cyrillic, r), unicode.Is(unicode.Greek, r):
			other = true
		}
	}
	if latin && other {
		// A word of two scripts; words of one each are a translation.
		for w := range strings.FieldsSeq(f.in.Name) {
			l, o := false, false
			for _, r := range w {
				l = l || r < 0x80 && unicode.IsLetter(r)
				o = o || unicode.Is(unicode.Cyrillic, r) || unicode.Is(unicode.Greek, r)
			}
			if l && o && !strings.ContainsAny(w, "-/()") {
				f.add("odd_characters", 1, "%s mixes the letters of two scripts in a word", show(f.in.Name))
				return
			}
		}
	}
}

func dir(p string) string {
	if i := strings.LastIndexAny(p, `\/`); i >= 0 {
		return p[:i+1]
	}
	return ""
}

func baseName(p string) string { return p[strings.LastIndexAny(p, `\/`)+1:] }

// show is a hostile text as evidence may quote it: short and in one line.
func show(s string) string {
	const most = 160
	if len(s) > most {
		cut := most
		for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return ' '
				}
				return r
			}, s)
		}
	}
	return s
}
