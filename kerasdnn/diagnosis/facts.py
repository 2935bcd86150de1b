"""Facts about a model, its labels, its inputs and its first batch, as plain numbers."""

import dataclasses


@dataclasses.dataclass
class LayerFacts:
    """One layer, nested models taken apart."""

    name: str
    kind: str  # the class name
    index: int = 0  # position among all layers; names change with every call of build
    activation: str | None = None  # None: the layer has no such argument
    units: int | None = None  # width of the output
    inputs: int | None = None  # fan-in of the kernel
    parameters: int = 0
    trainable: bool = True
    kernel: str | None = None  # path of the kernel variable
    kernel_std: float | None = None
    kernel_mean: float | None = None
    kernel_expected_std: float | None = None  # of He's and Glorot's initializers, the nearer
    bias_std: float | None = None
    l1: float = 0.0
    l2: float = 0.0
    penalty_ratio: float | None = None  # gradient norm of the penalty over that of the data
    dropout: float | None = None
    axis: object = None  # of a normalization
    channel_axis: int | None = None  # where the convolution before it has its channels
    momentum: float | None = None  # of a batch normalization
    rank: int | None = None  # of the input of a normalization, the batch axis included


@dataclasses.dataclass
class OutputFacts:
    """The end of the model: what it can put out and what the loss makes of it."""

    name: str
    shape: tuple  # without the batch axis
    activation: str  # "unknown" for a function of the user's
    layer: str  # that has the activation
    head: str | None = None  # last layer with weights
    head_activation: str | None = None  # of that layer itself
    dropout_after: str | None = None  # a dropout layer behind the head
    softmax_axis_size: int | None = None
    softmax_axis: int | None = None  # counted from the end: -1 is the last
    units: int | None = None  # size of the last axis


@dataclasses.dataclass
class LossFacts:
    """One compiled loss."""

    name: str  # Keras' function name, or the user's
    known: bool
    from_logits: bool = False
    reduction: str | None = None
    smoothing: float = 0.0


@dataclasses.dataclass
class OptimizerFacts:
    """The optimizer at the start and over the planned steps."""

    name: str
    rate: float | None  # the highest over the training
    rates: list = dataclasses.field(default_factory=list)  # sampled evenly over the training
    schedule: str | None = None
    momentum: float = 0.0
    epsilon: float | None = None
    clipped: bool = False
    clip: dict = dataclasses.field(default_factory=dict)  # threshold by argument


@dataclasses.dataclass
class ModelFacts:
    """What the structure pass knows."""

    kind: str  # "sequential", "functional" or "subclass"
    layers: list
    outputs: list
    losses: list  # a LossFacts or None for each output
    optimizer: OptimizerFacts | None
    metrics: list  # names as given to compile
    parameters: int = 0
    trainable_parameters: int = 0
    straight: bool = True  # no branches
    batch_size: int | None = None
    epochs: int | None = None
    rows: int | None = None
    shuffle: bool = True
    validation: str | None = None  # "split", "data" or None
    weighted: bool = False  # class or sample weights
    stopping: list = dataclasses.field(default_factory=list)  # monitor, mode, patience of each
    own_loss: bool = False  # compute_loss overridden or a loss that Keras does not have
    own_step: bool = False

    def positions(self, names):
        """Returns the positions of the layers of these names, as changes address them."""
        return [layer.index for layer in self.layers if layer.name in names]


@dataclasses.dataclass
class LabelFacts:
    """One array of targets."""

    kind: str  # "binary", "signed", "classes", "onehot", "multihot", "distribution", "real", "none"
    shape: tuple  # without the row axis
    dtype: str
    rows: int
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = 0.0
    integer: bool = False
    distinct: int = 0
    counts: dict = dataclasses.field(default_factory=dict)  # class -> rows
    below_zero: float = 0.0  # share of the values
    above_one: float = 0.0
    outside_unit: float = 0.0  # share outside [-1, 1]
    not_finite: float = 0.0
    constant: bool = False
    row_sum: tuple = (0.0, 0.0)  # lowest and highest
    sorted: bool = False  # classes stored one after the other
    unseen: list = dataclasses.field(default_factory=list)  # classes in validation only
    validation_classes: list = dataclasses.field(default_factory=list)
    validation_rows: int = 0
    validation_shift: float = 0.0  # total variation between the classes of training and validation
    truncated_classes: int | None = None  # distinct values after a cast to int


@dataclasses.dataclass
class InputFacts:
    """One array of inputs, raw and as the first layer with weights receives it."""

    name: str
    shape: tuple
    dtype: str
    rows: int
    low: float = 0.0
    high: float = 0.0
    not_finite: float = 0.0
    constant: float = 0.0  # share of the features that never change
    duplicates: float = 0.0
    ids: bool = False  # whole numbers that look like names of things
    received_rms: float | None = None
    received_std: float | None = None
    received_mean: float | None = None
    received_norm: float | None = None  # median length of a row
    feature_std_low: float | None = None
    feature_std_high: float | None = None
    received_by: str | None = None
    judged: bool = True  # False behind an embedding or a normalization
    validation_ratio: float | None = None  # rms of the validation inputs over the training inputs


@dataclasses.dataclass
class BatchFacts:
    """What one batch tells before any training."""

    loss: float | None = None  # data part, without penalties
    expected_loss: float | None = None  # of a guess that knows nothing
    penalty: float = 0.0
    loss_shape: tuple | None = None
    duplicated_ratio: float | None = None  # loss of the batch given twice, over the loss
    permuted_change: float | None = None  # of the loss, relative, when labels change their rows
    batch_dependent: float | None = None  # change of a prediction when its batch changes
    output_low: float | None = None
    output_high: float | None = None
    output_std: float | None = None  # over the rows
    row_sum: tuple | None = None
    column_sum: tuple | None = None
    input_gradient: float | None = None
    layers: list = dataclasses.field(default_factory=list)
    activation_std: dict = dataclasses.field(default_factory=dict)
    activation_row_std: dict = dataclasses.field(default_factory=dict)
    dead_share: dict = dataclasses.field(default_factory=dict)
    saturated_share: dict = dataclasses.field(default_factory=dict)
    gradient_norm: dict = dataclasses.field(default_factory=dict)
    weight_norm: dict = dataclasses.field(default_factory=dict)
    step_loss: dict = dataclasses.field(default_factory=dict)  # factor of the rate -> loss
    overfit_loss: list = dataclasses.field(default_factory=list)  # over steps on one batch
    overfit_skill: float | None = None
    notes: list = dataclasses.field(default_factory=list)
