"""The folders of two systems' backups, file by file.

The rule: names, modes and all that an LTX file holds are compared, but for times, node ids (whether there is
one is) and the bytes that an LZ4 encoder chooses.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from pylitefs.compare import ltx_facts
from pylitefs.compare.findings import Findings
from pylitefs.compare.ltx_facts import LtxFacts, read_facts
from pylitefs.ltx.header import parse_filename

Pair = tuple[Path, Path]


def last_txid(folder: Path) -> int:
    """Up to where a database's folder goes; 0 where there is nothing."""
    spans = [parse_filename(path.name) for path in folder.glob("*.ltx")] if folder.exists() else []
    return max((span[1] for span in spans if span), default=0)


def compare(findings: Findings, folders: Pair, line: int, *, salts: bool) -> None:
    """Hold both folders side by side, and note what is the same."""
    trees = [_tree(folder) for folder in folders]
    findings.same("backup's files", "the backup", [list(tree) for tree in trees], line)
    for name in sorted(trees[0].keys() & trees[1].keys()):
        mine, other = (tree[name] for tree in trees)
        where = f"the backup's {name}"
        findings.same(
            "backup's mode", where, [stat.filemode(one.stat().st_mode) for one in (mine, other)], line
        )
        if mine.suffix == ".ltx" and other.suffix == ".ltx":
            for aspect, left, right in _facts(read_facts(mine), read_facts(other), salts=salts):
                findings.same(aspect, where, (left, right), line)


def _tree(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in sorted(folder.glob("**/*"))}


def _facts(mine: LtxFacts, other: LtxFacts, *, salts: bool) -> Iterator[tuple[str, str, str]]:
    both = (mine, other)
    pre = [f"{one.header.pre_apply_checksum:016x}" for one in both]
    post = [f"{one.trailer.post_apply_checksum:016x}" for one in both]
    ids = ["a node's" if one.header.node_id else "none" for one in both]
    yield "pre-apply checksum", pre[0], pre[1]
    yield "post-apply checksum", post[0], post[1]
    yield "node id in LTX files", ids[0], ids[1]
    yield from ltx_facts.compare(mine, other, salts=salts)
