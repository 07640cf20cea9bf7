"""The part of fusepy 3.0 that pylitefs uses. fusepy has no types of its own."""

import ctypes
from collections.abc import Callable
from ctypes import _Pointer

class c_timespec(ctypes.Structure):
    tv_sec: int
    tv_nsec: int

class c_stat(ctypes.Structure):
    st_mode: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_blksize: int
    st_blocks: int
    st_atimespec: c_timespec
    st_mtimespec: c_timespec
    st_ctimespec: c_timespec

class fuse_file_info(ctypes.Structure):
    flags: int
    direct_io: int
    keep_cache: int
    fh: int
    lock_owner: int

class fuse_context(ctypes.Structure):
    fuse: int | None
    uid: int
    gid: int
    pid: int

_libfuse: ctypes.CDLL

class FUSE:
    raw_fi: bool
    encoding: str
    def __init__(
        self,
        operations: object,
        mountpoint: str,
        raw_fi: bool = False,
        encoding: str = "utf-8",
        **kwargs: bool | int | float | str,
    ) -> None: ...
    @staticmethod
    def _wrapper(func: Callable[..., int | None], *args: object) -> int: ...
    def init(self, conn: int | None) -> int | None: ...
    def read(
        self,
        path: bytes | None,
        buf: _Pointer[ctypes.c_byte],
        size: int,
        offset: int,
        fip: _Pointer[fuse_file_info],
    ) -> int: ...
    def write(
        self,
        path: bytes | None,
        buf: _Pointer[ctypes.c_byte],
        size: int,
        offset: int,
        fip: _Pointer[fuse_file_info],
    ) -> int: ...
    def lock(self, path: bytes | None, fip: _Pointer[fuse_file_info], cmd: int, lock: int) -> int | None: ...
    def getattr(self, path: bytes, buf: _Pointer[c_stat]) -> int: ...
    def fgetattr(
        self, path: bytes | None, buf: _Pointer[c_stat], fip: _Pointer[fuse_file_info] | None
    ) -> int: ...
