"""What a stream does, by hand: a replica's store gets the LTX files that it lacks."""

from pylitefs.store.store import Store


def ship(primary: Store, replica: Store, name: str, patience: float = 5.0) -> None:
    """Everything past the replica's position, one by one."""
    source = primary.require(name)
    target = replica.get(name)
    done = target.pos.txid if target is not None else 0
    for span in source.ltx_files():
        if span[0] > done:
            replica.receive_ltx(name, [source.ltx_path(*span).read_bytes()], patience)
    assert replica.require(name).pos == source.pos
