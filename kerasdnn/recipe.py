"""The frame of a recipe: flags, header, table, files, exit code. All else stands in the recipe.

```python
@recipe(metric="test_accuracy", data="fashion_mnist", gates={"fashion_mnist": Gate(0.94)})
def main(run):
    dataset = run.load()
    run.row("no augmentation", lambda seed: ..., role="control")
    run.row("augmentation", lambda seed: ..., role="technique")
    run.finish()

if __name__ == "__main__":
    sys.exit(main())
```
"""

import argparse
import functools
import inspect
import os
import signal
import sys
import threading
from pathlib import Path

from kerasdnn.errors import InputError
from kerasdnn.results import Gate, Spec, Trial
from kerasdnn.run import Run

EXIT_INPUT, EXIT_INTERRUPT, EXIT_TERMINATED = 2, 130, 143


class Terminated(BaseException):
    """SIGTERM arrived."""


def recipe(*, metric, data, gates, target=None, higher_is_better=True, flags=None):
    """Turns `main(run)` into `main(argv=None) -> int` with the flags that all recipes share.

    Args:
        metric: name of the number, as in "test_accuracy".
        data: name of the default data set.
        gates: dictionary from data-set name to `Gate`; data that are not named have no gate.
        target: published value and its source, or None.
        higher_is_better: False for errors and distances.
        flags: function of the `argparse` parser that adds flags of the recipe's own, which the
            story then finds in `run.args`.
    """
    spec = Spec(metric, data, gates, target, higher_is_better, flags)

    def decorate(story):
        # A notebook says itself which recipe it shows: its cells have no file.
        path = Path(story.__globals__.get("__file__") or inspect.getfile(story))

        @functools.wraps(story)
        def main(argv=None):
            return _guarded(story, path, spec, argv)

        main.spec = spec
        return main

    return decorate


def arguments(name, description, data, flags=None):
    """Returns the parser of the flags that all recipes share, and of the recipe's own."""
    parser = argparse.ArgumentParser(
        prog=f"{name}.py", description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="under 30 s: few real data, few epochs, no gate")
    add("--seeds", type=int, default=1, metavar="N", help="repeat with seeds 0 to N-1 (default 1)")
    add("--data", default=data, metavar="NAME_OR_PATH", help=f"data set or folder (default {data})")
    add("--out", default="runs", metavar="DIR", help="parent of the result files (default runs)")
    add("--save", action="store_true", help="also write saved_models/<recipe>/ and check a reload")
    add("--resume", action="store_true", help="go on with the newest unfinished run in --out")
    add("--diagnose", action="store_true", help="say of each training why it does not do better")
    add("--no-autotune", action="store_true", help="train with Keras' defaults for speed")
    if flags is not None:
        flags(parser)
    return parser


def _guarded(story, path, spec, argv):
    """Runs a recipe; turns bad input and signals into a sentence and an exit code."""
    name = path.stem
    parser = arguments(name, story.__globals__.get("__doc__"), spec.data, spec.flags)
    args = parser.parse_args(argv)
    if "KERASDNN_PROCESS" not in os.environ:
        return _told(story, path, spec, name, args)
    from kerasdnn.recipe_team import joined

    try:
        with joined(args) as team:
            return _told(story, path, spec, name, args, team)
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return EXIT_INPUT


def _told(story, path, spec, name, args, team=None):
    """Runs a recipe's story; returns the exit code."""
    run = None

    def terminate(signum, frame):
        raise Terminated

    in_main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, terminate) if in_main else None
    try:
        run = Run(name, path, spec, args, story.__globals__, team)
        story(run)
        if run.left:
            return 0
        if run.result is None:
            raise RuntimeError(f"The recipe '{name}' ended without run.finish(); call it last.")
        return 0 if run.result["passed"] in (True, None) else 1
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        if run is not None:
            run.discard_if_empty()
        return EXIT_INPUT
    except (KeyboardInterrupt, Terminated) as stop:
        interrupt = isinstance(stop, KeyboardInterrupt)
        reason = "Ctrl-C" if interrupt else "SIGTERM"
        print(f"\n{name}: stopped by {reason}. {run.where() if run else ''}", file=sys.stderr)
        return EXIT_INTERRUPT if interrupt else EXIT_TERMINATED
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, previous)


__all__ = ["Gate", "Run", "Trial", "recipe"]
