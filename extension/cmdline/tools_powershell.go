package cmdline

import (
	"slices"
	"strings"
)

// namedArg is the value of a PowerShell parameter, by any unambiguous prefix of
// one of its names ("-comp" for -ComputerName), empty when absent.
func namedArg(args []string, names ...string) string {
	for i, a := range args {
		if !isParam(a) || i+1 >= len(args) {
			continue
		}
		given := strings.ToLower(strings.TrimLeft(a, "-\u2013\u2014\u2015"))
		for _, n := range names {
			if given == n || len(given) >= 2 && strings.HasPrefix(n, given) {
				return args[i+1]
			}
		}
	}
	return ""
}

func isParam(a string) bool {
	if len(a) < 2 {
		return false
	}
	r := []rune(a[:min(len(a), 8)])
	if len(r) < 2 {
		return false
	}
	switch r[0] {
	case '-', '\u2013', '\u2014', '\u2015':
		return r[1] >= 'a' && r[1] <= 'z' || r[1] >= 'A' && r[1] <= 'Z'
	}
	return false
}

// flags are the parameters of the cmdlets read here that take no value.
var flags = map[string]bool{
	"recurse": true, "force": true, "requiredservices": true, "dependentservices": true, "rs": true, "ds": true,
	"list": true, "amended": true, "nowait": true, "wait": true, "passthru": true, "verbose": true, "debug": true,
	"keyonly": true, "shallow": true, "nonewwindow": true, "asjob": true, "s": true, "directory": true, "file": true,
	"hidden": true, "loadwarnings": true, "enumerate": true, "associations": true, "usessl": true, "whatif": true, "directread": true, "enableallprivileges": true,
}

// positionals are the words that belong to no parameter.
func positionals(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if isParam(args[i]) {
			name := strings.ToLower(strings.TrimLeft(args[i], "-\u2013\u2014\u2015"))
			if !flags[name] && i+1 < len(args) && !isParam(args[i+1]) {
				i++
			}
			continue
		}
		out = append(out, args[i])
	}
	return out
}

func positional(args []string, name string) string {
	if v := namedArg(args, name); v != "" {
		return v
	}
	if ps := positionals(args); len(ps) > 0 {
		return ps[0]
	}
	return ""
}

func psOptions(cmd *Command, args []string) {
	for _, a := range args {
		if isParam(a) {
			cmd.Options = append(cmd.Options, strings.ToLower(a))
		}
	}
}

// everyName reports whether a name or pattern selects all.
func everyName(s string) bool {
	return strings.Trim(s, "*'\"%? ") == ""
}

// readGetService reads Get-Service and the other service cmdlets.
func readGetService(cmd *Command, args []string, _ scope) {
	psOptions(cmd, args)
	cmd.Object = "service"
	setRemote(cmd, namedArg(args, "computername", "cn"))
	name := namedArg(args, "name", "displayname", "servicename")
	if name == "" {
		name = namedArg(args, "include")
	}
	if name == "" {
		if ps := positionals(args); len(ps) > 0 {
			name = ps[0]
		}
	}
	if name == "" {
		name = namedArg(args, "inputobject")
	}
	if name != "" && !everyName(name) {
		cmd.Target = append(cmd.Target, name)
	}
}

// readWMIObject reads Get-WmiObject, Get-CimInstance and the method callers.
func readWMIObject(cmd *Command, args []string, _ scope) {
	psOptions(cmd, args)
	setRemote(cmd, namedArg(args, "computername", "cn", "cimsession"))
	class := namedArg(args, "classname", "class", "resultclassname")
	query := namedArg(args, "query")
	if class == "" && query == "" {
		if ps := positionals(args); len(ps) > 0 {
			class = ps[0]
		}
	}
	if query == "" && strings.HasPrefix(strings.ToLower(strings.TrimSpace(class)), "select ") {
		class, query = "", class
	}
	if query != "" {
		readWQL(cmd, query)
	} else {
		class = strings.ToLower(class)
		if strings.ContainsAny(class, "*") && strings.Contains("win32_service", strings.Trim(class, "*")) && len(class) > 4 {
			class = "win32_service"
		}
		cmd.Object = serviceClasses[class]
		if cmd.Object == "" {
			cmd.Object = class
		}
	}
	if slices.ContainsFunc(cmd.Options, func(o string) bool { return len(o) > 2 && strings.HasPrefix("-list", o) }) {
		cmd.Object = "class" // the classes there are, not what they describe
	}
	if f := namedArg(args, "filter"); f != "" {
		if n := namesInClause(f); n != "" {
			cmd.Target = append(cmd.Target, n)
		}
	}
	if m := namedArg(args, "methodname"); m != "" {
		cmd.Members = append(cmd.Members, strings.ToLower(m))
	} else if strings.HasPrefix(cmd.Tool, "invoke-") {
		if m := namedArg(args, "name"); m != "" {
			cmd.Members = append(cmd.Members, strings.ToLower(m))
		}
	}
}

// readWQL reads "select ... from class [where ...]".
func readWQL(cmd *Command, query string) {
	q := strings.Join(strings.Fields(strings.ToLower(query)), " ")
	if strings.HasPrefix(q, "associators of ") {
		_, class, _ := strings.Cut(q, "resultclass")
		class, _, _ = strings.Cut(strings.TrimLeft(class, " ="), " ")
		cmd.Object = serviceClasses[class]
		return
	}
	_, rest, ok := strings.Cut(q, " from ")
	if !ok {
		return
	}
	class, where, _ := strings.Cut(rest, " ")
	class = strings.Trim(class, `"'`)
	cmd.Object = serviceClasses[class]
	if cmd.Object == "" {
		cmd.Object = class
	}
	if n := namesInClause(where); n != "" {
		cmd.Target = append(cmd.Target, n)
	}
}

// readPathCmdlet reads Get-ChildItem and its like on files or registry drives.
func readPathCmdlet(cmd *Command, args []string, s scope) {
	psOptions(cmd, args)
	path := namedArg(args, "path", "literalpath", "pspath", "lp")
	if path == "" {
		if ps := positionals(args); len(ps) > 0 {
			path = ps[0]
		}
	}
	if path == "" {
		path = s.cwd
	} else {
		path = joinPath(s.cwd, path)
	}
	for _, one := range strings.Split(path, ",") {
		one = strings.TrimSpace(one)
		if one == "" {
			continue
		}
		if key := registryKey(one); strings.HasPrefix(key, "hk") {
			addRegistryKey(cmd, key)
			continue
		}
		cmd.Paths = append(cmd.Paths, cleanPath(one))
	}
}

// readNewPSDrive reads a drive that is put on a registry key.
func readNewPSDrive(cmd *Command, args []string, _ scope) {
	psOptions(cmd, args)
	if root := namedArg(args, "root"); root != "" {
		if key := registryKey(root); strings.HasPrefix(key, "hk") {
			addRegistryKey(cmd, key)
		}
	}
}

func readScheduledTask(cmd *Command, args []string, _ scope) {
	psOptions(cmd, args)
	cmd.Object = "task"
	setRemote(cmd, namedArg(args, "cimsession"))
	name := namedArg(args, "taskname")
	if name == "" {
		if ps := positionals(args); len(ps) > 0 {
			name = ps[0]
		}
	}
	if name != "" && !everyName(name) {
		cmd.Target = append(cmd.Target, name)
	}
}

// readDotNet reads a static call or a type accelerator: the type is the tool, the
// method the verb.
func readDotNet(cmd *Command, argv []string) {
	word := strings.ToLower(argv[0])
	typ, method, _ := strings.Cut(strings.TrimPrefix(word, "["), "]")
	method = strings.TrimPrefix(method, "::")
	typ = strings.TrimPrefix(typ, "system.")
	cmd.Tool, cmd.Verb = "["+typ+"]", strings.TrimSuffix(method, "()")
	switch typ {
	case "serviceprocess.servicecontroller":
		cmd.Object = "service"
		if cmd.Verb == "getdevices" {
			cmd.Object = "driver"
		}
		if len(argv) > 1 && (cmd.Verb == "getservices" || cmd.Verb == "getdevices") {
			setRemote(cmd, argv[1])
		} else if len(argv) > 1 {
			cmd.Target = argv[1:]
		}
	case "wmisearcher", "management.managementobjectsearcher":
		if len(argv) > 1 {
			readWQL(cmd, argv[1])
		}
	case "wmi", "wmiclass", "management.managementclass":
		if len(argv) > 1 {
			path := strings.ToLower(strings.Trim(argv[1], `"'`))
			if host, ok := strings.CutPrefix(path, `\\`); ok {
				setRemote(cmd, host)
			}
			path, where, _ := strings.Cut(path, "=") // a name may hold any sign
			if i := strings.LastIndexAny(path, `:\`); i >= 0 {
				path = path[i+1:]
			}
			class, key, ok := strings.Cut(path, ".")
			if where != "" {
				key += "=" + where
			}
			cmd.Object = serviceClasses[class]
			if ok && key != "" {
				cmd.Target = append(cmd.Target, key)
			}
		}
	case "microsoft.win32.registry", "microsoft.win32.registrykey":
		if cmd.Verb == "openremotebasekey" && len(argv) > 2 {
			setRemote(cmd, argv[2])
		}
		for _, a := range argv[1:] {
			if k := registryKey(a); strings.HasPrefix(k, `system\`) {
				addRegistryKey(cmd, `hklm\`+k)
			}
		}
	}
	for _, m := range cmd.Members {
		if cmd.Verb == "" {
			cmd.Verb = m
		}
	}
}

// readWSManInstance reads Get-WSManInstance: a class of WMI behind an address, all
// of its instances or the one that a set of selectors names.
func readWSManInstance(cmd *Command, args []string, _ scope) {
	psOptions(cmd, args)
	setRemote(cmd, namedArg(args, "computername", "cn"))
	setRemoteURL(cmd, namedArg(args, "connectionuri"))
	uri := namedArg(args, "resourceuri")
	if uri == "" {
		if ps := positionals(args); len(ps) > 0 {
			uri = ps[0]
		}
	}
	readResource(cmd, uri)
	if f := namedArg(args, "filter"); f != "" {
		readWQL(cmd, f)
	}
	if s := namedArg(args, "selectorset"); s != "" {
		cmd.Target = append(cmd.Target, clip(s, 200))
	}
}

// readNewObject reads New-Object: an object of a type of .NET that asks about
// services is what the type's accelerator is.
func readNewObject(cmd *Command, args []string, _ scope) {
	psOptions(cmd, args)
	words := positionals(args)
	typ := namedArg(args, "typename")
	if typ == "" && len(words) > 0 {
		typ, words = words[0], words[1:]
	}
	if with := namedArg(args, "argumentlist", "args"); with != "" {
		words = []string{with}
	}
	switch name := strings.TrimPrefix(strings.ToLower(typ), "system."); name {
	case "management.managementobjectsearcher", "management.managementclass", "serviceprocess.servicecontroller":
		readDotNet(cmd, append([]string{"[" + name + "]"}, words...))
	default:
		cmd.Paths = scriptPaths(append([]string{cmd.Tool}, args...))
	}
}
