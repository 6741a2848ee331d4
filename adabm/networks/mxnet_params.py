"""Read the arrays of an MXNet ``.params`` file without MXNet."""

import math
import struct
from pathlib import Path

import numpy as np

from ..errors import CheckpointError

LIST_MAGIC = struct.pack("<Q", 0x112)  # how such a file begins
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE = 0
_FLOATS = {0: np.dtype("<f4"), 1: np.dtype("<f8"), 2: np.dtype("<f2")}
_OTHER_TYPES = {3: "uint8", 4: "int32", 5: "int8", 6: "int64", 7: "bool", 12: "bfloat16"}
_MOST_DIMENSIONS = 32  # MXNet's own limit


def read_mxnet_params(path: str | Path) -> dict[str, np.ndarray]:
    """Return the named arrays of an NDArray list file, as MXNet's ``nd.save`` writes it.

    All integers are little-endian. The file is the list magic, 8 reserved bytes, the number of
    arrays, the arrays, the number of names, the names. An array is a magic that tells the version
    (before version 1 it is the number of dimensions itself), from version 2 on the storage type,
    the shape, the device, the element type and the elements. Source: ``src/ndarray/ndarray.cc``
    of MXNet (``NDArray::Load`` and ``NDArray::LegacyLoad``).

    Returns:
        Name -> float16, float32 or float64 array of the stored shape; names keep the prefixes
        ``arg:`` and ``aux:`` that MXNet gives to weights and to statistics of batch norm.

    Raises:
        CheckpointError: missing, no such file, truncated, longer than its content, sparse, not of
            floating point, or without names.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not data.startswith(LIST_MAGIC):
        raise CheckpointError(f"{path}: not an MXNet .params file (it does not begin with 0x112)")
    reader = _Reader(path, data)
    reader.take(16, "header")
    arrays = [reader.array(index) for index in range(reader.count("arrays", 4))]
    names = [reader.name(index) for index in range(reader.count("names", 8))]
    if reader.position != len(data):
        raise CheckpointError(f"{path}: damaged: {len(data) - reader.position} bytes follow the last name")
    if len(names) != len(arrays):
        raise CheckpointError(f"{path}: holds {len(arrays)} arrays but {len(names)} names")
    if len(set(names)) != len(names):
        raise CheckpointError(f"{path}: damaged: two arrays have the same name")
    return dict(zip(names, arrays))


class _Reader:
    """A position in the bytes of one file. Nothing is allocated before it is known to be there."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.position = path, data, 0

    def take(self, size: int, what: str) -> memoryview:
        left = len(self.data) - self.position
        if size > left:
            raise CheckpointError(f"{self.path}: truncated or damaged: {what} needs {size} bytes, {left} are left")
        begin, self.position = self.position, self.position + size
        return memoryview(self.data)[begin : self.position]

    def numbers(self, form: str, what: str) -> tuple[int, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}"), what))

    def count(self, what: str, least_size: int) -> int:
        """Read how many things follow, each of at least ``least_size`` bytes."""
        (number,) = self.numbers("Q", f"the number of {what}")
        if number * least_size > len(self.data) - self.position:
            raise CheckpointError(f"{self.path}: truncated or damaged: {number} {what} cannot fit into the file")
        return number

    def array(self, index: int) -> np.ndarray:
        what = f"array {index}"
        shape = self.shape(what)
        *_, kind = self.numbers("3i", what)  # device type, device number, element type
        if kind not in _FLOATS:
            found = _OTHER_TYPES.get(kind, f"unknown type {kind}")
            raise CheckpointError(f"{self.path}: {what} is of {found}; only float16, float32 and float64 are read")
        size = math.prod(shape) * _FLOATS[kind].itemsize
        return np.frombuffer(self.take(size, f"{what} of shape {shape}"), _FLOATS[kind]).reshape(shape)

    def shape(self, what: str) -> tuple[int, ...]:
        (magic,) = self.numbers("I", what)
        if magic in (_V2, _V3):
            (storage,) = self.numbers("i", what)
            if storage != _DENSE:
                raise CheckpointError(f"{self.path}: {what} is sparse (storage type {storage}); only dense is read")
        dimensions = self.numbers("i", what)[0] if magic in (_V1, _V2, _V3) else magic
        if not 0 <= dimensions <= _MOST_DIMENSIONS:
            raise CheckpointError(f"{self.path}: damaged: {what} has {dimensions} dimensions")
        if dimensions == 0 and magic != _V3:  # nothing follows; from version 3 on it is a scalar
            raise CheckpointError(f"{self.path}: {what} is empty")
        shape = self.numbers(f"{dimensions}{'q' if magic in (_V1, _V2, _V3) else 'I'}", what)
        if any(side < 1 for side in shape):
            raise CheckpointError(f"{self.path}: damaged: {what} has the shape {shape}")
        return shape

    def name(self, index: int) -> str:
        (length,) = self.numbers("Q", f"name {index}")
        try:
            return bytes(self.take(length, f"name {index}")).decode()
        except UnicodeDecodeError:
            raise CheckpointError(f"{self.path}: damaged: name {index} is not UTF-8") from None
