package managed

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/service"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
)

// Entry is a service or driver as Windows' service control manager holds it.
type Entry struct {
	Name        string
	DisplayName string
	// Type and Start are as osquery has them: "OWN_PROCESS(Interactive)",
	// "AUTO_START".
	Type  string
	Start string
	// Image is the command line of its registry value, Library what svchost.exe loads
	// for it.
	Image   string
	Library string
	Account string
	State   string // "RUNNING", "STOPPED"
	PID     int64
	// Key is its registry key, Written when that was written last, seconds since 1970
	// UTC.
	Key     string
	Written int64
	// DriverSigned says whether the driver of a device that it is was signed when it
	// was installed.
	DriverSigned evidence.Tristate
}

// typeWords are osquery's words for types of services.
var typeWords = map[string]service.Type{
	"kernel_driver": service.TypeKernelDriver, "file_system_driver": service.TypeFileSystemDriver,
	"own_process": service.TypeOwnProcess, "share_process": service.TypeShareProcess,
	"user_own_process":             service.TypeOwnProcess | service.TypeUserService,
	"user_share_process":           service.TypeShareProcess | service.TypeUserService,
	"user_own_process(instance)":   service.TypeOwnProcess | service.TypeUserService | service.TypeUserInstance,
	"user_share_process(instance)": service.TypeShareProcess | service.TypeUserService | service.TypeUserInstance,
	"interactive_process":          service.TypeInteractive,
	"own_process(interactive)":     service.TypeOwnProcess | service.TypeInteractive,
	"share_process(interactive)":   service.TypeShareProcess | service.TypeInteractive,
	"unknown":                      0, // a type that osquery has no word for
}

// Type reads osquery's word for the type of a service of Windows.
func Type(word string) service.Type {
	if t, ok := typeWords[strings.ToLower(strings.TrimSpace(word))]; ok {
		return t
	}
	return service.ParseType(word)
}

// Kind is what an entry is.
func (e *Entry) Kind() service.Kind { return service.KindOf(Type(e.Type), e.Name, e.Image) }

// image is what an entry runs. The kernel loads a driver without a path from where
// drivers are.
func (e *Entry) image() string {
	if e.Image == "" && Type(e.Type).Driver() && !strings.ContainsAny(e.Name, `\/`) {
		return `\SystemRoot\System32\drivers\` + e.Name + ".sys"
	}
	return e.Image
}

// Program is the whole path of what an entry runs, empty when it cannot be told.
func (e *Entry) Program() string { return local(service.NormalizeImagePath(e.image(), e.Kind())) }

// Module is the whole path of the library that is loaded for an entry, empty when
// there is none.
func (e *Entry) Module() string { return local(service.NormalizeImagePath(e.Library, service.Driver)) }

// local is the path of a program on a drive of the host.
func local(img service.Image) string {
	if p := img.Program; len(p) > 3 && p[1] == ':' && p[2] == '\\' && !img.Stream && !strings.ContainsAny(p, "%*?\"<>|") {
		return p
	}
	return ""
}

// WindowsServices is the inventory of all entries of a host.
func WindowsServices(entries []Entry, look Look) []inventory.Service {
	at := make(map[string]int, len(entries))
	for i := range entries {
		at[strings.ToLower(entries[i].Name)] = i
	}
	all := make([]inventory.Service, len(entries))
	for i := range entries {
		e := entries[i]
		if e.Library == "" && Type(e.Type).PerUser() {
			// The registry has the library of a user's instance with its template alone.
			if cut := strings.LastIndexByte(e.Name, '_'); cut > 0 {
				if t, ok := at[strings.ToLower(e.Name[:cut])]; ok && Type(entries[t].Type)&service.TypeUserService != 0 {
					e.Library = entries[t].Library
				}
			}
		}
		all[i] = e.service(look)
	}
	return all
}

func (e *Entry) service(look Look) inventory.Service {
	kind, t, start := e.Kind(), Type(e.Type), service.ParseStart(e.Start)
	raw := e.image()
	img := service.NormalizeImagePath(raw, kind)
	s := inventory.Service{
		Install: service.Install{
			Kind: kind, Name: e.Name, DisplayName: e.DisplayName, ImagePath: raw, ServiceDLL: e.Library, Type: t, Start: start, Account: e.Account,
		},
		Kind: string(kind), Type: strings.ToLower(e.Type), Scope: "system", Name: e.Name, DisplayName: e.DisplayName,
		Path: img.Program, Args: img.Args, StartType: start.String(), Account: e.Account, UnitPath: e.Key, File: files.Info{CTime: e.Written * 1e9},
	}
	if t&service.TypeUserService != 0 {
		s.Scope = "user"
	}
	switch {
	case start == 4:
		s.Enabled = evidence.No
	case start >= 0 && start <= 2:
		s.Enabled = evidence.Yes
	}
	switch strings.ToUpper(e.State) {
	case "RUNNING":
		s.Running = evidence.Yes
	case "STOPPED":
		s.Running = evidence.No
	}
	if e.PID > 0 {
		s.PIDs = []int64{e.PID}
	}
	var notes problems
	if p := local(img); p != "" {
		f := look(p)
		s.OnDisk = f.OnDisk
		if f.Signed == evidence.Unknown && f.OnDisk == evidence.Yes {
			f.Signed = e.DriverSigned
		}
		notes.unsigned(p, f)
		code := Code(look, p, e.Module())
		s.Install.Signed, s.Install.Broken, s.Signer, s.SHA256 = code.Signed, code.Broken, code.Signer, code.SHA256
		if s.Install.Signed == evidence.Unknown && e.Module() == "" {
			s.Install.Signed = f.Signed
		}
	}
	if p := e.Module(); p != "" {
		f := look(p)
		if f.OnDisk == evidence.No {
			notes.add("its library %s does not exist", p)
		}
		notes.unsigned(p, f)
	}
	s.Install.OnDisk = s.OnDisk
	s.Problems = notes
	if raw != "" {
		// The line as the registry has it, since its quotes count, in two parts.
		program, args := raw, ""
		if rest, ok := strings.CutSuffix(strings.TrimSpace(raw), img.Args); ok && img.Args != "" {
			program, args = strings.TrimSpace(rest), img.Args
		}
		s.Commands = []inventory.Command{{Directive: "ImagePath", Path: program, Args: args, Line: raw, OnDisk: s.OnDisk}}
	}
	return s
}
