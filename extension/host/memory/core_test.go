package memory

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

var update = flag.Bool("update", false, "write the golden files")

// answers answers statements by what they begin with and hold, and notes them.
type answers struct {
	rows map[string][]map[string]string
	sql  []string
	fail string
}

func (a *answers) Query(_ context.Context, sql string) ([]map[string]string, error) {
	a.sql = append(a.sql, sql)
	if a.fail != "" && strings.Contains(sql, a.fail) {
		return nil, errors.New("no such table")
	}
	for key, rows := range a.rows {
		if strings.Contains(sql, key) {
			return rows, nil
		}
	}
	return nil, nil
}

func TestCore(t *testing.T) {
	q := Question{
		Processes: []Process{{7, 1000}, {8, 1000}, {9, 1000}, {10, 1000}, {7, 900}},
		Programs:  []Program{{Path: `C:\it's\x.exe`}, {Path: `C:\Py\python.exe`, Argument: `C:\a.py`}},
	}
	for _, c := range []struct {
		name     string
		platform evidence.Platform
		a        answers
	}{
		{"windows", evidence.Windows, answers{rows: map[string][]map[string]string{
			"WHERE pid IN (7,8,9,10)": {
				{"pid": "7", "name": "svc.exe", "path": `C:\Temp\svc.exe`, "start_time": "1002", "on_disk": "0"},
				{"pid": "8", "name": "new.exe", "path": `C:\new.exe`, "start_time": "1003", "on_disk": "0"},
				{"pid": "9", "name": "odd.exe", "path": "", "start_time": "-1", "on_disk": "-1"},
			},
			"WHERE lower(path) IN": {
				{"pid": "20", "name": "x.exe", "path": `C:\IT'S\x.exe`, "start_time": "5", "on_disk": "1", "cmdline": "x"},
				{"pid": "21", "name": "python.exe", "path": `C:\Py\python.exe`, "start_time": "5", "on_disk": "1", "cmdline": `python C:\b.py`},
				{"pid": "22", "name": "python.exe", "path": `C:\Users\Public\python.exe`, "start_time": "5", "on_disk": "1", "cmdline": `python C:\a.py`},
				{"pid": "23", "name": "python.exe", "path": `C:\Py\python.exe`, "start_time": "5", "on_disk": "1", "cmdline": `python C:\a.py`},
			},
			"GROUP BY": {{"pid": "7", "path": `C:\Windows\ntdll.dll`, "areas": "2"}, {"pid": "99", "path": "x", "areas": "1"}},
			"DISTINCT": {{"pid": "20", "path": `C:\Users\al\AppData\Local\Temp\m.dll`}, {"pid": "7", "path": `c:\temp\SVC.exe`}},
		}}},
		{"darwin", evidence.Darwin, answers{rows: map[string][]map[string]string{
			"WHERE pid IN (7,8,9,10)": {
				{"pid": "7", "name": "agent", "path": "/private/tmp/agent", "start_time": "900", "on_disk": "1"},
				{"pid": "8", "name": "node", "path": "/usr/local/bin/node", "start_time": "900", "on_disk": "1"},
			},
			"GROUP BY":     {{"pid": "7", "path": "[private]", "areas": "1"}, {"pid": "8", "path": "[private]", "areas": "4"}},
			"DISTINCT":     {{"pid": "8", "path": "/private/tmp/a.dylib"}},
			"process_envs": {{"pid": "7", "key": "DYLD_INSERT_LIBRARIES", "value": "/a.dylib"}, {"pid": "8", "key": "LD_PRELOAD", "value": " "}},
		}}},
		{"failing", evidence.Darwin, answers{fail: "process_envs", rows: map[string][]map[string]string{
			"WHERE pid IN (7,8,9,10)": {{"pid": "7", "name": "agent", "path": "/bin/agent", "start_time": "900", "on_disk": "1"}}}}},
		{"refused", evidence.Darwin, answers{fail: "FROM processes"}},
		{"nobody", evidence.Darwin, answers{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Report
			NewCore(&c.a, c.platform).Look(context.Background(), q, &r)
			got := r.Result()
			var b strings.Builder
			fmt.Fprintf(&b, "looked at %d, gone %d\n\n%s\n\n%s\n\n%s\n", got.Looked, got.Gone, strings.Join(got.Signs, "\n"), strings.Join(got.Problems, "\n"), strings.Join(c.a.sql, "\n"))
			golden := filepath.Join("testdata", "core_"+c.name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Error(d)
			}
		})
	}
}
