package cmdexe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

func budget() *dialect.Budget { return &dialect.Budget{Steps: 1 << 20, Bytes: 1 << 20} }

// show writes a command in one line: its words, a word with blanks in brackets,
// then redirections, what it reads, its marks and the command it is piped into.
func show(c dialect.Simple) string {
	var b strings.Builder
	for i, a := range c.Argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a == "" || strings.ContainsAny(a, " \t") {
			fmt.Fprintf(&b, "[%s]", a)
		} else {
			b.WriteString(a)
		}
	}
	for _, r := range c.Redirects {
		fmt.Fprintf(&b, " %s(%s)", r.Op, r.Target)
	}
	if c.Stdin != "" {
		fmt.Fprintf(&b, " stdin(%s)", c.Stdin)
	}
	for _, m := range c.Marks {
		fmt.Fprintf(&b, " #%s", m)
	}
	if c.Next >= 0 {
		fmt.Fprintf(&b, " |%d", c.Next)
	}
	return b.String()
}

func showAll(cmds []dialect.Simple) []string {
	var out []string
	for _, c := range cmds {
		out = append(out, show(c))
	}
	return out
}

var cases = []struct {
	text string
	want []string
}{
	// Plain.
	{`sc query`, []string{`sc query`}},
	{`sc  query`, []string{`sc query`}},
	{`  SC.exe query  `, []string{`SC.exe query`}},
	{`@sc query`, []string{`sc query`}},
	{`"sc" query`, []string{`sc query`}},
	{`"C:\Windows\System32\sc.exe" query`, []string{`C:\Windows\System32\sc.exe query`}},
	{`wmic.exe process /FORMAT:list`, []string{`wmic.exe process /FORMAT:list`}},
	{`"C:\Program Files\a b\x.exe" -q "c d"`, []string{`[C:\Program Files\a b\x.exe] -q [c d]`}},
	{``, nil},
	{` & & `, nil},
	// Carets.
	{`s^c q^uery`, []string{`sc query #caret`}},
	{`s^c  QuErY | find "x"`, []string{`sc QuErY #caret |1`, `find x`}},
	{`sc^ query`, []string{`sc query #caret`}},
	{`sc query "a^b"`, []string{`sc query a^b`}},
	{`echo a ^| b ^& c ^> d`, []string{`echo a | b & c > d`}},
	{`echo a^^b`, []string{`echo a^b`}},
	{"sc ^\nquery", []string{`sc query`}},
	{"sc ^\r\nquery", []string{`sc query`}},
	{`sc query^`, []string{`sc query`}},
	{`^^^`, []string{`^`}},
	// Quotes.
	{`s"c" query`, []string{`sc query #quote_split`}},
	{`sc q"uer"y`, []string{`sc query #quote_split`}},
	{`C:\"Program Files"\a.exe`, []string{`[C:\Program Files\a.exe]`}},
	{`sc query "a & b"`, []string{`sc query [a & b]`}},
	{`sc query "unbalanced & x`, []string{`sc query [unbalanced & x]`}},
	// Operators.
	{`sc query&net start`, []string{`sc query`, `net start`}},
	{`sc query && net start || tasklist /svc`, []string{`sc query`, `net start`, `tasklist /svc`}},
	{`sc query | findstr RUNNING | more`, []string{`sc query |1`, `findstr RUNNING |2`, `more`}},
	{`(sc query & net start) | findstr x`, []string{`sc query |2`, `net start |2`, `findstr x`}},
	{`((sc query))`, []string{`sc query`}},
	{`(sc query`, []string{`sc query`}},
	{`sc query)`, []string{`sc query)`}},
	{"sc query\nnet start\r\ntasklist", []string{`sc query`, `net start`, `tasklist`}},
	{`(
sc query
) & ver`, []string{`sc query`, `ver`}},
	// Redirections.
	{`net start >> %temp%\x.txt`, []string{`net start >>(C:\Users\User\AppData\Local\Temp\x.txt)`}},
	{`sc query >out.txt 2>&1`, []string{`sc query >(out.txt) 2>(&1)`}},
	{`sc query>out.txt`, []string{`sc query >(out.txt)`}},
	{`sc query 2>nul`, []string{`sc query 2>(nul)`}},
	{`sc query 1> \\127.0.0.1\C$\x 2>&1`, []string{`sc query >(\\127.0.0.1\C$\x) 2>(&1)`}},
	{`>out.txt sc query`, []string{`sc query >(out.txt)`}},
	{`sc >out.txt query`, []string{`sc query >(out.txt)`}},
	{`sc query > "a b.txt" & ver`, []string{`sc query >(a b.txt)`, `ver`}},
	{`sc query2>x`, []string{`sc query2 >(x)`}},
	{`sort < in.txt > out.txt`, []string{`sort <(in.txt) >(out.txt)`}},
	{`(sc query & net start) > x`, []string{`sc query >(x)`, `net start >(x)`}},
	{`sc query > x | more`, []string{`sc query >(x) |1`, `more`}},
	// Delimiters.
	{`,;sc query`, []string{`sc query #padding`}},
	{`sc,query`, []string{`sc query #padding`}},
	{`;=net;,start`, []string{`net start #padding`}},
	{`tasklist/svc`, []string{`tasklist /svc`}},
	{`mkdir,C:\x`, []string{`mkdir C:\x #padding`}},
	{`sc query state= all`, []string{`sc query state= all`}},
	{`,(sc query)`, []string{`sc query #padding`}},
	// Builtins that run others.
	{`call sc query`, []string{`sc query`}},
	{`call npm run x`, []string{`npm run x`}},
	{`call call npm`, []string{`npm #padding`}},
	{`call :label x & sc query`, []string{`sc query`}},
	{`start sc query`, []string{`sc query`}},
	{`start "" /b /min sc query`, []string{`sc query`}},
	{`start "my title" /wait /d "C:\a b" sc query x`, []string{`sc query x`}},
	{`start /min C:\Users\Public\KDECO.bat reg delete hkcu\Environment /v windir /f && REM \system32\x.exe`,
		[]string{`C:\Users\Public\KDECO.bat reg delete hkcu\Environment /v windir /f`}},
	{`start/b sc query`, []string{`sc query`}},
	{`start`, []string{`start`}},
	{`rem sc query & net start`, nil},
	{`rem & sc query`, []string{`sc query`}},
	{`:label sc query`, nil},
	{":l\nsc query", []string{`sc query`}},
	{`@echo off & sc query`, []string{`echo off`, `sc query`}},
	// if.
	{`if exist x sc query`, []string{`sc query`}},
	{`if not exist "a b" (sc query) else (net start)`, []string{`sc query`, `net start`}},
	{`if exist x (sc query) else if exist y (net start) else tasklist`, []string{`sc query`, `net start`, `tasklist`}},
	{`if a==b sc query`, []string{`sc query`}},
	{`if "%os%"=="Windows_NT" sc query & ver`, []string{`sc query`, `ver`}},
	{`if /i not "a" == "b" sc query`, []string{`sc query`}},
	{`if errorlevel 1 sc query | more`, []string{`sc query |1`, `more`}},
	{`if 1 equ 1 (sc query) > x`, []string{`sc query >(x)`}},
	{`i^f defined x sc query`, []string{`sc query`}},
	// for.
	{`for %i in (1) do sc query`, []string{`sc query`}},
	{`for %%i in (Spooler dhcp) do sc query %%i`, []string{`sc query Spooler`, `sc query dhcp`}},
	{`for %x in (sc) do %x query`, []string{`sc query`}},
	{`for %i in (*.txt) do type %i`, []string{`type %i`}},
	{`for /f %i in ('sc query') do echo %i`, []string{`sc query`, `echo %i`}},
	{`for /f "tokens=2 delims=:" %a in ('sc query ^| findstr SERVICE_NAME') do sc qc %a`,
		[]string{`sc query |1`, `findstr SERVICE_NAME`, `sc qc %a`}},
	{"for /f \"usebackq tokens=*\" %a in (`net start`) do echo %a", []string{`net start`, `echo %a`}},
	{`for /f "tokens=*" %i in ('echo sc query') do %i`, []string{`echo sc query`, `sc query`}},
	{`for /f "tokens=1,2 delims=," %a in ("sc,query") do %a %b`, []string{`sc query`}},
	{`for /l %i in (1,1,2) do ping 10.0.0.%i`, []string{`ping 10.0.0.1`, `ping 10.0.0.2`}},
	{`for /d %i in (C:\*) do (sc query & echo %i)`, []string{`sc query`, `echo %i`}},
	{`for /f "delims=s\ tokens=4" %a in ('set^|findstr PSM') do %a`,
		[]string{`set |1`, `findstr PSM`, `PowerShell`}},
	{`for /f "tokens=2 delims==" %f in ('assoc .cmd') do echo %f`, []string{`assoc .cmd`, `echo cmdfile`}},
	{`for /l %i in (1,1,3) do (sc query & sc qc %i | more)`,
		[]string{`sc query`, `sc qc 1 |2`, `more`, `sc qc 2 |4`, `more`, `sc qc 3 |6`, `more`}},
	{`for %i in (a b) do echo %i | cmd`, []string{`echo a |1`, `cmd stdin(a)`, `echo b |3`, `cmd stdin(b)`}},
	// Variables.
	{`%x:~0,1%c query`, []string{`%x:~0,1%c query`}},
	{`set x=sc&&call %x% query`, []string{`set x=sc`, `sc query #variable`}},
	{`set x=sc&&call %^x% query`, []string{`set x=sc`, `sc query #caret #variable`}},
	{`set "a=s"&set "b=c"&%a%%b% query`, []string{`set a=s`, `set b=c`, `sc query #variable`}},
	{`set q=query&sc %q%`, []string{`set q=query`, `sc query`}},
	{`%COMSPEC% /c dir`, []string{`C:\Windows\system32\cmd.exe /c dir`}},
	{`%SystemRoot%\System32\sc.exe query`, []string{`C:\Windows\System32\sc.exe query`}},
	{`%%SYSTEMROOT%%\system32\sc.exe query`, []string{`C:\Windows\system32\sc.exe query`}},
	{`%UNKNOWN%\x %1 100%`, []string{`%UNKNOWN%\x %1 100%`}},
	{`s%comspec:~8,0%c query`, []string{`sc query #substring`}},
	{`%comspec:~11,1%c query`, []string{`sc query #substring`}},
	{`s%PUBLIC:~-2,1%c`, []string{`sic #substring`}},
	{`set c=sc query ^& net start&call %c%`, []string{`set c=sc query & net start`, `sc query #variable`, `net start #variable`}},
	{`ne%pathext:~-1,1%`, []string{`neC #substring`}},
	{`%comspec:cmd=powershell% -c x`, []string{`C:\Windows\system32\powershell.exe -c x #substring`}},
	{`%comspec:*system32\=% /c x`, []string{`cmd.exe /c x #substring`}},
	{`%ProgramFiles:~ +3, 1%c`, []string{`Pc #substring`}},
	{`"%ProgramFiles(x86)%\a\b.exe" x`, []string{`[C:\Program Files (x86)\a\b.exe] x`}},
	{`set x=abcsc&call %x:~3% query`, []string{`set x=abcsc`, `sc query #substring #variable`}},
	{`set x=sabc&call %x:ab=% query`, []string{`set x=sabc`, `sc query #substring #variable`}},
	// Delayed expansion.
	{`setlocal enabledelayedexpansion & set x=sc& !x! query`, []string{`setlocal enabledelayedexpansion`, `set x=sc`, `sc query #delayed_var #variable`}},
	// Standard input.
	{`echo sc query | cmd`, []string{`echo sc query |1`, `cmd stdin(sc query)`}},
	{`echo sc query|cmd.exe /q`, []string{`echo sc query |1`, `cmd.exe /q stdin(sc query)`}},
	{`(echo sc query& echo net start)|cmd`, []string{`echo sc query |2`, `echo net start |2`, "cmd stdin(sc query\nnet start)"}},
	{`<nul set /p x="sc query"|cmd`, []string{`set /p [x=sc query] <(nul) |1`, `cmd stdin(sc query)`}},
	{`echo.sc query|cmd`, []string{`echo sc query |1`, `cmd stdin(sc query)`}},
	{`echo sc query | (rem & cmd)`, []string{`echo sc query |1`, `cmd stdin(sc query)`}},
	{`sc query | cmd`, []string{`sc query |1`, `cmd`}},
	// As recorded.
	{`node setup_bun.js`, []string{`node setup_bun.js`}},
	{`powershell -c "irm bun.sh/install.ps1|iex"`, []string{`powershell -c [irm bun.sh/install.ps1|iex]`}},
	{`copy /Y C:\Windows\system32\rundll32.exe %%TEMP%%\out.exe > nul && %%TEMP%%\out.exe javascript:x`,
		[]string{`copy /Y C:\Windows\system32\rundll32.exe C:\Users\User\AppData\Local\Temp\out.exe >(nul)`, `C:\Users\User\AppData\Local\Temp\out.exe javascript:x`}},
	{`reg query HKLM\SYSTEM\CurrentControlSet\Services /s > %TMP%\s.txt & type %TMP%\s.txt`,
		[]string{`reg query HKLM\SYSTEM\CurrentControlSet\Services /s >(C:\Users\User\AppData\Local\Temp\s.txt)`, `type C:\Users\User\AppData\Local\Temp\s.txt`}},
}

func TestParse(t *testing.T) {
	for _, tt := range cases {
		got, err := Parse(tt.text, Options{}, budget())
		if err != nil && !strings.HasPrefix(tt.text, "(sc query") {
			t.Errorf("Parse(%q): %v", tt.text, err)
		}
		if diff := cmp.Diff(tt.want, showAll(got)); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestParseDelayed(t *testing.T) {
	// Rounds of a loop repeat the set, so it is the last command that counts.
	tests := []struct{ text, last string }{
		{`set x=sc&&!x! query`, `sc query #delayed_var #variable`},
		{`set x=csq&&!x:~1,1!!x:~0,1! query`, `sc query #substring #delayed_var #variable`},
		{`!comspec! /c x`, `C:\Windows\system32\cmd.exe /c x #delayed_var`},
		{`echo wow!`, `echo wow!`},
		// A command put together letter by letter in a for loop.
		{`set u=scquery &&for %A in (0 1 7 2 3 4 5 6 1337) do set f=!f!!u:~%A,1!&& if %A==1337 call %f:~-8%`, `sc query #substring #variable`},
		{`set r=yreuq cs&for /l %A in (7 -1 0) do set f=!f!!r:~%A,1!&if %A==0 call %f:~-8%`, `sc query #substring #variable`},
	}
	for _, tt := range tests {
		got, err := Parse(tt.text, Options{DelayedExpansion: true}, budget())
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.text, err)
		}
		if n := len(got); n == 0 || show(got[n-1]) != tt.last {
			t.Errorf("Parse(%q) = %q, want to end in %q", tt.text, showAll(got), tt.last)
		}
	}
}

func TestParseEnv(t *testing.T) {
	got, err := Parse(`%Foo% query %FOO:~1%`, Options{Env: map[string]string{"fOO": "sc"}}, budget())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`sc query c #substring`}, showAll(got)); diff != "" {
		t.Error(diff)
	}
}

func TestLineAndRaw(t *testing.T) {
	tests := []struct{ text, line, raw string }{
		{`s^c query "a b" > x & ver`, `sc query "a b"`, `s^c query "a b" > x`},
		{`"sc" query`, `"sc" query`, `"sc" query`},
		{`%systemroot%\sc.exe query "x"`, `C:\Windows\sc.exe query "x"`, `%systemroot%\sc.exe query "x"`},
		{`ver & s%comspec:~8,0%c query`, `ver`, `ver`},
		{`cmd /c "sc query ""a b"""`, `cmd /c "sc query ""a b"""`, `cmd /c "sc query ""a b"""`},
	}
	for _, tt := range tests {
		got, err := Parse(tt.text, Options{}, budget())
		if err != nil || len(got) == 0 {
			t.Fatalf("Parse(%q) = %v, %v", tt.text, got, err)
		}
		if got[0].Line != tt.line || got[0].Raw != tt.raw {
			t.Errorf("Parse(%q): line %q raw %q, want %q and %q", tt.text, got[0].Line, got[0].Raw, tt.line, tt.raw)
		}
	}
	got, _ := Parse(`%os% & s%comspec:~8,0%c %os% & x`, Options{}, budget())
	if len(got) != 3 || got[1].Raw != `s%comspec:~8,0%c %os%` || got[2].Raw != "x" {
		t.Errorf("spans of expanded text: %+v", got)
	}
}

func TestBounds(t *testing.T) {
	deep := strings.Repeat("(", 40) + "sc query" + strings.Repeat(")", 40) + " & net start"
	got, err := Parse(deep, Options{}, budget())
	if err == nil || !strings.Contains(err.Error(), "16 deep") {
		t.Errorf("deep parentheses: error %v", err)
	}
	if diff := cmp.Diff([]string{"sc query", "net start"}, showAll(got)); diff != "" {
		t.Errorf("deep parentheses: %s", diff)
	}
	// Doubling a variable forty times must not.
	blow := "set a=xxxxxxxx" + strings.Repeat("&set a=%a%%a%", 40) + "&sc query"
	b := &dialect.Budget{Steps: 1 << 16, Bytes: 1 << 16}
	got, err = Parse(blow, Options{}, b)
	if err == nil {
		t.Error("doubling variables: no error")
	}
	if n := len(got); n == 0 || show(got[n-1]) != "sc query" {
		t.Errorf("doubling variables: the last command is lost: %q", showAll(got))
	}
	got, err = Parse("sc query & net start & ver", Options{}, &dialect.Budget{Steps: 2, Bytes: 10})
	if err == nil || len(got) != 2 {
		t.Errorf("small budget: %q, %v", showAll(got), err)
	}
	if _, err := Parse("sc query", Options{}, &dialect.Budget{}); err == nil {
		t.Error("empty budget: no error")
	}
	// Rounds may run out, but not before each body was read once.
	got, err = Parse(`for /l %i in (1,1,99999) do rem&rem x
for %i in (1) do sc query`, Options{}, budget())
	if err == nil || len(got) != 1 || show(got[0]) != "sc query" {
		t.Errorf("rounds run out: %q, %v", showAll(got), err)
	}
	// A sweep is one finding, and a program that comes late in it another.
	got, _ = Parse(`for /l %i in (1,1,200) do ping 10.0.0.%i & if %i==100 sc query`, Options{}, budget())
	if len(got) != emittedRounds+1 || got[emittedRounds].Argv[0] != "sc" {
		t.Errorf("sweep: %q", showAll(got))
	}
}

var adversarial = map[string]func(n int) string{
	"parens":       func(n int) string { return strings.Repeat("(", n) + "x" + strings.Repeat(")", n) },
	"open parens":  func(n int) string { return strings.Repeat("(", n) },
	"carets":       func(n int) string { return strings.Repeat("^", n) },
	"caret words":  func(n int) string { return strings.Repeat("^ ", n/2) },
	"quotes":       func(n int) string { return strings.Repeat(`"`, n) },
	"odd quotes":   func(n int) string { return strings.Repeat(`a"b`, n/3) },
	"percents":     func(n int) string { return strings.Repeat("%", n) },
	"percent refs": func(n int) string { return "set a=b" + strings.Repeat("%a%", n/3) },
	"own refs":     func(n int) string { return "set a=b&" + strings.Repeat("%a%", n/3) },
	"own refs &":   func(n int) string { return "set a=b" + strings.Repeat("&%a%", n/4) },
	"comspec":      func(n int) string { return strings.Repeat("%comspec:~1,2%&", n/15) },
	"replace":      func(n int) string { return strings.Repeat("%pathext:a=b%", n/13) },
	"pipes":        func(n int) string { return strings.Repeat("echo a|", n/7) },
	"nested pipes": func(n int) string { return strings.Repeat("echo a|(", n/8) },
	"redirects":    func(n int) string { return "(x" + strings.Repeat("&x", n/4) + ")" + strings.Repeat(">x", n/4) },
	"for":          func(n int) string { return strings.Repeat("for %i in (1) do ", n/17) },
	"for /l":       func(n int) string { return strings.Repeat("for /l %i in (1,1,99) do ", n/25) + "x" },
	"many for":     func(n int) string { return strings.Repeat("for /l %i in (1,1,99) do x\n", n/27) },
	"for /f":       func(n int) string { return strings.Repeat("for /f %i in ('", n/15) },
	"if":           func(n int) string { return strings.Repeat("if a==b ", n/8) },
	"else":         func(n int) string { return strings.Repeat("if a==b (x) else ", n/17) },
	"call":         func(n int) string { return strings.Repeat("call ", n/5) },
	"call start":   func(n int) string { return strings.Repeat("call start ", n/11) + "%x" },
	"start":        func(n int) string { return strings.Repeat(`start "" `, n/9) },
	"delims":       func(n int) string { return strings.Repeat(",;=", n/3) },
	"ampersands":   func(n int) string { return strings.Repeat("&", n) },
	"rem":          func(n int) string { return strings.Repeat("rem a&", n/6) },
	"delayed":      func(n int) string { return "set a=b&" + strings.Repeat("!a!", n/3) },
	"doubling":     func(n int) string { return "set a=b" + strings.Repeat("&set a=%a%%a%", n/13) },
	"words":        func(n int) string { return strings.Repeat("a ", n/2) },
	"big body":     func(n int) string { return "for /l %i in (1,1,999) do (" + strings.Repeat("x&", n/2) + ")" },
	"big bodies": func(n int) string {
		return strings.Repeat("for /l %i in (1,1,999) do ", 8) + "(" + strings.Repeat("x&", n/2) + ")"
	},
	"set vars": func(n int) string { return strings.Repeat("set a=b&call %a%&", n/17) },
}

// TestLinear holds that sixteen times the input costs no more than some sixty
// times the time; a quadratic step would cost 256 times.
func TestLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: that time grows linearly with adversarial input")
	}
	cost := func(text string) time.Duration {
		best := time.Hour
		for range 3 {
			b := &dialect.Budget{Steps: 1 << 18, Bytes: 1 << 20}
			start := cputime.Start()
			if _, err := Parse(text, Options{DelayedExpansion: true}, b); err != nil {
				_ = err // many of these texts are wrong; only time matters here
			}
			best = min(best, start.Took())
		}
		return best
	}
	for name, gen := range adversarial {
		small, large := cost(gen(8<<10)), cost(gen(128<<10))
		if large > 64*small && large > 500*time.Millisecond {
			t.Errorf("%s: %v for 8 KiB, %v for 128 KiB", name, small, large)
		}
		t.Logf("%-14s %10v %10v", name, small, large)
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range cases {
		f.Add(tt.text, false)
	}
	f.Add("for /f \"\xfetokens=*\" %i in ('echo sc", false)
	f.Add(`set u=scquery &&for %A in (0 1 7) do set f=!f!!u:~%A,1!&& if %A==1337 call %f:~-8%`, true)
	f.Fuzz(func(t *testing.T, text string, delayed bool) {
		b := &dialect.Budget{Steps: 1 << 14, Bytes: 1 << 18}
		cmds, err := Parse(text, Options{DelayedExpansion: delayed}, b)
		_ = err // any text may be wrong
		for i, c := range cmds {
			if len(c.Argv) == 0 || c.Argv[0] == "" {
				t.Fatalf("command %d of %q has no program", i, text)
			}
			if c.Next != -1 && (c.Next <= i || c.Next >= len(cmds)) {
				t.Fatalf("command %d of %q is piped into %d of %d", i, text, c.Next, len(cmds))
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"plain", `"C:\Program Files\Vendor Company\Some Agent\bin\agent-worker.exe" --config "C:\ProgramData\Vendor\agent.yaml" --log-level info --once`},
		{"pipeline", `s^c  query type= service state= all | findstr /i "SERVICE_NAME DISPLAY_NAME STATE" >> %temp%\services.txt 2>nul & net start && tasklist /svc /fo csv`},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bud := dialect.Budget{Steps: 1 << 16, Bytes: 1 << 16}
				if _, err := Parse(bm.text, Options{}, &bud); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
