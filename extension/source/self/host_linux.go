package self

import (
	"context"
	"errors"
	"fmt"

	"github.com/elastic/go-libaudit/v2"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg"
)

// packaged asks the package databases of this host. They are read only when
// something has changed, and not kept.
func packaged(ctx context.Context, path string) (name string, verified bool) {
	db := pkg.Open("/")
	owner, ok := db.Owner(path)
	if !ok {
		return "", false
	}
	good, known, err := db.Verify(ctx, path)
	return owner.Name, err == nil && known && good
}

// kernelAudit asks the kernel; it changes nothing.
func kernelAudit() (a Audit, err error) {
	c, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return a, fmt.Errorf("ask for the kernel's audit: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	status, err := c.GetStatus()
	if err != nil {
		return a, fmt.Errorf("ask for the state of the kernel's audit: %w", err)
	}
	rules, err := c.GetRules()
	if err != nil {
		return a, fmt.Errorf("ask for the kernel's audit rules: %w", err)
	}
	return Audit{Enabled: status.Enabled != 0, Rules: len(rules)}, nil
}
