"""A graph of calls between symbolic inputs and outputs: sorted once, then run over any values."""

from cornu import tree
from cornu.layers.core import InputLayer
from cornu.symbolic import Call, KerasTensor


class Graph:
    """The calls that lead from `inputs` to `outputs` (nested structures of symbolic tensors).

    Raises ValueError when an output needs a tensor that is not computed from the inputs.
    """

    def __init__(self, inputs, outputs):
        self.input_structure, self.output_structure = inputs, outputs
        self.inputs, self.outputs = tree.flatten(inputs), tree.flatten(outputs)
        for what, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            for x in tensors:
                if not isinstance(x, KerasTensor):
                    raise ValueError(f"A model's {what} must be symbolic tensors, from Input() and calls on them. "
                                     f"Received {type(x).__name__}: {x!r:.80}")
            if not tensors:
                raise ValueError(f"A model needs at least one tensor in `{what}`.")
        if len({id(x) for x in self.inputs}) != len(self.inputs):
            raise ValueError("A tensor stands twice among the model's inputs.")
        self.calls = self._sort()
        self._plan = [(c, _recipe(c)) for c in self.calls if not isinstance(c.operation, InputLayer)]

    def _sort(self) -> list[Call]:
        """The calls in an order in which each comes after those it needs (depth first, without recursion)."""
        given = {id(x) for x in self.inputs}
        order, done, open_ = [], set(), set()
        stack = [(x.call, x, None) for x in reversed(self.outputs) if id(x) not in given]
        while stack:
            call, tensor, before = stack.pop()
            if call is None or isinstance(call.operation, InputLayer):
                where = f" It is used by {before.operation.name!r}." if before is not None else ""
                raise ValueError(f"Disconnected graph: tensor {tensor.name!r} of shape {tensor.shape} is not computed "
                                 f"from the model's inputs ({', '.join(repr(x.name) for x in self.inputs)}).{where} "
                                 "Add it to the inputs.")
            if id(call) in done:
                continue
            if id(call) in open_:
                done.add(id(call))
                order.append(call)
                continue
            open_.add(id(call))
            stack.append((call, tensor, before))
            stack += [(x.call, x, call) for x in reversed(call.inputs)
                      if id(x) not in given and (x.call is None or id(x.call) not in done)]
        inputs = [x.call for x in self.inputs if x.call is not None and id(x.call) not in done]
        return list({id(c): c for c in [*inputs, *order]}.values())

    def depths(self) -> dict:
        """For every call its longest way to an output."""
        depth: dict[int, int] = {}
        for call in reversed(self.calls):
            own = depth.setdefault(id(call), 0)
            for parent in call.parent_nodes:
                depth[id(parent)] = max(depth.get(id(parent), 0), own + 1)
        return depth

    def operations(self) -> list:
        """The operations in Keras's order: deepest first, then in the order in which a walk from the outputs meets them."""
        depth, found, position = self.depths(), {}, {}
        for call in self._walk():
            position.setdefault(id(call.operation), len(position))
        for call in self.calls:
            key = id(call.operation)
            level = depth[id(call)]
            found[key] = (max(level, found[key][0]) if key in found else level, call.operation)
        deepest = max((d for d, _ in found.values()), default=0)
        inputs = {id(x.call.operation) for x in self.inputs if x.call is not None}
        ranked = sorted(found.values(), key=lambda p: (-(deepest if id(p[1]) in inputs and isinstance(
            p[1], InputLayer) and p[0] == 0 else p[0]), position.get(id(p[1]), 0)))
        return [operation for _, operation in ranked]

    def _walk(self):
        seen, given = set(), {id(x) for x in self.inputs}

        stack = [x.call for x in reversed(self.outputs) if x.call is not None]
        post = []
        opened = set()
        while stack:
            call = stack.pop()
            if id(call) in seen:
                continue
            if id(call) in opened:
                seen.add(id(call))
                post.append(call)
                continue
            opened.add(id(call))
            stack.append(call)
            if all(id(x) in given for x in call.outputs):
                continue
            stack += [x.call for x in reversed(call.inputs) if x.call is not None and id(x.call) not in seen]
        return post

    def run(self, values: list, operation_of=lambda call: call.operation):
        """The outputs' structure for the given flat input values."""
        held = {id(x): v for x, v in zip(self.inputs, values, strict=True)}
        for call, (fill, structure) in self._plan:
            args, kwargs = fill(held)
            result = operation_of(call)(*args, **kwargs)
            for x, value in zip(call.outputs, [result] if structure else tree.flatten(result)):
                held[id(x)] = value
        return tree.pack_sequence_as(self.output_structure, [held[id(x)] for x in self.outputs])


def _recipe(call: Call):
    """How to make a call's arguments from the values held so far; and whether it has one bare output."""
    single = isinstance(call.output_structure, KerasTensor)
    if len(call.args) == 1 and isinstance(call.args[0], KerasTensor) and not call.inputs[1:]:
        key, kwargs = id(call.args[0]), call.kwargs
        return (lambda held: ((held[key],), dict(kwargs))), single

    def fill(held):
        return tree.map_structure(lambda x: held[id(x)] if isinstance(x, KerasTensor) else x, (call.args, call.kwargs))

    return fill, single
