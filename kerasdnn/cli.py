"""The command `kerasdnn`. `list`, `show`, `data list` and every help answer without Keras."""

import argparse
import importlib.util
import os
import pathlib
import sys

from kerasdnn import __version__, catalog
from kerasdnn.errors import InputError
from kerasdnn.startup import load_keras

EXIT_INPUT = 2
DIAGNOSE = """Say why a training does not converge, the most likely cause first.

The file defines one of

  def build(): ...    returns a fresh compiled model
  def data(): ...     returns (x, y), or (x, y, x_validation, y_validation)
  fit = {"batch_size": 32, "epochs": 20}       optional, arguments of model.fit

  def build(): ...    returns a fresh compiled model, x and y

  program = kerasdnn.diagnosis.Program(...)    or a function that returns one

Exit code: 0 when nothing hurts this training, 1 when something does, 2 for bad input.
"""


LAUNCH = """Train or tune with several processes, which are started again when they die.

  kerasdnn launch -n 2 -- FILE.py:search        a function that makes a Keras Tuner tuner with
                                                declared hyper-parameters, calls tuner.search(...)
                                                and returns the tuner: a chief and 2 workers
  kerasdnn launch -n 2 -- FILE.py [flags]       a training that calls kerasdnn.distributed.join():
                                                2 processes of JAX, each on half of every batch
  kerasdnn launch -n 2 -- RECIPE [flags]        the same with a recipe of the catalog as it is
  kerasdnn launch --devices 2 -- RECIPE         2 devices of one process of TensorFlow

The channels between the processes have neither passwords nor encryption. They are open to this
machine only, unless --host and --insecure say otherwise.
"""


def main(argv=None):
    """Runs the command line and returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        if argv[:1] == ["run"] and len(argv) > 1 and not argv[1].startswith("-"):
            return _run(argv[1], argv[2:])
        args = _parser().parse_args(argv or ["--help"])
        return args.act(args) or 0
    except InputError as error:
        print(f"kerasdnn: {error}", file=sys.stderr)
        return EXIT_INPUT
    except BrokenPipeError:  # `kerasdnn show X | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="kerasdnn",
        description="Deep-learning recipes for Keras 3, each number beside a published one.",
    )
    parser.add_argument("--version", action="version", version=f"kerasdnn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser(
        "list", help="the recipes with their measured and published numbers"
    )
    listing.set_defaults(act=lambda args: _list())

    run = commands.add_parser("run", help="run a recipe: kerasdnn run NAME [flags of the recipe]")
    run.add_argument("name", metavar="NAME")
    run.add_argument("flags", nargs="*", help="`kerasdnn run NAME --help` shows them")
    run.set_defaults(act=lambda args: _run(args.name, args.flags))

    show = commands.add_parser("show", help="print the file of a recipe, to copy it")
    show.add_argument("name", metavar="NAME")
    show.set_defaults(act=_show)

    data = commands.add_parser("data", help="the data sets").add_subparsers(
        required=True, metavar="COMMAND"
    )
    data.add_parser("list", help="the data sets by name").set_defaults(
        act=lambda args: _data_list()
    )
    fetch = data.add_parser("fetch", help="get a data set now, to have it offline")
    fetch.add_argument("name", metavar="NAME")
    fetch.set_defaults(act=_data_fetch)
    export = commands.add_parser("export", help="write a model as ONNX, LiteRT or SavedModel")
    export.add_argument("model", metavar="MODEL", help="a .keras file, or a recipe by its name")
    export.add_argument("--format", default="onnx", help="onnx (default), litert or saved_model")
    export.add_argument("--out", metavar="PATH", help="file to write; default: beside MODEL's name")
    export.set_defaults(act=_export)

    diagnose = commands.add_parser(
        "diagnose",
        help="say why a training of your own does not converge",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DIAGNOSE,
    )
    diagnose.add_argument("target", metavar="FILE.py:build", help="the file, and what builds it")
    diagnose.add_argument("--epochs", type=int, metavar="N", help="instead of the file's fit")
    diagnose.add_argument("--batch-size", type=int, metavar="N", help="instead of the file's fit")
    diagnose.add_argument("--seconds", type=float, default=30.0, help="for trainings (default 30)")
    diagnose.add_argument("--html", metavar="PATH", help="write the report as one page")
    diagnose.add_argument("--json", metavar="PATH", help="write the report as JSON")
    diagnose.add_argument(
        "--repair", action="store_true", help="also apply the remedies and train again"
    )
    diagnose.set_defaults(act=_diagnose)
    launch = commands.add_parser(
        "launch",
        help="train or tune with several processes",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=LAUNCH,
    )
    add = launch.add_argument
    add("-n", type=int, dest="processes", metavar="N", help="processes (default 2)")
    add("--devices", type=int, metavar="N", help="of one process of TensorFlow (default 1)")
    add("--deadline", type=float, metavar="SECONDS", help="end whatever runs then")
    add("--max-restarts", type=int, default=3, metavar="N", help="of those that die (default 3)")
    add("--host", default="127.0.0.1", help="where they meet (default this machine only)")
    add("--port", type=int, help="default: a free one")
    add("--insecure", action="store_true", help="allow a host that other machines can reach")
    add("--json", metavar="PATH", help="write the trials of a search")
    add(
        "command",
        nargs=argparse.REMAINDER,
        help="-- FILE.py:function, or -- FILE.py or RECIPE [flags]",
    )
    launch.set_defaults(act=_launch)
    text = "Side-by-side timings: all of them, or the one named; "
    text += "a result is a ratio between candidates that took turns. They are: "
    text += ", ".join(catalog.benchmark_names()) + "."
    bench = commands.add_parser("bench", help="side-by-side timings", description=text)
    bench.add_argument("name", nargs="?", metavar="NAME")
    bench.add_argument(
        "flags", nargs=argparse.REMAINDER, help="--rounds N, --seconds S, --json DIR"
    )
    bench.set_defaults(act=_bench)
    return parser


def _list():
    from kerasdnn.console import print_table

    hidden = "metric", "std"
    rows = [{k: v for k, v in row.items() if k not in hidden} for row in catalog.listing_rows()]
    for row in rows:
        row["recipe"] = row["recipe"].rpartition("/")[2]
    print_table(rows, whole=("recipe", "data"), optional=("concept", "data"))


def _show(args):
    sys.stdout.write(catalog.find(args.name).path.read_text(encoding="utf-8"))


def _run(name, flags):
    entry = catalog.find(name)
    if "-h" in flags or "--help" in flags:
        from kerasdnn.recipe import arguments

        data = entry.fields.get("Data", "").split(",")[0]
        parser = arguments(entry.name, entry.path.read_text("utf-8").split('"""')[1], data)
        parser.prog = f"kerasdnn run {entry.name}"
        parser.print_help()
        return 0
    load_keras()
    spec = importlib.util.spec_from_file_location(f"kerasdnn_recipe_{entry.name}", entry.path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look their module up by name
    spec.loader.exec_module(module)
    return module.main(flags)


def _diagnose(args):
    from kerasdnn.console import console, working

    load_keras()
    from kerasdnn.diagnosis import diagnose, repair
    from kerasdnn.diagnosis.user_file import read_program

    for name in ("epochs", "batch_size"):
        if (value := getattr(args, name)) is not None and value < 1:
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} expects at least 1; received {value}. Leave it out.")
    program = read_program(args.target, epochs=args.epochs, batch_size=args.batch_size)
    with working(f"looking at the program and training a copy, {args.seconds:g} s or less"):
        report = diagnose(program, seconds=args.seconds)
    console().print(report)
    if args.html:
        _written(report.to_html, args.html)
    if args.json:
        _written(report.to_json, args.json)
    if args.repair and report.warnings:
        with working("applying remedies and training again, 2 minutes or less"):
            repaired = repair(program, report)
        print(repaired)
    return 1 if report.warnings else 0


def _launch(args):
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise InputError("launch expects a command: kerasdnn launch -n 2 -- FILE.py:search")
    options = {key: getattr(args, key) for key in ("deadline", "max_restarts", "host", "port")}
    options["insecure"] = args.insecure
    if args.processes is None:
        args.processes = 1 if args.devices else 2
    if ":" in command[0]:
        return _launch_search(command[0], args, options)
    if pathlib.Path(command[0]).is_file():
        command = [sys.executable, *command]
    elif command[0].endswith(".py"):
        raise InputError(
            f"launch expects a Python file, FILE.py:function or a recipe; there is no file "
            f"'{command[0]}'."
        )
    else:
        name = catalog.find(command[0]).name
        command = [sys.executable, "-m", "kerasdnn.cli", "run", name, *command[1:]]
    from kerasdnn.launch import run_together

    options["devices"] = args.devices or 1
    return run_together(command, args.processes, **options)


def _launch_search(target, args, options):
    from kerasdnn.console import print_table
    from kerasdnn.results import write_json

    load_keras()
    from kerasdnn.tuning.workers import run_workers

    try:
        rows = run_workers(target, workers=args.processes, **options)
    except RuntimeError as error:  # a process that cannot be kept alive
        print(f"kerasdnn: {error}", file=sys.stderr)
        return 1
    print_table(rows)
    if args.json:
        _written(lambda path: write_json(path, rows), args.json)
    return 0


def _written(write, path):
    try:
        write(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be written: {reason}. Choose another.") from None
    print(f"written: {path}")


def _bench(args):
    from kerasdnn import bench

    return bench.run(args.name, args.flags)


def _export(args):
    from kerasdnn.console import working

    load_keras()
    from kerasdnn import saving
    from kerasdnn.export import export

    path = args.model
    if not path.endswith(".keras"):
        entry = catalog.find(path)
        path = catalog.results_folder() / entry.name / "model.keras"
    model = saving.load_model(path, compile=False)
    with working(f"writing {args.format} and comparing its predictions"):
        out = args.out or pathlib.Path(args.model).stem
        written = export(model, out, format=args.format)
    difference = written["difference"]
    checked = (
        "not checked: install the extra 'export' to run it"
        if difference is None
        else f"largest difference to Keras {difference:.1e} of the largest prediction"
    )
    print(f"{written['path']}: {written['bytes']:,} bytes; {checked}")


def _data_list():
    from kerasdnn import data
    from kerasdnn.console import print_table

    print_table(data.describe(), whole=("name",), optional=("license",))


def _data_fetch(args):
    from kerasdnn import data

    for line in data.fetch(args.name):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
