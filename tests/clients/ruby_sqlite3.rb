# Ruby's sqlite3. Its settings are those that Rails sends to each connection. What a script does: steps.py.
require "json"
require "sqlite3"

PRIMARY, REPLICA, MODE = ARGV
SETTINGS = [
  "foreign_keys = ON", "journal_mode = WAL", "synchronous = NORMAL", "mmap_size = 134217728",
  "journal_size_limit = 67108864", "cache_size = 2000"
].freeze

def position(path)
  File.read("#{path}-pos")
rescue Errno::ENOENT
  path
end

def follow
  deadline = Time.now + 30
  until position(PRIMARY) == position(REPLICA)
    abort "#{REPLICA} does not follow #{PRIMARY}" if Time.now > deadline
    sleep 0.01
  end
end

def rows(db) = db.get_first_value("SELECT count(*) FROM t")
def write(db) = db.execute("INSERT INTO t VALUES (1)")

def said
  yield
  ""
rescue StandardError => error
  "#{error.class}: #{error.message}"
end

def check_rows(db, wanted)
  raise "#{rows(db)} rows, and not #{wanted}" if rows(db) != wanted
end

primary = SQLite3::Database.new(PRIMARY)
primary.execute("PRAGMA journal_mode = #{MODE}")
primary.execute("CREATE TABLE t (x)")
write(primary)
follow
replica = SQLite3::Database.new(REPLICA)
facts = {
  version: SQLite3::VERSION,
  sqlite: replica.get_first_value("SELECT sqlite_version()"),
  read: rows(replica),
  timeout: replica.get_first_value("PRAGMA busy_timeout"),
  refused: said { write(replica) }
}
replica.close
problem = said do
  db = SQLite3::Database.new(REPLICA)
  db.busy_timeout = 5000
  SETTINGS.each { |setting| db.execute("PRAGMA #{setting}") }
  check_rows(db, 1)
  write(primary)
  follow
  check_rows(db, 2)
end
facts[:settings] = problem.empty? ? "ok" : problem
puts JSON.generate(facts)
