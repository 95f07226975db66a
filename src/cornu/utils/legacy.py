"""The two functions of Keras's older interface for configs."""

from cornu import registry


def serialize_keras_object(instance):
    """A layer, loss ... as its config, or a function as its name."""
    return registry.serialize(instance)


def deserialize_keras_object(identifier, module_objects: dict | None = None, custom_objects: dict | None = None,
                             printable_module_name: str = "object"):
    """What a name or a config means.

    Args:
        identifier: a name, a config, or an object, which is given back.
        module_objects, custom_objects: names and what they stand for.
        printable_module_name: what to call it in errors.

    Raises ValueError for a name that means nothing.
    """
    known = {**(module_objects or {}), **(custom_objects or {})}
    if isinstance(identifier, str):
        with registry.custom_object_scope(known):
            return registry.resolve(identifier, None, printable_module_name)
    if isinstance(identifier, dict):
        return registry.deserialize(identifier, known, printable_name=printable_module_name)
    return identifier
