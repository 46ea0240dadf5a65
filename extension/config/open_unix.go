//go:build unix

package config

import "golang.org/x/sys/unix"

// openFlags keep a FIFO from blocking the open.
const openFlags = unix.O_NONBLOCK | unix.O_CLOEXEC
