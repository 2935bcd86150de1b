"""Reads loss, optimizer and metrics out of a compiled model."""

from kerasdnn.diagnosis.facts import LossFacts, OptimizerFacts

import keras
import numpy as np

SAMPLES_OF_SCHEDULE = 64


def read_losses(model, count):
    """Returns the `LossFacts` of each output, None where there is none."""
    given = getattr(model, "loss", None)
    if isinstance(given, dict):
        names = list(getattr(model, "output_names", None) or given)
        items = [given.get(name) for name in names]
    elif isinstance(given, list | tuple):
        items = list(given)
    else:
        items = [given] * max(count, 1)
    return [None if item is None else read_loss(item) for item in items]


def read_loss(loss):
    """Returns the `LossFacts` of what `compile` got as a loss."""
    options = {}
    while hasattr(loss, "func") and hasattr(loss, "keywords"):  # functools.partial
        options, loss = {**loss.keywords, **options}, loss.func
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return LossFacts(str(loss), known=False)
    if isinstance(loss, keras.losses.Loss):
        try:
            options = {**loss.get_config(), **options}
        except NotImplementedError:
            options = dict(options)
        name, reduction = _snake(type(loss).__name__), loss.reduction
    else:
        name, reduction = getattr(loss, "__name__", type(loss).__name__), None
    module = getattr(
        loss if not isinstance(loss, keras.losses.Loss) else type(loss), "__module__", ""
    )
    known = module.startswith(("keras.", "kerasdnn.")) and hasattr(keras.losses, name)
    return LossFacts(
        name,
        known,
        from_logits=bool(options.get("from_logits", getattr(loss, "from_logits", False))),
        reduction=reduction,
        smoothing=float(options.get("label_smoothing", 0.0) or 0.0),
    )


def _snake(name):
    """Turns the name of a loss class into that of the function."""
    special = {
        "KLDivergence": "kl_divergence",
        "LogCosh": "log_cosh",
        "Huber": "huber",
        "CTC": "ctc",
    }
    if name in special:
        return special[name]
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def read_optimizer(optimizer, steps):
    """Returns the `OptimizerFacts`; the rate is sampled over `steps` where it has a schedule."""
    if optimizer is None:
        return None
    inner = optimizer
    while hasattr(inner, "inner_optimizer"):  # loss scaling and other wrappers
        inner = inner.inner_optimizer
    facts = OptimizerFacts(type(inner).__name__, None)
    schedule = getattr(inner, "_learning_rate", None)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        points = np.unique(
            np.linspace(0, max((steps or 1000) - 1, 0), SAMPLES_OF_SCHEDULE).astype(int)
        )
        facts.rates = [float(schedule(int(step))) for step in points]
        facts.rate = max(facts.rates, key=abs)
        facts.schedule = type(schedule).__name__
    elif hasattr(inner, "learning_rate"):
        facts.rate = float(keras.ops.convert_to_numpy(inner.learning_rate))
        facts.rates = [facts.rate]
    facts.momentum = float(getattr(inner, "momentum", 0.0) or 0.0)
    epsilon = getattr(inner, "epsilon", None)
    facts.epsilon = float(epsilon) if isinstance(epsilon, int | float) else None
    for name in ("clipnorm", "clipvalue", "global_clipnorm"):
        if getattr(inner, name, None) is not None:
            facts.clip[name] = float(getattr(inner, name))
    facts.clipped = bool(facts.clip)
    return facts


def metric_names(model):
    """Returns the metrics by name, as they were given to `compile`."""
    try:
        given = (model.get_compile_config() or {}).get("metrics")
    except (NotImplementedError, TypeError, ValueError):  # something that Keras cannot describe
        given = None
    if given is None:
        return [metric.name for metric in model.metrics if metric.name != "loss"]
    return [_metric_name(item) for item in keras.tree.flatten(given) if item is not None]


def _metric_name(item):
    if isinstance(item, str):
        return item
    if isinstance(item, dict):
        return str(item.get("class_name", item))
    if isinstance(item, keras.metrics.Metric):
        return type(item).__name__
    return getattr(item, "__name__", str(item))
