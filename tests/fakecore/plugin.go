package fakecore

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// Plugin is the core's own connection to an extension, buffered as osquery's is.
type Plugin struct {
	conn   net.Conn
	client *osquery.ExtensionClient
}

// Dial connects to a registered extension. osquery opens one connection a call.
func (c *Core) Dial(uuid int64) (*Plugin, error) {
	conn, err := dial(fmt.Sprintf("%s.%d", c.path, uuid))
	if err != nil {
		return nil, fmt.Errorf("calling extension %d: %w", uuid, err)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	proto := thrift.NewTBinaryProtocolConf(thrift.NewTBufferedTransport(transport{conn}, 64<<10), nil)
	return &Plugin{
		conn:   conn,
		client: osquery.NewExtensionClient(thrift.NewTStandardClient(proto, proto)),
	}, nil
}

// Close ends the connection.
func (p *Plugin) Close() error { return p.conn.Close() }

// Ping asks the extension for a sign of life.
func (p *Plugin) Ping(ctx context.Context) error {
	status, err := p.client.Ping(ctx)
	return statusError(status, err)
}

// Shutdown asks the extension to end.
func (p *Plugin) Shutdown(ctx context.Context) error { return p.client.Shutdown(ctx) }

// Constraint is one term of a WHERE clause that was pushed down.
type Constraint struct {
	Column   string
	Op       int // osquery's number: 2 =, 4 >, 8 <=, 16 <, 32 >=
	Expr     string
	Affinity string // TEXT when empty
}

// Generate asks for a table's rows as osquery does for a query that uses the
// given columns under the given constraints.
func (p *Plugin) Generate(ctx context.Context, table string, used []string, constraints ...Constraint) ([]map[string]string, error) {
	request, err := Context(used, constraints...)
	if err != nil {
		return nil, err
	}
	return p.Call(ctx, "table", table, map[string]string{"action": "generate", "context": request})
}

// Columns asks for a table's columns.
func (p *Plugin) Columns(ctx context.Context, table string) ([]map[string]string, error) {
	return p.Call(ctx, "table", table, map[string]string{"action": "columns"})
}

// Call makes any call.
func (p *Plugin) Call(ctx context.Context, registry, item string, request map[string]string) ([]map[string]string, error) {
	response, err := p.client.Call(ctx, registry, item, request)
	if err != nil {
		return nil, fmt.Errorf("calling %s %s: %w", registry, item, err)
	}
	return response.Response, statusError(response.Status, nil)
}

// Context renders osquery's description of a query: a list of constraints for
// each column that has any, and the columns used. A column that the query uses
// without a constraint has an empty list.
func Context(used []string, constraints ...Constraint) (string, error) {
	type term struct {
		Op   int    `json:"op"`
		Expr string `json:"expr"`
	}
	type column struct {
		Name     string `json:"name"`
		List     []term `json:"list"`
		Affinity string `json:"affinity"`
	}
	columns := []*column{}
	find := func(name, affinity string) *column {
		for _, c := range columns {
			if c.Name == name {
				return c
			}
		}
		if affinity == "" {
			affinity = "TEXT"
		}
		c := &column{Name: name, List: []term{}, Affinity: affinity}
		columns = append(columns, c)
		return c
	}
	for _, c := range constraints {
		target := find(c.Column, c.Affinity)
		target.List = append(target.List, term{c.Op, c.Expr})
	}
	for _, name := range used {
		find(name, "")
	}
	bits := uint64(0)
	for i := range used {
		bits |= 1 << min(i, 63)
	}
	text, err := json.Marshal(map[string]any{
		"constraints": columns, "colsUsed": used, "colsUsedBitset": bits,
	})
	if err != nil {
		return "", fmt.Errorf("describing a query: %w", err)
	}
	return string(text), nil
}

func statusError(status *osquery.ExtensionStatus, err error) error {
	if err != nil {
		return err
	}
	if status == nil {
		return fmt.Errorf("no status")
	}
	if status.Code != 0 {
		return fmt.Errorf("status %d: %s", status.Code, status.Message)
	}
	return nil
}
