"""What cannot be written, in one sentence, whoever met the error: Python or TensorFlow."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tfrec.errors import UserError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# TensorFlow quotes the system's words for these among much that helps nobody.
_QUOTED = (*NO_ROOM, errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO, errno.ENOENT)


def cannot_write(what: str | Path, error: Exception) -> UserError:
    """The error that the user is to see.

    Arguments:
        what: a path, or what was to be written where.
        error: OSError, or an OpError of TensorFlow.

    Example:
        >>> str(cannot_write("models/1", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        'cannot write models/1: No space left on device; make room and export again. Earlier \
versions are untouched'
    """
    number = getattr(error, "errno", None)
    if number is None:
        number = next((n for n in _QUOTED if os.strerror(n) in str(error)), None)
    reason = str(error).partition("\n")[0] if number is None else os.strerror(number)
    advice = "make room" if number in NO_ROOM else "check the path and its permissions"
    return UserError(
        f"cannot write {what}: {reason}; {advice} and export again. Earlier versions are untouched"
    )
