"""The channel over which a lecture or a test sees a node's tracepoints, and holds them.

    the lecture: channel.py  <--JSON lines on a socket pair-->  node_end.py, events.py: the node

The rule: whatever is held goes on when the channel ends, whoever ended it. Read channel.py first: its head
has every message.
"""

CONTROL_FD = "PYLITEFS_CONTROL_FD"
"""The variable that tells a node the channel's number. Without it nothing of this is loaded."""
