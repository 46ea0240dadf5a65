package evtx

import (
	"encoding/xml"
	"io"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// securityChange begins a change that the subject of a Security event made.
func securityChange(r *record, kind string) evidence.Change {
	d := r.data
	return evidence.Change{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceSecurity, EID: r.eid, Kind: kind,
		Username: account(text(d, "SubjectDomainName"), text(d, "SubjectUserName")), UID: known(text(d, "SubjectUserSid")),
	}
}

// accountEvents are the Security events of accounts and groups: what it is, and
// what was done to it. Those of machines' own passwords (4742) are not among them.
var accountEvents = map[int64][2]string{
	4720: {"user", "created"}, 4722: {"user", "enabled"}, 4723: {"user", "password change tried by its user"}, 4724: {"user", "password reset"},
	4725: {"user", "disabled"}, 4726: {"user", "deleted"}, 4738: {"user", "changed"}, 4740: {"user", "locked out"}, 4767: {"user", "unlocked"},
	4781: {"user", "renamed"},
	4741: {"computer", "created"}, 4743: {"computer", "deleted"},
	4727: {"group", "created"}, 4728: {"group", "member added"}, 4729: {"group", "member removed"}, 4730: {"group", "deleted"}, 4737: {"group", "changed"},
	4731: {"group", "created"}, 4732: {"group", "member added"}, 4733: {"group", "member removed"}, 4734: {"group", "deleted"}, 4735: {"group", "changed"},
	4754: {"group", "created"}, 4756: {"group", "member added"}, 4757: {"group", "member removed"}, 4758: {"group", "deleted"}, 4755: {"group", "changed"},
}

// attributes are what 4738 tells of an account, in its own words.
var attributes = []string{"SamAccountName", "DisplayName", "UserPrincipalName", "HomeDirectory", "HomePath", "ScriptPath", "ProfilePath", "UserWorkstations",
	"PasswordLastSet", "AccountExpires", "PrimaryGroupId", "AllowedToDelegateTo", "UserAccountControl", "SidHistory", "LogonHours"}

func (e *Reader) accountChange(b *Batch, r *record) {
	d := r.data
	id, _ := number(r.system, "EventID")
	what := accountEvents[id]
	c := securityChange(r, evidence.ChangeAccount)
	name := account(text(d, "TargetDomainName"), text(d, "TargetUserName"))
	c.Detail = what[1]
	switch id {
	case 4781:
		name = account(text(d, "TargetDomainName"), text(d, "OldTargetUserName"))
		c.Detail += " to " + clip(dash(text(d, "NewTargetUserName")))
	case 4738:
		var changed []string
		for _, a := range attributes {
			if v := dash(strings.TrimSpace(text(d, a))); v != "" {
				changed = append(changed, a)
			}
		}
		if len(changed) > 0 {
			c.Detail += ": " + strings.Join(changed, ", ")
		}
	}
	if strings.HasPrefix(what[1], "member ") {
		member := dash(text(d, "MemberName"))
		if member == "" {
			member = text(d, "MemberSid")
		}
		c.Detail += ": " + clip(member)
	}
	if name == "" {
		return
	}
	c.Subject = what[0] + " " + clip(name)
	b.Changes = append(b.Changes, c)
}

// logCleared reads 1102 and 104.
func (e *Reader) logCleared(b *Batch, r *record) {
	c := securityChange(r, evidence.ChangeAudit)
	log := text(r.data, "Channel")
	if log == "" {
		log = text(r.system, "Channel")
	}
	if log != "Security" {
		c.Source = SourceSystem
	}
	if c.UID == "" {
		c.UID = sid(text(dict(r.system, "Security"), "UserID"))
	}
	c.Subject, c.Detail = "log "+clip(log), "cleared"
	if to := text(r.data, "BackupPath"); to != "" {
		c.Detail += ", saved as " + clip(to)
	}
	b.Changes = append(b.Changes, c)
}

// policies are the audit policies that matter here, by the number of their names.
var policies = map[string]string{
	"%%12289": "Security System Extension", "%%12544": "Logon", "%%12545": "Logoff", "%%12548": "Special Logon", "%%12804": "Other Object Access Events",
	"%%13312": "Process Creation", "%%13568": "Audit Policy Change", "%%13824": "User Account Management", "%%13826": "Security Group Management",
	"%%12810": "Filtering Platform Connection",
}

var policyWords = strings.NewReplacer("%%8448", "success removed", "%%8449", "success added", "%%8450", "failure removed", "%%8451", "failure added")

// auditPolicy reads 4719.
func (e *Reader) auditPolicy(b *Batch, r *record) {
	c := securityChange(r, evidence.ChangeAudit)
	sub := text(r.data, "SubcategoryId")
	if name := policies[sub]; name != "" {
		sub = name
	} else if id := text(r.data, "SubcategoryGuid"); id != "" {
		sub = id
	}
	c.Subject, c.Detail = "audit policy "+clip(sub), policyWords.Replace(clip(text(r.data, "AuditPolicyChanges")))
	b.Changes = append(b.Changes, c)
}

var taskWords = map[int64]string{4698: "created", 4699: "deleted", 4700: "enabled", 4701: "disabled", 4702: "changed"}

// task reads the events of scheduled tasks.
func (e *Reader) task(b *Batch, r *record) {
	id, _ := number(r.system, "EventID")
	c := securityChange(r, evidence.ChangeFile)
	name := text(r.data, "TaskName")
	if name == "" {
		return
	}
	c.Subject, c.Detail = "task "+clip(name), taskWords[id]
	content := text(r.data, "TaskContent")
	if content == "" {
		content = text(r.data, "TaskContentNew")
	}
	if runs := taskCommands(content); runs != "" && id != 4699 {
		c.Detail += ": " + clip(runs)
	}
	b.Changes = append(b.Changes, c)
}

// maxTaskTokens bounds the XML of a task that is read; its text fits in a record.
const maxTaskTokens = 4096

// taskCommands returns the commands of a task's definition.
func taskCommands(content string) string {
	dec := xml.NewDecoder(strings.NewReader(content))
	dec.Strict = false
	// It says UTF-16, and was that until it got here.
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var out strings.Builder
	element := ""
	for range maxTaskTokens {
		t, err := dec.Token()
		if err != nil {
			break
		}
		switch t := t.(type) {
		case xml.StartElement:
			element = t.Name.Local
		case xml.EndElement:
			element = ""
		case xml.CharData:
			s := strings.TrimSpace(string(t))
			if s == "" || out.Len() > maxDetail {
				continue
			}
			switch element {
			case "Command":
				if out.Len() > 0 {
					out.WriteString("; ")
				}
				out.WriteString(s)
			case "Arguments":
				out.WriteString(" " + s)
			case "ClassId":
				if out.Len() > 0 {
					out.WriteString("; ")
				}
				out.WriteString("COM class " + s)
			}
		}
	}
	return out.String()
}

// sysmonFile reads Sysmon 11: files in a folder of services. All others are told
// of by what runs them.
func (e *Reader) sysmonFile(b *Batch, r *record) {
	d := r.data
	file := text(d, "TargetFilename")
	if !strings.Contains(strings.ToLower(file), `\services\`) {
		return
	}
	b.Changes = append(b.Changes, evidence.Change{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceSysmon, EID: r.eid, Kind: evidence.ChangeFile,
		Subject: clip(file), Detail: "created by " + clip(text(d, "Image")), PID: anyNumber(d, "ProcessId"), Username: dash(text(d, "User")),
	})
}

// installer reads what Windows Installer did.
func (e *Reader) installer(b *Batch, r *record) {
	id, _ := number(r.system, "EventID")
	values := positional(r.data)
	at := func(n int) string {
		if n < len(values) && values[n] != "(NULL)" {
			return values[n]
		}
		return ""
	}
	c := systemChange(r, SourceApplication, evidence.ChangePackage)
	product, status := at(0), at(3)
	c.Detail = "installed"
	switch id {
	case 1033:
	case 1034:
		c.Detail = "removed"
	case 1036:
		status = at(4)
		c.Detail = "patched: " + clip(at(3))
	case 11707, 11724:
		// 1033 and 1034 tell the same again, and more.
		name, said, found := strings.Cut(strings.TrimPrefix(product, "Product: "), " -- ")
		if !found {
			return
		}
		if id == 11724 {
			c.Detail = "removed"
		}
		product, status = name, "0"
		if strings.Contains(said, "failed") {
			return
		}
	}
	if product == "" || status != "0" && status != "" {
		return
	}
	c.Subject = clip(product)
	if n := len(b.Changes); n > 0 {
		last := &b.Changes[n-1]
		if last.Source == c.Source && last.Host == c.Host && last.Detail == c.Detail && c.Time-last.Time <= together && strings.HasPrefix(last.Subject, c.Subject) {
			if id == 11707 || id == 11724 {
				return
			}
			b.Changes = b.Changes[:n-1]
		}
	}
	if version := at(1); id != 11707 && id != 11724 && version != "" {
		c.Subject += " " + clip(version)
	}
	b.Changes = append(b.Changes, c)
}

// windowsUpdate reads an update that was installed.
func (e *Reader) windowsUpdate(b *Batch, r *record) {
	c := systemChange(r, SourceSystem, evidence.ChangePatch)
	if c.Subject, c.Detail = clip(text(r.data, "updateTitle")), "installed"; c.Subject != "" {
		b.Changes = append(b.Changes, c)
	}
}

// packageState reads a package of Windows that got another state.
func (e *Reader) packageState(b *Batch, r *record) {
	c := systemChange(r, SourceSetup, evidence.ChangePatch)
	state := text(r.data, "IntendedPackageStateTextized")
	if state == "" {
		state = text(r.data, "IntendedPackageState")
	}
	if c.Subject, c.Detail = clip(text(r.data, "PackageIdentifier")), strings.ToLower(clip(state)); c.Subject != "" {
		if by := text(r.data, "Client"); by != "" {
			c.Detail += " by " + clip(by)
		}
		b.Changes = append(b.Changes, c)
	}
}

// systemChange begins a change whose event tells its user only in its header.
func systemChange(r *record, source, kind string) evidence.Change {
	return evidence.Change{
		Time: r.time, Platform: r.platform, Host: r.host, Source: source, EID: r.eid, Kind: kind,
		UID: sid(text(dict(r.system, "Security"), "UserID")), PID: anyNumber(dict(r.system, "Execution"), "ProcessID"),
	}
}
