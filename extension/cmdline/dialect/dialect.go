// Package dialect holds what every command language's parser returns: the
// simple commands a piece of text runs, with what the text did to hide them.
package dialect

// Simple is one simple command: a program, function or cmdlet with its words.
type Simple struct {
	// Argv are the words after quoting and expansion. Argv[0] is the program,
	// function or cmdlet; a static method call of PowerShell is one word such as
	// "[System.ServiceProcess.ServiceController]::GetServices".
	Argv []string
	// Line is the command line as a child receives it where the language hands
	// its children text instead of words (cmd.exe); empty otherwise.
	Line string
	// Redirects are the redirections to and from files.
	Redirects []Redirect
	// Stdin is text known to arrive on standard input (a here-document, a
	// literal that is piped in); empty when unknown.
	Stdin string
	// Members are methods called on what the command returns, in lower case
	// ("stopservice" for (gwmi win32_service).StopService()).
	Members []string
	// Next is the index of the command its output is piped into, or -1.
	Next int
	// Marks are the ways the text hid this command.
	Marks []Mark
	// Raw is the span of the text, for people.
	Raw string
}

// Redirect is one redirection.
type Redirect struct {
	Op     string // ">", ">>", "<", "2>", "&>", "<<<"
	Target string
}

// Mark names one way of hiding a command.
type Mark string

// The marks a dialect can set. Each is something ordinary use does not need.
const (
	Caret        Mark = "caret"         // cmd.exe: s^c
	Backtick     Mark = "backtick"      // PowerShell: Get-Se`rvice
	QuoteSplit   Mark = "quote_split"   // s"c" query, 'sys''temctl', "" inside a word
	Concat       Mark = "concat"        // 'Get-'+'Service', -join, -f, -replace, [char]
	Substring    Mark = "substring"     // %VAR:~a,b%, ${x:0:3}, 'abc'[0]
	Variable     Mark = "variable"      // a program named through a variable set in the same text
	IFS          Mark = "ifs"           // ${IFS} in place of blanks
	Escape       Mark = "escape"        // \s\y\s, $'\x73', letters escaped without need
	Encoded      Mark = "encoded"       // base64 or hex that was decoded
	Reversed     Mark = "reversed"      // rev, [array]::Reverse, 'ecivres'[-1..-9]
	DelayedVar   Mark = "delayed_var"   // cmd.exe /v:on and !x!
	InvokeString Mark = "invoke_string" // iex, eval, . or & of a computed string
	Padding      Mark = "padding"       // ",;=" in place of blanks, empty parentheses, call call
	Homoglyph    Mark = "homoglyph"     // Unicode look-alikes folded to ASCII
)

// Budget bounds the work of one command line over all nested parsers. The zero
// value has nothing left.
type Budget struct {
	Steps int // words, tokens and loop rounds
	Bytes int // bytes produced by expansion and decoding
}

// Spend takes steps and bytes off the budget and reports whether that much was
// left; once it was not, the budget stays empty.
func (b *Budget) Spend(steps, bytes int) bool {
	if b.Steps < steps || b.Bytes < bytes {
		b.Steps, b.Bytes = 0, 0
		return false
	}
	b.Steps -= steps
	b.Bytes -= bytes
	return true
}

// AddMark adds m to marks once.
func AddMark(marks []Mark, m Mark) []Mark {
	for _, have := range marks {
		if have == m {
			return marks
		}
	}
	return append(marks, m)
}
