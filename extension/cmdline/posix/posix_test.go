package posix

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

func budget() *dialect.Budget { return &dialect.Budget{Steps: 50000, Bytes: 4 << 20} }

// show writes a command as the tables below do: words between bars, then marks,
// redirections, standard input and the command it is piped into.
func show(list []dialect.Simple) []string {
	var out []string
	for _, s := range list {
		line := strings.Join(s.Argv, "|")
		for _, m := range s.Marks {
			line += " #" + string(m)
		}
		for _, r := range s.Redirects {
			line += " " + r.Op + "(" + r.Target + ")"
		}
		if s.Stdin != "" {
			line += fmt.Sprintf(" stdin=%q", s.Stdin)
		}
		if s.Next >= 0 {
			line += fmt.Sprintf(" ->%d", s.Next)
		}
		out = append(out, line)
	}
	return out
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestParse(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		// Plain commands.
		{`systemctl list-units --type=service --all`, []string{`systemctl|list-units|--type=service|--all`}},
		{`launchctl list`, []string{`launchctl|list`}},
		{`service  --status-all`, []string{`service|--status-all`}},
		{`/usr/sbin/service --status-all 2>/dev/null`, []string{`/usr/sbin/service|--status-all 2>(/dev/null)`}},
		{`chkconfig --list`, []string{`chkconfig|--list`}},
		{`ls -l /etc/init.d/ /Library/LaunchDaemons`, []string{`ls|-l|/etc/init.d/|/Library/LaunchDaemons`}},
		{`LC_ALL=C SYSTEMD_PAGER= systemctl`, []string{`systemctl`}},
		{`cd /etc/systemd && ls`, []string{`cd|/etc/systemd`, `ls`}},
		{`systemctl; launchctl list & service x status || true`, []string{`systemctl`, `launchctl|list`, `service|x|status`, `true`}},
		{"systemctl\nlaunchctl list\n", []string{`systemctl`, `launchctl|list`}},
		{"systemctl \\\n  list-units", []string{`systemctl|list-units`}},
		{`systemctl # launchctl list`, []string{`systemctl`}},
		{`! systemctl is-active nginx`, []string{`systemctl|is-active|nginx`}},
		{`time -p systemctl`, []string{`systemctl`}},
		{`coproc systemctl list-units`, []string{`systemctl|list-units`}},
		{`alias ll='systemctl'; ll`, []string{`alias|ll=systemctl`, `ll`}},
		{`sudo -u bob systemctl status nginx`, []string{`sudo|-u|bob|systemctl|status|nginx`}},
		{`ls /etc/init.d/*.sh ~/x`, []string{`ls|/etc/init.d/*.sh|~/x`}},

		// What a branch sets is not set in the others, and nothing that a function set is
		// lost behind it.
		{`v=systemctl; if x; then v=sc; y $v; else z $v; fi`, []string{`x`, `y|sc`, `z|systemctl`}},
		{`v=systemctl; if false; then v=sc; fi; $v`, []string{`false`, `systemctl #variable`}},
		{`v=systemctl; if true; then :; else v=sc; fi; $v`, []string{`true`, `:`, `systemctl #variable`}},
		{`if ! true; then v=sc; else v=systemctl; fi; $v`, []string{`true`, `systemctl #variable`}},
		{`v=a; case $v in b) v=sc;; a) v=systemctl;; *) v=sc;; esac; $v`, []string{`systemctl #variable`}},
		{`if x; then set -- systemctl; fi; "$1"`, []string{`x`, `set|--|systemctl`, `systemctl #variable`}},
		{`v=systemctl; v=sc & $v`, []string{`systemctl #variable`}},
		{`f() { v=systemctl; }; f; $v`, []string{`f`, `systemctl #variable`}},
		{`f() { $v list-units; }; v=systemctl; f`, []string{`$v|list-units`, `f`, `systemctl|list-units #variable`}},
		{`v=systemctl; f() { local v=sc; }; f x; $v`, []string{`local|v=sc`, `f|x`, `local|v=sc`, `systemctl #variable`}},
		{`l=(a 'b c'); systemctl ${#l[@]}`, []string{`systemctl|2`}},

		// What no shell stops at.
		{"systemctl list-units <<E", []string{`systemctl|list-units`}},
		{"systemctl list-units <<'E'\nx\n", []string{`systemctl|list-units stdin="x\n\n"`}},
		{"id # why\\\nsystemctl list-units", []string{`id`, `systemctl|list-units`}},
		{"systemctl list-units `(`", []string{`systemctl|list-units`}},
		{`l=(a) systemctl list-units`, []string{`systemctl|list-units`}},
		{"echo ${l&x}\nsystemctl list-units", []string{`echo`, `systemctl|list-units`}},

		// Quoting.
		{`'systemctl' "list-units"`, []string{`systemctl|list-units`}},
		{`systemctl --type="service" --state='active'`, []string{`systemctl|--type=service|--state=active`}},
		{`sys""temctl list-units`, []string{`systemctl|list-units #quote_split`}},
		{`s'ys'temctl`, []string{`systemctl #quote_split`}},
		{`'sys''temctl' status`, []string{`systemctl|status #quote_split`}},
		{`systemctl ''`, []string{`systemctl|`}},
		{`systemctl""`, []string{`systemctl #quote_split`}},
		{`""systemctl`, []string{`systemctl #quote_split`}},
		{`systemctl list"-"units`, []string{`systemctl|list-units`}},
		{`systemctl l"is"t-units`, []string{`systemctl|list-units #quote_split`}},
		{`launch"c"tl li's't`, []string{`launchctl|list #quote_split`}},
		{`mysql -p"secret" -u'root'`, []string{`mysql|-psecret|-uroot`}},
		{`echo 'it'\''s'`, []string{`echo|it's`}},
		{`echo "a"'b c'`, []string{`echo|ab c`}},
		{`x="" y=''; cmd --opt=""`, []string{`cmd|--opt=`}},
		{`"/Applications/My App/run" -x`, []string{`/Applications/My App/run|-x`}},
		{`"$HOME"/bin/tool`, []string{`$HOME/bin/tool`}},
		{`\s\y\s\t\e\m\c\t\l`, []string{`systemctl #escape`}},
		{`sys\temctl`, []string{`systemctl #escape`}},
		{`\ls /etc/init.d`, []string{`ls|/etc/init.d`}},
		{`systemctl list\-units`, []string{`systemctl|list-units`}},
		{`systemctl l\ist-units`, []string{`systemctl|list-units #escape`}},
		{`find / -name \*.service -exec cat {} \;`, []string{`find|/|-name|*.service|-exec|cat|{}|;`}},
		{`grep -E \d+ foo`, []string{`grep|-E|d+|foo`}},
		{`dpkg-query -f ${x}\n -W`, []string{`dpkg-query|-f|${x}n|-W`}},
		{`run C:\Users\bob`, []string{`run|C:Usersbob`}},
		{`cat My\ File`, []string{`cat|My File`}},
		{`$'\x73ystemctl' status`, []string{`systemctl|status #escape`}},
		{`$'\163\171\163temctl'`, []string{`systemctl #escape`}},
		{`$'\u0073ystemctl'`, []string{`systemctl #escape`}},
		{`printf $'a\tb\n'`, []string{"printf|a\tb\n"}},
		{`echo $'\e[31mred'`, []string{"echo|\x1b[31mred"}},
		{`echo "a\$b\n"`, []string{`echo|a$b\n`}},
		{`$"systemctl"`, []string{`systemctl`}},

		// Blanks by other means.
		{`systemctl$IFS--all`, []string{`systemctl|--all #ifs`}},
		{`cat${IFS}/etc/passwd`, []string{`cat|/etc/passwd #ifs`}},
		{`cat$IFS$9/etc/passwd`, []string{`cat|/etc/passwd #ifs`}},
		{`{systemctl,list-units,--all}`, []string{`systemctl|list-units|--all #padding`}},
		{`systemctl status {nginx,sshd}`, []string{`systemctl|status|nginx|sshd`}},
		{`systemctl status web{1..3}`, []string{`systemctl|status|web1|web2|web3`}},
		{`echo {a..e..2} {3..1}`, []string{`echo|a|c|e|3|2|1`}},
		{`ls /etc/{init.d,rc{2,3}.d}`, []string{`ls|/etc/init.d|/etc/rc2.d|/etc/rc3.d`}},
		{`echo {x} {1..100000}`, []string{`echo|{x}|{1..100000}`}},
		{`IFS=,;a=systemctl,list-units;$a`, []string{`systemctl|list-units #variable #ifs`}},

		// Variables.
		{`a=sys;b=temctl;$a$b`, []string{`systemctl #variable`}},
		{`a=sys;b=temctl;${a}${b} list-units`, []string{`systemctl|list-units #variable`}},
		{`c="systemctl list-units"; $c`, []string{`systemctl|list-units #variable`}},
		{`c="systemctl list-units"; "$c"`, []string{`systemctl list-units #variable`}},
		{`s=nginx; systemctl status $s`, []string{`systemctl|status|nginx`}},
		{`x=sys; x+=temctl; $x`, []string{`systemctl #variable`}},
		{`x=systemctlfoo; ${x:0:9}`, []string{`systemctl #substring #variable`}},
		{`x=foosystemctl; ${x: -9}`, []string{`systemctl #substring #variable`}},
		{`x=fystemctl; ${x/f/s}`, []string{`systemctl #concat #variable`}},
		{`x=sXysXtemctl; ${x//X}`, []string{`systemctl #concat #variable`}},
		{`x=foosystemctl; ${x#foo}`, []string{`systemctl #substring #variable`}},
		{`x=a/b/systemctl; ${x##*/}`, []string{`systemctl #substring #variable`}},
		{`x=systemctl.service; ${x%.*}`, []string{`systemctl #substring #variable`}},
		{`x=systemctl.a.b; ${x%%.*}`, []string{`systemctl #substring #variable`}},
		{`x=SYSTEMCTL; ${x,,}`, []string{`systemctl #concat #variable`}},
		{`x=nginx; systemctl status ${x^^}`, []string{`systemctl|status|NGINX`}},
		{`${undefined:-systemctl} list-units`, []string{`systemctl|list-units #variable`}},
		{`${x:=systemctl}; $x --all`, []string{`systemctl #variable`, `systemctl|--all #variable`}},
		{`x=1; ${x:+systemctl}`, []string{`systemctl #variable`}},
		{`n=x; x=systemctl; ${!n}`, []string{`systemctl #variable`}},
		{`x=abc; echo ${#x}`, []string{`echo|3`}},
		{`a=(systemctl list-units); "${a[@]}" --all`, []string{`systemctl|list-units|--all #variable`}},
		{`a=(x systemctl); ${a[1]}`, []string{`systemctl #variable`}},
		{`a[0]=systemctl; ${a[0]}`, []string{`systemctl #variable`}},
		{`set -- sys temctl; $1$2`, []string{`set|--|sys|temctl`, `systemctl #variable`}},
		{`systemctl status $1 "$@"`, []string{`systemctl|status|$1|$@`}},
		{`sys$@temctl`, []string{`systemctl #variable`}},
		{`sys${nothing}temctl`, []string{`systemctl #variable`}},
		{`$x$y`, []string{`$x$y`}},
		{`a=$(date); $a`, []string{`date`, `$a`}},
		{`${PATH:0:1}bin${HOME:0:1}systemctl`, []string{`/bin/systemctl #substring`}},
		{`export X=systemctl; $X`, []string{`export|X=systemctl`, `systemctl #variable`}},
		{`declare -r x=systemctl; $x`, []string{`declare|-r|x=systemctl`, `systemctl #variable`}},
		{`x=systemctl; (x=launchctl; $x list); $x`, []string{`launchctl|list #variable`, `systemctl #variable`}},
		{`x=systemctl $x`, []string{`$x`}},
		{`printf -v x '%s%s' sys temctl; $x`, []string{`printf|-v|x|%s%s|sys|temctl`, `systemctl #variable`}},
		{`read x <<< systemctl; $x`, []string{`read|x <<<(systemctl) stdin="systemctl\n"`, `systemctl #variable`}},
		{`x=systemctl; sudo -n $x list-units`, []string{`sudo|-n|systemctl|list-units #variable`}},
		{`x=report.txt; gcc ${x%.txt}`, []string{`gcc|report`}},
		{`x=1; echo $((x+2*3)) $[4-1]`, []string{`echo|7|3`}},

		// Substitutions.
		{`$(echo systemctl) --all`, []string{`echo|systemctl`, `systemctl|--all #concat`}},
		{"`echo systemctl` --all", []string{`echo|systemctl`, `systemctl|--all #concat`}},
		{`$(printf '%s%s' system ctl)`, []string{`printf|%s%s|system|ctl`, `systemctl #concat`}},
		{`$(printf '\x73ystemctl')`, []string{`printf|\x73ystemctl`, `systemctl #concat #escape`}},
		{`$(echo ` + b64("systemctl") + `|base64 -d) list-units`, []string{`echo|c3lzdGVtY3Rs ->1`, `base64|-d stdin="c3lzdGVtY3Rs\n"`, `systemctl|list-units #encoded`}},
		{`$(base64 --decode <<< ` + b64("launchctl list") + `)`, []string{"base64|--decode <<<(bGF1bmNoY3RsIGxpc3Q=) stdin=\"bGF1bmNoY3RsIGxpc3Q=\\n\"", `launchctl|list #encoded`}},
		{`$(rev <<< ltcmetsys)`, []string{`rev <<<(ltcmetsys) stdin="ltcmetsys\n"`, `systemctl #reversed`}},
		{`$(echo flfgrzpgy | tr a-z n-za-m)`, []string{`echo|flfgrzpgy ->1`, `tr|a-z|n-za-m stdin="flfgrzpgy\n"`, `systemctl #concat #encoded`}},
		{`$(echo SYSTEMCTL | tr '[:upper:]' '[:lower:]')`, []string{`echo|SYSTEMCTL ->1`, `tr|[:upper:]|[:lower:] stdin="SYSTEMCTL\n"`, `systemctl #concat`}},
		{`$(xxd -r -p <<< 73797374656d63746c)`, []string{`xxd|-r|-p <<<(73797374656d63746c) stdin="73797374656d63746c\n"`, `systemctl #encoded`}},
		{`$(echo sXystemctl | sed s/X//)`, []string{`echo|sXystemctl ->1`, `sed|s/X// stdin="sXystemctl\n"`, `systemctl #concat`}},
		{`$(cat <<< systemctl)`, []string{`cat <<<(systemctl) stdin="systemctl\n"`, `systemctl #concat`}},
		{`x=$(echo c3lz | base64 -D)temctl; $x`, []string{`echo|c3lz ->1`, `base64|-D stdin="c3lz\n"`, `systemctl #variable #encoded`}},
		{`systemctl status $(pidof nginx)`, []string{`pidof|nginx`, `systemctl|status|$(pidof nginx)`}},
		{`[[ -n $(systemctl is-active x) ]] && echo up`, []string{`systemctl|is-active|x`, `echo|up`}},
		{`(( $(systemctl | wc -l) > 3 ))`, []string{`systemctl ->1`, `wc|-l`}},
		{`echo "$(systemctl list-units)"`, []string{`systemctl|list-units`, `echo|$(systemctl list-units)`}},
		{`diff <(systemctl list-units) <(cat old)`, []string{`systemctl|list-units`, `cat|old`, `diff|<(systemctl list-units)|<(cat old)`}},
		{`tee >(grep x)`, []string{`grep|x`, `tee|>(grep x)`}},
		{`bash <(echo systemctl)`, []string{`echo|systemctl`, `bash|/dev/stdin stdin="systemctl\n"`}},
		{`sh < <(printf systemctl)`, []string{`printf|systemctl`, `sh stdin="systemctl"`}},

		// Patterns for a program.
		{`/???/b?n/systemct? list-units`, []string{`/usr/bin/systemctl|list-units #escape`}},
		{`/b[i]n/launchc*l list`, []string{`/bin/launchctl|list #escape`}},
		{`/usr/bin/s*stemctl`, []string{`/usr/bin/systemctl #escape`}},
		{`/bin/* x`, []string{`/bin/*|x`}},
		{`/usr/bin/s*`, []string{`/usr/bin/s*`}},

		// Pipes and standard input.
		{`systemctl list-units | grep running | wc -l`, []string{`systemctl|list-units ->1`, `grep|running ->2`, `wc|-l`}},
		{`launchctl list |& awk '{print $3}' > /tmp/o`, []string{`launchctl|list ->1`, `awk|{print $3} >(/tmp/o)`}},
		{`(systemctl; launchctl list) | tee out`, []string{`systemctl ->2`, `launchctl|list ->2`, `tee|out`}},
		{`systemctl | while read a b; do echo $a; done`, []string{`systemctl ->1`, `read|a|b`, `echo|$a`}},
		{`echo 'systemctl list-units' | sh`, []string{`echo|systemctl list-units ->1`, `sh stdin="systemctl list-units\n"`}},
		{`echo ` + b64("systemctl") + ` | base64 -d | bash`, []string{`echo|c3lzdGVtY3Rs ->1`, `base64|-d stdin="c3lzdGVtY3Rs\n" ->2`, `bash #encoded stdin="systemctl"`}},
		{`echo ltcmetsys | rev | sudo sh`, []string{`echo|ltcmetsys ->1`, `rev stdin="ltcmetsys\n" ->2`, `sudo|sh #reversed stdin="systemctl\n"`}},
		{`printf '\x73\x79\x73temctl' | sh`, []string{`printf|\x73\x79\x73temctl ->1`, `sh #escape stdin="systemctl"`}},
		{`for i in s y s; do printf $i; done | sh`, []string{`printf|s ->3`, `printf|y ->3`, `printf|s ->3`, `sh stdin="sys"`}},
		{`cat x | sh`, []string{`cat|x ->1`, `sh`}},
		{`echo YQ== | base64 -d | jq .`, []string{`echo|YQ== ->1`, `base64|-d stdin="YQ==\n" ->2`, `jq|. stdin="a"`}},
		{`bash <<< 'systemctl'`, []string{`bash <<<(systemctl) stdin="systemctl\n"`}},
		{"sh <<EOF\nsystemctl list-units\nEOF\n", []string{`sh stdin="systemctl list-units\n"`}},
		{"x=ctl; sh <<EOF\nsystem$x\nEOF\n", []string{`sh stdin="systemctl\n"`}},
		{"x=ctl; sh <<'EOF'\nsystem$x\nEOF\n", []string{`sh stdin="system$x\n"`}},
		{"sh <<-EOF\n\tsystemctl\n\tEOF\n", []string{`sh stdin="systemctl\n"`}},
		{"cat <<EOF | sh\nsystemctl\nEOF\n", []string{`cat stdin="systemctl\n" ->1`, `sh stdin="systemctl\n"`}},
		{`systemctl >> /tmp/a 2>&1 </dev/null`, []string{`systemctl >>(/tmp/a) <(/dev/null)`}},
		{`systemctl &> /tmp/a`, []string{`systemctl &>(/tmp/a)`}},
		{`systemctl >& /tmp/a`, []string{`systemctl &>(/tmp/a)`}},
		{`{ systemctl; launchctl list; } > /tmp/a`, []string{`systemctl >(/tmp/a)`, `launchctl|list >(/tmp/a)`}},

		// Compound commands.
		{`for s in a b; do systemctl status $s; done`, []string{`systemctl|status|a`, `systemctl|status|b`}},
		{`for s in $(cat list); do systemctl status $s; done`, []string{`cat|list`, `systemctl|status|$s`}},
		{`for s in *.service; do systemctl cat $s; done`, []string{`systemctl|cat|*.service`}},
		{`for i in {1..3}; do echo $i; done`, []string{`echo|1`, `echo|2`, `echo|3`}},
		{`for ((i=0;i<9;i++)); do systemctl; done`, []string{`systemctl`}},
		{`for c in systemctl launchctl; do $c list; done`, []string{`systemctl|list #variable`, `launchctl|list #variable`}},
		{`while systemctl is-active x; do sleep 1; done`, []string{`systemctl|is-active|x`, `sleep|1`}},
		{`until launchctl list; do :; done`, []string{`launchctl|list`, `:`}},
		{`if [ -x /bin/systemctl ]; then systemctl; elif x; then y; else service --status-all; fi`, []string{`[|-x|/bin/systemctl|]`, `systemctl`, `x`, `y`, `service|--status-all`}},
		{`case $1 in a|b) systemctl;; *) launchctl list;; esac`, []string{`systemctl`, `launchctl|list`}},
		{`f() { systemctl list-units; }; f`, []string{`systemctl|list-units`, `f`}},
		{`f() { systemctl "$@"; }; f list-units`, []string{`systemctl|$@`, `f|list-units`, `systemctl|list-units`}},
		{`function g { $1 list; }; g launchctl`, []string{`$1|list`, `g|launchctl`, `launchctl|list #variable`}},
		{`(systemctl)`, []string{`systemctl`}},
		{`select x in a b; do systemctl; done`, []string{`systemctl`}},
		{`let x=$(systemctl)`, []string{`systemctl`}},

		// Not for this level.
		{`sh -c 'systemctl list-units'`, []string{`sh|-c|systemctl list-units`}},
		{`eval "sys""temctl"`, []string{`eval|systemctl #quote_split`}},
		{`ssh host 'launchctl list | grep x'`, []string{`ssh|host|launchctl list | grep x`}},
		{``, nil},
		{`   `, nil},
		{`# only a comment`, nil},
		{`x=1`, nil},
		{`> /tmp/empty`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := Parse(tt.text, Options{}, budget())
			if err != nil {
				t.Fatalf("Parse(%q): %v", tt.text, err)
			}
			if diff := cmp.Diff(tt.want, show(got)); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tt.text, diff)
			}
			for _, s := range got {
				if !strings.Contains(tt.text, s.Raw) {
					t.Errorf("raw %q is no part of the text", s.Raw)
				}
			}
		})
	}
}

func TestParseSalvagesBrokenText(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{`systemctl list-units "unterminated`, []string{`systemctl|list-units|unterminated`}},
		{`systemctl status; ( launchctl list`, []string{`systemctl|status`, `launchctl|list`}},
		{`if then; systemctl status; fi; launchctl list`, []string{`systemctl|status`, `launchctl|list`}},
		{`systemctl && launchctl list && )`, []string{`systemctl`, `launchctl|list`}},
		{`) ; systemctl`, []string{`systemctl`}},
		{"foo ) bar\nsystemctl", []string{`systemctl`}},
		{`systemctl $(launchctl list`, []string{`launchctl|list`, `systemctl|$(launchctl list`}},
	}
	for _, tt := range tests {
		got, err := Parse(tt.text, Options{}, budget())
		if err == nil {
			t.Errorf("Parse(%q): want an error", tt.text)
		}
		have := strings.Join(show(got), "\n")
		for _, w := range tt.want {
			if !strings.Contains(have, w) {
				t.Errorf("Parse(%q) = %q, want %q among them", tt.text, show(got), w)
			}
		}
	}
}

func TestParseKnownVariables(t *testing.T) {
	got, err := Parse(`$0 list-units $1 $x`, Options{Vars: map[string]string{"0": "systemctl", "1": "--all", "x": "a b"}}, budget())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`systemctl|list-units|--all|a|b #variable`}, show(got)); diff != "" {
		t.Error(diff)
	}
}

func TestParseBudget(t *testing.T) {
	text := strings.Repeat("systemctl list-units;", 100)
	got, err := Parse(text, Options{}, &dialect.Budget{Steps: 100, Bytes: 1 << 20})
	if !errors.Is(err, ErrBudget) || len(got) == 0 || len(got) >= 100 {
		t.Errorf("%d commands, %v", len(got), err)
	}
	if got, err := Parse("systemctl", Options{}, &dialect.Budget{}); !errors.Is(err, ErrBudget) || len(got) != 0 {
		t.Errorf("with nothing left: %d commands, %v", len(got), err)
	}
	// Values that double do not fill the memory.
	doubling := "a=xxxxxxxxxxxxxxxx;" + strings.Repeat("a=$a$a;", 60) + "$a"
	b := budget()
	if _, err := Parse(doubling, Options{}, b); err != nil && !errors.Is(err, ErrBudget) {
		t.Errorf("doubling: %v", err)
	}
}

func TestParseLimits(t *testing.T) {
	if got, err := Parse("systemctl; "+strings.Repeat("# x\n", maxText/4), Options{}, budget()); !errors.Is(err, ErrTooLong) || len(got) != 1 {
		t.Errorf("a text that is too long: %d commands, %v", len(got), err)
	}
	if got, err := Parse("systemctl; "+strings.Repeat("(", maxText/2), Options{}, budget()); !errors.Is(err, ErrNesting) || len(got) != 1 {
		t.Errorf("a text nested too deeply: %d commands, %v", len(got), err)
	}
	deep := strings.Repeat("( ", 1000) + "systemctl" + strings.Repeat(" )", 1000)
	if _, err := Parse(deep, Options{}, budget()); !errors.Is(err, ErrNesting) {
		t.Errorf("a text nested a thousand deep: %v", err)
	}
}

// Hostile text must cost no more than in proportion to its length.
func TestHostileTextIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: time limits say nothing under -short, which is for the race detector; make test checks them")
	}
	units := []string{
		"(", "{ ", "$(", "`", "\\`", "${", "${a:-", "\"${a:-\"", "$((", "((", "[[ ", "a[", "$[", "<(", "{a,", "{1..9}", "{a,b}", "{", "!", "! ", "~",
		"if a;then ", "while ", "time ", "coproc ", "f() { ", "f() ", "case a in a) ", "for i in a b; do ", "elif ", "else ", "function f ",
		"a|", "a&&", "a;", "a&", "a\n", "a=b ", "a=$a$a;", "$a", "${a#*}", "${a//a/aa}", "'", "\"", "\\", "$'", "<<a ", "<<a\n", "<<<a ", ">a ", "2>&1 ",
		"echo a|", "cat|", "echo a|rev|", "$(echo a)", "a=(", "let ", "a?", "a=", "**", "- ", "-", "declare ", "x ) ;", "; )", "\x00", "\xff", "é", "a'b'", "a\"\"", "\\a",
		"for i in {1..64};do ", "printf '%s' ", "?(", "#", "f(){ f a;f b;};f x;", "a+=aaaaaaaaaaaaaaaa;", "set -- $@ $@ a;", "read a<<<b;", "${!a}", "${a:0:", "${a/",
	}
	prefixes := []string{"", "echo a|", "a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx;", "$((", "[[ "}
	for _, u := range units {
		for _, p := range prefixes {
			text := p + strings.Repeat(u, (64<<10)/len(u))
			start := cputime.Start()
			if _, err := Parse(text, Options{}, budget()); errors.Is(err, ErrInternal) {
				t.Errorf("%q after %q: %v", u, p, err)
			}
			if d := start.Took(); d > 3*time.Second {
				t.Errorf("%d bytes of %q after %q took %v", len(text), u, p, d)
			}
		}
	}
}

// Twice the text must not take much more than twice the time.
func TestParseIsLinear(t *testing.T) {
	if !cputime.Exact {
		t.Skip("NOT TESTED: how the cost grows, where only the time on the wall can be measured")
	}
	measure := func(n int) time.Duration {
		text := strings.Repeat(`x=$(echo c3lz|base64 -d); systemctl "a$x" | grep b; `, n)
		best := time.Hour
		for range 3 {
			start := cputime.Start()
			if _, err := Parse(text, Options{}, &dialect.Budget{Steps: 1 << 30, Bytes: 1 << 30}); err != nil {
				t.Fatal(err)
			}
			best = min(best, start.Took())
		}
		return best
	}
	small, large := measure(200), measure(1600)
	if large > 8*4*small+50*time.Millisecond {
		t.Errorf("8 times the text took %v instead of %v", large, small)
	}
}

func TestFields(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{`systemctl list-units  --all`, []string{"systemctl", "list-units", "--all"}},
		{`sh -c 'systemctl list-units' x`, []string{"sh", "-c", "systemctl list-units", "x"}},
		{`sh -c "a 'b' c"`, []string{"sh", "-c", "a 'b' c"}},
		{`sh -c it's fine`, []string{"sh", "-c", "it's", "fine"}},
		{`echo 'unbalanced here`, []string{"echo", "'unbalanced", "here"}},
		{`awk {print $1} | x;y`, []string{"awk", "{print", "$1}", "|", "x;y"}},
		{`a "" b`, []string{"a", "", "b"}},
		{`a 'b'c' d`, []string{"a", "b'c", "d"}},
		{"a\tb\nc\\ d", []string{"a", "b", "c\\", "d"}},
		{``, nil},
		{`  `, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, Fields(tt.text)); diff != "" {
			t.Errorf("Fields(%q) (-want +got):\n%s", tt.text, diff)
		}
	}
	start := cputime.Start()
	Fields(strings.Repeat("'a ", 1<<17))
	Fields(strings.Repeat("'a \"b ", 1<<16))
	if d := start.Took(); d > time.Second {
		t.Errorf("unbalanced quotes took %v", d)
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"systemct?", "systemctl", true}, {"s*l", "systemctl", true}, {"s*x", "systemctl", false}, {"*", "", true}, {"?", "", false},
		{"[a-s]ystemctl", "systemctl", true}, {"[!a-s]ystemctl", "systemctl", false}, {"[[:lower:]]x", "ax", true}, {"[]a]", "]", true},
		{"[", "[", true}, {`\*`, "*", true}, {`\*`, "a", false}, {"**a**", "bab", true}, {"a", "ab", false}, {"", "", true}, {"", "a", false},
	} {
		if got := match(tt.pattern, tt.s); got != tt.want {
			t.Errorf("match(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`a=sys;b=temctl;$a$b`, `echo c3lz | base64 -d | bash`, `$(rev <<< x) {a,b}`, `for s in a b; do x $s; done`, `f() { "$@"; }; f a`,
		"cat <<-E\n\ta\n\tE\n", `${x:0:3} ${x/a/b} ${x##*/} ${x,,}`, `[[ -n $(a) ]] && ((1+$(b)))`, `printf '%5.2s%b%d' a '\x41' 7 | sh`, `"`, `(`, "\x00`", `$'\u00e9\c'`,
		`cut -c1-3 <<< abcd | tr a-z A-Z`, `a[1]=b; "${a[@]}"`, `select x in`, "<<a <<b\n", "0&&0(",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		start := cputime.Start()
		got, err := Parse(text, Options{}, budget())
		if errors.Is(err, ErrInternal) {
			t.Fatal(err)
		}
		if d := start.Took(); d > 5*time.Second {
			t.Fatalf("took %v", d)
		}
		for i, s := range got {
			if len(s.Argv) == 0 {
				t.Errorf("command %d has no words", i)
			}
			if s.Next == i || s.Next >= len(got) || s.Next < -1 {
				t.Errorf("command %d of %d is piped into %d", i, len(got), s.Next)
			}
		}
		Fields(text)
	})
}

func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{
		"plain":   `systemctl list-units --type=service --all --no-pager`,
		"pipe":    `systemctl list-units --type=service 2>/dev/null | grep running | awk '{print $1}' > /tmp/out`,
		"encoded": `echo c3lzdGVtY3RsIGxpc3QtdW5pdHM= | base64 -d | bash`,
		"hidden":  `a=sys;b='tem'ctl;$a${b:0:6} list-"u"nits`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := Parse(text, Options{}, budget()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFields(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Fields(`systemctl list-units --type=service --all --no-pager`)
	}
}

func TestFieldsAndTheirTails(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want []string
		tail string
	}{
		{"bash -c echo 'a  b' | c", 2, []string{"bash", "-c", "echo", "a  b", "|", "c"}, "echo 'a  b' | c"},
		{"  a\tb  c ", 1, []string{"a", "b", "c"}, "b  c "},
		{"it's a 'b", 0, []string{"it's", "a", "'b"}, "it's a 'b"},
		{"a b", 5, []string{"a", "b"}, ""},
		{"", 0, nil, ""},
	} {
		if d := cmp.Diff(c.want, Fields(c.text)); d != "" {
			t.Errorf("Fields(%q) (-want +got):\n%s", c.text, d)
		}
		if got := Tail(c.text, c.n); got != c.tail {
			t.Errorf("Tail(%q, %d) = %q, want %q", c.text, c.n, got, c.tail)
		}
	}
}

func TestQuoted(t *testing.T) {
	for text, want := range map[string][]string{
		`perl -e 'system('\''x y'\'')'`: {"perl", "-e", "system('x y')"},
		`'a' b ''`:                      {"a", "b", ""},
		"a b":                           nil, // nothing is said about its words
		`sh -c 'a'; b`:                  nil,
		`sh -c 'a`:                      nil,
		`echo "it's"`:                   nil,
		`a\b 'c'`:                       nil,
	} {
		got, ok := Quoted(text)
		if d := cmp.Diff(want, got); ok != (want != nil) || ok && d != "" {
			t.Errorf("Quoted(%q) = %q, %v", text, got, ok)
		}
	}
}
