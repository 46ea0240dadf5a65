package kaudit

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// The parts of struct audit_rule_data (linux/audit.h) that matter, by their offset.
const (
	ruleList       = 0
	ruleAction     = 4
	ruleFieldCount = 8
	ruleMask       = 12
	ruleFields     = ruleMask + 64*4
	ruleValues     = ruleFields + 64*4
	ruleSize       = ruleValues + 2*64*4 + 4
)

// The lists, actions and fields of rules that matter.
const (
	listTask    = 1
	listExit    = 4
	listExclude = 5
	listPrepend = 0x10

	actionNever  = 0
	actionAlways = 2

	fieldType    = 12 // of a record
	fieldArch    = 11
	fieldSuccess = 104
	fieldKey     = 210
)

// The records without which an execution is not told.
const (
	typeSyscall = 1300
	typeExecve  = 1309

	// typeConfig tells of a change of the rules, or of auditing itself.
	typeConfig = 1305
)

// nativeArch is AUDIT_ARCH of what most programs here are built for.
func nativeArch() uint32 {
	switch runtime.GOARCH {
	case "amd64":
		return 0xc000003e
	case "386":
		return 0x40000003
	case "arm64":
		return 0xc00000b7
	case "arm":
		return 0x40000028
	case "ppc64le":
		return 0xc0000015
	case "s390x":
		return 0x80000016
	case "riscv64":
		return 0xc00000f3
	}
	return 0
}

// auditRule is one audit rule.
type auditRule struct {
	list, action uint32
	exec         bool // its system calls are, or contain, execve
	fields       []uint32
	values       []uint32
}

func parseRule(b []byte) (r auditRule, ok bool) {
	if len(b) < ruleSize {
		return r, false
	}
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	r.list, r.action = u32(ruleList)&^listPrepend, u32(ruleAction)
	count := min(u32(ruleFieldCount), 64)
	for i := range int(count) {
		r.fields = append(r.fields, u32(ruleFields+4*i))
		r.values = append(r.values, u32(ruleValues+4*i))
	}
	const call = unix.SYS_EXECVE
	r.exec = u32(ruleMask+4*(call/32))&(1<<(call%32)) != 0
	for i, f := range r.fields {
		if f == fieldArch && r.values[i] != nativeArch() {
			r.exec = false
		}
	}
	return r, true
}

// unconditional reports whether the rule holds for every user and program.
func (r *auditRule) unconditional() bool {
	for i, f := range r.fields {
		switch {
		case f == fieldArch, f == fieldKey, f == fieldSuccess && r.values[i] == 1:
		default:
			return false
		}
	}
	return true
}

// missing says why the rules don't make the kernel log every program that starts;
// empty when they do.
func missing(rules [][]byte) string {
	some := false
	logged := "none of the kernel's " + fmt.Sprint(len(rules)) + " audit rules logs the programs that start"
	if len(rules) == 0 {
		logged = "the kernel has no audit rules"
	}
	decided := false
	for _, b := range rules {
		r, ok := parseRule(b)
		if !ok {
			continue
		}
		switch {
		case r.list == listTask && r.action == actionNever && r.unconditional():
			return "an audit rule (-a never,task) keeps the kernel from auditing any process"
		case r.list == listExclude:
			for i, f := range r.fields {
				if len(r.fields) == 1 && f == fieldType && (r.values[i] == typeSyscall || r.values[i] == typeExecve) {
					return fmt.Sprintf("an audit rule excludes the records of type %d, which tell of programs", r.values[i])
				}
			}
		case r.list == listExit && r.exec && !decided:
			// The first rule that fits decides.
			switch {
			case r.action == actionAlways && r.unconditional():
				logged, decided = "", true
			case r.action == actionNever && r.unconditional():
				logged, decided = "an audit rule (never,exit) comes before those that log the programs that start", true
			case r.action == actionAlways:
				some = true
			}
		}
	}
	if logged != "" && some {
		return "the kernel's audit rules log only some of the programs that start"
	}
	return logged
}
