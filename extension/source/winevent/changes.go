package winevent

import (
	"encoding/xml"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func (e *Event) change(kind, subject, detail string) evidence.Change {
	return evidence.Change{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID, Kind: kind, Subject: subject, Detail: detail,
		Username: e.user("SubjectDomainName", "SubjectUserName"), UID: e.sid("SubjectUserSid"),
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

// AccountIDs are the ids of the events of accounts and groups, in order.
func AccountIDs() []int64 { return slices.Sorted(maps.Keys(accountEvents)) }

func (*Reader) account(e *Event, b *evidence.Batch) {
	what := accountEvents[e.ID]
	name, detail := e.user("TargetDomainName", "TargetUserName"), what[1]
	switch {
	case e.ID == 4781:
		name = e.user("TargetDomainName", "OldTargetUserName")
		detail += " to " + clip(e.text("NewTargetUserName"))
	case e.ID == 4738:
		var changed []string
		for _, a := range attributes {
			if v := strings.TrimSpace(e.text(a)); v != "" && v != "-" {
				changed = append(changed, a)
			}
		}
		if len(changed) > 0 {
			detail += ": " + strings.Join(changed, ", ")
		}
	case strings.HasPrefix(detail, "member "):
		member := e.text("MemberName")
		if member == "" {
			member = e.text("MemberSid")
		}
		detail += ": " + clip(member)
	}
	if name != "" {
		b.Changes = append(b.Changes, e.change(evidence.ChangeAccount, what[0]+" "+clip(name), detail))
	}
}

// cleared is 1102, which doesn't name its log, and 104.
func (*Reader) cleared(e *Event, b *evidence.Batch) {
	log := e.text("Channel")
	if log == "" {
		log = e.Channel
	}
	if log == "" && e.ID == AuditCleared {
		log = Security
	}
	detail := "cleared"
	if to := e.text("BackupPath"); to != "" {
		detail += ", saved as " + clip(to)
	}
	c := e.change(evidence.ChangeAudit, "log "+clip(log), detail)
	if c.UID == "" {
		c.UID = e.UID
	}
	b.Changes = append(b.Changes, c)
}

// policies are the audit policies that matter here, by the number of their names.
var policies = map[string]string{
	"%%12289": "Security System Extension", "%%12544": "Logon", "%%12545": "Logoff", "%%12548": "Special Logon",
	"%%12804": "Other Object Access Events", "%%12810": "Filtering Platform Connection", "%%13312": "Process Creation",
	"%%13568": "Audit Policy Change", "%%13824": "User Account Management", "%%13826": "Security Group Management",
}

var policyWords = strings.NewReplacer("%%8448", "success removed", "%%8449", "success added", "%%8450", "failure removed", "%%8451", "failure added")

func (*Reader) auditPolicy(e *Event, b *evidence.Batch) {
	policy := e.text("SubcategoryId")
	if name := policies[policy]; name != "" {
		policy = name
	} else if guid := e.text("SubcategoryGuid"); guid != "" {
		policy = guid
	}
	b.Changes = append(b.Changes, e.change(evidence.ChangeAudit, "audit policy "+clip(policy), policyWords.Replace(clip(e.text("AuditPolicyChanges")))))
}

var taskWords = map[int64]string{TaskCreated: "created", TaskDeleted: "deleted", TaskEnabled: "enabled", TaskDisabled: "disabled", TaskChanged: "changed"}

// task reads the events of scheduled tasks.
func (*Reader) task(e *Event, b *evidence.Batch) {
	name := e.text("TaskName")
	if name == "" {
		return
	}
	detail := taskWords[e.ID]
	content := e.text("TaskContent")
	if content == "" {
		content = e.text("TaskContentNew")
	}
	if e.ID != TaskDeleted {
		if runs := taskCommands(content); runs != "" {
			detail += ": " + clip(runs)
		}
	}
	b.Changes = append(b.Changes, e.change(evidence.ChangeFile, "task "+clip(name), detail))
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

// sysmonFile is Sysmon 11, for files in a folder of services. All others are told
// of by what runs them.
func (*Reader) sysmonFile(e *Event, b *evidence.Batch) {
	file := e.text("TargetFilename")
	if !strings.Contains(strings.ToLower(file), `\services\`) {
		return
	}
	c := e.change(evidence.ChangeFile, clip(file), "created by "+clip(e.text("Image")))
	c.PID, c.Username = e.pid("ProcessId"), e.text("User")
	b.Changes = append(b.Changes, c)
}

// installerIDs are the events of Windows Installer: installed, removed, patched,
// and the first two once more in its own words.
var installerIDs = [...]int64{1033, 1034, 1036, 11707, 11724}

// InstallerIDs are the ids of the events of Windows Installer.
func InstallerIDs() []int64 { return slices.Clone(installerIDs[:]) }

// place is the value of an event whose values have no names.
func (e *Event) place(n int) string {
	v, ok := e.Data[strconv.Itoa(n)]
	if !ok && n == 0 {
		v = e.Data[""]
	}
	if v = strings.TrimRight(v, "\x00"); v == "(NULL)" {
		return ""
	}
	return v
}

// installer reads what Windows Installer did.
func (*Reader) installer(e *Event, b *evidence.Batch) {
	product, status, version, detail := e.place(0), e.place(3), e.place(1), "installed"
	short := false
	switch e.ID {
	case 1034:
		detail = "removed"
	case 1036:
		status, detail = e.place(4), "patched: "+clip(e.place(3))
	case 11707, 11724:
		// 1033 and 1034 tell the same again, and more.
		name, said, found := strings.Cut(strings.TrimPrefix(product, "Product: "), " -- ")
		if !found || strings.Contains(said, "failed") {
			return
		}
		if e.ID == 11724 {
			detail = "removed"
		}
		product, status, version, short = name, "", "", true
	}
	if product == "" || status != "0" && status != "" {
		return
	}
	c := e.headerChange(evidence.ChangePackage, clip(product), detail)
	if n := len(b.Changes); n > 0 {
		last := &b.Changes[n-1]
		if last.Source == c.Source && last.Host == c.Host && last.Detail == c.Detail && c.Time-last.Time <= together && strings.HasPrefix(last.Subject, c.Subject) {
			if short {
				return
			}
			b.Changes = b.Changes[:n-1]
		}
	}
	if version != "" {
		c.Subject += " " + clip(version)
	}
	b.Changes = append(b.Changes, c)
}

// update is an update that Windows Update installed.
func (*Reader) update(e *Event, b *evidence.Batch) {
	if title := clip(e.text("updateTitle")); title != "" {
		b.Changes = append(b.Changes, e.headerChange(evidence.ChangePatch, title, "installed"))
	}
}

// packageState is a package of Windows that got another state.
func (*Reader) packageState(e *Event, b *evidence.Batch) {
	state := e.text("IntendedPackageStateTextized")
	if state == "" {
		state = e.text("IntendedPackageState")
	}
	detail := strings.ToLower(clip(state))
	if by := e.text("Client"); by != "" {
		detail += " by " + clip(by)
	}
	if name := clip(e.text("PackageIdentifier")); name != "" {
		b.Changes = append(b.Changes, e.headerChange(evidence.ChangePatch, name, detail))
	}
}

// headerChange is a change whose event tells who made it in its header alone.
func (e *Event) headerChange(kind, subject, detail string) evidence.Change {
	return evidence.Change{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID, Kind: kind, Subject: subject, Detail: detail,
		UID: e.UID, PID: e.PID,
	}
}
