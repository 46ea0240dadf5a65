// Package wine runs the programs that are shipped for Windows under wine, against a
// fake core on a named pipe: transport, locks, files and the end of the process are
// Windows' there. Wine's event log, service control manager and PowerShell are empty,
// and its access lists mean little: nothing is said about those.
package wine
