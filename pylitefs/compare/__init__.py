"""The same work on pylitefs and on real LiteFS, and the report of every difference.

    workloads/*.txt --> workload.py --> runner.py --> findings.py --> table, JSON, HTML
                                          |  programs.py, nodes.py: a primary and a replica of each
                                          |  driver.py, client.py: SQLite in processes of its own
                                          `  ltx_facts.py, end_checks.py, probes.py: what is looked at

The rule: nothing is judged here. Whatever is seen on one side and not on the other is a difference; what
is known, whose behaviour is right and why stands in `known.yaml`, and anything else is unknown.
"""
