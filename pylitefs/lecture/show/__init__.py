"""What shows a lecture: the page and its server, the terminal, a replay as one file, the handout.

    entries and dumps --> server.py --> page/*.js        a browser, live or from a recording
              changed_rows.py                            adds the rows that a transaction changed
                      --> terminal.py, terminal_view.py  the same in the terminal
                      --> replay_html.py, bundle.py      the page and a recording in one HTML file
                      --> handout.py                     recordings to take home

The rule: model.py and recording.py are all that is known of a lecture here. So whatever is shown of live
nodes is shown of a recording too. Read model.py, then server.py.
"""
