//! rusqlite, with the SQLite that it compiles. Its settings are WAL and foreign keys. What a script does: steps.py.

use rusqlite::{Connection, Result};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

fn position(path: &str) -> String {
    fs::read_to_string(format!("{path}-pos")).unwrap_or_else(|_| path.to_string())
}

fn follow(primary: &str, replica: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    while position(primary) != position(replica) {
        if Instant::now() > end {
            eprintln!("{replica} does not follow {primary}");
            process::exit(1);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn rows(db: &Connection) -> Result<i64> {
    db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
}

fn write(db: &Connection) -> Result<usize> {
    db.execute("INSERT INTO t VALUES (1)", [])
}

/// An error as `{}` and `{:?}` have it; "" if there is none.
fn said<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => String::new(),
        Err(rusqlite::Error::SqliteFailure(code, text)) => {
            format!("SqliteFailure {:?}: {}", code.code, text.unwrap_or_default())
        }
        Err(error) => error.to_string(),
    }
}

fn settled(primary_path: &str, replica_path: &str, primary: &Connection) -> Result<()> {
    let db = Connection::open(replica_path)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    assert_eq!(rows(&db)?, 1);
    write(primary)?;
    follow(primary_path, replica_path);
    assert_eq!(rows(&db)?, 2);
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let (primary_path, replica_path, mode) = (&arguments[1], &arguments[2], &arguments[3]);
    let primary = Connection::open(primary_path)?;
    primary.pragma_update(None, "journal_mode", mode)?;
    primary.execute("CREATE TABLE t (x)", [])?;
    write(&primary)?;
    follow(primary_path, replica_path);
    let replica = Connection::open(replica_path)?;
    let read = rows(&replica)?;
    let timeout: i64 = replica.query_row("PRAGMA busy_timeout", [], |row| row.get(0))?;
    let refused = said(write(&replica));
    drop(replica);
    let mut settings = said(settled(primary_path, replica_path, &primary));
    if settings.is_empty() {
        settings = "ok".to_string();
    }
    // Rust's own quotes are JSON's here: no message has a control character.
    println!(
        "{{\"read\": {read}, \"timeout\": {timeout}, \"sqlite\": {:?}, \"refused\": {refused:?}, \"settings\": {settings:?}}}",
        rusqlite::version()
    );
    Ok(())
}
