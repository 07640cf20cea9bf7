# What pylitefs uses of python-lz4's frame module (lz4 4.3 and later ship no types).
from typing import Any

BLOCKSIZE_DEFAULT: int
BLOCKSIZE_MAX64KB: int
BLOCKSIZE_MAX256KB: int
BLOCKSIZE_MAX1MB: int
BLOCKSIZE_MAX4MB: int

_Buffer = bytes | bytearray | memoryview

class LZ4FrameCompressor:
    def __init__(
        self,
        block_size: int = ...,
        block_linked: bool = ...,
        compression_level: int = ...,
        content_checksum: bool = ...,
        block_checksum: bool = ...,
        auto_flush: bool = ...,
        return_bytearray: bool = ...,
    ) -> None: ...
    def begin(self, source_size: int = ...) -> bytes: ...
    def compress(self, data: _Buffer) -> bytes: ...
    def flush(self) -> bytes: ...
    def has_context(self) -> bool: ...
    def started(self) -> bool: ...
    def reset(self) -> None: ...

class LZ4FrameDecompressor:
    def __init__(self, return_bytearray: bool = ...) -> None: ...
    eof: bool
    needs_input: bool
    unused_data: bytes | None
    def decompress(self, data: _Buffer, max_length: int = ...) -> bytes: ...
    def reset(self) -> None: ...

def compress(
    data: _Buffer,
    compression_level: int = ...,
    block_size: int = ...,
    content_checksum: bool = ...,
    block_linked: bool = ...,
    store_size: bool = ...,
    return_bytearray: bool = ...,
    block_checksum: bool = ...,
) -> bytes: ...
def decompress(data: _Buffer, return_bytearray: bool = ..., return_bytes_read: bool = ...) -> bytes: ...
def get_frame_info(data: _Buffer) -> dict[str, Any]: ...
