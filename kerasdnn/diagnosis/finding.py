"""One finding: what is wrong, how that is known, and what to change."""

import dataclasses
import math

SEVERITIES = ("info", "warning", "error")


@dataclasses.dataclass
class Finding:
    """One possible cause of a bad training, or a symptom of one.

    Attributes:
        id: name from the vocabulary, "family.fault", as in "lr.high".
        severity: "info" (worth knowing), "warning" (hurts this training), "error" (it cannot work).
        message: one sentence that says what is wrong.
        evidence: dictionary from name to number, text or short list; thresholds are named
            "threshold..." or "expected...".
        location: the layer or the argument to change.
        remedy: one line of code.
        confidence: 0 to 1.
        stage: the pass that found it: "structure", "data" or "dynamics".
        change: the remedy for `repair`: a dictionary with "kind" and its arguments, or None.
        explains: ids of the symptoms of this training that the finding accounts for.
        recipe: name of the recipe that demonstrates it, or None.
        proved: gain in skill of a training in which this was mended, None if it was not tried.
    """

    id: str
    severity: str
    message: str
    evidence: dict = dataclasses.field(default_factory=dict)
    location: str = ""
    remedy: str = ""
    confidence: float = 0.5
    stage: str = "structure"
    change: dict | None = None
    explains: list = dataclasses.field(default_factory=list)
    recipe: str | None = None
    proved: float | None = None

    def __post_init__(self):
        if self.severity not in SEVERITIES:
            raise ValueError(
                f"Finding expects a severity of {SEVERITIES}; received {self.severity!r}."
            )
        self.evidence = {name: plain(value) for name, value in self.evidence.items()}

    @property
    def family(self):
        """The part of the id before the dot."""
        return self.id.split(".")[0]

    def at_least(self, severity):
        """Returns whether this is as severe as `severity` or more."""
        return SEVERITIES.index(self.severity) >= SEVERITIES.index(severity)

    def to_dict(self):
        """Returns the fields as plain values that JSON can hold."""
        return {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def plain(value):
    """Returns the value with NumPy scalars and arrays made Python's, not-finite numbers text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
