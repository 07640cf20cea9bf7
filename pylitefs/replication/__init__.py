"""How transactions travel: frames on the wire, what a replica gets, and the two ends of a stream.

    primary.py --catchup.decide--> nothing, LTX files, or a snapshot --frames.py--> the wire
    the wire --http2.py, frames.py--> replica.py --> intake.py --gathering.py--> Store.receive_ltx, …_together

The rule: the replica says its positions, and the primary decides from them alone. frames.py and catchup.py
are pure: bytes and values in, bytes and values out.

Read catchup.py first: it is a page, and it is the protocol's heart. Then replica.py, then primary.py.
"""
