"""Who is the primary, and for how long it may believe so.

`base.py` has the words: a lease, who holds it, until when. `static.py`: the config alone says who.
`consul.py`: a Consul says, or the lease service of our own (`service.py`; `http/lease_server.py` serves it).
What is sent is in `consul_calls.py`, as real LiteFS sends it. The rule: nobody here decides what a node does
with its lease; the rest of the program asks `Status.is_primary`.
"""
