package script

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

func budget() *dialect.Budget { return &dialect.Budget{Steps: 20000, Bytes: 1 << 20} }

func text(s string, m ...dialect.Mark) Call     { return Call{Text: s, Marks: m} }
func words(argv ...string) Call                 { return Call{Argv: argv} }
func marked(c Call, marks ...dialect.Mark) Call { c.Marks = marks; return c }

func TestCommands(t *testing.T) {
	tests := []struct {
		lang, script string
		want         []Call
	}{
		{"python3", `import os; os.system("systemctl list-units")`, []Call{text("systemctl list-units")}},
		{"python3", `import os; print(os.listdir("/etc/systemd/system"))`, []Call{words("ls", "/etc/systemd/system")}},
		{"python3", `import glob; print(glob.glob("/etc/init.d/*"), glob.glob("*.c"))`, []Call{words("ls", "/etc/init.d/*")}},
		{"python", `import psutil; print([s.name() for s in psutil.win_service_iter()])`, []Call{words("get-service")}},
		{"python", `import psutil; print(psutil.win_service_get("BITS").status())`, []Call{words("get-service", "BITS")}},
		{"python3.11", `import os;os.system('systemctl ' + 'list-units')`, []Call{text("systemctl list-units", dialect.Concat)}},
		{"python", `__import__('os').system('service --status-all')`, []Call{text("service --status-all")}},
		{"python3", `import subprocess; subprocess.run(["systemctl", "list-units", "--type=service"])`, []Call{words("systemctl", "list-units", "--type=service")}},
		{"python3", `import subprocess as s; print(s.check_output("systemctl --all", shell=True).decode())`, []Call{text("systemctl --all")}},
		{"python3", `from subprocess import Popen as P, PIPE, Popen
Popen(args=["launchctl","list"], stdout=PIPE)`, []Call{words("launchctl", "list")}},
		{"python3", `import subprocess; subprocess.run("systemctl status nginx".split(), capture_output=True)`, []Call{words("systemctl", "status", "nginx")}},
		{"python3", `import subprocess,shlex; subprocess.call(shlex.split("systemctl status nginx"))`, []Call{words("systemctl", "status", "nginx")}},
		{"python3", `import subprocess; print(subprocess.getoutput('systemctl'))`, []Call{text("systemctl")}},
		{"python2", `import commands; print commands.getoutput("chkconfig --list")`, []Call{text("chkconfig --list")}},
		{"python3", `import os; print(os.popen("systemctl list-timers").read())`, []Call{text("systemctl list-timers")}},
		{"python", `import pty; pty.spawn("/bin/bash")`, []Call{text("/bin/bash")}},
		{"python", `import pty; pty.spawn(["systemctl", "status"])`, []Call{words("systemctl", "status")}},
		{"python3", `import os; os.execvp("systemctl", ["systemctl", "list-units"])`, []Call{words("systemctl", "list-units")}},
		{"python3", `import os; os.execl("/bin/sh", "sh", "-c", "systemctl")`, []Call{words("/bin/sh", "-c", "systemctl")}},
		{"python3", `import os; os.spawnlp(os.P_WAIT, "systemctl", "systemctl", "status")`, []Call{words("systemctl", "status")}},
		{"python3", `c = 'systemctl'; c += ' list-units'
import os
os.system(c)`, []Call{text("systemctl list-units", dialect.Concat)}},
		{"python3", `import os,base64; os.system(base64.b64decode('c3lzdGVtY3RsIGxpc3QtdW5pdHM=').decode())`, []Call{text("systemctl list-units", dialect.Encoded)}},
		{"python3", `import base64; exec(base64.b64decode("aW1wb3J0IG9zO29zLnN5c3RlbSgnc3lzdGVtY3RsJyk="))`, []Call{text("systemctl", dialect.Encoded, dialect.InvokeString)}},
		{"python3", `import os; os.system('ltcmetsys'[::-1])`, []Call{text("systemctl", dialect.Reversed)}},
		{"python3", `import os; os.system("".join(["sys","temctl"]))`, []Call{text("systemctl", dialect.Concat)}},
		{"python3", `import os; os.system("\x73ystemctl")`, []Call{text("systemctl", dialect.Escape)}},
		{"python3", `import os; os.system(bytes.fromhex('73797374656d63746c').decode())`, []Call{text("systemctl", dialect.Encoded)}},
		{"python3", `import codecs,os; os.system(codecs.decode('flfgrzpgy', 'rot13'))`, []Call{text("systemctl", dialect.Encoded)}},
		{"python3", `import os; os.system(r'systemctl')`, []Call{text("systemctl")}},
		{"python3", `import os; os.system("""systemctl
launchctl list""")`, []Call{text("systemctl\nlaunchctl list")}},
		{"python3", `import os; os.system("systemctl" " --all")`, []Call{text("systemctl --all", dialect.Concat)}},
		{"python3", `# os.system("systemctl")
print('os.system("x")')`, nil},
		{"python3", `import os; [os.system("systemctl status "+s) for s in x]; os.system("systemctl")`, []Call{text("systemctl")}},
		{"python3", `x = os.popen("systemctl"); y = subprocess.check_output(["ps", flag, "x"])`, []Call{text("systemctl"), words("ps")}},
		{"python3", `import os; print(len(os.popen(f"systemctl").read()))`, []Call{text("systemctl")}},
		{"python3", `import os; os.system(os.popen("echo systemctl").read())`, []Call{text("echo systemctl")}},
		{"python3", `loop.run("main")`, nil},

		{"perl", `system("systemctl list-units")`, []Call{text("systemctl list-units")}},
		{"perl", `system "systemctl", "list-units";`, []Call{words("systemctl", "list-units")}},
		{"perl", `system(qw(systemctl list-units --all))`, []Call{words("systemctl", "list-units", "--all")}},
		{"perl", `exec 'service --status-all'`, []Call{text("service --status-all")}},
		{"perl", "print `systemctl`", []Call{text("systemctl")}},
		{"perl", `print qx{systemctl list-units}`, []Call{text("systemctl list-units")}},
		{"perl", `print qx/launchctl list/`, []Call{text("launchctl list")}},
		{"perl5.30", `open(F, "systemctl |"); print <F>`, []Call{text("systemctl")}},
		{"perl", `open(my $f, "-|", "systemctl", "list-units")`, []Call{words("systemctl", "list-units")}},
		{"perl", `$c = "sys" . "temctl"; system($c)`, []Call{text("systemctl", dialect.Concat)}},
		{"perl", `my $u = "nginx"; system("systemctl status $u")`, []Call{text("systemctl status nginx")}},
		{"perl", `system("systemctl status $x")`, []Call{text("systemctl status $x")}},
		{"perl", `use MIME::Base64; system(decode_base64("c3lzdGVtY3Rs"))`, []Call{text("systemctl", dialect.Encoded)}},
		{"perl", `eval "system('systemctl')"`, []Call{text("systemctl", dialect.InvokeString)}},
		{"perl", `system(reverse("ltcmetsys"))`, []Call{text("systemctl", dialect.Reversed)}},
		{"perl", `s/system/x/; print "hello"`, nil},

		{"ruby", `system("systemctl", "list-units")`, []Call{words("systemctl", "list-units")}},
		{"ruby", `system "launchctl list"`, []Call{text("launchctl list")}},
		{"ruby", "puts `systemctl list-units`", []Call{text("systemctl list-units")}},
		{"ruby", `puts %x(service --status-all)`, []Call{text("service --status-all")}},
		{"ruby", `exec %w[systemctl status].join(" ")`, []Call{text("systemctl status", dialect.Concat)}},
		{"ruby", `IO.popen(["systemctl", "status"]).read`, []Call{words("systemctl", "status")}},
		{"ruby", `require 'open3'; Open3.capture2e("systemctl", "list-units")`, []Call{words("systemctl", "list-units")}},
		{"ruby", `require 'base64'; system(Base64.decode64("c3lzdGVtY3Rs"))`, []Call{text("systemctl", dialect.Encoded)}},
		{"ruby", `system("c3lzdGVtY3Rs".unpack1("m"))`, []Call{text("systemctl", dialect.Encoded)}},
		{"ruby", `system("ltcmetsys".reverse)`, []Call{text("systemctl", dialect.Reversed)}},
		{"ruby", "c='systemctl'; puts `#{c} list-units`", []Call{text("systemctl list-units")}},

		{"php", `system('systemctl');`, []Call{text("systemctl")}},
		{"php", `echo shell_exec("systemctl list-units 2>&1");`, []Call{text("systemctl list-units 2>&1")}},
		{"php7.4", `passthru("service " . "--status-all");`, []Call{text("service --status-all", dialect.Concat)}},
		{"php", "echo `systemctl`;", []Call{text("systemctl")}},
		{"php", `exec("systemctl", $out); print_r($out);`, []Call{text("systemctl")}},
		{"php", `system(base64_decode("c3lzdGVtY3Rs"));`, []Call{text("systemctl", dialect.Encoded)}},
		{"php", `$a="sys"; $a.="temctl"; system($a);`, []Call{text("systemctl", dialect.Concat)}},
		{"php", `pcntl_exec("/usr/bin/systemctl", ["list-units"]);`, []Call{words("/usr/bin/systemctl", "list-units")}},
		{"php", `system(str_rot13("flfgrzpgy"));`, []Call{text("systemctl", dialect.Encoded)}},
		{"php", `eval(base64_decode("c3lzdGVtKCdzeXN0ZW1jdGwnKTs="));`, []Call{text("systemctl", dialect.Encoded, dialect.InvokeString)}},
		{"php", `// system("x")
/* system("y") */ echo 1;`, nil},

		{"node", `require('child_process').execSync('systemctl list-units')`, []Call{text("systemctl list-units")}},
		{"nodejs", `const {spawn}=require("child_process"); spawn("systemctl", ["list-units","--all"], {stdio:'inherit'})`, []Call{words("systemctl", "list-units", "--all")}},
		{"node", `const cp = require('node:child_process'); cp.exec("launchctl list", (e,o)=>console.log(o))`, []Call{text("launchctl list")}},
		{"node", "require('child_process').execSync(`systemctl`)", []Call{text("systemctl")}},
		{"node", `require('child_process').execFileSync("/bin/launchctl",["list"])`, []Call{words("/bin/launchctl", "list")}},
		{"node", `require('child_process').execSync(Buffer.from('c3lzdGVtY3Rs','base64').toString())`, []Call{text("systemctl", dialect.Encoded)}},
		{"node", `require('child_process').execSync(atob('c3lzdGVtY3Rs'))`, []Call{text("systemctl", dialect.Encoded)}},
		{"node", `/x/.exec("systemctl")`, nil},

		{"lua", `os.execute("systemctl list-units")`, []Call{text("systemctl list-units")}},
		{"lua5.3", `print(io.popen("systemctl"):read("*a"))`, []Call{text("systemctl")}},
		{"lua", `os.execute [[systemctl --all]]`, []Call{text("systemctl --all")}},
		{"lua", `os.execute("sys".."temctl")`, []Call{text("systemctl", dialect.Concat)}},
		{"luajit", `os.execute "\115ystemctl"`, []Call{text("systemctl", dialect.Escape)}},

		{"awk", `BEGIN { system("systemctl list-units") }`, []Call{text("systemctl list-units")}},
		{"gawk", `BEGIN { while ("systemctl" | getline line) print line }`, []Call{text("systemctl")}},
		{"mawk", `BEGIN { c = "sys" "temctl"; system(c) }`, []Call{text("systemctl", dialect.Concat)}},
		{"awk", `{ print $1 | "xargs systemctl status" }`, []Call{text("xargs systemctl status")}},
		{"awk", `BEGIN { "systemctl is-active x" |& getline r }`, []Call{text("systemctl is-active x")}},
		{"awk", `{print $1, "system"}`, nil},

		{"osascript", `do shell script "launchctl list"`, []Call{text("launchctl list")}},
		{"osascript", `do shell script "launch" & "ctl list" with administrator privileges`, []Call{text("launchctl list", dialect.Concat)}},
		{"osascript", `set c to "launchctl list"
do shell script c`, []Call{text("launchctl list")}},

		{"tcc", `system("systemctl")`, nil},
		{"python3", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.lang+" "+tt.script, func(t *testing.T) {
			got := Commands(tt.lang, tt.script, budget())
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Commands(%q, %q) (-want +got):\n%s", tt.lang, tt.script, diff)
			}
		})
	}
}

func TestCommandsMarksWords(t *testing.T) {
	got := Commands("python3", `import subprocess; subprocess.run(["sys"+"temctl", "list-units"])`, budget())
	want := []Call{marked(words("systemctl", "list-units"), dialect.Concat)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSupported(t *testing.T) {
	for name, want := range map[string]bool{"/usr/bin/python3.12": true, "gawk": true, `C:\Python\python.exe`: true, "bash": false, "": false} {
		if got := Supported(name); got != want {
			t.Errorf("Supported(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestBudgetIsKept(t *testing.T) {
	b := &dialect.Budget{Steps: 3, Bytes: 10}
	if got := Commands("perl", `system("systemctl list-units"); system("launchctl list")`, b); len(got) != 0 {
		t.Errorf("commands beyond the budget: %q", got)
	}
}

// Hostile text must not cost more than in proportion to its length.
func TestHostileTextIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: time limits say nothing under -short, which is for the race detector; make test checks them")
	}
	langs := []string{"python", "perl", "ruby", "php", "node", "lua", "awk", "osascript"}
	units := []string{"system(", "(", "[", "'", `"`, "a.", "a=", "x+=x;", "`", "%x(", "qx{", "do shell script ", "system(a,", "'a'+", "a(b,", "[[", "[=", "open(", "eval('", "\"\"\"", "$a=\"$a$a\";", "a=b(", "set a to ", "'a'.join(["}
	for _, lang := range langs {
		for _, u := range units {
			in := "subprocess child_process " + strings.Repeat(u, maxText/len(u))
			start := cputime.Start()
			Commands(lang, in, &dialect.Budget{Steps: 200000, Bytes: 4 << 20})
			if d := start.Took(); d > 2*time.Second {
				t.Errorf("%s: %d bytes of %q took %v", lang, len(in), u, d)
			}
		}
	}
}

func FuzzCommands(f *testing.F) {
	f.Add("python", `import os; os.system("systemctl" + ' x'.split()[0])`)
	f.Add("perl", "system(qw(a b)); qx{a $b}; open(F, 'x|')")
	f.Add("ruby", `%x(a) + system("a", %w[b c])`)
	f.Add("lua", `os.execute [==[a]==]`)
	f.Add("awk", `BEGIN{"a" | getline; print | "b"}`)
	f.Add("node", "require('child_process').exec(`a${b}`)")
	f.Add("osascript", `do shell script "a" & b`)
	f.Add("php", "system(base64_decode('YQ=='));")
	f.Fuzz(func(t *testing.T, lang, script string) {
		for _, c := range Commands(lang, script, budget()) {
			if (c.Text == "") == (len(c.Argv) == 0) {
				t.Errorf("want either text or words: %+v", c)
			}
			if len(c.Text) > 1<<20 {
				t.Errorf("a text of %d bytes", len(c.Text))
			}
		}
	})
}

func BenchmarkCommands(b *testing.B) {
	const s = `import subprocess,sys; print(subprocess.check_output(["systemctl", "list-units", "--type=service"]).decode())`
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		Commands("python3", s, budget())
	}
}
