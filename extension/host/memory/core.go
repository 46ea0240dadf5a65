package memory

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

// Core looks at processes through osquery's tables, where there is no process file
// system. It is safe for concurrent use where its core.Asker is.
type Core struct {
	q        core.Asker
	platform evidence.Platform
}

// NewCore returns a Core that asks q, of a host of a platform.
func NewCore(q core.Asker, p evidence.Platform) *Core { return &Core{q: q, platform: p} }

// Look looks at the processes of q and tells r what osquery's tables know.
func (c *Core) Look(ctx context.Context, q Question, r *Report) {
	q = q.bounded(r)
	running := c.running(ctx, q, r)
	if len(running) == 0 {
		return
	}
	pids := make([]int64, 0, len(running))
	for _, p := range running {
		pids = append(pids, p.pid)
	}
	who := make(map[string]process, len(running))
	for _, p := range running {
		who[strconv.FormatInt(p.pid, 10)] = p
	}
	c.maps(ctx, pids, who, r)
	if c.platform == evidence.Windows {
		r.problem("osquery tells of the modules of a process on Windows, not of its other memory")
		return
	}
	c.environment(ctx, pids, who, r)
}

// process is one row of processes.
type process struct {
	pid        int64
	name, path string
	words      string
}

var columns = []string{"pid", "name", "path", "start_time", "on_disk"}

// running are the processes of a question that still run, in order.
func (c *Core) running(ctx context.Context, q Question, r *Report) []process {
	var out []process
	have := map[int64]bool{}
	take := func(row map[string]string) {
		pid, err := strconv.ParseInt(row["pid"], 10, 64)
		if err != nil || have[pid] || len(have) >= 2*maxProcesses {
			return
		}
		have[pid] = true
		p := process{pid: pid, name: row["name"], path: row["path"], words: fmt.Sprintf("Process %d (%s)", pid, shorten(row["name"]))}
		out = append(out, p)
		r.looked()
		switch {
		case row["on_disk"] == "0":
			r.sign("%s runs %s, which is not on the disk any more.", p.words, shorten(p.path))
		case c.temporary(p.path):
			r.sign("%s runs %s, which lies among temporary files.", p.words, shorten(p.path))
		}
	}
	if len(q.Processes) > 0 {
		pids := make([]int64, 0, len(q.Processes))
		for _, p := range q.Processes {
			pids = append(pids, p.PID)
		}
		rows, ok := c.ask(ctx, r, squirrel.Select(columns...).From("processes").Where(squirrel.Eq{"pid": pids}).Limit(maxProcesses))
		started := map[string]map[string]string{}
		for _, row := range rows {
			started[row["pid"]] = row
		}
		for _, p := range q.Processes {
			row := started[strconv.FormatInt(p.PID, 10)]
			start, err := strconv.ParseInt(row["start_time"], 10, 64)
			switch {
			case !ok:
			case row == nil || err == nil && start > p.Seen+slack:
				r.gone()
			case err != nil || start <= 0:
				r.problem("when process %d (%s) started is not known: it was not looked at", p.PID, shorten(row["name"]))
			default:
				take(row)
			}
		}
	}
	if len(q.Programs) > 0 {
		paths := make([]string, 0, len(q.Programs))
		for _, p := range q.Programs {
			paths = append(paths, strings.ToLower(p.Path))
		}
		rows, _ := c.ask(ctx, r, squirrel.Select(append(columns, "cmdline")...).From("processes").Where(squirrel.Eq{"lower(path)": paths}).Limit(maxProcesses))
		for _, row := range rows {
			for _, p := range q.Programs {
				if strings.EqualFold(p.Path, row["path"]) && strings.Contains(row["cmdline"], p.Argument) {
					take(row)
					break
				}
			}
		}
	}
	return out
}

// maps tells of what can be executed in processes besides their programs.
func (c *Core) maps(ctx context.Context, pids []int64, who map[string]process, r *Report) {
	// On macOS every process has executable areas without a file of its own, those of
	// the shared cache: only writable ones tell something. Windows' rows are modules.
	odd := squirrel.Sqlizer(squirrel.And{squirrel.Eq{"pseudo": 1}, squirrel.Like{"permissions": "rwx%"}})
	if c.platform == evidence.Windows {
		odd = squirrel.Like{"permissions": "%PAGE_EXECUTE_READWRITE%"}
	}
	rows, _ := c.ask(ctx, r, squirrel.Select("pid", "path", "count(*) AS areas").From("process_memory_map").
		Where(squirrel.And{squirrel.Eq{"pid": pids}, odd}).GroupBy("pid", "path").OrderBy("pid", "path").Limit(4*maxProcesses))
	for _, row := range rows {
		p, ok := who[row["pid"]]
		n, err := strconv.Atoi(row["areas"])
		if !ok || err != nil {
			continue
		}
		if c.platform == evidence.Windows {
			r.sign("%s has %s of %s that can be both written and executed.", p.words, plural(n, "area"), shorten(row["path"]))
			continue
		}
		if is := runtimeOf(base(p.path)); is != "" {
			r.problem("process %d (%s) has executable memory that no file stands behind, which tells nothing: %s makes its code while it runs", p.pid, shorten(p.name), is)
			continue
		}
		r.sign("%s has %s of memory that can be both written and executed and that no file stands behind.", p.words, plural(n, "area"))
	}
	places := squirrel.Or{squirrel.Like{"path": "/tmp/%"}, squirrel.Like{"path": "/private/tmp/%"}, squirrel.Like{"path": "/var/tmp/%"}, squirrel.Like{"path": "/private/var/tmp/%"}}
	executable := squirrel.Like{"permissions": "%x%"}
	if c.platform == evidence.Windows {
		places = squirrel.Or{squirrel.Like{"path": `%\AppData\Local\Temp\%`}, squirrel.Like{"path": `%\Windows\Temp\%`}, squirrel.Like{"path": `%\Users\Public\%`}}
		executable = squirrel.Like{"permissions": "%PAGE_EXECUTE%"}
	}
	rows, _ = c.ask(ctx, r, squirrel.Select("pid", "path").Distinct().From("process_memory_map").
		Where(squirrel.And{squirrel.Eq{"pid": pids}, executable, places}).OrderBy("pid", "path").Limit(4*maxProcesses))
	for _, row := range rows {
		if p, ok := who[row["pid"]]; ok && !strings.EqualFold(row["path"], p.path) {
			r.sign("%s executes code from %s, which lies among temporary files.", p.words, shorten(row["path"]))
		}
	}
}

// environment tells of libraries that were put into processes when they started.
func (c *Core) environment(ctx context.Context, pids []int64, who map[string]process, r *Report) {
	rows, _ := c.ask(ctx, r, squirrel.Select("pid", "key", "value").From("process_envs").
		Where(squirrel.Eq{"pid": pids, "key": []string{"DYLD_INSERT_LIBRARIES", "LD_AUDIT", "LD_PRELOAD"}}).OrderBy("pid", "key").Limit(4*maxProcesses))
	for _, row := range rows {
		if p, ok := who[row["pid"]]; ok && strings.Trim(row["value"], " :") != "" {
			r.sign("%s was started with %s.", p.words, shorten(row["key"]+"="+row["value"]))
		}
	}
}

// temporary are places for temporary files and places where everyone may write.
func (c *Core) temporary(p string) bool {
	if c.platform != evidence.Windows {
		return temporary(strings.TrimPrefix(p, "/private"))
	}
	p = strings.ToLower(p)
	for _, dir := range []string{`\appdata\local\temp\`, `\windows\temp\`, `\users\public\`} {
		if strings.Contains(p, dir) {
			return true
		}
	}
	return false
}

// ask runs a statement; ok is false, and r has the problem, where it fails.
func (c *Core) ask(ctx context.Context, r *Report, stmt squirrel.Sqlizer) (rows []map[string]string, ok bool) {
	rows, err := core.Ask(ctx, c.q, stmt)
	if err != nil {
		r.problem("osquery could not be asked: %v", err)
		return nil, false
	}
	return rows, true
}
