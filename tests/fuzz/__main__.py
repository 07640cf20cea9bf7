"""Fuzz one decoder, guided by which lines it runs: `python -m tests.fuzz NAME [--seconds 60]`.

With the package atheris (`pip install atheris`), which is libFuzzer for Python. Every input that ends in
anything but a result or a named error is written to tests/fuzz/found/, where the ordinary tests read it
again. The exit code is 0 if there was none.
"""

import argparse
import hashlib
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

FOUND = Path(__file__).parent / "found"
MOST_MIB = 1024
SLOW_S = 10


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("name")
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("the fuzzer is guided by the package atheris: pip install -e '.[fuzz]'")
    with atheris.instrument_imports(include=["pylitefs"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    if asked.name not in TARGETS:
        sys.exit(f"there is no decoder {asked.name!r}, only: {', '.join(TARGETS)}")
    target = TARGETS[asked.name]
    FOUND.mkdir(exist_ok=True)  # The fuzzer itself writes there what takes too long, or too much memory.

    def run(data: bytes) -> None:
        try:
            target.run(data)
        except Exception:
            found = FOUND / f"{asked.name}-{hashlib.sha256(data).hexdigest()[:8]}"
            found.write_bytes(data)
            traceback.print_exc()
            print(f"\nwritten to {found}", file=sys.stderr, flush=True)
            raise

    with TemporaryDirectory() as corpus:
        for number, sample in enumerate(target.samples()):
            (Path(corpus) / str(number)).write_bytes(sample)
        print(f"{asked.name}: {asked.seconds} s from {time.strftime('%H:%M:%S')}", flush=True)
        limits = [f"-max_total_time={asked.seconds}", f"-rss_limit_mb={MOST_MIB}", f"-timeout={SLOW_S}"]
        atheris.Setup([sys.argv[0], corpus, *limits, "-max_len=32768", f"-artifact_prefix={FOUND}/"], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
