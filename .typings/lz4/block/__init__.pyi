# What pylitefs uses of python-lz4's block module.
_Buffer = bytes | bytearray | memoryview

class LZ4BlockError(Exception): ...

def compress(
    source: _Buffer,
    mode: str = ...,
    acceleration: int = ...,
    compression: int = ...,
    return_bytearray: bool = ...,
    store_size: bool = ...,
) -> bytes: ...
def decompress(source: _Buffer, uncompressed_size: int = ..., return_bytearray: bool = ...) -> bytes: ...
