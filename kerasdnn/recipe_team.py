"""A recipe as it is, by several processes or devices that `kerasdnn launch` has started.

Each process runs the whole recipe. Trainings of `run.fit` are shared; all else, as loading data and
evaluating, each does for itself, and the first one alone prints and leaves files.
"""

import contextlib
import json
import os
import sys
import tempfile

from kerasdnn.distributed import ATTEMPT, join

PLAIN = {"epochs", "batch_size", "seed", "validation_data", "class_weight", "every"}


@contextlib.contextmanager
def joined(args):
    """Gives the `Team` of this process; changes the recipe's flags to what it may do.

    Args:
        args: the parsed flags of the recipe.
    """
    with contextlib.ExitStack() as stack:
        team = join()
        args.no_autotune |= team.parts > 1  # they would not all choose the same
        args.resume |= os.environ.get(ATTEMPT, "0") != "0"  # one has died
        if team.rank:
            args.save = args.resume = False
            args.out = stack.enter_context(tempfile.TemporaryDirectory())
            nowhere = stack.enter_context(open(os.devnull, "w"))
            sys.stdout.flush()
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield team


def agreed(team, progress):
    """Returns the finished trainings that the first process knows of, in every process."""
    return json.loads(team.share({"done": json.dumps(progress).encode()})["done"])


def trainer(team, model, x, callbacks, options, say):
    """Returns the function that trains like `exact_fit`, but shared; None where that cannot be."""
    if team is None or team.parts == 1:
        return None
    if callbacks:
        reason = "its callbacks look at one model"
    elif not hasattr(x, "shape"):
        reason = "its data are no array"
    elif not model.built or options.keys() - PLAIN:
        reason = "only plain trainings are"
    else:
        say(f"trained by {team}")
        return team.train
    say(f"note: this training is not shared by the {team}: {reason}")
    return None
