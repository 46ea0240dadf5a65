// Package variants generates command lines from a grammar: every way of asking for
// services, every way of acting on them or merely naming them, under every way of
// wrapping and hiding. What each must be judged as is known by construction.
package variants

import (
	"encoding/base64"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// base is a command that a transformation is put around.
type base struct {
	text  string
	scope string // empty for what is no service discovery
}

// change is one way of writing a command.
type change struct {
	name   string
	hides  bool   // the verdict names it as obfuscated or encoded
	remote string // the host it makes the command's target
	apply  func(string) string
}

func plain(s string) string { return s }

func wrap(format string) func(string) string {
	return func(s string) string { return fmt.Sprintf(format, s) }
}

// encoded is PowerShell's base64 of UTF-16LE.
func encoded(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// inFirstWord puts something between the letters of the program's name.
func inFirstWord(s, what string) string {
	word, rest, _ := strings.Cut(s, " ")
	if len(word) < 2 {
		return s
	}
	out := word[:1] + what + word[1:]
	if rest != "" {
		out += " " + rest
	}
	return out
}

func firstUpper(s string) string {
	word, rest, found := strings.Cut(s, " ")
	if !found {
		return strings.ToUpper(word)
	}
	return strings.ToUpper(word) + " " + rest
}

var windows = []base{
	{"sc query", "all"}, {"sc queryex type= service state= all", "all"}, {`sc \\dc01 query`, "all"}, {"net start", "all"}, {"net1 start", "all"},
	{"tasklist /svc", "all"}, {"tasklist /svc /fo csv", "all"}, {"wmic service get name,pathname", "all"}, {"wmic service list brief", "all"},
	{"wmic sysdriver get name", "all"}, {"driverquery /v", "driver"}, {`reg query HKLM\SYSTEM\CurrentControlSet\Services`, "registry"},
	{`reg query HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Services /s`, "registry"}, {"psservice", "all"}, {"accesschk -ucqv *", "acl"}, {"schtasks /query /v", "schtasks"},
	{"sc query Spooler", "single"}, {"sc qc WinDefend", "single"}, {"sc sdshow Spooler", "single"}, {"wmic service where name='Spooler' get state", "single"},
	{`reg query HKLM\SYSTEM\CurrentControlSet\Services\Spooler`, "single"},
	{"net start Spooler", ""}, {"net stop Spooler", ""}, {"sc start Spooler", ""}, {"sc stop Spooler", ""}, {"sc config Spooler start= auto", ""},
	{`sc create evil binPath= c:\x.exe`, ""}, {"sc delete evil", ""}, {"net user", ""}, {"tasklist", ""}, {"tasklist /v", ""}, {"wmic process list", ""},
	{"wmic service where name='vss' call stopservice", ""}, {"schtasks /run /tn x", ""}, {`reg add HKLM\SYSTEM\CurrentControlSet\Services\x /v Start /d 4`, ""},
	{`reg query HKLM\SOFTWARE\Microsoft`, ""}, {"where sc", ""}, {"echo sc query", ""}, {"findstr /c:services log.txt", ""}, {`dir c:\services`, ""}, {"ipconfig /all", ""},
	{"title net start", ""}, {"type services.txt", ""},
}

var windowsChanges = []change{
	{"plain", false, "", plain},
	{"cmd /c", false, "", wrap("cmd /c %s")},
	{"cmd.exe /c quoted", false, "", wrap(`C:\Windows\System32\cmd.exe /c "%s"`)},
	{"%COMSPEC%", false, "", wrap("cmd /c %%COMSPEC%% /q /c %s")},
	{"upper case", false, "", firstUpper},
	{"full path", false, "", func(s string) string { return `C:\Windows\System32\` + strings.Replace(s, " ", ".exe ", 1) }},
	{"double blank", false, "", func(s string) string { return strings.Replace(s, " ", "  ", 1) }},
	{"caret", true, "", func(s string) string { return "cmd /c " + inFirstWord(s, "^") }},
	{"split quotes", true, "", func(s string) string { return "cmd /c " + inFirstWord(s, `""`) }},
	{"set and use", true, "", func(s string) string {
		word, rest, _ := strings.Cut(s, " ")
		return `cmd /c "set q=` + word + `&&call %q% ` + rest + `"`
	}},
	{"and", false, "", wrap(`cmd /c "cd \ && %s"`)},
	{"piped", false, "", wrap(`cmd /c "%s | findstr /i run"`)},
	{"for /f", false, "", wrap(`cmd /c "for /f %%%%a in ('%s') do @rem"`)},
	{"start", false, "", wrap(`cmd /c start /b %s`)},
	{"call", false, "", wrap(`cmd /c "call %s"`)},
	{"powershell -c cmd", false, "", wrap(`powershell -NoProfile -Command "cmd /c '%s'"`)},
	{"powershell -enc cmd", true, "", func(s string) string {
		return "powershell -nop -enc " + encoded("cmd /c '"+strings.ReplaceAll(s, "'", "''")+"'")
	}},
	{"psexec", false, "srv01", wrap(`psexec \\srv01 -accepteula -s cmd /c %s`)},
	{"winrs", false, "srv01", wrap(`winrs -r:srv01 %s`)},
	{"runas", false, "", wrap(`runas /user:x "cmd /c %s"`)},
	{"wmic process", false, "", wrap(`wmic process call create "cmd /c %s"`)},
	{"forfiles", false, "", wrap(`forfiles /p c:\windows /m notepad.exe /c "cmd /c %s"`)},
	{"nested cmd", false, "", wrap(`cmd /c cmd /c cmd /c %s`)},
	{"conhost", false, "", wrap(`conhost.exe --headless cmd /c %s`)},
}

var powershells = []base{
	{"Get-Service", "all"}, {"gsv", "all"}, {"Get-Service *", "all"}, {"Get-Service -ComputerName dc01", "all"}, {"Get-WmiObject Win32_Service", "all"},
	{"gwmi -Class Win32_Service", "all"}, {"Get-CimInstance -ClassName Win32_Service", "all"}, {"gcim Win32_SystemDriver", "all"},
	{"Get-WmiObject -Query 'select * from win32_service'", "all"}, {"[System.ServiceProcess.ServiceController]::GetServices()", "all"},
	{`Get-ChildItem HKLM:\SYSTEM\CurrentControlSet\Services`, "registry"}, {`gci 'HKLM:\SYSTEM\CurrentControlSet\Services'`, "registry"},
	{"Get-Service -Name Spooler", "single"}, {"Get-Service WinDefend", "single"}, {`Get-ItemProperty HKLM:\SYSTEM\CurrentControlSet\Services\Spooler`, "single"},
	{"Start-Service Spooler", ""}, {"Restart-Service -Name Spooler", ""}, {"Get-Process", ""}, {"Get-WmiObject Win32_Process", ""}, {"Get-Help Get-Service", ""},
	{"Write-Host 'Get-Service'", ""}, {"Get-Command Get-Service", ""}, {"Get-Service Spooler | Stop-Service", ""}, {`Get-ChildItem C:\Services`, ""},
	{"Set-Service Spooler -StartupType Manual", ""}, {"$x = 'Get-Service'", ""},
}

var powershellChanges = []change{
	{"-Command", false, "", wrap(`powershell.exe -NoProfile -Command %s`)},
	{"-c quoted", false, "", wrap(`powershell -c "%s"`)},
	{"pwsh", false, "", wrap(`pwsh -c "%s"`)},
	{"bare", false, "", wrap(`powershell.exe %s`)},
	{"full path", false, "", wrap(`"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe" -ExecutionPolicy Bypass -C "%s"`)},
	{"-enc", true, "", func(s string) string { return "powershell -enc " + encoded(s) }},
	{"-e", true, "", func(s string) string { return "powershell -nop -w 1 -e " + encoded(s) }},
	{"-EncodedCommand", true, "", func(s string) string { return "powershell.exe -EncodedCommand " + encoded(s) }},
	{"/enco", true, "", func(s string) string { return "powershell /enco " + encoded(s) }},
	{"nested -enc", true, "", func(s string) string { return "powershell -enc " + encoded("powershell -enc "+encoded(s)) }},
	{"piped", false, "", wrap(`powershell -c "%s | Format-List"`)},
	{"assigned", false, "", wrap(`powershell -c "$r = %s; $r"`)},
	{"script block", false, "", wrap(`powershell -c "& { %s }"`)},
	{"if", false, "", wrap(`powershell -c "if ($true) { %s }"`)},
	{"iex", true, "", func(s string) string { return `powershell -c "iex '` + strings.ReplaceAll(s, "'", "''") + `'"` }},
	{"iex joined", true, "", func(s string) string {
		q := strings.ReplaceAll(s, "'", "''")
		cut := len(q) / 2
		if strings.Contains(s, "'") {
			cut = 1
		}
		return `powershell -c "iex ('` + q[:cut] + `'+'` + q[cut:] + `')"`
	}},
	{"cmd", false, "", wrap(`cmd /c powershell -c "%s"`)},
	{"Invoke-Command", false, "srv01", wrap(`powershell -c "Invoke-Command -ComputerName srv01 -ScriptBlock { %s }"`)},
}

var unix = []base{
	{"systemctl", "all"}, {"systemctl --type=service", "all"}, {"systemctl list-units --type=service --all", "all"}, {"systemctl list-unit-files", "all"},
	{"systemctl list-timers --all", "all"}, {"systemctl -t service --no-pager", "all"}, {"service --status-all", "all"}, {"chkconfig --list", "all"},
	{"rc-status --all", "all"}, {"rc-service --list", "all"}, {"initctl list", "all"}, {"systemd-analyze blame", "all"}, {"s6-rc -a list", "all"},
	{"busctl tree org.freedesktop.systemd1", "all"}, {"ls -la /etc/init.d", "files"}, {"ls /etc/systemd/system", "files"}, {"find /lib/systemd/ -type f", "files"},
	{"tree /usr/lib/systemd/system", "files"}, {"grep -r ExecStart /etc/systemd/system", "files"}, {"crontab -l", "cron"},
	{"systemctl status nginx", "single"}, {"systemctl is-active sshd.service", "single"}, {"service nginx status", "single"}, {"systemctl show -p MainPID cron", "single"},
	{"systemctl restart nginx", ""}, {"systemctl enable nginx", ""}, {"systemctl daemon-reload", ""}, {"service nginx restart", ""}, {"chkconfig nginx on", ""},
	{"rc-service sshd restart", ""}, {"ls -la /etc", ""}, {"ls /tmp/systemctl", ""}, {"cat /etc/services", ""}, {"man systemctl", ""}, {"which systemctl", ""},
	{"echo systemctl list-units", ""}, {"grep systemctl /root/.bash_history", ""}, {"vi /etc/init.d/ssh", ""}, {"crontab -e", ""}, {"systemctl --version", ""},
	{"apt-get install systemd", ""}, {"tail -f /var/log/syslog", ""}, {"systemctl reboot", ""}, {"git commit -m service", ""},
}

var unixChanges = []change{
	{"plain", false, "", plain},
	{"full path", false, "", func(s string) string { return "/usr/bin/" + s }},
	{"sudo", false, "", wrap("sudo %s")}, {"sudo -u", false, "", wrap("sudo -n -u root -- %s")}, {"doas", false, "", wrap("doas %s")},
	{"env", false, "", wrap("env LC_ALL=C A=b %s")}, {"assignment", false, "", wrap("LC_ALL=C %s")}, {"nohup", false, "", wrap("nohup %s &")},
	{"timeout", false, "", wrap("timeout -k 3 5 %s")}, {"nice", false, "", wrap("nice -n 19 %s")}, {"setsid", false, "", wrap("setsid %s")},
	{"stdbuf", false, "", wrap("stdbuf -oL %s")}, {"time", false, "", wrap("time %s")}, {"watch", false, "", wrap("watch -n 5 '%s'")},
	{"sh -c", false, "", wrap("sh -c '%s'")}, {"bash -lc", false, "", wrap("bash -lc '%s'")}, {"su -c", false, "", wrap("su - root -c '%s'")},
	{"script -c", false, "", wrap("script -q -c '%s' /dev/null")}, {"busybox", false, "", wrap("busybox sh -c '%s'")}, {"chroot", false, "", wrap("chroot /mnt %s")},
	{"nsenter", false, "", wrap("nsenter -t 1 -m -u -n -i %s")}, {"unshare", false, "", wrap("unshare -m %s")}, {"docker exec", false, "", wrap("docker exec -it web %s")},
	{"kubectl exec", false, "", wrap("kubectl exec -n x pod -- %s")}, {"ssh", false, "web01", wrap("ssh -p 22 root@web01 '%s'")}, {"runuser", false, "", wrap("runuser -u www-data -- %s")},
	{"systemd-run", false, "", wrap("systemd-run --quiet --pipe %s")}, {"xargs", false, "", wrap("true | xargs %s")},
	{"and", false, "", wrap("cd / && %s")}, {"piped", false, "", wrap("%s | head -50")}, {"subshell", false, "", wrap("(%s) 2>/dev/null")},
	{"substitution", false, "", wrap(`x=$(%s); test -n "$x"`)}, {"loop", false, "", wrap("for i in 1 2; do %s; done")}, {"function", false, "", wrap("f() { %s; }; f")},
	{"if", false, "", wrap("if true; then %s; fi")}, {"here document", false, "", wrap("sh <<EOF\n%s\nEOF")}, {"piped into sh", false, "", wrap("echo '%s' | sh")},
	{"eval", true, "", wrap("eval '%s'")}, {"split quotes", true, "", func(s string) string { return inFirstWord(s, `""`) }},
	{"escaped", true, "", func(s string) string { return inFirstWord(s, `\`) }},
	{"IFS", true, "", func(s string) string { return strings.ReplaceAll(s, " ", "${IFS}") }},
	{"variable", true, "", func(s string) string {
		word, rest, _ := strings.Cut(s, " ")
		return "a=" + word[:1] + ";b=" + word[1:] + "; $a$b " + rest
	}},
	{"base64", true, "", func(s string) string {
		return "echo " + base64.StdEncoding.EncodeToString([]byte(s)) + " | base64 -d | bash"
	}},
	{"python", false, "", wrap(`python3 -c "import os; os.system('%s')"`)}, {"perl", false, "", wrap(`perl -e 'system("%s")'`)},
	{"sudo sh -c", false, "", wrap("sudo sh -c '%s'")}, {"env nohup", false, "", wrap("env nohup timeout 5 %s")},
}

var macs = []base{
	{"launchctl list", "all"}, {"launchctl print system", "all"}, {"launchctl dumpstate", "all"}, {"brew services list", "all"}, {"ls -la /Library/LaunchDaemons", "files"},
	{"ls /Library/LaunchAgents", "files"}, {"launchctl list com.apple.Finder", "single"}, {"launchctl print system/com.openssh.sshd", "single"},
	{"launchctl load /Library/LaunchDaemons/x.plist", ""}, {"launchctl kickstart -k system/com.x", ""}, {"brew services start nginx", ""}, {"ls /Library", ""}, {"brew list", ""},
}

var macChanges = []change{
	{"plain", false, "", plain}, {"sudo", false, "", wrap("sudo %s")}, {"sh -c", false, "", wrap("/bin/sh -c '%s'")}, {"zsh -c", false, "", wrap("zsh -c '%s'")},
	{"osascript", false, "", wrap(`osascript -e 'do shell script "%s"'`)}, {"asuser", false, "", wrap("launchctl asuser 501 %s")}, {"piped", false, "", wrap("%s | grep -v com.apple")},
	{"split quotes", true, "", func(s string) string { return inFirstWord(s, "''") }}, {"caffeinate", false, "", wrap("caffeinate -i %s")},
}

// cannot says which combinations are no command at all.
func cannot(p evidence.Platform, b base, c change) bool {
	switch {
	case p == evidence.Windows && c.name == "full path" && strings.HasPrefix(c.apply("x"), `C:\Windows\System32\`):
		word, _, _ := strings.Cut(b.text, " ")
		switch word {
		case "echo", "dir", "type", "title", "psservice", "accesschk":
			return true // cmd's own, or not there
		}
		return !strings.Contains(b.text, " ")
	case p == evidence.Windows && strings.Contains(b.text, "'") && (c.name == "for /f" || c.name == "powershell -c cmd"):
		return true
	case p == evidence.Windows && b.text == "echo sc query" && c.name == "piped":
		return false
	case p == evidence.Linux && c.name == "IFS" && !strings.Contains(b.text, " "):
		return true
	case p == evidence.Linux && c.name == "full path" && strings.HasPrefix(b.text, "echo"):
		return true
	case c.name == "-c quoted" || c.name == "-Command" || c.name == "bare":
		return false
	}
	return false
}

// TestVariants judges every combination and fails on any wrong one.
func TestVariants(t *testing.T) {
	_, judge, _, err := app.NewJudge("")
	if err != nil {
		t.Fatal(err)
	}
	type tally struct{ right, all int }
	counts := map[string]*tally{}
	total := 0
	now := time.Now()
	seen := map[string]bool{}
	for _, g := range []struct {
		name     string
		platform evidence.Platform
		bases    []base
		changes  []change
	}{
		{"windows", evidence.Windows, windows, windowsChanges}, {"powershell", evidence.Windows, powershells, powershellChanges},
		{"linux", evidence.Linux, unix, unixChanges}, {"macos", evidence.Darwin, macs, macChanges},
	} {
		for _, c := range g.changes {
			key := g.name + ": " + c.name
			counts[key] = &tally{}
			for _, b := range g.bases {
				if cannot(g.platform, b, c) {
					continue
				}
				text := c.apply(b.text)
				if seen[string(g.platform)+text] {
					continue
				}
				seen[string(g.platform)+text] = true
				total++
				counts[key].all++
				p := evidence.Process{Platform: g.platform, CmdLine: text}
				v := judge.Judge(&p, nil, now)
				hidden := false
				for _, r := range v.Reasons {
					hidden = hidden || r.Factor == "obfuscated" || r.Factor == "encoded"
				}
				var wrong []string
				if string(v.Scope) != b.scope || v.T1007 != (b.scope != "") {
					wrong = append(wrong, fmt.Sprintf("scope %q, want %q", v.Scope, b.scope))
				}
				if b.scope != "" && hidden != c.hides {
					wrong = append(wrong, fmt.Sprintf("hidden %v, want %v", hidden, c.hides))
				}
				if b.scope != "" && c.remote != "" && v.RemoteHost == "" {
					wrong = append(wrong, "no remote host")
				}
				if len(wrong) > 0 {
					t.Errorf("%s: %s: %s", key, text, strings.Join(wrong, "; "))
					continue
				}
				counts[key].right++
			}
		}
	}
	names := make([]string, 0, len(counts))
	right := 0
	for k, n := range counts {
		names = append(names, k)
		right += n.right
	}
	sort.Strings(names)
	for _, k := range names {
		t.Logf("%-34s %4d of %4d", k, counts[k].right, counts[k].all)
	}
	fmt.Printf("variants: %d of %d right\n", right, total)
	if total < 300 {
		t.Errorf("only %d variants", total)
	}
}
