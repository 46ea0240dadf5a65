package tables

import (
	"context"
	"strings"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
)

// InventoryReader reads the services that exist now. It is quick when nothing
// changed since the last call.
type InventoryReader interface {
	Services(ctx context.Context) ([]inventory.Service, error)
}

// InventoryScorer judges a service. ok is false when there is no verdict.
type InventoryScorer interface {
	ScoreService(s *inventory.Service) (v score.Verdict, ok bool)
}

// FirstSeenReader tells when a service was first seen on this host, seconds since
// 1970 UTC; 0 is unknown.
type FirstSeenReader interface {
	FirstSeen(ctx context.Context, s *inventory.Service) int64
}

// ServiceInventory is the table of the services that exist now. judge and seen may
// be nil: their columns are empty then.
func ServiceInventory(r InventoryReader, judge InventoryScorer, seen FirstSeenReader) *Table {
	return &Table{
		Name: "service_inventory",
		Description: "Every service that exists now, with whose it is, what it runs, who could change it, and what an analyst would say to it. " +
			"On Windows and macOS: services, drivers, daemons and agents as osquery sees them. On Linux: systemd's services, timers, sockets, paths, generators and hooks, of the system and of users; init scripts, OpenRC, runit, s6, inittab.",
		Columns: []table.ColumnDefinition{
			text("kind", "systemd, sysv, openrc, runit, s6, inittab, upstart, windows_service, driver or launchd."),
			text("type", "Of a systemd unit: service, timer, socket, path, generator or hook."),
			text("name", "Name of the service; of a systemd unit with its suffix."),
			text("display_name", "Its description, in its own words."),
			text("path", "Program it runs, as its manager finds it."),
			text("args", "Arguments of the program."),
			text("service_dll", "Library that svchost.exe loads for it (Windows)."),
			text("commands", "JSON list of all commands it runs, the main one first: directive, path, line as written, file it stands in."),
			text("start_type", "How it is turned on: systemctl's word (enabled, static, masked, generated, transient, ...), or an init script's runlevels."),
			text("scope", "system, or user for a user's manager."),
			text("username", "User whose manager runs it, in the user scope; empty for every user's."),
			text("account", "Account it runs as."),
			text("unit_path", "File that defines it."),
			text("link_target", "Where that file leads, when it is a link."),
			text("drop_ins", "JSON list of the drop-ins that change it, in the order they apply."),
			text("activated_by", "JSON list of the targets, timers, sockets, paths and links that start it."),
			text("triggers", "JSON list of the units it starts itself."),
			text("package", "Package the unit file belongs to; empty when none, or unknown."),
			text("package_version", "Version of that package."),
			text("package_verified", "1 when its files and programs are as packages brought them, 0 when one is not, empty when unknown or not a package's."),
			text("signed", "1 when somebody whom the host trusts signed its program (or the library it loads) and the signature holds, 0 when not, empty when unknown, and on Linux, where programs are not signed."),
			text("signer", "Who signed it, where the signature holds."),
			text("sha256", "Hash of its program: of the script where an interpreter runs one, of the library where svchost.exe loads one. Files are read a few at a time in the background, up to 64 MiB (Windows, macOS 32 MiB); empty until then."),
			text("state", "running, stopped, or empty when unknown."),
			bigint("pid", "Lowest process id of it, when it runs."),
			text("enabled", "1 when something in place starts it, 0 when nothing does, empty when unknown."),
			text("on_disk", "1 when its program exists, 0 when it is missing, empty when unknown."),
			text("writable_by_others", "1 when someone other than root (or the user whose it is) can write its file, its program or a directory above them, else 0."),
			text("writable_paths", "JSON list of what they can write."),
			bigint("unit_mtime", "Modification time of the unit file, seconds since 1970 UTC: anybody may set it."),
			bigint("unit_ctime", "Change time of the unit file: the kernel sets it."),
			bigint("unit_btime", "Birth time of the unit file, where the file system has one."),
			text("problems", "JSON list of what could not be read of it, or what systemd refuses."),
			bigint("first_seen", "When it was first seen, seconds since 1970 UTC."),
			integer("score", "0 to 100."),
			text("severity", "informational, low, medium, high or critical, by score."),
			text("reasons", "JSON list of what makes up the score: factor, weight in log-odds, evidence."),
		},
		Examples: []string{
			"SELECT name, path, package, score, severity, reasons FROM service_inventory WHERE score >= 40 ORDER BY score DESC",
			"SELECT name, unit_path, path, account FROM service_inventory WHERE enabled = '1' AND package = ''",
			"SELECT name, path, writable_paths FROM service_inventory WHERE writable_by_others = '1'",
		},
		Generate: func(ctx context.Context, _ table.QueryContext) (*Rows, error) {
			services, err := r.Services(ctx)
			if err != nil {
				return nil, err
			}
			rows := &Rows{}
			for i := range services {
				s := &services[i]
				addService(rows, s)
				if judge != nil {
					if v, ok := judge.ScoreService(s); ok {
						rows.Int("score", int64(v.Score))
						rows.Texts("severity", v.Severity, "reasons", list(v.Reasons))
					}
				}
				if seen != nil {
					rows.Known("first_seen", seen.FirstSeen(ctx, s))
				}
			}
			return rows, nil
		},
	}
}

func addService(rows *Rows, s *inventory.Service) {
	rows.Add(keyed(s.Kind, s.Type, s.Scope, s.Username, s.UnitPath, s.Name))
	for _, c := range [][2]string{
		{"kind", s.Kind}, {"type", s.Type}, {"name", s.Name}, {"display_name", s.DisplayName}, {"path", s.Path}, {"args", s.Args},
		{"service_dll", s.Install.ServiceDLL}, {"commands", list(s.Commands)}, {"start_type", s.StartType}, {"scope", s.Scope}, {"username", s.Username},
		{"account", s.Account}, {"unit_path", s.UnitPath}, {"link_target", s.LinkTarget}, {"drop_ins", list(s.DropIns)}, {"activated_by", list(s.ActivatedBy)},
		{"triggers", list(s.Triggers)}, {"package", s.Package}, {"package_version", s.PackageVersion}, {"package_verified", tristate(s.Verified)},
		{"signed", tristate(s.Install.Signed)}, {"signer", s.Signer}, {"sha256", s.SHA256},
		{"enabled", tristate(s.Enabled)}, {"on_disk", tristate(s.OnDisk)}, {"writable_paths", list(s.Writable)}, {"problems", list(s.Problems)},
	} {
		rows.Text(c[0], valid(c[1]))
	}
	rows.Known("unit_mtime", s.File.MTime/1e9)
	rows.Known("unit_ctime", s.File.CTime/1e9)
	rows.Known("unit_btime", s.File.BTime/1e9)
	switch s.Running {
	case evidence.Yes:
		rows.Text("state", "running")
	case evidence.No:
		rows.Text("state", "stopped")
	}
	if len(s.PIDs) > 0 {
		rows.Int("pid", s.PIDs[0])
	}
	if s.Looked {
		rows.Text("writable_by_others", yes(len(s.Writable) > 0))
	}
}

// valid makes text of what may be any bytes, as names of files are: JSON and osquery
// want text.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func tristate(t evidence.Tristate) string {
	switch t {
	case evidence.Yes:
		return "1"
	case evidence.No:
		return "0"
	}
	return ""
}
