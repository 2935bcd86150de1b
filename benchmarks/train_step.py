"""One training step: kerasdnn against Keras' defaults on each backend, and against plain PyTorch.

python benchmarks/train_step.py --models cnn lstm transformer --rounds 3 --seconds 2
"""

import os
import sys

from kerasdnn import bench

from _models import batch_size, data, feed, keras_model, torch_model  # beside this script

MODELS = ("cnn", "lstm", "transformer")
TORCH_SETTINGS = (
    "eager float32",
    "eager float32 channels last",
    "eager bfloat16",
    "eager bfloat16 channels last",
    "compiled bfloat16 channels last",
)


def candidates(model):
    """Returns the names of the candidates of one model, the reference first."""
    keras_ones = [f"{way} ({b})" for b in ("tensorflow", "jax", "torch") for way in WAYS]
    settings = [s for s in TORCH_SETTINGS if model == "cnn" or "channels" not in s]
    if model != "cnn":
        settings.append("compiled bfloat16")
    return keras_ones + [f"PyTorch {setting}" for setting in settings]


WAYS = ("Keras defaults", "kerasdnn")


def work_of(model, candidate):
    """Returns `(work, facts)` of one candidate, inside its own process."""
    x, y = data(model)
    size = batch_size(model)
    if candidate.startswith("PyTorch"):
        return _torch_work(model, candidate, x, y, size), {}
    facts = {}
    if candidate.startswith("Keras"):
        made = keras_model(model, ours=False)
    else:
        from kerasdnn.runtime import autotune

        choice = autotune(
            lambda: keras_model(model, ours=True), x, y, batch_size=size, seconds=60, cache=False
        )
        made = choice.build()
        facts = {"setting": str(choice.setting)}

    arrays = feed(x, y, size)

    def work():
        made.fit(**arrays, verbose=0)
        return len(x)

    return work, facts


def _torch_work(model, candidate, x, y, size):
    import torch

    module = torch_model(model)
    if "channels last" in candidate:
        module = module.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(module.parameters(), 0.01)
    runner = torch.compile(module) if "compiled" in candidate else module
    x = torch.from_numpy(x)
    if model == "cnn":
        x = x.permute(0, 3, 1, 2).contiguous()
        if "channels last" in candidate:
            x = x.contiguous(memory_format=torch.channels_last)
    batches = list(zip(x.split(size), torch.from_numpy(y).split(size)))

    def work():
        for inputs, labels in batches:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in candidate):
                logits = runner(inputs)
            torch.nn.functional.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
        return len(x)

    return work


def main(argv=None):
    flags = bench.parser(__doc__, rounds=3)
    flags.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    args = flags.parse_args(argv)
    if args.worker:
        model, candidate = args.worker.split(": ", 1)
        return bench.serve(lambda: work_of(model, candidate))
    tables = {}
    for model in args.models:

        def start(name, model=model):
            backend = name.partition("(")[2].rstrip(")") or "torch"
            env = {"KERAS_BACKEND": backend, "KERASDNN_HOME": os.environ.get("KERASDNN_HOME", "")}
            env = {key: value for key, value in env.items() if value}
            return bench.Process(__file__, f"{model}: {name}", env)

        rates, facts, skipped = bench.interleave(
            {name: lambda name=name: start(name) for name in candidates(model)},
            rounds=args.rounds,
            seconds=args.seconds,
        )
        rows = bench.ratio_rows(rates, facts, skipped, "Keras defaults (tensorflow)", "samples/s")
        tables[f"{model}: training, batch {batch_size(model)}"] = rows
    bench.publish("train_step", tables, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
