"""All that starts nodes in a lecture, steps them, breaks them, and waits until they are still.

    session.py (a lesson, step by step) --> director.py (one command at a time)
        stepping.py, faults.py, expect.py     what commands do
        settling.py                           hears what was said, and waits until all is held or has ended
        shells.py                             SQLite in processes of their own
        scene.py                              what all of these share: nodes, holds, history

The rule: a step never depends on luck. The parts know the scene, and only the director knows them all. Read
scene.py first, then director.py, then settling.py.
"""
