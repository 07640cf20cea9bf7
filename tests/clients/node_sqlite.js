// node:sqlite, which is in Node.js itself. Its settings are a busy timeout and WAL. What a script does: steps.py.
"use strict";
const fs = require("fs");
const { DatabaseSync } = require("node:sqlite");

const [primaryPath, replicaPath, mode] = process.argv.slice(2);
const position = (path) => (fs.existsSync(`${path}-pos`) ? fs.readFileSync(`${path}-pos`, "latin1") : path);

function follow() {
  const end = Date.now() + 30000;
  while (position(primaryPath) !== position(replicaPath)) {
    if (Date.now() > end) throw new Error(`${replicaPath} does not follow ${primaryPath}`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

function said(action) {
  try {
    action();
  } catch (error) {
    return `${error.name} ${error.code} ${error.errcode}: ${error.message}`;
  }
  return "";
}

const first = (db, sql) => Object.values(db.prepare(sql).get())[0];
const rows = (db) => first(db, "SELECT count(*) FROM t");
const write = (db) => db.prepare("INSERT INTO t VALUES (1)").run();

function checkRows(db, wanted) {
  if (rows(db) !== wanted) throw new Error(`${rows(db)} rows, and not ${wanted}`);
}

function settled() {
  const db = new DatabaseSync(replicaPath, { timeout: 5000 });
  db.exec("PRAGMA journal_mode = WAL");
  checkRows(db, 1);
  write(primary);
  follow();
  checkRows(db, 2);
}

const primary = new DatabaseSync(primaryPath);
primary.exec(`PRAGMA journal_mode = ${mode}`);
primary.exec("CREATE TABLE t (x)");
write(primary);
follow();
const replica = new DatabaseSync(replicaPath);
const facts = {
  read: rows(replica),
  timeout: first(replica, "PRAGMA busy_timeout"),
  sqlite: first(replica, "SELECT sqlite_version()"),
  refused: said(() => write(replica)),
};
replica.close();
facts.settings = said(settled) || "ok";
console.log(JSON.stringify(facts));
