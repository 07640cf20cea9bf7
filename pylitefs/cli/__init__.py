"""What a person types: `pylitefs demo`, `mount`, `status`, `lecture` and the others.

The rule: a command parses, calls the floors below, and prints. Nothing is known here that a test or another
program could need. main.py loads a command's module when it is asked for, so `pylitefs version` starts at
once, and a recording plays where there is no FUSE.

Read main.py first, then the module of the command: each has its name. Beside them stand what several
commands share (nodes.py, feed.py, arrivals.py, lecture_page.py, logs.py), nursery.py, the other side of
cluster/nursery.py, and first_process.py, which a container needs.
"""
