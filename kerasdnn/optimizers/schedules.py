"""Learning-rate schedules: one cycle, and warmup in front of any schedule."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Raises the learning rate to a peak and lowers it far below its start.

    The curve of PyTorch's `OneCycleLR`: from `peak / start_divisor` up to `peak` at step
    `warmup * total_steps - 1`, then down to `peak / start_divisor / end_divisor` at step
    `total_steps - 1`, where it stays.

    Args:
        peak: float above 0, the highest learning rate.
        total_steps: int, optimizer steps of the whole training: epochs times batches in an epoch.
        warmup: float in [0, 1], the share of the steps that rise. Default 0.3.
        start_divisor: float above 0; the first rate is `peak / start_divisor`. Default 25.
        end_divisor: float above 0; the last rate is the first divided by it. Default 1e4.
        anneal: `"cosine"` or `"linear"`, the form of both parts.

    Raises:
        ValueError: an argument outside the range above.

    Example:
    >>> schedule = OneCycle(0.1, total_steps=100)
    >>> [round(float(schedule(step)), 5) for step in (0, 29, 99)]
    [0.004, 0.1, 0.0]
    >>> optimizer = keras.optimizers.AdamW(schedule)

    References:
        Smith and Topin (2018), Super-Convergence: Very Fast Training of Neural Networks Using
        Large Learning Rates, arXiv:1708.07120
    """

    def __init__(
        self,
        peak,
        total_steps,
        *,
        warmup=0.3,
        start_divisor=25.0,
        end_divisor=1e4,
        anneal="cosine",
    ):
        super().__init__()
        _require_positive(
            "OneCycle",
            peak=peak,
            total_steps=total_steps,
            start_divisor=start_divisor,
            end_divisor=end_divisor,
        )
        if int(total_steps) != total_steps:
            raise ValueError(
                f"OneCycle expects a whole number of steps; received total_steps={total_steps}. "
                "Multiply the epochs by the batches in an epoch."
            )
        if not 0 <= warmup <= 1:
            raise ValueError(
                f"OneCycle expects a share of the steps in [0, 1]; received warmup={warmup}. "
                "Divide the number of warmup steps by total_steps."
            )
        if anneal not in ("cosine", "linear"):
            raise ValueError(
                f"OneCycle expects anneal to be 'cosine' or 'linear'; received {anneal!r}. "
                "Choose one of the two."
            )
        self.peak = float(peak)
        self.total_steps = int(total_steps)
        self.warmup = float(warmup)
        self.start_divisor = float(start_divisor)
        self.end_divisor = float(end_divisor)
        self.anneal = anneal

    def __call__(self, step):
        step = ops.cast(step, "float32")
        start = self.peak / self.start_divisor
        turn, last = self.warmup * self.total_steps - 1, self.total_steps - 1
        rises = step <= turn  # the peak is at step `turn`
        # Share of the way up to the peak. Few operations: optimizers call this for each weight.
        up = step / turn if turn > 0 else 1.0
        down = ops.maximum((last - step) / (last - turn), 0.0) if last > turn else 0.0
        share = ops.where(rises, up, down)
        if self.anneal == "cosine":
            share = (1 - ops.cos(math.pi * share)) / 2
        low = ops.where(rises, start, start / self.end_divisor)
        return low + (self.peak - low) * share

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup": self.warmup,
            "start_divisor": self.start_divisor,
            "end_divisor": self.end_divisor,
            "anneal": self.anneal,
        }


@keras.saving.register_keras_serializable(package="kerasdnn")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Puts a linear warmup in front of any schedule.

    `schedule(0) * (step + 1) / steps` while `step < steps`, then `schedule(step - steps)`: the
    schedule itself starts when the warmup ends, so give it the remaining steps.

    Args:
        schedule: `keras.optimizers.schedules.LearningRateSchedule`, or a float for a constant rate.
        steps: int of at least 0, optimizer steps of warmup. 0 changes nothing.

    Raises:
        ValueError: `steps` is negative or not whole.
        TypeError: `schedule` is neither a number nor a schedule.

    Example:
    >>> schedule = Warmup(0.1, steps=4)
    >>> [round(float(schedule(step)), 3) for step in (0, 1, 3, 50)]
    [0.025, 0.05, 0.1, 0.1]

    References:
        Goyal et al. (2017), Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour,
        arXiv:1706.02677
    """

    def __init__(self, schedule, steps):
        super().__init__()
        is_schedule = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
        if not is_schedule and not isinstance(schedule, int | float):
            raise TypeError(
                "Warmup expects a learning-rate schedule or a number; received "
                f"{type(schedule).__name__}. Pass for example keras.optimizers.schedules."
                "CosineDecay(...) or 1e-3."
            )
        if steps < 0 or int(steps) != steps:
            raise ValueError(
                f"Warmup expects a whole number of steps of at least 0; received steps={steps}. "
                "Multiply the warmup epochs by the batches in an epoch."
            )
        self.schedule = schedule if is_schedule else float(schedule)
        self.steps = int(steps)

    def __call__(self, step):
        step = ops.convert_to_tensor(step)
        # While warming up the schedule is held at its step 0, so one call serves both parts.
        rate = self.schedule
        if not isinstance(rate, float):
            rate = rate(ops.maximum(step - self.steps, ops.zeros_like(step)))
        rate = ops.cast(rate, "float32")
        if not self.steps:
            return rate
        return rate * ops.minimum((ops.cast(step, "float32") + 1) / self.steps, 1.0)

    def get_config(self):
        schedule = self.schedule
        if not isinstance(schedule, float):
            schedule = keras.saving.serialize_keras_object(schedule)
        return {"schedule": schedule, "steps": self.steps}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        if isinstance(config["schedule"], dict):
            config["schedule"] = keras.saving.deserialize_keras_object(
                config["schedule"], custom_objects=custom_objects
            )
        return cls(**config)


def _require_positive(owner, **values):
    for name, value in values.items():
        if not value > 0:
            raise ValueError(
                f"{owner} expects {name} above 0; received {value}. Choose a positive number."
            )
