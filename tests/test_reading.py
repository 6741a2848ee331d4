"""One reader of pictures: whatever reads one refuses the same, before it takes memory or waits for ever."""

import io
import os
import re
import struct
import threading
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from adabm.errors import AdabmError, ConfigError, DataError, ImageError
from adabm.pictures.folders import calibration_images, check_calibration, evaluation_pictures, read_pictures
from adabm.pictures.orientation import read_upright
from adabm.pictures.pairs import PictureFiles
from adabm.pictures.patches import calibration_batches
from adabm.pictures.reading import picture_size, read_raw, read_rgb
from helpers.cli_files import SCALE, TINY, fails, smooth, write_files
from helpers.file_server import make_sources
from pipelines.prepare.excerpts import write_pool
from pipelines.prepare.stored import stored_pictures


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("cli"))


def of_archive(path: Path) -> np.ndarray:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(path.name, path.read_bytes())
    (source,) = make_sources(path.parent / "manifest", {"Set": {"a.zip": data.getvalue()}}, "http://x").values()
    (path.parent / "Set").mkdir(exist_ok=True)
    (path.parent / "Set" / "a.zip").write_bytes(data.getvalue())
    with stored_pictures(source, path.parent) as (picture,):
        return picture.decode()


READERS = {  # all that read a picture of the user; each is given a folder with this picture alone
    "raw": read_raw,
    "rgb": read_rgb,
    "size": picture_size,
    "upscale": read_upright,
    "pair": lambda path: PictureFiles("a", path).read(SCALE),
    "check of a pair": lambda path: PictureFiles("a", path).check(SCALE),
    "calibration": lambda path: calibration_images(path.parent),
    "check of calibration": lambda path: check_calibration([path], 8),
    "plan": lambda path: evaluation_pictures(path.parent, SCALE),
    "evaluation": lambda path: read_pictures(path.parent, None, SCALE),
    "demo": lambda path: write_pool(path.parent, path.parent / "out", 8, 2),
    "archive": of_archive,
}


def animation(path: Path) -> None:
    frames = [Image.fromarray(smooth(i)) for i in range(3)]
    form = {".tif": "TIFF", ".webp": "WEBP", ".png": "PNG", ".bmp": "GIF"}[path.suffix]  # a GIF under another name
    frames[0].save(path, form, save_all=True, append_images=frames[1:])


@pytest.fixture(scope="module")
def large() -> bytes:
    """A PNG of 76 KB that would take gigabytes: 25000x25000 pixels of one bit."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 25_000, 25_000, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(25_000 * (1 + 3125)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def fed_pipe(path: Path) -> None:
    """A pipe whose readers find nothing, so that one who opens it all the same does not wait for ever."""
    os.mkfifo(path)

    def feed() -> None:
        while path.exists():
            open(path, "wb").close()

    threading.Thread(target=feed, daemon=True).start()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".bmp"])
def test_several_pictures_in_one_file(tmp_path, reader, suffix):
    animation(tmp_path / f"a{suffix}")
    with pytest.raises(AdabmError, match=rf"a{suffix}: holds 3 pictures; extract the one to read"):
        READERS[reader](tmp_path / f"a{suffix}")


@pytest.mark.parametrize("reader", READERS)
def test_too_many_pixels(tmp_path, reader, large, monkeypatch):
    (tmp_path / "a.png").write_bytes(large)
    for decoder, name in ((cv2, "imdecode"), (ImageFile.ImageFile, "load")):
        monkeypatch.setattr(decoder, name, lambda *_: pytest.fail("was decoded"))
    with pytest.raises(
        AdabmError, match=r"a.png: 25000x25000 pixels are more than 178956970; cut it into parts, or set"
    ):
        READERS[reader](tmp_path / "a.png")


@pytest.mark.parametrize("reader", READERS)
def test_the_limit_can_be_set(tmp_path, reader, monkeypatch):
    Image.fromarray(smooth(0, 24, 28)).save(tmp_path / "a.png")
    monkeypatch.setenv("ADABM_MAX_PIXELS", "671")
    with pytest.raises(AdabmError, match="a.png: 28x24 pixels are more than 671; .* set ADABM_MAX_PIXELS to 672"):
        READERS[reader](tmp_path / "a.png")
    monkeypatch.setenv("ADABM_MAX_PIXELS", "many")
    with pytest.raises(ConfigError, match="ADABM_MAX_PIXELS=many: must be a whole number"):
        READERS[reader](tmp_path / "a.png")
    monkeypatch.setenv("ADABM_MAX_PIXELS", "672")
    READERS[reader](tmp_path / "a.png")


def test_a_raised_limit_is_above_that_of_pillow(tmp_path, large, monkeypatch):
    (tmp_path / "a.png").write_bytes(large)
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setenv("ADABM_MAX_PIXELS", "625000000")
    assert picture_size(tmp_path / "a.png") == (25_000, 25_000)
    assert Image.MAX_IMAGE_PIXELS == before


def test_pixels_count_where_the_header_is_not_understood(tmp_path, monkeypatch):
    Image.fromarray(smooth(0)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", lambda *_: 1 / 0)
    assert read_rgb(tmp_path / "a.png").shape == (24, 28, 3)
    monkeypatch.setenv("ADABM_MAX_PIXELS", "671")
    with pytest.raises(AdabmError, match="28x24 pixels are more than 671"):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize("reader", [name for name in READERS if name != "archive"])
@pytest.mark.parametrize("kind", ["pipe", "device", "dangling link"])
def test_what_is_no_regular_file(tmp_path, reader, kind):
    path = tmp_path / "a.png"
    fed_pipe(path) if kind == "pipe" else path.symlink_to("/dev/null" if kind == "device" else tmp_path / "nothing")
    message = (
        "No such file or directory" if kind == "dangling link" else "a pipe, device or socket; name a regular file"
    )
    try:
        with pytest.raises(AdabmError, match=re.escape(f"a.png: cannot be read ({message})")):
            READERS[reader](path)
    finally:
        path.unlink()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_files_that_are_cut_off(tmp_path, reader, suffix, share):
    data = cv2.imencode(suffix, smooth(0, 48, 56))[1].tobytes()
    (tmp_path / f"a{suffix}").write_bytes(data[: int(share * len(data))])
    with pytest.raises(AdabmError, match=f"a{suffix}: "):
        READERS[reader](tmp_path / f"a{suffix}")


@pytest.mark.parametrize("reader", READERS)
def test_the_pictures_of_a_jpeg_beside_its_own_are_none(tmp_path, reader):
    """Telephones put depth maps and thumbnails behind a photograph."""
    first, second = (Image.fromarray(smooth(i, 48, 56)) for i in range(2))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    READERS[reader](tmp_path / "a.jpg")


def test_gray_that_loses_its_alpha(tmp_path):
    gray = Image.fromarray(np.dstack([smooth(0, channels=None), smooth(1, channels=None)]), "LA")
    gray.save(tmp_path / "a.tif")
    with pytest.raises(AdabmError, match="a.tif: is a TIFF with transparency"):
        read_rgb(tmp_path / "a.tif")


def test_tiffs_that_the_decoder_reads_wrongly(tmp_path):
    """It multiplies colours by transparency, and gives what it could read of damaged data, both without a word."""
    rng, path = np.random.default_rng(0), tmp_path / "a.tif"
    Image.fromarray(rng.integers(0, 256, (9, 9, 4), dtype=np.uint8), "RGBA").save(path)
    with pytest.raises(ImageError, match=r"a\.tif: is a TIFF with transparency.*save it as PNG"):
        read_rgb(path)
    pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, compression="tiff_deflate")
    assert np.array_equal(read_rgb(path), pixels)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.tif: is damaged|a\.tif: not a readable picture"):
        read_rgb(path)


@pytest.mark.parametrize(
    "tag, value, told",
    [(284, 2, "16 bits in planes"), (258, 12, "12 bits a sample"), (262, 8, "LAB colours")],
)
def test_tiffs_of_other_kinds(tmp_path, tag, value, told):
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), np.full((8, 8, 3), 9, np.uint16))
    assert read_raw(path).shape == (8, 8, 3)
    data = bytearray(path.read_bytes())
    (begin,) = struct.unpack_from("<I", data, 4)
    entries = [begin + 2 + 12 * n for n in range(*struct.unpack_from("<H", data, begin))]
    (entry,) = (place for place in entries if struct.unpack_from("<H", data, place)[0] == tag)
    _, _, count, place = struct.unpack_from("<HHII", data, entry)
    struct.pack_into(f"<{count}H", data, entry + 8 if count == 1 else place, *[value] * count)
    path.write_bytes(data)
    with pytest.raises(ImageError, match=told):
        read_raw(path)


def tiff(samples: np.ndarray, white_is_zero: bool, big: bool, order: str) -> bytes:
    """A TIFF of (H, W, C) samples; of two channels the last one is of no known meaning, of four it is straight alpha."""
    (height, width, channels), bits = samples.shape, 8 * samples.itemsize
    photometric = 0 if white_is_zero else 2 if channels > 2 else 1
    tags = {
        256: [width],
        257: [height],
        258: [bits] * channels,
        259: [1],
        262: [photometric],
        273: [0],
        277: [channels],
    }
    tags |= {278: [height], 279: [samples.nbytes]} | ({338: [2 if channels == 4 else 0]} if channels in (2, 4) else {})
    word, room = ("Q", 8) if big else ("I", 4)  # of a count or place, and in an entry
    begin, beside = (16 if big else 8), b""
    behind = begin + (8 if big else 2) + len(tags) * (20 if big else 12) + room
    entries = b""
    for tag, values in tags.items():
        packed = struct.pack(f"{order}{len(values)}H", *values)
        if len(packed) > room:
            packed, beside = struct.pack(order + word, behind + len(beside)), beside + packed
        if tag == 273:
            packed = struct.pack(f"{order}H", behind + 2 * channels * (2 * channels > room))
        entries += struct.pack(f"{order}HH{word}", tag, 3, len(values)) + packed.ljust(room, b"\0")
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(
        order + ("HHHQ" if big else "HI"), *([43, 8, 0] if big else [42]), begin
    )
    data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    return start + struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + bytes(room) + beside + data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("channels, kind, white_is_zero, told", [
    (1, np.uint8, False, None), (3, np.uint8, False, None), (1, np.uint16, False, None), (3, np.uint16, False, None),
    (4, np.uint16, False, None), (1, np.uint8, True, None),
    (1, np.uint16, True, "a negative of 16 bits.*save it as PNG"), (2, np.uint16, False, "gray of 16 bits with a second channel"),
    (4, np.uint8, False, "transparency"),
])  # fmt: skip
def test_tiffs_and_bigtiffs(tmp_path, channels, kind, white_is_zero, told, big, order):
    samples = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (9, 8, channels)).astype(kind)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(samples, white_is_zero, big, order))
    if big and order == ">":
        told = "big-endian BigTIFF.*save it as a classic TIFF or PNG"
    if told is None:
        found = read_raw(path)
        expected = np.iinfo(kind).max - samples if white_is_zero else samples
        np.testing.assert_array_equal(found.reshape(samples.shape), expected)
        return
    for read in (read_raw, read_upright, picture_size):
        with pytest.raises(ImageError, match=rf"a\.tif: .*{told}"):
            read(path)


@pytest.mark.parametrize("size", [40, 56, 108])
@pytest.mark.parametrize("masks, told", [
    ((0xFF0000, 0xFF00, 0xFF, 0xFF000000), None), ((0xFF000000, 0xFF0000, 0xFF00, 0xFF), None),
    ((0xFF0000, 0xFF00, 0xFF, 0), "without transparency"), ((0xFF, 0xFF00, 0xFF0000, 0), "without transparency"),
    ((0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000), "channels are no bytes"),
])  # fmt: skip
def test_bmps_of_32_bits(tmp_path, size, masks, told):
    """Those of an early header tell no mask of transparency."""
    header = struct.pack("<IiiHHIIiiII", size, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0)
    header += struct.pack("<IIII", *masks)[: 12 if size == 40 else 16] + bytes(max(0, size - 56))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 2, 4), dtype=np.uint8)
    data = b""
    for pixel in pixels[0]:
        values = (int(value) * (mask & -mask) for value, mask in zip(pixel, masks))
        data += struct.pack("<I", sum(values) % 2**32)
    path = tmp_path / "a.bmp"
    path.write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(header) + 8, 0, 0, 14 + len(header)) + header + data)
    told = "without transparency" if size == 40 else told
    if told is None:
        np.testing.assert_array_equal(read_raw(path), pixels)
        return
    with pytest.raises(ImageError, match=rf"a\.bmp: is a BMP of 32 bits .*{told}.*save it as PNG"):
        read_raw(path)


@pytest.mark.parametrize("place", [8, 33])  # of the first part, and of the one behind it
def test_a_png_whose_part_is_longer_than_the_file(tmp_path, place):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    assert read_rgb(path).shape == (4, 4, 3)
    content[place] |= 0x80  # the decoder would take 2 GB
    path.write_bytes(content)
    with pytest.raises(
        ImageError, match="a.png: not a readable picture: a part of it is said to be longer than the file"
    ):
        read_rgb(path)


@pytest.mark.parametrize("masks", [None, (0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)])
def test_bmps_of_16_bits(tmp_path, masks):
    """White is read as 248 of 255."""
    tables = struct.pack("<III", *masks) if masks else b""
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3 if tables else 0, 4, 0, 0, 0, 0) + tables
    path = tmp_path / "a.bmp"
    path.write_bytes(b"BM" + struct.pack("<IHHI", 18 + len(header), 0, 0, 14 + len(header)) + header + b"\xff" * 4)
    with pytest.raises(ImageError, match=r"a\.bmp: is a BMP of 16 bits, .* save it as PNG"):
        read_raw(path)


# -- the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["animation", "large", "pipe"])
def test_commands_refuse_the_same(files, tmp_path, capsys, large, kind):
    path, message = tmp_path / "in" / "a.png", "holds 3 pictures"
    path.parent.mkdir()
    if kind == "animation":
        animation(path)
    elif kind == "large":
        path.write_bytes(large)
        message = "25000x25000 pixels are more than"
    else:
        fed_pipe(path)
        message = "a pipe, device or socket"
    network, checkpoint, output = files / "fp.safetensors", files / "q.safetensors", tmp_path / "out.safetensors"
    try:
        for command in (
            ["quantize", "--images", path.parent, "--network", network, "--output", output, *TINY, "--quiet"],
            ["quantize", "--images", path.parent, "--hr", "--network", network, "--output", output, *TINY, "--quiet"],
            ["evaluate", checkpoint, "--hr", path.parent, "--quiet"],
            ["upscale", path, tmp_path / "o.png", "--checkpoint", checkpoint, "--quiet"],
        ):
            assert f"{path}: " in (line := fails(capsys, *command)) and message in line
        assert not output.exists() and not (tmp_path / "o.png").exists()
    finally:
        path.unlink()


def test_a_pipe_instead_of_a_folder(files, tmp_path, capsys):
    fed_pipe(tmp_path / "pipe")
    command = ["--network", files / "fp.safetensors", "--output", tmp_path / "q.safetensors", "--quiet"]
    assert "pipe is not a folder" in fails(capsys, "quantize", "--images", tmp_path / "pipe", *command)
    (tmp_path / "pipe").unlink()


def test_a_device_is_never_replaced_by_an_output(files, tmp_path, capsys):
    os.mkfifo(tmp_path / "o.png")
    command = ["upscale", files / "LR" / "p0.png", tmp_path / "o.png", "--checkpoint", files / "q.safetensors"]
    assert "o.png: is a pipe, device or socket; name a file" in fails(capsys, *command, "--overwrite", "--quiet")
    assert (tmp_path / "o.png").is_fifo()


# -- patches ---------------------------------------------------------------------------------------


def test_no_more_patches_than_there_are(files, tmp_path, capsys):
    images = [smooth(0, 24, 28), smooth(1, 16, 16)]
    places = 9 * 13 + 1
    assert sum(map(len, calibration_batches(images, 16, patches=places))) == places
    message = f"{places + 1} patches of 16x16 pixels: the 2 calibration pictures have but {places} different ones; take"
    with pytest.raises(DataError, match=message):
        calibration_batches(images, 16, patches=places + 1)
    same = [smooth(1, 16, 16)] * 5  # one a picture is always allowed
    assert sum(map(len, calibration_batches(same, 16, patches=5))) == 5
    output = ["--output", tmp_path / "q.safetensors", "--network", files / "fp.safetensors", *TINY, "--quiet"]
    line = fails(capsys, "quantize", "--images", files / "LR", *output, "--patches", "1000000000")
    assert "1000000000 patches of 16x16 pixels: the 3 calibration pictures have but 351 different ones" in line
    assert not (tmp_path / "q.safetensors").exists()


def test_no_more_patches_than_memory_holds():
    images = [np.zeros((3000, 3000, 3), np.uint8)]
    message = r"1000000 patches of 96x96 pixels: all are held in memory, 103 GiB; take at most 77672"
    with pytest.raises(DataError, match=message):
        calibration_batches(images, 96, patches=1_000_000)


@pytest.mark.parametrize("form", ["GIF", "PPM", "JPEG2000", "ICO", "PCX"])
def test_a_format_that_is_not_read_is_refused_under_any_name(tmp_path, form):
    path = tmp_path / "picture.png"
    Image.fromarray(np.full((8, 8, 3), 120, np.uint8)).save(path, format=form)
    for read in (read_raw, picture_size):
        with pytest.raises(ImageError, match=f"picture.png: is a {form} file, whatever its name; convert it to PNG"):
            read(path)


@pytest.mark.parametrize("mode, name, options, told", [
    ("CMYK", "a.tif", {}, "holds CMYK colours"), ("LAB", "a.tif", {}, "holds LAB colours"),
    ("L", "a.png", {"transparency": 3}, "gray with a transparent shade"),
])  # fmt: skip
def test_what_the_decoder_takes_for_something_else_is_refused(tmp_path, mode, name, options, told):
    picture = Image.fromarray(smooth(0))
    picture = Image.new("LAB", (9, 9)) if mode == "LAB" else picture.convert(mode)
    picture.save(tmp_path / name, **options)
    for read in (read_raw, read_upright, picture_size):
        with pytest.raises(ImageError, match=told):
            read(tmp_path / name)


def turned(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(smooth(1)).save(path, exif=exif)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize("reader", sorted(READERS.keys() - {"upscale"}))
def test_pictures_that_are_stored_turned_are_refused_where_nothing_turns_them(name, reader, tmp_path):
    turned(tmp_path / name, 6)
    with pytest.raises(ImageError, match=rf"{name}: is stored turned .* save it upright"):
        READERS[reader](tmp_path / name)


def test_an_orientation_that_says_nothing_is_read(tmp_path):
    for orientation in (0, 1, 9):
        turned(tmp_path / "a.png", orientation)
        assert np.array_equal(read_rgb(tmp_path / "a.png"), smooth(1))
    turned(tmp_path / "a.png", 3)
    assert np.array_equal(read_upright(tmp_path / "a.png")[0], smooth(1)[::-1, ::-1])
    with pytest.raises(ImageError, match="stored turned"):  # after an upright reading too
        read_rgb(tmp_path / "a.png")
    turned(tmp_path / "a.tif", 6)  # the decoder turns it
    assert np.array_equal(read_rgb(tmp_path / "a.tif"), np.rot90(smooth(1), -1))
    assert picture_size(tmp_path / "a.tif") == np.rot90(smooth(1), -1).shape[:2]
