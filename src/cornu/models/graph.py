"""A graph of calls between symbolic inputs and outputs: sorted once, then run over any values."""

from cornu import tree
from cornu.layers.core import InputLayer
from cornu.symbolic import Call, KerasTensor, Operation


class Graph:
    """The calls that lead from `inputs` to `outputs` (nested structures of symbolic tensors).

    Inputs that are inner tensors of another graph are given Input layers of their own, on which the calls behind them
    are made anew.

    Raises ValueError when an output needs a tensor that is not computed from the inputs.
    """

    def __init__(self, inputs, outputs):
        for what, structure in (("inputs", inputs), ("outputs", outputs)):
            _check_tensors(what, structure)
        if len({id(x) for x in tree.flatten(inputs)}) != len(tree.flatten(inputs)):
            raise ValueError("A tensor stands twice among the model's inputs.")
        if not all(_is_input(x) for x in tree.flatten(inputs)):
            inputs, outputs = _from_inner(inputs, outputs)
        self.input_structure, self.output_structure = inputs, outputs
        self.given_structure = unpacked(outputs)  # of what a model's call gives
        self.inputs, self.outputs = tree.flatten(inputs), tree.flatten(outputs)
        self.calls = _sort(self.inputs, self.outputs)
        self.plan = [(c, *_recipe(c)) for c in self.calls if not isinstance(c.operation, InputLayer)]

    def operations(self) -> list:
        """The operations in Keras's order: the deepest first, and those of one depth as a walk from the outputs meets them."""
        depth, of_operation = {}, {}
        for call in reversed(self.calls):  # the longest way to an output; all calls of one operation share it
            own = max(depth.get(id(call), 0), of_operation.get(id(call.operation), (0,))[0])
            of_operation[id(call.operation)] = own, call.operation
            for parent in call.parent_nodes:
                depth[id(parent)] = max(depth.get(id(parent), 0), own + 1)
        unused = {id(x.call.operation): i - len(self.inputs) for i, x in enumerate(self.inputs)}
        met = unused | self._met()
        ranked = sorted(of_operation.values(), key=lambda pair: (-pair[0], met[id(pair[1])]))
        return [operation for _, operation in ranked]

    def _met(self) -> dict:
        """The order in which a walk from the outputs towards the inputs first meets each operation."""
        met, seen = {}, set()
        stack = [x.call for x in reversed(self.outputs)]
        while stack:
            call = stack.pop()
            if id(call) in seen:
                continue
            seen.add(id(call))
            met.setdefault(id(call.operation), len(met))
            stack += [x.call for x in reversed(call.inputs)]
        return met

    def run(self, values: list, operation_of=lambda operation: operation):
        """The outputs' structure for the given flat input values."""
        held = {id(x): v for x, v in zip(self.inputs, values, strict=True)}
        for call, fill, single in self.plan:
            args, kwargs = fill(held)
            result = operation_of(call.operation)(*args, **kwargs)
            if single:
                held[id(call.outputs[0])] = result
            else:
                for x, value in zip(call.outputs, _flat_results(call, result)):
                    held[id(x)] = value
        return tree.pack_sequence_as(self.output_structure, [held[id(x)] for x in self.outputs])


class Function(Operation):
    """A graph of symbolic tensors as a function: the calls between `inputs` and `outputs`, run on any values.

    Args:
        inputs: symbolic tensors, in any nesting.
        outputs: symbolic tensors computed from them.
        name: its name.

    Raises ValueError when an output is not computed from the inputs, or for another number of values.

    >>> from cornu import Input
    >>> x = Input((2,))
    >>> Function(x, x + 1)(1.0).item()
    2.0
    """

    def __init__(self, inputs, outputs, name: str | None = None):
        super().__init__(name)
        self.graph = Graph(inputs, outputs)

    inputs = property(lambda self: list(self.graph.inputs))
    outputs = property(lambda self: list(self.graph.outputs))
    operations = property(lambda self: self.graph.operations())

    def compute_output_shape(self, input_shape):  # shapes in, shapes out; the graph says how
        """The outputs' shapes for the inputs' shapes, in their structures."""
        inputs = tree.map_shape_structure(lambda s: KerasTensor(s), tree.as_shapes(input_shape))
        typed = [KerasTensor(s.shape, x.dtype) for s, x in zip(tree.flatten(inputs), self.graph.inputs)]
        return tree.map_structure(lambda x: x.shape, self.compute_output_spec(tree.pack_sequence_as(inputs, typed)))

    def call(self, inputs):
        values = tree.flatten(inputs)
        if len(values) != len(self.graph.inputs):
            raise ValueError(f"Function {self.name!r} has {len(self.graph.inputs)} inputs, but was given {len(values)}.")
        return self.graph.run(values)


def unpacked(outputs):
    """What calling a model on data gives: a list or tuple of one output is that output."""
    return outputs[0] if type(outputs) in (list, tuple) and len(outputs) == 1 else outputs


def _check_tensors(what: str, structure) -> None:
    tensors = tree.flatten(structure)
    if not tensors:
        raise ValueError(f"A model needs at least one tensor in `{what}`.")
    for x in tensors:
        if not isinstance(x, KerasTensor):
            raise ValueError(f"A model's {what} must be symbolic tensors, from Input() and calls on them. "
                             f"Received {type(x).__name__}: {x!r:.80}")


def _is_input(x: KerasTensor) -> bool:
    return x.call is not None and isinstance(x.call.operation, InputLayer)


def _from_inner(inputs, outputs):
    """The same graph from Input layers of its own, in the places of inputs that are inner tensors."""
    fresh = {id(x): x if _is_input(x) else InputLayer(batch_shape=x.shape, dtype=x.dtype, name=f"{x.name}CLONE").output
             for x in tree.flatten(inputs)}
    for call in _sort(tree.flatten(inputs), tree.flatten(outputs)):
        if isinstance(call.operation, InputLayer) or all(id(x) in fresh for x in call.outputs):
            continue
        args, kwargs = tree.map_structure(lambda x: fresh.get(id(x), x), (call.args, call.kwargs))
        made = call.operation(*args, **kwargs)
        fresh.update(zip(map(id, call.outputs), [y for y in tree.flatten(made) if isinstance(y, KerasTensor)]))
    return tree.map_structure(lambda x: fresh[id(x)], (inputs, outputs))


def _sort(inputs: list, outputs: list) -> list[Call]:
    """The calls in an order in which each comes after those it needs (depth first, without recursion)."""
    given = {id(x) for x in inputs}
    order, done, opened = [], set(), set()
    stack = [(x.call, x, None) for x in reversed(outputs) if id(x) not in given]
    while stack:
        call, tensor, user = stack.pop()
        if call is None or isinstance(call.operation, InputLayer):
            raise _disconnected(tensor, user, inputs)
        if id(call) in done:
            continue
        if id(call) in opened:
            done.add(id(call))
            order.append(call)
            continue
        opened.add(id(call))
        stack.append((call, tensor, user))
        stack += [(x.call, x, call) for x in reversed(call.inputs)
                  if id(x) not in given and (x.call is None or id(x.call) not in done)]
    return [*(x.call for x in inputs if x.call is not None and id(x.call) not in done), *order]


def _disconnected(tensor: KerasTensor, user: Call | None, inputs: list) -> ValueError:
    where = "" if user is None else f"\nLayer {user.operation.name!r} needs it"
    if user is not None:
        before = [x.call.operation.name for x in user.inputs if x.call is not None and x is not tensor]
        where += f" (beside what {', '.join(map(repr, before))} gives)." if before else "."
    return ValueError(f"Disconnected graph: tensor {tensor.name!r} of shape {tensor.shape} is not computed from the "
                      f"model's inputs ({', '.join(repr(x.name) for x in inputs)}).{where}\n"
                      "Add it to the inputs, or compute it from them.")


def _recipe(call: Call):
    """How to make a call's arguments from the values held so far; and whether it has one bare output."""
    single = isinstance(call.output_structure, KerasTensor)
    if len(call.args) == 1 and isinstance(call.args[0], KerasTensor) and len(call.inputs) == 1:
        key, kwargs = id(call.args[0]), call.kwargs
        return (lambda held: ((held[key],), kwargs)), single

    def fill(held):
        return tree.map_structure(lambda x: held[id(x)] if isinstance(x, KerasTensor) else x, (call.args, call.kwargs))

    return fill, single


def _flat_results(call: Call, result) -> list:
    """The values of a call's symbolic outputs."""
    leaves = tree.flatten(call.output_structure)
    return [value for x, value in zip(leaves, tree.flatten(result)) if isinstance(x, KerasTensor)]
