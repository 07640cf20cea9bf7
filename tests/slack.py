"""How much longer a thing may take on this machine now than on one that does nothing else.

For bounds that say "at once", and not "after a wait that was forgotten". A busy machine shares its
processors.
"""

import os


def slack() -> float:
    """1 on an idle machine; with two programs for each processor 4."""
    return max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))
