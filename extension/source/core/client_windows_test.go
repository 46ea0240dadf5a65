package core_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/Microsoft/go-winio"

	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

func TestClientRefusesAPipeOfOthers(t *testing.T) {
	path := `\\.\pipe\others-` + strconv.Itoa(os.Getpid())
	l, err := winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: "O:BUD:(A;;GA;;;WD)"})
	if err != nil {
		t.Skipf("NOT TESTED: a pipe of others, which we may not make: %v", err)
	}
	defer l.Close()
	c := core.NewClient(path, core.ClientOptions{})
	defer c.Close()
	if err := c.Ping(context.Background()); !errors.Is(err, core.ErrUnsafe) {
		t.Errorf("a pipe that belongs to all users: %v", err)
	}
}
