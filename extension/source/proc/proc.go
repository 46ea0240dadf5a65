// Package proc is the evidence Linux itself keeps of running programs: the
// process file system for those that run now, and the kernel's process connector
// for every one that starts.
//
// Both read what any user of the machine may write (names, arguments, links), so
// everything read is bounded, nothing is followed but the kernel's own links,
// and a process that ends while it is looked at is ordinary.
package proc

import (
	"github.com/hashicorp/go-hclog"
)

// Options says where to read and how much to keep. The zero value is a machine's
// own /proc with the usual sizes.
type Options struct {
	// Root is the process file system; empty means /proc.
	Root string
	// Passwd is the host's list of users; empty means /etc/passwd.
	Passwd string
	// Host is put into every Process.
	Host string
	// Ring is how many started programs wait to be read at most; 0 means 8192.
	Ring int
	// Logger may be nil.
	Logger hclog.Logger
}

func (o Options) withDefaults() Options {
	if o.Root == "" {
		o.Root = "/proc"
	}
	if o.Passwd == "" {
		o.Passwd = "/etc/passwd"
	}
	if o.Ring <= 0 {
		o.Ring = 8192
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return o
}

// The names of the sources, as evidence carries them.
const (
	runningName   = "processes"
	connectorName = "proc_connector"
)
