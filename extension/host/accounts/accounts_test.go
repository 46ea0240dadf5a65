package accounts

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

func told(name string, r Roles) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", name)
	for _, s := range r.List {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	for _, s := range r.Problems {
		fmt.Fprintf(&b, "  ? %s\n", s)
	}
	return b.String()
}

const passwd = `root:x:0:0:root:/root:/bin/bash
al:x:1000:1000:Al:/home/al:/bin/bash
bo:x:1001:100::/home/bo:/bin/sh
cy:x:1002:1002::/home/cy:/bin/sh
toor:x:0:0::/root:/bin/sh
www-data:x:33:33::/var/www:/usr/sbin/nologin
short:x
bad:x:x:1
`

const group = `root:x:0:
sudo:x:27:al
adm:x:4:al,syslog
docker:x:998:bo,al
users:x:100:
al:x:1000:
cy:x:1002:bo
dev ops:x:1500:cy
nonsense
www-data:x:33:
`

const sudoersText = `# The first line.
Defaults	env_reset, secure_path="/usr/bin:/bin"   # a # here
Defaults:cy !authenticate
Defaults!/usr/bin/less !authenticate
User_Alias OPS = bo, %dev\ ops : NOBODY = ALL, !ALL
User_Alias LOOP = LOOP
Host_Alias WEB = web1, web2
Cmnd_Alias REBOOT = /sbin/reboot
root ALL=(ALL:ALL) ALL
%sudo	ALL=(ALL:ALL) ALL
OPS  WEB, !web9 = (root) NOPASSWD: /usr/bin/systemctl restart nginx, PASSWD: /usr/bin/apt, \
       (postgres:postgres) NOPASSWD: SETENV: /usr/bin/psql -c a\,b\=c, REBOOT
NOBODY ALL = NOPASSWD: ALL
LOOP ALL = NOPASSWD: ALL
ALL, !al ALL = /usr/bin/id # for all others
#1000 ALL=(#33, www-data) sha256:c29tZQ== /usr/bin/env, ROLE=unconfined_r !/bin/sh
"al" , %#998 ALL = (ALL) NOPASSWD:EXEC: /usr/bin/docker
%:domain ALL = ALL
+net ALL = ALL
nonsense
= ALL
al ALL
al = ALL
al ALL = 
al ALL = (root
@include /etc/sudo-other
#includedir /etc/sudoers.d
@includedir sudoers.more
`

// tree makes a host's files.
func tree(t *testing.T, texts map[string]string) Options {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: the account files of a Linux host, on Windows")
	}
	root := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o440); err != nil {
			t.Fatal(err)
		}
	}
	return Options{Root: root, Trust: []uint32{uint32(max(os.Geteuid(), 0))}}
}

func TestRoles(t *testing.T) {
	var all []string
	for i := range 30 {
		all = append(all, fmt.Sprintf("/usr/bin/tool%d", i))
	}
	o := tree(t, map[string]string{
		"/etc/passwd": passwd, "/etc/group": group, "/etc/sudoers": sudoersText, "/etc/sudoers.d/10-bo": "bo ALL=(ALL) NOPASSWD:ALL",
		"/etc/sudoers.d/20": "cy ALL=" + strings.Join(all, ", ") + "\nbo ALL=/usr/bin/" + strings.Repeat("x", 200), "/etc/sudoers.d/al.old": "al ALL=NOPASSWD: ALL", "/etc/sudoers.d/al~": "al ALL=NOPASSWD: ALL",
		"/etc/nsswitch.conf": "passwd: files sss\ngroup: files [SUCCESS=merge] systemd sss # ldap\nsudoers:\tfiles sss\n",
	})
	var b strings.Builder
	for _, name := range []string{"root", "al", "1001", "cy", "toor", "www-data", "nobody@example.com", ""} {
		b.WriteString(told(name, NewFiles(o).Roles(name)))
	}
	golden(t, "roles", b.String())
}

// TestOthersFiles: what others could write says nothing.
func TestOthersFiles(t *testing.T) {
	o := tree(t, map[string]string{
		"/etc/passwd": passwd, "/etc/group": group, "/etc/sudoers": "@includedir /etc/sudoers.d\nal ALL=ALL\n",
		"/etc/sudoers.d/a": "al ALL=NOPASSWD: ALL", "/etc/sudoers.d/b": "al ALL=NOPASSWD: /bin/b", "/etc/sudoers.d/d/x": "",
	})
	if err := os.Chmod(filepath.Join(o.Root, "/etc/sudoers.d/a"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/sudoers.d/a", filepath.Join(o.Root, "/etc/sudoers.d/c")); err != nil {
		t.Skip("NOT TESTED: links to others' files:", err)
	}
	want := Roles{List: []string{"member of sudo", "member of adm (may read logs)", "member of docker (as good as root)", "NOPASSWD in /etc/sudoers.d/b (/bin/b)", "sudo in /etc/sudoers (ALL)"},
		Problems: []string{"/etc/sudoers.d/a was not read: others than root can write /etc/sudoers.d/a", "/etc/sudoers.d/c was not read: others than root can write /etc/sudoers.d/a"}}
	if d := cmp.Diff(want, NewFiles(o).Roles("al")); d != "" {
		t.Error(d)
	}
	if err := os.Chmod(filepath.Join(o.Root, "/etc/sudoers.d"), 0o777); err != nil {
		t.Fatal(err)
	}
	want.List = []string{want.List[0], want.List[1], want.List[2], want.List[4]}
	want.Problems = []string{"/etc/sudoers.d was not read: others than root can write /etc/sudoers.d"}
	if d := cmp.Diff(want, NewFiles(o).Roles("al")); d != "" {
		t.Error(d)
	}
}

// TestNoFiles: without files nothing is known, and that is said.
func TestNoFiles(t *testing.T) {
	r := NewFiles(Options{Root: t.TempDir()}).Roles("al")
	if len(r.List) != 0 || len(r.Problems) != 2 || !strings.HasPrefix(r.Problems[0], "/etc/passwd could not be read: ") {
		t.Errorf("%+v", r)
	}
}

// TestManyRules: bounds hold and are told.
func TestManyRules(t *testing.T) {
	texts := map[string]string{"/etc/passwd": passwd, "/etc/group": group, "/etc/sudoers": "#includedir /etc/sudoers.d\n"}
	for i := range maxIncluded + 10 {
		texts[fmt.Sprintf("/etc/sudoers.d/%03d", i)] = "al ALL = ALL\n@includedir /etc/sudoers.d\n"
	}
	r := NewFiles(tree(t, texts)).Roles("al")
	if len(r.List) != maxRoles || len(r.Problems) != maxProblems {
		t.Errorf("%d roles, %d problems", len(r.List), len(r.Problems))
	}
}

// TestAliasesThatMultiply ends soon.
func TestAliasesThatMultiply(t *testing.T) {
	var b strings.Builder
	for i := range 12 {
		fmt.Fprintf(&b, "User_Alias A%d = x%s\n", i, strings.Repeat(fmt.Sprintf(",A%d", i+1), 100))
	}
	b.WriteString("A0 ALL = ALL\n")
	r := NewFiles(tree(t, map[string]string{"/etc/passwd": passwd, "/etc/group": group, "/etc/sudoers": b.String()})).Roles("cy")
	if d := cmp.Diff(Roles{List: []string{"member of dev ops"}, Problems: []string{"sudo's aliases are too many to be followed"}}, r); d != "" {
		t.Error(d)
	}
}

// answers answers statements by what they hold, and notes them.
type answers struct {
	rows map[string][]map[string]string
	sql  []string
	fail bool
}

func (a *answers) Query(_ context.Context, sql string) ([]map[string]string, error) {
	a.sql = append(a.sql, sql)
	if a.fail {
		return nil, errors.New("no socket")
	}
	for key, rows := range a.rows {
		if strings.Contains(sql, key) {
			return rows, nil
		}
	}
	return nil, nil
}

func TestCore(t *testing.T) {
	rows := map[string][]map[string]string{
		"FROM users":       {{"uid": "501"}, {"uid": "x'; --"}},
		"FROM user_groups": {{"gid": "20"}, {"gid": "80"}},
		"FROM groups":      {{"gid": "80", "groupname": "admin"}, {"gid": "20", "groupname": "staff"}},
		"FROM sudoers": {{"source": "/etc/sudoers", "header": "%admin", "rule_details": "ALL = (ALL) ALL"}, {"source": "/etc/sudoers", "header": "#includedir", "rule_details": "/private/etc/sudoers.d"},
			{"source": "/private/etc/sudoers.d/al", "header": "al", "rule_details": "ALL = (ALL) NOPASSWD: ALL"}},
	}
	windows := func(kind string, same int, groups ...string) answers {
		a := answers{rows: map[string][]map[string]string{
			"WHERE lower(username)": {{"uid": "1001", "type": kind}}, "WHERE uuid": {{"uid": "1001", "type": kind}},
			"FROM user_groups": nil, "FROM groups": nil,
		}}
		for range same {
			a.rows["FROM users WHERE uid"] = append(a.rows["FROM users WHERE uid"], map[string]string{"uid": "1001"})
		}
		for _, g := range groups {
			gid, name, _ := strings.Cut(g, " ")
			a.rows["FROM user_groups"] = append(a.rows["FROM user_groups"], map[string]string{"gid": gid})
			a.rows["FROM groups"] = append(a.rows["FROM groups"], map[string]string{"gid": gid, "groupname": name})
		}
		return a
	}
	two := windows("local", 1, "544 Administrators")
	two.rows["WHERE lower(username)"] = append(two.rows["WHERE lower(username)"], map[string]string{"uid": "1104", "type": "roaming"})
	var b strings.Builder
	for _, c := range []struct {
		user     string
		platform evidence.Platform
		a        answers
	}{
		{"al", evidence.Darwin, answers{rows: rows}},
		{`WS-7\O'Neil`, evidence.Windows, windows("local", 1, "544 Administratoren", "545 Benutzer")},
		{`WORKSTATION-0123\kim`, evidence.Windows, windows("local", 1, "545 Users")},
		{`ws-7\kim`, evidence.Windows, windows("local", 1, "545 Users", "551 Backup Operators")},
		{`kim`, evidence.Windows, windows("local", 1)},
		{`.\kim`, evidence.Windows, windows("local", 2, "544 Administrators")},
		{`CORP\kim`, evidence.Windows, windows("roaming", 1, "544 Administrators")},
		{`CORP\kim`, evidence.Windows, windows("roaming", 1, "545 Users")},
		{`CORP\kim`, evidence.Windows, windows("local", 1, "544 Administrators")},
		{`WS-7\kim`, evidence.Windows, two},
		{`S-1-5-21-1-2-3-1001`, evidence.Windows, windows("local", 1, "544 Administrators")},
		{"nobody", evidence.Windows, answers{}},
		{"al", evidence.Windows, answers{fail: true}},
		{"al", evidence.Darwin, answers{fail: true}},
	} {
		host := "ws-7.corp.example"
		if strings.HasPrefix(c.user, "WORK") {
			host = "workstation-0123-east"
			c.user = `WORKSTATION-012\kim`
		}
		r := NewCore(&c.a, c.platform, host).Roles(context.Background(), c.user)
		b.WriteString(told(c.user, r))
		fmt.Fprintf(&b, "  administrator: %v\n", r.Administrator())
		for _, q := range c.a.sql {
			fmt.Fprintf(&b, "  %s\n", q)
		}
	}
	golden(t, "core", b.String())
}

func FuzzSudoers(f *testing.F) {
	f.Add(sudoersText)
	f.Add("al ALL = \\\n")
	f.Add("User_Alias A=B:B=A\nA ALL=ALL")
	f.Fuzz(func(t *testing.T, text string) {
		var r Roles
		s := sudoers{roles: &r, aliases: map[string][]string{}}
		s.parse("/etc/sudoers", text, 0)
		p := person{name: "al", uid: "1000", groups: []string{"sudo"}, gids: []string{"27"}}
		s.judge(&p)
		if len(r.List) > maxRoles || len(r.Problems) > maxProblems {
			t.Fatalf("%d roles, %d problems", len(r.List), len(r.Problems))
		}
		for _, role := range r.List {
			if !strings.HasPrefix(role, "sudo") && !strings.HasPrefix(role, "NOPASSWD") {
				t.Fatalf("role %q", role)
			}
		}
	})
}

func FuzzAccounts(f *testing.F) {
	f.Add(passwd, group, "al")
	f.Fuzz(func(t *testing.T, passwd, group, name string) {
		p := person{name: name}
		p.find(passwd)
		p.join(group)
		if len(p.groups) != len(p.gids) {
			t.Fatalf("%d groups, %d numbers", len(p.groups), len(p.gids))
		}
	})
}
