//go:build !linux

package watch

import (
	"errors"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// notifier is Linux's: elsewhere the times of files tell.
type notifier struct{}

func newNotifier(string) (*notifier, error) { return nil, errors.ErrUnsupported }

func (*notifier) close() error { return nil }

func (*notifier) sync(func(func(string, files.Seen))) (int, error) { return 0, errors.ErrUnsupported }

func (*notifier) changed() (bool, error) { return true, errors.ErrUnsupported }
