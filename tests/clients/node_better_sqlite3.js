// better-sqlite3. Its settings are the WAL mode that its README recommends. What a script does: steps.py.
"use strict";
const fs = require("fs");
const Database = require("better-sqlite3");

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
    return `${error.name} ${error.code}: ${error.message}`;
  }
  return "";
}

const rows = (db) => db.prepare("SELECT count(*) FROM t").pluck().get();
const write = (db) => db.prepare("INSERT INTO t VALUES (1)").run();

function checkRows(db, wanted) {
  if (rows(db) !== wanted) throw new Error(`${rows(db)} rows, and not ${wanted}`);
}

function settled() {
  const db = new Database(replicaPath);
  db.pragma("journal_mode = WAL");
  checkRows(db, 1);
  write(primary);
  follow();
  checkRows(db, 2);
}

const primary = new Database(primaryPath);
primary.pragma(`journal_mode = ${mode}`);
primary.exec("CREATE TABLE t (x)");
write(primary);
follow();
const replica = new Database(replicaPath);
const facts = {
  read: rows(replica),
  timeout: replica.pragma("busy_timeout", { simple: true }),
  sqlite: replica.prepare("SELECT sqlite_version()").pluck().get(),
  refused: said(() => write(replica)),
};
replica.close();
facts.settings = said(settled) || "ok";
console.log(JSON.stringify(facts));
