package rule_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
)

var platforms = []evidence.Platform{evidence.Windows, evidence.Linux, evidence.Darwin}

// lost returns what matches p though it is passed over, or "".
func lost(set *rule.Set, p *evidence.Process) string {
	if set.MayMatch(p) {
		return ""
	}
	res := cmdline.Parse(cmdline.Input{Text: p.CmdLine, Platform: p.Platform, Path: p.Path, CWD: p.CWD, OriginalFileName: p.OriginalFileName, ArgsJoined: p.ArgsJoined})
	hits := set.Match(p, &res)
	if len(hits) == 0 {
		return ""
	}
	return hits[0].Rule.Title
}

// TestExamplesPass: what a rule's file says that it matches is never passed over,
// however the process is recorded.
func TestExamplesPass(t *testing.T) {
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range set.Rules() {
		for _, text := range append(append([]string(nil), r.Matching...), r.NotMatching...) {
			for _, platform := range platforms {
				for _, path := range []string{"", "/usr/bin/x", `C:\Windows\System32\cmd.exe`, "/bin/sh", "/bin/busybox"} {
					for _, joined := range []bool{false, true} {
						p := evidence.Process{Platform: platform, CmdLine: text, Path: path, ArgsJoined: joined}
						if title := lost(set, &p); title != "" {
							t.Errorf("%s, image %q, joined %v: %q matches %s and is passed over", platform, path, joined, text, title)
						}
						n++
					}
				}
			}
		}
	}
	if n < 5000 {
		t.Errorf("only %d processes", n)
	}
}

// pieces are what hostile command lines are put together from: tools, their words,
// and all that shells take for more than text.
var pieces = strings.Split("sc|query|queryex|s|c|net|start|systemctl|list-units|status|system|ctl|ls|/etc/init.d|/etc/|init.d|whoami|id|w|ps|reg|"+
	"HKLM\\SYSTEM\\CurrentControlSet\\Services|services|wmic|service|get|crontab|-l|cat|/etc/passwd|passwd|find|-name|*.service|cmd|cmd.exe|/c|/k|/v:on|-c|-Command|"+
	"sh|bash|sudo|env|-S|xargs|timeout|5|python3|perl|awk|-e|os.system|system(|popen|eval|echo|-n|printf|%s|base64|-d|rev|tr|a|b|x|y|x=|y=|for|in|do|done|if|then|fi|{|}|("+
	"|)|[|]|$|$x|${x}|$1|$@|$?|$(|`|\"|'|\\|^|%|!|~|&|;|&&|,|=|>|<|<<<|>&1|2>|1|+=|+(|@(|*|?|.|..|-|--|/|\\\\srv|.exe|\t|\n|\r|read|IFS=|set|call|start|\"\"|powershell|"+
	"Get-Service|C:\\Windows\\System32\\|./|é|\u212a|\x00|\xff|tasklist|/svc|driverquery|linpeas.sh|lse.sh|curl|https://x/|init|rc|rc.d|ssh|host|su|root|docker|exec|busybox|watch|vi|:!|at|trap|script|launchctl|list", "|")

// compose puts pieces together, most of them with blanks between.
func compose(r *rand.Rand) string {
	var b strings.Builder
	for n := 1 + r.IntN(9); n > 0; n-- {
		b.WriteString(pieces[r.IntN(len(pieces))])
		if r.IntN(5) < 3 {
			b.WriteByte(' ')
		}
	}
	b.WriteString("|")
	text := strings.TrimSuffix(b.String(), "|")
	if r.IntN(4) == 0 {
		text = strings.ReplaceAll(text, "x", []string{"|", "s", "systemctl", "sc"}[r.IntN(4)])
	}
	return text
}

// hide puts pieces into a text at any place, or takes some of it away.
func hide(r *rand.Rand, text string) string {
	for range 1 + r.IntN(3) {
		at := r.IntN(len(text) + 1)
		switch r.IntN(6) {
		case 0:
			text = text[:at] + text[min(len(text), at+1+r.IntN(3)):]
		case 1:
			text = "sh -c '" + text + "'"
		case 2:
			text = "cmd /c \"" + text + "\""
		default:
			text = text[:at] + pieces[r.IntN(len(pieces))] + text[at:]
		}
	}
	return text
}

// TestNothingIsPassedOver puts command lines together at random, and hides those of
// the rules' examples at random.
func TestNothingIsPassedOver(t *testing.T) {
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	n := 60_000
	if testing.Short() {
		n = 10_000
	}
	var examples []string
	for _, x := range set.Rules() {
		examples = append(examples, x.Matching...)
	}
	r := rand.New(rand.NewPCG(7, 11))
	matched := 0
	for k := range n {
		text := compose(r)
		if k%2 == 0 {
			text = hide(r, examples[r.IntN(len(examples))])
		}
		p := evidence.Process{Platform: platforms[r.IntN(3)], CmdLine: text, ArgsJoined: r.IntN(2) == 0}
		p.Path = []string{"", "/usr/bin/x", "/bin/sh", "/bin/busybox", "/usr/bin/systemctl", `C:\Windows\System32\cmd.exe`, `C:\x\x.exe`, `C:\Windows\System32\sc.exe`, "/usr/bin/awk", "/tmp/ ", "/tmp/ (deleted)"}[r.IntN(11)]
		p.OriginalFileName = []string{"", "", "", "sc.exe", "sctasks.exe", "x.exe", "Cmd.Exe"}[r.IntN(7)]
		p.CWD = []string{"", "/", "/etc", "/etc/init.d", `C:\`}[r.IntN(5)]
		if title := lost(set, &p); title != "" {
			t.Errorf("%+v matches %s and is passed over", p, title)
		}
		res := cmdline.Parse(cmdline.Input{Text: p.CmdLine, Platform: p.Platform, Path: p.Path})
		if len(set.Match(&p, &res)) > 0 {
			matched++
		}
	}
	if matched < n/50 {
		t.Errorf("only %d of %d match at all", matched, n)
	}
}

// FuzzMayMatch: what matches may match.
func FuzzMayMatch(f *testing.F) {
	set, err := rule.Embedded()
	if err != nil {
		f.Fatal(err)
	}
	set = set.With(fstest.MapFS{
		"a.yml": user(1, "linux", "{Image|endswith: /ncat}"),
		"b.yml": user(2, "", "{CommandLine|contains: secretword}"),
		"c.yml": user(3, "", "{Tool|contains: scan, Paths|contains: /secret}"),
		"d.yml": user(4, "", "{Tool|startswith: nm, Arguments: '-sV'}"),
	}, "/r")
	for _, r := range set.Rules() {
		for i, text := range r.Matching {
			f.Add(text, "", "", "", byte(i), i%2 == 0)
			f.Add(text, "/bin/sh", "/etc", "", byte(i+1), i%2 == 0)
			f.Add(text, `C:\Windows\System32\cmd.exe`, "", "Cmd.Exe", byte(0), false)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		f.Add(compose(r), "/usr/bin/x", "/", "", byte(i), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, text, path, cwd, original string, platform byte, joined bool) {
		p := evidence.Process{Platform: platforms[int(platform)%3], CmdLine: text, Path: path, CWD: cwd, OriginalFileName: original, ArgsJoined: joined}
		if title := lost(set, &p); title != "" {
			t.Errorf("%+v matches %s and is passed over", p, title)
		}
	})
}

// benign are command lines of everyday processes and of none of the rules.
var benign = []evidence.Process{
	{Platform: evidence.Linux, Path: "/usr/bin/gcc", ArgsJoined: true, CmdLine: "/usr/bin/gcc -O2 -Wall -Wextra -g -fstack-protector-strong -I/usr/include/glib-2.0 -I. -c -o build/obj/module_parser.o src/module_parser.c"},
	{Platform: evidence.Linux, Path: "/bin/sh", ArgsJoined: true, CmdLine: "/bin/sh -c [ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi"},
	{Platform: evidence.Linux, Path: "/bin/sh", ArgsJoined: true, CmdLine: "/bin/sh -c command -v debian-sa1 > /dev/null && debian-sa1 1 1"},
	{Platform: evidence.Linux, Path: "/bin/ls", ArgsJoined: true, CmdLine: "ls --color=auto -la /home/alice/projects/weather/extension /home/alice/projects/weather/models", CWD: "/home/alice"},
	{Platform: evidence.Linux, Path: "/bin/sed", ArgsJoined: true, CmdLine: `sed -ne s/^session\.save_handler=\(.*\)$/\1/p`},
	{Platform: evidence.Linux, Path: "/bin/grep", ArgsJoined: true, CmdLine: "grep --color=auto -rn EXECVE /var/log/audit", CWD: "/root"},
	{Platform: evidence.Linux, Path: "/usr/bin/date", ArgsJoined: true, CmdLine: "date +%s"},
	{Platform: evidence.Linux, Path: "/usr/bin/sudo", ArgsJoined: true, CmdLine: "sudo -u postgres timeout 30 psql -At -c select 1"},
	{Platform: evidence.Linux, Path: "/usr/bin/python3.11", ArgsJoined: true, CmdLine: "/usr/bin/python3 -u /opt/backup/agent.py --daemon --config /etc/backup/agent.conf"},
	{Platform: evidence.Linux, Path: "/usr/bin/find", ArgsJoined: true, CmdLine: "find -O3 /var/lib/php/sessions/ -ignore_readdir_race -depth -mindepth 1 -name sess_* -type f -cmin +24 -delete"},
	{Platform: evidence.Windows, Path: `C:\Program Files\Google\Chrome\Application\chrome.exe`, OriginalFileName: "chrome.exe", CmdLine: `"C:\Program Files\Google\Chrome\Application\chrome.exe" --type=renderer --lang=en-US --device-scale-factor=1 --num-raster-threads=4`},
	{Platform: evidence.Windows, Path: `C:\Windows\System32\svchost.exe`, OriginalFileName: "svchost.exe", CmdLine: `C:\Windows\system32\svchost.exe -k netsvcs -p -s Schedule`},
	{Platform: evidence.Windows, Path: `C:\Windows\System32\conhost.exe`, OriginalFileName: "CONHOST.EXE", CmdLine: `\??\C:\Windows\system32\conhost.exe 0xffffffff -ForceV1`},
	{Platform: evidence.Windows, Path: `C:\Windows\System32\cmd.exe`, OriginalFileName: "Cmd.Exe", CmdLine: `C:\Windows\system32\cmd.exe /c ""C:\Build Tools\make.bat" all "`},
	{Platform: evidence.Windows, Path: `C:\Windows\System32\reg.exe`, OriginalFileName: "reg.exe", CmdLine: `reg query "HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion" /v ProductName`},
	{Platform: evidence.Darwin, Path: "/usr/libexec/trustd", CmdLine: "/usr/libexec/trustd --agent"},
}

func TestBenignIsPassedOver(t *testing.T) {
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for i := range benign {
		if set.MayMatch(&benign[i]) {
			t.Errorf("has to be read: %s", benign[i].CmdLine)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		for i := range benign {
			set.MayMatch(&benign[i])
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestWhatUsersRulesNeed: a user's rule is looked for by what it needs, and where it
// needs nothing that can be looked for, everything of its platform may match.
func TestWhatUsersRulesNeed(t *testing.T) {
	for _, c := range []struct {
		name   string
		rule   *fstest.MapFile
		hit    evidence.Process
		misses bool // another process of the platform is passed over all the same
	}{
		{"image", user(1, "linux", "{Image|endswith: /ncat}"), evidence.Process{Path: "/usr/bin/NCAT"}, true},
		{"command line", user(1, "linux", "{CommandLine|contains: ['secret word', other]}"), evidence.Process{CmdLine: "x OTHER"}, true},
		{"regular expression", user(1, "linux", "{CommandLine|re: '(?i)--pass(word|phrase)=.+'}"), evidence.Process{CmdLine: "x --passphrase=a"}, true},
		{"keyword", user(1, "linux", "[evilword]"), evidence.Process{ParentCmdLine: "run evilword"}, true},
		{"user", user(1, "linux", "{User|startswith: svc_}"), evidence.Process{Username: "SVC_a"}, true},
		{"all of several", user(1, "linux", "{CommandLine|contains|all: [one, three]}"), evidence.Process{CmdLine: "three one"}, true},
		{"tool", user(1, "linux", "{Tool: nmap}"), evidence.Process{Path: "/usr/bin/nmap", CmdLine: "nmap -sV x"}, true},
		{"tool by its start", user(1, "linux", "{Tool|startswith: nm}"), evidence.Process{Path: "/usr/bin/nmap", CmdLine: "nmap -sV x"}, true},
		{"tool by a part", user(1, "linux", "{Tool|contains: ma}"), evidence.Process{Path: "/usr/bin/nmap", CmdLine: "nmap -sV x"}, true},
		{"tool with an argument", user(1, "linux", "{Tool: nmap, Arguments: '-sV'}"), evidence.Process{Path: "/usr/bin/nmap", CmdLine: "nmap -sV x"}, true},
		{"two fields of any kind", user(1, "linux", "{Image|endswith: /ncat, Obfuscation: caret}"), evidence.Process{Path: "/usr/bin/ncat", CmdLine: "ncat"}, true},
		{"a tool of odd letters", user(1, "linux", "{Tool: g++}"), evidence.Process{Path: "/usr/bin/g++", CmdLine: "g++ x"}, false},
		{"what is hidden", user(1, "linux", "{Obfuscation: escape}"), evidence.Process{Path: "/usr/bin/x", CmdLine: "x"}, false},
		{"expression without text", user(1, "linux", "{CommandLine|re: '^.{9}$'}"), evidence.Process{Path: "/usr/bin/x", CmdLine: "x 3456789"}, false},
		{"absence", user(1, "linux", "{User: null}"), evidence.Process{Path: "/usr/bin/x", CmdLine: "x"}, false},
		{"number", user(1, "linux", "{ProcessId: 4}"), evidence.Process{Path: "/usr/bin/x", CmdLine: "x", PID: 4}, false},
	} {
		set := load(t, fstest.MapFS{"x.yml": c.rule})
		for _, r := range set.Refused() {
			t.Fatalf("%s: %v", c.name, r.Err)
		}
		c.hit.Platform = evidence.Linux
		if !set.MayMatch(&c.hit) {
			t.Errorf("%s: passed over", c.name)
		}
		if got := set.MayMatch(&benign[0]); got == c.misses {
			t.Errorf("%s: another process may match: %v", c.name, got)
		}
		if set.MayMatch(&benign[10]) {
			t.Errorf("%s: a process of another platform may match", c.name)
		}
	}
}

func TestUnknownPlatformsMayMatch(t *testing.T) {
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range []evidence.Platform{"", "plan9"} {
		if p := (evidence.Process{Platform: platform, Path: "/bin/x", CmdLine: "x"}); !set.MayMatch(&p) {
			t.Errorf("%q", platform)
		}
	}
}

func BenchmarkMayMatch(b *testing.B) {
	set, err := rule.Embedded()
	if err != nil {
		b.Fatal(err)
	}
	bytes := 0
	for i := range benign {
		bytes += len(benign[i].CmdLine)
	}
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	for b.Loop() {
		for i := range benign {
			set.MayMatch(&benign[i])
		}
	}
}
