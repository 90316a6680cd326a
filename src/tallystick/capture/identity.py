"""Which process this is, in words that another process, machine or boot can compare later.

A run that has begun is recorded with the process that watches it. Whether that process can still finish is
then judged from somewhere else, perhaps on another machine. What the parts are worth:

- `boot` is random for each boot of a kernel, so an equal boot means the same kernel, whatever the host is
  called now. Containers share the kernel's boot with their host; clones of a running virtual machine share
  it with each other and cannot be told apart.
- `pid_namespace` is a small number that says nothing on its own: the first namespace has the same number on
  every Linux machine, and a dead container's number is given to the next one. It is compared only where the
  boot is the same. A number that was given again belongs to a namespace that has no such process, so that the
  answer is still right.
- `host` is a name that people choose. Containers and cloned machines repeat it, and "localhost" says nothing.
  An equal host with another boot is taken to be this machine, restarted, except where the name is one that
  machines have by default. Two machines of the same name that share a ledger can thus call each other's
  running work interrupted; it never counts as passed either way, and the result, once it comes, stands.

Linux in full. macOS reads the same facts with `sysctl` and `ps`; that part is untested. Elsewhere boot and
start are "" or 0, and only the deadline decides.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Process(TypedDict):
        """A process as recorded in `run_started`; every field as `this_process` has it."""

        host: str
        boot: str
        pid_namespace: int
        pid: int
        pid_started: int


_DEFAULT_HOSTS = frozenset(("", "(none)", "localhost", "localhost.localdomain", "localhost4", "localhost6"))


def this_process() -> Process:
    """This process: `host` name, `boot` id, `pid_namespace` (inode number), `pid`, `pid_started`.

    `pid_started` is in clock ticks since boot on Linux and in seconds since 1970 on macOS. What the system
    does not say is "" or 0.
    """
    pid = os.getpid()
    return {
        "host": _host(),
        "boot": _boot(),
        "pid_namespace": _pid_namespace(),
        "pid": pid,
        "pid_started": _started("self" if sys.platform == "linux" else pid),
    }


def is_interrupted(
    recorded: Mapping[str, object], now: datetime | float, me: Mapping[str, object] | None = None
) -> bool:
    """Whether a run that began as `recorded` can no longer come to its end.

    `recorded` has the fields of `this_process` and `deadline` (RFC 3339 text or seconds since 1970); `now` is
    a time with a zone, or seconds since 1970; `me` is the process that asks, this one where it is None.

    In order: the same boot and pid namespace: interrupted if that process is gone or another one has its pid.
    The same host and another boot: interrupted. Anything else: interrupted once the deadline has passed, also
    where there is no deadline that can be read.
    """
    me = this_process() if me is None else me
    boots_known = bool(recorded.get("boot")) and bool(me["boot"])
    same_boot = boots_known and recorded.get("boot") == me["boot"]
    if same_boot and recorded.get("pid_namespace") == me["pid_namespace"]:
        return not _is_alive(recorded.get("pid"), recorded.get("pid_started"))
    host = recorded.get("host")
    if boots_known and not same_boot and host == me["host"] and host not in _DEFAULT_HOSTS:
        return True
    deadline = _deadline(recorded.get("deadline"))
    return deadline is None or _seconds(now) > deadline


def is_seen_from_here(recorded: Mapping[str, object], me: Mapping[str, object] | None = None) -> bool:
    """Whether this process could see a process of which that was recorded: in one boot and one pid namespace.

    See `is_interrupted`.
    """
    me = this_process() if me is None else me
    same_boot = bool(recorded.get("boot")) and recorded.get("boot") == me["boot"]
    return same_boot and recorded.get("pid_namespace") == me["pid_namespace"]


def _deadline(recorded: object) -> float | None:
    if isinstance(recorded, str):
        try:
            return _seconds(datetime.fromisoformat(recorded))
        except ValueError:
            return None
    return float(recorded) if isinstance(recorded, int | float) else None


def _seconds(moment: datetime | float) -> float:
    if not isinstance(moment, datetime):
        return moment
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_alive(pid: object, started: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it exists, and belongs to somebody else
    now_started = _started(pid) if _proc_is_ours() else 0
    if now_started < 0:
        return False
    return not started or not now_started or started == now_started


def _proc_is_ours() -> bool:
    """Whether /proc shows our pid namespace, which `unshare --pid` without a new mount does not."""
    if sys.platform != "linux":
        return True
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _boot() -> str:
    if sys.platform == "linux":
        return _read("/proc/sys/kernel/random/boot_id").decode("ascii", "replace").strip()
    if sys.platform == "darwin":
        # kern.boottime moves when the clock is set; the session's uuid does not.
        return _printed("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid").lower()
    return ""


def _pid_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _started(pid: int | str) -> int:
    """When a process began; 0 where the system does not say, -1 where it has ended and awaits its parent."""
    if sys.platform == "linux":
        return started_ticks(_read(f"/proc/{pid}/stat"))
    if sys.platform == "darwin":
        return _started_by_ps(_printed("/bin/ps", "-o", "lstart=", "-p", str(pid)))
    return 0


def started_ticks(stat: bytes) -> int:
    """Field 22 of /proc/PID/stat (proc_pid_stat(5)): clock ticks from the boot to the process's start.

    0 where the text is not such a line, -1 where it is of a zombie. The second field is the process's name in
    parentheses, which itself may hold spaces and parentheses; nothing after it does.
    """
    fields = stat[stat.rfind(b")") + 1 :].split()
    if len(fields) < 20 or not fields[19].isdigit():
        return 0
    return -1 if fields[0] in (b"Z", b"X", b"x") else int(fields[19])


def _started_by_ps(text: str) -> int:
    try:
        return int(datetime.strptime(text, "%a %b %d %H:%M:%S %Y").timestamp())
    except ValueError:
        return 0


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _printed(*argv: str) -> str:
    import subprocess

    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=5, env={"LC_ALL": "C"}, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
