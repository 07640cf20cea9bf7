// What the scripts of Go's drivers share: database/sql on a primary and a replica. What a script does: steps.py.
package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

var primaryPath, replicaPath, mode = os.Args[1], os.Args[2], os.Args[3]

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func position(path string) string {
	text, err := os.ReadFile(path + "-pos")
	if err != nil {
		return path
	}
	return string(text)
}

func follow() {
	end := time.Now().Add(30 * time.Second)
	for position(primaryPath) != position(replicaPath) {
		if time.Now().After(end) {
			must(fmt.Errorf("%s does not follow %s", replicaPath, primaryPath))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func open(source string) *sql.DB {
	db, err := sql.Open(driver, source)
	must(err)
	db.SetMaxOpenConns(1)
	return db
}

func write(db *sql.DB) error {
	_, err := db.Exec("INSERT INTO t VALUES (1)")
	return err
}

func first[T any](db *sql.DB, query string) (value T, err error) {
	err = db.QueryRow(query).Scan(&value)
	return
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%T: %v", err, err)
}

func checkRows(db *sql.DB, wanted int) error {
	found, err := first[int](db, "SELECT count(*) FROM t")
	if err == nil && found != wanted {
		err = fmt.Errorf("%d rows, and not %d", found, wanted)
	}
	return err
}

func withSettings(primary *sql.DB) string {
	db := open(settled(replicaPath))
	defer db.Close()
	if err := checkRows(db, 1); err != nil {
		return said(err)
	}
	must(write(primary))
	follow()
	if err := checkRows(db, 2); err != nil {
		return said(err)
	}
	return "ok"
}

func main() {
	primary := open("file:" + primaryPath)
	for _, statement := range []string{"PRAGMA journal_mode=" + mode, "CREATE TABLE t (x)"} {
		_, err := primary.Exec(statement)
		must(err)
	}
	must(write(primary))
	follow()
	replica := open("file:" + replicaPath)
	read, err := first[int](replica, "SELECT count(*) FROM t")
	must(err)
	timeout, err := first[int](replica, "PRAGMA busy_timeout")
	must(err)
	version, err := first[string](replica, "SELECT sqlite_version()")
	must(err)
	refused := said(write(replica))
	replica.Close()
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"read": read, "timeout": timeout, "sqlite": version,
		"refused": refused, "settings": withSettings(primary),
	}))
	primary.Close()
}
