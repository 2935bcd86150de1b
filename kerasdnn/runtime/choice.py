"""What `autotune` returns: the setting it picked, why, and models made that way."""

import dataclasses
import io

from kerasdnn.console import console, print_table
from kerasdnn.runtime.precision import policy_scope


@dataclasses.dataclass(frozen=True)
class Setting:
    """One way to run a model: dtype policy, XLA or not, fused batch normalization or Keras'."""

    precision: str
    jit_compile: bool
    fused_batch_norm: bool

    def __str__(self):
        jit = "jit" if self.jit_compile else "no jit"
        return (
            f"{self.precision}, {jit}, {'fused' if self.fused_batch_norm else 'Keras'} batch norm"
        )

    def make(self, build):
        """Builds a compiled model that runs this way; the global dtype policy is as before."""
        # Imported here: layers are above runtime, and only models that are fused need them.
        from kerasdnn.layers.convert import fuse_batch_norm

        with policy_scope(self.precision):
            model = compiled(build())
            if self.fused_batch_norm:
                model = compiled(fuse_batch_norm(model))
        if model.jit_compile != self.jit_compile:
            model.jit_compile = self.jit_compile
        if model.jit_compile != self.jit_compile:
            raise ValueError(
                f"{type(model).__name__} cannot run with jit_compile={self.jit_compile}; it keeps "
                f"jit_compile={model.jit_compile}. Leave this setting out."
            )
        return model


def table_row(precision, jit_compile, fused, status, reason="", speed=None, ratio=None, loss=None):
    """Returns a row of `Choice.table`; None in the first three stands for any."""
    return {
        "precision": precision,
        "jit_compile": jit_compile,
        "fused_batch_norm": fused,
        "images_per_second": speed,
        "ratio": ratio,
        "loss": loss,
        "status": status,
        "reason": reason,
    }


def compiled(model):
    """Returns the model, or says that it must be compiled."""
    if not getattr(model, "compiled", False):
        raise TypeError(
            "autotune expects build() to return a compiled keras.Model; received "
            f"{type(model).__name__}, not compiled. Call model.compile(...) inside build()."
        )
    return model


@dataclasses.dataclass
class Choice:
    """The fastest setting found, and the table that shows it.

    Made by `autotune`, not by hand.

    Attributes:
        precision: name of the dtype policy.
        jit_compile: bool.
        fused_batch_norm: bool.
        batch_size: int, the batch size of the timing.
        speedup: float, images per second over the default's, 1.0 for the default itself.
        table: list of dicts, a row for each setting, the default first: `precision`,
            `jit_compile`, `fused_batch_norm`, `images_per_second`, `ratio` to the default, `loss`
            (mean of the first steps), `status` (chosen, measured, slower, rejected, failed,
            skipped) and `reason`; a value that was not measured is None.
        seconds: float, what the tuning took.
        cached: bool, whether it comes from an earlier call on this machine.
    """

    precision: str
    jit_compile: bool
    fused_batch_norm: bool
    batch_size: int
    speedup: float
    table: list
    seconds: float
    cached: bool
    builder: object = dataclasses.field(repr=False)

    @property
    def setting(self):
        """The three decisions as one `Setting`."""
        return Setting(self.precision, self.jit_compile, self.fused_batch_norm)

    def build(self):
        """Returns a fresh compiled model that runs the chosen way.

        The dtype policy is global only while the caller's `build()` runs.
        """
        return self.setting.make(self.builder)

    def to_dict(self):
        """Returns all but the builder, ready for JSON."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "builder"
        }

    def __str__(self):
        source = "from the cache" if self.cached else f"measured in {self.seconds:.0f} s"
        gain = f"{self.speedup:.2f} x the default" if self.speedup != 1.0 else "the default"
        out = io.StringIO()
        rows = [
            {
                "precision": row["precision"] or "any",
                "jit": _word(row["jit_compile"]),
                "fused batch norm": _word(row["fused_batch_norm"]),
                "images/s": row["images_per_second"] and round(row["images_per_second"]),
                "ratio": row["ratio"] and round(row["ratio"], 2),
                "loss": row["loss"],
                "status": row["status"],
                "reason": row["reason"],
            }
            for row in self.table
        ]
        title = f"autotune: {self.setting}: {gain}, batch {self.batch_size}, {source}"
        print_table(rows, title=title, out=console(out))
        return out.getvalue().rstrip()


def _word(value):
    return "any" if value is None else ("yes" if value else "no")
