"""Nodes as processes: a primary and replicas on this machine, for the demo, lectures, comparisons and tests.

    cluster.py  --starts, stops, kills, waits for--> `pylitefs mount`, once for each node
    nursery.py  --forks them instead, where they are started again and again
    ports.py    --finds their ports, and keeps others from finding the same
    ending.py   --what ends the program that has them: Ctrl-C, SIGTERM, a closed terminal

The rule: nothing is left behind. A node ends with its standard input, so also with a parent that was killed;
and no mount stays. Read cluster.py first.
"""
