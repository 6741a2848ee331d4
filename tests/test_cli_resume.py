"""``adabm quantize`` without a terminal tells how far it is, and goes on after an interruption."""

import sys

import pytest

from adabm.cli import main
from adabm.errors import FineTuningError
from adabm.steps import tuner
from adabm.study.origin import fingerprint
from helpers.cli_files import TINY, fails, replacing, smooth, write_files, write_image
from helpers.slow import slow


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("resume"))


def command(files, output, *more) -> list[str]:
    parts = ["quantize", "--images", files / "LR", "--network", files / "fp.safetensors", "--output", output]
    return [str(part) for part in replacing([*parts, *TINY, "--threads", "1"], *more)]


def interrupt(monkeypatch, files, output, after: int = 3, *more) -> None:
    """Run the command with Ctrl-C in the step behind ``after``."""
    step, taken = tuner.FineTuner.step, []

    def stopping(*arguments, **options):
        if len(taken) == after:
            raise KeyboardInterrupt
        taken.append(None)
        return step(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tuner.FineTuner, "step", stopping)
        assert main(command(files, output, *more)) == 130


@pytest.mark.parametrize("after", [slow(2), 5])
def test_resuming_gives_the_file_of_an_uninterrupted_run(files, tmp_path, monkeypatch, capsys, after):
    whole, output = tmp_path / "whole.safetensors", tmp_path / "q.safetensors"
    assert main(command(files, whole)) == 0
    interrupt(monkeypatch, files, output, after)
    partial = tmp_path / "q.safetensors.partial"
    assert partial.exists() and not output.exists()
    told = capsys.readouterr().err
    assert f"{partial}: keeps what was done; the same command with --resume goes on" in told and "interrupted" in told
    assert "add --resume to go on with it, or --overwrite to begin anew" in fails(capsys, *command(files, output))
    assert main(command(files, output, "--resume")) == 0
    assert f"resuming behind fine-tuning step {after // 2 * 2} of 6" in capsys.readouterr().out
    assert output.read_bytes() == whole.read_bytes() and not partial.exists()


def test_without_anything_to_resume_it_begins(files, tmp_path):
    assert main(command(files, tmp_path / "q.safetensors", "--resume", "--quiet")) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["q.safetensors"]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--recipe", "minmax"], False),
        (["--recipe", "adabm", "--rounds", "0"], False),
        pytest.param(["--recipe", "minmax-tuned", "--rounds", "1"], True, marks=pytest.mark.slow),
    ],
)
def test_resuming_where_nothing_is_kept_is_told_of(files, tmp_path, capsys, words, kept):
    parts = ["quantize", "--images", files / "LR", "--network", files / "fp.safetensors", "--patch-size", "16"]
    given = [*parts, *words, "--output", tmp_path / "q.safetensors"]
    told = "--resume: nothing is kept of an interrupted run of"
    assert main([*map(str, given), "--resume"]) == 0
    assert (told in capsys.readouterr().err) == (not kept)
    assert main([*map(str, given), "--overwrite"]) == 0
    assert told not in capsys.readouterr().err


def test_overwriting_begins_anew(files, tmp_path, monkeypatch, capsys):
    output = tmp_path / "q.safetensors"
    interrupt(monkeypatch, files, output)
    assert main(command(files, output, "--overwrite", "--seed", "5")) == 0
    assert "resuming" not in capsys.readouterr().out and not (tmp_path / "q.safetensors.partial").exists()


def test_what_another_run_wrote_meanwhile_is_not_overwritten(files, tmp_path, monkeypatch, capsys):
    output = tmp_path / "q.safetensors"
    step = tuner.FineTuner.step

    def beside(*arguments, **options):
        output.write_bytes(b"of another run")
        return step(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tuner.FineTuner, "step", beside)
        assert "exists; add --overwrite" in fails(capsys, *command(files, output, "--quiet"))
    assert output.read_bytes() == b"of another run"
    assert main(command(files, output, "--resume", "--overwrite")) == 0  # nothing is trained again
    assert "resuming behind fine-tuning step 6 of 6" in capsys.readouterr().out


def test_what_belongs_to_another_run_or_is_damaged_is_refused(files, tmp_path, monkeypatch, capsys):
    output, partial = tmp_path / "q.safetensors", tmp_path / "q.safetensors.partial"
    interrupt(monkeypatch, files, output)
    kept = partial.read_bytes()
    for changed, what in (
        (("--seed", "1"), "seed"),
        (("--set", "tune.lr_weight=0.5"), "settings"),
        (("--activation-bits", "5"), "settings"),
        (("--patches", "2"), "patches"),
        (("--pictures", "2"), "pictures"),
        (("--threads", "2"), "threads or device"),
    ):
        told = fails(capsys, *command(files, output, "--resume", *changed, "--quiet"))
        assert f"{partial}: belongs to other {what}; give the options of the interrupted run" in told
    write_image(tmp_path / "other" / "a.png", smooth(9))
    told = fails(capsys, *command(files, output, "--resume", "--images", str(tmp_path / "other"), "--quiet"))
    assert "belongs to other pictures" in told
    with monkeypatch.context() as patch:
        patch.setattr("adabm.study.origin.fingerprint.code_hash", lambda *roots: "edited")
        assert "belongs to other code of adabm" in fails(capsys, *command(files, output, "--resume", "--quiet"))
    partial.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    told = fails(capsys, *command(files, output, "--resume", "--quiet"))
    assert f"{partial}: its content does not match its sha256" in told
    assert not output.exists() and partial.exists()


def test_what_a_file_of_ones_own_imports_was_edited_meanwhile(files, tmp_path, monkeypatch, capsys):
    folder, output = tmp_path / "own", tmp_path / "q.safetensors"
    folder.mkdir()
    helper = folder / "resumed_helper.py"
    helper.write_text("FACTOR = 1.0\n")
    (folder / "own.py").write_text(
        "import sys\nsys.path.insert(0, __file__.rpartition('/')[0])\nfrom resumed_helper import FACTOR\nsys.path.pop(0)\n"
    )
    steps = "steps: [calibrate, map_bits, {tune: {rounds: 3, steps_per_round: 2}}]\n"
    (folder / "own.yaml").write_text(f"imports: [own.py]\n{steps}")
    own = ("--recipe", str(folder / "own.yaml"))
    interrupt(monkeypatch, files, output, 3, *own)
    helper.write_text("FACTOR = 2.0\n")
    edited = {name for name in sys.modules if name == "resumed_helper" or name.startswith("adabm_user_own_")}
    for name in edited:  # as a new process would, which alone can resume
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("adabm.support.plugins._contents", {})
    monkeypatch.setattr("adabm.study.origin.fingerprint._code", fingerprint._code.__wrapped__)
    package = fingerprint.package.__wrapped__()
    monkeypatch.setattr("adabm.study.origin.fingerprint.package", lambda: package)
    told = fails(capsys, *command(files, output, "--resume", "--quiet", *own))
    assert f"{output}.partial: belongs to other files of your own; give the options" in told


def test_a_diverging_run_leaves_nothing(files, tmp_path, monkeypatch, capsys):
    output = tmp_path / "q.safetensors"
    interrupt(monkeypatch, files, output)

    def diverging(*_arguments, **_options):
        raise FineTuningError("the loss became nan")

    monkeypatch.setattr(tuner.FineTuner, "step", diverging)
    assert "the loss became nan" in fails(capsys, *command(files, output, "--resume", "--quiet"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_lines_where_nobody_watches(files, tmp_path, capsys):
    more = ("--rounds", "10", "--steps-per-round", "3")
    assert main(command(files, tmp_path / "q.safetensors", *more)) == 0
    lines = capsys.readouterr().err.splitlines()
    lines = [line for line in lines if not line.startswith("adabm: warning: ")]  # that the network is not trained
    assert lines[0] == "adabm: calibrating on 3 pictures"
    assert lines[1] == "adabm: calibrated; 30 of 30 fine-tuning steps are to be taken"
    assert lines[-1] == f"adabm: writing {tmp_path / 'q.safetensors'}"
    counted = [line for line in lines if line.startswith("adabm: fine-tuning: ")]
    assert [line.split()[2] for line in counted if line.split()[2] in ("10", "20", "30")] == ["10", "20", "30"]
    assert "of 30 (weight, loss" in counted[0] or "of 30 (activation, loss" in counted[0] or "mapping" in counted[0]
    for quiet in ("--quiet", "--json"):
        assert main(command(files, tmp_path / "q.safetensors", *more, "--overwrite", quiet)) == 0
        assert all(line.startswith("adabm: warning: ") for line in capsys.readouterr().err.splitlines())
