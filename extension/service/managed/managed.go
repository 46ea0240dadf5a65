// Package managed makes inventories of what the service managers of Windows and
// macOS hold: the service control manager and launchd. It is pure: rows and what is
// known of files in, services out.
package managed

import (
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// File is what is known of a file of a service. An unknown fact is the zero value.
type File struct {
	OnDisk evidence.Tristate
	// Signed says that somebody whom the host trusts signed it, Signer who.
	Signed evidence.Tristate
	Signer string
	// Broken says that there is a signature and that it does not hold: then Signed is No.
	Broken bool
	SHA256 string
	// Mode are the permissions of a POSIX file, where Stated, and UID its owner.
	Mode   uint32
	UID    uint32
	Stated bool
	// Modified, Changed and Born are its times, seconds since 1970 UTC.
	Modified, Changed, Born int64
}

// Look tells what is known of a file.
type Look func(path string) File

// Code is what is known of what a service runs: of its program, or of the library that
// a program of Windows' own loads for it, which is then what was installed. Of the two
// signatures the worse counts.
func Code(look Look, program, library string) File {
	f := look(program)
	if library != "" {
		l := look(library)
		f.SHA256 = l.SHA256
		if f.Signed != evidence.No {
			f.Signed, f.Signer = l.Signed, l.Signer
		}
		f.Broken = f.Broken || l.Broken
	}
	return f
}

// maxProblems bounds what is said of one service.
const maxProblems = 8

// problems collects what a person should know of a service's files.
type problems []string

func (p *problems) add(format string, args ...any) {
	if len(*p) < maxProblems {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

// unsigned tells of a program that nobody trusted signed.
func (p *problems) unsigned(path string, f File) {
	if f.Broken {
		p.add("%s carries a signature that does not hold", path)
	} else if f.Signed == evidence.No {
		p.add("%s is not signed by anybody this host trusts", path)
	}
}

// behind is what follows the first word of a line.
func behind(line string) string {
	_, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	return strings.TrimSpace(rest)
}
