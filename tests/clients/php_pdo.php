<?php
// PHP's PDO. Its settings are those of its manual's notes: a timeout and WAL. What a script does: steps.py.
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

function first(PDO $db, string $sql): mixed
{
    return $db->query($sql)->fetchColumn();
}

function write(PDO $db): void
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

function checkRows(PDO $db, int $wanted): void
{
    $found = first($db, "SELECT count(*) FROM t");
    if ($found !== $wanted) {
        throw new Exception("$found rows, and not $wanted");
    }
}

$primary = new PDO("sqlite:$primaryPath");
$primary->exec("PRAGMA journal_mode=$mode");
$primary->exec("CREATE TABLE t (x)");
write($primary);
follow();
$replica = new PDO("sqlite:$replicaPath");
$facts = [
    "version" => PHP_VERSION,
    "sqlite" => first($replica, "SELECT sqlite_version()"),
    "read" => first($replica, "SELECT count(*) FROM t"),
    "timeout" => first($replica, "PRAGMA busy_timeout"),
    "refused" => said(fn () => write($replica)),
];
$replica = null;
$facts["settings"] = said(function () use ($primary, $replicaPath) {
    $db = new PDO("sqlite:$replicaPath", null, null, [PDO::ATTR_TIMEOUT => 5]);
    $db->exec("PRAGMA journal_mode=WAL");
    checkRows($db, 1);
    write($primary);
    follow();
    checkRows($db, 2);
}) ?: "ok";
echo json_encode($facts), "\n";
