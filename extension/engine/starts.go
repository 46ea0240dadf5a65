package engine

import (
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// starts remembers when hosts started.
type starts struct {
	byHost map[string][]int64 // the latest starts, oldest first
}

// maxRestarts is how many starts of a host are remembered (recorded evidence brings many
// days of them at once).
const maxRestarts = 256

func (s *starts) remember(host string, at int64) {
	if at <= 0 {
		return
	}
	if s.byHost == nil || len(s.byHost) >= maxSessions {
		s.byHost = map[string][]int64{}
	}
	host = strings.ToLower(host)
	list := s.byHost[host]
	i, known := slices.BinarySearch(list, at)
	if known {
		return
	}
	list = slices.Insert(list, i, at)
	s.byHost[host] = list[max(0, len(list)-maxRestarts):]
}

// before is when a host started last before a time, 0 when nobody told.
func (s *starts) before(host string, at int64) int64 {
	list := s.byHost[strings.ToLower(host)]
	i, known := slices.BinarySearch(list, at)
	switch {
	case known:
		return at
	case i == 0:
		return 0
	}
	return list[i-1]
}

// firstProcess reports whether a process is one that a host runs when it starts and
// never again. Only root, or SYSTEM, writes where it lies.
func firstProcess(p *evidence.Process) bool {
	if p.Platform == evidence.Windows {
		return strings.EqualFold(p.Path, `C:\Windows\System32\wininit.exe`)
	}
	// systemd starts itself anew when it is upgraded, and so it does at a start where the
	// one of the first file system makes place.
	again := strings.Contains(p.CmdLine, "--deserialize") && !strings.Contains(p.CmdLine, "--switched-root")
	return p.PID == 1 && (p.UID == "0" || p.UID == "") && !again
}
