"""Rebuilds a model from its configuration with a change made to its layers or to `compile`."""

from kerasdnn.diagnosis.structure import (
    DROPOUTS,
    NORMALIZATIONS,
    activation_of_layer,
    flat_layers,
    main_kernel,
    model_kind,
)

import keras

# What changes the layers; only sequential and functional models can be rebuilt.
STRUCTURAL = (
    "head",
    "activation",
    "initializer",
    "remove",
    "dropout",
    "penalty",
    "norm_axis",
    "norm_momentum",
    "batch_norm",
    "widen",
    "unfreeze",
)
KEEPS_WEIGHTS = ("dropout", "penalty", "norm_momentum", "unfreeze", "remove")


def changed_model(model, change):
    """Returns a compiled model like the given one, with one change made.

    The weights stay, which may be trained ones, unless the change is about them.
    """
    kind = change["kind"]
    optimizer, loss = fresh_optimizer(model.optimizer, change), change.get("loss")
    if model_kind(model) == "subclass":
        new = model  # its build function has just made it
    else:
        new = _rebuilt(model, change if kind in STRUCTURAL else {"kind": "none"})
        if kind not in STRUCTURAL or kind in KEEPS_WEIGHTS:
            _carry_weights(model, new)
    compile_like(new, model, optimizer, loss if kind in ("loss", "head") else None)
    return new


def compile_like(new, model, optimizer, loss=None):
    """Compiles `new` as `model` is, with this optimizer and, if given, another loss."""
    try:
        config = model.get_compile_config() or {}
    except (NotImplementedError, TypeError, ValueError):
        config = {}
    metrics = None
    if loss is None and config.get("metrics") is not None:
        try:
            metrics = keras.saving.deserialize_keras_object(config["metrics"])
        except (TypeError, ValueError):
            metrics = None
    given = model.loss if loss is None else loss
    jit = config.get("jit_compile", "auto")
    new.compile(
        optimizer=optimizer,
        loss=given,
        loss_weights=config.get("loss_weights"),
        metrics=metrics,
        jit_compile=jit,
    )


def _carry_weights(model, new):
    old, fresh = model.get_weights(), new.get_weights()
    if [w.shape for w in old] == [w.shape for w in fresh]:
        new.set_weights(old)


def fresh_optimizer(optimizer, change=None):
    """Returns a new optimizer like the given one, with the change of an "optimizer" or "clip"."""
    change = change if change and change["kind"] in ("optimizer", "clip") else {}
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    config = dict(optimizer.get_config())
    cls = type(optimizer)
    if change.get("name"):
        cls, rate = getattr(keras.optimizers, change["name"]), change.get("rate", 1e-3)
        return cls(learning_rate=rate, clipnorm=change.get("clipnorm"))
    if change.get("rate") is not None:
        config["learning_rate"] = float(change["rate"])
    if change.get("factor") is not None:
        config["learning_rate"] = _scaled(config["learning_rate"], float(change["factor"]))
    if change["kind"] == "clip" if change else False:
        config["clipnorm"] = float(change.get("norm", 1.0))
        config["clipvalue"] = config["global_clipnorm"] = None
    return cls.from_config(config)


def _scaled(rate, factor):
    if isinstance(rate, dict):  # a serialized schedule
        return Scaled(keras.optimizers.schedules.deserialize(rate), factor)
    return float(rate) * factor


@keras.saving.register_keras_serializable(package="kerasdnn")
class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor.

    Example:
    >>> float(Scaled(keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5), 0.1)(0))
    0.10000000149011612
    """

    def __init__(self, schedule, factor):
        self.schedule, self.factor = schedule, factor

    def __call__(self, step):
        return self.schedule(step) * self.factor

    def get_config(self):
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "factor": self.factor}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["factor"])


class _Plan:
    """A change and the layers of one model that it is about, by position."""

    def __init__(self, model, change):
        self.change, self.kind = change, change["kind"]
        layers = flat_layers(model)
        self.position = {id(layer): index for index, layer in enumerate(layers)}
        with_kernel = [layer for layer in layers if main_kernel(layer) is not None]
        self.head = id(with_kernel[-1]) if with_kernel else None

    def names(self, layer, key="layers"):
        """Whether the change lists this layer."""
        return self.position.get(id(layer), -1) in self.change.get(key, ())

    def bends_the_head(self, layer):
        """Whether a layer behind the head has an activation that the new one takes the place of."""
        behind = self.position.get(id(layer), -1) > self.position.get(self.head, len(self.position))
        bends = activation_of_layer(layer) not in (None, "linear")
        return behind and bends and self.change.get("activation") is not None

    def removes(self, layer):
        """Whether the layer is to go."""
        return self.kind == "remove" and self.names(layer)

    def normalizes(self, layer):
        """Whether a batch normalization is to follow the layer."""
        if self.kind != "batch_norm" or id(layer) == self.head:
            return False
        return main_kernel(layer) is not None and type(layer).__name__ not in NORMALIZATIONS


def _rebuilt(model, change):
    """Returns a model of the same kind with fresh weights, its layers edited."""
    return _copied(model, _Plan(model, change))


def _copied(model, plan):
    if isinstance(model, keras.Sequential):
        return _sequential(model, plan)
    if not getattr(model, "outputs", None):
        return type(model).from_config(model.get_config())

    def clone(layer):
        return _copied(layer, plan) if isinstance(layer, keras.Model) else edited(layer, plan)

    originals = {layer.name: layer for layer in model.layers}

    def call(layer, *args, **kwargs):
        old = originals.get(layer.name)
        if old is not None and plan.removes(old):
            return args[0]
        if isinstance(layer, keras.layers.Identity) and not isinstance(old, keras.layers.Identity):
            return layer(args[0])  # what it takes the place of may have taken a mask
        out = layer(*args, **kwargs)
        if old is not None and plan.normalizes(old):
            return keras.layers.BatchNormalization()(out)
        return out

    new = keras.models.clone_model(model, clone_function=clone, call_function=call)
    new.trainable = model.trainable
    return new


def _sequential(model, plan):
    layers = [keras.Input(batch_shape=model.input_shape, dtype=_input_dtype(model))]
    for layer in model.layers:
        if plan.removes(layer):
            continue
        if isinstance(layer, keras.Model):
            layers.append(_copied(layer, plan))
            continue
        layers.append(edited(layer, plan))
        if plan.normalizes(layer):
            layers.append(keras.layers.BatchNormalization())
    new = keras.Sequential(layers, name=model.name)
    if plan.kind != "unfreeze" and not model.trainable:
        new.trainable = False
    return new


def _input_dtype(model):
    return getattr(model.inputs[0], "dtype", None) if model.inputs else None


def edited(layer, plan):
    """Returns a fresh layer from the configuration of another, with the change made to it."""
    config, kind, change = dict(layer.get_config()), plan.kind, plan.change
    named = plan.names(layer)
    if kind == "head":
        if id(layer) == plan.head:
            config.update(_head_config(config, change))
        elif plan.names(layer, "drop") or plan.bends_the_head(layer):
            return keras.layers.Identity(name=layer.name)
    elif kind == "activation" and named:
        if "activation" not in config:
            return keras.layers.Activation(change["activation"], name=layer.name)
        config["activation"] = change["activation"]
        if config.get("kernel_initializer") is not None and change["activation"] == "relu":
            config["kernel_initializer"] = "he_normal"
    elif kind == "initializer" and named:
        for name in ("kernel_initializer", "depthwise_initializer"):
            if name in config:
                config[name] = change.get("initializer", "glorot_uniform")
        if "bias_initializer" in config:
            config["bias_initializer"] = "zeros"
    elif kind == "dropout" and type(layer).__name__ in DROPOUTS:
        config["rate"] = float(change.get("rate", 0.0))
    elif kind == "penalty":
        for name in ("kernel_regularizer", "bias_regularizer", "activity_regularizer"):
            if config.get(name) is not None:
                config[name] = _weaker(getattr(layer, name, None), change.get("factor", 0.0))
    elif kind == "norm_axis" and named:
        config["axis"] = change["axis"]
    elif kind == "norm_momentum" and named:
        config["momentum"] = change.get("momentum", 0.9)
    elif kind == "widen" and id(layer) != plan.head:
        for name in ("units", "filters"):
            if isinstance(config.get(name), int):
                config[name] = max(1, int(config[name] * change["factor"]))
    elif kind == "unfreeze":
        config["trainable"] = True
    new = type(layer).from_config(config)
    if kind != "unfreeze" and not layer.trainable:
        new.trainable = False
    _adapted(layer, new)
    return new


def _adapted(layer, new):
    """An adapted `Normalization` carries its statistics in weights, not in its configuration."""
    if type(layer).__name__ == "Normalization" and layer.built and layer.weights:
        new.build_from_config(layer.get_build_config())
        store = {}
        layer.save_own_variables(store)
        new.load_own_variables({k: keras.ops.convert_to_numpy(v) for k, v in store.items()})


def _head_config(config, change):
    changes = {}
    if change.get("activation") is not None and "activation" in config:
        changes["activation"] = change["activation"]
    if change.get("units") is not None:
        changes["units" if "units" in config else "filters"] = int(change["units"])
    return changes


def _weaker(regularizer, factor):
    if regularizer is None or not factor:
        return None
    return keras.regularizers.L1L2(
        l1=float(getattr(regularizer, "l1", 0.0) or 0.0) * factor,
        l2=float(getattr(regularizer, "l2", 0.0) or 0.0) * factor,
    )
