package cmdexe

import "strings"

// WellKnown returns the value a variable has on a default installation of
// 64-bit Windows 10 or later, without regard to case. Variables that differ from
// host to host (COMPUTERNAME, USERNAME) are unknown; the folders of a user are
// those of an account called "User". These are the texts commands are cut out of
// letter by letter, so their spelling matters.
//
// Source: Microsoft, "Recognized environment variables" (USMT reference) and
// the environment of a fresh installation.
func WellKnown(name string) (string, bool) {
	if len(name) < 2 || len(name) > 31 {
		return "", false
	}
	v := wellKnown(strings.ToLower(name))
	return v, v != ""
}

func wellKnown(lower string) string {
	const (
		windows  = `C:\Windows`
		programs = `C:\Program Files`
		x86      = `C:\Program Files (x86)`
		user     = `C:\Users\User`
	)
	switch lower {
	case "comspec":
		return windows + `\system32\cmd.exe`
	case "systemroot", "windir":
		return windows
	case "systemdrive", "homedrive":
		return `C:`
	case "programfiles", "programw6432":
		return programs
	case "programfiles(x86)":
		return x86
	case "commonprogramfiles", "commonprogramw6432":
		return programs + `\Common Files`
	case "commonprogramfiles(x86)":
		return x86 + `\Common Files`
	case "programdata", "allusersprofile":
		return `C:\ProgramData`
	case "public":
		return `C:\Users\Public`
	case "temp", "tmp":
		return user + `\AppData\Local\Temp`
	case "appdata":
		return user + `\AppData\Roaming`
	case "localappdata":
		return user + `\AppData\Local`
	case "userprofile":
		return user
	case "homepath":
		return `\Users\User`
	case "path":
		return windows + `\system32;` + windows + `;` + windows + `\System32\Wbem;` + windows +
			`\System32\WindowsPowerShell\v1.0\;` + windows + `\System32\OpenSSH\`
	case "pathext":
		return `.COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC`
	case "psmodulepath":
		return programs + `\WindowsPowerShell\Modules;` + windows + `\system32\WindowsPowerShell\v1.0\Modules`
	case "os":
		return `Windows_NT`
	case "processor_architecture":
		return `AMD64`
	case "driverdata":
		return windows + `\System32\Drivers\DriverData`
	case "sessionname":
		return `Console`
	case "prompt":
		return `$P$G`
	case "cmdextversion":
		return `2`
	case "fps_browser_app_profile_string":
		return `Internet Explorer`
	case "fps_browser_user_profile_string":
		return `Default`
	}
	return ""
}

// association answers "assoc .ext" and "ftype name": texts that commands are cut
// out of with for /f.
func association(lower string) string {
	switch lower {
	case ".bat":
		return ".bat=batfile"
	case ".cmd":
		return ".cmd=cmdfile"
	case ".com":
		return ".com=comfile"
	case ".exe":
		return ".exe=exefile"
	case ".lnk":
		return ".lnk=lnkfile"
	case ".cdxml":
		return ".cdxml=Microsoft.PowerShellCmdletDefinitionXML.1"
	case ".ps1":
		return ".ps1=Microsoft.PowerShellScript.1"
	case ".psm1":
		return ".psm1=Microsoft.PowerShellModule.1"
	case ".psd1":
		return ".psd1=Microsoft.PowerShellData.1"
	case ".ps1xml":
		return ".ps1xml=Microsoft.PowerShellXMLData.1"
	case ".psc1":
		return ".psc1=Microsoft.PowerShellConsole.1"
	case "microsoft.powershellconsole.1":
		return `Microsoft.PowerShellConsole.1="C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe" "-p" "%1"`
	case "cmdfile", "batfile", "comfile", "exefile":
		return lower + `="%1" %*`
	}
	return ""
}
