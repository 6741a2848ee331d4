"""What the pool holds: outliers made by code, the pictures of each pool, and conclusions whose answer is known."""

import numpy as np
import pytest

from adabm.errors import ConfigError
from adabm.pictures.reading import read_rgb
from adabm.study import Run
from adabm.study.answers import pool
from adabm.study.answers.layer_probes import adaptive_layers
from adabm.study.answers.pool_losses import losses as losses_of
from adabm.study.answers.pool_measures import ALIKE, IMAGES_ALIKE, OWN, all_alike, quality
from adabm.study.answers.pool_outliers import ADAPTIVE, CLEAN, OUTLIERS, calibration
from adabm.study.running.networks import Unit
from adabm.study.tables.conclusion import take_apart
from adabm.study.tables.schema import study_table
from helpers.probed import probed
from helpers.study_files import compute_here
from helpers.study_tables import row

PHOTOGRAPH = np.full((40, 48, 3), 120, dtype=np.uint8)
ADABM = {"method": "adabm-own-bits", "changes": {"tune": None}}


@pytest.mark.parametrize("kind", OUTLIERS)
def test_outliers_have_the_size_of_the_photograph_and_come_from_the_seed_alone(kind):
    one, same, other = (OUTLIERS[kind](PHOTOGRAPH, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == PHOTOGRAPH.shape and one.dtype == np.uint8
    assert (one == same).all() and (one != other).any() and one.std() > 0


def test_text_is_black_on_white_and_night_is_dark():
    rng = np.random.default_rng(0)
    assert OUTLIERS["text"](PHOTOGRAPH, rng).max() == 255 and OUTLIERS["text"](PHOTOGRAPH, rng).min() < 50
    assert OUTLIERS["night"](PHOTOGRAPH, rng).mean() < 10


def table(adabm, fast=None, ranges=1.0, jitter=0.0, networks=("net",), fab=4.0, pictures=20):
    """PSNR by pool: what each loses in dB; at the same bits for all, the share ``ranges`` of it. Seeds are 0.2 dB apart."""
    rows = [
        row(backbone=name, setting="FP32", series="full precision", variable="none", level="none", psnr_y_db=31.0)
        for name in networks
    ]
    for series, losses in (("AdaBM", adabm), ("Fast", fast or {})):
        kinds = {OWN: 1.0, IMAGES_ALIKE: 1.0, ALIKE: ranges} if series == "AdaBM" else {OWN: 1.0}
        for network in networks if losses else ():
            for bits, part in kinds.items():
                for level, loss in {CLEAN: 0.0, **losses}.items():
                    for seed in range(4):
                        noise = (0.001 + jitter) * (-1) ** seed * (level != CLEAN)
                        db = 30 - part * loss + seed / 5 + noise
                        keys = dict(
                            backbone=network, series=series, variable="pool" if bits == OWN else f"pool, {bits}"
                        )
                        keys |= dict(level=level, seed=seed, psnr_y_db=db, fab=4.0 if level == CLEAN else fab)
                        rows.append(row(**keys, calibration_pictures=pictures if level == ADAPTIVE else 20))
    return study_table(rows)  # fmt: skip


def told(*args, **options):
    return take_apart("\n\n".join(pool.conclusion(table(*args, **options), 0.25)))


def test_losses_are_paired_by_seed_and_split():
    found = losses_of(table({"noise": 2.0, "text": -0.5}, ranges=0.25)).set_index("pool")
    assert found.loc["noise", ["loss", "ranges", "bits"]].tolist() == pytest.approx([2, 0.5, 1.5], abs=0.002)
    assert found.loc["noise", "spread"] < 0.01 and found.loc["text", "loss"] == pytest.approx(-0.5, abs=0.002)
    assert found["hurts"].tolist() == [False, True, False]


def test_what_hurts_is_named_with_its_method_and_network():
    parts = told({"text": 0.5, "noise": 2.0, "night alone": 3.0}, {"noise": 0.02}, fab=3.5)
    assert parts.answer == (
        "What the calibration set holds matters. Text and noise among the photographs (25% of them) clearly hurt AdaBM, by 0.5 to 2.0 dB. In "
        "place of photographs, night alone (3.0 dB) also clearly hurts it."
    )
    assert "None of its pools clearly hurts Fast (tried only with noise). AdaBM loses at worst 2.00 dB" in parts.details
    assert "loses at worst 2.00 dB with outliers (noise on net)" in parts.details
    assert "and 3.00 dB with another domain (night alone on net" in parts.details
    assert "With the same pictures (noise) Fast loses 0.02 dB in the mean where AdaBM loses 2.00." in parts.details
    assert parts.practice.startswith(
        "Keep text and noise out of the calibration set, and to upscale photographs calibrate on photographs, not on night alone (ranges of dark pictures are "
        "too narrow). Fast bears noise."
    )
    assert parts.evidence.count("\n") == 7 and "p (adjusted)" in parts.evidence
    both = table({"noise": 1.0}, networks=("one", "two"))
    both.loc[(both["backbone"] == "two") & (both["level"] == "noise"), "psnr_y_db"] += 1
    assert (
        "Noise (on one) among the photographs (25% of them) clearly hurts AdaBM, by 1.0 dB."
        in pool.conclusion(both, 0.25)[0]
    )
    assert "tried" not in pool.conclusion(both, 0.25)[0]
    of_one = table({"text": 0.5, "noise": 2.0}, {"noise": 0.5}, networks=("one", "two"))
    of_one = of_one[(of_one["series"] != "Fast") | (of_one["backbone"] == "one")]
    assert (
        "Noise among the photographs clearly hurts Fast, by 0.5 dB (tried only with noise and only on one)."
        in pool.conclusion(of_one, 0.25)[1]
    )
    alone = pool.conclusion(table({"documents alone": 1.0, "night alone": 2.0}), 0.25)[0]
    assert "In place of photographs, documents alone (1.0 dB) and night alone (2.0 dB) clearly hurt AdaBM." in alone


def test_a_pool_that_was_not_tried_or_does_not_hurt_everywhere_is_told_with_its_networks():
    both = table({"noise": 1.0, "night alone": 9.0}, networks=("one", "two"))
    without = both[(both["backbone"] != "two") | (both["level"] != "night alone")]
    told = pool.conclusion(without, 0.25)[0]
    assert (
        "Noise among the photographs (25% of them) clearly hurts AdaBM, by 1.0 dB. In place of photographs, night alone (9.0 dB, not tried on "
        "two) also clearly hurts it." in told
    )
    both.loc[(both["backbone"] == "two") & (both["level"] == "night alone"), "psnr_y_db"] += 9
    assert "night alone (9.0 dB, not clearly on two)" in pool.conclusion(both, 0.25)[0]


def test_names_inside_tables_are_told_as_people_read_them():
    renamed = table({"noise": 1.0}).replace({"series": {"AdaBM": "AdaBM (untuned)"}})
    told = "\n".join(pool.conclusion(renamed, 0.25))
    assert "clearly hurts AdaBM (not fine-tuned), by" in told and "untuned" not in told
    assert "untuned" not in pool.figures(renamed)[""].axes[0].get_title()


@pytest.mark.parametrize("ranges, blamed", [(1.0, "mostly ranges"), (0.5, "ranges and bits"), (0.0, "mostly bits")])
def test_ranges_or_bits_are_blamed(ranges, blamed):
    details = told({"noise": 2.0, "documents alone": 1.0}, ranges=ranges, fab=4.25).details
    assert "moves by up to 0.25 (noise on net)." in details
    assert (
        f"There AdaBM loses {2 * ranges:.2f} dB with noise ({blamed}) and {ranges:.2f} dB with documents alone ({blamed})."
        in details
    )
    both = told({"noise": 2.0, "text": 1.0}, ranges=ranges, fab=4.25).details
    ends = f"{ranges:.2f} to {2 * ranges:.2f} by pool"
    assert f"{1.5 * ranges:.2f} dB with noise and text ({ends}; {blamed})." in both


def test_dark_pictures_are_explained_by_ranges_only_where_these_are_to_blame():
    assert told({"night alone": 2.0}, ranges=0.0).practice.startswith(
        "To upscale photographs calibrate on photographs, not on night alone."
    )


def test_outliers_that_do_no_harm_and_those_that_do_at_the_same_bits_alone_are_told():
    of = table({"noise": 2.0, "text": 0.03, "night": 0.01}, ranges=5)
    parts = take_apart("\n\n".join(pool.conclusion(of, 0.25)))
    assert "Night among the photographs does AdaBM no clear harm. AdaBM loses at worst" in parts.details
    assert (
        "Keep noise out of the calibration set. Keep text out, too: with the same bits for all that clearly costs 0.15 dB on net."
        in parts.practice
    )
    none = told({"text": 0.03}, ranges=5).practice
    assert none.startswith(
        "Take the pictures that are at hand. Keep text out: with the same bits for all that clearly costs 0.15 dB on net."
    )


@pytest.mark.parametrize("losses, jitter", [({"noise": 0.03}, 0), ({"noise": 0.3}, 1)])
def test_little_and_spread_are_no_harm(losses, jitter):
    parts = told(losses, jitter=jitter)
    assert parts.answer.startswith("What the calibration set holds hardly matters")
    assert parts.practice.startswith("Take the pictures that are at hand.") and "FAB is equal" not in parts.details
    assert "Clearly better" not in parts.details


def test_clear_gains_matter_too():
    parts = told({"noise": -1.0, "text": 0.01})
    assert parts.answer == (
        "What the calibration set holds matters: noise is clearly better than photographs alone, and no pool is clearly worse."
    )
    assert "Clearly better than photographs alone: noise for AdaBM on net" in parts.details
    assert parts.practice.startswith("Calibrate with noise.")


def test_one_seed_cannot_tell_whether_a_pool_hurts():
    of = table({"noise": 18.0, ADAPTIVE: 1.0}, {"noise": 0.5})
    head, told, *_, adaptive, _, advice, _ = pool.conclusion(of[of["seed"] == 0], 0.25)
    assert head == "**One seed cannot tell whether it matters what the calibration set holds.**"
    assert "AdaBM loses at worst 18.00 dB with outliers" in told
    assert adaptive.endswith("One seed cannot tell whether that differs from 20 random photographs.")
    assert advice == "*In practice:* measure with several seeds before a pool is chosen."
    some = of[(of["series"] == "AdaBM") | (of["seed"] == 0)]
    head, told, *_, advice, _ = pool.conclusion(some, 0.25)
    assert "clearly hurts AdaBM" in head and told.startswith("One seed cannot tell whether a pool hurts Fast")
    assert "Fast bears" not in advice


def test_nothing_is_compared_where_photographs_alone_were_measured():
    of = table({"noise": 1.0})
    of = of[of["level"] != "noise"]
    head = pool.conclusion(of, 0.25)[0]
    assert head == "**No pool but photographs alone was measured, so that there is nothing to compare.**"
    assert pool.figures(of)


@pytest.mark.parametrize(
    "loss, verdict, advice",
    [
        (0.0, "It is nowhere clearly different from 20 random photographs.", "is not needed"),
        (0.2, "it is clearly worse for AdaBM on net.", "is not needed"),
        (-0.2, "it is clearly better for AdaBM on net.", ""),
    ],
)
def test_the_adaptive_strategy_is_told_apart(loss, verdict, advice):
    parts = told({"noise": 1.0, ADAPTIVE: loss}, pictures=14)
    assert (
        "takes 14 to 14 photographs of the same random order, the other pools 20" in parts.details
        and verdict in parts.details
    )
    assert "adaptive" not in parts.answer and advice in parts.practice
    assert ("not needed" in parts.practice) == bool(advice)


def test_the_adaptive_strategy_may_differ_at_the_same_bits_alone():
    details = told({"noise": 1.0, ADAPTIVE: 0.04}, ranges=2).details
    assert (
        "With bits as mapped it is nowhere clearly different from 20 random photographs; with the same bits for all, by ranges alone, it is "
        "clearly worse for "
        "AdaBM on net by 0.08 dB." in details
    )


def test_the_figure_has_a_row_a_network_and_columns_of_own_and_equal_bits():
    drawn = pool.figures(table({"noise": 1.0}, {"noise": 1.0}, networks=("one", "two")))[""].axes
    assert [axis.get_title() for axis in drawn[:2]] == ["bits as mapped", ALIKE] and len(drawn) == 4
    rows = [tick.get_text() for tick in drawn[0].get_yticklabels()]
    assert rows == [CLEAN, "noise", "noise, Fast"]
    assert [text.get_text() for text in drawn[0].texts] == ["FAB 4.00", "+1.00, FAB 4.00", "+1.00, FAB 4.00"]


def test_the_pictures_of_each_pool(tmp_path):
    _, bench = probed(tmp_path)
    run, count = Run.at("adabm", "W4A4 FQ", 0, {"tune": None}), len(bench.pool)
    clean, mixed, foreign, night, adaptive = (
        calibration(bench, run, name, 2, 0.5, tmp_path)
        for name in (CLEAN, "noise", "documents alone", "night alone", ADAPTIVE)
    )
    assert mixed[0] == clean[0] and mixed[1].name == "noise-0-1.png"  # in the middle of what they stand for
    assert read_rgb(mixed[1]).shape == read_rgb(clean[1]).shape
    assert [path.name for path in foreign] == ["drawings-0-0.png", "text-0-1.png"]
    assert all(path.name.startswith("night-") for path in night) and 1 <= len(adaptive) <= count
    assert adaptive[0] == clean[0]


def test_the_same_bits_for_all_and_the_model_as_it_was(tmp_path):
    model, bench = probed(tmp_path)
    for layer, factor in zip(adaptive_layers(model).values(), (-1.0, 1.0, 1.0)):
        layer.layer2bit.factor.fill_(factor)
    rows = {r["bits"]: r for r in quality(model, bench, 12, 2)["rows"]}
    assert rows[ALIKE]["fab"] == 4 and rows[IMAGES_ALIKE]["fab"] > 4
    assert len({r["psnr_y_db"] for r in rows.values()}) > 1 and len({r["full_db"] for r in rows.values()}) == 1
    with all_alike(model):
        pass
    assert quality(model, bench, 12, 2)["rows"][0] == rows[OWN]


def unit(bench, seed=0, **own):
    return Unit(bench, "W4A4 FQ", 2, 12, seed, own)


def test_a_tiny_study(tmp_path, monkeypatch):
    compute_here(monkeypatch)
    _, bench = probed(tmp_path)
    units = [unit(bench, 0), unit(bench, 1)]
    found = pool.measure(units, ["noise"], {"AdaBM": ADABM | {"seeds": [1]}}, 2, 0.5, tmp_path)
    assert found["psnr_y_db"].notna().all() and set(found["seed"][1:]) == {1} and len(found) == 1 + 2 * 3
    assert list(found["level"][1::3]) == [CLEAN, "noise"]


@pytest.mark.parametrize(
    "own, pools, methods, message",
    [
        ({}, ["nois"], {}, "unknown 'nois'"),
        ({"pools": ["dark"]}, [], {}, "backbones, net: pools: unknown 'dark'"),
        ({}, [], {"AdaBM": {"method": "adabm", "backbones": ["nett"]}}, "methods, AdaBM: backbones: unknown 'nett'"),
        ({}, [], {"AdaBM": {"method": "adabm", "seeds": []}}, "methods, AdaBM: seeds"),
        ({}, [], {"AdaBM": {}}, "'method' is missing"),
        ({}, ["noise"], {"AdaBM": ADABM | {"pools": ["text"]}}, "methods, AdaBM: pools: 'text' is not asked for"),
        ({}, ["noise"], {"AdaBM": ADABM | {"backbones": []}}, "methods, AdaBM: backbones = .*: names no network"),
        ({}, ["noise"], {}, "backbones, net: no method is asked of it"),
        (
            {},
            [],
            {"AdaBM": {"method": "adabm", "seeds": [0, 7]}},
            "methods, AdaBM: seed 7 is none of its networks', which have 0",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(own, pools, methods, message, tmp_path):
    _, bench = probed(tmp_path)
    with pytest.raises(ConfigError, match=message):
        pool.measure([unit(bench, **own)], pools, methods, 2, 0.5, tmp_path)
