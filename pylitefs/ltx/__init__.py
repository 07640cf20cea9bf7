"""Lite Transaction files: header, encoder, decoder, checksum, compaction.

An LTX file is one transaction (or several, compacted, or a whole database: a snapshot): a header, the
changed pages in ascending order, a trailer with checksums.
"""
