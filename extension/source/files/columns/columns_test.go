package columns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	zeek = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2023-11-14-22-13-20\n" +
		"#fields\tts\tuid\tid.orig_h\tid.resp_p\tlocal_orig\ttunnel_parents\n#types\ttime\tstring\taddr\tport\tbool\tset[string]\n" +
		"1700000000.500000\tC1\t10.0.0.9\t443\t-\t(empty)\n#close\t2023-11-14-23-00-00\n"
	firewall = "#Version: 1.5\n#Software: Microsoft Windows Firewall\n#Time Format: Local\n#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype icmpcode info path pid\n\n" +
		"2023-11-14 23:13:20 ALLOW TCP 10.0.0.9 203.0.113.7 50001 443 0 - 0 0 0 - - - SEND 9\n" +
		"2023-11-14 23:13:20 ALLOW TCP 10.0.0.9 203.0.113.7 50001 443 0 - 0 0 0 - - - SEND\n"
)

func rows(text string, location *time.Location) (out []map[string]any, strange int) {
	t := New(location)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		row, ok := t.Line([]byte(line))
		if !ok {
			strange++
		}
		if row != nil {
			out = append(out, row)
		}
	}
	return out, strange
}

func TestTables(t *testing.T) {
	packet := map[string]any{"epoch": "1700000000", "date": "2023-11-14", "time": "23:13:20", "action": "ALLOW", "protocol": "TCP", "src-ip": "10.0.0.9", "dst-ip": "203.0.113.7", "src-port": "50001", "dst-port": "443",
		"size": "0", "tcpsyn": "0", "tcpack": "0", "tcpwin": "0", "path": "SEND"}
	withPID := map[string]any{"pid": "9"}
	for k, v := range packet {
		withPID[k] = v
	}
	tests := []struct {
		name, text string
		want       []map[string]any
		strange    int
	}{
		{"Zeek", zeek, []map[string]any{{"ts": "1700000000.500000", "uid": "C1", "id.orig_h": "10.0.0.9", "id.resp_p": "443", "tunnel_parents": ""}}, 0},
		{"Zeek with commas", strings.NewReplacer("\\x09", "\\x2c", "\t", ",").Replace(zeek[:strings.Index(zeek, "#types")]) + "1,C1,a,1,T,x\n", []map[string]any{{"ts": "1", "uid": "C1", "id.orig_h": "a", "id.resp_p": "1", "local_orig": "T", "tunnel_parents": "x"}}, 0},
		{"the firewall", firewall, []map[string]any{withPID, packet}, 0},
		{"rows before their header", "1\t2\n" + zeek, []map[string]any{{"ts": "1700000000.500000", "uid": "C1", "id.orig_h": "10.0.0.9", "id.resp_p": "443", "tunnel_parents": ""}}, 1},
		{"too few and too many values", "#fields\ta\tb\n1\n1\t2\t3\n1\t2\n", []map[string]any{{"a": "1", "b": "2"}}, 2},
		{"a time that is none", "#Fields: date time x\n2023-99-14 23:13:20 1\n0001-01-01 00:00:00 1\n", nil, 2},
		{"no time", "#Fields: a b\n1 2\n", []map[string]any{{"a": "1", "b": "2"}}, 0},
	}
	zone := time.FixedZone("CET", 3600)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, strange := rows(tt.text, zone)
			if d := cmp.Diff(tt.want, got); d != "" || strange != tt.strange {
				t.Errorf("%d lines of another form; rows (-want +got):\n%s", strange, d)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	wide := "#fields" + strings.Repeat("\tx", 1_000_000) + "\n" + strings.Repeat("\t1", 1_000_000) + "\n"
	if got, _ := rows(wide, nil); len(got) != 0 {
		t.Errorf("%d rows of a million columns", len(got))
	}
	long := "#fields\ta\tb\n" + strings.Repeat("x", 1<<20) + "\t1\n"
	got, _ := rows(long, nil)
	if len(got) != 1 || len(fmt.Sprint(got[0]["a"])) != maxValue {
		t.Errorf("%d rows", len(got))
	}
}

func FuzzLine(f *testing.F) {
	f.Add(zeek)
	f.Add(firewall)
	f.Add("#separator \\xff\n#unset_field\xff-\n#fields\xffa\xffb\n1\xff2\n")
	f.Add("#Fields: time date\n1 2\n#fields\ttime\tdate\n1\t2\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, _ := rows(text, nil)
		for _, r := range got {
			if len(r) > maxColumns+1 {
				t.Errorf("%d columns", len(r))
			}
		}
	})
}
