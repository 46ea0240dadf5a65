package cmdline

import "strings"

// hand says what a program does with the words behind it, as far as other commands
// come of them. [parser.unwrap] looks at nothing else.
type hand uint8

const (
	handsNothing hand = iota
	handsWords        // a program and its words, or a line of Windows that makes them
	handsShell        // text of a POSIX shell
	handsCmd          // text of cmd.exe
	handsScript       // a program of a script language, where it is given as text
	handsAwk          // a program of awk, always as text
	handsHidden       // text that tells nothing before it is read
)

// handsOn returns what the tool, by its usual name, does with its words.
func handsOn(tool string) hand {
	if h, ok := hands[tool]; ok {
		return h
	}
	if w, ok := unixWrappers[tool]; ok {
		return w.hand()
	}
	if isShell(tool) {
		return handsShell
	}
	if lang, ok := scriptLanguage(tool); ok {
		return scriptHand(lang)
	}
	for _, loader := range loaders {
		if strings.HasPrefix(tool, loader) {
			return handsHidden
		}
	}
	return handsNothing
}

func (w unixWrapper) hand() hand {
	if w.shell != "" || w.joined {
		return handsShell
	}
	return handsWords
}

func scriptHand(lang string) hand {
	if scriptFlags[lang] == "" {
		return handsAwk
	}
	return handsScript
}

// loaders begin the names of the programs that load others (ld.so).
var loaders = [...]string{"ld-linux", "ld-musl"}

// hands are the tools that hand on what is behind them and are none of
// [unixWrappers], shells and script languages.
var hands = map[string]hand{
	"cmd": handsCmd, "powershell": handsHidden,
	// Windows
	"psexec": handsWords, "paexec": handsWords, "remcom": handsWords, "csexec": handsWords, "winrs": handsCmd, "wmic": handsWords,
	"runas": handsWords, "forfiles": handsHidden, "pcalua": handsWords, "conhost": handsWords, "wt": handsWords,
	"cscript": handsWords, "scriptrunner": handsWords, "rundll32": handsHidden, "mshta": handsHidden, "sqlcmd": handsHidden, "osql": handsHidden, "isql": handsHidden, "wsl": handsShell,
	// Unix
	"env": handsShell, "eval": handsShell, "trap": handsShell, "at": handsShell, "batch": handsShell, "su": handsShell,
	"script": handsShell, "tmux": handsShell, "plink": handsShell, "vagrant": handsShell, "gcloud": handsShell, "ssh": handsShell, "autossh": handsShell, "dbclient": handsShell, "sshpass": handsWords,
	"busybox": handsWords, "toybox": handsWords, "docker": handsWords, "podman": handsWords, "nerdctl": handsWords,
	"kubectl": handsWords, "oc": handsWords, "lxc": handsWords, "incus": handsWords, "crictl": handsWords,
	"lxc-attach": handsWords, "machinectl": handsWords, "ctr": handsWords, "ansible": handsShell, "salt": handsShell, "salt-call": handsShell, "salt-ssh": handsShell, "vi": handsShell,
	"vim": handsShell, "nvim": handsShell, "ex": handsShell, "find": handsWords, "fd": handsWords, "launchctl": handsWords,
}

// shells are the shells of POSIX systems.
var shells = map[string]bool{
	"sh": true, "bash": true, "dash": true, "zsh": true, "ksh": true, "ksh93": true, "mksh": true, "ash": true, "fish": true,
	"rbash": true, "csh": true, "tcsh": true, "yash": true, "posh": true, "pdksh": true, "hush": true,
}

func isShell(name string) bool {
	return shells[strings.ToLower(strings.TrimSuffix(name, ".exe"))]
}
