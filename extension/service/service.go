// Package service is the model of a service that was put on a host, and what an
// experienced responder sees in it: [Features]. It is pure: facts in, features
// out, no disk and no clock. Weights are the business of extension/score.
//
// Every fact may come from an attacker: input is bounded, work is linear in it.
package service

import (
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Kind is the manager that a service belongs to, in the words of
// service_install_events.
type Kind string

// The kinds of services.
const (
	WindowsService Kind = "windows_service"
	Driver         Kind = "driver"
	Systemd        Kind = "systemd"
	SysV           Kind = "sysv"
	OpenRC         Kind = "openrc"
	Launchd        Kind = "launchd"
)

// Unix reports whether services of the kind are started as on a POSIX system.
func (k Kind) Unix() bool {
	switch k {
	case Systemd, SysV, OpenRC, Launchd:
		return true
	}
	return false
}

// The bits of a Windows service's type (SERVICE_* in winnt.h).
const (
	TypeKernelDriver     Type = 0x1
	TypeFileSystemDriver Type = 0x2
	TypeOwnProcess       Type = 0x10
	TypeShareProcess     Type = 0x20
	TypeUserService      Type = 0x40
	TypeUserInstance     Type = 0x80
	TypeInteractive      Type = 0x100
)

// Type is the type of a Windows service as its registry value holds it; 0 means
// unknown.
type Type uint32

// Driver reports whether the type is one of code in the kernel.
func (t Type) Driver() bool { return t&(TypeKernelDriver|TypeFileSystemDriver|0x8) != 0 }

// PerUser reports whether the type is that of a user's own instance of a per-user
// service (0xD0, 0xE0).
func (t Type) PerUser() bool { return t&TypeUserService != 0 && t&TypeUserInstance != 0 }

// ParseType reads a service's type: a number, decimal or hexadecimal, or the
// words of the event log ("user mode service", "kernel mode driver"). Anything
// else is 0.
func ParseType(s string) Type {
	s = strings.ToLower(strings.TrimSpace(clip(s, 64)))
	if n, err := strconv.ParseUint(s, 0, 32); err == nil {
		return Type(n)
	}
	switch {
	case strings.Contains(s, "file system"):
		return TypeFileSystemDriver
	case strings.Contains(s, "kernel"), strings.Contains(s, "driver"):
		return TypeKernelDriver
	case strings.Contains(s, "template"), strings.Contains(s, "instance"):
		return TypeOwnProcess | TypeUserService | TypeUserInstance
	case strings.Contains(s, "share"):
		return TypeShareProcess
	case strings.Contains(s, "user mode"), strings.Contains(s, "own"):
		return TypeOwnProcess
	}
	return 0
}

// StartUnknown is a start type that is not known.
const StartUnknown Start = -1

// Start is the start type of a Windows service: 0 boot, 1 system, 2 auto, 3
// demand, 4 disabled.
type Start int

var startWords = [...]string{"boot", "system", "auto", "demand", "disabled"}

func (s Start) String() string {
	if s < 0 || int(s) >= len(startWords) {
		return ""
	}
	return startWords[s]
}

// ParseStart reads a start type: a number, decimal or hexadecimal, or words
// ("auto start", "demand start", "manual"). Anything else is StartUnknown.
func ParseStart(s string) Start {
	s = strings.ToLower(strings.TrimSpace(clip(s, 64)))
	if n, err := strconv.ParseUint(s, 0, 8); err == nil {
		if int(n) < len(startWords) {
			return Start(n)
		}
		return StartUnknown
	}
	for i, w := range startWords {
		if strings.HasPrefix(s, w) {
			return Start(i)
		}
	}
	if strings.HasPrefix(s, "manual") {
		return 3
	}
	return StartUnknown
}

// Install is what is known of one service that was installed. An unknown fact is
// the zero value.
type Install struct {
	Kind Kind
	// Name is the service's name, or, since event 7045 has no other, its display
	// name. DisplayName is the display name where both are known.
	Name        string
	DisplayName string
	// ImagePath is the command line as the manager holds it: a registry value, an
	// ExecStart=, the joined ProgramArguments of a property list.
	ImagePath string
	// ServiceDLL is the library that svchost.exe loads for it.
	ServiceDLL string
	// UnitPath is the file that defines it (systemd, launchd, init scripts).
	UnitPath string
	Type     Type
	Start    Start
	// Account is whom it runs as, Installer who installed it.
	Account   string
	Installer string
	// OnDisk, WritableByOthers and Packaged are about the program: whether it
	// exists, whether somebody other than root can change it or a directory above
	// it, whether a package owns it. Signed says whether somebody whom the host trusts
	// signed it, or the library that svchost.exe loads, and the signature holds. Unknown
	// when nobody looked.
	OnDisk           evidence.Tristate
	WritableByOthers evidence.Tristate
	Packaged         evidence.Tristate
	Signed           evidence.Tristate
	// Broken says that there is a signature and that it does not hold; Signed is No then.
	Broken bool
}

// KindOf is the kind of a service known only by its type and command line.
func KindOf(t Type, name, imagePath string) Kind {
	p := strings.TrimLeft(strings.TrimSpace(clip(imagePath, 256)), "-@:+!|\"")
	switch {
	case t.Driver():
		return Driver
	case t != 0:
		return WindowsService
	case strings.HasPrefix(p, "/"):
		for _, dir := range []string{"/Library/", "/Users/", "/Applications/", "/System/", "/private/"} {
			if strings.HasPrefix(p, dir) {
				return Launchd
			}
		}
		if strings.HasPrefix(name, "com.") || strings.HasPrefix(name, "org.") {
			return Launchd
		}
		return Systemd
	}
	program, _, _ := strings.Cut(p, " ")
	for _, ending := range []string{".service", ".timer", ".socket", ".path", ".mount"} {
		if strings.HasSuffix(name, ending) && !strings.ContainsAny(program, `\%:`) && !strings.Contains(strings.ToLower(p), ".exe") {
			return Systemd
		}
	}
	if l := strings.ToLower(strings.TrimRight(clip2(imagePath, 64), "\" \t\r\n")); strings.HasSuffix(l, ".sys") {
		return Driver
	}
	return WindowsService
}

// clip returns at most n bytes of s.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
