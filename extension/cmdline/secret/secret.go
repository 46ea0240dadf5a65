// Package secret masks passwords, tokens and keys in command lines before they
// are stored or shown.
package secret

import (
	"math/bits"
	"regexp"
	"strings"
)

// Mask stands in place of a secret.
const Mask = "********"

const (
	// value is one argument: quoted, or up to the next blank.
	value = `(\\"[^"]*\\"|"[^"]*"|'[^']*'|[^\s"'&|;]+)`
	// name is what a setting is called whose value is a secret.
	name = `(?:passw(?:or)?d|passwd|passphrase|passwort|storepass|keypass|secret|(?:secret[_-]?)?access[_-]?key|api[_-]?key|auth[_-]?token|access[_-]?token|session[_-]?token|client[_-]?secret|private[_-]?key|token|pwd)`
	// account is an argument of net, where a slash begins a switch.
	account = `([^\s/"&|<>][^\s"&|]*|"[^"]+")`
	// between is the rest of a command up to one of its options.
	between = `"?\s(?:[^&|\n]*?\s)?`
)

// pattern is one form of secret. The expression's first group is kept, its second
// is the secret. One of the hints, in lower case, occurs in all that it matches:
// most command lines hold none of them, and no expression is tried.
type pattern struct {
	re    *regexp.Regexp
	hints []string
}

func form(expression string, hints ...string) pattern {
	return pattern{re: regexp.MustCompile(expression), hints: hints}
}

var patterns = []pattern{
	// PGPASSWORD=x, password= x, "api_key": "x", /password:x, db.password=x
	form(`(?i)((?:^|[^a-z0-9])[a-z0-9_.-]{0,40}`+name+`\\?["']?\s*[:=]\s*)`+value, names...),
	form(`(?i)((?:^|[^a-z0-9])pass[:=])`+value, "pass:", "pass="),
	// --password x, -Token x, aws_secret_access_key x; a name alone is a word like
	// any other ("kubectl get secret x", net start "Password Manager")
	form(`(?i)((?:^|[\s"'(])(?:--?|/)[a-z0-9_.-]{0,40}`+name+`\\?["']?\s+)`+value, names...),
	form(`(?i)(\baws_(?:secret_access_key|session_token)\s+)`+value, "aws_"),
	// psexec \\h -u user -p pw, schtasks /rp pw, winrs -p:pw, plink -pw pw
	form(`(?i)(\b(?:psexec(?:64)?|paexec|csexec|winexe|sshpass|plink|pscp|psftp|psservice(?:64)?|tasklist|driverquery|schtasks|systeminfo|winrs|evil-winrm|crackmapexec|cme|netexec|nxc|mongo(?:sh|dump|restore|export)?|docker\s+login|podman\s+login|az\s+login|useradd|usermod)(?:\.exe)?`+between+`[-/](?:p|rp|pw)(?::|\s+))`+value,
		"psexec", "paexec", "csexec", "winexe", "sshpass", "plink", "pscp", "psftp", "psservice", "tasklist", "driverquery", "schtasks", "systeminfo", "winrs", "evil-winrm", "crackmapexec", "cme", "netexec", "nxc", "mongo", "login", "useradd", "usermod"),
	form(`(\b(?:sshpass|7za?|7zz)(?:\.exe)?`+between+`-p)`+value, "sshpass", "7z"),
	form(`(\b(?:un)?rar(?:\.exe)?`+between+`-h?p)`+value, "rar"),
	// -P pw of Microsoft's and the archivers' tools, which is not -p
	form(`((?i:\b(?:sqlcmd|osql|isql|bcp|zip|unzip))(?i:\.exe)?`+between+`-P\s*)`+value, "sqlcmd", "osql", "isql", "bcp", "zip"),
	form(`(\bldap(?:search|modify|add|delete|whoami|passwd|compare)`+between+`-w\s*)`+value, "ldap"),
	form(`(\bredis-cli`+between+`-a\s+)`+value, "redis-cli"),
	form(`(\bssh-keygen`+between+`-[NP]\s+)`+value, "ssh-keygen"),
	form(`(\bopenssl`+between+`-k\s+)`+value, "openssl"),
	form(`(\bvault\s+login\s+)`+value, "vault"),
	form(`(\bhtpasswd\s+-[a-zA-Z]*b[a-zA-Z]*\s+\S+\s+\S+\s+)`+value, "htpasswd"),
	form(`(?i)(\bmysql(?:admin|dump|import|check)?(?:\.exe)?`+between+`-p)`+value, "mysql"),
	// net use \\h\share pw /user:x and the other way round, net user name pw /add
	form(`(?i)(\bnet1?(?:\.exe)?"?\s+use\s+(?:\S+\s+)?\\\\\S+\s+)`+account+`(?:\s+/user)`, "/user"),
	form(`(?i)(\bnet1?(?:\.exe)?"?\s+use\s+[^&|\n]*?/user:\S+\s+)`+account, "/user"),
	form(`(?i)(\bnet1?(?:\.exe)?"?\s+user\s+\S+\s+)`+account+`(?:\s+/(?:add|domain))`, "user"),
	// smbclient -U user%pw
	form(`(?i)(\b(?:smbclient|rpcclient|winexe|smbmap|smbget|net\s+rpc)\b`+between+`-U\s*["']?[^\s%"']+%)([^\s"']+)`, "smbclient", "rpcclient", "winexe", "smbmap", "smbget", "rpc"),
	// impacket's domain/user:pw@host
	form(`(?i)(\b(?:impacket-)?(?:psexec|wmiexec|smbexec|atexec|dcomexec|secretsdump|mssqlclient|lookupsid|samrdump|services|reg|smbclient|getuserspns|getnpusers)(?:\.py)?`+between+`["']?(?:[\w.-]+/)?[\w.$-]+:)([^\s@"']+)@`, "exec", "secretsdump", "mssqlclient", "lookupsid", "samrdump", "services.py", "impacket-", "reg.py", "smbclient", "getuserspns", "getnpusers"),
	// password hashes that serve as passwords
	form(`(?i)(\b)([0-9a-f]{32}:[0-9a-f]{32})\b`, hexBefore...),
	form(`(?i)((?:/(?:ntlm|rc4|aes128|aes256|des):|-hashes?\s+[^\s:]*:|\s-H\s+:?))([0-9a-f]{32,64})\b`, "/ntlm:", "/rc4:", "/aes", "/des:", "-h"),
	// echo pw | sudo -S, echo user:pw | chpasswd
	form(`(\b(?:echo|printf)\s+)`+value+`\s*\|\s*sudo\s(?:[^|&\n]*\s)?-S\b`, "sudo"),
	form(`(\b(?:echo|printf)\s+["']?[^\s:"'|]+:)([^\s"'|]+)["']?\s*\|\s*(?:sudo\s+)?chpasswd`, "chpasswd"),
	form(`(\bchpasswd\s*<<<\s*["']?[^\s:"']+:)([^\s"']+)`, "chpasswd"),
	// curl -u user:pw, wget --user, http basic
	form(`(?i)(\b(?:curl|wget|https?|xh|l?ftp)\b[^&|\n]*?\s(?:-u|--user|--proxy-user)[\s=]*["']?[^\s:"']+:)([^\s"'@]+)`, "curl", "wget", "http", "xh", "ftp"),
	// scheme://user:pw@host
	form(`(?i)([a-z][a-z0-9+.-]{1,20}://[^\s/:@"']*:)([^\s/@"']+)@`, "://"),
	// Authorization: Bearer x
	form(`(?i)((?:authorization|x-api-key|x-auth-token|private-token)\s*[:=]\s*(?:basic\s+|bearer\s+|token\s+)?)([^\s"']{6,})`, "authorization", "x-api-key", "x-auth-token", "private-token"),
	// ConvertTo-SecureString 'x'
	form(`(?i)(convertto-securestring\s+(?:-string\s+)?)`+value, "securestring"),
	// well-known token forms: AWS, GitHub, Slack, JWT, Google, GitLab, Stripe, Vault
	form(`(\b)((?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}|xox[abprs]-[A-Za-z0-9-]{10,255}|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|AIza[0-9A-Za-z_-]{35}|glpat-[0-9A-Za-z_-]{20,64}|sk_live_[0-9a-zA-Z]{16,128}|hvs\.[A-Za-z0-9_-]{20,255})`,
		"akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "xox", "eyj", "aiza", "glpat", "sk_live", "hvs."),
	form(`(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.+?)(?:-----END|$)`, "private key-----"),
}

// names are the hints of a setting's name.
var names = []string{"passw", "passphrase", "storepass", "keypass", "secret", "key", "token", "pwd"}

// hexBefore is what the colon between two hashes follows.
var hexBefore = []string{"0:", "1:", "2:", "3:", "4:", "5:", "6:", "7:", "8:", "9:", "a:", "b:", "c:", "d:", "e:", "f:"}

// hint is where to look for a text and what it makes worth trying.
type hint struct {
	text    string
	pattern int
}

// hints are all patterns' hints by their first two bytes.
var hints = func() (table [128][128][]hint) {
	for i, p := range patterns {
		for _, h := range p.hints {
			table[h[0]][h[1]] = append(table[h[0]][h[1]], hint{text: h, pattern: i})
		}
	}
	return table
}()

// worthTrying returns the set of patterns that may match s, one bit for each.
func worthTrying(s string) (set uint64) {
	for i := 0; i+1 < len(s); i++ {
		a, b := lower(s[i]), lower(s[i+1])
		if a >= 128 || b >= 128 {
			continue
		}
		for _, h := range hints[a][b] {
			if set&(1<<h.pattern) == 0 && len(s)-i >= len(h.text) && equalFold(s[i:i+len(h.text)], h.text) {
				set |= 1 << h.pattern
			}
		}
	}
	return set
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold compares with a text in lower case.
func equalFold(s, text string) bool {
	for i := range len(text) {
		if lower(s[i]) != text[i] {
			return false
		}
	}
	return true
}

// MaskIn returns s with every secret replaced, and whether there was one.
func MaskIn(s string) (string, bool) {
	masked := false
	for set := worthTrying(s); set != 0; set &= set - 1 {
		s = replace(patterns[bits.TrailingZeros64(set)].re, s, &masked)
	}
	return s, masked
}

// replace masks the second group of every match.
func replace(re *regexp.Regexp, s string, masked *bool) string {
	var b strings.Builder
	last := 0
	for _, m := range re.FindAllStringSubmatchIndex(s, -1) {
		from, to := m[4], m[5]
		secret := s[from:to]
		if from < last || strings.Contains(secret, Mask) || harmless(secret) {
			continue
		}
		// Quotes stay, so that what is around them reads on as it did.
		for _, q := range []string{`\"`, `"`, `'`} {
			if len(secret) >= 2*len(q) && strings.HasPrefix(secret, q) && strings.HasSuffix(secret, q) {
				from, to = from+len(q), to-len(q)
				break
			}
		}
		b.WriteString(s[last:from])
		b.WriteString(Mask)
		last = to
		*masked = true
	}
	if last == 0 {
		return s
	}
	b.WriteString(s[last:])
	return b.String()
}

// harmless keeps words that stand where a secret would but are none: switches,
// variables, expressions and prompts.
func harmless(s string) bool {
	t := strings.Trim(s, `\"'`)
	if len(t) > 2 && t[0] == '$' && strings.IndexByte(t[1:], '$') > 0 {
		return false // $6$..., a hash of crypt(3)
	}
	return t == "" || t == "*" || t == "=" || strings.IndexByte("-$%/|<>(){}", t[0]) >= 0
}
