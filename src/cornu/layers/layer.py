"""Layer: weights, `build`, `call`, and the way to a call through casts, masks and shapes.

Long because the base holds all that layers share.
"""
# long because: the one base that all layers share

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np

from cornu import arguments, context, dtypes, errors, frames, initializers, registry, sparse, tree, trials
from cornu import constraints as constraints_module
from cornu import regularizers as regularizers_module
from cornu.context import CallContext
from cornu.holder import Holder, Seen
from cornu.input_spec import assert_input_compatibility, no_tensor
from cornu.rematerialization import current as current_remat
from cornu.symbolic import Call, KerasTensor, Operation, any_symbolic, has_tensor, infer, put_mask, shapes_of
from cornu.variable import Variable, functional, in_scope, scope_losses


def _wrap_build(build):
    """Around a class's own `build`: the variables' paths, the shapes for the config, and the flag `built`."""

    @functools.wraps(build)
    def wrapper(self, *args, **kwargs):
        if self._building:  # super().build(...)
            return build(self, *args, **kwargs)
        params = list(inspect.signature(build).parameters.values())[1:]
        names_of = [p.name for p in params]
        by_place = len(args) > len(names_of) or any(p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY) for p in params)
        shapes = {**dict(zip(names_of, args)), **kwargs}
        shapes = trials.building(self, {k: tree.as_shapes(v) for k, v in shapes.items()})
        self._building = True
        try:
            with trials.whole_or_not(self), context.name_scope(self.name):
                build(self, *args, **kwargs) if by_place else build(self, **shapes)
        finally:
            self._building = False
        self._build_shapes = shapes
        self.built = True

    wrapper._wrapped = True
    return wrapper


def _holds_numbers(array) -> bool:
    """Whether an array of Python objects holds numbers, as frames of mixed columns give it."""
    return array.size > 0 and isinstance(array.reshape(-1)[0], (int, float, complex, np.number))


class Layer(Holder, Operation):
    """A layer has weights, made in `build`, and a computation, `call`.

    Args:
        activity_regularizer: regularizer of the output: its value is added to the losses.
        trainable: whether its weights are trained.
        dtype: a dtype or DTypePolicy; the global policy if None.
        autocast: whether float inputs are cast to the compute dtype; weights are in any case read in it.
        name: its name; made up from the class's name if None.

    A subclass defines `call(self, inputs)`, which may also take `training` and `mask`, and may define `__init__`,
    `build(self, input_shape)` (where `add_weight` belongs), `compute_mask` and `get_config`. Weights and layers that
    are kept in attributes, lists or dicts are found without further ado.

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")
    ...     def call(self, inputs):
    ...         return inputs * self.scale
    >>> Scale()(np.ones((2, 3), "float32")).shape
    (2, 3)
    """

    supports_masking = False  # whether a mask of the input is handed on, or dealt with
    input_spec = None
    _reads_wide = False  # whether float32 inputs are not narrowed to a 16-bit compute dtype: `call` narrows its result
    takes_sparse = None  # whether `call` takes sparse tensors; they are made dense before it otherwise
    _weightless = False  # whether there is nothing to build

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__ and not getattr(cls.build, "_wrapped", False):
            cls.build = _wrap_build(cls.build)

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, name=None, **kwargs):
        shape = arguments.legacy_input_shape(kwargs)
        arguments.refuse_later(type(self).__name__, kwargs)
        if kwargs:
            raise arguments.unknown(type(self), kwargs)
        if not isinstance(trainable, (bool, np.bool_)):
            raise ValueError(f"{type(self).__name__}: argument `trainable` must be True or False. Received: {trainable!r:.80}")
        object.__setattr__(self, "_initialized", True)
        Operation.__init__(self, name)
        self.activity_regularizer = regularizers_module.get(activity_regularizer)
        self.dtype_policy = dtypes.get(dtype)
        self.autocast = autocast
        self.built = self._weightless and getattr(type(self).build, "_is_default", False)
        self._trainable = bool(trainable)
        self._losses = []
        self._build_shapes = None
        if (scope := current_remat()) is not None:
            self._remat = scope
        if (call := context.current()) is not None and call.path:
            self._made_in_call = True
        if shape is not None:
            self._input_shape_arg = shape

    # dtypes ----------------------------------------------------------------------------------------------------

    @property
    def dtype_policy(self):
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, policy) -> None:
        policy = dtypes.get(policy)
        policy = policy[self.path or self.name] if isinstance(policy, dtypes.DTypePolicyMap) else policy
        object.__setattr__(self, "_dtype_policy", policy)
        object.__setattr__(self, "_compute_dtype", policy.compute_dtype)

    compute_dtype = property(lambda self: self._compute_dtype)
    variable_dtype = property(lambda self: self._dtype_policy.variable_dtype)
    dtype = property(lambda self: self._dtype_policy.variable_dtype)
    input_dtype = property(lambda self: self._compute_dtype)
    _build_shapes_dict = Seen(lambda self: self._build_shapes)  # its name in Keras
    quantization_mode = None

    @property
    def path(self) -> str | None:
        """Where the layer stands in its model, known once it has weights."""
        own = [v for v in self.__dict__.values() if isinstance(v, Variable)]
        return own[0].path.rpartition("/")[0] if own else getattr(self, "name", None)

    # building --------------------------------------------------------------------------------------------------

    def build(self, input_shape):
        """Make the weights. The default makes those of the sublayers, by tracing `call` on the given shapes."""
        if self.built:
            return
        if type(self).call is not Layer.call and self._sublayers:
            inputs = self._tensors(input_shape)
            self.built = True  # the sublayers build themselves in the traced call
            try:
                with context.name_scope("", override=context.name_path()[:-1]):  # the call adds the name again
                    infer(self._traced, (inputs,), {}, self.name)
            except Exception:
                self.built = False
                raise

    build = _wrap_build(build)
    build._is_default = True

    def _maybe_build(self, args, kwargs) -> None:
        shapes = {name: shapes_of(value) for name, value in self._arguments(args, kwargs).items() if has_tensor(value)}
        if getattr(type(self).build, "_is_default", False):  # sublayers build themselves when they are called
            self._build_shapes = trials.building(self, {"input_shape": next(iter(shapes.values()), None)})
            self.built = True
            return
        wanted = list(inspect.signature(type(self).build).parameters)[1:]
        if len(wanted) == 1 and wanted[0].removesuffix("_shape") not in shapes or len(shapes) == 1 and len(wanted) == 1:
            try:
                self.build(next(iter(shapes.values()), None))
            except TypeError as error:
                raise error if shapes else no_tensor(self.name, 0, [*args, *kwargs.values(), None][0])
        else:
            self._check_build(wanted)
            self.build(**{n: shapes.get(n.removesuffix("_shape").removesuffix("_shapes")) for n in wanted
                          if n.removesuffix("_shape") in shapes})
        if not self.built:
            raise RuntimeError(f"Layer {self.name!r}: build() ran but left `built` False.")

    def _check_build(self, wanted) -> None:
        """Raise ValueError where `build` asks for shapes that no argument of `call` has."""
        params = inspect.signature(type(self).build).parameters
        of_call = inspect.signature(type(self).call).parameters
        if any(p.kind is p.VAR_KEYWORD for p in of_call.values()):
            return
        for name in wanted:
            if params[name].default is inspect.Parameter.empty and params[name].kind is not params[name].VAR_KEYWORD \
                    and name.removesuffix("_shape").removesuffix("_shapes") not in of_call:
                raise ValueError(
                    f"Layer {self.name!r} ({type(self).__name__}): build() takes {name!r}, but no argument of call() has "
                    f"that name{'' if name.endswith(('_shape', '_shapes')) else ' without an ending `_shape`'}.\nWhere build() "
                    "takes several shapes, it takes x_shape for an argument x of call(). Arguments of call(): "
                    f"{', '.join(list(of_call)[1:])}.")

    def _arguments(self, args, kwargs) -> dict:
        named = arguments.of_call(type(self).call)[0]
        if len(args) > len(named):
            return {**{f"args_{i}": a for i, a in enumerate(args)}, **kwargs}
        return {**dict(zip(named, args)), **kwargs}

    @frames.filtered
    def add_weight(self, shape=None, initializer=None, dtype=None, trainable: bool = True, autocast: bool = True,
                   regularizer=None, constraint=None, aggregation: str = "none", overwrite_with_gradient: bool = False,
                   name: str | None = None, layout=None) -> Variable:
        """Make a weight of this layer.

        Args:
            shape: its shape; () if None.
            initializer: a name, config, initializer or function; glorot_uniform for floats, else zeros, if None.
            dtype: the variable dtype of the policy if None.
            trainable: whether optimizers change it.
            autocast: whether it is read in the compute dtype.
            regularizer: its value is added to the losses.
            constraint: applied after every update.
            aggregation: how replicas' values are joined.
            overwrite_with_gradient: whether the optimizer puts the gradient in its place.
            name: its name.
            layout: its layout over devices.
        """
        if not self._initialized:
            raise RuntimeError(f"{type(self).__name__}.__init__ did not call super().__init__(). Call it first.")
        self._refuse_in_call("add_weight was called")
        if self._made_in_call:
            self._note_made()
        dtype = dtypes.standardize(dtype or self.variable_dtype)
        initializer = initializer or ("glorot_uniform" if dtypes.is_float(dtype) else "zeros")
        scope = () if self._building or not self.name else (self.name,)
        with context.name_scope("", override=(*context.name_path(), *scope)):
            variable = Variable(initializers.get(initializer), shape=() if shape is None else shape, dtype=dtype,
                                trainable=trainable, autocast=autocast, aggregation=aggregation, layout=layout,
                                name=name)
        variable.regularizer = regularizers_module.get(regularizer)
        variable.constraint = constraints_module.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        return variable

    def add_variable(self, shape, initializer, dtype=None, trainable: bool = True, autocast: bool = True,
                     regularizer=None, constraint=None, name: str | None = None) -> Variable:
        """`add_weight` under its older name."""
        return self.add_weight(shape, initializer, dtype, trainable, autocast, regularizer, constraint, name=name)

    def get_build_config(self) -> dict | None:
        """The shapes that `build` was given, for the file."""
        shapes = self._build_shapes
        if not shapes:
            return None
        return {"input_shape": next(iter(shapes.values()))} if len(shapes) == 1 else {"shapes_dict": shapes}

    def build_from_config(self, config: dict) -> None:
        """Build with the shapes that a file holds."""
        if not self.built and config:
            shapes = config.get("shapes_dict") or ({} if "input_shape" in config else config)
            with jax.core.eval_context():
                if shapes:
                    self.build(**shapes)
                elif config.get("input_shape") is not None:
                    self.build(config["input_shape"])

    # calling ---------------------------------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        if not self._initialized:
            raise RuntimeError(f"{type(self).__name__}.__init__ did not call super().__init__(). Add it as its first "
                               "line.")
        outer = context.current()
        try:
            return self._symbolic(args, kwargs) if any_symbolic(args, kwargs) else self._concrete(outer, args, kwargs)
        except Exception as error:
            shown = (errors.in_layer if outer is None or not outer.path else errors.note_layer)(error, self, args)
            if shown is error:
                raise
            raise shown from None

    def _symbolic(self, args, kwargs):
        if not self.built:
            self._check(args, kwargs)
            self._maybe_build(args, kwargs)
        self._check(args, kwargs)
        outputs = self.compute_output_spec(*args, **kwargs)
        Call(self, args, kwargs, outputs)
        return outputs

    def _check(self, args, kwargs):
        if self.input_spec is not None:
            assert_input_compatibility(self.input_spec, [*args, *kwargs.values(), None][0], self.name)

    def _concrete(self, outer, args, kwargs):
        """Cast, fill in `training` and masks, build, run `call` in its context, and hand masks and losses on."""
        if sparse.any_sparse(args, kwargs):
            args, kwargs = self._sparse_arguments((args, kwargs))
        if args:
            args = tuple(self._cast(a) for a in args)
        for key in kwargs:
            kwargs[key] = self._cast(kwargs[key])
        named, takes_training, default, mask_names = arguments.of_call(type(self).call)
        training = kwargs.get("training")
        if training is None:
            if takes_training and "training" in named[:len(args)]:
                training = args[named.index("training")]
            if training is None:
                training = outer.training if outer is not None and outer.training is not None else default
            if takes_training and "training" not in named[:len(args)]:
                kwargs["training"] = training
        elif not takes_training and "training" in kwargs and "kwargs" not in type(self).call.__code__.co_varnames:
            kwargs.pop("training")
        own = CallContext(training, self._compute_dtype,
                          outer.masks if outer is not None else None,
                          (*outer.path, self) if outer is not None else (self,))
        inputs = args[0] if args else next((v for k, v in kwargs.items() if k != "training"), None)
        masks = self._input_masks(own, inputs, args, kwargs, named, mask_names)
        if self.input_spec is not None or not self.built:
            self._check(args, kwargs)
        made_now = not self.built
        if made_now:
            self._maybe_build(args, kwargs)
        if outer is None or not outer.path:
            self._losses.clear()
        token, name_token = context.enter(own), context._name_path.set((*context._name_path.get(), self.name))
        try:
            outputs = self.call(*args, **kwargs) if self._remat is None else self._remat.call(self, args, kwargs)
            if self.activity_regularizer is not None:
                for output in tree.flatten(outputs):
                    size = output.shape[0]  # of an empty batch the penalty is 0, not NaN
                    self.add_loss(self.activity_regularizer(output) / (1 if isinstance(size, int) and not size else size))
        except BaseException:
            if made_now and getattr(type(self).build, "_is_default", False):
                self.built = False  # the call was to build what is in it
            raise
        finally:
            context._name_path.reset(name_token)
            context.leave(token)
            made = self.__dict__.pop("_made_now", None)
        if made:
            self._refuse_unkept(made)
        if outputs is None:
            raise ValueError(f"Layer {self.name!r}: `call` returned None. It must return the outputs (is `return` "
                             "missing?).")
        if masks is not None or type(self).compute_mask is not Layer.compute_mask:
            self._output_masks(own, inputs, masks, outputs, outer)
        return outputs

    def _traced(self, *args, **kwargs):
        return self._concrete(context.current(), args, dict(kwargs))

    def _sparse_arguments(self, values):
        """The arguments with sparse tensors in the compute dtype, or made dense where `call` does not take them."""
        takes = self.takes_sparse
        if takes is None:  # a `call` that its user wrote
            takes = not type(self).call.__module__.startswith("cornu.")
        return (sparse.cast_floats(values, self._compute_dtype) if self.autocast else values) if takes \
            else sparse.to_dense(values)

    def _cast(self, value):
        """NumPy arrays become JAX's, and floats get the compute dtype; strings and all else stay what they are."""
        if isinstance(value, (list, tuple, dict)):
            return tree.map_items(self._cast, value)
        if isinstance(value, (np.ndarray, np.floating)):
            if value.dtype.kind in "SUT" or value.dtype.kind == "O" and not _holds_numbers(value):
                return value
            value = dtypes.to_jax(value)
        elif isinstance(value, Variable):
            value = value.value
        if self.autocast and isinstance(value, jax.Array) and value.dtype != self._compute_dtype \
                and jnp.issubdtype(value.dtype, jnp.floating) and not (self._reads_wide and value.dtype == jnp.float32):
            mask = context.mask_of(value)
            value = value.astype(self._compute_dtype)
            if mask is not None:
                context.put_mask(value, mask)
        return value

    def _input_masks(self, own, inputs, args, kwargs, named, mask_names):
        """The masks of the inputs (None where there is none), put into the arguments that take masks."""
        found = None
        if mask_names:
            given = dict(zip(named, args))
            for mask_name in mask_names:
                if kwargs.get(mask_name) is None and given.get(mask_name) is None:
                    source = inputs if mask_name == "mask" else given.get(mask_name[:-5], kwargs.get(mask_name[:-5]))
                    mask = own.masks_of(source)
                    if mask is not None and mask_name not in given:
                        kwargs[mask_name] = mask
        found = kwargs.get("mask")
        return own.masks_of(inputs) if found is None else found

    def _output_masks(self, own, inputs, masks, outputs, outer):
        if masks is not None and not self.supports_masking and type(self).compute_mask is Layer.compute_mask:
            frames.warn(f"Layer {self.name!r} does not support masks: the mask of its input ends here.")
            return
        token = context.enter(own)
        try:
            new = self.compute_mask(inputs, masks)
        finally:
            context.leave(token)
        if new is None:
            return
        for output, mask in zip(tree.flatten(outputs), tree.flatten(new)):
            if mask is not None:
                own.set_mask(output, mask)

    def call(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} does not define `call`.")

    def compute_mask(self, inputs, previous_mask):
        """The mask of the output: by default the input's own."""
        return previous_mask

    def compute_output_spec(self, *args, **kwargs):
        """The symbolic outputs for symbolic inputs, inferred from `call` unless `compute_output_shape` is defined."""
        if type(self).compute_output_shape is not Layer.compute_output_shape:
            shapes = {n: shapes_of(v) for n, v in self._arguments(args, kwargs).items() if has_tensor(v)}
            wanted = list(inspect.signature(type(self).compute_output_shape).parameters)[1:]
            shape = (self.compute_output_shape(next(iter(shapes.values()))) if len(wanted) == 1 else
                     self.compute_output_shape(**{n: shapes.get(n.removesuffix("_shape")) for n in wanted}))
            return self._tensors(shape)
        training = {"training": kwargs["training"]} if isinstance(kwargs.get("training"), bool) else {}
        rest = {k: v for k, v in kwargs.items() if k != "training"}
        masks = [getattr(x, "_keras_mask", None) for x in tree.flatten((args, rest))]

        def run(args, kwargs, masks):
            call = CallContext()
            for x, mask in zip(tree.flatten((args, kwargs)), masks):
                if mask is not None:
                    call.set_mask(x, mask)
            outputs = self._concrete(call, args, {**kwargs, **training})
            return outputs, [call.mask_of(x) for x in tree.flatten(outputs)]

        outputs, masks = infer(run, (args, rest, masks), {}, self.name)
        for x, mask in zip(tree.flatten(outputs), masks):
            if mask is not None:
                put_mask(x, mask)
        return outputs

    def compute_output_shape(self, *args, **kwargs):  # this is where shapes are inferred
        """The output's shape for an input's, found by tracing `call`."""
        if type(self).call is Layer.call:
            raise NotImplementedError(f"{type(self).__name__} defines neither `call` nor `compute_output_shape`.")
        if not self.built:
            self.build(*args, **kwargs)
        args = [self._tensors(a) for a in args if a is not None]
        kwargs = {k.removesuffix("_shape"): self._tensors(v) for k, v in kwargs.items() if v is not None}
        if "input" in kwargs:  # the usual name of the one shape; the argument of `call` may be called otherwise
            args.insert(0, kwargs.pop("input"))
        return tree.map_structure(lambda o: o.shape, infer(self._traced, tuple(args), kwargs, self.name))

    def _tensors(self, shapes):
        text = any(getattr(layer, "takes_text", False) for layer in self._flatten_layers())
        dtype = "string" if text else self.compute_dtype
        return tree.map_shape_structure(lambda s: KerasTensor(s, dtype), tree.as_shapes(shapes))

    def stateless_call(self, trainable_variables, non_trainable_variables, *args, return_losses=False, **kwargs):
        """Call as a pure function: `(outputs, new_non_trainable_values[, losses])` for the given values."""
        trainable, others = self.trainable_variables, self.non_trainable_variables
        for what, given, own in (("trainable", trainable_variables, trainable),
                                 ("non_trainable", non_trainable_variables, others)):
            if len(given) != len(own):
                raise ValueError(f"Layer {self.name!r}: stateless_call was given {len(given)} {what}_variables; "
                                 f"it has {len(own)}.")

        def run(*args, **kwargs):
            return self(*args, **kwargs), (self.losses if return_losses else [])

        values = [getattr(v, "raw", v) for v in (*trainable_variables, *non_trainable_variables)]
        (outputs, losses), new = functional(run, [*trainable, *others])(values, *args, **kwargs)
        new = new[len(trainable):]
        return (outputs, new, losses) if return_losses else (outputs, new)

    # losses ----------------------------------------------------------------------------------------------------

    def add_loss(self, loss) -> None:
        """Add a scalar (or a list of them) to what training minimizes; from within `call`, or before it."""
        for value in tree.flatten(loss):
            if isinstance(value, KerasTensor):
                raise ValueError(f"add_loss was given a symbolic tensor on {type(self).__name__} {self.name!r}; a loss needs "
                                 "a value.\nCall self.add_loss in the `call` of a layer of your own, and put that layer "
                                 "into the model's graph.")
            collected = scope_losses()
            call = context.current()
            owner = call.path[0] if call is not None and call.path else self
            (owner._losses if collected is None else collected).append((self, value))

    @property
    def losses(self) -> list:
        """The losses that the last call added, then those of the weights' regularizers."""
        layers = self._flatten_layers()
        mine = {id(layer) for layer in layers}
        added = scope_losses() if in_scope() else [pair for layer in layers for pair in layer._losses]
        penalties = [v.regularizer(v) for v in self.trainable_variables if v.regularizer is not None]
        return [value for layer, value in added if id(layer) in mine] + penalties

    # weights and configs -----------------------------------------------------------------------------------------

    def get_config(self) -> dict:  # what is derived, with the base's arguments first as in Keras
        """The constructor's arguments, read from its signature."""
        config = registry.config_of(self)
        base = {"name": self.name, "trainable": self.trainable, "dtype": dtypes.serialize(self.dtype_policy)}
        skip = {*base, "autocast", "activity_regularizer"}
        config = {**base, **{k: v for k, v in config.items() if k not in skip}}
        if not self.autocast and registry.is_builtin(type(self)):  # other constructors may pass it on themselves
            config["autocast"] = False
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers_module.serialize(self.activity_regularizer)
        return {k: v for k, v in config.items() if k not in self._not_in_config}

    @classmethod
    @errors.filtered
    def from_config(cls, config: dict):
        """A layer like the one whose config this is.

        Where the constructor does not take `name`, `trainable` or `dtype`, they are set afterwards. Raises ValueError
        when the config lacks an argument of the constructor, or has one too many.
        """
        if isinstance(config.get("dtype"), dict):  # constructors get a policy's name, as they do from users
            policy = dtypes.get(config["dtype"])
            config = {**config, "dtype": policy.name if type(policy) is dtypes.DTypePolicy else policy}
        layer, later = registry.construct(cls, config, settable=("name", "trainable", "dtype"))
        layer.name = later.get("name", layer.name)
        if "dtype" in later:
            layer.dtype_policy = later["dtype"]
        if later.get("trainable") is False:
            layer.trainable = False
        return layer

    def __repr__(self):
        return f"<{type(self).__name__} name={getattr(self, 'name', None)}, built={getattr(self, 'built', False)}>"
