package lifecycle

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxMaps bounds what is read of our own mappings, in bytes.
const maxMaps = 4 << 20

// span is a part of the address space.
type span struct{ from, to uintptr }

// releaseProgram unmaps the pages of our own code and constants until they are used
// again. Pages that were written to are not the file's any more and stay.
func releaseProgram() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding our own program: %w", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("reading our own mappings: %w", err)
	}
	defer f.Close()
	clean, err := unwritten(io.LimitReader(f, maxMaps), program)
	if err != nil {
		return fmt.Errorf("reading our own mappings: %w", err)
	}
	for _, s := range clean {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("releasing pages of the program: %w", errno)
		}
	}
	return nil
}

// unwritten are the mappings of a file that cannot be written and have no page that
// differs from the file's, in a text like /proc/self/smaps.
func unwritten(smaps io.Reader, file string) (clean []span, err error) {
	var at span
	ours := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 0 {
			continue
		}
		if name, isFigure := strings.CutSuffix(f[0], ":"); isFigure {
			if ours && name == "Anonymous" && len(f) > 1 && f[1] == "0" {
				clean = append(clean, at)
			}
			continue
		}
		ours = false
		from, to, ok := strings.Cut(f[0], "-")
		if !ok || len(f) != 6 || f[5] != file || f[1] != "r-xp" && f[1] != "r--p" {
			continue
		}
		a, errA := strconv.ParseUint(from, 16, strconv.IntSize)
		b, errB := strconv.ParseUint(to, 16, strconv.IntSize)
		if errA == nil && errB == nil && a < b {
			at, ours = span{uintptr(a), uintptr(b)}, true
		}
	}
	return clean, lines.Err()
}
