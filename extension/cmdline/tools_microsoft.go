package cmdline

import (
	"slices"
	"strings"
)

// readSC reads "sc [\\server] verb [key= value]... [name]".
func readSC(cmd *Command, args []string, _ scope) {
	i := 0
	if i < len(args) && strings.HasPrefix(args[i], `\\`) {
		setRemote(cmd, args[i])
		i++
	}
	if i >= len(args) {
		return
	}
	cmd.Verb = strings.ToLower(args[i])
	for i++; i < len(args); i++ {
		a := args[i]
		if k, v, ok := strings.Cut(a, "="); ok && scKey(k) {
			if v == "" && i+1 < len(args) {
				i++
				v = args[i]
			}
			cmd.Options = append(cmd.Options, "-"+strings.ToLower(k)+"="+strings.ToLower(v))
			continue
		}
		if (cmd.Verb == "query" || cmd.Verb == "queryex") && scKey(a) && i+1 < len(args) && strings.HasPrefix(args[i+1], "=") {
			cmd.Options = append(cmd.Options, "-"+strings.ToLower(a)+strings.ToLower(args[i+1]))
			i++
			continue
		}
		if a == "/?" || a == "-?" {
			cmd.Options = append(cmd.Options, "-?")
			continue
		}
		// qc and its like take a buffer size behind the name.
		if len(cmd.Target) > 0 && isNumber(a) {
			continue
		}
		cmd.Target = append(cmd.Target, a)
	}
}

func scKey(s string) bool {
	switch strings.ToLower(s) {
	case "type", "state", "bufsize", "ri", "group", "start", "error", "binpath", "tag", "depend", "obj", "displayname", "password", "reset", "reboot", "command", "actions":
		return true
	}
	return false
}

func isNumber(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// readNet reads "net verb [name] [switches]". Samba's net has the name of Windows'
// and another grammar.
func readNet(cmd *Command, args []string, _ scope) {
	if readSambaNet(cmd, args) {
		return
	}
	for _, a := range args {
		if o, ok := option(a); ok && cmd.Verb != "" {
			cmd.Options = append(cmd.Options, o)
			continue
		}
		if cmd.Verb == "" {
			cmd.Verb = strings.ToLower(a)
			continue
		}
		cmd.Target = append(cmd.Target, a)
	}
}

// readSambaNet reads "net rpc service list|status [name] -S host", with options
// anywhere between the words, and reports whether it is that.
func readSambaNet(cmd *Command, args []string) bool {
	var words []string
	host := ""
	for i := 0; i < len(args); i++ {
		a := args[i]
		if !strings.HasPrefix(a, "-") {
			words = append(words, a)
			continue
		}
		name, value, has := strings.Cut(a, "=")
		switch name {
		case "-S", "-I", "-U", "-W", "-w", "-p", "-n", "-A", "-s", "-d", "--server", "--ipaddress", "--user", "--workgroup", "--target-workgroup", "--authentication-file":
			if !has && i+1 < len(args) {
				i++
				value = args[i]
			}
		}
		if name == "-S" || name == "-I" || name == "--server" || name == "--ipaddress" {
			host = value
		}
	}
	if len(words) < 3 || words[0] != "rpc" || words[1] != "service" {
		return false
	}
	cmd.Object, cmd.Verb, cmd.Target = "remote_service", strings.ToLower(words[2]), words[3:]
	setRemote(cmd, host)
	return true
}

// readTasklist reads tasklist's switches; a filter that names a process, service
// or pid is a question about one, but svchost.exe hosts most of them.
func readTasklist(cmd *Command, args []string, _ scope) {
	for i := 0; i < len(args); i++ {
		o, ok := option(args[i])
		if !ok {
			continue
		}
		cmd.Options = append(cmd.Options, o)
		next := ""
		if i+1 < len(args) {
			next = args[i+1]
		}
		switch o {
		case "-svc":
			cmd.Verb = "svc"
		case "-s":
			setRemote(cmd, next)
			i++
		case "-u", "-p", "-fo":
			i++
		case "-fi":
			if i+3 < len(args) && !strings.Contains(next, " ") {
				next = strings.Join(args[i+1:i+4], " ") // its quotes were lost
				i += 2
			}
			f := strings.Fields(strings.ToLower(next))
			if len(f) == 3 && (f[0] == "imagename" || f[0] == "services" || f[0] == "pid") && f[1] == "eq" && f[2] != "*" && !strings.HasPrefix(f[2], "svchost") {
				cmd.Target = append(cmd.Target, f[2])
			}
			if len(f) > 0 {
				cmd.Options = append(cmd.Options, "-fi="+f[0])
			}
			i++
		}
	}
}

// serviceClasses are the WMI classes that describe services and drivers.
var serviceClasses = map[string]string{
	"win32_service": "service", "win32_baseservice": "service", "win32_terminalservice": "service",
	"win32_systemdriver": "driver", "win32_loadordergroup": "service", "win32_loadordergroupservicedependencies": "service",
	"win32_dependentservice": "service", "win32_systemservices": "service", "win32_systemsystemdriver": "driver", "win32_loadordergroupservicemembers": "service", "win32_serviceconfiguration": "service",
	"cim_service": "service", "msft_netservice": "service", "win32_pnpsigneddriver": "driver", "win32_scheduledjob": "task",
}

// readWMIC reads "wmic [switches] alias|path class [where clause] [verb ...]".
func readWMIC(cmd *Command, args []string, _ scope) {
	h, i := wmicGlobals(args)
	setRemote(cmd, h)
	for _, a := range args[:i] {
		if o, ok := option(a); ok {
			cmd.Options = append(cmd.Options, o)
			if strings.HasPrefix(o, "-output:") || strings.HasPrefix(o, "-append:") {
				if f := a[strings.IndexByte(a, ':')+1:]; f != "" && !strings.EqualFold(f, "stdout") && !strings.EqualFold(f, "clipboard") {
					cmd.OutputFile = f
				}
			}
		}
	}
	if i >= len(args) {
		return
	}
	alias := strings.ToLower(args[i])
	i++
	if alias == "path" || alias == "class" {
		if i >= len(args) {
			return
		}
		alias = strings.ToLower(args[i])
		i++
	}
	if j := strings.IndexAny(alias, `.=`); j > 0 {
		cmd.Target = append(cmd.Target, alias[j+1:])
		alias = alias[:j]
	}
	switch alias {
	case "service":
		cmd.Object = "service"
	case "sysdriver":
		cmd.Object = "driver"
	case "loadorder":
		cmd.Object = "service"
	case "job":
		cmd.Object = "task"
	default:
		cmd.Object = serviceClasses[alias]
	}
	if cmd.Object == "" {
		cmd.Object = alias
	}
	for ; i < len(args); i++ {
		a := args[i]
		l := strings.ToLower(a)
		switch {
		case l == "where" || strings.HasPrefix(l, "where(") || strings.HasPrefix(l, "where\""):
			from := i
			for i+1 < len(args) && !wmicVerb(strings.ToLower(args[i+1])) {
				i++
			}
			clause := strings.TrimPrefix(l, "where") + " " + strings.Join(args[from+1:i+1], " ")
			if names := namesInClause(clause); names != "" {
				cmd.Target = append(cmd.Target, names)
			}
		case wmicVerb(l) && cmd.Verb == "":
			cmd.Verb = l
		case strings.HasPrefix(a, "/") || strings.HasPrefix(a, "-"):
			if o, ok := option(a); ok {
				cmd.Options = append(cmd.Options, o)
			}
		case cmd.Verb == "call" && len(cmd.Members) == 0:
			cmd.Members = append(cmd.Members, l)
		case cmd.Verb == "" && cmd.Object == "service" && strings.HasPrefix(a, "("):
			if names := namesInClause(l); names != "" {
				cmd.Target = append(cmd.Target, names)
			}
		case cmd.Verb == "" && cmd.Object == "service" && !strings.Contains(a, ","):
			cmd.Target = append(cmd.Target, a) // wmic service Spooler
		}
	}
	if cmd.Verb == "" {
		cmd.Verb = "list"
	}
}

func wmicVerb(s string) bool {
	switch s {
	case "get", "list", "call", "delete", "create", "set", "assoc":
		return true
	}
	return false
}

// namesInClause finds a comparison of a service's name in a WQL condition; other
// conditions (state, start mode) select from all services.
func namesInClause(clause string) string {
	clause = strings.ToLower(clip(clause, 4096))
	for _, field := range []string{"displayname", "caption", "pathname", "processid", "name"} {
		from := 0
		for {
			i := strings.Index(clause[from:], field)
			if i < 0 {
				break
			}
			i += from
			from = i + len(field)
			if i > 0 && (isWordByte(clause[i-1])) {
				continue
			}
			rest := strings.TrimLeft(clause[from:], " ")
			neg := strings.HasPrefix(rest, "!=") || strings.HasPrefix(rest, "<>") || strings.HasPrefix(rest, "is ") || strings.HasPrefix(rest, "not ")
			if neg || strings.HasSuffix(strings.TrimRight(clause[:i], " ("), "not") {
				continue
			}
			if !strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "like") {
				continue
			}
			value := strings.Trim(strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(rest, "like"), "="), " "), `"'()`)
			if strings.Trim(value, "%*_\"' ") == "" {
				continue // like '%': every name
			}
			return clip(value, 200)
		}
	}
	return ""
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// readReg reads "reg verb key [switches]".
func readReg(cmd *Command, args []string, _ scope) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if o, ok := option(a); ok && cmd.Verb != "" {
			cmd.Options = append(cmd.Options, o)
			switch o {
			case "-v", "-f", "-t", "-d", "-se":
				if i+1 < len(args) {
					i++
					cmd.Options[len(cmd.Options)-1] = o + "=" + strings.ToLower(args[i])
				}
			}
			continue
		}
		switch {
		case cmd.Verb == "":
			cmd.Verb = strings.ToLower(a)
		case len(cmd.Paths) == 0:
			if strings.HasPrefix(a, `\\`) {
				setRemote(cmd, a)
				if j := strings.IndexByte(a[2:], '\\'); j >= 0 {
					a = a[2+j+1:]
				}
			}
			addRegistryKey(cmd, a)
		case cmd.Verb == "export" || cmd.Verb == "save":
			cmd.OutputFile = a
		}
	}
}

// readRegedit reads "regedit /e file [key]"; everything else writes or shows a
// window.
func readRegedit(cmd *Command, args []string, _ scope) {
	for i := 0; i < len(args); i++ {
		o, ok := option(args[i])
		switch {
		case ok && (o == "-e" || o == "-a"):
			cmd.Verb = "export"
			if i++; i < len(args) {
				cmd.OutputFile = args[i]
			}
		case ok:
			cmd.Options = append(cmd.Options, o)
		case cmd.Verb == "export":
			addRegistryKey(cmd, args[i])
		}
	}
}

// addRegistryKey adds a key in one spelling; one below Services is the name of a
// service and becomes the target.
func addRegistryKey(cmd *Command, key string) {
	key = registryKey(key)
	if key == "" {
		return
	}
	cmd.Paths = append(cmd.Paths, key)
	const services = `hklm\system\currentcontrolset\services`
	if key == services || key == services+`\*` {
		cmd.Object = "services_key"
		return
	}
	if rest, ok := strings.CutPrefix(key, services+`\`); ok {
		name, below, deeper := strings.Cut(rest, `\`)
		cmd.Object = "service_key"
		switch {
		case name == "*":
			cmd.Object = "services_key"
		case deeper && below != "" && below != "*":
			cmd.Object = "service_subkey"
			cmd.Target = append(cmd.Target, name)
		default:
			cmd.Target = append(cmd.Target, name)
		}
	}
}

// registryKey writes a key in lower case with the short hive, the current control
// set and single backslashes.
func registryKey(key string) string {
	key = strings.ToLower(strings.Trim(strings.TrimSpace(key), `"'`))
	key = strings.ReplaceAll(key, "/", `\`)
	for _, p := range []string{`microsoft.powershell.core\`, `registry::`, `computer\`} {
		key = strings.TrimPrefix(key, p)
	}
	key = strings.TrimPrefix(key, `\\.\`)
	for long, short := range map[string]string{"hkey_local_machine": "hklm", "hkey_current_user": "hkcu", "hkey_users": "hku"} {
		if rest, ok := strings.CutPrefix(key, long); ok {
			key = short + rest
			break
		}
	}
	key = strings.Replace(key, "hklm:", `hklm\`, 1)
	for strings.Contains(key, `\\`) {
		key = strings.ReplaceAll(key, `\\`, `\`)
	}
	key = strings.TrimRight(key, `\`)
	parts := strings.SplitN(key, `\`, 4)
	if len(parts) > 2 && parts[0] == "hklm" && parts[1] == "system" && strings.HasPrefix(parts[2], "controlset0") {
		parts[2] = "currentcontrolset"
		key = strings.Join(parts, `\`)
	}
	return key
}

// readSchtasks reads schtasks' verbs, which are switches.
func readSchtasks(cmd *Command, args []string, _ scope) {
	cmd.Verb = "query" // bare schtasks lists
	for i := 0; i < len(args); i++ {
		o, ok := option(args[i])
		if !ok {
			continue
		}
		cmd.Options = append(cmd.Options, o)
		next := ""
		if i+1 < len(args) {
			next = args[i+1]
		}
		switch o {
		case "-query", "-create", "-delete", "-change", "-run", "-end", "-showsid":
			cmd.Verb = o[1:]
		case "-s":
			setRemote(cmd, next)
			i++
		case "-tn":
			cmd.Target = append(cmd.Target, next)
			i++
		case "-u", "-p", "-fo", "-tr", "-sc", "-ru", "-rp", "-st", "-mo", "-d", "-m", "-i", "-xml":
			if o != "-xml" {
				i++
			}
		}
	}
}

// readPsService reads Sysinternals' "psservice [\\host [-u user] [-p pw]] [verb [name]]".
func readPsService(cmd *Command, args []string, _ scope) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		o, isOpt := option(a)
		switch {
		case strings.HasPrefix(a, `\\`):
			setRemote(cmd, a)
		case isOpt:
			cmd.Options = append(cmd.Options, o)
			switch o {
			case "-u", "-p", "-g", "-t", "-s":
				if i+1 < len(args) && cmd.Verb != "" || o == "-u" || o == "-p" {
					i++
				}
			}
		case cmd.Verb == "":
			cmd.Verb = strings.ToLower(a)
		default:
			cmd.Target = append(cmd.Target, a)
		}
	}
	if cmd.Verb == "" {
		cmd.Verb = "query"
	}
}

// readAccessChk reads Sysinternals' accesschk: -c makes the name a service's.
func readAccessChk(cmd *Command, args []string, _ scope) {
	for i := 0; i < len(args); i++ {
		o, ok := option(args[i])
		if !ok {
			switch a := args[i]; {
			case a == "*":
			case strings.HasPrefix(registryKey(a), "hk"):
				addRegistryKey(cmd, a)
			default:
				cmd.Target = append(cmd.Target, a)
			}
			continue
		}
		cmd.Options = append(cmd.Options, o)
		if strings.Contains(o, "c") && o != "-accepteula" && o != "-nobanner" {
			cmd.Object = "service"
		}
		if o == "-f" {
			i++
		}
	}
	if cmd.Object == "service" && len(cmd.Target) > 1 {
		// accesschk -c "Everyone" *: the account comes first
		cmd.Target = cmd.Target[1:]
	} else if cmd.Object == "service" && len(cmd.Target) == 1 && slices.Contains(args, "*") {
		cmd.Target = nil
	}
}

// readScriptHost reads cscript/wscript: which script runs.
func readScriptHost(cmd *Command, args []string, _ scope) {
	for _, a := range args {
		if strings.HasPrefix(a, "//") || strings.HasPrefix(a, "-") {
			continue
		}
		cmd.Paths = scriptPaths([]string{a})
		return
	}
}

// readWinRM reads "winrm verb uri[?key=value...] [switches]".
func readWinRM(cmd *Command, args []string, _ scope) {
	for _, a := range args {
		o, ok := option(a)
		if !ok {
			if cmd.Verb == "" {
				cmd.Verb = strings.ToLower(a)
			} else if cmd.Object == "" {
				readResource(cmd, a)
			}
			continue
		}
		name, value, _ := strings.Cut(o, ":")
		switch name {
		case "-r", "-remote":
			setRemoteURL(cmd, value)
		case "-filter":
			readWQL(cmd, a[strings.IndexByte(a, ':')+1:])
		}
		cmd.Options = append(cmd.Options, name)
	}
}

// readResource reads a resource of WS-Management: an address that ends in a WMI
// class, with the keys of one instance behind a question mark.
func readResource(cmd *Command, uri string) {
	uri, keys, _ := strings.Cut(strings.ToLower(clip(uri, 4096)), "?")
	class := uri[strings.LastIndexByte(uri, '/')+1:]
	cmd.Object = serviceClasses[class]
	if cmd.Object == "" {
		cmd.Object = class
	}
	for key := range strings.SplitSeq(keys, "+") {
		if name, _, ok := strings.Cut(key, "="); ok && name == "name" {
			cmd.Target = append(cmd.Target, keys) // any other key selects from all
			return
		}
	}
}

// setRemoteURL sets the host of an address: "https://host:5986/wsman".
func setRemoteURL(cmd *Command, url string) {
	if _, rest, ok := strings.Cut(url, "//"); ok {
		url = rest
	}
	setRemote(cmd, url)
}

// osqueryTables are osquery's tables of services and of what starts them.
var osqueryTables = map[string]string{
	"services": "service", "systemd_units": "service", "launchd": "service", "launchd_overrides": "service", "drivers": "driver",
	"startup_items": "service", "service_inventory": "service", "scheduled_tasks": "task", "crontab": "task",
}

// readOsquery reads the statement that osqueryi is given.
func readOsquery(cmd *Command, args []string, _ scope) {
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			cmd.Options = append(cmd.Options, a)
			continue
		}
		words := strings.FieldsFunc(strings.ToLower(clip(a, 4096)), func(r rune) bool { return strings.ContainsRune(" \t\n,;()", r) })
		for i, w := range words {
			if o := osqueryTables[strings.Trim(w, "`\"")]; o != "" && i > 0 && (words[i-1] == "from" || words[i-1] == "join") {
				cmd.Verb, cmd.Object = "select", o
				if n := namesInClause(a); n != "" {
					cmd.Target = append(cmd.Target, n)
				}
				return
			}
		}
	}
}
