"""The manifest of published data and weights, and what is refused in one."""

import hashlib
import re
import sys

import pytest
import yaml

import pipelines.downloads.record_checksums
from adabm.errors import DataError
from helpers.file_server import write_manifest
from pipelines.downloads.sources import MANIFEST, SourceFile, read_sources, select_sources

SOURCES = read_sources()


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_every_entry_is_pinned(source):
    for file in source.files:
        assert file.urls and all(re.match(r"https?://[\w.]+/\S+$", url) for url in file.urls)
        commit = re.match(r"[\w.-]+/[\w.-]+/([0-9a-f]{40})/", file.path)
        if commit:
            assert len(file.sha256) == 64 and file.size and len(file.urls) == 3
            assert all(commit[1] in url for url in file.urls)
        elif len(file.sha256) < 64:
            assert file.sha256 in file.name  # the publisher's own


def test_every_list_of_checksums_has_an_entry():
    assert {path.stem for path in (MANIFEST.parent / "checksums").iterdir()} == set(SOURCES)
    paths = [file.path for source in SOURCES.values() for file in source.files]
    assert len(set(paths)) == len(paths)


def test_addresses_of_a_file():
    file = SOURCES["SRResNet_x4_mxnet"].files[0]
    assert file.path.endswith("/SRGAN/SRResNet@PyTorch/SRResNet_4x-0000.params")
    assert file.urls[0] == "https://raw.githubusercontent.com/" + file.path.replace("@", "%40")


@pytest.mark.parametrize("name, count", [("Set5_x4", 10), ("Set14_x2", 28), ("BSD100_x4", 200), ("Urban100_x4", 200)])
def test_benchmarks_are_pairs(name, count):
    names = {file.name for file in SOURCES[name].files}
    assert len(names) == count and {n.replace("_LR.", "_HR.") for n in names} == {n for n in names if "_HR." in n}


def test_location(tmp_path):
    assert SOURCES["DIV2K_train_HR"].location(tmp_path) == tmp_path / "DIV2K_train_HR.zip"
    commit = "8f6dd8c1d20cb7e8792a7177b4f6fd677633f598"
    assert SOURCES["Set5_x4"].location(tmp_path) == tmp_path / f"jbhuang0604/SelfExSR/{commit}/data/Set5/image_SRF_4"


def test_selection():
    assert [s.id for s in select_sources(SOURCES, ["T91", "Set5_x4", "T91"])] == ["T91", "Set5_x4"]
    with pytest.raises(DataError, match=r"'urban_x4'; did you mean Urban100_x4\? There are: Set5_x2, "):
        select_sources(SOURCES, ["urban_x4"])
    with pytest.raises(DataError, match=r"no source is called 'qqq'; there are: Set5_x2, "):
        select_sources(SOURCES, ["qqq"])


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(kind="film"), "kind 'film' must be one of dataset, weights"),
        (dict(licence=None), "needs the text 'licence'"),
        (dict(colour="red"), "unknown key 'colour'; known are kind, "),
        (dict(urls=None), "needs either 'repository' and 'commit' or 'urls'"),
        (dict(urls=None, repository="a/b", commit="main"), "commit 'main' must be a full commit"),
        (dict(repository="a/b", commit="0" * 40), "needs either"),
        (dict(urls="http://x/{path}"), "'urls' must be a list of texts"),
        (dict(urls=["http://x/{name}"]), "address 'http://x/{name}' has the unknown field 'name'"),
    ],
)
def test_refused_entries(tmp_path, change, message):
    manifest = write_manifest(tmp_path, {"Set": {"a.png": b"a"}}, "http://x")
    content = yaml.safe_load(manifest.read_text())
    content["sources"]["Set"].update(change)
    manifest.write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match=re.escape(f"{manifest}: entry Set: {message}")):
        read_sources(manifest)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(set="A", use="fun", scales=[2], high="(.*)"), "use 'fun' must be one of evaluation, calibration"),
        (dict(set="A", use="evaluation", high="(.*)"), "needs the list 'scales'"),
        (dict(set="A", use="evaluation", scales=["2"], high="(.*)"), "scales ['2'] must be a list of whole numbers"),
        (dict(set="A", use="evaluation", scales=[2], low="(.*)"), "needs 'high', the pattern of the ground truth's"),
        (dict(set="A", use="calibration", scales=[2]), "needs 'high', the pattern of the ground truth's"),
        (dict(set="A", use="evaluation", scales=[2], high=".*"), "high '.*' needs a group"),
        (dict(set="A", use="evaluation", scales=[2], high="("), "high '(' is no pattern"),
        (dict(set="../A", use="evaluation", scales=[2], high="(.*)"), "set '../A' must be a name for a folder"),
        (dict(high="(.*)"), "'high' needs 'set', the name in the study"),
        (dict(backbone="net"), "'backbone' belongs to the kind weights, not to dataset"),
        (dict(kind="weights", backbone="a/b"), "backbone 'a/b' must be a name for a file"),
        (dict(kind="weights", backbone="net", file="b.pth"), "file 'b.pth' is not listed; a.png are"),
        (dict(kind="weights", backbone="net", format=3), "format 3 must be a text"),
        (
            dict(kind="weights", backbone="net", reference_psnr=[3]),
            "reference_psnr must be a mapping of scale, source, sets",
        ),
        (
            dict(kind="weights", backbone="net", reference_psnr=dict(scale=2, source="me", sets={"Set5": "high"})),
            "reference_psnr of Set5 is 'high', not a number of dB",
        ),
    ],
)
def test_refused_uses(tmp_path, change, message):
    manifest = write_manifest(tmp_path, {"Set": {"a.png": b"a"}}, "http://x", uses={"Set": change})
    with pytest.raises(DataError, match=re.escape(f"{manifest}: entry Set: {message}")):
        read_sources(manifest)


def test_a_name_stands_for_one_thing(tmp_path):
    content = {"A": {"a.png": b"a"}, "B": {"a.png": b"b"}}
    use = dict(set="Mine", use="evaluation", scales=[2], high="(.*)")
    for uses, message in (
        ({"A": use, "B": use}, "entry B: set Mine at scale 2 is entry A's already"),
        ({"A": use, "B": use | dict(use="calibration", scales=[4])}, "entry B: set Mine has another use elsewhere"),
        (
            {name: dict(kind="weights", backbone="net") for name in content},
            "entry B: backbone net is entry A's already",
        ),
    ):
        with pytest.raises(DataError, match=message):
            read_sources(write_manifest(tmp_path, content, "http://x", uses=uses))
    read_sources(write_manifest(tmp_path, content, "http://x", uses={"A": use, "B": use | dict(scales=[3])}))


@pytest.mark.parametrize(
    "line, message",
    [
        ("", "lists no file"),
        ("nonsense", "Set.txt:1: expected 'sha256  size  path', found 'nonsense'"),
        ("abc  1  a.png", "a.png: sha256 'abc' must be 8 to 64 lower-case hex digits"),
        (f"{'0' * 64}  1  ../../a.png", "must be relative and lead into the download folder"),
        (f"{'0' * 64}  1  a.png\n{'0' * 64}  1  a.png", "lists a file twice"),
    ],
)
def test_refused_checksums(tmp_path, line, message):
    manifest = write_manifest(tmp_path, {"Set": {"a.png": b"a"}}, "http://x")
    (tmp_path / "checksums" / "Set.txt").write_text(line)
    with pytest.raises(DataError, match=re.escape(message)):
        read_sources(manifest)


@pytest.mark.parametrize("text", ["", "[1]", "sources: 3", "a: ["])
def test_refused_files(tmp_path, text):
    (tmp_path / "sources.yaml").write_text(text)
    with pytest.raises(DataError, match="sources.yaml: "):
        read_sources(tmp_path / "sources.yaml")
    with pytest.raises(DataError, match="nowhere.yaml: cannot be read"):
        read_sources(tmp_path / "nowhere.yaml")


def test_an_absolute_path_is_refused():
    with pytest.raises(DataError, match="must be relative"):
        SourceFile("/etc/a", (), "0" * 64, None)


def test_recording(tmp_path, monkeypatch, capsys):
    """What is recorded from a mirror is what the manifest reads."""
    manifest = write_manifest(tmp_path / "data", {"Set": {"old.png": b"old"}}, "http://x")
    folder = tmp_path / "mirror" / "Set"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a b.png").write_bytes(b"new")
    (folder / "note.txt").write_bytes(b"")
    monkeypatch.setattr(pipelines.downloads.record_checksums, "MANIFEST", manifest)

    def record(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["record_checksums", *arguments, "--mirror", str(tmp_path / "mirror")])
        return pipelines.downloads.record_checksums.main()

    assert record("Set", "--match", "*.png") == 0
    (file,) = read_sources(manifest)["Set"].files
    assert (file.path, file.size, file.sha256) == ("Set/sub/a b.png", 3, hashlib.sha256(b"new").hexdigest())
    assert record("Sat") == 1 and record("Set", "--match", "*.bmp") == 1
    assert "has no entry Sat" in capsys.readouterr().err
