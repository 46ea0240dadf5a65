package main

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/config/remote"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// fleet is the configuration that a fleet manager sends through osquery.
type fleet struct{ watcher *remote.Watcher }

func (f *fleet) start(client *core.Client, a *app.App, log hclog.Logger) {
	f.watcher = remote.New(remote.Options{Base: a.Config, Querier: asked{client}, Optioner: asked{client}, Apply: a.Apply, Logger: log})
}

// health is the row that tells what of the fleet's is in force.
func (f *fleet) health() []store.Health {
	if f.watcher == nil {
		return nil
	}
	state, detail, remedy := f.watcher.Health()
	return []store.Health{{Component: "central_config", State: state, Detail: detail, Remedy: remedy}}
}

// asked is the core's client as the configuration asks it.
type asked struct{ client *core.Client }

func (a asked) Query(ctx context.Context, sql string) (out []map[string]string, err error) {
	err = a.client.Query(ctx, sql, func(r *core.Row) error {
		out = append(out, r.Map())
		return nil
	})
	return out, err
}

func (a asked) Options(ctx context.Context) (map[string]string, error) {
	all, err := a.client.Options(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(all))
	for k, o := range all {
		out[k] = o.Value
	}
	return out, nil
}
