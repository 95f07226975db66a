"""What an einsum equation of an input and a kernel says about shapes."""

import re


def einsum_shapes(owner: str, equation: str, input_shape, output_shape, bias_axes) -> tuple:
    """The shapes of the kernel and of the bias (None where bias_axes is None) of a dense layer over any axes.

    Raises ValueError, in the name of the owner, for an equation that fits neither the input nor the output.
    """
    found = re.fullmatch(r"(\.{0,3}[a-zA-Z]*\.{0,3}),([a-zA-Z]+)->(\.{0,3}[a-zA-Z]*\.{0,3})",
                         equation.replace(" ", ""))
    if not found:
        raise ValueError(f"{owner}: equation {equation!r} is not of the form 'ab,bc->ac', with '...' at one end "
                         "of the first and the last part at most.")
    left, weight, right = found.groups()

    def sizes(letters, shape, what):
        plain = letters.replace(".", "")
        if len(shape) < len(plain) or "." not in letters and len(shape) != len(plain):
            raise ValueError(f"{owner}: {what} of shape {tuple(shape)} does not fit {letters!r} in equation "
                             f"{equation!r}.")
        return dict(zip(plain, shape[len(shape) - len(plain):] if letters.startswith("...") else shape))

    have = sizes(left, input_shape, "an input")
    full = (input_shape[0], *output_shape)
    if right.startswith("...") and right != "...":  # the batch may be among the dots
        full = (*(None,) * len(right), *output_shape)
    want = sizes(right, full, f"output_shape={output_shape}, with the batch,")
    for letter, size in want.items():
        if have.get(letter) is not None and size is not None and have[letter] != size:
            raise ValueError(f"{owner}: axis {letter!r} of equation {equation!r} is {have[letter]} in the input, "
                             f"but {size} in output_shape={output_shape}.")
    known = {**want, **{k: n for k, n in have.items() if n is not None or k not in want}}
    for letter in weight:
        if known.get(letter) is None:
            raise ValueError(f"{owner}: the size of the kernel's axis {letter!r} in equation {equation!r} is "
                             f"unknown. Received an input of shape {input_shape}, output_shape={output_shape}.")
    if bias_axes is None:
        return tuple(known[c] for c in weight), None
    plain = right.replace(".", "")
    missing = [c for c in bias_axes if c not in plain]
    if missing:
        raise ValueError(f"{owner}: bias_axes={bias_axes!r} has letters that the output {right!r} has not: "
                         f"{missing}")
    first = min(map(plain.index, bias_axes)) if bias_axes else len(plain)
    bias = [known.get(c) if c in bias_axes else 1 for c in plain[first:]]
    if right.endswith("..."):
        bias += [1] * (len(input_shape) - len(left.replace(".", "")))
    return tuple(known[c] for c in weight), tuple(bias)
