package variants

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

var windows = language{name: "windows", platform: evidence.Windows, spellings: cmdSpellings, wrappings: cmdWrappings, records: windowsRecords, bases: flatten(
	asks("sc", "all", "sc query", "sc queryex", "sc query state= all", "sc query state=all", "sc query type= service", "sc queryex type= service state= inactive", "sc query type= driver", "sc query bufsize= 100000 ri= 0", `sc query group= ""`),
	asksOf("dc01", "sc", "all", `sc \\dc01 query`, `sc \\dc01 queryex type= service state= all`),
	asks("sc one", "single", "sc query Spooler", `sc query "Print Spooler"`, "sc queryex WinDefend", "sc qc WinDefend", "sc qc WinDefend 5000", "sc qdescription Spooler", "sc qfailure Spooler", "sc qfailureflag Spooler", "sc qsidtype Spooler", "sc qprivs Spooler",
		"sc qtriggerinfo Spooler", "sc qpreferrednode Spooler", "sc qprotection WinDefend", "sc sdshow Spooler", "sc sdshow scmanager", "sc showsid Spooler", "sc enumdepend RpcSs", `sc GetKeyName "Print Spooler"`, "sc GetDisplayName Spooler"),
	asksOf("dc01", "sc one", "single", `sc \\dc01 qc Spooler`),
	asks("net", "all", "net start", "net1 start"),
	asks("tasklist", "all", "tasklist /svc", "TASKLI~1 /svc", "tasklist -svc", "tasklist /m /svc", "tasklist /svc /fo csv /nh", `tasklist /svc /fi "STATUS eq running"`, `tasklist /svc /fi "imagename eq svchost.exe"`),
	asksOf("srv09", "tasklist", "all", "tasklist /s srv09 /svc", "tasklist /S srv09 /U dom\\adm /P pw /SVC"),
	asks("tasklist one", "single", `tasklist /svc /fi "IMAGENAME eq mstsc.exe"`, `tasklist /svc /fi "PID eq 4"`, `tasklist /fi "SERVICES eq Spooler"`),
	asks("wmic", "all", "wmic service", "wmic service list brief", "wmic service get name,displayname,pathname,startmode", "wmic service get /format:list", "wmic path win32_service get name", "wmic sysdriver list brief", "wmic loadorder get name",
		"wmic /namespace:\\\\root\\cimv2 path Win32_Service get Name,State", `wmic service where "state='running'" get name`, `wmic service where (startmode="auto") get name,state`),
	asksOf("srv08", "wmic", "all", "wmic /node:srv08 service get name", `wmic /node:"srv08" /user:a /password:b service list brief`),
	asks("wmic one", "single", "wmic service where name='Spooler' get state", `wmic service where (caption like "%Spooler%")`, `wmic service where "name like 'win%'" get pathname`),
	asks("registry", "registry", `reg query HKLM\SYSTEM\CurrentControlSet\Services`, `reg query "HKLM\SYSTEM\CurrentControlSet\Services" /s`, `reg query HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Services /s /v ImagePath`, `reg export HKLM\SYSTEM\CurrentControlSet\Services s.reg`,
		`reg save HKLM\SYSTEM\CurrentControlSet\Services s.hiv`, `regedit /e s.reg HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services`),
	asksOf("srv07", "registry", "registry", `reg query \\srv07\HKLM\SYSTEM\CurrentControlSet\Services`),
	asks("registry one", "single", `reg query HKLM\SYSTEM\CurrentControlSet\Services\Spooler`, `reg query HKLM\SYSTEM\CurrentControlSet\Services\WinDefend /v Start`),
	asks("drivers", "driver", "driverquery", "DRIVER~1 /v", "driverquery /v", "driverquery /si /fo list"), asksOf("srv06", "drivers", "driver", "driverquery /s srv06 /v"),
	asks("sysinternals", "all", "psservice", "psservice64 -accepteula query", "autorunsc -accepteula -a s"), asksOf("srv05", "sysinternals", "all", `psservice \\srv05 query`),
	asks("sysinternals one", "single", "psservice query Spooler", "psservice config Spooler"),
	asks("permissions", "acl", "accesschk -ucqv *", `accesschk.exe /accepteula -uwcqv "Authenticated Users" *`, `accesschk64 -kvuqsw hklm\System\CurrentControlSet\Services`),
	asks("tasks", "schtasks", "schtasks", "schtasks /query", "schtasks /query /fo LIST /v", `schtasks /query /tn "\Microsoft\Windows\x"`),
	asks("tools", "tool", "winPEASx64.exe servicesinfo", `C:\Users\Public\Seatbelt.exe -group=all`, "SharpUp.exe audit"),
	isNot("acting", "net start Spooler", `net start "Print Spooler"`, "net stop Spooler", "net stop Spooler /y", "net pause Spooler", "net continue Spooler", "sc start Spooler", "sc stop Spooler", "sc config Spooler start= auto", `sc create evil binPath= C:\x.exe start= auto`,
		"sc delete evil", "sc failure Spooler reset= 0 actions= restart/60000", "sc description Spooler text", "sc sdset Spooler D:(A;;GA;;;WD)", "sc control Spooler 200", "sc pause Spooler", `sc \\dc01 create evil binPath= C:\x.exe`, `sc \\dc01 start evil`, "sc lock", "sc boot ok",
		"wmic service where name='vss' call stopservice", `wmic service where "name='vss'" call ChangeStartMode Manual`, "wmic service where name='x' delete", "wmic service call create x", "schtasks /create /tn x /tr y /sc daily", "schtasks /run /tn x", "schtasks /delete /tn x /f", "schtasks /end /tn x",
		"schtasks /change /tn x /disable", `reg add HKLM\SYSTEM\CurrentControlSet\Services\x /v Start /d 4`, `reg delete HKLM\SYSTEM\CurrentControlSet\Services\x /f`, `reg import services.reg`, "psservice stop Spooler", "psservice restart Spooler"),
	isNot("naming", "echo sc query", "echo net start", "title net start", "rem sc query", "where sc", "where /r c:\\ sc.exe", `findstr /c:"sc query" log.txt`, `find "net start" history.txt`, `findstr /i services c:\windows\system32\drivers\etc\services`, "type services.txt",
		`type C:\Windows\System32\drivers\etc\services`, `dir C:\services`, `dir "C:\Program Files\Common Files\Services"`, `cd C:\services`, `notepad C:\services\sc query.txt`, `copy sc.exe C:\Temp\`, `git commit -m "sc query"`, `git log --grep "net start"`, "code sc.md", "choco install services",
		`"C:\Program Files\Services\agent.exe" --query`, `C:\services\sc-monitor.exe query`, "netstart.exe", "sc2.exe query", "services.msc", "del winPEASx64.exe", "copy winPEAS.bat C:\\Temp", "notepad PowerUp.ps1", "echo winPEAS.bat", "certutil -hashfile winPEASx64.exe", "mmc services.msc", "help sc", "help net start", `msg * "net start"`, "set x=sc query", "echo sc query > notes.bat", "md services", `explorer C:\Windows\System32\Services`),
	isNot("neighbours", "sc", "sc /?", "sc query /?", "net", "net user", "net view", "net use", "net localgroup administrators", "net start /?", "net help start", "net statistics workstation", "net config server", "tasklist", "tasklist /v", "tasklist /m", "tasklist /?", `tasklist /fi "IMAGENAME eq cmd.exe"`, "wmic process list brief",
		"wmic os get caption", "wmic useraccount get name", "wmic qfe list", "wmic product get name", "driverquery /?", `reg query HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run`, `reg query HKLM\SYSTEM\CurrentControlSet\Control\Lsa`, `reg query HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters`,
		"schtasks /?", `accesschk -q C:\Windows`, "ipconfig /all", "systeminfo", "qprocess *", "query user", "netsh advfirewall show allprofiles", "netstat -ano", "whoami /all", "nltest /dclist:x", "dsquery computer", "svchost.exe -k netsvcs -p -s Schedule", "taskkill /f /im x.exe", "pnputil /enum-drivers"),
)}

// internal reports cmd's own commands, which are no files.
func internal(word string) bool {
	switch strings.ToLower(word) {
	case "echo", "title", "rem", "type", "dir", "cd", "copy", "set", "md", "call", "start", "for", "if":
		return true
	}
	return false
}

func windowsProgram(f func(word, rest string) string) func(string) string {
	return func(s string) string {
		word, rest := splitWord(s)
		if internal(word) || strings.ContainsAny(word, `\"`) {
			return ""
		}
		return f(word, rest)
	}
}

func programName(word string) string { return strings.TrimSuffix(word, ".exe") }

var cmdSpellings = []change{
	rewrite("upper case", func(s string) string { return upperWords(s) }),
	rewrite("mixed case", func(s string) string {
		word, rest := splitWord(s)
		return mixedCase(word) + rest
	}),
	rewrite(".exe", windowsProgram(func(word, rest string) string {
		if strings.HasSuffix(word, ".msc") {
			return ""
		}
		return programName(word) + ".exe" + rest
	})),
	rewrite("double blank", func(s string) string { return strings.Replace(s, " ", "  ", 1) }),
	rewrite("full path", windowsProgram(func(word, rest string) string { return `C:\Windows\System32\` + programName(word) + ".exe" + rest })),
	rewrite("quoted full path", windowsProgram(func(word, rest string) string {
		if strings.Contains(rest, `"`) {
			return ""
		}
		return `"C:\Program Files\x\..\..\Windows\System32\` + programName(word) + `.exe"` + rest
	})),
	rewrite("forward slashes", windowsProgram(func(word, rest string) string {
		if strings.Contains(rest, `"`) {
			return ""
		}
		return `"C:/Windows/SysWOW64/` + programName(word) + `.EXE"` + rest
	})),
	rewrite("relative path", windowsProgram(func(word, rest string) string { return `..\..\Windows\System32\` + programName(word) + rest })),
	rewrite("%SystemRoot%", windowsProgram(func(word, rest string) string {
		return `%SystemRoot%\system32\` + programName(word) + ".exe" + rest
	})),
	rewrite("UNC path", windowsProgram(func(word, rest string) string {
		return `\\?\C:\Windows\System32\` + programName(word) + ".exe" + rest
	})),
	rewrite("caret", insideWord("^")).hiding(hidden),
	rewrite("carets all over", func(s string) string {
		if strings.ContainsAny(s, `"%`) {
			return ""
		}
		return "^" + strings.Join(strings.Split(s, ""), "^")
	}).hiding(hidden),
	rewrite("split quotes", insideWord(`""`)).hiding(hidden),
	rewrite("quoted letter", windowsProgram(func(word, rest string) string { return word[:1] + `"` + word[1:2] + `"` + word[2:] + rest })).hiding(hidden),
	rewrite("quoted program", windowsProgram(func(word, rest string) string {
		if strings.Contains(rest, `"`) {
			return "" // cmd /c would take the first quote with the last one
		}
		return `"` + word + `"` + rest
	})),
	rewrite("substring of a variable", func(s string) string {
		// %COMSPEC% is C:\Windows\System32\cmd.exe: letters to be had from it.
		word, rest := splitWord(s)
		const from = `C:\Windows\system32\cmd.exe`
		for i := range len(word) {
			if at := strings.IndexByte(from, word[i]); at >= 0 && word[i] != ':' && word[i] != '\\' {
				return word[:i] + "%COMSPEC:~" + itoa(at) + ",1%" + word[i+1:] + rest
			}
		}
		return ""
	}).hiding(hidden),
	rewrite("commas for blanks", func(s string) string {
		word, rest := splitWord(s)
		if rest == "" || internal(word) || strings.ContainsAny(word, `\"`) {
			return ""
		}
		return ",;" + word + "," + rest
	}).hiding(hidden),
	around("output dropped", "%s 2>nul"),
	rewrite("@", func(s string) string { return "@" + s }),
}

func upperWords(s string) string {
	// What the tools take literally (names, patterns) stays.
	word, rest := splitWord(s)
	return strings.ToUpper(word) + rest
}

func itoa(n int) string {
	if n > 9 {
		return string(rune('0'+n/10)) + string(rune('0'+n%10))
	}
	return string(rune('0' + n))
}

// inCmd is around for cmd.exe, whose quotes do not nest.
func inCmd(name, format string) change {
	c := around(name, format)
	apply := c.apply
	c.apply = func(l line) (line, bool) {
		if l.shape == compound && strings.Contains(l.text, `"`) || strings.Contains(l.text, `\"`) {
			return l, false
		}
		return apply(l)
	}
	return c
}

// before puts text before a command line.
func before(name, text string) change {
	return change{name: name, apply: func(l line) (line, bool) {
		return line{text: text + l.text}, l.shape == simple
	}}
}

// program is before for what starts a program itself, which cmd's own commands
// are not.
func program(name, text string) change {
	return change{name: name, apply: func(l line) (line, bool) {
		word, _ := splitWord(l.text)
		ok := l.shape == simple && !internal(strings.TrimLeft(word, "@,;")) && !strings.ContainsAny(l.text, "^%") && !strings.ContainsAny(l.text[:1], "@,") && !strings.HasPrefix(l.text, "cmd/c")
		return line{text: text + l.text}, ok
	}}
}

// word gives a program a whole command line as one of its words.
func word(name, format string) change {
	return change{name: name, apply: func(l line) (line, bool) {
		// cmd.exe would end the quotes at an escaped one, and see operators behind it.
		ok := !strings.Contains(l.text, `"`) || !strings.ContainsAny(l.text, "&|<>()")
		return line{text: strings.Replace(format, "%s", windowsQuote("cmd /c "+l.text), 1)}, ok
	}}
}

var cmdWrappings = []change{
	before("cmd /c", "cmd /c "), before("cmd.exe /Q /C", "cmd.exe /Q /C "), before("cmd /d /s /k", "cmd /d /k "), before("cmd/c", "cmd/c"), before("%COMSPEC%", "%COMSPEC% /c "), before("nested cmd", "cmd /c cmd /c cmd /c "), before("cmd /r", `C:\Windows\System32\cmd.exe /r `),
	inCmd("cmd /c quoted", `C:\Windows\System32\cmd.exe /c "%s"`), inCmd("cmd /s /c", `cmd /d /s /c "%s"`), inCmd("and", `cmd /c "cd \ && %s"`), inCmd("sequence", `cmd /c "whoami & %s & ipconfig"`), inCmd("or", `cmd /c "ver>nul || %s"`), inCmd("piped", `cmd /c "%s | findstr /i run"`),
	inCmd("parentheses", `cmd /c "(%s)"`), inCmd("if", `cmd /c "if 1==1 (%s)"`), inCmd("if exist", `cmd /c "if exist C:\Windows (%s) else (ver)"`), inCmd("for", `cmd /c "for %a in (1 2) do %s"`), inCmd("for /l", `cmd /c "for /l %i in (1,1,2) do (%s)"`),
	inCmd("for /f", `cmd /c "for /f "tokens=1,2" %a in ('%s') do @rem %a"`), inCmd("call", `cmd /c "call %s"`), inCmd("start", "cmd /c start /b %s"), inCmd("start title", `cmd /c start "" /min %s`),
	inCmd("written to a file", `cmd /c "%s > %TEMP%\s.txt"`).noisy(), inCmd("smbexec", `C:\Windows\system32\cmd.exe /Q /c %s 1> \\127.0.0.1\ADMIN$\__1699 2>&1`).noisy(),
	{name: "echo | cmd", apply: func(l line) (line, bool) {
		return line{text: "echo " + l.text + " | cmd", shape: compound}, l.shape == simple
	}},
	{name: "echo | cmd in cmd", apply: func(l line) (line, bool) {
		return line{text: `cmd /c "echo ` + l.text + `|cmd /q"`, shape: compound}, l.shape == simple
	}},
	{name: "batch file", apply: func(l line) (line, bool) {
		return line{text: `cmd /Q /c echo ` + l.text + ` > C:\Windows\TEMP\execute.bat & cmd.exe /Q /c C:\Windows\TEMP\execute.bat & del C:\Windows\TEMP\execute.bat`, shape: compound}, l.shape == simple && !strings.ContainsAny(l.text, "^%")
	}},
	{name: "set and call", hides: hidden, apply: func(l line) (line, bool) {
		word, rest := splitWord(l.text)
		return line{text: `cmd /c "set q=` + word + `&&call %q%` + rest + `"`, shape: compound}, l.shape == simple && !strings.ContainsAny(l.text, `^"%@,`)
	}},
	{name: "delayed variable", hides: hidden, apply: func(l line) (line, bool) {
		word, rest := splitWord(l.text)
		return line{text: `cmd /v:on /c "set q=` + word + `&&!q!` + rest + `"`, shape: compound}, l.shape == simple && !strings.ContainsAny(l.text, `^"%@,!`)
	}},
	{name: "variable in pieces", hides: hidden, apply: func(l line) (line, bool) {
		word, rest := splitWord(l.text)
		if len(word) < 2 {
			return l, false
		}
		return line{text: `cmd /v /c "set a=` + word[:1] + `&set b=` + word[1:] + `&call %a%%b%` + rest + `"`, shape: compound}, l.shape == simple && !strings.ContainsAny(l.text, `^"%@,!`)
	}},
	program("winrs", "winrs -r:srv01 -u:adm -p:pw ").on("srv01"), program("psexec", `psexec \\srv02 -accepteula -s `).on("srv02"), before("psexec cmd", `PsExec64.exe -accepteula \\srv02 -u dom\adm -p pw cmd /c `).on("srv02"), program("paexec", `paexec \\srv03 -s `).on("srv03"),
	word("wmic process", "wmic process call create %s").hiding(open), word("wmic remote process", `wmic /node:"srv04" /user:a process call create %s`).on("srv04"), word("runas", `runas /user:dom\adm /savecred %s`), word("forfiles", `forfiles /p C:\Windows /m notepad.exe /c %s`),
	program("runas program", "runas /netonly /user:dom\\adm "), before("conhost", "conhost.exe --headless cmd /c "), before("pcalua", "pcalua.exe -a cmd.exe -c /c "), program("scriptrunner", "ScriptRunner.exe -appvscript "), program("start word", "start /wait "),
	{name: "powershell", apply: func(l line) (line, bool) {
		return line{text: `powershell -NoProfile -Command ` + windowsQuote(powershellCall(l.text))}, l.shape == simple && powershellCall(l.text) != ""
	}},
	{name: "powershell cmd", apply: func(l line) (line, bool) {
		return line{text: `powershell -nop -c ` + windowsQuote("cmd /c "+powershellQuote(l.text))}, !strings.Contains(l.text, `"`)
	}},
	{name: "powershell -enc cmd", hides: hidden, apply: func(l line) (line, bool) {
		return line{text: "powershell -nop -ec " + encodedCommand("cmd.exe /c "+powershellQuote(l.text))}, true
	}},
	{name: "Start-Process", apply: func(l line) (line, bool) {
		word, rest := splitWord(l.text)
		return line{text: `powershell -c "Start-Process ` + word + ` -ArgumentList ` + powershellQuote(strings.TrimSpace(rest)) + ` -NoNewWindow"`}, rest != "" && l.shape == simple && !internal(word) && !strings.ContainsAny(l.text, `"^%,@`)
	}},
	{name: "Invoke-WmiMethod", apply: func(l line) (line, bool) {
		return line{text: `powershell -c "Invoke-WmiMethod -Class Win32_Process -Name Create -ArgumentList ` + powershellQuote("cmd /c "+l.text) + `"`}, !strings.Contains(l.text, `"`)
	}},
	{name: "Invoke-CimMethod", remote: "srv05b", apply: func(l line) (line, bool) {
		return line{text: `powershell -c "Invoke-CimMethod -ComputerName srv05b -ClassName Win32_Process -MethodName Create -Arguments @{CommandLine=` + powershellQuote("cmd /c "+l.text) + `}"`}, !strings.Contains(l.text, `"`)
	}},
	{name: "wsl", apply: func(l line) (line, bool) {
		word, rest := splitWord(l.text)
		return line{text: "wsl " + programName(word) + ".exe" + rest}, l.shape == simple && !internal(word) && !strings.ContainsAny(l.text, "\\\"^%@,'*()<>|&;$")
	}},
	{name: "mshta", apply: func(l line) (line, bool) {
		return line{text: `mshta vbscript:CreateObject("WScript.Shell").Run("cmd /c ` + l.text + `",0)(window.close)`}, !strings.ContainsAny(l.text, `"`)
	}},
	{name: "rundll32", apply: func(l line) (line, bool) {
		return line{text: "rundll32.exe zipfldr.dll,RouteTheCall cmd /c " + l.text}, l.shape == simple && !strings.ContainsAny(l.text, `"^%@`)
	}},
}

// powershellCall writes a simple command of cmd.exe as PowerShell, where the two
// mean the same.
func powershellCall(s string) string {
	word, rest := splitWord(s)
	if internal(word) || strings.ContainsAny(s, "\"^%@,;()*'") {
		return ""
	}
	switch strings.ToLower(word) {
	case "where", "sc": // aliases in PowerShell
		word += ".exe"
	case "find", "help":
		return ""
	}
	return word + rest
}

// originals are version resources that differ from the program's name.
var originals = map[string]string{"driverquery": "drvqry.exe", "powershell": "PowerShell.EXE", "cmd": "Cmd.Exe", "schtasks": "sctasks.exe", "psexec": "psexec.c", "tasklist": "tasklist.exe", "wmic": "wmic.exe", "sc": "sc.exe", "net": "net.exe", "net1": "net1.exe", "reg": "reg.exe"}

var windowsRecords = []change{
	{name: "Sysmon", apply: func(l line) (line, bool) { return recorded(l, `C:\Windows\System32\`, true, " ") }},
	{name: "child of cmd", apply: func(l line) (line, bool) { return recorded(l, `C:\Windows\System32\`, true, "  ") }},
	{name: "4688", apply: func(l line) (line, bool) { return recorded(l, `C:\Windows\SysWOW64\`, false, "  ") }},
	{name: "renamed", hides: open, loud: true, apply: func(l line) (line, bool) {
		word, rest := splitWord(l.text)
		l, ok := recorded(l, "", true, " ")
		if _, known := originals[programName(word)]; !known || !ok || programName(word) == "cmd" {
			return l, false
		}
		l.path, l.text = `C:\Users\Public\update.exe`, "update.exe"+rest
		return l, true
	}},
}

// recorded is a process as Windows logs it: its image, and what cmd.exe leaves
// between a child's name and its arguments.
func recorded(l line, dir string, version bool, blank string) (line, bool) {
	word, rest := splitWord(l.text)
	name := programName(word)
	if l.shape != simple || internal(word) || strings.ContainsAny(word, "\\/\"^%@,;()'") || strings.Contains(strings.TrimSuffix(word, ".exe"), ".") || strings.ContainsAny(l.text, "%^|") {
		return l, false
	}
	l.path = dir + name + ".exe"
	l.text = word + blank + strings.TrimLeft(rest, " ")
	if version {
		l.original = originals[strings.ToLower(name)]
	}
	return l, true
}
