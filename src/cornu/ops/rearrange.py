"""Reshaping by a pattern that names the axes."""

import math
import re

from cornu.ops.kit import public
from cornu.ops.kit import tensor as _tensor
from cornu.symbolic import op


def _parse(side: str, pattern: str) -> list:
    """The groups of one side of a pattern, each a list of names: `b (h w) 1` gives [[b], [h, w], []]."""
    groups, inside = [], None
    for token in re.findall(r"\(|\)|\.\.\.|[A-Za-z_]\w*|\S", side):
        if token == "(" and inside is None:
            inside = []
        elif token == ")" and inside is not None:
            groups.append(inside)
            inside = None
        elif token == "1" or token == "..." and inside is None or token.isidentifier():
            names = [] if token == "1" else [token]
            groups.append(names) if inside is None else inside.extend(names)
        else:
            raise ValueError(f"rearrange: cannot read {token!r} in the pattern {pattern!r}.")
    if inside is not None:
        raise ValueError(f"rearrange: a bracket is not closed in the pattern {pattern!r}.")
    return groups


@op
def rearrange(tensor, pattern, **axes_lengths):
    """The axes in another order, split and joined as a pattern says.

    Args:
        tensor: a tensor.
        pattern: names of axes before and after `->`; brackets join axes, `1` is an axis of size 1, `...` any others.
        **axes_lengths: sizes of axes that brackets on the left split; one of each bracket may be left out.

    >>> rearrange([[1, 2, 3, 4, 5, 6]], "b (h w) -> b w h", h=3).shape
    (1, 2, 3)
    """
    x = _tensor(tensor)
    left, arrow, right = pattern.partition("->")
    if not arrow:
        raise ValueError(f"rearrange: the pattern needs '->' between the axes before and after. Received: {pattern!r}")
    before, after = _parse(left, pattern), _parse(right, pattern)
    names = [n for group in before for n in group]
    if sorted(names) != sorted(n for group in after for n in group) or len(set(names)) != len(names):
        raise ValueError(f"rearrange: the same names must stand on both sides of {pattern!r}, each once.")
    if unknown := set(axes_lengths) - set(names):
        raise ValueError(f"rearrange: sizes were given for {sorted(unknown)}, which {pattern!r} does not name.")
    free = x.ndim - len([g for g in before if g != ["..."]])
    if free < 0 or (free and ["..."] not in before):
        raise ValueError(f"rearrange: {pattern!r} does not fit a tensor of shape {x.shape}.")
    sizes = _sizes(before, x.shape, free, axes_lengths, pattern)
    order = [n for group in after for n in group]
    expanded = x.reshape([d for n in names for d in sizes[n]])
    start, places = 0, {}
    for n in names:
        places[n] = range(start, start + len(sizes[n]))
        start += len(sizes[n])
    expanded = expanded.transpose([p for n in order for p in places[n]])
    return expanded.reshape([d for group in after
                             for d in (sizes["..."] if group == ["..."] else [math.prod(sizes[n][0] for n in group)])])


def _sizes(groups, shape, free, given, pattern) -> dict:
    """The sizes of every name, as lists: one size each, any number for `...`."""
    sizes, axis = {}, 0
    for group in groups:
        if group == ["..."]:
            sizes["..."] = list(shape[axis:axis + free])
            axis += free
            continue
        size, unknown = shape[axis], [n for n in group if n not in given]
        known = math.prod(given[n] for n in group if n in given)
        if len(unknown) > 1:
            raise ValueError(f"rearrange: give the sizes of all but one of {unknown} in {pattern!r}.")
        if isinstance(size, int) and (size % known or (not unknown and size != known)):
            raise ValueError(f"rearrange: axis {axis} of size {size} does not split as {pattern!r} with {given} says.")
        sizes |= {n: [given[n]] for n in group if n in given} | {n: [size // known] for n in unknown}
        axis += 1
    return sizes


__all__ = public(globals())
