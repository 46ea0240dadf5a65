package config

import (
	"os"
	"path/filepath"
	"runtime"
)

// base is the directory of the configuration on this platform.
func base() string {
	switch runtime.GOOS {
	case "windows":
		root := os.Getenv("ProgramData")
		if root == "" {
			root = `C:\ProgramData`
		}
		return filepath.Join(root, "Rollcall")
	case "darwin":
		return "/Library/Application Support/Rollcall"
	}
	return "/etc/rollcall"
}

// File is where the configuration is: ROLLCALL_CONFIG, or the platform's place.
// explicit says that the user named it.
func File() (path string, explicit bool) {
	if p := os.Getenv("ROLLCALL_CONFIG"); p != "" {
		return p, true
	}
	return filepath.Join(base(), "rollcall.yaml"), false
}

// RulesDir is where the user's rules are.
func RulesDir() string { return filepath.Join(base(), "rules.d") }

// StateDir is where the state is: ROLLCALL_STATE, or the platform's place.
func StateDir() string {
	if p := os.Getenv("ROLLCALL_STATE"); p != "" {
		return p
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return filepath.Join(base(), "state")
	}
	return "/var/lib/rollcall"
}
