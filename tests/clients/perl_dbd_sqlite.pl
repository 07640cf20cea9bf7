# Perl's DBD::SQLite. Its settings are WAL and foreign keys. What a script does: steps.py.
use strict;
use warnings;
use DBI;
use JSON::PP;
use Time::HiRes qw(sleep time);

my ($primary_path, $replica_path, $mode) = @ARGV;

sub position {
    my ($path) = @_;
    open my $file, "<", "$path-pos" or return $path;
    return scalar <$file> // $path;
}

sub follow {
    my $end = time + 30;
    while (position($primary_path) ne position($replica_path)) {
        die "$replica_path does not follow $primary_path\n" if time > $end;
        sleep 0.01;
    }
}

sub opened { return DBI->connect("dbi:SQLite:dbname=$_[0]", "", "", { RaiseError => 1, PrintError => 0 }) }
sub first  { my ($db, $sql) = @_; return ($db->selectrow_array($sql))[0] }
sub rows   { return first($_[0], "SELECT count(*) FROM t") }
sub write_row { $_[0]->do("INSERT INTO t VALUES (1)") }

sub said {
    my ($action) = @_;
    return "" if eval { $action->(); 1 };
    # Where it happened is no word of the library's.
    return $@ =~ s/ at \S+ line \d+\.?\s*\z//r;
}

sub check_rows {
    my ($db, $wanted) = @_;
    my $found = rows($db);
    die "$found rows, and not $wanted\n" if $found != $wanted;
}

my $primary = opened($primary_path);
$primary->do("PRAGMA journal_mode=$mode");
$primary->do("CREATE TABLE t (x)");
write_row($primary);
follow();
my $replica = opened($replica_path);
my %facts = (
    version => $DBD::SQLite::VERSION,
    sqlite  => first($replica, "SELECT sqlite_version()"),
    read    => rows($replica) + 0,
    timeout => first($replica, "PRAGMA busy_timeout") + 0,
    refused => said(sub { write_row($replica) }),
);
$replica->disconnect;
$facts{settings} = said(sub {
    my $db = opened($replica_path);
    $db->do("PRAGMA journal_mode=WAL");
    $db->do("PRAGMA foreign_keys=ON");
    check_rows($db, 1);
    write_row($primary);
    follow();
    check_rows($db, 2);
}) || "ok";
$primary->disconnect;
print encode_json(\%facts), "\n";
