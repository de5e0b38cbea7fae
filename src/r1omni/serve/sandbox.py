"""What keeps a decoding worker in, as far as the system can: the worker gives it up itself, before it sees a clip.

    limits      address space, no written file, no core dump, few open files        (setrlimit)
    system      no new socket, no connection, no other program, no signal, no trace  (seccomp, Linux on x86-64, arm64)
    files       only Python's own folders can be read                                (Landlock, Linux 5.13)

`confine` returns what is in force, so that the server can say it. Clips reach a worker as open files without a name, so
it needs no right to open one. Not kept out: use of the processor up to the limit of time, and reading of Python's
folders. Left out on purpose: user namespaces and containers, which whoever runs the server can add around it.

Source: Linux' uapi headers (seccomp.h, bpf_common.h, landlock.h) and its system call tables.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
from pathlib import Path

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38
_ALLOW, _KILL_PROCESS, _EPERM = 0x7FFF0000, 0x80000000, 0x00050000 | 1
_LOAD_WORD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_AT_NUMBER, _AT_ARCH, _AT_FIRST_ARGUMENT = 0, 4, 16
_X32_CALLS = 0x40000000
"""A second table of system calls on x86-64 begins here."""

_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine -> its audit number, and its column below."""
_REFUSED = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "kill": (62, 129),
    "tkill": (200, 130),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
}
_TGKILL = (234, 131)
"""Allowed towards the worker itself: abort() uses it."""

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_ALL_RIGHTS = (1 << 13) - 1
"""Every right of Landlock's first version: execute, write, read, make, remove."""
_LANDLOCK_READ = 0b1100
_MAX_OPEN_FILES = 64


def confine(memory_bytes: int) -> list[str]:
    """Give up what decoding does not need; there is no way back.

    Args:
        memory_bytes: address space of this process from now on.

    Returns:
        What is in force, each as a few words.
    """
    in_force = [*_limit(memory_bytes)]
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform != "linux" or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return in_force
    if _restrict_files(libc):
        in_force.append("no file but Python's own can be opened")
    if _filter_calls(libc):
        in_force.append("no socket, no connection, no other program, no signal to others")
    return in_force


def _limit(memory_bytes: int) -> list[str]:
    limits = {
        resource.RLIMIT_AS: (memory_bytes, f"address space {memory_bytes // 2**20} MiB"),
        resource.RLIMIT_FSIZE: (0, "no file can be written"),
        resource.RLIMIT_CORE: (0, "no core dump"),
        resource.RLIMIT_NOFILE: (_MAX_OPEN_FILES, f"{_MAX_OPEN_FILES} open files"),
    }
    in_force = []
    for kind, (value, words) in limits.items():
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError):
            continue
        in_force.append(words)
    return in_force


def _filter_calls(libc: ctypes.CDLL) -> bool:
    """Refuse system calls with EPERM; true where the kernel took the filter."""
    if platform.machine() not in _MACHINES:
        return False
    arch, column = _MACHINES[platform.machine()]
    numbers = [numbers[column] for numbers in _REFUSED.values()]
    refused = [number for number in numbers if number is not None]
    program = [
        (_LOAD_WORD, 0, 0, _AT_ARCH),
        (_JUMP_IF_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD_WORD, 0, 0, _AT_NUMBER),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32_CALLS),
        (_RETURN, 0, 0, _EPERM),
    ]
    for number in refused:
        program += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    program += [
        (_JUMP_IF_EQUAL, 0, 3, _TGKILL[column]),
        (_LOAD_WORD, 0, 0, _AT_FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 1, 0, os.getpid()),
        (_RETURN, 0, 0, _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer)))
    return libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0) == 0


def _restrict_files(libc: ctypes.CDLL) -> bool:
    """Leave only Python's own folders readable; true where the kernel knows Landlock."""
    attributes = ctypes.create_string_buffer(struct.pack("Q", _LANDLOCK_ALL_RIGHTS), 8)
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(8), 0)
    if ruleset < 0:
        return False
    try:
        package = str(Path(__file__).parents[1])
        for folder in {sys.prefix, sys.base_prefix, package, *_library_folders()}:
            _allow_reading(libc, ruleset, folder)
        return libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _library_folders() -> list[str]:
    """The folders that modules are imported from."""
    return [folder for folder in sys.path if folder and os.path.isdir(folder)]


def _allow_reading(libc: ctypes.CDLL, ruleset: int, folder: str) -> None:
    opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = ctypes.create_string_buffer(struct.pack("=Qi", _LANDLOCK_READ, opened), 12)
        libc.syscall(_LANDLOCK_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0)
    finally:
        os.close(opened)
