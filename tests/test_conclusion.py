"""The parts of a conclusion: what is told is found again, and what has no such parts is told whole."""

from adabm.study.tables.conclusion import Told, answer, evidence, is_table, paragraphs, practice, take_apart


def test_what_is_written_is_found_again():
    rows = [{"series": "a", "p": "0.03"}, {"series": "b"}]
    parts = [answer("Five are enough."), "More do not harm.", practice("take 20."), *evidence(rows)]
    told = take_apart("\n\n".join(parts) + "\n")
    assert (told.answer, told.practice, told.details) == ("Five are enough.", "Take 20.", "More do not harm.")
    assert told.evidence.splitlines()[2:] == ["| a        | 0.03 |", "| b        |      |"]


def test_what_follows_the_bold_sentence_is_a_detail():
    assert take_apart("**Yes.** By 2 dB.\n\nOf 3 seeds.") == Told("Yes.", details="By 2 dB.\n\nOf 3 seeds.")


def test_a_first_paragraph_without_a_bold_sentence_is_the_answer():
    assert take_apart("**AdaBM** has 30 dB.\n\nMore.") == Told("**AdaBM** has 30 dB.", details="More.")
    assert take_apart("") == Told("")


def test_practice_is_found_however_it_is_marked():
    for text in ("**In practice**, do it.", "*In practice:* do it.", "In practice, do it."):
        assert take_apart(f"**Yes.**\n\n{text}") == Told("Yes.", practice="Do it.")


def test_tables_are_told_from_prose():
    assert evidence([]) == []
    table = evidence([{"a": "1"}])[0]
    assert is_table(table) and not is_table("a | b") and paragraphs(f"x\n\n\n{table}\n") == ["x", table]
