"""A simulator: primary, replicas, their disks, their network and their clock in one process, by one seed.

    python -m tests.sim --seeds 10000          that many histories; the first wrong one is printed and shrunk
    python -m tests.sim --seed 17              one, with its log
    python -m tests.sim --mutants              faults that were put in on purpose: each has to be found
    python -m tests.sim --mutants --first 900  the same, from another seed on

A history is a list of steps (program.py, scenarios.py), drawn from its seed. Each step brings a seed of its
own, so a list with steps left out still means something: that is how a wrong history is shrunk (shrink.py).

    clock.py     the time: it passes when a step says so
    disk.py      what a crash keeps: what was synced survives, of the rest any subset, torn at any sector
    seam.py      where the node's calls of `os`, `time` and `secrets` are answered by the two
    node.py      a store, SQLite on it, and its threads' work done in turn
    wal.py       what counts of a WAL: for SQLite's readers, and for the applier
    network.py   the primary's and the replica's own code over a pipe that breaks anywhere
    halts.py     a replica's clients write, with the HALT lock
    roles.py     another node becomes the primary: handoffs, failovers, an old primary that is back
    exports.py   copies that somebody asks for, and what happens in the middle of one
    backups.py   the primary's backup, on another disk, and plain files made of it
    oracle.py    SQLite in memory, which does what was acknowledged
    known.py     what it knows of a position: by that a copy is judged
    history.py   the steps, and what must hold after each
    scenarios.py what most histories are about: few kinds of steps, often, in a world where they matter
    mutants.py   faults, put in from outside

The rule: nothing here waits, and nothing is decided but by the seed; the same seed is the same history, to
the byte.
"""
