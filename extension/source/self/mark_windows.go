package self

import (
	"io/fs"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

const openFlags = os.O_RDONLY | windows.FILE_FLAG_OPEN_REPARSE_POINT

// basicInfo is FILE_BASIC_INFO.
type basicInfo struct {
	Created, Accessed, Written, Changed windows.Filetime
	Attributes                          uint32
	_                                   uint32
}

// system asks for what Windows does not tell with a file's attributes. What it does not
// tell us stays unknown.
func (m *mark) system(path string, _ fs.FileInfo) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return
	}
	h, err := windows.CreateFile(name, windows.FILE_READ_ATTRIBUTES|windows.READ_CONTROL, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return
	}
	defer windows.CloseHandle(h) //nolint:errcheck // it was only asked
	var id windows.ByHandleFileInformation
	if windows.GetFileInformationByHandle(h, &id) == nil {
		m.Dev, m.Ino = uint64(id.VolumeSerialNumber), uint64(id.FileIndexHigh)<<32|uint64(id.FileIndexLow)
	}
	var times basicInfo
	if windows.GetFileInformationByHandleEx(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&times)), uint32(unsafe.Sizeof(times))) == nil {
		if ns := times.Changed.Nanoseconds(); ns > 0 && ns < time.Now().Add(time.Hour).UnixNano() {
			m.CTime = ns
		}
	}
	if sd, err := windows.GetSecurityInfo(h, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION); err == nil {
		m.Access = sd.String()
	}
}
