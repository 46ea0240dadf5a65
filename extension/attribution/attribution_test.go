package attribution_test

import (
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func TestAttribute(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	linux := func(user string, chain ...string) *evidence.Process {
		p := &evidence.Process{Platform: evidence.Linux, Username: user}
		for _, c := range chain {
			p.Ancestry = append(p.Ancestry, evidence.Ancestor{Path: c})
		}
		return p
	}
	conf := attribution.Config{Expected: []attribution.Entry{
		{User: "zabbix", Command: "systemctl list-units*", Reason: "monitoring"},
		{User: "old", Command: "*", Reason: "gone", Expires: now.Add(-time.Hour)},
		{Reason: "matches nothing"},
	}}
	gather := &evidence.Process{Platform: evidence.Windows, ParentPath: `C:\Windows\System32\cscript.exe`,
		ParentCmdLine: `"C:\Windows\System32\cscript.exe" //B C:\Windows\System32\gatherNetworkInfo.vbs`}
	fake := &evidence.Process{Platform: evidence.Windows, ParentPath: `C:\Users\x\cscript.exe`, ParentCmdLine: gather.ParentCmdLine}
	list := []string{"systemctl list-units --all"}
	inContainer := linux("root", "/usr/bin/dpkg")
	inContainer.ContainerID = "abc"
	for _, c := range []struct {
		name string
		f    attribution.Facts
		want attribution.Kind
	}{
		{"nobody's", attribution.Facts{Process: linux("al", "/bin/bash"), Canonical: list}, attribution.None},
		{"expected", attribution.Facts{Process: linux("zabbix"), Canonical: list}, attribution.Expected},
		{"expected, but another command too", attribution.Facts{Process: linux("zabbix"), Canonical: append([]string{"ls /etc/init.d"}, list...)}, attribution.None},
		{"expired", attribution.Facts{Process: linux("old"), Canonical: list}, attribution.None},
		{"package manager", attribution.Facts{Process: linux("root", "/bin/sh", "/usr/bin/dpkg"), Canonical: list}, attribution.Package},
		{"a program called dpkg", attribution.Facts{Process: linux("root", "/tmp/dpkg"), Canonical: list}, attribution.None},
		{"dpkg in a container", attribution.Facts{Process: inContainer, Canonical: list}, attribution.None},
		{"gatherNetworkInfo", attribution.Facts{Process: gather}, attribution.System},
		{"gatherNetworkInfo by another cscript", attribution.Facts{Process: fake}, attribution.None},
		{"expected under a web server", attribution.Facts{Process: linux("zabbix"), Canonical: list, Lineage: "web"}, attribution.None},
		{"expected but hidden", attribution.Facts{Process: linux("zabbix"), Canonical: list, Concealed: true}, attribution.None},
	} {
		c.f.Now = now
		if got := attribution.Attribute(c.f, conf); got.Kind != c.want {
			t.Errorf("%s: %s (%s), want %s", c.name, got.Kind, got.Basis, c.want)
		}
	}
}
