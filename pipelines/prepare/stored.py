"""The pictures of a downloaded source, whether they lie in a folder or in one ZIP archive."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from adabm.errors import DataError
from adabm.pictures.reading import as_rgb, decode, read_rgb

from ..downloads.sources import Source


@dataclass(frozen=True)
class StoredPicture:
    """A file of a source.

    Attributes:
        file: its name without folders, which the patterns of a set are matched with.
        key: what it is chosen by: its name, or its path in the archive.
        origin: where it is from: its path below the download folder, in an archive with the path there after a colon.
        read: returns its bytes.
        decode: returns its (H, W, 3) uint8 RGB pixels.
    """

    file: str
    key: str
    origin: str
    read: Callable[[], bytes]
    decode: Callable[[], np.ndarray]


@contextmanager
def stored_pictures(source: Source, downloads: Path) -> Iterator[list[StoredPicture]]:
    """Open a source and give its files, in the order of its list of checksums or of the archive.

    Raises:
        DataError: an archive that cannot be read, on entering or while its pictures are read.
    """
    archive = downloads / source.files[0].path
    if len(source.files) > 1 or archive.suffix.lower() != ".zip":
        yield [_of_folder(downloads, file.path) for file in source.files]
        return
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [name for name in opened.namelist() if not name.endswith("/")]
            yield [_of_archive(opened, archive, source.files[0].path, name) for name in members]
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive}: not a readable archive ({error})") from None


def _of_folder(downloads: Path, path: str) -> StoredPicture:
    full = downloads / path
    return StoredPicture(full.name, full.name, path, full.read_bytes, lambda: read_rgb(full))


def _of_archive(opened: zipfile.ZipFile, archive: Path, path: str, member: str) -> StoredPicture:
    def read() -> bytes:
        return opened.read(member)

    def decode_rgb() -> np.ndarray:
        name = f"{archive}:{member}"
        return as_rgb(decode(read(), name), name)

    return StoredPicture(PurePosixPath(member).name, member, f"{path}:{member}", read, decode_rgb)
