package inventory

import (
	"fmt"
	"path"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/systemd"
)

// Judge scores services by what they show and by whose package they are.
type Judge struct {
	Weights score.Weights
}

// ScoreService is the verdict on a service: the worst of its commands'. ok is
// always true.
func (j Judge) ScoreService(s *Service) (v score.Verdict, ok bool) {
	_, v = j.Worst(s, s.Signs())
	return v, true
}

// Worst is the verdict on the command of a service that scores highest, with signs,
// and that command's place among s.Commands; 0 for a service without commands.
func (j Judge) Worst(s *Service, signs []evidence.Sign) (at int, v score.Verdict) {
	for i, in := range s.Installs() {
		one := score.Install(service.Features(in), s.factors(signs, in.WritableByOthers), j.Weights)
		if i == 0 || one.Score > v.Score {
			at, v = i, one
		}
	}
	return at, v
}

// factors are what is known of a service beyond its commands.
func (s *Service) factors(signs []evidence.Sign, written evidence.Tristate) []score.Factor {
	var all []score.Factor
	if s.Verified == evidence.Yes {
		all = append(all, score.Factor{Name: "attribution", Evidence: fmt.Sprintf("package %s %s: unit and programs are as it brought them", s.Package, s.PackageVersion)})
	}
	for _, x := range signs {
		if x.Factor == "writable_by_others" && written == evidence.Yes {
			continue // told of the program already
		}
		all = append(all, score.Factor{Name: x.Factor, Evidence: x.Evidence, Scale: x.Scale})
	}
	return all
}

// Signs are what its files show beyond its commands, by the names of factors.
func (s *Service) Signs() []evidence.Sign {
	var all []evidence.Sign
	add := func(factor string, scale float64, format string, args ...any) {
		all = append(all, evidence.Sign{Factor: factor, Evidence: fmt.Sprintf(format, args...), Scale: scale})
	}
	if len(s.Writable) > 0 {
		add("writable_by_others", 0, "others than root can change %q", s.Writable[0])
	}
	masked := strings.HasPrefix(s.StartType, string(systemd.Masked))
	if s.Owned == evidence.Yes && len(s.Foreign) > 0 && !masked {
		scale, what, d := 0.3, "changes", s.Foreign[0]
		if len(s.Preload) > 0 {
			scale = 1
		}
		for _, f := range s.Foreign {
			for _, c := range s.Commands {
				if c.From == f {
					scale, what, d = 1, "changes what is run by", f
				}
			}
		}
		add("dropin_over_package", scale, "%q, of no package, %s the unit of the package %s", d, what, s.Package)
	}
	if s.Owned == evidence.No && len(s.Shadows) > 0 && !masked {
		add("dropin_over_package", 0.8, "%q, of no package, takes the place of %q", s.UnitPath, s.Shadows[0])
	}
	if len(s.Altered) > 0 {
		scale := 1.0
		if strings.HasPrefix(s.Altered[0], "/etc/") {
			scale = 0.4 // where administrators change what packages bring
		}
		add("package_modified", scale, "%s", s.Altered[0])
	}
	if s.Owned == evidence.No {
		switch s.Type {
		case string(systemd.Generator):
			add("generator", 1.5, "systemd runs %q, of no package, at every start and reload", s.UnitPath)
		case string(systemd.Hook):
			add("generator", 1.4, "systemd runs %q, of no package, at shutdown or sleep", s.UnitPath)
		}
	}
	if strings.Contains(s.UnitPath, "/systemd/transient/") && !strings.HasPrefix(s.UnitPath, "/run/systemd/transient/") {
		add("transient_unit", 0.5, "it was made by systemd-run or over D-Bus and leaves no file on disk")
	}
	if s.Excess {
		add("obfuscated", 1.5, "%q holds more than is read, and more than anybody writes: what it runs may be hidden in it", s.UnitPath)
	}
	s.linked(add)
	for _, c := range s.Commands {
		if strings.HasPrefix(c.Argv0, "[") || strings.HasPrefix(c.Argv0, "kworker") {
			add("masquerade", 0, "%s is made to look like a thread of the kernel: %q", c.Path, c.Argv0)
			break
		}
	}
	for _, p := range s.Preload {
		add("preload", 0, "its programs load other code: %q", p)
		_, value, _ := strings.Cut(p, "=")
		if factor, why := odd(value); factor != "" {
			add(factor, 0, "it loads %q: %s", value, why)
		}
	}
	if s.OnDisk == evidence.No && len(s.PIDs) > 0 {
		add("missing_program", 3, "it runs, though %q is gone", s.Path)
	}
	if len(s.Listens) > 0 && len(s.Commands) > 0 && bareShell(s.Path, s.Args) {
		for _, l := range s.Listens {
			if _, at, _ := strings.Cut(l, "="); at != "" && at[0] != '/' && at[0] != '@' {
				add("reverse_shell", 0, "whoever connects to %q gets %s", l, s.Path)
				break
			}
		}
	}
	return all
}

// linked looks at where a unit file leads.
func (s *Service) linked(add func(factor string, scale float64, format string, args ...any)) {
	if s.LinkTarget == "" || s.Real == "" || s.Type == string(systemd.Generator) || s.Type == string(systemd.Hook) {
		return
	}
	factor, why := odd(s.Real)
	if factor == "" || factor == "user_directory" && s.Scope == "user" {
		return
	}
	add(factor, 0, "its file %q leads to %q: %s", s.UnitPath, s.Real, why)
}

// odd says of a file of a service what is wrong with its place.
func odd(p string) (factor, why string) {
	has := func(prefixes ...string) bool {
		for _, d := range prefixes {
			if strings.HasPrefix(p, d) {
				return true
			}
		}
		return false
	}
	switch {
	case has("/tmp/", "/var/tmp/", "/dev/", "/usr/tmp/"):
		return "everybodys_directory", "every user can write there"
	case has("/run/user/", "/run/lock/", "/var/lock/", "/proc/"):
		return "everybodys_directory", "users can write there"
	case hidden(p):
		return "hidden_file", "it is hidden"
	case has("/home/", "/root/"):
		return "user_directory", "a user's own directory"
	}
	return "", ""
}

// hidden reports whether a path has a hidden component other than those that
// programs have in every home.
func hidden(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if len(part) > 1 && part[0] == '.' && part != ".." && part != ".config" && part != ".local" {
			return true
		}
	}
	return false
}

// bareShell reports whether a command is a shell that reads what it runs from its
// input.
func bareShell(program, args string) bool {
	switch path.Base(program) {
	case "sh", "bash", "dash", "ash", "ksh", "zsh", "csh", "tcsh", "busybox":
	default:
		return false
	}
	for w := range strings.FieldsSeq(args) {
		if strings.Contains(w, "c") && strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--") || strings.HasPrefix(w, "/") {
			return false
		}
	}
	return true
}
