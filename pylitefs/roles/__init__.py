"""Who this node is, while it runs: it follows a primary, or is the primary, and changes over.

`loop.py` is the one thread that decides, by its lease. `change.py` is what a change means for databases,
mount and applier. `candidates.py`: a node with older data lets one with newer data go first. With a static
lease none of this runs. The rule: the role is `Status.is_primary`, which is over by the clock, and only then
by this thread.
"""
