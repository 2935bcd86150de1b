"""The trials of a search for TensorBoard's HParams page, on any backend."""

import time
from pathlib import Path

from kerasdnn.tuning.table import OWN


def write_hparams(folder, rows, metric):
    """Writes one run a trial: its hyper-parameters, its score, whether it was completed.

    Args:
        folder: the log folder for `tensorboard --logdir`.
        rows: what `trial_table` returns.
        metric: name of the objective.

    Returns:
        int, the number of runs written; 0 where TensorBoard is not installed.
    """
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        return 0

    def summary(tag, content):
        data = plugin_data_pb2.HParamsPluginData(version=0, **content)
        value = summary_pb2.Summary.Value(tag=f"_hparams_/{tag}")
        value.metadata.plugin_data.plugin_name = "hparams"
        value.metadata.plugin_data.content = data.SerializeToString()
        return summary_pb2.Summary(value=[value])

    names = list(dict.fromkeys(k for row in rows for k in row if k not in OWN))
    experiment = api_pb2.Experiment(
        hparam_infos=[api_pb2.HParamInfo(name=name) for name in names],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=metric))],
    )
    statuses = {"COMPLETED": "STATUS_SUCCESS", "RUNNING": "STATUS_RUNNING"}
    for row in rows:
        start = plugin_data_pb2.SessionStartInfo(group_name=row["trial"])
        for name in names:
            if name in row:
                field = _field(row[name])
                setattr(start.hparams[name], field, row[name])
        status = api_pb2.Status.Value(statuses.get(row["status"], "STATUS_FAILURE"))
        summaries = [
            summary("experiment", {"experiment": experiment}),
            summary("session_start_info", {"session_start_info": start}),
            summary(
                "session_end_info",
                {"session_end_info": plugin_data_pb2.SessionEndInfo(status=status)},
            ),
        ]
        if row["score"] is not None:
            value = summary_pb2.Summary.Value(tag=metric, simple_value=row["score"])
            summaries.insert(2, summary_pb2.Summary(value=[value]))
        writer = EventFileWriter(str(Path(folder) / f"trial_{row['trial']}"))
        for content in summaries:
            writer.add_event(event_pb2.Event(wall_time=time.time(), summary=content))
        writer.close()
    return len(rows)


def _field(value):
    """Returns the kind of a protobuf value."""
    if isinstance(value, bool):
        return "bool_value"
    return "string_value" if isinstance(value, str) else "number_value"
