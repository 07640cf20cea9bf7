"""The HTTP floor: a node's API, the client for it, and the proxy in front of the application.

    app.py (which request gets which answer) --> push.py, debug.py, metrics.py, events.py
    door.py (who may ask app.py); floods.py, back_pressure.py, gone.py (what clients do badly)
    proxy.py --> proxy_rules.py (what is done, pure) --> proxy_relay.py (bytes there and back)
    proxy_peer.py (one connection of it)

The rule: nothing is decided here about databases. A request is checked, one call of the store or of
replication is made in a thread, and an error becomes a status. Paths, headers and figures are real LiteFS's.
Read app.py first; server.py is how it is served, client.py how the command line asks.
"""
