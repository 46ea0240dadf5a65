package sqlshell

import (
	"strings"

	"zombiezen.com/go/sqlite"
)

// authorize decides what a statement may do when it is compiled: read anything,
// and make temporary things in memory. What is not named is refused.
func (db *DB) authorize(a sqlite.Action) sqlite.AuthResult {
	switch a.Type() {
	case sqlite.OpSelect, sqlite.OpRead, sqlite.OpRecursive,
		sqlite.OpTransaction, sqlite.OpSavepoint,
		sqlite.OpCreateTable, sqlite.OpCreateTempTable, sqlite.OpDropTable, sqlite.OpDropTempTable,
		sqlite.OpCreateView, sqlite.OpCreateTempView, sqlite.OpDropView, sqlite.OpDropTempView,
		sqlite.OpCreateIndex, sqlite.OpCreateTempIndex, sqlite.OpDropIndex, sqlite.OpDropTempIndex,
		sqlite.OpReindex: // what CREATE INDEX does
		return sqlite.AuthResultOK
	case sqlite.OpInsert, sqlite.OpUpdate, sqlite.OpDelete:
		if tab := db.Table(a.Table()); tab != nil {
			return db.deny("table " + tab.Name + " may not be modified")
		}
		return sqlite.AuthResultOK
	case sqlite.OpFunction: // load_extension is replaced by one that refuses
		return sqlite.AuthResultOK
	case sqlite.OpPragma:
		if readOnlyPragma(a.Pragma()) {
			return sqlite.AuthResultOK
		}
		return db.deny("PRAGMA " + strings.ToLower(a.Pragma()) + " is not allowed here")
	case sqlite.OpAttach:
		return db.deny("this shell reads no other database: ATTACH and VACUUM INTO are not allowed here")
	}
	return db.deny("this kind of statement is not allowed here; reading, and temporary tables and views, are")
}

func (db *DB) deny(why string) sqlite.AuthResult {
	if db.denied == "" {
		db.denied = why
	}
	return sqlite.AuthResultDeny
}

func readOnlyPragma(name string) bool {
	switch strings.ToLower(name) {
	case "table_info", "table_xinfo", "table_list", "function_list", "collation_list",
		"module_list", "pragma_list", "compile_options", "database_list",
		"case_sensitive_like": // changes LIKE, which osquery allows too
		return true
	}
	return false
}
