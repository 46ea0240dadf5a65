// Package secret masks passwords, tokens and keys in command lines before they
// are stored or shown.
package secret

import (
	"regexp"
	"strings"
)

// Mask stands in place of a secret.
const Mask = "********"

// value is one argument: quoted, or up to the next blank.
const value = `("[^"]+"|'[^']+'|[^\s"'&|;]+)`

// A pattern's first group is kept, its second is the secret.
var patterns = []*regexp.Regexp{
	// --password x, -password=x, /password:x, --api-key x, PGPASSWORD=x, pwd: x
	regexp.MustCompile(`(?i)((?:^|[\s"'/&;?,({-])[a-z0-9_-]{0,40}(?:passw(?:or)?d|passwd|passphrase|passwort|secret|api[_-]?key|apikey|access[_-]?key|auth[_-]?token|access[_-]?token|client[_-]?secret|private[_-]?key|token|pwd)["']?\s*(?:[:=]\s*|\s+))` + value),
	// psexec \\h -u user -p pw, sshpass -p pw, schtasks /rp pw, winrs -p:pw, wmic /password handled above
	regexp.MustCompile(`(?i)((?:psexec(?:64)?(?:\.exe)?|paexec(?:\.exe)?|csexec(?:\.exe)?|winexe|sshpass|plink(?:\.exe)?|pscp(?:\.exe)?|psservice(?:64)?(?:\.exe)?|smbclient|tasklist(?:\.exe)?|driverquery(?:\.exe)?|schtasks(?:\.exe)?|systeminfo(?:\.exe)?|winrs(?:\.exe)?)"?\s(?:[^&|\n]*?\s)?[-/](?:p|rp|pw)(?::|\s+))` + value),
	// net use \\h\share pw /user:x, net user name pw /add
	regexp.MustCompile(`(?i)(\bnet1?(?:\.exe)?"?\s+use\s+(?:\S+\s+)?\\\\\S+\s+)([^\s/"]\S*|"[^"]+")(?:\s+/user)`),
	regexp.MustCompile(`(?i)(\bnet1?(?:\.exe)?"?\s+user\s+\S+\s+)([^\s/"]\S*|"[^"]+")(?:\s+/(?:add|domain))`),
	// mysql -pSECRET, mysqladmin
	regexp.MustCompile(`(?i)(\bmysql(?:admin|dump)?\s(?:[^&|\n]*?\s)?-p)([^\s]+)`),
	// curl -u user:pw, wget --user, http basic
	regexp.MustCompile(`(?i)(\b(?:curl|wget|http|xh)\b[^&|\n]*?\s(?:-u|--user|--proxy-user)[\s=]+["']?[^\s:"']+:)([^\s"']+)`),
	// scheme://user:pw@host
	regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]{1,20}://[^\s/:@"']*:)([^\s/@"']+)@`),
	// Authorization: Bearer x
	regexp.MustCompile(`(?i)((?:authorization|x-api-key|x-auth-token|private-token)\s*[:=]\s*(?:basic|bearer|token)?\s*)([^\s"']{6,})`),
	// ConvertTo-SecureString 'x'
	regexp.MustCompile(`(?i)(convertto-securestring\s+(?:-string\s+)?)` + value),
	// well-known token forms: AWS, GitHub, Slack, JWT, private keys, GCP
	regexp.MustCompile(`()\b((?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}|xox[abprs]-[A-Za-z0-9-]{10,255}|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|AIza[0-9A-Za-z_-]{35}|glpat-[0-9A-Za-z_-]{20,64}|sk_live_[0-9a-zA-Z]{16,128})`),
	regexp.MustCompile(`(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.+?)(?:-----END|$)`),
}

// hints are lower-case texts of which one occurs in everything the patterns
// match: most command lines are told apart by them.
var hints = []string{
	"pass", "pwd", "secret", "key", "token", "psexec", "paexec", "csexec", "winexe", "plink", "pscp", "psservice", "smbclient",
	"tasklist", "driverquery", "schtasks", "systeminfo", "winrs", "use ", "user ", "mysql", "curl", "wget", "http", "://",
	"authorization", "x-a", "securestring", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "xox", "eyj", "aiza", "glpat", "sk_live",
}

// MaskIn returns s with every secret replaced, and whether there was one.
func MaskIn(s string) (string, bool) {
	lower := strings.ToLower(s)
	hinted := false
	for _, h := range hints {
		if strings.Contains(lower, h) {
			hinted = true
			break
		}
	}
	if !hinted {
		return s, false
	}
	masked := false
	for _, re := range patterns {
		s = replace(re, s, &masked)
	}
	return s, masked
}

// replace masks the second group of every match.
func replace(re *regexp.Regexp, s string, masked *bool) string {
	found := re.FindAllStringSubmatchIndex(s, 64)
	if len(found) == 0 {
		return s
	}
	var b strings.Builder
	last := 0
	for _, m := range found {
		from, to := m[4], m[5]
		if from < last || from < 0 {
			continue
		}
		secret := s[from:to]
		if secret == Mask || strings.Trim(secret, `"'`) == Mask || harmless(secret) {
			continue
		}
		b.WriteString(s[last:from])
		if q := secret[0]; (q == '"' || q == '\'') && len(secret) > 1 && secret[len(secret)-1] == q {
			b.WriteByte(q)
			b.WriteString(Mask)
			b.WriteByte(q)
		} else {
			b.WriteString(Mask)
		}
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
// variables and prompts.
func harmless(s string) bool {
	t := strings.Trim(s, `"'`)
	return t == "" || t == "*" || strings.HasPrefix(t, "-") || strings.HasPrefix(t, "$") || strings.HasPrefix(t, "%") ||
		strings.HasPrefix(t, "/") || t == "=" || strings.HasPrefix(t, "|") || strings.HasPrefix(t, ">")
}
