"""Who asks, and who has locked a database of this mount: told from /proc, for the locks are the kernel's.

The rule: nothing here calls into the mount, so it may be asked within a callback, where the kernel holds
the directory. For rare calls: `/proc/locks` lists every lock of the machine.
Format: https://man7.org/linux/man-pages/man5/proc_locks.5.html
"""

from pylitefs.sqlite.locks import SHARED_FIRST, SHARED_SIZE


def has_database_exclusively(pid: int, minor: int) -> bool:
    """Whether a process holds SQLite's EXCLUSIVE lock on a database of the mount with this device number.

    True also where it cannot be told.
    """
    try:
        with open("/proc/locks", encoding="ascii") as file:
            lines = file.readlines()
    except OSError:
        return True
    prefix = f"00:{minor:02x}:"
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 4711 00:2d:3 1073741826 1073742335
        fields = line.split()
        if len(fields) != 8 or fields[1:2] + fields[3:5] != ["POSIX", "WRITE", str(pid)]:
            continue
        if fields[5].startswith(prefix) and int(fields[6]) <= SHARED_FIRST:
            end = fields[7]
            if end == "EOF" or int(end) >= SHARED_FIRST + SHARED_SIZE - 1:
                return True
    return False


def process_of(tid: int) -> int:
    """The process that a thread belongs to: FUSE names the calling thread. The thread's id if it is gone."""
    try:
        with open(f"/proc/{tid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Tgid:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return tid
