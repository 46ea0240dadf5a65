package lifecycle

// A named pipe vanishes with its last handle, and its default security lets
// nobody but administrators, the system and its creator write.

func clearStale(string) error { return nil }

func restrict(string) error { return nil }
