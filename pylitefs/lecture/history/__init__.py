"""From what nodes tell to what is shown: raw events in, entries and dumps out.

    raw events --chronicle.py (order, numbers)--> historian.py (what it means) --> Entry
                                                      |  facts.py, sentences.py, explain.py: in words
                                                      `  dumps.py, file_images.py, xor.py: in bytes --> Dump

The rule: no live node is known here, so the same events always make the same history. Read chronicle.py
first, then historian.py.
"""
