"""Stepping through replication: live nodes held at tracepoints, lessons, the page, recordings.

    lessons/*.md --language/--> Lesson --live/session.py--> Director --> nodes held at their tracepoints
                                                                |  raw events, with the bytes copied
                                                                v
                                        history/ --> Entry, Dump (model.py) --> show/, recording.py

The rule: everything that a viewer shows follows from the entries alone, so that a recording without FUSE
shows what the live nodes showed. Therefore what shows a lecture (show/) knows no live node, what starts
nodes (live/) knows no viewer, and a lesson's language knows neither; tests/test_layers.py holds that.

Read model.py first: all the others meet in it. Then language/lesson.py, live/director.py,
history/historian.py.
"""
