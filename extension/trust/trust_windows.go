package trust

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"golang.org/x/sys/windows"
)

// maxOwn bounds the files of a directory that is made ours.
const maxOwn = 100

// maxSID is the largest SID, in bytes.
const maxSID = 68

// ours are the user we run as, first, and whom things belong to that we make.
func ours() ([]string, error) {
	t := windows.GetCurrentProcessToken()
	u, err := t.GetTokenUser()
	if err != nil {
		return nil, fmt.Errorf("ask who we are: %w", err)
	}
	// A pointer to a SID, and the SID.
	b := make([]byte, 8+maxSID)
	var n uint32
	if err := windows.GetTokenInformation(t, windows.TokenOwner, &b[0], uint32(len(b)), &n); err != nil {
		return nil, fmt.Errorf("ask whose is what we make: %w", err)
	}
	owner, err := parseSID(b[unsafe.Sizeof(uintptr(0)):n])
	if err != nil {
		return nil, fmt.Errorf("ask whose is what we make: %w", err)
	}
	return []string{u.User.Sid.String(), owner}, nil
}

// describe asks for owner and access list of what is open.
func describe(h windows.Handle, kind windows.SE_OBJECT_TYPE) (Descriptor, error) {
	sd, err := windows.GetSecurityInfo(h, kind, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return Descriptor{}, fmt.Errorf("ask whose it is: %w", err)
	}
	return Parse(unsafe.Slice((*byte)(unsafe.Pointer(sd)), sd.Length()))
}

// judge judges what is open.
func judge(h windows.Handle, kind windows.SE_OBJECT_TYPE, use Use) (Descriptor, error) {
	me, err := ours()
	if err != nil {
		return Descriptor{}, err
	}
	d, err := describe(h, kind)
	if err != nil {
		return Descriptor{}, err
	}
	return d, d.Judge(use, me...)
}

func opened(f *os.File, _ os.FileInfo) error {
	_, err := judge(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT, Content)
	return err
}

// Pipe checks the other end of a named pipe: it belongs to SYSTEM, the administrators or
// ourselves, and so does the process that serves it, where that may be asked.
func Pipe(h windows.Handle) error {
	if _, err := judge(h, windows.SE_KERNEL_OBJECT, Owned); err != nil {
		return err
	}
	var pid uint32
	if err := windows.GetNamedPipeServerProcessId(h, &pid); err != nil {
		return fmt.Errorf("ask who serves it: %w", err)
	}
	p, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
			return nil // we are nobody to whom that is told; whose the pipe is was
		}
		return fmt.Errorf("look at process %d, which serves it: %w", pid, err)
	}
	defer windows.CloseHandle(p) //nolint:errcheck // it was only asked
	var token windows.Token
	if err := windows.OpenProcessToken(p, windows.TOKEN_QUERY, &token); err != nil {
		if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
			return nil
		}
		return fmt.Errorf("look at process %d, which serves it: %w", pid, err)
	}
	defer token.Close() //nolint:errcheck // it was only asked
	u, err := token.GetTokenUser()
	if err != nil {
		return fmt.Errorf("ask who serves it: %w", err)
	}
	me, err := ours()
	if err != nil {
		return err
	}
	if who := u.User.Sid.String(); who != sidSystem && !slices.Contains(me, who) && !token.IsElevated() {
		return fmt.Errorf("process %d serves it, which %s runs", pid, name(who))
	}
	return nil
}

// own is the security of what is ours: for SYSTEM and the administrators, and, where we
// are neither, for us. Nothing is inherited.
func own() (*windows.SECURITY_DESCRIPTOR, error) {
	owner := sidAdministrators
	more := ""
	admins, err := windows.StringToSid(sidAdministrators)
	if err != nil {
		return nil, err
	}
	if is, err := windows.Token(0).IsMember(admins); err != nil || !is {
		me, err := ours()
		if err != nil {
			return nil, err
		}
		owner = me[0]
		more = "(A;OICI;FA;;;" + owner + ")"
	}
	return windows.SecurityDescriptorFromString("O:" + owner + "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)" + more)
}

// attributes are those that own makes something with.
func attributes() (*windows.SecurityAttributes, error) {
	sd, err := own()
	if err != nil {
		return nil, fmt.Errorf("say whose it is: %w", err)
	}
	return &windows.SecurityAttributes{Length: uint32(unsafe.Sizeof(windows.SecurityAttributes{})), SecurityDescriptor: sd}, nil
}

// leave leaves what is open to SYSTEM and the administrators, and to us.
func leave(h windows.Handle) error {
	sd, err := own()
	if err != nil {
		return fmt.Errorf("say whose it is: %w", err)
	}
	list, _, err := sd.DACL()
	if err != nil {
		return fmt.Errorf("say whose it is: %w", err)
	}
	err = windows.SetSecurityInfo(h, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
	if err != nil {
		return fmt.Errorf("make it private: %w", err)
	}
	return nil
}

// open opens what has this name itself: a link, a junction or a mount point is refused.
func open(path string, access, how, flags uint32) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	sa, err := attributes()
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(name, access|windows.READ_CONTROL, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, sa, how,
		flags|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(h), path)
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return nil, errors.Join(&os.PathError{Op: "look at", Path: path, Err: err}, f.Close())
	}
	dir := info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0
	wanted := flags&windows.FILE_FLAG_BACKUP_SEMANTICS != 0
	switch link := info.FileAttributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0; {
	case wanted && (link || !dir):
		return nil, errors.Join(ErrNoDir, f.Close())
	case !wanted && (link || dir):
		return nil, errors.Join(ErrNoFile, f.Close())
	}
	return f, nil
}

// makeDirs makes a directory, and those above it that are not there, each for us alone.
func makeDirs(path string) error {
	if info, err := os.Lstat(path); err == nil {
		if !info.IsDir() {
			return ErrNoDir
		}
		return nil
	}
	if above := filepath.Dir(path); above != path {
		if err := makeDirs(above); err != nil {
			return err
		}
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	sa, err := attributes()
	if err != nil {
		return err
	}
	if err := windows.CreateDirectory(name, sa); err != nil && !errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// OwnDir makes sure that a directory for our own files exists, is no link, and that only
// SYSTEM, the administrators and ourselves can change what is in it. Others must not be
// able to move it or what it is in. mine tells what names our files have: a directory of
// ours that inherited from the one above who may write to it, as a new one does, and holds
// nothing but our files is made ours alone.
func OwnDir(path string, mine func(name string) bool) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := makeDirs(path); err != nil {
		return err
	}
	for above := filepath.Dir(path); ; above = filepath.Dir(above) {
		if err := way(above); err != nil {
			return fmt.Errorf("%s: %w", above, err)
		}
		if above == filepath.Dir(above) {
			break
		}
	}
	d, err := open(path, windows.FILE_LIST_DIRECTORY, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return err
	}
	defer d.Close()
	list, refused := judge(windows.Handle(d.Fd()), windows.SE_FILE_OBJECT, Content)
	if refused == nil {
		return nil
	}
	me, err := ours()
	if err != nil {
		return err
	}
	if list.Judge(Owned, me...) != nil || !list.inherited(Content, me...) || !holdsOnly(path, mine) {
		return refused
	}
	if err := repair(path, d); err != nil {
		return errors.Join(refused, err)
	}
	_, err = judge(windows.Handle(d.Fd()), windows.SE_FILE_OBJECT, Content)
	return err
}

// repair leaves the directory that is open to us.
func repair(path string, d *os.File) error {
	w, err := open(path, windows.FILE_LIST_DIRECTORY|windows.WRITE_DAC, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return err
	}
	defer w.Close()
	was, err := d.Stat()
	if err != nil {
		return err
	}
	is, err := w.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(was, is) {
		return errors.New("it was replaced meanwhile")
	}
	return leave(windows.Handle(w.Fd()))
}

// way checks a directory that something lies under.
func way(path string) error {
	d, err := open(path, windows.FILE_READ_ATTRIBUTES, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = judge(windows.Handle(d.Fd()), windows.SE_FILE_OBJECT, Way)
	return err
}

// holdsOnly reports whether a directory holds nothing but files of ours with the names of
// our files.
func holdsOnly(dir string, mine func(name string) bool) bool {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > maxOwn {
		return false
	}
	for _, e := range entries {
		if !mine(e.Name()) {
			return false
		}
		f, err := open(filepath.Join(dir, e.Name()), windows.FILE_READ_ATTRIBUTES, windows.OPEN_EXISTING, 0)
		if err != nil {
			return false
		}
		_, err = judge(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT, Content)
		if f.Close() != nil || err != nil {
			return false
		}
	}
	return true
}

// OwnFile opens a file of our own for reading and writing and makes it if need be. It
// follows no link, refuses what is not a regular file or not ours or the
// administrators', and lets nobody else read what it opened.
func OwnFile(path string) (*os.File, error) {
	f, err := open(path, windows.GENERIC_READ|windows.GENERIC_WRITE|windows.WRITE_DAC, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL)
	if err != nil {
		return nil, err
	}
	if err := private(windows.Handle(f.Fd())); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func private(h windows.Handle) error {
	if _, err := judge(h, windows.SE_FILE_OBJECT, Owned); err != nil {
		return err
	}
	if _, err := judge(h, windows.SE_FILE_OBJECT, Secret); err == nil {
		return nil
	}
	return leave(h)
}
