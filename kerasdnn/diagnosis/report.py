"""What a diagnosis found, for people and for programs."""

import dataclasses
import io
import json
from pathlib import Path

from kerasdnn.diagnosis.finding import SEVERITIES, Finding, plain

STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


@dataclasses.dataclass
class Report:
    """Findings of one training, the most likely cause first, and what was measured on the way.

    Attributes:
        findings: list of `Finding`, ranked.
        program: dictionary of what was diagnosed: names and numbers such as loss, optimizer,
            learning rate, batch size, epochs, parameters, backend.
        passes: list of dictionaries `name, seconds, note`, one for each pass that ran.
        notes: sentences about what could not be seen.
        curves: dictionary of lists over time. Keys that end in "step" are per step, all others per
            epoch: "loss", "val_loss", "rate", metrics, "loss_step". A missing number is None.
        layers: dictionary with "names" (list of L layers, in order), "time" (list of T labels such
            as epochs) and matrices T x L (lists of lists): "gradient_norm", "update_ratio",
            "dead_share", "saturated_share", "activation_std".
        evidence: the `Evidence` that the rules saw; not part of the JSON.
    """

    findings: list[Finding] = dataclasses.field(default_factory=list)
    program: dict = dataclasses.field(default_factory=dict)
    passes: list[dict] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    curves: dict = dataclasses.field(default_factory=dict)
    layers: dict = dataclasses.field(default_factory=dict)
    evidence: object = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def top(self):
        """The most likely cause, or None."""
        return self.findings[0] if self.findings else None

    @property
    def warnings(self):
        """The findings of severity "warning" or "error"."""
        return [finding for finding in self.findings if finding.at_least("warning")]

    @property
    def worst(self):
        """The highest severity among the findings, or None."""
        severities = [SEVERITIES.index(finding.severity) for finding in self.findings]
        return SEVERITIES[max(severities)] if severities else None

    @property
    def seconds(self):
        """Seconds that the passes took."""
        return sum(item.get("seconds", 0.0) for item in self.passes)

    def to_dict(self):
        """Returns everything as plain values that JSON can hold."""
        return {
            "findings": [finding.to_dict() for finding in self.findings],
            **{
                name: plain(getattr(self, name))
                for name in ("program", "passes", "notes", "curves", "layers")
            },
        }

    def to_json(self, path=None):
        """Returns the report as JSON text, and writes it to `path` if given."""
        text = json.dumps(self.to_dict(), indent=1)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def to_html(self, path):
        """Writes the report as one page that needs no other file and no network."""
        from kerasdnn.diagnosis.page import page

        Path(path).write_text(page(self, self._headline()), encoding="utf-8")

    @classmethod
    def from_json(cls, text):
        """Returns the report that `to_json` wrote."""
        fields = json.loads(text)
        fields["findings"] = [Finding(**finding) for finding in fields["findings"]]
        return cls(**fields)

    def __rich_console__(self, console, options):
        from rich.text import Text

        yield Text(self._headline(), style="bold")
        for number, finding in enumerate(self.findings, 1):
            line = Text(f"{number}. ")
            line.append(f"{finding.severity:<8}", style=STYLES[finding.severity])
            line.append(finding.id, style="bold")
            line.append(f"  {finding.message}")
            yield line
            numbers = ", ".join(f"{k} {_short(v)}" for k, v in finding.evidence.items())
            detail = "; ".join(part for part in (finding.location, numbers) if part)
            if detail:
                yield Text(f"   {detail}", style="dim")
            if finding.remedy:
                yield Text(f"   -> {finding.remedy}", style="green")
        for note in self.notes:
            yield Text(f"note: {note}", style="dim")

    def _headline(self):
        if not self.findings:
            verdict = "no finding"
        elif not self.warnings:
            verdict = "nothing that hurts this training"
        else:
            verdict = f"{len(self.warnings)} of {len(self.findings)} findings hurt this training"
        return f"Diagnosis: {verdict} ({self.seconds:.1f} s)"

    def __str__(self):
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=110, no_color=True, highlight=False).print(self)
        return text.getvalue().rstrip()


def _short(value):
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        shown = ", ".join(_short(item) for item in value[:6])
        return f"[{shown}{', ...' if len(value) > 6 else ''}]"
    return str(value)
