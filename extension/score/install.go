package score

import (
	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
	"github.com/osquery-rollcall/rollcall/extension/service"
)

// The families of what a service's install shows by itself.
const (
	Program  Family = "program"  // what kind of program runs
	Conduct  Family = "conduct"  // what its command line does
	Place    Family = "place"    // where its files lie
	Identity Family = "identity" // what it is called
	Known    Family = "known"    // publicly known tools
)

// InstallLevel is the level an install starts with: software is put on hosts
// every day, so that an install by itself is no finding.
const InstallLevel = sigma.Informational

// InstallDefinitions are the factors of installs beyond those of Definitions
// (encoded, obfuscated, hidden_window, attribution), in documentation order. From
// the prior of InstallLevel it takes about 1.5 to reach low, 2.5 to reach medium,
// 3.3 to reach high and 4.3 to reach critical.
func InstallDefinitions() []Definition {
	return []Definition{
		{"shell_program", Program, 2.8, "the service's program is a command interpreter"},
		{"script_program", Program, 2.8, "the service's program is a host of scripts"},
		{"proxy_program", Program, 2.4, "the service's program is a signed one of Windows that runs other code"},
		{"no_service", Program, 3.4, "the program is plainly no service: an editor, a calculator, an administrator's tool"},
		{"inline_code", Program, 2.4, "a language's runtime is handed code on its command line"},
		{"empty_host", Program, 3.4, "svchost.exe without a group of services"},
		{"service_wrapper", Program, 0.5, "a program that turns any other into a service"},

		{"named_pipe", Conduct, 3.0, "a shell writes into a named pipe, as tools do to get SYSTEM's token"},
		{"reverse_shell", Conduct, 3.4, "a shell is handed to the network"},
		{"download", Conduct, 2.8, "what runs is fetched from the network"},
		{"in_memory_code", Conduct, 2.4, "code runs that is never a file"},
		{"credential_access", Conduct, 3.0, "stored credentials are read"},
		{"defence_off", Conduct, 3.0, "defences are turned off or the means of recovery destroyed"},
		{"self_tampering", Conduct, 3.4, "Rollcall, what loads it or the kernel's audit was changed, not by a package manager"},
		{"preload", Conduct, 2.4, "the service's programs are made to load other code (LD_PRELOAD and its like)"},
		{"account_added", Conduct, 2.6, "an account or a member of administrators is added"},
		{"admin_share", Conduct, 2.4, "an administrative share is written to or run from"},
		{"self_delete", Conduct, 1.6, "what ran is deleted"},
		{"shell_operators", Conduct, 1.0, "several commands, pipes or redirections in one service"},

		{"everybodys_directory", Place, 3.4, "the program lies where every user can write, or where no programs belong"},
		{"temp_directory", Place, 3.0, "the program lies in a directory for temporary files"},
		{"remote_file", Place, 2.8, "the program is a file of another machine or of an administrative share"},
		{"user_directory", Place, 2.7, "the program lies in a user's own directory"},
		{"alternate_stream", Place, 3.4, "the program is an alternate data stream of a file"},
		{"hidden_file", Place, 2.6, "the program, its directory or its unit file is hidden"},
		{"drive_root", Place, 2.4, "the program lies directly in the root of a drive"},
		{"odd_directory", Place, 2.2, "the program lies in a directory that holds no services"},
		{"windows_root", Place, 1.9, "the program lies directly in the Windows directory"},
		{"bare_name", Place, 2.6, "the program is named without a directory"},
		{"writable_by_others", Place, 1.8, "others than root can change the program or a directory above it"},
		{"root_directory", Place, 1.6, "the program lies in a directory made in the root of a drive, by default open to every user"},
		{"program_data", Place, 1.6, "the program lies below ProgramData"},
		{"driver_place", Place, 1.4, "code for the kernel lies outside the directories for drivers"},
		{"unusual_directory", Place, 0.8, "the program lies where few installers put one"},
		{"unquoted_path", Place, 0.7, "the path has blanks and no quotes, so that another program may run"},
		{"missing_program", Place, 0.8, "the program does not exist on disk"},
		{"time_stomped", Place, 1.6, "the file's modification time was set to before it was made"},
		{"dropin_over_package", Place, 1.4, "a drop-in changes what a package's unit runs"},
		{"package_modified", Place, 2.0, "a file of a package is not what the package brought"},
		{"generator", Place, 1.8, "a program of no package makes units at every start of systemd"},
		{"unsigned", Place, 1.0, "the program has no signature that this host trusts, where programs are signed (Windows, macOS)"},
		{"broken_signature", Place, 2.4, "the program carries a signature that does not hold: it was changed after it was signed, or its signer is distrusted"},
		{"unpackaged", Place, 0.9, "the program lies among packaged ones and belongs to no package"},
		{"transient_unit", Place, 1.0, "the unit leaves no file on disk"},

		{"masquerade", Identity, 3.4, "the program has the name of one of the system's, elsewhere"},
		{"near_system_program", Identity, 3.4, "the program's name is nearly that of one of the system's"},
		{"odd_characters", Identity, 2.6, "the name holds invisible characters or mixes scripts"},
		{"system_service_name", Identity, 2.2, "the service has the name of one of the system's, with another program"},
		{"near_system_name", Identity, 2.0, "the name is nearly that of one of the system's services"},
		{"random_name", Identity, 1.8, "the service's name looks drawn at random"},
		{"random_program", Identity, 1.8, "the program's name looks drawn at random"},
		{"false_vendor", Identity, 1.4, "the name claims a maker whose installers put no programs there"},

		{"attack_tool", Known, 3.8, "publicly known as a tool of attackers"},
		{"remote_execution_tool", Known, 2.9, "publicly known for running commands on other machines"},
		{"tunnel_tool", Known, 1.9, "publicly known for tunnels into a network"},
		{"rmm_tool", Known, 1.8, "publicly known for remote administration: of use to both sides"},
		{"forensic_tool", Known, 1.8, "publicly known for imaging memory or disks: of use to both sides"},
		{"vulnerable_driver", Known, 1.8, "a driver that others can use to write to the kernel"},

		{"user_account", Privilege, 0.3, "the service runs as a user's account"},
		{"unusual_installer", Lineage, 2.4, "an account that installs nothing installed it"},

		{"per_user_template", Attribution, -1.0, "a user's instance of a per-user service of Windows, with Windows' own program"},
	}
}

// InstallFactors are the factors of an install's features.
func InstallFactors(features []service.Feature) []Factor {
	out := make([]Factor, len(features))
	for i, f := range features {
		out[i] = Factor{Name: f.Name, Evidence: f.Evidence, Scale: f.Scale}
	}
	return out
}

// Install scores an install by what it shows and by more that is known of it
// (attribution, an indicator that matched).
func Install(found service.Findings, more []Factor, w Weights) Verdict {
	return Sum(InstallLevel, "a service was installed", append(InstallFactors(found.Features), more...), w)
}
