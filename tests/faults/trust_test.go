//go:build linux

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const plain = "collect_interval: 1s\n"

// loud is a rule that matches everything, so that it shows whether it was loaded.
const loud = "title: Loud\nid: 00000000-0000-4000-8000-00000000000a\nlevel: critical\nlogsource: {category: process_creation}\ndetection: {sel: {CommandLine|contains: systemctl}, condition: sel}\n"

// trust are the faults of files that others can write.
func trust() []fault {
	// refused starts with a configuration that must not be taken: it names a rule that
	// would show.
	refused := func(prepare func(f *trial, dir string) (config string)) func(*trial) {
		return func(f *trial) {
			dir := f.TempDir()
			rules := filepath.Join(dir, "rules.d")
			f.write(filepath.Join(rules, "loud.yml"), loud)
			f.write(filepath.Join(dir, "rollcall.yaml"), plain+"rules_dir: "+rules+"\nweights: {elevated: 9}\n")
			core := f.auditing()
			r := f.start(started{core: core, file: prepare(f, dir)})
			f.registered(core)
			line := "systemctl list-dependencies trust.service"
			core.AddExecs(f, listing(1, line))
			row := f.found(core, 40*time.Second, line)
			if strings.Contains(row["rule_ids"], "00000000000a") {
				f.Errorf("the rule was taken: %s", row["rule_ids"])
			}
			h := f.health(core, "config")
			if h["state"] != "degraded" || h["detail"] == "" {
				f.Errorf("health of the configuration is %v", h)
			}
			f.note("%s", strings.ReplaceAll(h["detail"], dir, ""))
			r.alive()
		}
	}
	return []fault{
		{name: "configuration others can write", tried: "mode 0666", holds: "refused, said so, defaults go on", run: refused(func(f *trial, dir string) string {
			path := filepath.Join(dir, "rollcall.yaml")
			f.must(os.Chmod(path, 0o666))
			return path
		})},
		{name: "somebody's configuration", tried: "it belongs to uid 4321", holds: "refused, said so, defaults go on", root: true, run: refused(func(f *trial, dir string) string {
			path := filepath.Join(dir, "rollcall.yaml")
			f.must(os.Chown(path, 4321, 4321))
			return path
		})},
		{name: "linked configuration", tried: "a link to a file that others can write", holds: "refused, said so, defaults go on", run: refused(func(f *trial, dir string) string {
			path := filepath.Join(dir, "rollcall.yaml")
			f.must(os.Rename(path, filepath.Join(dir, "elsewhere")))
			f.must(os.Chmod(filepath.Join(dir, "elsewhere"), 0o666))
			f.must(os.Symlink(filepath.Join(dir, "elsewhere"), path))
			return path
		})},
		{name: "FIFO for a configuration", tried: "nobody writes into it", holds: "it blocks nothing; refused, said so", run: refused(func(f *trial, dir string) string {
			path := filepath.Join(dir, "fifo")
			f.must(syscall.Mkfifo(path, 0o600))
			return path
		})},
		{name: "device for a configuration", tried: "a link to /dev/zero", holds: "it fills no memory; refused, said so", run: refused(func(f *trial, dir string) string {
			path := filepath.Join(dir, "zero")
			f.must(os.Symlink("/dev/zero", path))
			return path
		})},
		{name: "bomb for a configuration", tried: "YAML aliases that grow a billionfold", holds: "refused, said so", run: refused(func(f *trial, dir string) string {
			var b strings.Builder
			b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
			for i := 1; i < 12; i++ {
				fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
			}
			path := filepath.Join(dir, "bomb.yaml")
			f.write(path, b.String())
			return path
		})},
		{name: "deep configuration", tried: "400,000 brackets", holds: "refused, said so", run: refused(func(f *trial, dir string) string {
			path := filepath.Join(dir, "deep.yaml")
			f.write(path, "rules_dir: "+strings.Repeat("[", 400_000))
			return path
		})},
		{name: "huge configuration", tried: "8 MiB", holds: "refused, said so", run: refused(func(f *trial, dir string) string {
			path := filepath.Join(dir, "huge.yaml")
			f.write(path, plain+"# "+strings.Repeat("x", 8<<20))
			return path
		})},
		{name: "mistyped configuration", tried: "an unknown key", holds: "refused, with its line", run: refused(func(f *trial, dir string) string {
			path := filepath.Join(dir, "rollcall.yaml")
			f.write(path, plain+"rules_dirr: /x\n")
			return path
		})},
		{name: "rules others can write", tried: "the directory has mode 0777", holds: "refused, said so", run: refused(func(f *trial, dir string) string {
			f.must(os.Chmod(filepath.Join(dir, "rules.d"), 0o777))
			return filepath.Join(dir, "rollcall.yaml")
		})},
		{name: "a rule others can write", tried: "one file of the directory has mode 0666", holds: "that rule is refused, and said so", run: func(f *trial) {
			dir := f.TempDir()
			f.write(filepath.Join(dir, "loud.yml"), loud)
			f.must(os.Chmod(filepath.Join(dir, "loud.yml"), 0o666))
			f.must(syscall.Mkfifo(filepath.Join(dir, "fifo.yml"), 0o600))
			f.must(os.Symlink("/dev/zero", filepath.Join(dir, "zero.yml")))
			core := f.auditing()
			f.start(started{core: core, config: plain + "rules_dir: " + dir + "\n"})
			f.registered(core)
			core.AddExecs(f, listing(1, "systemctl list-dependencies rule.service"))
			if row := f.found(core, 20*time.Second, "systemctl list-dependencies rule.service"); strings.Contains(row["rule_ids"], "00000000000a") {
				f.Error("the rule was taken")
			}
			if h := f.health(core, "rules"); h["state"] != "degraded" {
				f.Errorf("health of the rules is %v", h)
			}
		}},
		{name: "indicators others can write", tried: "the list has mode 0666", holds: "refused, and said so", run: func(f *trial) {
			list := f.file("iocs.txt", "works-1.service\n/usr/bin/systemctl\n")
			f.must(os.Chmod(list, 0o666))
			core := f.auditing()
			f.start(started{core: core, config: plain + "ioc_files: [" + list + "]\n"})
			f.registered(core)
			f.works(core, 1)
			if h := f.health(core, "config"); h["state"] != "degraded" || !strings.Contains(h["detail"], "iocs.txt") {
				f.Errorf("health of the configuration is %v", h)
			}
		}},
	}
}
