"""Arrays that grow on disk, and folders that appear only when they are complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tfrec.data.prepared import META
from tfrec.errors import UserError


class ArrayWriter:
    """Writes a one-dimensional .npy file piece by piece.

    Example:
        >>> with contextlib.closing(ArrayWriter(Path("a.npy"), np.int32)) as out:  # doctest: +SKIP
        ...     out.append(np.arange(3))
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._length = 0
        self._file = path.open("wb")
        self._header()

    def append(self, values: npt.NDArray[np.generic]) -> None:
        np.ascontiguousarray(values, self.dtype).tofile(self._file)
        self._length += len(values)

    def close(self) -> None:
        """Writes the length into the header: NumPy leaves room in it for any length."""
        self._file.seek(0)
        self._header()
        self._file.close()

    def _header(self) -> None:
        description = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": description, "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextlib.contextmanager
def new_folder(out: Path, complete: str = META) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when the block ends well.

    Whatever happens, `out` is either what it was or complete. What a killed run left behind is
    cleared away by the next one.

    Arguments:
        out: the folder to make or to replace.
        complete: the file by which an earlier one of ours is known, so that it may be replaced.

    Raises:
        UserError: `out` is there and is not a folder that tfrec prepared, or cannot be written.
    """
    if out.exists() and not (out / complete).exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there and is no prepared folder. Choose another name")
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _clear_dead(out)
        partial.mkdir()
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None
    try:
        yield partial
        _replace(out, partial)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(out: Path, complete: Path) -> None:
    old = out.with_name(f".{out.name}.old-{os.getpid()}")
    if out.exists():
        out.rename(old)
    complete.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _clear_dead(out: Path) -> None:
    for kind in ("partial", "old"):
        for folder in out.parent.glob(f".{out.name}.{kind}-*"):
            if not _runs(folder.name.rpartition("-")[2]):
                shutil.rmtree(folder, ignore_errors=True)


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
