"""Stepping through replication: live nodes held at tracepoints, lessons, the page, recordings.

    lessons/*.md --lesson.py--> Lesson --session.py--> Director --> nodes held at their tracepoints
                                                          |  raw events, with the bytes copied
                                                          v
                                     Historian --> Entry, Dump (model.py) --> page, terminal, recording

The rule: everything that a viewer shows follows from the entries alone, so that a recording without FUSE
shows what the live nodes showed.
"""
