package variants

import (
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
)

// TestNothingIsSievedOut: whatever rules find in a variant, the look that is taken at
// every process before its command line is read lets it pass.
func TestNothingIsSievedOut(t *testing.T) {
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	matched, passed, all := 0, 0, 0
	for _, g := range []language{windows, powershell, linux, macos} {
		for i, v := range generate(g) {
			// As it is recorded, and now and then as others might record it.
			paths := []string{v.line.path}
			if i%20 == 0 {
				paths = append(paths, "", "/usr/bin/x", `C:\Windows\System32\cmd.exe`, "/bin/sh")
			}
			for _, path := range paths {
				for _, joined := range []bool{v.line.joined, !v.line.joined} {
					if joined != v.line.joined && i%20 != 0 {
						continue
					}
					p := evidence.Process{Platform: v.platform, CmdLine: v.line.text, Path: path, OriginalFileName: v.line.original, ArgsJoined: joined}
					res := cmdline.Parse(cmdline.Input{Text: p.CmdLine, Platform: p.Platform, Path: p.Path, OriginalFileName: p.OriginalFileName, ArgsJoined: p.ArgsJoined})
					hits := set.Match(&p, &res)
					may := set.MayMatch(&p)
					all++
					if may {
						passed++
					}
					if len(hits) == 0 {
						continue
					}
					matched++
					if !may {
						t.Errorf("%s of image %q, joined %v: matches %s and is passed over: %s", p.Platform, p.Path, joined, hits[0].Rule.Title, p.CmdLine)
					}
				}
			}
		}
	}
	t.Logf("%d of %d variants match, %d pass", matched, all, passed)
	if matched < 5000 {
		t.Errorf("only %d of %d variants match", matched, all)
	}
}
