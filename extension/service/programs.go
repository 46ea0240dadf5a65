package service

// class says what kind of program runs as a service.
type class int

const (
	classNone      class = iota
	classShell           // reads commands from its arguments
	classScript          // runs a script that is handed to it
	classProxy           // a signed program of Windows that runs other code
	classRuntime         // a language's runtime: ordinary, unless the code is on the command line
	classWrapper         // turns any program into a service
	classNoService       // plainly no service: it never answers the service manager
)

// program is what is known of a program by its name.
type program struct {
	class class
	is    string // in words
}

// programs are known by base name, lower case, without .exe.
var programs = map[string]program{
	"cmd": {classShell, "the command interpreter"}, "powershell": {classShell, "PowerShell"}, "pwsh": {classShell, "PowerShell"},
	"powershell_ise": {classShell, "PowerShell"}, "bash": {classShell, "a shell"}, "sh": {classShell, "a shell"},
	"wsl": {classShell, "the Linux subsystem's shell"}, "busybox": {classShell, "a shell"},

	"wscript": {classScript, "the Windows script host"}, "cscript": {classScript, "the Windows script host"},
	"mshta": {classScript, "the HTML application host"},

	"rundll32": {classProxy, "runs a function of any library"}, "regsvr32": {classProxy, "loads any library"},
	"certutil": {classProxy, "downloads and decodes files"}, "bitsadmin": {classProxy, "downloads files and runs commands"},
	"msbuild": {classProxy, "compiles and runs code of a project file"}, "installutil": {classProxy, "runs code of any .NET assembly"},
	"regasm": {classProxy, "runs code of any .NET assembly"}, "regsvcs": {classProxy, "runs code of any .NET assembly"},
	"wmic": {classProxy, "runs commands and style sheets"}, "forfiles": {classProxy, "runs a command for files"},
	"pcalua": {classProxy, "starts another program"}, "cmstp": {classProxy, "runs commands of a profile"},
	"odbcconf": {classProxy, "loads any library"}, "mavinject": {classProxy, "injects a library into a process"},
	"presentationhost": {classProxy, "runs XAML applications"}, "msxsl": {classProxy, "runs script of a style sheet"},
	"hh": {classProxy, "runs script of a help file"}, "control": {classProxy, "loads control panel libraries"},
	"scriptrunner": {classProxy, "starts another program"}, "syncappvpublishingserver": {classProxy, "runs PowerShell"},
	"msdt": {classProxy, "runs troubleshooting packages"}, "ieexec": {classProxy, "runs a program from an address"},
	"dnx": {classProxy, "runs .NET code"}, "rcsi": {classProxy, "runs C# scripts"}, "csi": {classProxy, "runs C# scripts"}, "fsi": {classProxy, "runs F# scripts"},
	"xwizard": {classProxy, "loads COM objects"}, "verclsid": {classProxy, "loads COM objects"},
	"register-cimprovider": {classProxy, "loads any library"}, "conhost": {classProxy, "starts another program"},
	"explorer": {classNoService, "the desktop"}, "desktopimgdownldr": {classProxy, "downloads files"},
	"esentutl": {classProxy, "copies files and streams"}, "extrac32": {classProxy, "copies files and streams"},
	"expand": {classProxy, "unpacks files"}, "makecab": {classProxy, "packs files"}, "replace": {classProxy, "copies files"},
	"runscripthelper": {classProxy, "runs PowerShell"}, "wuauclt": {classProxy, "loads any library"},
	"schtasks": {classProxy, "creates tasks"}, "at": {classProxy, "creates tasks"}, "curl": {classProxy, "downloads files"}, "wget": {classProxy, "downloads files"},
	"runas": {classProxy, "starts a program as another user"}, "stordiag": {classProxy, "starts other programs"},

	"python": {classRuntime, "Python"}, "python3": {classRuntime, "Python"}, "pythonw": {classRuntime, "Python"}, "py": {classRuntime, "Python"},
	"perl": {classRuntime, "Perl"}, "ruby": {classRuntime, "Ruby"}, "rubyw": {classRuntime, "Ruby"}, "php": {classRuntime, "PHP"},
	"node": {classRuntime, "Node.js"}, "java": {classRuntime, "Java"}, "javaw": {classRuntime, "Java"}, "lua": {classRuntime, "Lua"},
	"deno": {classRuntime, "Deno"}, "tclsh": {classRuntime, "Tcl"}, "autoit3": {classRuntime, "AutoIt"}, "autohotkey": {classRuntime, "AutoHotkey"},
	"osascript": {classRuntime, "AppleScript"}, "gawk": {classRuntime, "awk"}, "awk": {classRuntime, "awk"},

	"nssm": {classWrapper, "NSSM"}, "srvany": {classWrapper, "SrvAny"}, "srvany-ng": {classWrapper, "SrvAny"}, "winsw": {classWrapper, "WinSW"},
	"winsw-x64": {classWrapper, "WinSW"}, "instsrv": {classWrapper, "InstSrv"}, "runassvc": {classWrapper, "RunAsSvc"}, "xyntservice": {classWrapper, "XYNTService"},

	"calc": {classNoService, "a calculator"}, "notepad": {classNoService, "an editor"}, "mspaint": {classNoService, "a drawing program"},
	"write": {classNoService, "an editor"}, "wordpad": {classNoService, "an editor"}, "charmap": {classNoService, "a desktop tool"},
	"ping": {classNoService, "a network tool"}, "ipconfig": {classNoService, "a network tool"}, "nslookup": {classNoService, "a network tool"},
	"tracert": {classNoService, "a network tool"}, "arp": {classNoService, "a network tool"}, "route": {classNoService, "a network tool"},
	"netstat": {classNoService, "a network tool"}, "nbtstat": {classNoService, "a network tool"}, "netsh": {classNoService, "a network tool"},
	"net": {classNoService, "an administrator's tool"}, "net1": {classNoService, "an administrator's tool"}, "sc": {classNoService, "an administrator's tool"},
	"reg": {classNoService, "an administrator's tool"}, "regedit": {classNoService, "an administrator's tool"}, "regedt32": {classNoService, "an administrator's tool"},
	"tasklist": {classNoService, "an administrator's tool"}, "taskkill": {classNoService, "an administrator's tool"}, "taskmgr": {classNoService, "an administrator's tool"},
	"whoami": {classNoService, "a question"}, "hostname": {classNoService, "a question"}, "systeminfo": {classNoService, "a question"},
	"quser": {classNoService, "a question"}, "query": {classNoService, "a question"}, "qwinsta": {classNoService, "a question"},
	"nltest": {classNoService, "a question"}, "dsquery": {classNoService, "a question"}, "adfind": {classNoService, "a question"},
	"tscon": {classNoService, "takes over a desktop session"}, "mstsc": {classNoService, "a remote desktop"},
	"vssadmin": {classNoService, "an administrator's tool"}, "wbadmin": {classNoService, "an administrator's tool"}, "bcdedit": {classNoService, "an administrator's tool"},
	"wevtutil": {classNoService, "an administrator's tool"}, "ntdsutil": {classNoService, "an administrator's tool"}, "diskshadow": {classNoService, "an administrator's tool"},
	"fsutil": {classNoService, "an administrator's tool"}, "icacls": {classNoService, "an administrator's tool"}, "takeown": {classNoService, "an administrator's tool"},
	"attrib": {classNoService, "an administrator's tool"}, "xcopy": {classNoService, "a copy command"}, "robocopy": {classNoService, "a copy command"},
	"gpupdate": {classNoService, "an administrator's tool"}, "gpresult": {classNoService, "a question"}, "cipher": {classNoService, "an administrator's tool"},
	"shutdown": {classNoService, "an administrator's tool"}, "logoff": {classNoService, "an administrator's tool"}, "timeout": {classNoService, "a pause"},
	"mmc": {classNoService, "an administrator's console"}, "iexplore": {classNoService, "a browser"}, "winver": {classNoService, "a desktop tool"},
	"procdump": {classNoService, "dumps the memory of processes"}, "procdump64": {classNoService, "dumps the memory of processes"},
	"ftp": {classNoService, "a file transfer client"}, "tftp": {classNoService, "a file transfer client"}, "finger": {classNoService, "a network tool"},
	"sethc": {classNoService, "an accessibility tool"}, "utilman": {classNoService, "an accessibility tool"}, "osk": {classNoService, "an accessibility tool"},
	"magnify": {classNoService, "an accessibility tool"}, "narrator": {classNoService, "an accessibility tool"}, "nc": {classNoService, "a network pipe"},
	"nc64": {classNoService, "a network pipe"}, "ncat": {classNoService, "a network pipe"}, "plink": {classNoService, "a tunnel client"},
}

// tool is publicly known software that matters whoever installs it.
type tool struct {
	factor string
	is     string
}

// tools are known by the name of their service or program, lower case, without
// .exe: exactly, or by the beginning in toolPrefixes.
var tools = map[string]tool{
	"psexesvc": {"remote_execution_tool", "PsExec"}, "psexec": {"remote_execution_tool", "PsExec"}, "paexec": {"remote_execution_tool", "PAExec"},
	"remcomsvc": {"remote_execution_tool", "RemCom"}, "remcom": {"remote_execution_tool", "RemCom"}, "remcomservice": {"remote_execution_tool", "RemCom"},
	"csexecsvc": {"remote_execution_tool", "CSExec"}, "csexec": {"remote_execution_tool", "CSExec"}, "winexesvc": {"remote_execution_tool", "winexe"},
	"xcmdsvc": {"remote_execution_tool", "xCmd"}, "xcmd": {"remote_execution_tool", "xCmd"}, "rexesvr": {"remote_execution_tool", "rexec"},
	"rcmdsvc": {"remote_execution_tool", "rcmd"}, "beyondexecservice": {"remote_execution_tool", "beyondexec"},
	"smbexec": {"remote_execution_tool", "smbexec"}, "svcexec": {"remote_execution_tool", "svcexec"}, "dameware": {"rmm_tool", "DameWare"},

	"wce": {"attack_tool", "Windows Credential Editor"}, "sliver": {"attack_tool", "Sliver"}, "wceservice": {"attack_tool", "Windows Credential Editor"}, "wce service": {"attack_tool", "Windows Credential Editor"}, "gsecdump": {"attack_tool", "gsecdump"},
	"cachedump": {"attack_tool", "cachedump"}, "pwdump": {"attack_tool", "pwdump"}, "fgexec": {"attack_tool", "fgdump"}, "fgdump": {"attack_tool", "fgdump"},
	"servpw": {"attack_tool", "pwdump"}, "servpw64": {"attack_tool", "pwdump"}, "lsadump": {"attack_tool", "lsadump"}, "dumpsvc": {"attack_tool", "a credential dumper"},
	"mimidrv": {"attack_tool", "the driver of mimikatz"}, "mimikatz": {"attack_tool", "mimikatz"}, "mimikatzsvc": {"attack_tool", "mimikatz"},
	"metsvc": {"attack_tool", "Meterpreter as a service"}, "metsvc-server": {"attack_tool", "Meterpreter as a service"}, "meterpreter": {"attack_tool", "Meterpreter"},
	"krbscm": {"attack_tool", "KrbRelayUp"}, "powersploit": {"attack_tool", "PowerSploit"}, "pupy": {"attack_tool", "Pupy"}, "capcom": {"vulnerable_driver", "Capcom's driver"},

	"anydesk": {"rmm_tool", "AnyDesk"}, "anydesk service": {"rmm_tool", "AnyDesk"}, "teamviewer": {"rmm_tool", "TeamViewer"}, "teamviewer_service": {"rmm_tool", "TeamViewer"},
	"screenconnect.clientservice": {"rmm_tool", "ScreenConnect"}, "ateraagent": {"rmm_tool", "Atera"}, "atera agent": {"rmm_tool", "Atera"},
	"splashtopremoteservice": {"rmm_tool", "Splashtop"}, "srservice": {"rmm_tool", "Splashtop"}, "srserver": {"rmm_tool", "Splashtop"}, "ssuservice": {"rmm_tool", "Splashtop"},
	"rustdesk": {"rmm_tool", "RustDesk"}, "meshagent": {"rmm_tool", "MeshCentral"}, "mesh agent": {"rmm_tool", "MeshCentral"}, "tacticalrmm": {"rmm_tool", "Tactical RMM"}, "tacticalagent": {"rmm_tool", "Tactical RMM"},
	"logmein": {"rmm_tool", "LogMeIn"}, "lmiguardiansvc": {"rmm_tool", "LogMeIn"}, "ramaint": {"rmm_tool", "LogMeIn"}, "g2comm": {"rmm_tool", "GoToMyPC"}, "g2svc": {"rmm_tool", "GoToMyPC"},
	"ultraviewer_service": {"rmm_tool", "UltraViewer"}, "ultraviewservice": {"rmm_tool", "UltraViewer"}, "dwagsvc": {"rmm_tool", "DWService"}, "dwagent": {"rmm_tool", "DWService"},
	"rutserv": {"rmm_tool", "Remote Utilities"}, "rfusclient": {"rmm_tool", "Remote Utilities"}, "rserver3": {"rmm_tool", "Radmin"}, "tvnserver": {"rmm_tool", "TightVNC"},
	"winvnc": {"rmm_tool", "VNC"}, "winvnc4": {"rmm_tool", "VNC"}, "vncserver": {"rmm_tool", "VNC"}, "uvnc_service": {"rmm_tool", "UltraVNC"}, "ammyyadmin": {"rmm_tool", "Ammyy Admin"}, "aa_v3": {"rmm_tool", "Ammyy Admin"},
	"ltservice": {"rmm_tool", "ConnectWise Automate"}, "ltsvc": {"rmm_tool", "ConnectWise Automate"}, "ltsvcmon": {"rmm_tool", "ConnectWise Automate"}, "ninjarmmagent": {"rmm_tool", "NinjaOne"}, "ninjarmmagentpatcher": {"rmm_tool", "NinjaOne"},
	"agentmon": {"rmm_tool", "Kaseya"}, "cagservice": {"rmm_tool", "Datto RMM"}, "aemagent": {"rmm_tool", "Datto RMM"}, "itsmservice": {"rmm_tool", "Comodo ITSM"}, "syncro.service": {"rmm_tool", "Syncro"}, "syncro.service.runner": {"rmm_tool", "Syncro"},
	"action1_agent": {"rmm_tool", "Action1"}, "bluetrait agent": {"rmm_tool", "Bluetrait"}, "bluetrait msp agent": {"rmm_tool", "Bluetrait"}, "pulseway": {"rmm_tool", "Pulseway"}, "pcmonitorsrv": {"rmm_tool", "Pulseway"}, "levelservice": {"rmm_tool", "Level"}, "fleetdeck_agent_svc": {"rmm_tool", "FleetDeck"},
	"basupsrvc": {"rmm_tool", "N-able Take Control"}, "basupsrvcupdater": {"rmm_tool", "N-able Take Control"}, "zohours": {"rmm_tool", "Zoho Assist"}, "zaservice": {"rmm_tool", "Zoho Assist"},
	"client32": {"rmm_tool", "NetSupport"}, "parsecd": {"rmm_tool", "Parsec"}, "pservice": {"rmm_tool", "Parsec"}, "dwrcs": {"rmm_tool", "DameWare"}, "simpleservice": {"rmm_tool", "SimpleHelp"}, "supremoservice": {"rmm_tool", "Supremo"},
	"aeroadmin": {"rmm_tool", "AeroAdmin"}, "isllight": {"rmm_tool", "ISL Online"}, "getscreen": {"rmm_tool", "Getscreen"}, "remoting_host": {"rmm_tool", "Chrome Remote Desktop"},
	"a1agent": {"rmm_tool", "Action1"}, "alpemix": {"rmm_tool", "Alpemix"}, "alpemixservice": {"rmm_tool", "Alpemix"}, "alpemixsrvc": {"rmm_tool", "Alpemix"}, "rcservice": {"rmm_tool", "AnyViewer"}, "aspia_host_service": {"rmm_tool", "Aspia"},
	"controlr.agent": {"rmm_tool", "ControlR"}, "faronicscoreagent": {"rmm_tool", "Faronics"}, "fwaservice": {"rmm_tool", "Faronics"}, "fistudentsvc": {"rmm_tool", "Faronics"}, "fleetdeck_agent": {"rmm_tool", "FleetDeck"}, "fsagentservice": {"rmm_tool", "Freshservice"},
	"g2ax_service": {"rmm_tool", "GoToAssist"}, "goto_resolve": {"rmm_tool", "GoTo Resolve"}, "gotoresolveprocesschecker": {"rmm_tool", "GoTo Resolve"}, "goverrmc": {"rmm_tool", "Goverlan"}, "govsrv": {"rmm_tool", "Goverlan"}, "glpi-agent": {"rmm_tool", "GLPI Agent"},
	"helpwire-unattended": {"rmm_tool", "HelpWire"}, "hoptodesk": {"rmm_tool", "HopToDesk"}, "immyagent": {"rmm_tool", "ImmyBot"}, "immybot.agent": {"rmm_tool", "ImmyBot"}, "issuser": {"rmm_tool", "LANDesk"}, "komari-agent": {"rmm_tool", "Komari"}, "nezha-agent": {"rmm_tool", "Nezha"},
	"lmi_rescue_srv": {"rmm_tool", "LogMeIn Rescue"}, "lunixar": {"rmm_tool", "Lunixar"}, "dcagentservice": {"rmm_tool", "ManageEngine"}, "mesh agent background service": {"rmm_tool", "MeshCentral"}, "mikogo-service": {"rmm_tool", "Mikogo"}, "netbird": {"tunnel_tool", "NetBird"},
	"pdqdeployrunner": {"rmm_tool", "PDQ Deploy"}, "pdqinventory-scanner": {"rmm_tool", "PDQ Inventory"}, "remotely_agent": {"rmm_tool", "Remotely"}, "remotely_service": {"rmm_tool", "Remotely"}, "remotepcservice": {"rmm_tool", "RemotePC"}, "rpcperformanceservice": {"rmm_tool", "RemotePC"},
	"romserver": {"rmm_tool", "LiteManager"}, "romfusclient": {"rmm_tool", "LiteManager"}, "supremosystem": {"rmm_tool", "Supremo"}, "tsvchst": {"rmm_tool", "Teramind"}, "tmagentsvc": {"rmm_tool", "Teramind"}, "tiservice": {"rmm_tool", "TiFLUX"}, "tsdservice": {"rmm_tool", "Total Software Deployment"},
	"trustconnectagent": {"rmm_tool", "TrustConnect"}, "veyon-service": {"rmm_tool", "Veyon"}, "zerotier-one_x64": {"tunnel_tool", "ZeroTier"}, "zerotieroneservice": {"tunnel_tool", "ZeroTier"}, "loclx": {"tunnel_tool", "LocalXpose"}, "level": {"rmm_tool", "Level"},
	"anyplace-control": {"rmm_tool", "Anyplace Control"}, "xeox-agent_x64": {"rmm_tool", "XEOX"}, "quickassist": {"rmm_tool", "Quick Assist"}, "tailscaled": {"tunnel_tool", "Tailscale"},

	"ngrok": {"tunnel_tool", "ngrok"}, "frpc": {"tunnel_tool", "frp"}, "frps": {"tunnel_tool", "frp"}, "chisel": {"tunnel_tool", "chisel"}, "cloudflared": {"tunnel_tool", "Cloudflare's tunnel"},
	"ligolo": {"tunnel_tool", "Ligolo"}, "ligolo-agent": {"tunnel_tool", "Ligolo"}, "gost": {"tunnel_tool", "gost"}, "stunnel": {"tunnel_tool", "stunnel"}, "tor": {"tunnel_tool", "Tor"}, "3proxy": {"tunnel_tool", "3proxy"}, "rathole": {"tunnel_tool", "rathole"}, "ssf": {"tunnel_tool", "ssf"},
	"xmrig": {"attack_tool", "the XMRig miner"}, "xmr-stak": {"attack_tool", "a miner"}, "minerd": {"attack_tool", "a miner"}, "cpuminer": {"attack_tool", "a miner"}, "kdevtmpfsi": {"attack_tool", "a miner"}, "kinsing": {"attack_tool", "a miner"}, "sysdr": {"attack_tool", "the PwnRig miner"}, "bprofr": {"attack_tool", "the PwnRig miner"}, "crondr": {"attack_tool", "the PwnRig miner"}, "initdr": {"attack_tool", "the PwnRig miner"}, "gs-netcat": {"tunnel_tool", "gsocket"}, "gs-dbus": {"tunnel_tool", "gsocket"},

	"f-response-ent": {"forensic_tool", "F-Response"}, "f-response": {"forensic_tool", "F-Response"}, "fresponse service": {"forensic_tool", "F-Response"},
	"mnemosyne": {"forensic_tool", "a memory imager"}, "mnemosyne_x64": {"forensic_tool", "a memory imager"}, "mnemosyne_x86": {"forensic_tool", "a memory imager"},
	"winpmem": {"forensic_tool", "WinPmem"}, "pmem": {"forensic_tool", "WinPmem"}, "dumpit": {"forensic_tool", "DumpIt"}, "win64dd": {"forensic_tool", "a memory imager"}, "win32dd": {"forensic_tool", "a memory imager"},
	"ad_driver": {"forensic_tool", "AccessData's imager"}, "accessdata driver": {"forensic_tool", "AccessData's imager"}, "mktools": {"forensic_tool", "Memoryze"}, "ramcapture": {"forensic_tool", "Belkasoft RAM Capturer"}, "ramcapturedriver": {"forensic_tool", "Belkasoft RAM Capturer"}, "ramcapturedriver64": {"forensic_tool", "Belkasoft RAM Capturer"},
	"magnetramcapture": {"forensic_tool", "Magnet RAM Capture"}, "enstart": {"forensic_tool", "EnCase"}, "enstart64": {"forensic_tool", "EnCase"}, "enstart_": {"forensic_tool", "EnCase"}, "osfmount": {"forensic_tool", "OSFMount"}, "arsenalimagemounter": {"forensic_tool", "Arsenal Image Mounter"},
	"velociraptor": {"forensic_tool", "Velociraptor"}, "grr": {"forensic_tool", "GRR"}, "grr monitor": {"forensic_tool", "GRR"}, "kape": {"forensic_tool", "KAPE"}, "livekd": {"forensic_tool", "LiveKd"}, "livekdd": {"forensic_tool", "LiveKd"}, "rekall": {"forensic_tool", "Rekall"},

	"processhacker": {"vulnerable_driver", "Process Hacker's driver"}, "kprocesshacker": {"vulnerable_driver", "Process Hacker's driver"}, "kprocesshacker3": {"vulnerable_driver", "Process Hacker's driver"},
	"rtcore64": {"vulnerable_driver", "MSI Afterburner's driver"}, "rtcore32": {"vulnerable_driver", "MSI Afterburner's driver"}, "dbutil_2_3": {"vulnerable_driver", "Dell's dbutil"}, "dbutildrv2": {"vulnerable_driver", "Dell's dbutil"},
	"gdrv": {"vulnerable_driver", "Gigabyte's driver"}, "winring0": {"vulnerable_driver", "WinRing0"}, "winring0x64": {"vulnerable_driver", "WinRing0"}, "winring0_1_2_0": {"vulnerable_driver", "WinRing0"}, "asrdrv101": {"vulnerable_driver", "ASRock's driver"},
	"iqvw64e": {"vulnerable_driver", "Intel's network diagnostics driver"}, "nal": {"vulnerable_driver", "Intel's network diagnostics driver"}, "zamguard64": {"vulnerable_driver", "Zemana's driver"}, "zam64": {"vulnerable_driver", "Zemana's driver"},
	"mhyprot2": {"vulnerable_driver", "an anti-cheat driver"}, "mhyprot3": {"vulnerable_driver", "an anti-cheat driver"}, "truesight": {"vulnerable_driver", "RogueKiller's driver"}, "aswarpot": {"vulnerable_driver", "Avast's anti-rootkit driver"},
	"physmem": {"vulnerable_driver", "a driver that maps memory"}, "msio64": {"vulnerable_driver", "a driver that maps memory"}, "inpoutx64": {"vulnerable_driver", "a driver for ports"}, "eneio64": {"vulnerable_driver", "ENE's driver"}, "atszio64": {"vulnerable_driver", "ASUS's driver"}, "echo_driver": {"vulnerable_driver", "an anti-cheat driver"},
}

// toolPrefixes are the beginnings of names that carry a version or an id.
var toolPrefixes = []struct {
	prefix string
	tool
}{
	{"psexesvc", tool{"remote_execution_tool", "PsExec"}},
	{"paexec-", tool{"remote_execution_tool", "PAExec"}},
	{"screenconnect client", tool{"rmm_tool", "ScreenConnect"}},
	{"anydesk-", tool{"rmm_tool", "AnyDesk"}},
	{"pdqdeployrunner-", tool{"rmm_tool", "PDQ Deploy"}},
	{"gotoresolve_", tool{"rmm_tool", "GoTo Resolve"}},
	{"procexp", tool{"forensic_tool", "Process Explorer"}},
	{"procmon", tool{"forensic_tool", "Process Monitor"}},
	{"winpmem", tool{"forensic_tool", "WinPmem"}},
	{"teamviewer", tool{"rmm_tool", "TeamViewer"}},
	{"splashtop", tool{"rmm_tool", "Splashtop"}},
	{"mimikatz", tool{"attack_tool", "mimikatz"}},
	{"grunthttp", tool{"attack_tool", "Covenant's agent"}},
	{"gruntsmb", tool{"attack_tool", "Covenant's agent"}},
	{"gruntbridge", tool{"attack_tool", "Covenant's agent"}},
	{"merlinagent", tool{"attack_tool", "Merlin's agent"}},
	{"badger_x64", tool{"attack_tool", "Brute Ratel's agent"}},
	{"demon.x64", tool{"attack_tool", "Havoc's agent"}},
	{"pwdump", tool{"attack_tool", "pwdump"}},
}

// hostGroups are the groups of services that svchost.exe is mostly started for.
var hostGroups = [...]string{
	"netsvcs", "localservice", "localservicenonetwork", "localservicenetworkrestricted", "localserviceandnoimpersonation",
	"localsystemnetworkrestricted", "networkservice", "networkservicenetworkrestricted", "networkserviceandnoimpersonation",
	"dcomlaunch", "unistacksvcgroup", "wersvcgroup", "appmodel", "wsappx", "imgsvc", "utcsvc", "secsvcs", "wusvcs", "smbsvcs",
	"iissvcs", "wbiosvcgroup", "bthappgroup", "gpsvcgroup", "termsvcs", "tapisrv", "devicesflow", "printworkflow",
}

// systemPrograms are programs of Windows whose names others borrow: those that
// every machine runs, or that no other software has reason to be called like.
var systemPrograms = []string{
	"smss", "csrss", "wininit", "winlogon", "services", "lsass", "lsm", "svchost", "spoolsv", "dwm", "taskhost", "taskhostw", "taskhostex",
	"userinit", "logonui", "fontdrvhost", "conhost", "dllhost", "sihost", "runtimebroker", "searchindexer", "wmiprvse", "msiexec",
	"trustedinstaller", "tiworker", "audiodg", "ctfmon", "explorer", "dashost", "wuauclt", "werfault", "rdpclip", "wudfhost",
	"lsaiso", "ntoskrnl", "usoclient", "musnotification", "backgroundtaskhost", "smartscreen", "wermgr", "unsecapp",
	"msmpeng", "nissrv", "mssense", "smsvchost", "sppsvc", "vssvc", "msdtc", "wmiapsrv", "presentationfontcache",
}

// systemPlaces are where a program of systemPrograms may also be: lower case, the
// drive left out.
var systemPlaces = map[string][]string{
	"explorer":         {`\windows\`},
	"smsvchost":        {`\windows\microsoft.net\`},
	"msmpeng":          {`\program files\windows defender\`, `\programdata\microsoft\windows defender\`, `\program files\microsoft security client\`},
	"nissrv":           {`\program files\windows defender\`, `\programdata\microsoft\windows defender\`, `\program files\microsoft security client\`},
	"mssense":          {`\program files\windows defender advanced threat protection\`},
	"trustedinstaller": {`\windows\servicing\`}, "tiworker": {`\windows\winsxs\`},
	"presentationfontcache": {`\windows\microsoft.net\`},
	"services":              {`\program files\`, `\program files (x86)\`}, "lsm": {`\program files\`, `\program files (x86)\`},
}

// windowsRoot are programs whose usual place is the Windows directory itself.
var windowsRoot = map[string]bool{
	"sysmon": true, "sysmon64": true, "sysmon64a": true, "sysmondrv.sys": true, "explorer": true, "psexesvc": true, "paexec": true,
	"splwow64": true, "bfsvc": true, "notepad": true, "regedit": true, "hh": true, "winhlp32": true, "helppane": true, "write": true,
	"rtkaudioservice": true, "rtkaudioservice64": true, "rthdvcpl": true, "ravcpl64": true, "rtlupd64": true,
}

// windowsDirectories are directories under the Windows directory that hold
// services' programs.
var windowsDirectories = map[string]bool{
	"system32": true, "syswow64": true, "sysnative": true, "sysarm32": true, "microsoft.net": true, "servicing": true, "winsxs": true, "ccm": true, "ccmsetup": true,
	"systemapps": true, "immersivecontrolpanel": true, "installer": true, "adws": true, "adfs": true, "ehome": true, "softwaredistribution": true, "uus": true,
	"immersive": true, "diagnostics": true, "boot": true, "cluster": true, "ltsvc": true, "pchealth": true, "speech": true, "sysvol": true, "system": true,
	"assembly": true, "firmware": true, "openssh": true, "azurearcagent": true, "adam": true, "adminarsenal": true, "wss": true, "downloaded program files": true,
}

// unixServices are services of Linux that others borrow the name of.
var unixServices = []string{
	"systemd-journald", "systemd-logind", "systemd-udevd", "systemd-resolved", "systemd-networkd", "systemd-timesyncd", "systemd-machined", "systemd-hostnamed",
	"systemd-tmpfiles-clean", "systemd-sysctl", "systemd-oomd", "systemd-homed", "systemd-localed", "systemd-timedated", "systemd-coredump", "systemd-update-utmp",
	"dbus-daemon", "dbus-broker", "networkmanager", "polkit", "polkitd", "rsyslog", "rsyslogd", "crond", "sshd", "nginx", "apache2", "httpd", "mysqld", "mariadb", "postgresql",
	"docker", "dockerd", "containerd", "kubelet", "auditd", "chronyd", "firewalld", "irqbalance", "udisks2", "accounts-daemon", "avahi-daemon", "cups-browsed", "unattended-upgrades",
	"networkd-dispatcher", "snapd", "multipathd", "haproxy", "postfix", "dovecot", "redis-server", "logrotate", "apparmor", "fail2ban", "gssproxy", "wpa_supplicant", "modemmanager",
}

// unixBorrowed are programs of Linux that others borrow the name of, too short to be
// recognised by names that are nearly theirs.
var unixBorrowed = map[string]bool{
	"cron": true, "atd": true, "init": true, "systemd": true, "ntpd": true, "syslogd": true, "klogd": true, "rpcbind": true, "udevd": true, "smbd": true, "agetty": true,
}
