// Package wine runs the programs that are shipped for Windows under wine, against a
// fake core on a named pipe: transport, locks, files and the end of the process are
// Windows' there. Wine's event log, service control manager and PowerShell are empty:
// nothing is said about those. Of access lists it keeps what fits into the mode of a file.
package wine
