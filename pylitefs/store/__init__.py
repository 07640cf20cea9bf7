"""Databases: how a transaction is captured, how another node's is applied, and what a crash leaves.

SQLite knows nothing of this program. It opens, writes, syncs and removes files, and these calls arrive here.
So this floor has one question to answer, at each call: is that the end of a transaction? If it is, the
transaction must be in an LTX file, synced, before SQLite has its answer. Everything else follows from that
rule. (In a burst of WAL mode the sync comes a moment later, and so does all that is told: group_sync.py.)

The life of a transaction, on the primary:

    SQLite writes a page       Database.write --> RollbackWatch.page_written    its number is noted
    SQLite ends the journal    Database.remove --> RollbackWatch.end_journal    this is the commit
                               capture.commit_transaction      reads the noted pages, writes the LTX file,
                                                               syncs it: from here on it counts
                               DatabaseState.advance           the position moves, subscribers are told
    SQLite has its answer

In the rollback modes the journal's end is the commit: unlinked, truncated, or its header zeroed. In WAL mode
it is a frame with a nonzero commit field whose checksums hold; `WalTracker` finds it in writes of any order
and size, and `WalWatch` captures it in that same write. There SQLite's readers see it a moment later, by the
WAL index; only then does the publisher move the position. A position is a TXID and the checksum of the whole
database. The checksum is the XOR of one number a page, so a commit of three pages costs three numbers, not
the database.

The same transaction, on a replica:

    an LTX file arrives        Store.receive_ltx --> incoming.receive           every byte is verified
                                   its position must be ours, its result what it promises
                                   stored and synced under its final name: from here on it counts
                               Applier.apply                   another process writes the pages, through the
                                                               mount, under SQLite's own locks
                               DatabaseState.advance           the position moves

Nobody here writes into a database that clients have open: their caches and locks are SQLite's, so who
changes it has to do it as a client does. The store only says what it asks for (applying.py); the applier is
the mount's.

After a crash the data files are wherever they were, and no mount exists yet. Recovery asks the LTX files,
for they are the truth: a torn last one was never acknowledged and goes; a hot journal is rolled back; a WAL
is cut back to the last LTX file. If the database's checksum is the last LTX file's by then, it is whole; if
not, the files that are kept are replayed. So what has an LTX file is kept. What has none was never
acknowledged and is rolled back, but for what SQLite commits without a journal of that database: that is
captured as it is.

Read in this order:

    state.py, checksums.py                     what is known of a database: its position, its sums
    database.py                                one method for each thing SQLite does to its files
    rollback.py, wal_watch.py, wal_tracker.py  what these calls mean, in each journal mode
    capture.py                                 the only place where a transaction of this node is made
    publisher.py, group_sync.py                when one of WAL mode is told
    incoming.py, applying.py                   the only place where one of another node comes in
    recovery.py                                from what a crash left to one position
    store.py                                   all databases of a node
    imports.py, fresh.py, snapshot.py          whole ones: copies in, a replica's new ones, copies out

The rules of the floor: it knows no FUSE and no HTTP; `DatabaseState.advance` alone moves a position; and
what must survive a crash is synced before anything depends on it.
"""
