"""How fast: `pylitefs compare --bench`, what tracing costs, and what each part takes alone.

    rounds.py --> measures.py (a line of the table each) --> contestant.py (who is measured, and the figures)

The rule: all contestants are measured in the same run, in turn, from the same client (client_measures.py).
Read contestant.py first. plots.py draws. tracing_cost.py and alone.py are programs of their own.
"""
