// modernc.org/sqlite, which is SQLite translated to Go. What a script does: go_sql.go and steps.py.
package main

import _ "modernc.org/sqlite"

const driver = "sqlite"

// Those of its documentation's query parameters that most programs have.
func settled(path string) string {
	return "file:" + path + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)"
}
