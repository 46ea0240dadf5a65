package powershell

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
)

// Invocation is what a command line asks of powershell.exe or pwsh.
type Invocation struct {
	// Script is the text to run, decoded when it came encoded.
	Script string
	// File is the script file to run, "-" excepted (that is StdinScript).
	File     string
	FileArgs []string
	// Encoded says that Script came in base64.
	Encoded      bool
	HiddenWindow bool
	NoProfile    bool
	// StdinScript says that the script comes on standard input: asked for with
	// "-", or because nothing else is given.
	StdinScript bool
	// NonInteractive and ExecutionPolicy are as given; the policy in lower case.
	NonInteractive  bool
	ExecutionPolicy string
	// Version is the engine asked for ("2"), as given.
	Version string
}

// The switches of powershell.exe and pwsh with the shortest prefix that selects
// each. The first that fits counts, in this order.
var switches = [...]struct {
	name, shortest string
	value          bool
}{
	{"version", "v", false},
	{"help", "h", false},
	{"login", "l", false},
	{"noninteractive", "noni", false},
	{"nologo", "nol", false},
	{"noexit", "noe", false},
	{"noprofileloadtime", "noprofilel", false},
	{"noprofile", "nop", false},
	{"sta", "sta", false},
	{"mta", "mta", false},
	{"servermode", "s", false},
	{"interactive", "i", false},
	{"configurationfile", "configurationf", true},
	{"configurationname", "config", true},
	{"custompipename", "cus", true},
	{"commandwithargs", "commandw", false},
	{"command", "c", false},
	{"windowstyle", "w", true},
	{"file", "f", false},
	{"executionpolicy", "ex", true},
	{"inputformat", "inp", true},
	{"outputformat", "o", true},
	{"encodedarguments", "encodeda", true},
	{"encodedcommand", "e", false},
	{"settingsfile", "settings", true},
	{"psconsolefile", "p", true},
	{"workingdirectory", "wo", true},
	{"removeworkingdirectorytrailingcharacter", "removeworkingdirectorytrailingcharacter", false},
}

// switchNamed returns the switch that the text behind the dash selects.
func switchNamed(s string) (name string, value, ok bool) {
	switch s {
	case "ec":
		return "encodedcommand", false, true
	case "ep":
		return "executionpolicy", true, true
	case "ea":
		return "encodedarguments", true, true
	case "if":
		return "inputformat", true, true
	case "of":
		return "outputformat", true, true
	case "wd":
		return "workingdirectory", true, true
	case "cwa":
		return "commandwithargs", false, true
	case "in":
		return "inputformat", true, true
	case "st", "sta":
		return "sta", false, true
	case "?":
		return "help", false, true
	}
	for _, sw := range switches {
		if strings.HasPrefix(sw.name, s) && strings.HasPrefix(s, sw.shortest) {
			return sw.name, sw.value, true
		}
	}
	return "", false, false
}

// ParseCommandLine reads the arguments of powershell.exe or pwsh, the program's
// word first. Every unambiguous prefix of a switch counts, behind a hyphen, two, a
// slash, or a dash of typography. In Windows PowerShell the first other word
// starts the command, which is all the words from there joined with blanks; in
// pwsh it names the script file. Decoding takes from b. The answer is false when
// argv is empty, or asks only for help.
//
// Source: Microsoft, about_PowerShell_exe and about_Pwsh.
func ParseCommandLine(argv []string, b *dialect.Budget) (Invocation, bool) {
	var inv Invocation
	if len(argv) == 0 || !b.Spend(len(argv), 0) {
		return inv, false
	}
	core := strings.HasPrefix(winargv.Base(argv[0]), "pwsh")
	args := argv[1:]
	for i := 0; i < len(args); i++ {
		word := strings.TrimSpace(args[i])
		if word == "" {
			continue
		}
		if word == "-" {
			inv.StdinScript = true
			return inv, true
		}
		n := dashAt(word, 0)
		if n == 0 && word[0] == '/' {
			n = 1
		}
		if n == 0 {
			inv.rest(args[i:], core)
			return inv, true
		}
		if n2 := dashAt(word, n); n2 > 0 {
			n += n2
		}
		given, glued, hasGlued := strings.Cut(word[n:], ":")
		key := lowerShort(given)
		name, takes, ok := switchNamed(key)
		if !ok || key == "" {
			// -config Foo is a switch; "-foo" starts a command, or names a file.
			inv.rest(args[i:], core)
			return inv, true
		}
		next := ""
		switch {
		case hasGlued:
			next = glued
		case name == "version":
			// Only Windows PowerShell's version takes a number.
			if i+1 < len(args) && !core && args[i+1] != "" && isDigit(args[i+1][0]) {
				i++
				inv.Version = args[i]
			}
			continue
		case takes && i+1 < len(args):
			i++
			next = args[i]
		}
		switch name {
		case "help":
			return inv, false
		case "noprofile":
			inv.NoProfile = true
		case "noninteractive":
			inv.NonInteractive = true
		case "windowstyle":
			inv.HiddenWindow = hidden(next)
		case "executionpolicy":
			inv.ExecutionPolicy = strings.ToLower(next)
		case "command", "commandwithargs":
			rest := args[i+1:]
			if hasGlued {
				rest = append([]string{glued}, rest...)
			}
			if name == "commandwithargs" && len(rest) > 1 {
				rest = rest[:1]
			}
			inv.command(rest)
			return inv, true
		case "file":
			inv.file(args[i+1:])
			return inv, true
		case "encodedcommand":
			if i+1 >= len(args) {
				return inv, true
			}
			i++
			inv.Encoded = true
			inv.decode(args[i], b)
		}
	}
	inv.StdinScript = !inv.Encoded
	return inv, true
}

func (inv *Invocation) rest(args []string, core bool) {
	if core {
		inv.file(args)
		return
	}
	inv.command(args)
}

func (inv *Invocation) command(args []string) {
	if len(args) == 1 && args[0] == "-" {
		inv.StdinScript = true
		return
	}
	inv.Script = strings.Join(args, " ")
}

func (inv *Invocation) file(args []string) {
	if len(args) == 0 {
		return
	}
	if args[0] == "-" {
		inv.StdinScript = true
		return
	}
	inv.File, inv.FileArgs = args[0], args[1:]
}

// decode reads base64 of UTF-16; of UTF-8 too, which some tools hand over by
// mistake.
func (inv *Invocation) decode(s string, b *dialect.Budget) {
	if len(s) > b.Bytes {
		return
	}
	raw, ok := decodeBase64(s)
	if !ok || !b.Spend(1, len(raw)) {
		return
	}
	if strings.IndexByte(raw, 0) < 0 && ascii(raw) && len(raw) > 3 {
		inv.Script = raw
		return
	}
	inv.Script = decodeUTF16(raw, false)
}

// hidden reports whether a window style means no window: any prefix of its name,
// or its number.
func hidden(style string) bool {
	style = strings.ToLower(strings.Trim(style, `"' `))
	return style == "1" || style != "" && strings.HasPrefix("hidden", style)
}
