"""The filesystem that SQLite sees: a FUSE mount over the data directory.

    SQLite --> kernel --FUSE--> operations.py --> Database (store/) --> the data file
                                  |  special_files.py: DB-pos, .primary and others
                                  `  name_guard.py: files that are made or removed by name

The rule: this floor translates, and decides nothing about transactions. Each call of SQLite becomes one call
of a `Database`, and an error of the store the errno that SQLite is to see. Locks are not translated: the
kernel keeps `fcntl` locks by itself, unless the mount is one with observed locks (observed/).

Other nodes' transactions come in by applier/: a child process that is a client of this mount, as SQLite is.
Only `node.py` has it.

Read operations.py first, then handles.py (who has opened what), then session.py (the life of a mount).
fusepy is imported by libfuse.py alone, where the fixes for it are too.
"""
