package evtx

// Install is one service that was installed, as System 7045 or Security 4697
// tells it.
type Install struct {
	Time int64 // seconds since 1970 UTC
	Host string

	Name string
	Path string // the image with its arguments, as it was registered
	// Type and StartType are as logged: words in 7045 ("user mode service", "auto
	// start"), numbers in 4697 ("0x10", "2").
	Type      string
	StartType string
	Account   string

	// Who installed it, as far as the event says, and the process (4697).
	UID       string
	Username  string
	LogonID   string
	ProcessID int64

	Source string
	EID    string
}
