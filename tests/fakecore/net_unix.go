//go:build unix

package fakecore

import (
	"net"
	"path/filepath"
)

func address(dir string) string { return filepath.Join(dir, "osquery.em") }

func listen(path string) (net.Listener, error) { return net.Listen("unix", path) }

func dial(path string) (net.Conn, error) { return net.Dial("unix", path) }
