package inventory

import (
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

const maxProcesses = 100000

// running is which units have processes, by the control groups systemd puts them
// in.
type running struct {
	// systemd says that it runs the host: a unit without a process is stopped.
	systemd bool
	pids    map[unitKey][]int64
	users   map[string]uint32
}

type unitKey struct {
	user string // uid of the manager's user, empty for the system's
	unit string
}

// processes reads the control group of every process.
func processes(root string) *running {
	r := &running{pids: map[unitKey][]int64{}, users: map[string]uint32{}}
	tree := files.New(root, files.Options{})
	for _, u := range tree.Users() {
		if _, ok := r.users[u.Name]; !ok {
			r.users[u.Name] = u.UID
		}
	}
	if at, err := tree.Resolve("/run/systemd/system", 0); err != nil || !at.Info.IsDir() {
		return r // what sd_booted(3) asks
	}
	entries, _, _, err := tree.ReadDir("/proc", maxProcesses)
	if err != nil {
		return r
	}
	r.systemd = true
	for _, e := range entries {
		pid, err := strconv.ParseInt(e.Name, 10, 64)
		if err != nil || pid <= 0 {
			continue
		}
		b, _, err := tree.ReadFile("/proc/"+e.Name+"/cgroup", 16<<10)
		if err != nil {
			continue // ended meanwhile
		}
		if k, ok := unitOf(groupOf(string(b))); ok && len(r.pids[k]) < 1000 {
			r.pids[k] = append(r.pids[k], pid)
		}
	}
	for _, pids := range r.pids {
		slices.Sort(pids)
	}
	return r
}

// groupOf is the path of the hierarchy systemd keeps, of /proc/PID/cgroup.
func groupOf(s string) string {
	unified := ""
	for line := range strings.SplitSeq(s, "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 {
			continue
		}
		switch {
		case f[1] == "name=systemd":
			return f[2]
		case f[0] == "0" && f[1] == "":
			unified = f[2]
		}
	}
	return unified
}

// unitOf is the unit a control group belongs to: the first component that is no
// slice. What lies below is the unit's own, such as a container that has another
// systemd in it; only a user's manager has units of ours below.
func unitOf(group string) (unitKey, bool) {
	var k unitKey
	for part := range strings.SplitSeq(group, "/") {
		if part == "" || strings.HasSuffix(part, ".slice") {
			continue
		}
		part = strings.TrimPrefix(part, "_") // systemd's escape
		uid, ok := strings.CutPrefix(part, "user@")
		if ok && k.user == "" && strings.HasSuffix(uid, ".service") {
			k.user, k.unit = strings.TrimSuffix(uid, ".service"), part
			continue
		}
		if k.user != "" && part == "init.scope" {
			break // the manager itself
		}
		k.unit = part
		return k, strings.HasSuffix(part, ".service") || strings.HasSuffix(part, ".socket")
	}
	if k.user != "" {
		return unitKey{unit: k.unit}, true
	}
	return k, false
}

// tell fills in whether a service runs.
func (r *running) tell(s *Service) {
	if !r.systemd {
		return
	}
	name := s.Name
	switch {
	case s.Kind == "systemd" && (s.Type == "service" || s.Type == "socket"):
	case s.Kind == "sysv":
		name += ".service"
	default:
		return
	}
	k := unitKey{unit: name}
	if s.Scope == "user" {
		uid, ok := r.users[s.Username]
		if !ok {
			return
		}
		k.user = strconv.FormatUint(uint64(uid), 10)
	}
	s.PIDs = r.pids[k]
	if before, after, ok := strings.Cut(name, "@."); ok && len(s.PIDs) == 0 { // a template: any of its instances
		for other, pids := range r.pids {
			if other.user == k.user && strings.HasPrefix(other.unit, before+"@") && strings.HasSuffix(other.unit, "."+after) {
				s.PIDs = append(s.PIDs, pids...)
			}
		}
		slices.Sort(s.PIDs)
	}
	switch {
	case len(s.PIDs) > 0:
		s.Running = evidence.Yes
	case s.Type == "service":
		s.Running = evidence.No
	}
}
