package memory

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The bounds of what is read of one process.
const (
	maxMaps    = 8 << 20 // bytes of its memory map
	maxEnviron = 8 << 20 // bytes of its environment; more than the kernel allows by default
	maxMapped  = 64      // files of its map that are told of
	maxLine    = 16 << 10
	maxText    = 400 // bytes of a value in a sentence
)

const (
	deletedMark = " (deleted)"
	memfdMark   = "/memfd:"
	// userHZ is the unit of start times in /proc, the same on every architecture
	// that Go supports.
	userHZ = 100
	// kernelThread is PF_KTHREAD of the kernel's task flags.
	kernelThread = 0x00200000
)

var errFormat = errors.New("not in the format of the process file system")

// stat is what /proc/PID/stat says.
type stat struct {
	comm  string
	state byte
	flags uint64
	start int64 // seconds since boot
}

// parseStat reads /proc/PID/stat. The name stands in parentheses and may hold any
// bytes: it ends at the last one.
func parseStat(b []byte) (stat, error) {
	from, to := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if from < 0 || to < from {
		return stat{}, errFormat
	}
	f := bytes.Fields(b[to+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return stat{}, errFormat
	}
	s := stat{comm: text(b[from+1 : to]), state: f[0][0]}
	var err error
	if s.flags, err = strconv.ParseUint(string(f[6]), 10, 64); err != nil {
		return stat{}, errFormat
	}
	ticks, err := strconv.ParseInt(string(f[19]), 10, 64)
	if err != nil || ticks < 0 {
		return stat{}, errFormat
	}
	s.start = ticks / userHZ
	return s, nil
}

// parseTracer finds the process that traces in /proc/PID/status; 0 is none.
func parseTracer(b []byte) int64 {
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("TracerPid:")); ok {
			if n, err := strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64); err == nil && n > 0 {
				return n
			}
			return 0
		}
	}
	return 0
}

// parseBoot finds the time of boot in /proc/stat, seconds since 1970 UTC.
func parseBoot(b []byte) (int64, error) {
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64)
			if err != nil || n < 0 {
				return 0, errFormat
			}
			return n, nil
		}
	}
	return 0, errFormat
}

// text is bytes of the kernel's as text.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }

// shorten cuts a text for a sentence.
func shorten(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "..."
}

// areas sums up the executable part of a memory map.
type areas struct {
	// anonymous counts areas behind which there is no file, writable those of them
	// that can be written as well; bytes is their size.
	anonymous, writable int
	bytes               uint64
	stack, heap         bool // can be executed
	// files are the files mapped executable, as the kernel names them, each once.
	files []string
	left  int  // files beyond those
	cut   bool // the map was longer than is read
}

// parseMaps reads /proc/PID/maps. stop is asked now and then.
func parseMaps(r io.Reader, stop func() bool) (areas, error) {
	var a areas
	limited := &io.LimitedReader{R: r, N: maxMaps + 1}
	in := bufio.NewReaderSize(limited, maxLine)
	for n := 0; ; n++ {
		if n%512 == 511 && stop() {
			a.cut = true
			return a, nil
		}
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			// Longer than any path: what is cut off says nothing.
			a.add(line)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
		} else if len(line) > 0 && limited.N > 0 {
			a.add(bytes.TrimSuffix(line, []byte{'\n'}))
		}
		if limited.N == 0 {
			a.cut = true
			return a, nil
		}
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return a, err
		}
	}
}

// add takes in one line: "from-to rwxp offset dev inode   path".
func (a *areas) add(line []byte) {
	span, rest, _ := bytes.Cut(line, []byte{' '})
	perms, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(perms) != 4 || perms[2] != 'x' {
		return
	}
	for range 3 {
		if _, rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
			break // no path: the inode ends the line
		}
	}
	name := text(bytes.TrimLeft(rest, " "))
	if !ok {
		name = ""
	}
	switch {
	case name == "[stack]":
		a.stack = true
	case name == "[heap]":
		a.heap = true
	case anonymous(name):
		a.anonymous++
		if perms[1] == 'w' {
			a.writable++
		}
		from, to, _ := bytes.Cut(span, []byte{'-'})
		begin, err1 := strconv.ParseUint(string(from), 16, 64)
		end, err2 := strconv.ParseUint(string(to), 16, 64)
		if err1 == nil && err2 == nil && end > begin {
			a.bytes += end - begin
		}
	case strings.HasPrefix(name, "/"):
		if slices.Contains(a.files, name) {
			return
		}
		if len(a.files) < maxMapped || interesting(name) && len(a.files) < 4*maxMapped {
			a.files = append(a.files, name)
			return
		}
		a.left++
	}
}

// anonymous reports names of areas that no file stands behind. A process may name
// its own: "[anon:name]". The kernel's own ([vdso], [vsyscall], [uprobes]) are not.
func anonymous(name string) bool {
	return name == "" || strings.HasPrefix(name, "[anon") || strings.HasPrefix(name, "[stack:") || name == "/dev/zero"+deletedMark ||
		name == "/anon_hugepage"+deletedMark || strings.HasPrefix(name, "/SYSV") && strings.HasSuffix(name, deletedMark)
}

// interesting are files that are told of even when a process maps very many.
func interesting(name string) bool {
	return strings.HasPrefix(name, memfdMark) || strings.HasSuffix(name, deletedMark) || temporary(name)
}

// temporary are places where everyone may write.
func temporary(p string) bool {
	for _, dir := range []string{"/tmp/", "/var/tmp/", "/dev/shm/", "/run/shm/", "/run/lock/", "/var/lock/"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return false
}

// parsePreloads finds the variables in /proc/PID/environ that load libraries into
// a program, "LD_PRELOAD=/x.so". cut says that the environment was longer than is
// read.
func parsePreloads(r io.Reader, stop func() bool) (found []string, cut bool, err error) {
	limited := &io.LimitedReader{R: r, N: maxEnviron + 1}
	in := bufio.NewReaderSize(limited, maxLine)
	whole := true // line begins a variable
	for n := 0; ; n++ {
		if n%512 == 511 && stop() {
			return found, true, nil
		}
		line, err := in.ReadSlice(0)
		if whole && len(found) < 8 && limited.N > 0 {
			v := bytes.TrimSuffix(line, []byte{0})
			if name, value, ok := bytes.Cut(v, []byte{'='}); ok && len(bytes.Trim(value, " :")) > 0 {
				switch string(name) {
				case "LD_PRELOAD", "LD_AUDIT":
					found = append(found, text(v))
				}
			}
		}
		whole = !errors.Is(err, bufio.ErrBufferFull)
		if limited.N == 0 {
			return found, true, nil
		}
		if errors.Is(err, io.EOF) {
			return found, false, nil
		}
		if err != nil && whole {
			return found, false, err
		}
	}
}

// libraries are the paths in a list for the dynamic linker.
func libraries(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ':' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
}

// splitArgs are the first arguments in /proc/PID/cmdline.
func splitArgs(b []byte) []string {
	b = bytes.TrimRight(b, "\x00")
	if len(b) == 0 {
		return nil
	}
	parts := bytes.Split(b, []byte{0})
	out := make([]string, 0, min(len(parts), 64))
	for _, p := range parts[:min(len(parts), 64)] {
		out = append(out, text(p))
	}
	return out
}

// base is a path's last element, without the mark of a deleted file.
func base(p string) string { return path.Base(strings.TrimSuffix(p, deletedMark)) }
