"""Damage to files, as strategies of hypothesis: lists of small operations that print and repeat."""

import json

from hypothesis import strategies as st

_PLACE = st.integers(0, 2**24)
_FEW = st.integers(1, 64)
_BYTES = st.binary(min_size=1, max_size=16)

# Places count from the head of a file in one half of the operations, where formats keep what they say of themselves.
bytes_operations = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.booleans(), _PLACE, st.integers(0, 7)),
        st.tuples(st.just("write"), st.booleans(), _PLACE, _BYTES),
        st.tuples(st.just("insert"), st.booleans(), _PLACE, _BYTES),
        st.tuples(st.just("delete"), st.booleans(), _PLACE, _FEW),
        st.tuples(st.just("repeat"), st.booleans(), _PLACE, _FEW),
        st.tuples(st.just("zero"), st.booleans(), _PLACE, _FEW),
        st.tuples(st.just("cut"), st.booleans(), _PLACE, st.none()),
    ),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, operations: list[tuple]) -> bytes:
    """Carry out ``bytes_operations``."""
    for name, at_head, place, what in operations:
        place %= max(1, min(512, len(data)) if at_head else len(data))
        before, after = data[:place], data[place:]
        if name == "flip":
            after = bytes([after[0] ^ (1 << what)]) + after[1:] if after else after
        elif name == "write":
            after = what + after[len(what) :]
        elif name == "insert":
            after = what + after
        elif name == "delete":
            after = after[what:]
        elif name == "repeat":
            after = after[:what] + after
        elif name == "zero":
            after = bytes(len(after[:what])) + after[what:]
        else:
            after = b""
        data = before + after
    return data


# -- JSON ------------------------------------------------------------------------------------------

_VALUES = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 1, 2, 1.5, 1e308, 10**9, 10**30, float("nan"), float("inf"), "", "1", "x" * 1000]
    ),
    st.sampled_from([[], {}, [1], [[]], {"a": 1}, "minmax", "own", "EDSR", "RCAN", 8, 4, 3]),
)
json_operations = st.lists(
    st.one_of(
        st.tuples(st.just("replace"), _PLACE, _VALUES),
        st.tuples(st.just("remove"), _PLACE, st.none()),
        st.tuples(st.just("rename"), _PLACE, st.text(max_size=8)),
        st.tuples(st.just("add"), _PLACE, _VALUES),
        st.tuples(st.just("swap"), _PLACE, _PLACE),
    ),
    min_size=1,
    max_size=3,
)


def edited(tree: object, operations: list[tuple]) -> object:
    """Carry out ``json_operations`` on a copy of a tree of dictionaries and lists."""
    root = [json.loads(json.dumps(tree))]
    for name, place, what in operations:
        what = json.loads(json.dumps(what))  # sampled values must not be changed
        places = list(_places(root))
        holder, key = places[place % len(places)]
        if name == "replace":
            holder[key] = what
        elif name == "swap":
            other, there = places[what % len(places)]
            holder[key], other[there] = json.loads(json.dumps([other[there], holder[key]]))
        elif name == "add":
            inner = holder[key]
            if isinstance(inner, dict):
                inner["more"] = what
            elif isinstance(inner, list):
                inner.append(what)
        elif holder is not root:
            value = holder.pop(key)
            if name == "rename" and isinstance(holder, dict):
                holder[what] = value
    return root[0]


def _places(holder: object):
    """Every place of a tree: what holds it, and its key."""
    for key, value in list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder)):
        yield holder, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def split_safetensors(data: bytes) -> tuple[dict, bytes]:
    """Return header and tensors of a safetensors file."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def join_safetensors(header: object, tensors: bytes) -> bytes:
    """The inverse; the header may be anything."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + tensors


# -- YAML ------------------------------------------------------------------------------------------

_TOKENS = st.sampled_from(
    [
        ": ", "- ", "{", "}", "[", "]", ",", "? ", "|", ">", "#", "&a ", "*a", "<<: *a", "!!python/object/apply:os.getcwd []",
        "!!binary aGk=", "!!set {a, b}", "!x ", "%YAML 9.9\n", "---\n", "...\n", "\t", "\x00", "\ufeff", "null", "true", "nan", ".nan",
        ".inf", "-.inf", "1e999", "0x10", "0b2", "0o9", "1_0", "2001-01-01", "2001-99-99", "12:30:61", "'", '"', "\\x", "9" * 5000,
        "[" * 2000, "{a: " * 500, "\n", "\r", "\u2028", "steps:\n", "imports: [x.py]\n",
    ]
)  # fmt: skip
text_operations = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), _PLACE, _TOKENS),
        st.tuples(st.just("replace"), _PLACE, _TOKENS),
        st.tuples(st.just("drop line"), _PLACE, st.none()),
        st.tuples(st.just("repeat line"), _PLACE, st.none()),
        st.tuples(st.just("indent line"), _PLACE, st.none()),
    ),
    min_size=1,
    max_size=4,
)


def retyped(text: str, operations: list[tuple]) -> str:
    """Carry out ``text_operations``."""
    for name, place, what in operations:
        if name in ("insert", "replace"):
            at = place % (len(text) + 1)
            text = text[:at] + what + text[at + (len(what) if name == "replace" else 0) :]
            continue
        lines = text.split("\n")
        at = place % len(lines)
        lines[at : at + 1] = {"drop line": [], "repeat line": [lines[at]] * 2, "indent line": ["  " + lines[at]]}[name]
        text = "\n".join(lines)
    return text


def yaml_bomb(levels: int = 30) -> str:
    """A kilobyte that stands for 9 ** levels texts."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"steps: *a{levels - 1}", f"label: *a{levels - 1}"]) + "\n"
