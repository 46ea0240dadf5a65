package attribution

import (
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// A manager is a package manager: the words of its command line that change
// packages. Without words, running it is enough.
type manager struct {
	name  string
	words []string
}

var (
	aptWords = []string{"install", "reinstall", "remove", "purge", "upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade", "autoremove", "build-dep", "dselect-upgrade"}
	dnfWords = []string{"install", "reinstall", "remove", "erase", "update", "upgrade", "downgrade", "autoremove", "swap", "distro-sync", "groupinstall", "group", "localinstall", "history", "module", "system-upgrade", "offline-upgrade", "automatic"}
)

// managers are the package managers by the places they are installed to, in which
// only root writes.
var managers = map[evidence.Platform]map[string]manager{
	evidence.Linux: {
		"/usr/bin/dpkg":               {"dpkg", []string{"-i", "--install", "--unpack", "--configure", "-r", "--remove", "-P", "--purge", "--triggers-only"}},
		"/usr/bin/apt":                {"apt", aptWords},
		"/usr/bin/apt-get":            {"apt", aptWords},
		"/usr/bin/aptitude":           {"apt", aptWords},
		"/usr/bin/unattended-upgrade": {"unattended-upgrades", nil}, "/usr/bin/unattended-upgrades": {"unattended-upgrades", nil},
		"/usr/lib/apt/apt.systemd.daily": {"apt", nil},
		"/usr/bin/rpm":                   {"rpm", []string{"-i", "-U", "-F", "-e", "-ivh", "-Uvh", "-Fvh", "--install", "--upgrade", "--erase", "--freshen", "--reinstall"}},
		"/usr/bin/dnf":                   {"dnf", dnfWords}, "/usr/bin/dnf-3": {"dnf", dnfWords}, "/usr/bin/dnf5": {"dnf", dnfWords},
		"/usr/bin/yum": {"yum", dnfWords}, "/usr/bin/microdnf": {"dnf", dnfWords}, "/usr/bin/dnf-automatic": {"dnf", nil},
		"/usr/bin/rpm-ostree":                {"rpm-ostree", nil},
		"/usr/bin/zypper":                    {"zypper", []string{"install", "in", "remove", "rm", "update", "up", "patch", "dist-upgrade", "dup"}},
		"/sbin/apk":                          {"apk", []string{"add", "del", "upgrade", "fix"}},
		"/usr/bin/pacman":                    {"pacman", nil},
		"/usr/libexec/packagekitd":           {"packagekit", nil},
		"/usr/lib/packagekitd":               {"packagekit", nil},
		"/usr/lib/snapd/snapd":               {"snapd", nil},
		"/usr/libexec/snapd/snapd":           {"snapd", nil},
		"/usr/libexec/flatpak-system-helper": {"flatpak", nil},
	},
	evidence.Darwin: {
		"/usr/sbin/installer": {"installer", []string{"-pkg", "-package"}},
		"/System/Library/PrivateFrameworks/PackageKit.framework/Resources/installd":        {"installd", nil},
		"/System/Library/PrivateFrameworks/PackageKit.framework/Resources/system_installd": {"system_installd", nil},
		"/usr/libexec/installd": {"installd", nil},
		packageScripts:          {"package_script_service", nil},
	},
}

// packageScripts runs the scripts of packages on macOS, whoever's they are: it
// accounts for a look at the services and for no install.
const packageScripts = "/System/Library/PrivateFrameworks/PackageKit.framework/Versions/A/XPCServices/package_script_service.xpc/Contents/MacOS/package_script_service"

// packaged looks for a package manager among the ancestors, and at whether an
// install is what its package brought.
func packaged(f *Facts, a *actor, _ *Config) Result {
	if in := f.Install; in != nil && in.Package != "" && in.PackageVerified == evidence.Yes {
		return Result{Kind: Package, Subject: clip(in.Package), Basis: "unit and program are as the package brought them", Strength: 0.9}
	}
	if a.container != "" {
		return Result{} // inside a container the same path is another file
	}
	if f.Odd != "" {
		return near("no package's service: " + clip(f.Odd))
	}
	why := ""
	for _, p := range a.chain() {
		path := identity(p, a.platform)
		m, ok := managers[a.platform][path]
		if !ok {
			continue
		}
		// What runs for another user was not started by a package's scripts: package
		// managers start pagers and hooks of their caller's too.
		if (a.user != "" || a.uid != "") && !a.systemAccount(a.uid, a.user) {
			return near(fmt.Sprintf("%s is an ancestor, but it did not run as root", path))
		}
		if path == packageScripts {
			if a.what != "command" {
				continue
			}
			return Result{Kind: Package, Subject: m.name, Basis: "a script of a package that is being installed", Strength: Weak}
		}
		strength, detail, ok := m.changes(p.CmdLine)
		if !ok {
			why = fmt.Sprintf("%s is an ancestor, but it changed no packages or ran a command of its caller's", path)
			continue
		}
		return Result{Kind: Package, Subject: m.name, Basis: "ancestor " + path + detail, Strength: strength}
	}
	return near(why)
}

// changes reports whether a package manager's command line changes packages, and
// does not make it run its caller's commands.
func (m manager) changes(line string) (strength float64, detail string, ok bool) {
	if line == "" {
		return 0.6, ", whose command line is not known", true
	}
	changes := m.words == nil
	local := ""
	for i, w := range strings.Fields(line) {
		if i == 0 {
			continue
		}
		if foreign(w) {
			return 0, "", false
		}
		for _, word := range m.words {
			changes = changes || w == word
		}
		if ending := strings.ToLower(w); local == "" && strings.Contains(w, "/") && !strings.HasPrefix(w, "/var/cache/") &&
			(strings.HasSuffix(ending, ".deb") || strings.HasSuffix(ending, ".rpm") || strings.HasSuffix(ending, ".apk") || strings.HasSuffix(ending, ".pkg") || strings.Contains(ending, ".pkg.tar")) {
			local = w
		}
	}
	switch {
	case !changes:
		return 0, "", false
	case local != "":
		return 0.4, ", for a package file that somebody brought: " + clip(local), true
	}
	return 0.8, "", true
}

// foreign reports whether a word of a package manager's command line makes it run
// or load what its caller chose.
func foreign(w string) bool {
	if w == "-c" || w == "-D" || w == "-E" {
		return true
	}
	l := strings.ToLower(w)
	if !strings.HasPrefix(l, "-") && !strings.Contains(l, "::") {
		return false
	}
	for _, part := range []string{
		"invoke", "pager", "--eval", "--define", "plugin", "hook", "dpkg::path", "dir::", "--admindir", "--root", "--instdir", "--installroot", "--pipe", "--config",
		"--load", "--macros", "--rcfile", "--setopt",
	} {
		if part == "--config" && strings.HasPrefix(l, "--configure") {
			continue
		}
		if strings.Contains(l, part) {
			return true
		}
	}
	return false
}
