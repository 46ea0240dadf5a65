// Package cmdline turns one command line into the simple commands it runs: each
// with its words, the tool it calls by its usual name, what is asked of the tool,
// the chain that wrapped it and the ways it was hidden.
//
// It reads hostile text: input, depth, expansion and time are bounded, and text
// that cannot be understood comes back raw and marked, never as an error.
package cmdline

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/cmdexe"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/posix"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/powershell"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// The bounds of one command line.
const (
	MaxInput    = 256 << 10 // bytes of text that are read; the rest is ignored and the result marked
	MaxDepth    = 16        // nested interpreters and wrappers
	MaxCommands = 2048      // simple commands that are returned
	maxBytes    = 1 << 20   // bytes produced by expansion and decoding
	maxSteps    = 1 << 18   // tokens over all nested texts
)

// Input is a command line and what else is known of the process.
type Input struct {
	Text             string
	Platform         evidence.Platform // guessed from the text when empty
	Path             string            // the image that runs, when known
	CWD              string
	OriginalFileName string // of the image's version resource, when known
	// ArgsJoined says that the words were joined with blanks and quoting is lost.
	ArgsJoined bool
}

// Command is one simple command.
type Command struct {
	// Tool is the usual name of what runs: lower case, without directory and
	// ending, aliases and copies resolved ("sc", "net", "get-service").
	Tool string
	// Verb is what is asked of the tool, in its own words ("query", "list-units").
	Verb string
	// Object is the kind of thing asked about where the tool knows several
	// ("service", "driver", "task", "unit").
	Object string
	// Target holds the names asked about; none means all.
	Target []string
	// RemoteHost is the machine the question is for, when it is another one.
	RemoteHost string
	// Arguments are the words behind the program, as the program receives them.
	Arguments []string
	// Options are the switches in one spelling: lower case, "-" for "/", a value
	// behind "=" ("-svc", "--type=service").
	Options []string
	// Paths are the files, directories and registry keys among the arguments, in
	// one spelling ("/etc/init.d", "hklm\system\currentcontrolset\services").
	Paths []string
	// Wrappers is the chain that started it, outermost first ("sudo", "bash").
	Wrappers []string
	// AsUser is the user a wrapper switched to (sudo -u, su, runas).
	AsUser string
	// PipedTo holds the canonical commands its output goes through, in order.
	PipedTo []string
	// PipedFrom holds the canonical commands its input comes from, nearest first.
	PipedFrom []string
	// OutputFile is where its output is written, when that is a file.
	OutputFile string
	// Members are the methods called on its result, in lower case.
	Members []string
	// Obfuscation names the ways it was hidden.
	Obfuscation []dialect.Mark
	// HiddenWindow says that a wrapper asked for an invisible window.
	HiddenWindow bool
	// Renamed says that the image is a copy of the tool under another name.
	Renamed bool
	// Raw is its text as written.
	Raw string
	// Canonical is the tool with its words, one blank between, quoted only where
	// needed: the same for every way of writing it.
	Canonical string
	// Depth is the number of wrappers and interpreters around it.
	Depth int
}

// Result is what a command line runs.
type Result struct {
	Commands []Command
	// Issues says what was not understood or cut, in words; empty for most.
	Issues []string
}

// language is the syntax a nested text is written in.
type language int

const (
	langWords language = iota // words already split: no shell around it
	langPOSIX
	langCmd
	langPowerShell
)

// scope is what a nested command inherits from what is around it.
type scope struct {
	lang     language
	wrappers []string
	marks    []dialect.Mark
	user     string
	remote   string
	cwd      string
	hidden   bool
	delayed  bool // cmd /v:on
	output   string
	to, from []string
	depth    int // wrappers and interpreters around it
	// joined says that quoting is lost: a source put blanks between the words.
	// Simple.Line then holds the text as it came.
	joined bool
}

// inside returns the scope of what wrapper runs.
func (s scope) inside(wrapper string) scope {
	s.wrappers = append(s.wrappers[:len(s.wrappers):len(s.wrappers)], wrapper)
	s.depth++
	return s
}

func (s scope) marked(marks ...dialect.Mark) scope {
	s.marks = s.marks[:len(s.marks):len(s.marks)]
	for _, m := range marks {
		s.marks = dialect.AddMark(s.marks, m)
	}
	return s
}

// parser carries one command line's work.
type parser struct {
	in     Input
	win    bool
	budget dialect.Budget
	res    Result
	// files are the scripts that the command line itself writes, by [fileKey].
	files map[string]string
}

// Parse returns the simple commands that in runs. It never fails: see
// [Result.Issues].
func Parse(in Input) Result {
	p := &parser{in: in, budget: dialect.Budget{Steps: maxSteps, Bytes: maxBytes}}
	text := in.Text
	if len(text) > MaxInput {
		cut := MaxInput
		for cut > MaxInput-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
		p.issue("command line cut at 256 KiB")
	}
	if strings.IndexByte(text, 0) >= 0 {
		// A NUL ends a C string, but sources that join NUL-separated words leave
		// them in: a blank keeps both readings.
		text = strings.ReplaceAll(text, "\x00", " ")
	}
	p.in.Text = text
	if in.Platform == "" {
		p.in.Platform = guessPlatform(in.Path, text)
	}
	p.win = p.in.Platform == evidence.Windows
	if p.win {
		p.topWindows()
	} else {
		p.topPOSIX()
	}
	return p.res
}

func (p *parser) issue(s string) {
	for _, have := range p.res.Issues {
		if have == s {
			return
		}
	}
	if len(p.res.Issues) < 16 {
		p.res.Issues = append(p.res.Issues, s)
	}
}

// topWindows reads the outermost text: the command line of a process, or what was
// typed at a prompt.
func (p *parser) topWindows() {
	text := strings.TrimSpace(p.in.Text)
	if text == "" {
		return
	}
	argv := winargv.Split(text)
	if len(argv) == 0 {
		return
	}
	first := winargv.Base(argv[0])
	image := winargv.Base(p.in.Path)
	// A prompt takes no line breaks inside of quotes: those are arguments.
	before, _, broken := strings.Cut(text, "\n")
	typed := p.in.Path == "" && !isInterpreter(first) && !(broken && strings.Count(before, `"`)%2 == 1)
	switch {
	case typed && looksLikePowerShell(argv[0]):
		p.text(text, scope{lang: langPowerShell, cwd: p.in.CWD})
	case typed, image == "cmd" && first != "cmd" && resolveTool(first) != "cmd":
		p.text(text, scope{lang: langCmd, cwd: p.in.CWD})
	case isPowerShell(image) && !isPowerShell(first) && p.original() != first && !strings.Contains(first, image):
		p.text(text, scope{lang: langPowerShell, cwd: p.in.CWD})
	default:
		p.run(dialect.Simple{Argv: argv, Line: text, Raw: text, Next: -1}, scope{lang: langWords, cwd: p.in.CWD})
	}
}

func (p *parser) topPOSIX() {
	text := strings.TrimSpace(p.in.Text)
	if text == "" {
		return
	}
	s := scope{lang: langPOSIX, cwd: p.in.CWD}
	words := posix.Fields(text)
	if len(words) == 0 {
		return
	}
	first, image := unixBase(words[0]), unixBase(p.in.Path)
	if p.in.Path != "" && !p.in.ArgsJoined {
		if exact, ok := posix.Quoted(text); ok {
			s.lang = langWords
			p.run(dialect.Simple{Argv: exact, Raw: text, Next: -1}, s)
			return
		}
	}
	process := p.in.ArgsJoined || (p.in.Path != "" && (image == first || !isShell(image) && !multiCall(image)))
	if !process {
		n := len(p.res.Commands)
		cmds, err := posix.Parse(text, posix.Options{}, &p.budget)
		if err == nil {
			p.all(cmds, s)
			return
		}
		// Not a sentence of the shell: perhaps words that were joined.
		p.res.Commands = p.res.Commands[:n]
		if !isShell(first) && !isWrapper(first) {
			p.issue("not understood as shell text: " + err.Error())
			p.all(cmds, s)
			if len(p.res.Commands) > n {
				return
			}
		}
	}
	s.lang, s.joined = langWords, true
	p.run(dialect.Simple{Argv: words, Line: text, Raw: text, Next: -1}, s)
}

// text parses a nested text in the scope's language and runs what is in it.
func (p *parser) text(text string, s scope) {
	if s.depth > MaxDepth {
		p.issue("nested more than 16 deep")
		p.emitRaw(text, s)
		return
	}
	if strings.TrimSpace(text) == "" {
		return
	}
	s.joined = false
	var cmds []dialect.Simple
	var err error
	switch s.lang {
	case langCmd:
		cmds, err = cmdexe.Parse(text, cmdexe.Options{DelayedExpansion: s.delayed}, &p.budget)
	case langPowerShell:
		cmds, err = powershell.Parse(text, &p.budget)
	default:
		s.lang = langPOSIX
		cmds, err = posix.Parse(text, posix.Options{}, &p.budget)
	}
	if err != nil {
		p.issue("not understood: " + err.Error())
	}
	if len(cmds) == 0 && err != nil {
		p.emitRaw(text, s)
		return
	}
	p.all(cmds, s)
}

// all runs the commands of one text, each knowing its pipeline and directory.
func (p *parser) all(cmds []dialect.Simple, s scope) {
	names := make([]string, len(cmds))
	prev := make([]int, len(cmds))
	for i := range prev {
		prev[i] = -1
	}
	for i := range cmds {
		names[i] = briefly(cmds[i].Argv, s.lang)
		if n := cmds[i].Next; n > i && n < len(cmds) && prev[n] < 0 {
			prev[n] = i
		}
	}
	p.res.Commands = slices.Grow(p.res.Commands, min(len(cmds), 16))
	var remotes []remoteBlock
	for i := range cmds {
		if len(p.res.Commands) >= MaxCommands {
			p.issue("more than 2048 commands")
			return
		}
		in := s
		if prev[i] >= 0 && cmds[i].Stdin != "" {
			// What a text was hidden by on its way in hides what it runs.
			in = in.marked(cmds[prev[i]].Marks...)
		}
		hops := 0
		for n := cmds[i].Next; n > 0 && n < len(cmds) && hops < 8; n = cmds[n].Next {
			in.to = append(in.to[:len(in.to):len(in.to)], names[n])
			if f := outputFile(cmds[n]); f != "" {
				in.output = f
			}
			hops++
		}
		for n, hops := prev[i], 0; n >= 0 && hops < 8; n, hops = prev[n], hops+1 {
			in.from = append(in.from[:len(in.from):len(in.from)], names[n])
		}
		for k := range remotes {
			if remotes[k].has(cmds[i].Raw) {
				in.remote = remotes[k].host
			}
		}
		if b, ok := remoteBlockOf(cmds[i]); ok && s.lang == langPowerShell && len(remotes) < maxRemotes {
			remotes = append(remotes, b)
		}
		p.run(cmds[i], in)
		if dir, ok := changesDirectory(cmds[i].Argv); ok && len(s.cwd)+len(dir) < maxPath {
			s.cwd = joinPath(s.cwd, dir)
		}
	}
}

// run looks at one simple command: a wrapper hands on to what it runs, anything
// else is a command of the result.
func (p *parser) run(c dialect.Simple, s scope) {
	if len(c.Argv) == 0 || len(p.res.Commands) >= MaxCommands {
		return
	}
	if !p.budget.Spend(1+len(c.Argv), 0) {
		p.issue("too much to expand")
		p.emitRaw(c.Raw, s)
		return
	}
	if s.depth > MaxDepth {
		p.issue("nested more than 16 deep")
		p.emitRaw(c.Raw, s)
		return
	}
	s = s.marked(c.Marks...)
	if c.Line != "" && !s.joined && s.lang == langWords && winargv.OddQuotes(c.Line) && !isInterpreter(winargv.Base(c.Argv[0])) {
		s = s.marked(dialect.QuoteSplit)
	}
	if f := outputFile(c); f != "" {
		s.output = f
	}
	if text, ok := p.written(c.Argv[0]); ok {
		lang := langPOSIX
		if p.win {
			lang = langCmd
		}
		p.shell(text, lang, s.inside(fileKey(c.Argv[0])))
		return
	}
	p.remember(c, s.output)
	if argv, ok := initScript(c.Argv); ok && !p.win {
		c.Argv = argv
	}
	tool, renamed := p.tool(c.Argv[0], s)
	if p.unwrap(tool, c, s) {
		return
	}
	p.emit(tool, renamed, c, s)
}

// tool is the usual name of the program word, and whether the image is a copy
// under another name. Only the outermost command has an image of its own.
func (p *parser) tool(word string, s scope) (string, bool) {
	var base string
	if p.win || s.lang == langCmd || s.lang == langPowerShell {
		base = winargv.Base(word)
	} else {
		base = unixBase(word)
	}
	if s.depth == 0 && s.lang == langWords {
		if orig := p.original(); orig != "" {
			image := winargv.Base(p.in.Path)
			if image == "" {
				image = base
			}
			// The image's own version resource is harder to forge than its name.
			if resolveTool(image) != orig && knownTool(orig) {
				return orig, !sameProgram(image, orig)
			}
		}
		if image := p.imageBase(); image != "" && image != base && knownTool(resolveTool(image)) && !multiCall(image) && !knownTool(resolveTool(base)) {
			return resolveTool(image), false
		}
	}
	if s.lang == langPowerShell {
		if full, ok := powershellAliases[base]; ok && !strings.Contains(strings.ToLower(word), ".exe") {
			return full, false
		}
	}
	return resolveTool(base), false
}

// originals are the names in version resources that no file has.
var originals = map[string]string{"drvqry": "driverquery", "sctasks": "schtasks", "pwsh.dll": "powershell", "psexec.c": "psexec"}

func (p *parser) imageBase() string {
	if p.win {
		return winargv.Base(p.in.Path)
	}
	return unixBase(p.in.Path)
}

// original is the tool named by the image's version resource.
func (p *parser) original() string {
	switch p.in.OriginalFileName {
	case "", "-", "?":
		return ""
	}
	base := winargv.Base(p.in.OriginalFileName)
	if tool, ok := originals[base]; ok {
		return tool
	}
	return resolveTool(base)
}

// emitRaw keeps text that was not understood, so that nothing is lost.
func (p *parser) emitRaw(text string, s scope) {
	if len(p.res.Commands) >= MaxCommands {
		return
	}
	p.res.Commands = append(p.res.Commands, Command{
		Raw: clip(text, 4096), Wrappers: s.wrappers, AsUser: s.user, RemoteHost: s.remote,
		Obfuscation: s.marks, HiddenWindow: s.hidden, Depth: s.depth,
	})
}

func (p *parser) emit(tool string, renamed bool, c dialect.Simple, s scope) {
	cmd := Command{
		Tool: tool, Arguments: c.Argv[1:], Wrappers: s.wrappers, AsUser: s.user,
		RemoteHost: s.remote, PipedTo: s.to, PipedFrom: s.from, OutputFile: s.output,
		Members: c.Members, Obfuscation: s.marks, HiddenWindow: s.hidden, Renamed: renamed,
		Raw: c.Raw, Depth: s.depth,
	}
	p.understand(&cmd, c, s)
	cmd.Canonical = canonical(cmd.Tool, cmd.Arguments)
	p.res.Commands = append(p.res.Commands, cmd)
}

// The bounds of what is remembered of written scripts.
const (
	maxFiles    = 16
	maxFileSize = 16 << 10
)

// remember keeps the text that a command writes into file, in case the same
// command line runs it: echo sc query > x.bat & x.bat.
func (p *parser) remember(c dialect.Simple, file string) {
	text := ""
	switch name := c.Argv[0]; {
	case file == "":
		return
	case strings.EqualFold(name, "echo") && c.Line != "":
		text = winargv.Tail(c.Line, 1)
	case strings.EqualFold(name, "echo"), name == "printf" && len(c.Argv) == 2:
		text = strings.Join(c.Argv[1:], " ")
	case name == "cat" && len(c.Argv) == 1:
		text = c.Stdin
	}
	file = fileKey(file)
	if text == "" || file == "" || len(p.files[file])+len(text) > maxFileSize || len(p.files) >= maxFiles {
		return
	}
	if p.files == nil {
		p.files = map[string]string{}
	}
	for _, r := range c.Redirects {
		if strings.HasSuffix(r.Op, ">>") {
			text = p.files[file] + "\n" + text
		}
	}
	p.files[file] = text
}

// written returns the text that the command line itself wrote into a file.
func (p *parser) written(file string) (string, bool) {
	if len(p.files) == 0 {
		return "", false
	}
	text, ok := p.files[fileKey(file)]
	return text, ok
}

// fileKey is the name by which a written file is known again: its last part.
func fileKey(path string) string {
	return strings.ToLower(strings.Trim(path[strings.LastIndexAny(path, `/\`)+1:], `"' `))
}

// outputFile is the file a command's output goes to, empty for none and for the
// null device.
func outputFile(c dialect.Simple) string {
	for _, r := range c.Redirects {
		switch r.Op {
		case ">", ">>", "1>", "1>>", "&>", "&>>", "*>", "*>>", ">|":
			if !nullDevice(r.Target) {
				return r.Target
			}
		}
	}
	if len(c.Argv) > 1 {
		switch strings.ToLower(strings.TrimSuffix(winargv.Base(c.Argv[0]), ".exe")) {
		case "out-file", "set-content", "add-content", "export-csv", "export-clixml", "epcsv", "tee-object", "tee":
			for i, a := range c.Argv[1:] {
				if strings.HasPrefix(a, "-") {
					continue
				}
				if i > 0 && valueSwitch(c.Argv[i]) {
					continue
				}
				if !nullDevice(a) {
					return a
				}
			}
		}
	}
	return ""
}

// valueSwitch reports whether a PowerShell switch in front of a word takes that
// word and it is not the path.
func valueSwitch(s string) bool {
	switch strings.ToLower(s) {
	case "-encoding", "-width", "-delimiter", "-inputobject", "-variable":
		return true
	}
	return false
}

func nullDevice(t string) bool {
	switch strings.ToLower(strings.Trim(t, `"'`)) {
	case "", "nul", "nul:", "/dev/null", "$null", "&1", "&2", "&-", `\\.\nul`, "/dev/stderr", "/dev/stdout", "/dev/tty", "-":
		return true
	}
	return strings.HasPrefix(t, "&")
}

// maxRemotes bounds the blocks of one text that are known to run elsewhere,
// maxPath the directory that changes of directory lead to.
const (
	maxRemotes = 16
	maxPath    = 4 << 10
)

// remoteBlock is a block of PowerShell that runs on another machine. What is
// inside of it follows in the list of commands, and inherits the host.
type remoteBlock struct {
	host string
	rest string // the text that commands are still expected from
}

func remoteBlockOf(c dialect.Simple) (remoteBlock, bool) {
	if len(c.Argv) < 2 || !strings.EqualFold(c.Argv[0], "invoke-command") && !strings.EqualFold(c.Argv[0], "icm") {
		return remoteBlock{}, false
	}
	host := remoteName(namedArg(c.Argv[1:], "computername", "cn", "hostname"))
	return remoteBlock{host: host, rest: c.Raw}, host != ""
}

// has reports whether the next command, written as raw, is one of the block's.
func (b *remoteBlock) has(raw string) bool {
	i := strings.Index(b.rest, raw)
	if i < 0 || raw == "" {
		return false
	}
	b.rest = b.rest[i+1:]
	return true
}

// briefly is a command's program and first words, for the pipeline fields.
func briefly(argv []string, lang language) string {
	if len(argv) == 0 {
		return ""
	}
	name := unixBase(argv[0])
	if lang != langPOSIX {
		name = winargv.Base(argv[0])
	}
	if full, ok := powershellAliases[name]; ok && lang == langPowerShell {
		name = full
	}
	n := len(argv)
	if n > 6 {
		n = 6
	}
	return clip(canonical(name, argv[1:n]), 200)
}

// maxCanonical bounds, in bytes, where the canonical text stops taking words, and
// each word of it.
const maxCanonical = 4 << 10

// canonical writes a command with one blank between words and quotes only where
// a word needs them.
func canonical(tool string, args []string) string {
	var b strings.Builder
	size := len(tool)
	for _, a := range args {
		size += len(a) + 3
	}
	b.Grow(min(size, 2*maxCanonical))
	b.WriteString(tool)
	for _, a := range args {
		if b.Len() > maxCanonical {
			b.WriteString(" ...")
			break
		}
		a = clip(a, maxCanonical)
		b.WriteByte(' ')
		if a == "" || strings.ContainsAny(a, " \t\n\"'|&;<>()") {
			b.WriteByte('\'')
			b.WriteString(strings.ReplaceAll(a, "'", `'\''`))
			b.WriteByte('\'')
		} else {
			b.WriteString(a)
		}
	}
	return b.String()
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
