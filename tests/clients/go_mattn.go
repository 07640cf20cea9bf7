// mattn/go-sqlite3, which compiles SQLite with cgo. What a script does: go_sql.go and steps.py.
package main

import _ "github.com/mattn/go-sqlite3"

const driver = "sqlite3"

// The settings that its README's questions lead to.
func settled(path string) string {
	return "file:" + path + "?_busy_timeout=5000&_journal_mode=WAL&_foreign_keys=on"
}
