package permit

import (
	"testing"

	"golang.org/x/sys/windows"
)

// Write lets everybody write to a file or directory of ours.
func Write(t testing.TB, path string) {
	t.Helper()
	Entry(t, path, "(A;;FA;;;WD)")
}

// Entry lets SYSTEM, the administrators and ourselves do everything with a file or
// directory and others what the entry says, in SDDL.
func Entry(t testing.TB, path, entry string) {
	t.Helper()
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	sd, err := windows.SecurityDescriptorFromString("D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;" + u.User.Sid.String() + ")" + entry)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := sd.DACL()
	if err != nil {
		t.Fatal(err)
	}
	err = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
	if err != nil {
		t.Fatal(err)
	}
}
