package memory

import "strings"

// runtimes are programs that make code while they run, by the beginning of their
// names: executable anonymous memory says nothing of them.
var runtimes = []struct{ name, is string }{
	{"node", "Node.js"}, {"deno", "Deno"}, {"bun", "Bun"}, {"java", "Java"}, {"dotnet", ".NET"}, {"mono", "Mono"}, {"pwsh", ".NET"},
	{"python", "Python"}, {"pypy", "PyPy"}, {"ruby", "Ruby"}, {"php", "PHP"}, {"luajit", "LuaJIT"}, {"julia", "Julia"}, {"beam.smp", "Erlang"},
	{"gjs", "GJS"}, {"gnome-shell", "GJS"}, {"cinnamon", "GJS"}, {"polkitd", "polkit's rules engine"}, {"qemu-", "QEMU"}, {"wine", "Wine"},
	{"chrome", "Chrome"}, {"chromium", "Chromium"}, {"msedge", "Edge"}, {"brave", "Brave"}, {"firefox", "Firefox"}, {"thunderbird", "Thunderbird"},
	{"electron", "Electron"}, {"code", "Electron"}, {"slack", "Electron"}, {"Google Chrome", "Chrome"}, {"Microsoft Edge", "Edge"}, {"com.apple.WebKit", "WebKit"},
	{"WebKitWebProcess", "WebKit"}, {"Electron", "Electron"}, {"Slack", "Electron"}, {"Code Helper", "Electron"},
}

// engines are libraries that make code while they run, by the beginning of their
// names.
var engines = []struct{ name, is string }{
	{"libjvm.so", "Java"}, {"libcoreclr.so", ".NET"}, {"libclrjit.so", ".NET"}, {"libmono", "Mono"}, {"libv8", "V8"}, {"libnode.so", "Node.js"},
	{"libmozjs", "SpiderMonkey"}, {"libxul.so", "Firefox"}, {"libjavascriptcoregtk", "WebKit"}, {"libluajit", "LuaJIT"}, {"libLLVM", "LLVM"},
	{"libllvmjit", "LLVM"}, {"libcef.so", "Chromium"}, {"libQt5WebEngineCore", "Chromium"}, {"libQt6WebEngineCore", "Chromium"}, {"libduktape", "Duktape"},
	{"libpython", "Python"}, {"libruby", "Ruby"}, {"libjulia", "Julia"},
}

// runtimeOf is the runtime that a program is by its name; empty when it is none.
// python3.11 is python, nodes is not node.
func runtimeOf(file string) string {
	for _, k := range runtimes {
		rest, ok := strings.CutPrefix(file, k.name)
		if !ok {
			continue
		}
		if c := rest + " "; strings.HasSuffix(k.name, "-") || !(c[0] >= 'a' && c[0] <= 'z' || c[0] >= 'A' && c[0] <= 'Z') {
			return k.is
		}
	}
	return ""
}

// engineOf is the runtime that a library is of.
func engineOf(file string) string {
	for _, k := range engines {
		if strings.HasPrefix(file, k.name) {
			return k.is
		}
	}
	return ""
}

// threads are names of the kernel's own threads, by which malware likes to go.
var threads = map[string]bool{
	"kthreadd": true, "kauditd": true, "khungtaskd": true, "oom_reaper": true, "kcompactd0": true, "ksmd": true, "khugepaged": true, "kintegrityd": true,
	"kblockd": true, "kswapd0": true, "kthrotld": true, "kdevtmpfs": true, "ecryptfs-kthrea": true, "watchdogd": true, "rcu_gp": true, "rcu_par_gp": true,
	"rcu_sched": true, "rcu_preempt": true, "mm_percpu_wq": true, "netns": true, "migration/0": true, "kstrp": true, "ttm_swap": true, "edac-poller": true,
	"devfreq_wq": true, "tpm_dev_wq": true, "ata_sff": true, "rcub/0": true,
}

// threadOf is the name of a kernel thread that a process goes by; empty when it
// does not.
func threadOf(comm string, argv []string) string {
	if len(argv) > 0 {
		if a := argv[0]; len(a) > 2 && a[0] == '[' && a[len(a)-1] == ']' {
			return a
		}
	}
	for _, p := range []string{"kworker/", "ksoftirqd/", "migration/", "cpuhp/", "idle_inject/", "irq/", "jbd2/", "scsi_eh_", "rcu_tasks_"} {
		if strings.HasPrefix(comm, p) {
			return comm
		}
	}
	if threads[comm] {
		return comm
	}
	return ""
}
