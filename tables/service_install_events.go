package tables

import (
	"context"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/store"
)

// InstallReader reads recorded installs, newest first.
type InstallReader interface {
	Installs(ctx context.Context, f store.Filter, fn func(*store.Install) error) error
}

// ServiceInstallEvents is the table of services that were installed or changed.
func ServiceInstallEvents(r InstallReader, n Nudger) *Table {
	return &Table{
		Name:        "service_install_events",
		Description: "Services that were installed, changed, turned on or off, or removed (ATT&CK T1543, T1569.002), scored and attributed. One row is one change; rows never change once recorded.",
		Columns: []table.ColumnDefinition{
			text("install_id", "Id of the change, unique across a fleet and stable across restarts."),
			pushed(bigint("time", "When it happened, seconds since 1970 UTC; see time_basis.")),
			text("time_basis", "Where the time comes from: event, birth_time, change_time, key_time or first_seen."),
			pushed(bigint("recorded", "When Rollcall recorded it. Packs ask by this column.")),
			text("action", "created, modified, enabled, disabled or removed."),
			text("kind", "windows_service, driver, systemd, sysv, openrc or launchd."),
			text("name", "Name of the service."),
			text("display_name", "Its name for people."),
			text("path", "Program it runs."),
			text("args", "Arguments of the program, secrets masked."),
			text("image_path", "Command line as its manager holds it, secrets masked."),
			text("service_dll", "Library that svchost.exe loads for it."),
			text("start_type", "How it starts, in the source's words."),
			text("service_type", "Its type, in the source's words."),
			text("account", "Account it runs as."),
			text("unit_path", "File that defines it."),
			text("changes", "JSON list of what was changed, old -> new."),
			bigint("installer_pid", "Process that did it."),
			text("installer_path", "Image of that process."),
			text("installer_cmdline", "Its command line, secrets masked."),
			text("installer_username", "Its user."),
			text("installer_ancestry", "JSON list of its ancestors: pid, path and cmdline, nearest first."),
			text("login_user", "User who logged in, before sudo and its like."),
			text("package", "Package it belongs to."),
			text("package_verified", "1 when its files are as the package brought them, 0 when not, empty when unknown."),
			text("signed", "1 when its program is signed and the signature holds, 0 when not, empty when unknown."),
			text("sha256", "Hash of its program."),
			text("attribution", "Whose legitimate operation it is: expected, package, management, ... or none."),
			text("attribution_detail", "Subject and basis of the attribution, or what is missing for one."),
			integer("score", "0 to 100."),
			text("severity", "informational, low, medium, high or critical, by score."),
			text("reasons", "JSON list of what makes up the score: factor, weight in log-odds, evidence."),
			text("incident_id", "Incident it belongs to."),
			text("platform", "windows, linux or darwin."),
			text("host", "Host it happened on."),
			text("source", "Where the evidence came from; several sources are separated by commas."),
			text("eid", "The source's own id of the record."),
		},
		Examples: []string{
			"SELECT datetime(time, 'unixepoch') AS at, action, kind, name, path, score, severity FROM service_install_events WHERE recorded > strftime('%s', 'now') - 86400 ORDER BY score DESC",
			"SELECT name, image_path, installer_cmdline, attribution, reasons FROM service_install_events WHERE score >= 40",
		},
		Generate: func(ctx context.Context, q table.QueryContext) (*Rows, error) {
			n.Nudge()
			var f store.Filter
			f.RecordedFrom, f.RecordedTo = bounds(q, "recorded")
			f.TimeFrom, f.TimeTo = bounds(q, "time")
			rows := &Rows{}
			err := r.Installs(ctx, f, func(in *store.Install) error {
				addInstall(rows, in)
				return nil
			})
			return rows, err
		},
	}
}

func addInstall(rows *Rows, row *store.Install) {
	in := &row.Install
	type ancestor struct {
		PID     int64  `json:"pid"`
		Path    string `json:"path"`
		CmdLine string `json:"cmdline"`
	}
	var chain []ancestor
	for _, a := range in.InstallerAncestry {
		chain = append(chain, ancestor{a.PID, a.Path, a.CmdLine})
	}
	rows.Add(row.ID)
	rows.Int("time", in.Time)
	rows.Int("recorded", row.Recorded)
	rows.Int("score", int64(row.Score))
	rows.Known("installer_pid", in.InstallerPID)
	rows.Texts("install_id", row.InstallID, "time_basis", in.TimeBasis, "action", in.Action, "kind", in.Kind, "name", in.Name,
		"display_name", in.DisplayName, "path", in.Path, "args", in.Args, "image_path", in.ImagePath, "service_dll", in.ServiceDLL,
		"start_type", in.StartType, "service_type", in.ServiceType, "account", in.Account, "unit_path", in.UnitPath, "changes", list(in.Changes),
		"installer_path", in.InstallerPath, "installer_cmdline", in.InstallerCmdLine, "installer_username", in.InstallerUsername,
		"installer_ancestry", list(chain), "login_user", in.LoginUser, "package", in.Package, "package_verified", tristate(in.PackageVerified),
		"signed", tristate(in.Signed), "sha256", in.SHA256, "attribution", row.Attribution, "attribution_detail", row.Basis,
		"severity", row.Severity, "reasons", row.Reasons, "incident_id", row.IncidentID, "platform", string(in.Platform), "host", in.Host,
		"source", in.Source, "eid", in.EID)
}
