"""`pylitefs doctor`: what keeps a node from running, or its cluster from working, each with its remedy.

    examine.examine     the config file, then each of the others; a list of findings
    machine.py          FUSE, descriptors, mounts: what has no config
    folders.py          data directory, mount, backup folder: whose they are, and what lies in them
    network.py          ports, peers with their versions and clocks, the lease service

The rules: nothing is changed, not even for a moment; nothing is waited for longer than some seconds; and it
says the same with a node running and without one, as root and as anyone else, but for what this user cannot
see. Read finding.py first: all that a check can say is one of three.
"""
