"""Which file systems a SQLite ledger can live on: those whose locks and shared memory work."""

from __future__ import annotations

import os
import sys

from tallystick.errors import NotFoundError, StoreUnavailableError

UNSAFE = {
    "9p": "a 9p mount (WSL, some sandboxes)",
    "afs": "AFS",
    "ceph": "Ceph",
    "cifs": "an SMB share",
    "drvfs": "a Windows drive seen from WSL",
    "fuse.glusterfs": "GlusterFS",
    "fuse.s3fs": "an object store",
    "fuse.sshfs": "an SSH mount",
    "glusterfs": "GlusterFS",
    "gpfs": "GPFS",
    "lustre": "Lustre",
    "ncpfs": "a NetWare share",
    "nfs": "NFS",
    "nfs4": "NFS",
    "prl_fs": "a virtual machine's shared folder",
    "smb2": "an SMB share",
    "smb3": "an SMB share",
    "smbfs": "an SMB share",
    "vboxsf": "a virtual machine's shared folder",
    "webdav": "WebDAV",
}


def file_system_type(folder: str, mountinfo: str = "/proc/self/mountinfo") -> str:
    """The type of the file system that `folder` lies on, as mount tables name it; empty where unknown."""
    if sys.platform == "darwin":
        return _darwin_type(folder)
    try:
        device = os.stat(folder).st_dev
        with open(mountinfo, encoding="utf-8", errors="surrogateescape") as table:
            lines = table.read().splitlines()
    except OSError:
        return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        fields = line.split(" ")
        if len(fields) > 6 and fields[2] == wanted and "-" in fields:
            return fields[fields.index("-") + 1]
    return ""


def _darwin_type(folder: str) -> str:
    import ctypes

    class StatFs(ctypes.Structure):
        _fields_ = (
            ("numbers", ctypes.c_uint32 * 2),
            ("counts", ctypes.c_uint64 * 5),
            ("fsid", ctypes.c_int32 * 2),
            ("more", ctypes.c_uint32 * 4),
            ("type_name", ctypes.c_char * 16),
            ("rest", ctypes.c_char * 4096),
        )

    found = StatFs()
    if ctypes.CDLL(None).statfs(os.fsencode(folder), ctypes.byref(found)) != 0:
        return ""
    return bytes(found.type_name).decode("ascii", "replace")


def require_local(folder: str, *, mountinfo: str = "/proc/self/mountinfo") -> None:
    """Raises StoreUnavailableError where the folder's file system cannot keep a ledger safe."""
    kind = file_system_type(folder, mountinfo)
    if kind in UNSAFE:
        raise StoreUnavailableError(
            f"this folder lies on {UNSAFE[kind]}, where SQLite's locks do not hold and entries can be lost",
            where=folder,
            advice="keep the ledger on a local disk (TALLYSTICK_LEDGER or --ledger), or use PostgreSQL",
        )


def require_folder(folder: str) -> None:
    """Raises NotFoundError where there is no such folder, and what `require_local` raises."""
    if not os.path.isdir(folder):
        raise NotFoundError("no such folder", where=folder, advice="make it first")
    require_local(folder)
