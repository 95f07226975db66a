"""`keras.distribution` for packages that name its parts when they are imported.

cornu cannot spread a model over devices yet. What asks about the machine answers truly: which
devices there are, and that no distribution is set. What would spread something says that it
can't. So packages that have one path for many devices take their path for one.
"""

import jax

_LESS = (
    "keras.distribution.{} is not in cornu: it runs a model on one device yet. Leave the "
    "distribution out, or run this part under Keras."
)


def list_devices(device_type: str | None = None) -> list[str]:
    """The devices of this type, or all, as ["cpu:0"].

    Raises RuntimeError where this machine has none of the type.

    >>> from cornu.doors import distribution
    >>> distribution.list_devices("cpu")
    ['cpu:0']
    """
    devices = jax.devices(device_type and device_type.lower())
    return [f"{device.platform}:{device.id}" for device in devices]


def get_device_count(device_type: str | None = None) -> int:
    """How many devices of this type there are, or of all.

    >>> from cornu.doors import distribution
    >>> distribution.get_device_count("cpu")
    1
    """
    return len(list_devices(device_type))


def distribution() -> None:
    """The distribution that is set: there is none."""


def set_distribution(value) -> None:
    """Set no distribution; any other raises NotImplementedError."""
    if value is not None:
        raise NotImplementedError(_LESS.format("set_distribution"))


def _absent(name):
    """A class that packages may name, ask isinstance of, and derive from; making one raises."""

    def refuse(self, *args, **kwargs):
        raise NotImplementedError(_LESS.format(name))

    return type(name, (), {"__init__": refuse, "__module__": "keras.distribution"})


DeviceMesh = _absent("DeviceMesh")
TensorLayout = _absent("TensorLayout")
LayoutMap = _absent("LayoutMap")
Distribution = _absent("Distribution")  # Keras has it in keras.src alone
DataParallel = _absent("DataParallel")
ModelParallel = _absent("ModelParallel")


def distribute_tensor(tensor, layout):
    """Not here: raises NotImplementedError."""
    raise NotImplementedError(_LESS.format("distribute_tensor"))


def initialize(
    job_addresses: str | None = None, num_processes: int | None = None, process_id: int | None = None
):
    """Not here: raises NotImplementedError. `jax.distributed.initialize` joins processes."""
    raise NotImplementedError(_LESS.format("initialize"))
