package lifecycle

// Disinherit does nothing: on Windows a program inherits only what it is given.
func Disinherit() error { return nil }
