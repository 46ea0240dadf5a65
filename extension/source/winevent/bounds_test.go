package winevent

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func TestScriptBlocksAreBounded(t *testing.T) {
	var s scripts
	var out int
	for i := range 2000 {
		out += len(s.add(script{key: strconv.Itoa(i), number: 1, total: 1 << 20, text: strings.Repeat("x", 32<<10)}))
		if len(s.open) > maxOpenScripts || s.size > maxOpenText {
			t.Fatalf("%d scripts and %d bytes wait", len(s.open), s.size)
		}
	}
	if out += len(s.flush()); out != 2000 || s.size != 0 {
		t.Errorf("%d scripts came out, %d bytes are left", out, s.size)
	}
	for i := range 5000 {
		s.add(script{key: "k", number: i, total: 1 << 30, text: strings.Repeat("y", 4096)})
	}
	for _, p := range s.flush() {
		if len(p.CmdLine) > maxScript+maxParts || !p.Truncated {
			t.Errorf("script of %d bytes, truncated %v", len(p.CmdLine), p.Truncated)
		}
	}
}

// TestStateIsBounded reads many rights without their logons and many keys.
func TestStateIsBounded(t *testing.T) {
	for _, whole := range []bool{false, true} {
		r := Reader{Whole: whole}
		var b evidence.Batch
		const n = 3000
		for i := range n {
			r.Read(&Event{Provider: ProviderSecurity, ID: Privileges, Data: map[string]string{"SubjectUserSid": "S-1-5-21-9", "SubjectUserName": "bob", "SubjectLogonId": fmt.Sprintf("%#x", 1000+i)}}, &b)
			r.Read(&Event{Provider: ProviderSysmon, ID: SysmonValue, Data: map[string]string{"EventType": "SetValue", "TargetObject": keys + "S" + strconv.Itoa(i) + `\Start`, "Details": "DWORD (0x00000002)"}}, &b)
			if len(r.rights.waiting) > maxRights || len(r.rights.order) > maxRights || len(r.keys) > maxServiceKeys {
				t.Fatalf("%d logons and %d keys wait", len(r.rights.waiting), len(r.keys))
			}
		}
		r.Flush(&b)
		if want := map[bool]int{true: n}[whole]; len(b.Logons) != want {
			t.Errorf("%d logons of %d", len(b.Logons), want)
		}
	}
}

const keys = `HKLM\System\CurrentControlSet\Services\`

func TestServiceValue(t *testing.T) {
	for target, want := range map[string][2]string{
		keys + `A\ImagePath`: {"A", "ImagePath"}, keys + "A": {"A", ""}, keys + `A\Parameters\ServiceDll`: {"A", `Parameters\ServiceDll`},
		`\REGISTRY\MACHINE\SYSTEM\ControlSet002\SERVICES\A\Start`: {"A", "Start"}, `hklm\system\controlset001\services\a\b`: {"a", "b"},
		keys: {}, `HKLM\System\CurrentControlSet\Services`: {}, `HKLM\System\CurrentControlSet\Service`: {}, `HKLM\System\ControlSet1\Services\A`: {}, "": {}, `HKU\System\CurrentControlSet\Services\A`: {},
		`HKLM\System\`: {}, `HKLM\System\CurrentControlSet`: {},
	} {
		name, value, ok := serviceValue(target)
		if name != want[0] || value != want[1] || ok != (want[0] != "") {
			t.Errorf("%s: %q %q %v", target, name, value, ok)
		}
	}
}

func TestTaskCommands(t *testing.T) {
	deep := strings.Repeat("<a>", 100_000) + "<Command>x</Command>"
	many := strings.Repeat("<Command>"+strings.Repeat("x", 100)+"</Command>", 1000)
	for _, s := range []string{"", "<", deep, many, "<Command>a<Command>b"} {
		if got := taskCommands(s); len(got) > maxDetail+200 {
			t.Errorf("%.20q: %d bytes", s, len(got))
		}
	}
}
