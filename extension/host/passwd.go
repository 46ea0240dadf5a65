package host

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxPasswd bounds how much of the file of accounts is read, in bytes.
const maxPasswd = 8 << 20

// Passwd names the users in /etc/passwd by their ids: for where there is no osquery to
// ask. Where there is no such file it names none.
func Passwd(context.Context) (map[string]string, error) {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	defer f.Close()
	return passwd(f)
}

func passwd(r io.Reader) (map[string]string, error) {
	out := map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(r, maxPasswd))
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		_, rest, _ = strings.Cut(rest, ":")
		id, _, ok := strings.Cut(rest, ":")
		if _, known := out[id]; ok && name != "" && id != "" && !known && name[0] != '#' && name[0] != '+' {
			out[id] = name // of two names of one id the first is its own
		}
	}
	if err := lines.Err(); err != nil {
		return out, fmt.Errorf("read the accounts: %w", err)
	}
	return out, nil
}
