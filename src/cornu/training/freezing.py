"""Which variables a model trains where it, or a part of it, is frozen.

Freezing takes effect at once: a step is made for the variables that train. There is one exception, for the classic
program of a GAN: compile the discriminator, freeze it, compile the model around it, then train both in turns. A model that
was frozen while one around it was compiled goes on training by itself what its own `compile` saw, until it is compiled
or its `trainable` is set again.
"""

import contextlib

from cornu import context, frames


def note(model) -> None:
    """Remember at the end of a model's `compile` what trains in it, and let frozen models within keep what theirs saw."""
    parts = model._flatten_layers()
    model.__dict__["_saw_trains"] = {part: part.trainable for part in (*parts, *model.weights)}
    model.__dict__.pop("_keeps_trains", None)
    for part in parts[1:]:
        seen = part.__dict__.get("_saw_trains")
        if seen is not None and not part.trainable:
            made_since = {v: v.made_trainable for v in part.weights}
            part.__dict__["_keeps_trains"] = {**made_since, **seen}


@contextlib.contextmanager
def as_compiled(model):
    """Within it, what trains is what the model's steps are to train."""
    kept = model.__dict__.get("_keeps_trains")
    if kept and not model.__dict__.get("_told_kept"):
        model.__dict__["_told_kept"] = True
        frames.warn(f"Model {model.name!r} was frozen when a model that contains it was compiled. Trained by itself it goes "
                    "on to train what it did when it was compiled. To change that set its `trainable`, or compile it.")
    token = context.trains.set(kept)
    try:
        yield
    finally:
        context.trains.reset(token)


def warn_of_nothing(model, trainable: list) -> None:
    """Say once that a model trains nothing since it is frozen."""
    if not trainable and not model.__dict__.get("_told_frozen") and any(v.made_trainable for v in model.weights):
        model.__dict__["_told_frozen"] = True
        frames.warn(f"Model {model.name!r} is frozen, so training changes none of its weights. Set trainable=True in it, or in "
                    "some of its layers.")
