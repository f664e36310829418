"""The filter of system calls: what the kernel refuses to the code, beside what it can't see.

A program in classic BPF, as seccomp(2) takes it. The code starts no process and reaches no socket but a pair of its
own, so that there is no fork bomb, nothing that outlives it, and no way into parts of the kernel that Python needs not.
"""

import errno
import platform
import struct
from collections.abc import Iterator

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL, _AT_LEAST, _HAS_BITS = 0x15, 0x35, 0x45  # BPF_JMP | BPF_K | BPF_JEQ, BPF_JGE, BPF_JSET
_RETURN = 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # In struct seccomp_data; the argument's low half.
_X32 = 0x40000000
_AF_UNIX, _CLONE_THREAD = 1, 0x10000

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_… of <linux/audit.h>."""
_CLONE = {"x86_64": 56, "aarch64": 220}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_CLONE3 = 435
_REFUSED_ANYWHERE = [
    *(424, 425, 426, 427),  # pidfd_send_signal, io_uring_*
    *range(428, 434),  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick
    *(434, 438, 440, 442, 447),  # pidfd_open, pidfd_getfd, process_madvise, mount_setattr, memfd_secret
]
_REFUSED = {
    "x86_64": [
        *(57, 58),  # fork, vfork
        *(101, 310, 311, 312),  # ptrace, process_vm_readv, process_vm_writev, kcmp
        *(165, 166, 155, 161, 272, 308),  # mount, umount2, pivot_root, chroot, unshare, setns
        *(321, 298, 323, 250, 248, 249),  # bpf, perf_event_open, userfaultfd, keyctl, add_key, request_key
        *(319, 29, 68, 64, 240),  # memfd_create, shmget, msgget, semget, mq_open: memory that no limit counts
        *(246, 320, 175, 313, 176),  # kexec_load, kexec_file_load, init_module, finit_module, delete_module
        *(304, 303, 179, 167, 168, 169),  # open_by_handle_at, name_to_handle_at, quotactl, swapon, swapoff, reboot
        *(163, 164, 227, 103, 135, 154, 300),  # acct, settimeofday, clock_settime, syslog, personality, modify_ldt,
        # fanotify_init
    ],
    "aarch64": [
        *(117, 270, 271, 272),
        *(40, 39, 41, 51, 97, 268),
        *(280, 241, 282, 219, 217, 218),
        *(279, 194, 186, 190, 180),
        *(104, 294, 105, 273, 106),
        *(265, 264, 60, 224, 225, 142),
        *(89, 170, 112, 116, 92, 262),
    ],
}


def seccomp_filter(machine: str | None = None) -> bytes | None:
    """Return the program for a machine, by default this one; None where its system calls aren't known."""
    machine = machine or platform.machine()
    return b"".join(_instructions(machine)) if machine in _ARCHITECTURES else None


def _instructions(machine: str) -> Iterator[bytes]:
    refuse = _instruction(_RETURN, _ERROR | errno.EPERM)
    yield _instruction(_LOAD, _ARCHITECTURE_AT)
    yield from _when(_EQUAL, _ARCHITECTURES[machine], otherwise=_instruction(_RETURN, _KILL))
    yield _instruction(_LOAD, _NUMBER_AT)
    if machine == "x86_64":
        yield from _when(_AT_LEAST, _X32, then=refuse)
    for number in [*_REFUSED[machine], *_REFUSED_ANYWHERE]:
        yield from _when(_EQUAL, number, then=refuse)
    # glibc falls back to clone, whose flags can be looked at.
    yield from _when(_EQUAL, _CLONE3, then=_instruction(_RETURN, _ERROR | errno.ENOSYS))
    yield _instruction(_EQUAL, _CLONE[machine], 0, 3)
    yield _instruction(_LOAD, _FIRST_ARGUMENT_AT)
    yield from _when(_HAS_BITS, _CLONE_THREAD, otherwise=refuse)
    yield _instruction(_LOAD, _NUMBER_AT)
    yield _instruction(_EQUAL, _SOCKET[machine], 0, 3)
    yield _instruction(_LOAD, _FIRST_ARGUMENT_AT)
    yield from _when(_EQUAL, _AF_UNIX, otherwise=refuse)
    yield _instruction(_RETURN, _ALLOW)


def _when(test: int, value: int, *, then: bytes | None = None, otherwise: bytes | None = None) -> Iterator[bytes]:
    """Yield a test, and an instruction that is done when it holds, or when it doesn't."""
    yield _instruction(test, value, 0, 1) if then else _instruction(test, value, 1, 0)
    yield then or otherwise or b""


def _instruction(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, when_true, when_false, value)
