<?php
// PHP's SQLite3 class, its errors as exceptions. Its settings are a busy timeout and WAL. What a script does: steps.py.
[, $primaryPath, $replicaPath, $mode] = $argv;

function position(string $path): string
{
    return @file_get_contents("$path-pos") ?: $path;
}

function follow(): void
{
    global $primaryPath, $replicaPath;
    $end = microtime(true) + 30;
    while (position($primaryPath) !== position($replicaPath)) {
        if (microtime(true) > $end) {
            fwrite(STDERR, "$replicaPath does not follow $primaryPath\n");
            exit(1);
        }
        usleep(10000);
    }
}

function opened(string $path): SQLite3
{
    $db = new SQLite3($path);
    $db->enableExceptions(true);
    return $db;
}

function write(SQLite3 $db): void
{
    $db->exec("INSERT INTO t VALUES (1)");
}

function said(callable $action): string
{
    try {
        $action();
    } catch (Exception $error) {
        return get_class($error) . ": " . $error->getMessage();
    }
    return "";
}

function checkRows(SQLite3 $db, int $wanted): void
{
    $found = $db->querySingle("SELECT count(*) FROM t");
    if ($found !== $wanted) {
        throw new Exception("$found rows, and not $wanted");
    }
}

$primary = opened($primaryPath);
$primary->exec("PRAGMA journal_mode=$mode");
$primary->exec("CREATE TABLE t (x)");
write($primary);
follow();
$replica = opened($replicaPath);
$facts = [
    "version" => PHP_VERSION,
    "sqlite" => SQLite3::version()["versionString"],
    "read" => $replica->querySingle("SELECT count(*) FROM t"),
    "timeout" => $replica->querySingle("PRAGMA busy_timeout"),
    "refused" => said(fn () => write($replica)),
];
$replica->close();
$facts["settings"] = said(function () use ($primary, $replicaPath) {
    $db = opened($replicaPath);
    $db->busyTimeout(5000);
    $db->exec("PRAGMA journal_mode=WAL");
    checkRows($db, 1);
    write($primary);
    follow();
    checkRows($db, 2);
}) ?: "ok";
echo json_encode($facts), "\n";
