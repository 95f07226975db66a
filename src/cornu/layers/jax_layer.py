"""Functions and modules that are written for JAX as layers: `JaxLayer`, and `FlaxLayer` for flax.linen."""

import inspect

import jax
import jax.numpy as jnp

from cornu import check, dtypes, registry, tree
from cornu.layers.layer import Layer
from cornu.layers.parts import called
from cornu.random import SeedGenerator
from cornu.symbolic import has_tensor
from cornu.variable import Variable


class JaxLayer(Layer):
    """A pure JAX function as a layer.

    Args:
        call_fn: the function. Its arguments, by name: `inputs`, and where it has them `params` (the values that are
            trained), `state` (others), `rng` (a key in training, else None) and `training`. It returns the outputs; if
            it takes `state`, the outputs and the new state.
        init_fn: makes the first values: `params`, or `(params, state)` where call_fn takes a state. Its arguments, by
            name: `rng`, `inputs` (zeros, one sample where the batch size is unknown) and `training` (True).
        params, state: the first values, any trees of arrays and numbers (leaves of other kinds are handed on as they are);
            what is None comes from init_fn, or stays None where the other one is given.
        seed: of the keys.
        native_serialization_platforms: must be None: it is for files of TensorFlow's.

    Raises ValueError for functions with other arguments, and where neither init_fn nor values are given. Functions are
    written into configs by their registered names.

    >>> layer = JaxLayer(lambda params, inputs: inputs @ params["w"], params={"w": jnp.ones((3, 2))})
    >>> layer(jnp.ones((1, 3))), layer.weights[0].path
    (Array([[3., 3.]], dtype=float32), 'jax_layer/w')
    """

    _not_in_config = frozenset(("params", "state"))

    def __init__(self, call_fn, init_fn=None, params=None, state=None, seed=None, native_serialization_platforms=None,
                 **kwargs):
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.call_fn, self.init_fn, self.seed = call_fn, init_fn, seed
        self._call_names = _names(owner, "call_fn", call_fn, ("params", "state", "rng", "inputs", "training"), "inputs")
        self._init_names = _names(owner, "init_fn", init_fn, ("rng", "inputs", "training")) if init_fn else ()
        if native_serialization_platforms is not None:
            raise ValueError(f"{owner}: native_serialization_platforms is for TensorFlow's files, which cornu does not "
                             "write.")
        self.native_serialization_platforms = None
        self._start = {"params": params, "state": state}
        taken = [n for n in ("params", "state") if n in self._call_names]
        if taken and init_fn is None and params is None and state is None:
            raise ValueError(f"{owner}: call_fn takes {' and '.join(taken)}. Pass init_fn, or the first values as "
                             f"{' and '.join(n + '=...' for n in taken)} (configs do not hold them).")
        if "rng" in self._call_names or "rng" in self._init_names:
            self.seed_generator = SeedGenerator(seed)
        self._input_dtypes, self._trees = None, {}
        for name in taken:
            if self._start[name] is not None:
                self._keep(name)

    def _maybe_build(self, args, kwargs) -> None:
        inputs = args[0] if args else kwargs.get("inputs")
        if has_tensor(inputs):
            self._input_dtypes = tree.map_structure(lambda x: dtypes.standardize(x.dtype), inputs)
        super()._maybe_build(args, kwargs)

    def build(self, input_shape):
        left = [n for n in ("params", "state") if n in self._call_names and n not in self._trees]
        if left and self.init_fn is not None:
            self._initialize(input_shape)
        for name in left:
            self._keep(name)

    def _keep(self, name: str) -> None:
        """Make variables of the first values; leaves that are no numbers stay as they are."""
        plain = jax.tree.map(_value, self._start[name], is_leaf=lambda leaf: isinstance(leaf, Variable))
        pairs, treedef = jax.tree_util.tree_flatten_with_path(plain)
        self._trees[name] = treedef, [self._hold(name, path, value) for path, value in pairs]
        self._start[name] = None  # the variables hold the values now

    def _initialize(self, input_shape):
        """What was not given, from init_fn."""
        with jax.core.eval_context():
            shapes = tree.map_shape_structure(lambda s: tuple(1 if n is None else n for n in s), input_shape)
            kinds = self._input_dtypes or tree.map_shape_structure(lambda s: self.compute_dtype, shapes)
            inputs = jax.tree.map(lambda dtype, shape: jnp.zeros(shape, dtype), kinds, shapes)
            told = {"inputs": inputs, "training": True, "rng": None}
            if "rng" in self._init_names:
                told["rng"] = SeedGenerator(self.seed).next()
            made = self.init_fn(**{n: told[n] for n in self._init_names})
        if "state" in self._call_names and "params" in self._call_names:
            if not isinstance(made, (tuple, list)) or len(made) != 2:
                raise ValueError(f"{called(self)}: call_fn takes a state, so init_fn must return a pair (params, "
                                 f"state). It returned {made!r:.80}")
            made = dict(zip(("params", "state"), made))
        else:
            made = dict.fromkeys(("params", "state"), made)
        self._start = made

    def _hold(self, name, path, value):
        if not isinstance(value, (bool, int, float, complex)) and not hasattr(value, "dtype"):
            return value
        value = jnp.asarray(value)
        keys = (next((getattr(k, n) for n in ("key", "idx", "name") if hasattr(k, n)), k) for k in path)
        label = "_".join(self._label(list(map(str, keys)))).replace("/", "_")
        return self.add_weight(value.shape, lambda *_, **__: value, dtype=value.dtype, name=label or name,
                               trainable=name == "params" and jnp.issubdtype(value.dtype, jnp.floating))

    def _label(self, keys: list) -> list:
        """The parts of a variable's name."""
        return keys

    params = property(lambda self: self._tree("params"), doc="The trained variables in call_fn's structure.")
    state = property(lambda self: self._tree("state"), doc="The other variables in call_fn's structure.")

    def _tree(self, name):
        if name not in self._trees:
            return None
        treedef, variables = self._trees[name]
        return treedef.unflatten(variables)

    def call(self, inputs, training=False):
        told = {"inputs": inputs, "training": bool(training), "rng": None}
        told |= {name: treedef.unflatten(map(_value, own)) for name, (treedef, own) in self._trees.items()}
        if training and "rng" in self._call_names:
            told["rng"] = self.seed_generator.next()
        outputs = self.call_fn(**{n: told[n] for n in self._call_names})
        if "state" not in self._call_names:
            return outputs
        outputs, state = outputs
        treedef, variables = self._trees["state"]
        try:
            values = treedef.flatten_up_to(state)
        except ValueError as error:
            raise ValueError(f"{called(self)}: call_fn returned a state of another structure than it was given: {error}") from None
        for variable, value in zip(variables, values, strict=True):
            if isinstance(variable, Variable):
                variable.assign(value)
        return outputs

    def get_build_config(self) -> dict | None:
        """The shape of the inputs, and their dtypes where they are no floats: init_fn may look at them."""
        config, whole = super().get_build_config(), self._input_dtypes
        return config if config is None or whole is None else {**config, "input_dtype": whole}

    def build_from_config(self, config: dict) -> None:
        """Build with the shapes and dtypes that a file holds."""
        self._input_dtypes = config.get("input_dtype")
        super().build_from_config({k: v for k, v in config.items() if k != "input_dtype"})

    @classmethod
    def from_config(cls, config: dict):
        """A layer whose functions (or module) are read from their names; they must be registered."""
        return cls(**{k: registry.deserialize(v) if k in ("call_fn", "init_fn", "module", "method") else v
                      for k, v in config.items()})


def _value(leaf):
    return leaf.value if isinstance(leaf, Variable) else leaf


def _names(owner, argument, function, allowed, *needed) -> tuple:
    """The names of a function's arguments, which must be among the allowed ones."""
    if not callable(function):
        raise ValueError(f"{owner}: {argument} must be a function. Received: {function!r:.80}")
    names = tuple(inspect.signature(function).parameters)
    wrong = [n for n in names if n not in allowed] or [n for n in needed if n not in names]
    if wrong:
        raise ValueError(f"{owner}: {argument} takes arguments of the names {', '.join(allowed)}"
                         f"{' and must take inputs' if needed else ''}. Received one of ({', '.join(names)}).")
    return names


class FlaxLayer(JaxLayer):
    """A flax.linen module as a layer. Needs `pip install "cornu[flax]"`.

    Args:
        module: the module. If its method takes `training`, it is told; in training there is a key for "dropout".
        method: the method that is called, its name, or a function that takes the module first; `__call__` if None.
        variables: the first values, as `module.init` gives them: "params" are trained, the other collections are
            state. Made by `module.init` if None.

    Raises ValueError for other modules: wrap those of flax.nnx with `flax.nnx.bridge.to_linen`.

    >>> import flax.linen as nn                                                 # doctest: +SKIP
    >>> FlaxLayer(nn.Dense(2))(jnp.ones((1, 3))).shape                          # doctest: +SKIP
    (1, 2)
    """

    _not_in_config = JaxLayer._not_in_config | {"call_fn", "init_fn", "variables", "seed"}

    def __init__(self, module, method=None, variables=None, **kwargs):
        try:
            from flax import linen
        except ImportError:
            raise check.missing_package("flax", "flax", "FlaxLayer") from None
        if not isinstance(module, linen.Module):
            raise ValueError(f"FlaxLayer takes a flax.linen module (an nnx one through flax.nnx.bridge.to_linen). "
                             f"Received {type(module).__module__}.{type(module).__name__}.")
        method_name = "__call__" if method is None else method
        found = getattr(type(module), method_name, None) if isinstance(method_name, str) else method
        if not callable(found):
            raise ValueError(f"FlaxLayer: argument `method` must be a method of {type(module).__name__}, its name or a "
                             f"function. Received: {method!r:.80}")
        takes_training = "training" in inspect.signature(found).parameters

        def apply(params, state, rng, inputs, training):
            told = {"training": training} if takes_training else {}
            return module.apply({**params, **state}, inputs, **told, method=found, mutable=list(state),
                                rngs=None if rng is None else {"dropout": rng})

        def init(rng, inputs, training):
            told = {"training": training} if takes_training else {}
            return _split(module.init({"params": rng, "dropout": rng}, inputs, **told, method=found))

        params, state = (None, None) if variables is None else _split(variables)
        super().__init__(apply, init, params, state, **kwargs)
        own = getattr(type(module), getattr(method, "__name__", ""), None)
        is_own = own is not None and getattr(method, "__func__", method) is own
        self.module, self.method = module, method.__name__ if is_own else method  # configs hold a method by its name

    def _label(self, keys):
        return keys[1:] if keys[0] == "params" else keys


def _split(variables):
    """The collections that are trained, and the others."""
    return [{k: v for k, v in variables.items() if (k == "params") is trained} for trained in (True, False)]
