"""The front end without a mount: SQLite inside this Python process, on the same store.

    SQLite --> apsw --> bridge.py --> files.py --> Database (store/) --> the data file
                          |             `  locks.py: SQLite's locks, kept here
                          `  outside.py: time, sleep and chance

SQLite asks its VFS for everything that it does to files. Here the VFS is ours (APSW lets it be written in
Python), so a call that the mount would get from the kernel arrives as a call in the same process. The rule:
this floor translates, and decides nothing about transactions, exactly as `mount/` does. What the kernel does
for a mount is done here: the locks (locks.py), and telling a connection that its pages are old (files.py).

Other nodes' transactions come in by applier.py: no other process, for there is no kernel to wait for.

Read files.py first, then locks.py, then applier.py. bridge.py alone imports apsw.
"""
