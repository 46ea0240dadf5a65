package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPasswd(t *testing.T) {
	got, err := passwd(strings.NewReader("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n# remark:x:7:7\n+nis::8:8\nal:x:1000:1000:::\nshort:x\n:x:9:9\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"0": "root", "1000": "al"}, got); d != "" {
		t.Error(d)
	}
	if _, err := passwd(strings.NewReader(strings.Repeat("x", 1<<20))); err == nil {
		t.Error("a line without end is no error")
	}
}
