package cmdline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// last is the command a command line comes down to.
func last(t *testing.T, in cmdline.Input) cmdline.Command {
	t.Helper()
	res := cmdline.Parse(in)
	if len(res.Commands) == 0 {
		t.Fatalf("%q runs nothing: %v", in.Text, res.Issues)
	}
	return res.Commands[len(res.Commands)-1]
}

func windows(text string) cmdline.Input {
	return cmdline.Input{Text: text, Platform: evidence.Windows}
}

func linux(text string) cmdline.Input {
	return cmdline.Input{Text: text, Platform: evidence.Linux}
}

// audited is what Linux' audit makes of words: joined by blanks.
func audited(path string, words ...string) cmdline.Input {
	return cmdline.Input{Text: strings.Join(words, " "), Path: path, ArgsJoined: true, Platform: evidence.Linux}
}

func TestFacts(t *testing.T) {
	for _, c := range []struct {
		in                           cmdline.Input
		canonical, verb, target      string
		remote, wrappers, user, from string
	}{
		// What is asked, of whom.
		{in: windows(`sc \\dc01 query Spooler`), canonical: `sc \\dc01 query Spooler`, verb: "query", target: "Spooler", remote: "dc01"},
		{in: windows(`wmic /node:"srv01" service get name`), canonical: `wmic /node:srv01 service get name`, verb: "get", remote: "srv01"},
		{in: windows(`wmic /node:"127.0.0.1" service get name`), canonical: `wmic /node:127.0.0.1 service get name`, verb: "get"},
		{in: windows(`tasklist /s srv01 /u a /p b /svc`), canonical: "tasklist /s srv01 /u a /p b /svc", verb: "svc", remote: "srv01"},
		{in: windows(`tasklist /svc /fi "PID eq 4"`), canonical: `tasklist /svc /fi 'PID eq 4'`, verb: "svc", target: "4"},
		{in: windows(`tasklist /svc /fi PID eq 4`), canonical: `tasklist /svc /fi PID eq 4`, verb: "svc", target: "4"},
		{in: windows(`tasklist /svc /fi "imagename eq svchost.exe"`), canonical: `tasklist /svc /fi 'imagename eq svchost.exe'`, verb: "svc"},
		{in: windows(`reg query \\srv\HKLM\SYSTEM\ControlSet001\Services\x`), canonical: `reg query \\srv\HKLM\SYSTEM\ControlSet001\Services\x`, verb: "query", target: "x", remote: "srv"},
		{in: windows(`powershell gsv -cn dc01`), canonical: "get-service -cn dc01", remote: "dc01", wrappers: "powershell"},
		{in: linux("systemctl -H root@db1 -t service"), canonical: "systemctl -H root@db1 -t service", verb: "list-units", remote: "db1", user: "root"},
		{in: linux("/etc/init.d/ssh status"), canonical: "service ssh status", verb: "status", target: "ssh"},
		{in: linux("crontab -lu al"), canonical: "crontab -lu al", verb: "list", user: "al"},
		// Who runs it.
		{in: windows(`psexec \\a -u x\y -p z cmd /c sc query`), canonical: "sc query", verb: "query", remote: "a", wrappers: "psexec cmd", user: `x\y`},
		{in: windows(`psexec -s \\?\C:\Windows\System32\sc.exe query`), canonical: "sc query", verb: "query", wrappers: "psexec"},
		{in: windows(`winrs -r:https://h1:5986 -u:a sc query`), canonical: "sc query", verb: "query", remote: "h1", wrappers: "winrs", user: "a"},
		{in: windows(`runas /user:x "cmd /c sc query \"Print Spooler\""`), canonical: "sc query 'Print Spooler'", verb: "query", target: "Print Spooler", wrappers: "runas cmd", user: "x"},
		{in: windows(`forfiles /p C:\Windows\System32 /m sc.exe /c "cmd /c @file query"`), canonical: "sc query", verb: "query", wrappers: "forfiles cmd"},
		{in: windows(`pcalua -a sc.exe -c query`), canonical: "sc query", verb: "query", wrappers: "pcalua"},
		{in: windows(`rundll32 zipfldr.dll,RouteTheCall sc query`), canonical: "sc query", verb: "query", wrappers: "rundll32"},
		{in: windows(`powershell Start-Process sc.exe -ArgumentList 'query','state=all' -WindowStyle Hidden`), canonical: "sc query state=all", verb: "query", wrappers: "powershell start-process"},
		{in: windows(`wsl -u root -- systemctl list-timers`), canonical: "systemctl list-timers", verb: "list-timers", wrappers: "wsl"},
		{in: linux("sudo -u web sh -c 'systemctl -H root@db1 list-units'"), canonical: "systemctl -H root@db1 list-units", verb: "list-units", remote: "db1", wrappers: "sudo sh", user: "root"},
		{in: linux("sudo -nu web -- systemctl"), canonical: "systemctl", verb: "list-units", wrappers: "sudo", user: "web"},
		{in: linux("sudo -l"), canonical: "sudo -l"},
		{in: linux("command -v systemctl"), canonical: "command -v systemctl"},
		{in: linux("env -S 'systemctl list-units'"), canonical: "systemctl list-units", verb: "list-units", wrappers: "env"},
		{in: linux("ssh -p 22 al@web9 systemctl status nginx"), canonical: "systemctl status nginx", verb: "status", target: "nginx", remote: "web9", wrappers: "ssh", user: "al"},
		{in: linux("ssh web9 <<E\nsystemctl\nE"), canonical: "systemctl", verb: "list-units", remote: "web9", wrappers: "ssh"},
		{in: linux("docker exec -u 0 web grep -- x /etc/hosts"), canonical: "grep -- x /etc/hosts", verb: "x", wrappers: "docker", user: "0"},
		{in: linux("kubectl exec pod -c app -- systemctl"), canonical: "systemctl", verb: "list-units", wrappers: "kubectl"},
		{in: linux("ansible web -m shell -a 'systemctl list-units'"), canonical: "systemctl list-units", verb: "list-units", remote: "web", wrappers: "ansible"},
		{in: linux("runuser -l al -c 'systemctl list-units'"), canonical: "systemctl list-units", verb: "list-units", wrappers: "runuser", user: "al"},
		{in: linux("runuser -u al -- stat -c %U /etc/init.d/x"), canonical: "stat -c %U /etc/init.d/x", wrappers: "runuser", user: "al"},
		{in: linux("flock /tmp/l -c 'systemctl list-units'"), canonical: "systemctl list-units", verb: "list-units", wrappers: "flock"},
		{in: linux("find / -maxdepth 0 -exec systemctl list-units ';'"), canonical: "find / -maxdepth 0 -exec systemctl list-units ';'"},
		{in: linux("vim -c ':!systemctl list-units'"), canonical: "systemctl list-units", verb: "list-units", wrappers: "vim"},
		{in: linux("/lib64/ld-linux-x86-64.so.2 /usr/bin/systemctl"), canonical: "systemctl", verb: "list-units", wrappers: "ld.so"},
		{in: windows(`at \\srv1 23:30 /every:M cmd /c sc query`), canonical: "sc query", verb: "query", remote: "srv1", wrappers: "at cmd"},
		{in: windows(`cmd /c echo service list brief | wmic`), canonical: "wmic service list brief", verb: "list", wrappers: "cmd"},
		{in: windows(`winrm e wmicimv2/Win32_Service -r:https://srv1:5986`), canonical: "winrm e wmicimv2/Win32_Service -r:https://srv1:5986", verb: "e", remote: "srv1"},
		{in: windows(`cscript //nologo C:\Windows\System32\winrm.vbs get wmicimv2/Win32_Service?Name=BITS`), canonical: "winrm get wmicimv2/Win32_Service?Name=BITS", verb: "get", target: "name=bits", wrappers: "cscript"},
		{in: windows(`powershell Get-WSManInstance wmicimv2/Win32_Service -ComputerName srv1 -Enumerate`), canonical: "get-wsmaninstance wmicimv2/Win32_Service -ComputerName srv1 -Enumerate", remote: "srv1", wrappers: "powershell"},
		{in: linux("salt 'web*' cmd.run 'systemctl list-units'"), canonical: "systemctl list-units", verb: "list-units", remote: "web*", wrappers: "salt"},
		{in: linux("supervisorctl -c /etc/s.conf status all"), canonical: "supervisorctl -c /etc/s.conf status all", verb: "status"},
		{in: linux("python3 -c 'import os; os.listdir(\"/etc/init.d\")'"), canonical: "ls /etc/init.d", wrappers: "python3"},
		{in: linux("osascript -e 'do shell script \"launchctl list\"'"), canonical: "launchctl list", verb: "list", wrappers: "osascript"},
		{in: linux("perl -e 'exec \"systemctl\", \"list-units\"'"), canonical: "systemctl list-units", verb: "list-units", wrappers: "perl"},
		{in: linux("systemctl -qat timer"), canonical: "systemctl -qat timer", verb: "list-units"},
		{in: linux("systemctl -aH al@db1 is-active web"), canonical: "systemctl -aH al@db1 is-active web", verb: "is-active", target: "web", remote: "db1", user: "al"},
		{in: linux("chkconfig --level 35 web"), canonical: "chkconfig --level 35 web", verb: "check", target: "web"},
		{in: linux("chkconfig web off"), canonical: "chkconfig web off", target: "web,off"},
		{in: linux("net rpc service list --server=srv1 -U 'a%b' -W x"), canonical: "net rpc service list --server=srv1 -U a%b -W x", verb: "list", remote: "srv1"},
		{in: linux("net -S srv1 rpc service status BITS"), canonical: "net -S srv1 rpc service status BITS", verb: "status", target: "BITS", remote: "srv1"},
		{in: linux(`ubus call service list '{"name": "web"}'`), canonical: `ubus call service list '{"name": "web"}'`, verb: "list", target: `{"name": "web"}`},
		{in: linux("impacket-services -k corp/al:pw@srv1 list"), canonical: "impacket-services -k corp/al:pw@srv1 list", remote: "srv1"},
		{in: linux("nxc smb srv1 -u al -p pw -x 'sc query'"), canonical: "nxc smb srv1 -u al -p pw -x 'sc query'", remote: "srv1"},
		{in: linux("ansible -i hosts web -m service_facts"), canonical: "ansible -i hosts web -m service_facts", remote: "web"},
		{in: linux("pdsh -w 'db[1-3],web1' systemctl list-units"), canonical: "systemctl list-units", verb: "list-units", remote: "db[1-3]", wrappers: "pdsh"},
		{in: linux("tmux new -d -s x 'systemctl list-units'"), canonical: "systemctl list-units", verb: "list-units", wrappers: "tmux"},
		{in: linux("tmux attach -t x"), canonical: "tmux attach -t x"},
		{in: linux("vagrant ssh db -c 'systemctl list-units'"), canonical: "systemctl list-units", verb: "list-units", wrappers: "vagrant"},
		{in: linux("gcloud compute ssh vm1 --zone z --command='systemctl list-units'"), canonical: "systemctl list-units", verb: "list-units", wrappers: "gcloud"},
		{in: linux("gcloud services list"), canonical: "gcloud services list"},
		{in: windows(`plink -batch -pw x -P 2222 al@web9 systemctl list-units`), canonical: "systemctl list-units", verb: "list-units", remote: "web9", wrappers: "plink", user: "al"},
		{in: windows(`wt -w 0 nt -p Admin sc query`), canonical: "sc query", verb: "query", wrappers: "wt"},
		{in: windows(`sqlcmd -S db1,1433 -Q "exec master..xp_cmdshell 'echo it''s & sc query BITS'"`), canonical: "sc query BITS", verb: "query", target: "BITS", remote: "db1", wrappers: "sqlcmd"},
		{in: windows(`sqlcmd -Q "select 1"`), canonical: "sqlcmd -Q 'select 1'"},
		{in: windows(`mshta vbscript:Execute("Set s=GetObject(""winmgmts:"").InstancesOf(""Win32_Service""):close")`), canonical: `mshta 'vbscript:Execute(Set s=GetObject("winmgmts:").InstancesOf("Win32_Service"):close)'`},
		{in: windows(`powershell "& $env:windir\System32\sc.exe query"`), canonical: "sc query", verb: "query", wrappers: "powershell"},
		{in: windows(`powershell "$d='C:\x'; & $d\y.exe a"`), canonical: "y a", wrappers: "powershell"},
		{in: windows(`powershell "(New-Object -ComObject Shell.Application).IsServiceRunning('BITS')"`), canonical: "get-service BITS", target: "BITS", wrappers: "powershell"},
		{in: windows(`powershell "[wmiclass]'\\srv1\root\cimv2:Win32_Service.Name=''a.b'''"`), canonical: `[wmiclass] '\\srv1\root\cimv2:Win32_Service.Name='\''a.b'\'''`, target: "name='a.b", remote: "srv1", wrappers: "powershell"},
		{in: windows(`winrm enumerate wmicimv2/Win32_Service?State=Running+StartMode=Auto`), canonical: "winrm enumerate wmicimv2/Win32_Service?State=Running+StartMode=Auto", verb: "enumerate"},
		{in: windows(`py -3 -c "import subprocess; print(subprocess.check_output(['sc','query']))"`), canonical: "sc query", verb: "query", wrappers: "py"},
		{in: windows(`python -c "import wmi; print([s.Name for s in wmi.WMI().Win32_Service()])"`), canonical: "get-service", wrappers: "python"},
		{in: linux(`osascript -l JavaScript -e 'app.doShellScript("launchctl list")'`), canonical: "launchctl list", verb: "list", wrappers: "osascript"},
		{in: windows(`powershell "[Diagnostics.Process]::Start('cmd.exe','/c sc query')"`), canonical: "sc query", verb: "query", wrappers: "powershell process cmd"},
		{in: windows(`powershell "[Diagnostics.Process]::Start($x)"`), canonical: "[diagnostics.process] $x", verb: "start", wrappers: "powershell"},
		{in: windows(`powershell "(New-Object -ComObject WScript.Shell).Run('net start',0)"`), canonical: "net start", verb: "start", wrappers: "powershell start-process"},
		{in: windows(`powershell "$s=New-Object -Com WScript.Shell; $s.Exec('\"C:\Windows\System32\sc.exe\" query').StdOut.ReadAll()"`), canonical: "sc query", verb: "query", wrappers: "powershell start-process"},
		{in: windows(`powershell "$m.Document.ActiveView.ExecuteShellCommand('sc.exe',$null,'query','7')"`), canonical: "sc query", verb: "query", wrappers: "powershell start-process"},
		{in: windows(`powershell "$m.Document.Application.ShellExecute('cmd.exe','/c sc query','C:\',$null,0)"`), canonical: "sc query", verb: "query", wrappers: "powershell start-process cmd"},
		// Quoting that a source has lost.
		{in: audited("/usr/bin/bash", "bash", "-c", "systemctl list-units --all"), canonical: "systemctl list-units --all", verb: "list-units", wrappers: "bash"},
		{in: audited("/usr/bin/bash", "bash", "-c", "echo 'a; systemctl list-units'"), canonical: "echo 'a; systemctl list-units'", wrappers: "bash"},
		{in: audited("/usr/bin/sudo", "sudo", "sh", "-c", "cd /x;systemctl list-units"), canonical: "systemctl list-units", verb: "list-units", wrappers: "sudo sh", user: "root"},
		{in: audited("/usr/bin/su", "su", "-c", "systemctl list-units", "root"), canonical: "systemctl list-units", verb: "list-units", wrappers: "su", user: "root"},
		{in: audited("/usr/bin/script", "script", "-qc", "systemctl list-units", "/dev/null"), canonical: "systemctl list-units", verb: "list-units", wrappers: "script"},
		{in: audited("/usr/bin/dash", "/bin/sh", "/usr/sbin/service", "ssh", "status"), canonical: "service ssh status", verb: "status", target: "ssh", wrappers: "sh"},
		{in: audited("/usr/bin/dash", "/bin/sh", "/etc/init.d/ssh", "status"), canonical: "service ssh status", verb: "status", target: "ssh", wrappers: "sh"},
		{in: audited("/usr/bin/find", "find", "/", "-name", "*.service", "-exec", "sh", "-c", "cat {}", ";"), canonical: "find / -name *.service -exec sh -c cat {} ';'"},
		// Quoting that a source has kept, exactly.
		{in: cmdline.Input{Text: `perl -e 'system('\''systemctl list-units'\'')'`, Path: "/usr/bin/perl", Platform: evidence.Linux}, canonical: "systemctl list-units", verb: "list-units", wrappers: "perl"},
		{in: cmdline.Input{Text: "'sh' -c 'systemctl list-units' root", Path: "/usr/bin/dash", Platform: evidence.Linux}, canonical: "systemctl list-units", verb: "list-units", wrappers: "sh"},
		// Scripts that the same command line writes.
		{in: windows(`cmd /c echo sc query > %TEMP%\x.bat & %TEMP%\x.bat`), canonical: "sc query", verb: "query", wrappers: "cmd x.bat"},
		{in: linux("echo 'systemctl list-units' > /tmp/x; sh /tmp/x"), canonical: "systemctl list-units", verb: "list-units", wrappers: "sh x"},
		{in: linux("echo 'systemctl list-units' > /tmp/x; sh /tmp/y"), canonical: "sh /tmp/y"},
		// Pipelines.
		{in: linux("cat /etc/init.d/x | grep start | wc -l"), canonical: "wc -l", from: "grep start, cat /etc/init.d/x"},
		{in: windows(`powershell -c "icm -cn h1 { gsv; gps }; gsv"`), canonical: "get-service", wrappers: "powershell"},
		{in: windows(`powershell -c "icm -cn h1 { gsv; gps }"`), canonical: "get-process", remote: "h1", wrappers: "powershell"},
		{in: linux("ps aux | sort"), canonical: "sort", from: "ps aux"},
		{in: windows(`powershell -c "ps | sort Name"`), canonical: "sort-object Name", from: "get-process", wrappers: "powershell"},
	} {
		got := last(t, c.in)
		type facts struct{ Canonical, Verb, Target, Remote, Wrappers, User, From string }
		want := facts{c.canonical, c.verb, c.target, c.remote, c.wrappers, c.user, c.from}
		have := facts{got.Canonical, got.Verb, strings.Join(got.Target, ","), got.RemoteHost, strings.Join(got.Wrappers, " "), got.AsUser, strings.Join(got.PipedFrom, ", ")}
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.in.Text, d)
		}
	}
}

func TestMarks(t *testing.T) {
	for _, c := range []struct {
		in   cmdline.Input
		want string
	}{
		{windows(`cmd /c "s^c query"`), "caret"},
		{windows(`cmd /c s""c query`), "quote_split"},
		{windows(`cmd /c "for /f %a in ('s^c query state^= all ^| find "x"') do @echo %a"`), "caret"},
		{windows(`cmd /c "for /f %a in ('sc query state^= all ^| find "x"') do @echo %a"`), ""},
		{windows(`echo s^c query | cmd`), "caret"},
		{cmdline.Input{Text: `s"c"  query`, Path: `C:\Windows\System32\sc.exe`, Platform: evidence.Windows}, "quote_split"},
		{cmdline.Input{Text: `wmic service where name="x" get state`, Path: `C:\Windows\System32\wbem\WMIC.exe`, Platform: evidence.Windows}, ""},
		{windows(`cmd /v:on /c "set a=sc&!a! query"`), "delayed_var"},
		{windows("powershell -enc RwBlAHQALQBTAGUAcgB2AGkAYwBlAA=="), "encoded"},
		{windows("powershell -c \"Get-Se`rvice\""), "backtick"},
		{windows(`powershell -c "iex 'Get-Service'"`), "invoke_string"},
		{linux(`s""ystemctl`), "quote_split"},
		{linux(`sh -c "systemctl is-active web | grep -E "^act""`), ""},
		{linux(`\systemctl`), ""},
		{linux(`timeout 5 \systemctl`), ""},
		{linux(`timeout 5 s$@ystemctl`), "variable"},
		{linux(`a=s;b=ystemctl;$a$b list-units`), "variable"},
		{linux(`systemctl${IFS}list-units`), "ifs"},
		{linux("echo c3lzdGVtY3Rs | base64 -d | sh"), "encoded"},
		{linux("sudo env A=b systemctl list-units | grep x > /tmp/y"), ""},
	} {
		res := cmdline.Parse(c.in)
		var marks []dialect.Mark
		for _, cmd := range res.Commands {
			switch cmd.Tool {
			case "sc", "systemctl", "get-service", "wmic":
				marks = append(marks, cmd.Obfuscation...)
			}
		}
		slices.Sort(marks)
		marks = slices.Compact(marks)
		if got := strings.Trim(fmt.Sprint(marks), "[]"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s is marked %q, want %q", c.in.Text, got, c.want)
		}
	}
}

func TestRenamedImages(t *testing.T) {
	for _, c := range []struct {
		path, original, text, tool string
		renamed                    bool
	}{
		{`C:\Users\Public\a.exe`, "sc.exe", "a.exe query", "sc", true},
		{`C:\Windows\System32\sc.exe`, "sc.exe", "sc  query", "sc", false},
		{`C:\Windows\System32\net1.exe`, "net1.exe", "net1  start", "net", false},
		{`C:\x\psservice64.exe`, "psservice.exe", "psservice64 query", "psservice", false},
		{`C:\Windows\System32\driverquery.exe`, "drvqry.exe", "driverquery", "driverquery", false},
		{`C:\x\d.exe`, "drvqry.exe", "d /v", "driverquery", true},
		{`C:\x\s.exe`, "sctasks.exe", "s /query", "schtasks", true},
		{`C:\x\notepad.exe`, "NOTEPAD.EXE", "notepad x", "notepad", false},
		{`C:\x\sc.exe`, "-", "sc query", "sc", false},
		{`C:\x\sc.exe`, "evil.exe", "sc query", "sc", false},
	} {
		got := last(t, cmdline.Input{Text: c.text, Path: c.path, OriginalFileName: c.original, Platform: evidence.Windows})
		if got.Tool != c.tool || got.Renamed != c.renamed {
			t.Errorf("%s with %s: tool %q, renamed %v", c.path, c.original, got.Tool, got.Renamed)
		}
	}
	if got := last(t, cmdline.Input{Text: "a query", Path: `C:\x\ps.exe`, OriginalFileName: "psexec.c", Platform: evidence.Windows}); got.Tool == "" {
		t.Error("a renamed PsExec runs nothing")
	}
}

func TestPlatformIsGuessed(t *testing.T) {
	for _, c := range []struct{ path, text, tool, verb string }{
		{"/usr/bin/systemctl", "systemctl", "systemctl", "list-units"},
		{`C:\Windows\System32\sc.exe`, "sc  query", "sc", "query"},
		{"", "tasklist /svc", "tasklist", "svc"},
		{"", `cmd /c "s^c query"`, "sc", "query"},
		{"", "Get-Service", "get-service", ""},
		{"", "sudo systemctl list-units", "systemctl", "list-units"},
		{"", "launchctl list", "launchctl", "list"},
		{"", "powershell -c gsv", "get-service", ""},
	} {
		if got := last(t, cmdline.Input{Text: c.text, Path: c.path}); got.Tool != c.tool || got.Verb != c.verb {
			t.Errorf("%s: tool %q verb %q", c.text, got.Tool, got.Verb)
		}
	}
}

func TestDirectories(t *testing.T) {
	for _, c := range []struct {
		in   cmdline.Input
		want string
	}{
		{cmdline.Input{Text: "ls -l", CWD: "/etc/init.d", Path: "/bin/ls", Platform: evidence.Linux}, "/etc/init.d"},
		{cmdline.Input{Text: "cat x", CWD: "/etc/init.d", Path: "/bin/cat", Platform: evidence.Linux}, "/etc/init.d/x"},
		{linux("cd /etc && cd systemd && ls system/"), "/etc/systemd/system"},
		{linux("cd /etc; (cd init.d; ls)"), "/etc/init.d"},
		{linux("ls /etc/../etc//init.d/./"), "/etc/init.d"},
		{linux("for f in /etc/init.d/*; do cat $f; done"), "/etc/init.d/*"},
		{windows(`powershell -c "cd HKLM:\SYSTEM\CurrentControlSet; ls Services"`), `hklm\system\currentcontrolset\services`},
		{windows(`accesschk -k HKEY_LOCAL_MACHINE\SYSTEM\ControlSet002\Services`), `hklm\system\currentcontrolset\services`},
	} {
		if got := last(t, c.in); len(got.Paths) != 1 || got.Paths[0] != c.want {
			t.Errorf("%s: paths %q, want %q", c.in.Text, got.Paths, c.want)
		}
	}
}

func TestOutputAndWindow(t *testing.T) {
	for _, c := range []struct {
		in     cmdline.Input
		file   string
		hidden bool
	}{
		{in: windows(`cmd /c sc query > C:\Temp\s.txt`), file: `C:\Temp\s.txt`},
		{in: windows("sc query > nul")},
		{in: windows(`wmic /output:C:\s.txt service list`), file: `C:\s.txt`},
		{in: windows(`reg export HKLM\SYSTEM\CurrentControlSet\Services s.reg`), file: "s.reg"},
		{in: windows(`powershell -w hidden -c "Get-Service"`), hidden: true},
		{in: windows(`powershell -c "Get-Service | Out-File -Encoding ascii s.txt"`), file: "s.txt"},
		{in: linux("systemctl 2>/dev/null")},
		{in: linux("systemctl list-units &> /tmp/u"), file: "/tmp/u"},
		{in: linux("systemctl | tee /tmp/u"), file: "/tmp/u"},
	} {
		got := cmdline.Parse(c.in).Commands[0]
		if got.OutputFile != c.file || got.HiddenWindow != c.hidden {
			t.Errorf("%s: file %q, hidden %v", c.in.Text, got.OutputFile, got.HiddenWindow)
		}
	}
}

// TestDocumentsOfWindows: what the script of a document runs and asks of WMI counts
// beside the program that shows it.
func TestDocumentsOfWindows(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`mshta vbscript:Execute("Set s=GetObject(""winmgmts:"").InstancesOf(""Win32_Service""):close")`, "get-wmiobject Win32_Service"},
		{`mshta "javascript:GetObject('winmgmts:').ExecQuery('select Name from Win32_Service');close()"`, "get-wmiobject -Query 'select Name from Win32_Service'"},
		{`rundll32 javascript:"\..\mshtml,RunHTMLApplication ";new ActiveXObject("WScript.Shell").Run("net start")`, "net start"},
		{`mshta "vbscript:CreateObject(""WScript.Shell"").Run(""cmd /c net start"",0)(window.close)"`, "net start"},
		{`mshta "javascript:o.ExecQuery('select Name from Win32_Service')"`, ""},
		{`rundll32 shell32.dll,Control_RunDLL timedate.cpl`, ""},
	} {
		res := cmdline.Parse(windows(c.text))
		var got []string
		for _, cmd := range res.Commands {
			if cmd.Tool != "mshta" && cmd.Tool != "rundll32" {
				got = append(got, cmd.Canonical)
			}
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}
