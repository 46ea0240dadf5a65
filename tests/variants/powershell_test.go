package variants

import (
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// powershell is text in PowerShell's own language: it needs a host around it.
var powershell = language{name: "powershell", platform: evidence.Windows, spellings: powershellSpellings, wrappings: powershellHosts, records: windowsRecords, needs: true, bases: flatten(
	asks("Get-Service", "all", "Get-Service", "gsv", "Get-Service *", "Get-Service -Name *", "Get-Service -Exclude a*", "Get-Service -RequiredServices"),
	asksOf("dc01", "Get-Service", "all", "Get-Service -ComputerName dc01", "gsv -cn dc01"),
	asks("Get-Service one", "single", "Get-Service Spooler", "Get-Service -Name WinDefend", "Get-Service -DisplayName 'Print Spooler'", "gsv win*", "Get-Service -Name Spooler,WinDefend"),
	asks("WMI", "all", "Get-WmiObject Win32_Service", "gwmi win32_service", "gwmi -Class Win32_Service -Property Name,PathName", "Get-CimInstance -ClassName Win32_Service", "gcim Win32_SystemDriver", "Get-WmiObject -Query 'select * from win32_service'",
		"Get-CimInstance -Query 'SELECT Name FROM Win32_Service WHERE StartMode = ''Auto'''", "Get-WmiObject -Class Win32_BaseService", "Get-WmiObject Win32_Service -Filter 'State=''Running'''"),
	asksOf("dc02", "WMI", "all", "Get-WmiObject Win32_Service -ComputerName dc02", "gcim -cn dc02 Win32_Service", "Get-CimInstance Win32_Service -CimSession dc02"),
	asks("WMI one", "single", "Get-WmiObject Win32_Service -Filter 'Name=''Spooler'''", "Get-CimInstance -Query 'select * from Win32_Service where Name=''x'''"),
	asks(".NET", "all", "[System.ServiceProcess.ServiceController]::GetServices()", "[ServiceProcess.ServiceController]::GetServices()", "[System.ServiceProcess.ServiceController]::GetDevices()"),
	asksOf("dc03", ".NET", "all", "[System.ServiceProcess.ServiceController]::GetServices('dc03')"),
	asks("registry", "registry", `Get-ChildItem HKLM:\SYSTEM\CurrentControlSet\Services`, `gci 'HKLM:\SYSTEM\CurrentControlSet\Services'`, `Get-ChildItem -Path HKLM:\SYSTEM\ControlSet001\Services -Recurse`, `dir HKLM:\System\CurrentControlSet\Services`,
		`Get-ItemProperty HKLM:\SYSTEM\CurrentControlSet\Services\*`, `gp 'Registry::HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\*'`, `Get-Acl REGISTRY::HKLM\SYSTEM\CurrentControlSet\Services\*`),
	asks("registry one", "single", `Get-ItemProperty HKLM:\SYSTEM\CurrentControlSet\Services\Spooler`, `Get-Item HKLM:\SYSTEM\CurrentControlSet\Services\Spooler`),
	asks("tasks", "schtasks", "Get-ScheduledTask", "Get-ScheduledTask -TaskPath '\\'"),
	asks("tools", "tool", "Invoke-AllChecks", "Get-UnquotedService", "Invoke-PrivescCheck -Extended", ". .\\PowerUp.ps1", "Import-Module .\\PrivescCheck.ps1"),
	asks("programs", "all", "sc.exe query", "net start", "tasklist /svc", "net.exe start", "& sc.exe query"),
	shaped(compound, flatten(
		asks("pipelines", "all", "Get-Service | Where-Object {$_.Status -eq 'Running'}", "gsv|?{$_.Name -like '*sql*'}", "(Get-Service).Name", "Get-WmiObject Win32_Service | Select-Object Name,PathName", "foreach ($s in Get-Service) { $s.Name }", "Get-Service | ForEach-Object { $_.DisplayName }",
			"$s = Get-Service; $s.Count", "([wmisearcher]'select name from win32_service').Get()", "Get-Service | Sort-Object Status | Format-Table -AutoSize"),
		asks("pipelines one", "single", "(Get-Service Spooler).Status", "if ((Get-Service Spooler).Status -eq 'Running') { 'up' }"),
		asks("registry", "registry", `cd HKLM:\SYSTEM\CurrentControlSet\Services; ls`, `Get-ChildItem HKLM:\SYSTEM\CurrentControlSet\Services | ForEach-Object { Get-ItemProperty $_.PSPath }`, `[Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('SYSTEM\CurrentControlSet\Services').GetSubKeyNames()`),
		isNot("acting", "Get-Service Spooler | Stop-Service", "Get-Service Spooler | Restart-Service -Force", "(Get-WmiObject Win32_Service -Filter 'Name=''x''').StopService()", "(gwmi win32_service -Filter 'name=''x''').Delete()", "Get-CimInstance Win32_Service -Filter 'Name=''x''' | Invoke-CimMethod -MethodName StopService"),
		isNot("naming", "'Get-Service' | Out-Null", "$x = 'Get-Service'", "Write-Host 'Get-Service'; exit", "Get-History | Select-String Get-Service", "Select-String -Pattern 'Get-Service' -Path x.ps1", "$h = @{ Name = 'Get-Service' }"),
	)),
	isNot("acting", "Start-Service Spooler", "Stop-Service -Name Spooler -Force", "Restart-Service Spooler", "Set-Service Spooler -StartupType Manual", "New-Service -Name evil -BinaryPathName C:\\x.exe", "Suspend-Service Spooler", "Remove-Service evil",
		`Set-ItemProperty HKLM:\SYSTEM\CurrentControlSet\Services\x -Name Start -Value 4`, `New-Item HKLM:\SYSTEM\CurrentControlSet\Services\x`, `Remove-Item HKLM:\SYSTEM\CurrentControlSet\Services\x`, "Register-ScheduledTask -TaskName x", "Start-ScheduledTask -TaskName x", "sc.exe start Spooler", "net start Spooler"),
	isNot("naming", "Get-Help Get-Service", "Get-Command Get-Service", "Write-Host 'Get-Service'", "Write-Output Get-Service", "echo Get-Service", "Get-Alias gsv", "man Get-Service", `Get-Content C:\Services\log.txt`, `Get-ChildItem C:\Services`, "Get-Module ServiceTools", "Test-Path C:\\Services", "Import-Module Service", "Remove-Item PowerUp.ps1", "Get-Content .\\PowerUp.ps1", "sc x.txt 'Get-Service'",
		`Set-Content -Path x.ps1 -Value 'Get-Service'`),
	isNot("neighbours", "Get-Process", "Get-WmiObject Win32_Process", "gcim Win32_OperatingSystem", "Get-WmiObject Win32_ComputerSystem", `Get-ChildItem HKLM:\SOFTWARE`, `Get-ItemProperty HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Run`, "Get-LocalUser", "Get-HotFix", "Get-NetTCPConnection",
		`Get-ItemProperty HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters`, "[System.Diagnostics.Process]::GetProcesses()", "Get-EventLog -List", "tasklist /v", "net user"),
)}

// cmdlet is a rewrite of the first word where that is a command's name.
func cmdlet(name string, f func(word, rest string) string) change {
	return rewrite(name, func(s string) string {
		word, rest := splitWord(s)
		if strings.ContainsAny(word, "[$&'(.`") || word == "" || len(word) < 3 {
			return ""
		}
		return f(word, rest)
	})
}

var powershellSpellings = []change{
	rewrite("mixed case", func(s string) string { word, rest := splitWord(s); return mixedCase(word) + rest }),
	rewrite("double blank", func(s string) string { return strings.Replace(s, " ", "   ", 1) }),
	cmdlet("backticks", func(word, rest string) string { return word[:1] + "`" + strings.ToUpper(word[1:2]) + word[2:] + rest }).hiding(hidden),
	cmdlet("called by name", func(word, rest string) string { return "& '" + word + "'" + rest }),
	cmdlet("dotted", func(word, rest string) string { return ". '" + word + "'" + rest }),
	cmdlet("concatenated", func(word, rest string) string { return "& ('" + word[:2] + "'+'" + word[2:] + "')" + rest }).hiding(hidden),
	cmdlet("-f", func(word, rest string) string { return "&('{1}{0}'-f'" + word[2:] + "','" + word[:2] + "')" + rest }).hiding(hidden),
	cmdlet("-join", func(word, rest string) string {
		return "& (('" + strings.Join(strings.Split(word, ""), "','") + "') -join '')" + rest
	}).hiding(hidden),
	cmdlet("[char]", func(word, rest string) string {
		return fmt.Sprintf("& ([char]%d+'%s')%s", word[0], word[1:], rest)
	}).hiding(hidden),
	cmdlet("-replace", func(word, rest string) string {
		return "& ('" + word[:2] + "QQ" + word[2:] + "' -replace 'QQ','')" + rest
	}).hiding(hidden),
	cmdlet("variable", func(word, rest string) string { return "$q='" + word + "'; & $q" + rest }).hiding(hidden),
	cmdlet("split quotes", func(word, rest string) string { return word[:1] + "''" + word[1:] + rest }).hiding(hidden),
	rewrite("iex", func(s string) string { return "iex " + powershellQuote(s) }).hiding(hidden),
	rewrite("| iex", func(s string) string { return powershellQuote(s) + " | Invoke-Expression" }).hiding(hidden),
	rewrite("iex concatenated", func(s string) string {
		cut := len(s) / 2
		return "IEX (" + powershellQuote(s[:cut]) + "+" + powershellQuote(s[cut:]) + ")"
	}).hiding(hidden),
	rewrite("iex from base64", func(s string) string {
		return "iex ([Text.Encoding]::Unicode.GetString([Convert]::FromBase64String('" + encodedCommand(s) + "')))"
	}).hiding(hidden),
	rewrite("[scriptblock]", func(s string) string {
		return "[scriptblock]::Create(" + powershellQuote(s) + ").Invoke()"
	}).hiding(either),
	around("script block", "& { %s }"), around("assigned", "$r = %s; $r"), around("if", "if ($true) { %s }"), around("try", "try { %s } catch { }"), around("foreach", "1..2 | ForEach-Object { %s }"), around("function", "function f { %s }; f"), around("piped", "%s | Format-List"),
	around("out-string", "$(%s | Out-String).Trim()"), around("start-job", "Start-Job -ScriptBlock { %s } | Out-Null"), around("sequence", "whoami; %s; hostname"), around("newlines", "whoami\n%s\nhostname"), around("to a file", `%s | Out-File C:\Temp\s.txt`).noisy(), around("redirected", `%s > C:\Temp\s.txt`).noisy(),
	around("Invoke-Command", "Invoke-Command -ComputerName srv11 -ScriptBlock { %s }").on("srv11"), around("icm", "icm -cn srv12 { %s }").on("srv12"),
}

// host starts PowerShell with the text as one quoted word.
func host(name, start string) change {
	return change{name: name, apply: func(l line) (line, bool) {
		return line{text: start + windowsQuote(l.text)}, true
	}}
}

var powershellHosts = []change{
	host("-Command", "powershell.exe -NoProfile -NonInteractive -Command "), host("-c", "powershell -c "), host("-C with policy", "powershell.exe -ExecutionPolicy Bypass -C "), host("/c", "powershell /c "), host("no switch", "powershell "), host("pwsh", "pwsh -nop -c "),
	host("64 bit", `"C:\Windows\SysNative\WindowsPowerShell\v1.0\powershell.exe" -nologo -command `), host("hidden window", "powershell -w hidden -nop -c ").noisy(), host("window style", "powershell -WindowStyle Hidden -Command ").noisy(), host("psexec", `psexec \\srv13 -s powershell -c `).on("srv13"),
	{name: "winrs", remote: "srv14", apply: func(l line) (line, bool) {
		return line{text: "winrs -r:srv14 powershell -c " + windowsQuote(l.text)}, !strings.Contains(l.text, "\n") // its cmd.exe stops there
	}},
	{name: "cmd", apply: func(l line) (line, bool) {
		return line{text: "cmd /c powershell -Command " + windowsQuote(l.text)}, !strings.Contains(l.text, "\n") // cmd.exe stops there
	}},
	{name: "bare words", apply: func(l line) (line, bool) {
		return line{text: "powershell.exe -nop " + l.text}, !strings.ContainsAny(l.text, "\"|&<>\n")
	}},
	encodedHost("-enc", "powershell -enc "), encodedHost("-e", "powershell -nop -w 1 -e ").noisy(), encodedHost("-ec", "powershell -ec "), encodedHost("-en", "powershell.exe -en "), encodedHost("-enco", "powershell -enco "), encodedHost("-EncodedCommand", "powershell.exe -NoP -EncodedCommand "), encodedHost("/e", "powershell /e "), encodedHost("pwsh -e", "pwsh -e "),
	encodedHost("-eNcOdEdC", "PoWeRsHeLl -eNcOdEdC "), encodedHost("en dash", "powershell –enc "),
	{name: "nested -enc", hides: hidden, apply: func(l line) (line, bool) {
		return line{text: "powershell -enc " + encodedCommand("powershell -enc "+encodedCommand(l.text))}, true
	}},
	{name: "-enc - in cmd", hides: hidden, apply: func(l line) (line, bool) {
		return line{text: `cmd /c "powershell -e ` + encodedCommand(l.text) + `"`}, true
	}},
	{name: "echo | powershell", apply: func(l line) (line, bool) {
		return line{text: `cmd /c "echo ` + l.text + ` | powershell -"`}, !strings.ContainsAny(l.text, "|&<>^%\"()\n")
	}},
	{name: "wmic", apply: func(l line) (line, bool) {
		return line{text: "wmic process call create " + windowsQuote("powershell -c "+l.text)}, !strings.ContainsAny(l.text, "\"|&<>\n")
	}},
}

func encodedHost(name, start string) change {
	return change{name: name, hides: hidden, apply: func(l line) (line, bool) {
		return line{text: start + encodedCommand(l.text)}, true
	}}
}
