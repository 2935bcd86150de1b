"""Transfer learning: freeze what is learned already, then move it gently."""

from kerasdnn.optimizers import OneCycle, layer_decay

import keras


def freeze_batch_norm(model):
    """Freezes every batch normalization in a model: its statistics and weights no longer move.

    `base(x, training=False)` does not do this: under `fit` a base with `trainable=True` still
    moves its statistics. Setting `trainable` of a model or of a layer around it thaws the
    normalization inside again, so call this last, and before `compile`. A model that is already
    compiled gets a new training step, but its optimizer may need `compile` again.

    Args:
        model: `keras.Model` or layer; whatever is inside is found.

    Returns:
        list of the frozen layers.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])
    >>> [layer.name for layer in freeze_batch_norm(model)] == [model.layers[0].name]
    True
    >>> len(model.trainable_variables)
    0

    References:
        https://github.com/keras-team/keras/issues/20285
    """
    frozen = _batch_norms(model)
    for layer in frozen:
        layer.trainable = False
    _renew_training_step(model)
    return frozen


def unfreeze_from(model, layer, *, batch_norm=False):
    """Makes a model trainable from one of its layers on, and freezes what is before it.

    Batch normalization stays frozen: its statistics come from far more data than fine-tuning has.
    Compile the model that is trained again afterwards.

    Args:
        model: functional or sequential `keras.Model`, such as the base in a larger model.
        layer: name of a layer, its index (-3 is the third from the end), or the layer. 0 thaws all.
        batch_norm: bool, whether to thaw batch normalization, too. Default False.

    Returns:
        list of the layers that are trainable now.

    Raises:
        ValueError: the model has no such layer.

    Example:
    >>> layers = [keras.layers.Dense(2, name=name) for name in "abc"]
    >>> model = keras.Sequential([keras.Input((2,)), *layers])
    >>> [layer.name for layer in unfreeze_from(model, "b")]
    ['b', 'c']
    """
    layers = model.layers
    first = _index(model, layer)
    model.trainable = True  # a frozen model has no trainable layers, whatever they are themselves
    for number, each in enumerate(layers):
        each.trainable = number >= first
    if not batch_norm:
        freeze_batch_norm(model)
    _renew_training_step(model)
    return [each for each in layers if each.trainable]


def fine_tune(
    model,
    x,
    y,
    *,
    base,
    loss,
    epochs,
    head_epochs=1,
    learning_rate=1e-3,
    batch_size=32,
    optimizer=keras.optimizers.AdamW,
    base_divisor=10.0,
    decay=0.75,
    unfreeze=0,
    metrics=(),
    fit=None,
    **fit_options,
):
    """Trains a new head on a pretrained base, then both together, the base gently.

    First the base is frozen and the head learns for `head_epochs`. Then the base is thawed from
    `unfreeze` on, its batch normalization stays frozen, and all learns for `epochs` at a peak rate
    of `learning_rate / base_divisor`, with smaller steps in earlier layers (`layer_decay`). Both
    parts are one cycle (`OneCycle`). The model is compiled here, with the `jit_compile` that it was
    compiled with before, if it was.

    Args:
        model: functional or sequential `keras.Model` with `base` inside.
        x: arrays, the inputs.
        y: arrays, the targets.
        base: the pretrained `keras.Model` that is one layer of `model`, or its name.
        loss: as in `compile`.
        epochs: int, passes with the base thawed; 0 trains the head only.
        head_epochs: int, passes with the base frozen.
        learning_rate: float, peak rate of the head alone.
        batch_size: int.
        optimizer: function of a learning-rate schedule that returns a `keras.optimizers.Optimizer`.
        base_divisor: float, what the peak rate is divided by once the base moves.
        decay: float in (0, 1], the `rate` of `layer_decay`.
        unfreeze: layer of the base from which it is thawed, as in `unfreeze_from`.
        metrics: as in `compile`.
        fit: function with the signature of `keras.Model.fit` after the model, `fit(model, x, y,
            **options)`, in place of it. Default None.
        **fit_options: further arguments of `fit`.

    Returns:
        dict of lists, the history of both parts.

    Raises:
        ValueError: `base` is not a layer of the model.

    Example:
    >>> base = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu")], name="base")
    >>> model = keras.Sequential([keras.Input((4,)), base, keras.layers.Dense(1)])
    >>> x = np.ones((32, 4))
    >>> history = fine_tune(model, x, x[:, :1], base="base", loss="mse", epochs=2, verbose=0)
    >>> len(history["loss"])
    3

    References:
        Howard and Ruder (2018), Universal Language Model Fine-tuning for Text Classification,
        arXiv:1801.06146
    """
    if isinstance(base, str):
        base = model.get_layer(base)
    if not any(layer is base for layer in model.layers):
        raise ValueError(
            f"fine_tune expects base to be a layer of '{model.name}'; received '{base.name}'. "
            f"Its layers are {', '.join(layer.name for layer in model.layers)}."
        )
    fit = fit or _fit
    faster = {"jit_compile": model.jit_compile} if model.compiled else {}
    steps = -(-len(keras.tree.flatten(x)[0]) // batch_size)
    history = {}

    def learn(passes, peak, wrap):
        if passes:
            made = optimizer(OneCycle(peak, passes * steps))
            model.compile(wrap(made), loss, metrics=list(metrics), **faster)
            done = fit(model, x, y, epochs=passes, batch_size=batch_size, **fit_options)
            for name, values in done.items():
                history.setdefault(name, []).extend(values)

    base.trainable = False
    learn(head_epochs, learning_rate, lambda made: made)
    if epochs:
        unfreeze_from(base, unfreeze)
        learn(epochs, learning_rate / base_divisor, lambda made: layer_decay(model, made, decay))
    return history


def _fit(model, x, y, **options):
    return model.fit(x, y, **options).history


def _batch_norms(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def _renew_training_step(model):
    """Has a compiled model trace its step anew: the old one holds who was trainable then."""
    if isinstance(model, keras.Model) and model.compiled:
        model.train_function = None


def _index(model, layer):
    names = [each.name for each in model.layers]
    if isinstance(layer, int) and -len(names) <= layer < len(names):
        return layer % len(names)
    name = getattr(layer, "name", layer)
    if name in names:
        return names.index(name)
    raise ValueError(
        f"unfreeze_from expects a layer of '{model.name}'; received {name!r}. Its layers are "
        f"{', '.join(names)}."
    )
