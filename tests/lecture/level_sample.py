"""A level for tests: small, on one node alone, with everything that a level can have."""

LEVEL = """\
# Two rows

A table with one row is to have two.

## The scene

One node, and a table.

```lesson
cluster replicas 0
sql n1 CREATE TABLE t (a)
sql n1 INSERT INTO t VALUES (1)
expect n1 at 2
```

## The goal

Insert a row, in **one** transaction.

```goal
at most 2 commands
without restart
never n1 event tx.rollback
  = Something is rolled back.
expect n1 past 2
  = n1 has a transaction more.
expect n1 sql "SELECT count(*) FROM t" = 2
  = The table has two rows.
```

## Hints

```hints
- It is SQL, with `INSERT`,
  as above.
- The table is `t`.
```

## A solution

```solution
sql n1 INSERT INTO t VALUES (2)
expect n1 done
```

A row is a row.
"""
