"""Who is the primary.

Only the static lease is here: the config says who it is, for good. The rule: nobody else decides; the rest
of the program asks `Status.is_primary`.
"""
