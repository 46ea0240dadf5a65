package doctor

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// filesRoot is the system's drive: osquery and Rollcall are installed there.
func filesRoot() string {
	if d := os.Getenv("SystemDrive"); len(d) == 2 && d[1] == ':' {
		return d + `\`
	}
	return `C:\`
}

func superuser() bool { return windows.GetCurrentProcessToken().IsElevated() }

func owner(fs.FileInfo) (uid uint32, known bool) { return 0, false }

func diskRoom(path string) (free, total uint64, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, 0, err
	}
	if err := windows.GetDiskFreeSpaceEx(name, &free, &total, nil); err != nil {
		return 0, 0, fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	return free, total, nil
}
