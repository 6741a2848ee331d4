"""What is kept is found again, what is damaged is computed again, and nothing is found under a changed input."""

import dataclasses
import json
import os
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import adabm
from adabm.errors import CheckpointError, DataError, ProgressError
from adabm.networks import load_network
from adabm.pictures.pairs import PictureFiles
from adabm.pictures.reading import read_rgb
from adabm.pictures.writing import write_image
from adabm.steps.progress import ProgressFile
from adabm.study import Effort, ResultCache, read_plan, run_plan
from adabm.study.origin.fingerprint import MEASURING, QUANTIZING, code_hash, definitions_hash
from adabm.study.running.tasks import MeasureTask, ModelTask
from helpers.study_files import EFFORT, Counted, compute_here, forget, part, write_network, write_study


@pytest.fixture
def root(tmp_path, monkeypatch):
    compute_here(monkeypatch)
    forget()
    return write_study(tmp_path)


@pytest.fixture
def cache(root):
    return ResultCache(root / "cache")


def tasks_of(root: Path, cache: ResultCache, effort=EFFORT, **changes) -> tuple[ModelTask, MeasureTask]:
    """The tasks of the last cell of a part."""
    forget()
    cell = read_plan([part(**changes)], root, effort)[-1]
    model = ModelTask(cell.backbone, cell.calibration, cell.run, effort, cache)
    return model, MeasureTask(model, cell.pictures.files, cell.pictures.tile)


# -- keeping and loading ---------------------------------------------------------------------------


def test_a_picture(cache):
    result = dict(psnr_y_db=30.123456789012345, ssim_y=0.1, fab=4.0, layer_bits={"head.0": 1 / 3})
    assert cache.load_record("abc") is None
    cache.keep_record("abc", result)
    assert cache.load_record("abc") == result and cache.load_record("abd") is None


def test_a_model(root, cache):
    task, _ = tasks_of(root, cache, methods=["adabm"])
    assert not task.done() and cache.load_model(task.key) is None
    task.carry_out()
    assert task.done()
    model, steps = cache.load_model(task.key)
    assert len(steps) == EFFORT.rounds * EFFORT.steps_per_round and steps[0].group == "weight"
    assert not cache.progress(task.key).exists()
    images = [read_rgb(path) for path in task.calibration]
    config = adabm.preset("adabm", EFFORT.changes, weight_bits=4, activation_bits=4)
    network = load_network(task.backbone).to(memory_format=torch.channels_last)
    expected, _, expected_steps = adabm.quantize(network, images, config, patch_size=12, patches=4)
    assert steps == expected_steps
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in model.state_dict().items())


def damages(content: bytes) -> dict[str, bytes]:
    third, middle = len(content) // 3, len(content) // 2
    return {
        "empty": b"",
        "halved": content[:middle],
        "one byte short": content[:-1],
        "other bytes": b"\x80" * 50,
        "zeros at the end": content[:middle] + bytes(len(content) - middle),
        "text": b"[]",
        "null": b"null",
        "a bit": content[:third] + bytes([content[third] ^ 4]) + content[third + 1 :],
    }


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_damaged_model_is_computed_again(root, cache, suffix):
    task, measuring = tasks_of(root, cache)
    task.carry_out()
    path = (cache.folder / "models" / task.key).with_suffix(suffix)
    content = path.read_bytes()
    assert path.is_file()
    for name, damaged in damages(content).items():
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=f"{path.name}: is damaged and computed again"):
            assert cache.load_model(task.key) is None and not task.done(), name
    (cache.folder / "models" / f"{task.key}.json").unlink()
    forget()
    measuring.carry_out()  # finds the model missing when it needs it
    assert task.done() and not measuring.missing() and path.read_bytes() == content


def foreign(content: bytes) -> dict[str, bytes]:
    """Checkpoints whose metadata is complete JSON of another shape."""
    length = int.from_bytes(content[:8], "little")
    header, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]
    known = json.loads(header["__metadata__"]["adabm"])
    changed = {
        "no network": {name: value for name, value in known.items() if name != "network"},
        "roles in a list": known | dict(network=known["network"] | dict(roles=[])),
        "an unknown role": known | dict(network=known["network"] | dict(roles={"body": "none"})),
        "an unknown setting": known | dict(config=dict(bits=4)),
        "no settings": known | dict(config=None),
        "another format": known | dict(format="other"),
    }
    files = {}
    for name, metadata in changed.items():
        text = json.dumps(header | {"__metadata__": {"adabm": json.dumps(metadata)}}).encode()
        files[name] = len(text).to_bytes(8, "little") + text + tensors
    return files


def test_a_foreign_model_is_computed_again(root, cache):
    task, _ = tasks_of(root, cache)
    task.carry_out()
    path = cache.folder / "models" / f"{task.key}.safetensors"
    for name, content in foreign(path.read_bytes()).items():
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=f"{path.name}: is damaged"):
            assert cache.load_model(task.key) is None, name


def test_what_is_missing_is_silent(root, cache, recwarn):
    task, _ = tasks_of(root, cache)
    assert cache.load_model(task.key) is None and cache.load_record("abc") is None
    task.carry_out()
    (cache.folder / "models" / f"{task.key}.json").unlink()
    assert cache.load_model(task.key) is None and not [w for w in recwarn if "damaged" in str(w.message)]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("of the device"), ImportError("x")])
def test_what_no_damage_raises_is_not_hidden(root, cache, monkeypatch, error):
    def fail(*_):
        raise error

    task, _ = tasks_of(root, cache)
    task.carry_out()
    cache.keep_record("abc", {})
    monkeypatch.setattr("adabm.study.running.cache.load_quantized", fail)
    with pytest.raises(type(error)):
        cache.load_model(task.key)
    monkeypatch.setattr("adabm.support.files.open_regular_file", fail)
    with pytest.raises(type(error)):
        cache.load_record("abc")


@pytest.mark.parametrize("place", ["pictures", "models"])
def test_what_cannot_be_read_is_told_with_the_remedy(root, cache, place):
    task, measuring = tasks_of(root, cache)
    measuring.carry_out()
    for kept in (cache.folder / place).rglob("*.json"):
        kept.unlink()
        kept.mkdir()
    with pytest.raises(
        DataError, match=r"\.json: cannot be read \(Is a directory\); delete it, or name another folder"
    ):
        measuring.results() if place == "pictures" else task.load()


def test_damage_of_any_size_takes_no_memory(cache):
    cache.keep_record("abc", {"a": 1})
    (kept,) = cache.folder.rglob("*.json")
    content = kept.read_bytes()
    for beginning in (b"?", b""):  # of another format; and a sha256 over all that follows, which is not computed
        kept.write_bytes(beginning + content)
        os.truncate(kept, 2**42)  # with a hole, which takes no place
        with pytest.warns(UserWarning, match="is damaged and computed again"):
            assert cache.load_record("abc") is None


@pytest.mark.parametrize("kept", ["", "nan", "-1", "inf", "1e", "pipe", "device"])
def test_a_duration_that_is_none_is_not_known(cache, kept):
    cache.keep_seconds("abc", 1.5)
    assert cache.load_seconds("abc") == 1.5
    (path,) = (cache.folder / "seconds").rglob("abc")
    path.write_text(kept)
    if kept in ("pipe", "device"):
        path.unlink()
        os.mkfifo(path) if kept == "pipe" else path.symlink_to("/dev/zero")
    assert cache.load_seconds("abc") is None


@pytest.mark.slow
def test_every_changed_number_of_a_model_is_noticed(root, cache):
    task, _ = tasks_of(root, cache, methods=["adabm"])
    task.carry_out()
    path = cache.folder / "models" / f"{task.key}.safetensors"
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    assert begin + sum(t.numel() * t.element_size() for t in load_file(path).values()) == len(content)
    for at in range(begin, len(content), 997):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(CheckpointError):
            adabm.load_quantized(path)


@pytest.mark.slow
def test_a_damaged_picture_is_measured_again(root, cache, monkeypatch):
    plan = read_plan([part(settings=[], methods=[])], root, EFFORT)
    counted = Counted(monkeypatch)
    first = run_plan(plan, EFFORT, cache)[0]
    kept = sorted((cache.folder / "pictures").rglob("*.json"))
    assert len(kept) == 2 and counted.take() == (0, 2)
    content = kept[0].read_bytes()
    head, _, body = content.partition(b"\n")
    changed = head + b"\n" + body.replace(b'"psnr_y_db": ', b'"psnr_y_db": 9')
    earlier = json.dumps({"result": first.summary, "sha256": "0" * 64}).encode()
    for name, damaged in {
        **damages(content),
        "changed": changed,
        "earlier": earlier,
        "another": kept[1].read_bytes(),
    }.items():
        kept[0].write_bytes(damaged)
        forget()
        with pytest.warns(UserWarning, match=f"{kept[0].name}: is damaged and computed again"):
            assert run_plan(plan, EFFORT, cache)[0].summary == first.summary
        assert counted.take() == (0, 1) and kept[0].read_bytes() == content, name


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["halved", "empty", "of another network"])
def test_an_unusable_state_of_fine_tuning_is_dropped(root, cache, damage):
    task, _ = tasks_of(root, cache, methods=["adabm"])
    task.carry_out()
    expected = cache.load_model(task.key)[0].state_dict()
    (cache.folder / "models" / f"{task.key}.safetensors").unlink()
    write_network(root / "other.safetensors", seed=5)
    other = dataclasses.replace(task, backbone=root / "other.safetensors")
    partial = cache.progress(task.key)
    other._quantize(partial)
    if damage != "of another network":
        partial.write_bytes(partial.read_bytes()[: len(partial.read_bytes()) // 2] if damage == "halved" else b"")
    with pytest.warns(UserWarning, match=f"{partial.name}: .*; fine-tuning begins anew"):
        task.carry_out()
    assert not partial.exists()
    assert all(torch.equal(value, expected[name]) for name, value in cache.load_model(task.key)[0].state_dict().items())


def flipped(content: bytes, rng: random.Random) -> bytes:
    """The content with one to three other bits."""
    changed = bytearray(content)
    for bit in rng.sample(range(8 * len(content)), rng.randint(1, 3)):
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_no_kept_file_with_flipped_bits_is_used(root, cache, monkeypatch):
    task, measuring = tasks_of(root, cache, methods=["adabm"])
    task._quantize(cache.progress(task.key))
    state = cache.progress(task.key)
    content = state.read_bytes()
    task.carry_out()
    measuring.carry_out()
    state.write_bytes(content)
    cache.keep_record("diverged", {"reason": "loss"})
    monkeypatch.setattr(torch, "load", None)  # must not even be tried on a damaged file
    monkeypatch.setattr("adabm.study.running.cache.load_quantized", None)
    progress = ProgressFile(state, torch.nn.Linear(1, 1), {})
    reads = {
        ".partial": lambda path: progress.load(),
        ".safetensors": lambda path: cache.load_model(path.stem),
        ".json": lambda path: (
            cache.load_model(path.stem) if path.parent.name == "models" else cache.load_record(path.stem)
        ),
    }
    rng = random.Random(0)
    seconds = cache.folder / "seconds"  # of estimates alone
    kept = [path for path in cache.folder.rglob("*") if path.is_file() and seconds not in path.parents]
    assert {path.suffix for path in kept} == set(reads) and len(kept) == 6
    for path in kept:
        content = path.read_bytes()
        for _ in range(100):
            path.write_bytes(flipped(content, rng))
            if path == state:
                with pytest.raises(ProgressError, match=path.name):
                    reads[path.suffix](path)
            else:
                with pytest.warns(UserWarning, match=f"{path.name}: is damaged"):
                    assert reads[path.suffix](path) is None
        path.write_bytes(content)


@pytest.mark.slow
def test_a_damaged_state_is_never_taken_for_divergence(root, cache):
    """Before, values of a changed state were fine-tuned on, and what became of them was recorded."""
    task, _ = tasks_of(root, cache, methods=["adabm"])
    task.carry_out()
    expected = cache.load_model(task.key)[0].state_dict()
    state = cache.progress(task.key)
    task._quantize(state)
    content, rng = state.read_bytes(), random.Random(1)
    for _ in range(3):
        (cache.folder / "models" / f"{task.key}.safetensors").unlink()
        state.write_bytes(flipped(content, rng))
        with pytest.warns(UserWarning, match=f"{state.name}: .*; fine-tuning begins anew"):
            task.carry_out()
        found = cache.load_model(task.key)[0].state_dict()
        assert task.divergence() is None and all(torch.equal(value, expected[name]) for name, value in found.items())


def test_the_folder_that_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.delenv("ADABM_CACHE", raising=False)
    assert ResultCache.default(tmp_path).folder == tmp_path / "data" / "cache"
    monkeypatch.setenv("ADABM_CACHE", str(tmp_path / "elsewhere"))
    assert ResultCache.default(tmp_path).folder == tmp_path / "elsewhere"


# -- keys ------------------------------------------------------------------------------------------


def change_picture(path: Path) -> None:
    image = read_rgb(path)
    image[0, 0, 0] ^= 1
    write_image(path, image)


QUANTIZED, WHOLE = {"model", "first", "others"}, {"fp model", "fp first", "fp others"}
# what changes (settings of the part, the recipe, or files), and the keys that change with it
CHANGES = {
    "nothing": (lambda root: {}, set()),
    "seed": (lambda root: dict(seeds=[1]), QUANTIZED),
    "bits of weights": (lambda root: dict(settings=["W5A4 FQ"]), QUANTIZED),
    "bits of activations": (lambda root: dict(settings=["W4A5 FQ"]), QUANTIZED),
    "body alone": (lambda root: dict(settings=["W4A4"]), QUANTIZED),
    "method": (lambda root: dict(methods=["omse"]), QUANTIZED),
    "a calibration picture": (lambda root: change_picture(root / "data/calibration/LR/b.png"), QUANTIZED),
    "the order of calibration pictures": (
        lambda root: (root / "data/calibration/LR/b.png").rename(root / "data/calibration/LR/z.png"), QUANTIZED
    ),
    "a weight": (lambda root: write_network(root / "net.safetensors", seed=1), QUANTIZED | WHOLE),
    "patches": (lambda root: dataclasses.replace(EFFORT, patches=5), QUANTIZED),
    "patch size": (lambda root: dataclasses.replace(EFFORT, patch_size=10), QUANTIZED),
    "rounds": (lambda root: dataclasses.replace(EFFORT, rounds=4), set()),  # this method has no fine-tuning
    "tile": (lambda root: dict(tile=8), {"first", "others", "fp first", "fp others"}),
    "an evaluation picture": (lambda root: change_picture(root / "data/First/HR/a.png"), {"first", "fp first"}),
    "the name of an evaluation picture": (lambda root: (root / "data/First/HR/a.png").rename(root / "data/First/HR/A.png"), set()),
    "the name of the set": (lambda root: (root / "data/First").rename(root / "data/Third") and dict(sets=["Third"]), set()),
}  # fmt: skip


def keys(root: Path, cache: ResultCache, recipe, changes: dict) -> dict[str, object]:
    model, measuring = tasks_of(root, cache, recipe, **changes)
    whole, measuring_whole = tasks_of(root, cache, recipe, **{**changes, "settings": [], "methods": []})
    first, *others = [measuring.picture_key(files) for files in measuring.files]
    whole_first, *whole_others = [measuring_whole.picture_key(files) for files in measuring_whole.files]
    return {
        "model": model.key,
        "first": first,
        "others": others,
        "fp model": whole.key,
        "fp first": whole_first,
        "fp others": whole_others,
    }


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_concerns_exactly_what_depends_on_it(root, cache, case):
    change, expected = CHANGES[case]
    before = keys(root, cache, EFFORT, {})
    changed = change(root)
    recipe = changed if isinstance(changed, Effort) else EFFORT
    after = keys(root, cache, recipe, changed if isinstance(changed, dict) else {})
    assert {name for name in before if before[name] != after[name]} == expected


def test_fine_tuning_counts_where_there_is_some(root, cache):
    before, _ = tasks_of(root, cache, methods=["adabm"])
    after, _ = tasks_of(root, cache, dataclasses.replace(EFFORT, rounds=4), methods=["adabm"])
    assert before.key != after.key


def test_a_given_input_picture_counts(root, cache):
    _, made = tasks_of(root, cache)
    high, low = made.files[0].high, root / "low.png"
    write_image(low, read_rgb(high)[::2, ::2])
    given = PictureFiles("a", high, low)
    keys = [made.picture_key(made.files[0]), made.picture_key(given)]
    change_picture(low)
    forget()
    assert len({*keys, made.picture_key(given)}) == 3


def test_code_torch_and_device_count(root, cache, monkeypatch):
    model, measuring = tasks_of(root, cache)
    before = model.key, measuring.picture_key(measuring.files[0])
    on_gpu = dataclasses.replace(model, device="cuda")
    assert on_gpu.key != before[0]
    for root_of, others in ((MEASURING, True), (QUANTIZING, False)):
        monkeypatch.setattr(
            "adabm.study.running.keys.code_hash",
            lambda *roots, root_of=root_of: "changed" if roots[: len(root_of)] == root_of else code_hash(*roots),
        )
        assert (model.key == before[0]) is others
        assert measuring.picture_key(measuring.files[0]) != before[1]
    here = definitions_hash(["a"])
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert definitions_hash(["a"]) == definitions_hash(["a"], "0.0") != here
