package files

// nonblock is nothing on Windows: its pipes are no files in folders.
const nonblock = 0
