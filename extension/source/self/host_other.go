//go:build !linux

package self

import (
	"context"
	"errors"
)

func packaged(context.Context, string) (name string, verified bool) { return "", false }

func kernelAudit() (Audit, error) { return Audit{}, errors.ErrUnsupported }
