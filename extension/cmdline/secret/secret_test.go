package secret_test

import (
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/secret"
)

func TestMaskIn(t *testing.T) {
	for in, want := range map[string]string{
		`wmic /node:x /user:a /password:Hunter2 service list`: `wmic /node:x /user:a /password:******** service list`,
		`psexec \\h -u adm -p Hunter2 sc query`:               `psexec \\h -u adm -p ******** sc query`,
		`sshpass -p Hunter2 ssh root@db systemctl`:            `sshpass -p ******** ssh root@db systemctl`,
		`mysql -u root -pHunter2 -e 'select 1'`:               `mysql -u root -p******** -e 'select 1'`,
		`curl -u bob:Hunter2 http://x`:                        `curl -u bob:******** http://x`,
		`git clone https://bob:Hunter2@example.com/x`:         `git clone https://bob:********@example.com/x`,
		`curl -H "Authorization: Bearer Hunter2Hunter2" x`:    `curl -H "Authorization: Bearer ********" x`,
		`net use \\srv\c$ Hunter2 /user:adm`:                  `net use \\srv\c$ ******** /user:adm`,
		`net user bob Hunter2 /add`:                           `net user bob ******** /add`,
		`app --api-key "Hunter 2" run`:                        `app --api-key "********" run`,
		`env PGPASSWORD=Hunter2 psql`:                         `env PGPASSWORD=******** psql`,
		`aws --key AKIAABCDEFGHIJKLMNOP`:                      `aws --key ********`,
		`schtasks /create /ru x /rp Hunter2 /tn y`:            `schtasks /create /ru x /rp ******** /tn y`,
	} {
		if got, masked := secret.MaskIn(in); got != want || !masked {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
	for _, in := range []string{
		"systemctl list-units --type=service", "sc query", `reg query HKLM\SYSTEM\CurrentControlSet\Services`, "ls -la /etc/passwd", "passwd", "cat /etc/passwd -n",
		"tasklist /svc", "ps -p 12", "mkdir -p /tmp/x", "curl https://example.com/a", "ssh -p 22 host", "keytool -list", "",
	} {
		if got, masked := secret.MaskIn(in); got != in || masked {
			t.Errorf("%s became %s", in, got)
		}
	}
}

func FuzzMaskIn(f *testing.F) {
	f.Add(`wmic /password:x y`)
	f.Add(`https://a:b@c`)
	f.Fuzz(func(t *testing.T, s string) {
		once, _ := secret.MaskIn(s)
		if len(once) > len(s)+64*len(secret.Mask) {
			t.Errorf("grew from %d to %d bytes", len(s), len(once))
		}
		if !strings.Contains(once, secret.Mask) && once != s {
			t.Errorf("changed without a mask: %q to %q", s, once)
		}
	})
}
