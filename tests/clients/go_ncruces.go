// ncruces/go-sqlite3, which is SQLite as WebAssembly, translated to Go. What a script does: go_sql.go and steps.py.
package main

import _ "github.com/ncruces/go-sqlite3/driver"

const driver = "sqlite3"

// Those of its documentation's query parameters that most programs have.
func settled(path string) string {
	return "file:" + path + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=foreign_keys(on)"
}
