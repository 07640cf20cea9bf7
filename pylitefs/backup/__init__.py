"""The backup of a node's databases in a folder: `backup.type: file`.

    PATH/DB/MIN-MAX.ltx      from TXID 1 on, each the continuation of the one before

The folder is real LiteFS's, file for file: what the one has written the other goes on with, or restores.
Only the primary writes into it. The rule that everything follows from: **the backup is the authority.** A
node that can continue the chain continues it. One that cannot (its database is gone, is behind, or went
another way) gets its database from the backup.

    a position moves       Backup is woken, waits `delay` for more, and asks of each changed database
    decide.decide          nothing, files, a snapshot, or a restore: one pure function
    merge.merge            several LTX files become one
    BackupFolder.write     written beside, synced, read again, renamed, directory synced
    state.high_water_mark  up to here the backup has it: retention may reap what lies below

Read folder.py first, then decide.py. The rules of the floor: it knows the store and the format, no HTTP and
no FUSE; one thread does it all, and holds a few LTX files in memory at most; nothing in the folder is ever
changed or removed, but what a killed node left half written.
"""
