"""A client of the mount in a process of its own: runs SQL that comes as lines of JSON, and says how it went.

python -m tests.crash.writer DATABASE      {"sql": [...]} -> {"ok": rows} or {"error": text}
"""

import json
import sqlite3
import sys


def main() -> None:
    db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
    for line in sys.stdin:
        try:
            rows: list[tuple[object, ...]] = []
            for statement in json.loads(line)["sql"]:
                rows = db.execute(statement).fetchall()
            answer: dict[str, object] = {"ok": rows}
        except sqlite3.Error as error:
            answer = {"error": str(error)}
            if db.in_transaction:
                try:
                    db.execute("ROLLBACK")
                except sqlite3.Error:
                    pass  # The mount is gone.
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
