// Package version says which Rollcall this is.
package version

import "runtime/debug"

// Number is the release. The build sets it with -ldflags -X.
var Number = "0.1.0-dev"

// String is the release and, where the build knew it, the commit.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Number
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return Number + " (" + s.Value[:12] + ")"
		}
	}
	return Number
}
