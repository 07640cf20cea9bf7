"""How transactions travel: frames on the wire, what a replica gets, and the two ends of a stream."""
