"""The parts of a conclusion: the answer in one sentence, what follows for practice, and what stands behind both.

A conclusion is a list of paragraphs in Markdown. The first begins with the answer, one sentence in bold; one may begin with
"In practice:"; tables tell how sure the answer is: differences, spreads, seeds and p values, which no prose holds.
"""

import re
from dataclasses import dataclass

import pandas as pd

PRACTICE = "In practice:"
ADVISED = "in practice"  # heads the first column of a table of advice
_ANSWER = re.compile(r"\*\*(.+?[.!?])\*\*\s*", re.DOTALL)
_PRACTICE = re.compile(r"[*_]*in practice\b[:,*_ ]*", re.IGNORECASE)
_TABLE = re.compile(r"\|")
_ADVISED = re.compile(rf"\|\s*{ADVISED}\b")


@dataclass(frozen=True)
class Told:
    """A conclusion taken apart; each part is Markdown, and empty where there is none."""

    answer: str
    practice: str = ""
    details: str = ""
    evidence: str = ""  # tables
    advised: str = ""  # the table of advice


def answer(sentence: str) -> str:
    """Return the first paragraph of a conclusion: its answer.

    >>> answer("Five pictures are enough.")
    '**Five pictures are enough.**'
    """
    return f"**{sentence}**"


def practice(sentence: str) -> str:
    """Return the paragraph that tells what follows for practice."""
    return f"*{PRACTICE}* {sentence}"


def evidence(rows: list[dict]) -> list[str]:
    """Return a table as a paragraph of Markdown, in a list; nothing where it has no rows.

    Args:
        rows: texts by heading; those that one lacks stay empty.
    """
    return [pd.DataFrame(rows).fillna("").to_markdown(index=False, disable_numparse=True)] if rows else []


def advised(rows: list[dict]) -> list[str]:
    """Return a table of advice, which follows what is told for practice; its first column is headed as such.

    >>> print(*advised([{"network": "a", "steps": "5"}]))
    | in practice, network   | steps   |
    |:-----------------------|:--------|
    | a                      | 5       |
    """
    return evidence(
        [
            {f"{ADVISED}, {name}" * (not place) or name: cell for place, (name, cell) in enumerate(row.items())}
            for row in rows
        ]
    )


def paragraphs(conclusion: str) -> list[str]:
    """Return the paragraphs of a conclusion, tables included."""
    return [part for part in re.split(r"\n{2,}", conclusion.strip()) if part]


def is_table(paragraph: str) -> bool:
    """Whether a paragraph is a table."""
    return bool(_TABLE.match(paragraph))


def take_apart(conclusion: str) -> Told:
    """Find answer, practice, details, evidence and the table of advice in a conclusion.

    Where the first paragraph does not begin with a bold sentence, all of it is the answer.

    >>> take_apart("**Yes.** By 2 dB.\\n\\n*In practice:* do it.")
    Told(answer='Yes.', practice='Do it.', details='By 2 dB.', evidence='', advised='')
    """
    first, *others = paragraphs(conclusion) or [""]
    bold = _ANSWER.match(first)
    found = Told(bold[1]) if bold else Told(first)
    details = [first[bold.end() :]] if bold and first[bold.end() :] else []
    practices = [part for part in others if _PRACTICE.match(part)]
    details += [part for part in others if part not in practices and not is_table(part)]
    told = " ".join(_capitalized(_PRACTICE.sub("", part, count=1)) for part in practices)
    tables, advice = (
        [part for part in others if is_table(part) and bool(_ADVISED.match(part)) is is_advice]
        for is_advice in (False, True)
    )
    return Told(found.answer, told, *("\n\n".join(parts) for parts in (details, tables, advice)))


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
