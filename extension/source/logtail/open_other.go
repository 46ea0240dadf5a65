//go:build !linux

package logtail

import (
	"errors"
	"os"
)

// supported says that there are such logs on this platform.
const supported = false

const openFlags = os.O_RDONLY

func look(*os.File) (*opened, error) { return nil, errors.ErrUnsupported }
