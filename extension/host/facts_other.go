//go:build !linux

package host

import (
	"context"

	"github.com/osquery-rollcall/rollcall/extension/host/accounts"
)

func newProcesses(o Options) processes {
	p, _ := throughCore(o)
	return p
}

func newAccounts(o Options) func(context.Context, string) accounts.Roles {
	_, a := throughCore(o)
	return a
}
