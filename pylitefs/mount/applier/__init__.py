"""The applier: a process that writes other nodes' transactions into mounted databases, as SQLite would.

    the node:   applier.py --> child.py --a socket, a channel for each call--.
    the child:  the mount <-- write.py, files.py <-- exclusive.py, locks.py <-- process.py, calls.py

Why another process: `fcntl` locks between a process and itself do not exclude. And why through the mount:
only then does the kernel drop the pages that clients have cached.

The rule: clients see a database before the transaction or after it, and nothing in between, for every lock
that SQLite's readers take is held while pages are written. A child that dies is started again, and the LTX
file that it was at is applied once more: applying twice is applying once.

Read write.py first (what is done under the locks), then exclusive.py (how they are had), then applier.py.
"""
