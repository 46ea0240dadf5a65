package score_test

import (
	"slices"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

func TestAncestors(t *testing.T) {
	for name, c := range map[string]struct{ path, line, factor string }{
		"Tomcat's Java":          {"/usr/lib/jvm/java-17/bin/java", "java -Dcatalina.base=/var/lib/tomcat10 org.apache.catalina.startup.Bootstrap start", "web_ancestor"},
		"Tomcat's Java, Windows": {`C:\Program Files\Java\bin\javaw.exe`, `javaw.exe -Dcatalina.home=C:\Tomcat`, "web_ancestor"},
		"gunicorn":               {"/usr/bin/python3.12", "/usr/bin/python3 /usr/bin/gunicorn app:app", "web_ancestor"},
		"a build's Java":         {"/usr/bin/java", "java -jar /usr/share/jenkins/agent.jar", ""},
		"a script":               {"/usr/bin/python3", "python3 /usr/lib/x/check.py", ""},
		"an implant":             {"/tmp/.ICE-unix/x", "x", "temporary_ancestor"},
		"an implant on Windows":  {`C:\Users\Public\a.exe`, "a.exe", "temporary_ancestor"},
		"a program":              {"/usr/bin/x", "x", ""},
	} {
		p := &evidence.Process{Ancestry: []evidence.Ancestor{{Path: "/bin/sh"}, {Path: c.path, CmdLine: c.line}}}
		only := &evidence.Process{ParentPath: c.path, ParentCmdLine: c.line}
		for _, p := range []*evidence.Process{p, only} {
			var got []string
			for _, f := range score.CommandFactors(p, nil, 0) {
				got = append(got, f.Name)
			}
			if c.factor == "" && len(got) > 0 || c.factor != "" && !slices.Contains(got, c.factor) {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
}
