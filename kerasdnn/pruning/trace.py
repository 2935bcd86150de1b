"""Follows every channel through a network: which belong together, and which must stay."""

from kerasdnn.pruning.select import is_ignored

import keras
import numpy as np
from keras import tree


class Label:
    """What is known of a tensor: the unit behind each channel of its last axis.

    Attributes:
        ids: int array `(C,)`, or None where the last axis is not one of channels.
        zero: bool array `(C,)`, whether a channel is zero once the weights of its unit are.
        shape: the tensor's shape.
    """

    def __init__(self, ids, zero, shape):
        self.ids = None if ids is None else np.asarray(ids, "int64")
        self.zero = None if ids is None else np.broadcast_to(zero, self.ids.shape)
        self.shape = tuple(shape)


class Units:
    """Units that can be removed, tied where they must go together (union-find)."""

    def __init__(self):
        self.parent, self.reason = [], {}

    def new(self, count):
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def find(self, unit):
        while self.parent[unit] != unit:
            self.parent[unit] = self.parent[self.parent[unit]]
            unit = self.parent[unit]
        return unit

    def roots(self, ids):
        return np.array([self.find(int(i)) for i in ids], "int64")

    def tie(self, a, b):
        for i, j in zip(a, b, strict=True):
            i, j = self.find(int(i)), self.find(int(j))
            if i == j:
                continue
            self.parent[j] = i
            if j in self.reason:
                self.reason.setdefault(i, self.reason.pop(j))

    def fix(self, ids, reason):
        for i in ids:
            self.reason.setdefault(self.find(int(i)), reason)


class Producer:
    """Weights that make channels: one place where the width of a network is decided.

    Attributes:
        layer, path, ids: the layer, its path in the model, the unit of each of its channels.
        kernels: list of `(variable, axis)`, by which the channels are ranked.
        step: int, the number of channels stays a multiple of it; None for the caller's `round_to`.
        follows: None, or a function of the kept-counter that gives the number to keep.
    """

    def __init__(self, layer, path, ids, kernels, step=None, follows=None):
        self.layer, self.path, self.ids = layer, path, ids
        self.kernels, self.step, self.follows = kernels, step, follows


class Trace:
    """One walk through a model, with all that surgery needs to know.

    Attributes:
        slices: dict from `id(variable)` to `(variable, {axis: ids})`.
        cleared: list of `(variable, axis, ids)`: zero them, and the channels are zero.
        producers: list of `Producer`.
        edits: list of `(layer, key, value)`: entries of a layer's config, `value` an array of
            ids to count or a function of the kept-counter.
        macs: int, multiply-adds of one sample.
    """

    def __init__(self, model, rules, ignored=()):
        self.units, self.rules, self.ignored = Units(), rules, ignored
        self.slices, self.cleared, self.producers, self.edits = {}, [], [], []
        self.macs, self.seen, self.ignoring = 0, {}, 0
        outputs = self.run(model, [self.constant(t.shape) for t in model.inputs], "")
        for label in outputs:
            self.fix(label, "output of the model")

    # --- the walk ---------------------------------------------------------------------------
    def run(self, model, labels, prefix):
        """Follows labels through the graph of a functional or sequential model."""
        graph = getattr(model, "_functional", None) or model
        table = {id(t): label for t, label in zip(graph.inputs, labels, strict=True)}
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if node.is_input or any(id(t) not in table for t in node.input_tensors):
                    continue
                args, kwargs = node.arguments.fill_in(table)
                shapes = [t.shape for t in node.outputs]
                path = f"{prefix}{node.operation.name}"
                results = self.apply(node.operation, path, args, kwargs, shapes)
                table.update({id(t): r for t, r in zip(node.outputs, results, strict=True)})
        return [table[id(t)] for t in graph.outputs]

    def apply(self, layer, path, args, kwargs, shapes):
        """Follows labels through one call of a layer or operation; returns a list of labels."""
        inputs = [a for a in tree.flatten((args, kwargs)) if isinstance(a, Label)]
        ignored = is_ignored(layer, self.ignored)
        self.ignoring += ignored
        try:
            if _is_graph(layer):
                return self._nested(layer, path, inputs)
            before = self.seen.get(id(layer))
            if before is not None:
                return self._again(path, before, inputs)
            edits = len(self.edits)
            rule = self.rules.get(_rule_name(layer))
            outputs = None if rule is None else rule(self, layer, path, args, kwargs, shapes)
            if outputs is None:
                outputs = self.barrier(path, layer, inputs, shapes)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            if getattr(layer, "weights", None) or len(self.edits) > edits:
                self.seen[id(layer)] = inputs, outputs
            return outputs
        finally:
            self.ignoring -= ignored

    def _nested(self, model, path, inputs):
        graph = getattr(model, "_functional", None) or model
        for tensor, label in zip(graph.inputs, inputs, strict=True):
            layer = tensor._keras_history.operation
            self.shared(f"{path}/{layer.name}", layer, label)
        return self.run(model, inputs, f"{path}/")

    def shared(self, path, layer, label):
        """The input layer of a nested model: its shape follows; two calls are tied."""
        before = self.seen.get(id(layer))
        if before is not None:
            self._again(path, before, [label])
        elif label.ids is not None:
            self.seen[id(layer)] = [label], [label]
            lead = list(label.shape[:-1])
            self.edits.append((layer, "batch_shape", lambda kept: [*lead, kept(label.ids)]))

    def _again(self, path, before, inputs):
        """A second call of a layer that has weights: the same channels must go."""
        same = True
        for first, second in zip(before[0], inputs, strict=True):
            if first.ids is None or second.ids is None:
                continue
            self.units.tie(first.ids, second.ids)
            same = same and np.array_equal(first.zero, second.zero)
        if same:
            return before[1]
        return [Label(o.ids, False, o.shape) for o in before[1]]

    def barrier(self, path, layer, inputs, shapes):
        """What is not understood is left whole, and all that flows into it."""
        for label in inputs:
            self.fix(label, f"{path} ({type(layer).__name__}) needs its whole input")
        return [self.constant(shape) for shape in shapes]

    # --- what the rules say -----------------------------------------------------------------
    def constant(self, shape):
        """Returns the label of a tensor none of whose channels can go."""
        if len(shape) < 2 or shape[-1] is None:
            return Label(None, None, shape)
        ids = self.units.new(shape[-1])
        self.units.fix(ids, "input of the model")
        return Label(ids, False, shape)

    def fix(self, label, reason):
        if label.ids is not None:
            self.units.fix(label.ids, reason)

    def consume(self, label, path):
        """A layer with weights reads the tensor: what would not be zero must stay."""
        if label.ids is not None and not label.zero.all():
            reason = f"an activation that is not 0 at 0, before {path}"
            self.units.fix(label.ids[~label.zero], reason)

    def cut(self, variable, axis, ids):
        """The variable has one entry for each of `ids` along `axis`."""
        if variable is None or ids is None:
            return
        entry = self.slices.setdefault(id(variable), (variable, {}))
        entry[1][axis % len(variable.shape)] = np.asarray(ids)

    def clear(self, variable, axis, ids):
        """As `cut`, and the channels are zero if these entries are."""
        if variable is None or ids is None:
            return
        self.cut(variable, axis, ids)
        self.cleared.append((variable, axis % len(variable.shape), np.asarray(ids)))

    def produce(self, layer, path, count, kernels, *, ids=None, step=None, follows=None):
        """New channels, or with `ids` channels tied to known ones; returns their ids."""
        ids = self.units.new(count) if ids is None else ids
        self.producers.append(Producer(layer, path, ids, kernels, step, follows))
        if self.ignoring:
            self.units.fix(ids, "ignored")
        return ids

    def edit(self, layer, key, value):
        self.edits.append((layer, key, value))

    def tie(self, a, b):
        if a is not None and b is not None:
            self.units.tie(a, b)


def _is_graph(layer):
    return isinstance(layer, keras.Model) and (
        getattr(layer, "_functional", None) is not None or hasattr(layer, "_nodes_by_depth")
    )


def _rule_name(layer):
    """Layers of Keras and kerasdnn, by their exact class: a subclass may do something else."""
    cls = type(layer)
    root = cls.__module__.partition(".")[0]
    return cls.__name__ if root in ("keras", "kerasdnn") else None
