"""The unknown sizes of tensors while a shape is inferred: symbols, and what JAX's errors say about them.

First all unknown sizes of one axis are one symbol. When JAX reports that a symbol meets another size, they are one,
and the inference is done again; when it cannot compare a symbol with a number, the unknown sizes are taken as large;
where a number is needed, concrete trial sizes decide.
"""

import functools
import re

from jax import export

TRIALS = ((6, 192), (12, 384))  # (axis 0, other axes): two of them tell which sizes of an output are unknown
_LARGE = 4096
_NAME = r"dim\d+(?:_\w+)?"
_CALL = re.compile(r"\b(?:floordiv|mod|max|min)\([^()]*\)")
_SUM = re.compile(rf"(?:\d+\*)?\b(?:{_NAME}|None)\b(?: ?[-+*^] ?(?:\d+\*)?(?:\b{_NAME}\b|\bNone\b|\d+))*")
_LINEAR = re.compile(rf"(?:(\d+)\*)?({_NAME})(?: ([-+]) (\d+))?$")
_GROUP = re.compile(r"[(\[]([^()\[\]]+)[)\]]")
_REMARK = re.compile(r"(?:\s*Using symbolic scope .*|\s*Please see https?://\S+.*|\s*Symbolic dimensions? .* was created.*)")


class Sizes:
    """What is known of the unknown sizes (None) of some tensors.

    Args:
        shapes: the tensors' shapes.
    """

    def __init__(self, shapes: list):
        self.shapes = shapes
        self.apart = len(shapes) == 1  # whether every tensor has symbols of its own, but for the batch
        self.large = False  # whether symbols are larger than any number that they are compared with
        self.trial = None  # numbers in the place of symbols
        self.found: dict[str, tuple] = {}  # a symbol's name -> (factor, another symbol's name or None)

    def unknown(self) -> bool:
        return any(None in shape for shape in self.shapes)

    def all(self) -> list[tuple]:
        """The shapes, with a number or a symbol in the place of every None."""
        where = [[self._resolve(self._name(i, a)) if d is None else (d, None) for a, d in enumerate(shape)]
                 for i, shape in enumerate(self.shapes)]
        if self.trial is not None:
            return [tuple(factor if name is None else factor * self.trial[axis > 0]
                          for axis, (factor, name) in enumerate(shape)) for shape in where]
        names = dict.fromkeys(name for shape in where for _, name in shape if name is not None)
        symbols = dict(zip(names, _symbols(tuple(names), self.large)))
        return [tuple(factor if name is None else factor * symbols[name] for factor, name in shape) for shape in where]

    def _name(self, tensor: int, axis: int) -> str:
        return f"dim{axis}_{tensor}" if self.apart and axis and len(self.shapes) > 1 else f"dim{axis}"

    def _resolve(self, name: str) -> tuple:
        factor = 1
        while name in self.found:
            more, name = self.found[name]
            factor *= more
        return factor, name

    def learn(self, error: Exception) -> bool:
        """Take from an error which sizes are equal; whether anything was new."""
        text = str(error)
        if self.trial is not None or not re.search(rf"\b{_NAME}\b", text):
            return False
        if "requires a constant" in text:  # int(), range(): no symbol will do
            return False
        if type(error).__name__ == "InconclusiveDimensionOperation" or "equal division" in text:
            return self._learn_factor(text)
        pairs = [pair for pair in map(_solve, _equations(text)) if pair is not None]
        if not pairs:
            return False
        if not self.apart and any(not name.startswith("dim0") for name, _ in pairs):
            self.apart, self.found = True, {}
            return True
        known = len(self.found)
        for name, value in pairs:
            self.bind(name, value)
        return len(self.found) > known

    def _learn_factor(self, text: str) -> bool:
        rest = re.search(rf"mod\(([^(),]*), (?:- )?(\d+)\)", text)
        names = re.findall(_NAME, rest[1]) if rest else []
        if names:
            self.found[names[-1]] = int(rest[2]), f"{names[-1] if '_' in names[-1] else names[-1] + '_'}q"
        elif self.large:
            return False
        else:
            self.large = True
        return True

    def bind(self, name: str, value) -> None:
        """A symbol is a number, or another symbol."""
        factor, root = self._resolve(name)
        if root is None:
            return
        other = (value, None) if isinstance(value, int) else self._resolve(value)
        if factor == 1 and other[1] != root:
            self.found[root] = other

    def names(self) -> list[str]:
        """The symbols that are still free."""
        found = [self._resolve(self._name(i, a))[1] for i, shape in enumerate(self.shapes)
                 for a, d in enumerate(shape) if d is None]
        return [name for name in dict.fromkeys(found) if name is not None]


@functools.lru_cache(maxsize=512)
def _symbols(names: tuple, large: bool) -> tuple:
    constraints = [f"{name} >= {_LARGE}" for name in names] if large else ()
    return tuple(export.symbolic_shape(", ".join(names), constraints=constraints)) if names else ()


def _equations(text: str) -> list[tuple[str, str]]:
    """The pairs of sizes that an error says should be equal."""
    while text != (text := _CALL.sub("?", text)):
        pass
    if "had size" in text:
        sizes = re.findall(r"had size ([^:,\n]+)", text)
        return [(sizes[0], other) for other in sizes[1:]]
    for pattern in (rf"({_NAME}|\d+) vs ({_NAME}|\d+)", rf"({_NAME}|\d+)(?: // 1)? != ({_NAME}|\d+)"):
        if found := re.findall(pattern, text):
            return found
    groups = [[item.strip() for item in group.split(",") if item.strip()] for group in _GROUP.findall(text)]
    groups = [g for g in groups if g and all(re.fullmatch(rf"-?\d+|.*\?.*|[\w *+^-]*{_NAME}[\w *+^-]*", i) for i in g)]
    joined = re.search(r"along dimension (\d+)", text)
    pairs = []
    for place, one in enumerate(groups):
        for other in groups[place + 1:]:
            pairs += _aligned(one, other, int(joined[1]) if joined else None, "matmul" in text)
    pairs = [(a, b) for a, b in pairs if a != b]
    return [pair for pair in pairs if "1" not in pair] or pairs


def _aligned(one: list, other: list, without: int | None, product: bool) -> list:
    if product and len(one) > 1 and len(other) > 1:
        return [(one[-1], other[-2]), *zip(one[-3::-1], other[-3::-1])]
    if without is not None and len(one) == len(other):
        one, other = (x[:without] + x[without + 1:] for x in (one, other))
    return list(zip(one[::-1], other[::-1]))


def _solve(pair: tuple[str, str]) -> tuple | None:
    """A symbol and the number or symbol that it is, from two sizes that are equal; None where that cannot be said."""
    a, b = sorted(pair, key=lambda size: size.lstrip("-").isdigit())
    linear = _LINEAR.match(a)
    if linear is None:
        return None
    factor, name, sign, plus = linear.groups()
    if b.isdigit():
        rest = int(b) - int(plus or 0) * (-1 if sign == "-" else 1)
        whole, left = divmod(rest, int(factor or 1))
        return (name, whole) if not left and whole > 0 else None
    return (name, b) if re.fullmatch(_NAME, b) and re.fullmatch(_NAME, a) else None


def cleaned(text: str) -> str:
    """A message with None for every size that was a symbol in it."""
    if not re.search(rf"\b{_NAME}\b", text):
        return text
    text = _REMARK.sub("", text)
    while text != (text := _CALL.sub(lambda m: "None" if re.search(_NAME, m[0]) else m[0], text)):
        pass
    return _SUM.sub("None", text)


def common(one: str, other: str) -> str:
    """The text of two messages, with None for the numbers in which they differ."""
    a, b = re.split(r"(\d+)", one), re.split(r"(\d+)", other)
    return "".join(x if x == y else "None" for x, y in zip(a, b)) if a[::2] == b[::2] else one


def about_symbols(error: Exception) -> bool:
    """Whether an error only says that a number is needed in the place of a symbol."""
    text = f"{type(error).__name__} {error}"
    return any(word in text for word in ("Inconclusive", "UnexpectedDimVar", "_DimExpr", "ymbolic dimension",
                                         "polymorphi", "strings have no symbolic sizes"))
