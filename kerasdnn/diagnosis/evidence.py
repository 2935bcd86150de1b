"""What is known about a training, as plain numbers: the only input of the rules.

`diagnose` fills all of it, `TrainingDoctor` what it sees of a live run; None means "not seen", and
a rule that needs such a number stays silent.
"""

import dataclasses


@dataclasses.dataclass
class Dynamics:
    """What was seen of a training run.

    Lists named `..._by_layer` are T x L: a row for each time of observation, a column for each name
    in `layers`; entries may be None.
    """

    epochs_planned: int | None = None
    steps_per_epoch: int | None = None
    loss: list = dataclasses.field(default_factory=list)  # per epoch, as the metric `loss` says
    val_loss: list = dataclasses.field(default_factory=list)
    metrics: dict = dataclasses.field(default_factory=dict)  # name -> list per epoch
    rate: list = dataclasses.field(default_factory=list)  # learning rate per epoch
    step_loss: list = dataclasses.field(default_factory=list)  # per step, as far as recorded
    layers: list = dataclasses.field(default_factory=list)  # names of the layers with a kernel
    time: list = dataclasses.field(default_factory=list)  # epoch of each row below, may be a part
    gradient_norm_by_layer: list = dataclasses.field(default_factory=list)
    weight_norm_by_layer: list = dataclasses.field(default_factory=list)
    update_ratio_by_layer: list = dataclasses.field(default_factory=list)  # |step| / |weight|
    moved: list = dataclasses.field(default_factory=list)  # |end - start| / |start|, by layer
    dead_share_by_layer: list = dataclasses.field(default_factory=list)  # units never active
    saturated_share_by_layer: list = dataclasses.field(default_factory=list)
    activation_std_by_layer: list = dataclasses.field(default_factory=list)
    # {"step": int, "what": "loss" | "weight" | "gradient" | "input", "where": layer or batch}
    nan: dict | None = None
    skill: float | None = None  # 1 perfect, 0 no better than a constant; on training rows
    val_skill: float | None = None  # the same on rows that were not trained on
    clip_rate: float | None = None  # share of the steps in which clipping was at work
    stopped_early: bool = False  # by a callback, by the time budget or by an interrupt
    reason: str = ""

    @property
    def finished(self):
        """Whether as many epochs were seen as planned."""
        return self.epochs_planned is not None and len(self.loss) >= self.epochs_planned


@dataclasses.dataclass
class Evidence:
    """Everything the rules may look at.

    Attributes:
        model: `facts.ModelFacts` or None.
        labels: `facts.LabelFacts` or None.
        inputs: `facts.InputFacts` or None.
        batch: `facts.BatchFacts` or None: initial loss, statistics by layer, one-batch probes.
        run: `Dynamics` or None.
        trials: dictionary of what other trainings, each with one thing changed, reached.
    """

    model: object = None
    labels: object = None
    inputs: object = None
    batch: object = None
    run: Dynamics | None = None
    trials: dict = dataclasses.field(default_factory=dict)
