package host

import (
	"context"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/accounts"
	"github.com/osquery-rollcall/rollcall/extension/host/memory"
)

func newProcesses(o Options) processes {
	if o.Platform != "" && o.Platform != evidence.Linux {
		p, _ := throughCore(o)
		return p
	}
	return memory.NewProc(memory.Options{Proc: o.Proc, Root: o.Root, Trust: o.Trust, Owner: func(path string) (string, bool) {
		p, ok := o.Owner(path)
		return p.Name, ok
	}})
}

func newAccounts(o Options) func(context.Context, string) accounts.Roles {
	if o.Platform != "" && o.Platform != evidence.Linux {
		_, a := throughCore(o)
		return a
	}
	files := accounts.NewFiles(accounts.Options{Root: o.Root, Trust: o.Trust})
	return func(_ context.Context, name string) accounts.Roles { return files.Roles(name) }
}
