// sqlite-jdbc. Its settings are those that its `SQLiteConfig` names first. What a script does: steps.py.

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import org.sqlite.SQLiteConfig;

class Client {
    static String primaryPath, replicaPath;

    static String position(String path) throws Exception {
        Path position = Path.of(path + "-pos");
        return Files.exists(position) ? Files.readString(position) : path;
    }

    static void follow() throws Exception {
        long end = System.nanoTime() + 30_000_000_000L;
        while (!position(primaryPath).equals(position(replicaPath))) {
            if (System.nanoTime() > end) throw new Exception(replicaPath + " does not follow " + primaryPath);
            Thread.sleep(10);
        }
    }

    static Connection open(String path) throws SQLException {
        return DriverManager.getConnection("jdbc:sqlite:" + path);
    }

    static void run(Connection db, String sql) throws SQLException {
        try (Statement statement = db.createStatement()) {
            statement.execute(sql);
        }
    }

    static String first(Connection db, String sql) throws SQLException {
        try (Statement statement = db.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            return rows.next() ? rows.getString(1) : "";
        }
    }

    static void write(Connection db) throws SQLException {
        run(db, "INSERT INTO t VALUES (1)");
    }

    static void checkRows(Connection db, int wanted) throws SQLException {
        String found = first(db, "SELECT count(*) FROM t");
        if (Integer.parseInt(found) != wanted) throw new SQLException(found + " rows, and not " + wanted);
    }

    static String said(Exception error) {
        return error.getClass().getName() + ": " + error.getMessage();
    }

    static String settled(Connection primary) {
        SQLiteConfig config = new SQLiteConfig();
        config.setJournalMode(SQLiteConfig.JournalMode.WAL);
        config.setSynchronous(SQLiteConfig.SynchronousMode.NORMAL);
        config.setBusyTimeout(5000);
        config.enforceForeignKeys(true);
        try (Connection db = DriverManager.getConnection("jdbc:sqlite:" + replicaPath, config.toProperties())) {
            checkRows(db, 1);
            write(primary);
            follow();
            checkRows(db, 2);
            return "ok";
        } catch (Exception error) {
            return said(error);
        }
    }

    static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    public static void main(String[] arguments) throws Exception {
        primaryPath = arguments[0];
        replicaPath = arguments[1];
        try (Connection primary = open(primaryPath)) {
            run(primary, "PRAGMA journal_mode=" + arguments[2]);
            run(primary, "CREATE TABLE t (x)");
            write(primary);
            follow();
            String read, timeout, sqlite, refused = "";
            try (Connection replica = open(replicaPath)) {
                read = first(replica, "SELECT count(*) FROM t");
                timeout = first(replica, "PRAGMA busy_timeout");
                sqlite = first(replica, "SELECT sqlite_version()");
                try {
                    write(replica);
                } catch (SQLException error) {
                    refused = said(error);
                }
            }
            System.out.printf("{\"read\": %s, \"timeout\": %s, \"sqlite\": %s, \"refused\": %s, \"settings\": %s}%n",
                read, timeout, quoted(sqlite), quoted(refused), quoted(settled(primary)));
        }
    }
}
