package sysv

import (
	"path"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/posix"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	maxRuns = 64 // commands kept of one script
	// The work spent on reading one script as a shell would.
	runSteps = 400000
	runBytes = 4 << 20
)

// Run is one command that a script's text starts: a program by its path, or what
// a shell is handed.
type Run struct {
	Path string
	Args string
	// OnDisk and Writable are about the program.
	OnDisk   evidence.Tristate
	Writable string
}

// runsOf are the commands of a shell script that are worth a look: programs named
// by their path, what is piped into an interpreter, what goes over the network.
// Programs that lie where packages put them come last. Nothing is run. The error
// says why the text was not read to its end.
func runsOf(text string) ([]Run, error) {
	if first, _, _ := strings.Cut(text, "\n"); strings.HasPrefix(first, "#!") && !shellLine(first) {
		return nil, nil
	}
	list, err := posix.Parse(text, posix.Options{}, &dialect.Budget{Steps: runSteps, Bytes: runBytes})
	piped := map[int]bool{}
	for i := range list {
		if n := list[i].Next; n > i && n < len(list) {
			piped[n] = true
		}
	}
	var odd, usual []Run
	for i := range list {
		if piped[i] {
			continue
		}
		r, ok := runOf(list, i)
		if !ok || slices.Contains(odd, r) || slices.Contains(usual, r) {
			continue
		}
		if usualPlace(r.Path) && !shell(path.Base(r.Path)) {
			if len(usual) < maxRuns {
				usual = append(usual, r)
			}
		} else if len(odd) < maxRuns {
			odd = append(odd, r)
		}
	}
	all := append(odd, usual...)
	return all[:min(len(all), maxRuns)], err
}

// shellLine reports whether a script's first line names a shell.
func shellLine(line string) bool {
	for w := range strings.FieldsSeq(strings.TrimPrefix(line, "#!")) {
		base := path.Base(w)
		if shell(base) || base == "openrc-run" || base == "runscript" || base == "rc" {
			return true
		}
	}
	return false
}

func shell(base string) bool {
	switch base {
	case "sh", "bash", "dash", "ash", "ksh", "zsh", "busybox":
		return true
	}
	return false
}

func usualPlace(p string) bool {
	switch path.Dir(p) {
	case "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin":
		return true
	}
	return false
}

// handed reports whether a program runs what it is handed: what goes into it
// belongs to the command.
func handed(base string) bool {
	base = strings.TrimRight(base, "0123456789.")
	switch base {
	case "python", "perl", "ruby", "php", "node", "lua", "nc", "ncat", "socat", "telnet", "openssl", "xargs":
		return true
	}
	return shell(base)
}

// runOf is the command that begins with the i-th simple command, with what its
// output is piped into.
func runOf(list []dialect.Simple, i int) (Run, bool) {
	words := unwrapped(list[i].Argv)
	if len(words) == 0 || words[0] == "" {
		return Run{}, false
	}
	whole := false
	text := strings.Join(list[i].Argv, " ")
	for _, r := range list[i].Redirects {
		if strings.HasPrefix(r.Target, "/dev/tcp/") || strings.HasPrefix(r.Target, "/dev/udp/") {
			whole, text = true, text+" "+r.Op+" "+r.Target
		}
	}
	for n, rounds := list[i].Next, 0; n > i && n < len(list) && rounds < 16 && len(text) < maxText; n, rounds = list[n].Next, rounds+1 {
		text += " | " + strings.Join(list[n].Argv, " ")
		if inner := unwrapped(list[n].Argv); len(inner) > 0 && handed(path.Base(inner[0])) {
			whole = true
		}
	}
	base := path.Base(words[0])
	switch {
	case whole, handed(base) && !strings.HasPrefix(words[0], "/"), base == "eval", base == "curl", base == "wget":
		if base == "sh" && len(words) == 1 && !whole {
			return Run{}, false
		}
		return Run{Path: "/bin/sh", Args: "-c " + clean(text)}, true
	case base == "su" || base == "runuser" || base == "sudo":
		for k, w := range words {
			if (w == "-c" || strings.HasPrefix(w, "--command")) && k+1 < len(words) {
				return Run{Path: "/bin/sh", Args: "-c " + clean(strings.Join(words[k+1:], " "))}, true
			}
		}
	}
	if words[0][0] != '/' {
		return Run{}, false // of the search path, a function, or a variable that is not known
	}
	return Run{Path: clean(words[0]), Args: clean(strings.Join(words[1:], " "))}, true
}

// unwrapped are the words of a command without the programs that only start it.
func unwrapped(words []string) []string {
	for range 8 {
		if len(words) == 0 {
			return nil
		}
		switch path.Base(words[0]) {
		case "exec", "command", "nohup", "setsid", "builtin", "nice", "ionice", "chrt", "stdbuf", "daemonize":
			words = words[1:]
			for len(words) > 0 && strings.HasPrefix(words[0], "-") {
				words = words[1:]
			}
		case "env":
			words = words[1:]
			for len(words) > 0 && (strings.HasPrefix(words[0], "-") || strings.Contains(words[0], "=")) {
				words = words[1:]
			}
		case "timeout":
			words = words[1:]
			for len(words) > 0 && strings.HasPrefix(words[0], "-") {
				words = words[1:]
			}
			if len(words) > 0 {
				words = words[1:]
			}
		case "daemon": // of Red Hat's functions
			words = words[1:]
			for len(words) > 0 && (strings.HasPrefix(words[0], "-") || strings.HasPrefix(words[0], "+")) {
				words = words[1:]
			}
		case "start-stop-daemon":
			return startStop(words[1:])
		default:
			return words
		}
	}
	return words
}

// startStop is what start-stop-daemon starts.
func startStop(words []string) []string {
	program, stop := "", false
	var args []string
	for i := 0; i < len(words); i++ {
		w := words[i]
		name, value, ok := strings.Cut(w, "=")
		switch name {
		case "--":
			args = words[i+1:]
			i = len(words)
		case "-K", "--stop":
			stop = true
		case "--exec", "-x", "--startas", "-a":
			if !ok && i+1 < len(words) {
				i++
				value = words[i]
			}
			if program == "" || name == "--startas" || name == "-a" {
				program = value
			}
		}
	}
	if program == "" || stop {
		return nil
	}
	return append([]string{program}, args...)
}
