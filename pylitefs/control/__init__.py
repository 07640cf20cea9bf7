"""The channel over which a lecture sees and holds a node's tracepoints: both its ends."""
