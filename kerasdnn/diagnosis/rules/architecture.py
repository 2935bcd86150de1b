"""Frozen models and normalizations over the wrong axis."""

from kerasdnn.diagnosis.finding import Finding


def frozen(evidence):
    """Nothing to train is an error; a frozen part is a choice."""
    model = evidence.model
    if model.parameters and not model.trainable_parameters:
        return [
            Finding(
                "arch.frozen",
                "error",
                "No weight is trainable: the loss cannot change.",
                evidence={"parameters": model.parameters, "trainable": 0},
                location="model.trainable",
                remedy="model.trainable = True  # before compile()",
                confidence=1.0,
                change={"kind": "unfreeze"},
            )
        ]
    still = [la.name for la in model.layers if la.kernel and not la.trainable]
    if not still:
        return []
    share = 1 - model.trainable_parameters / max(model.parameters, 1)
    return [
        Finding(
            "arch.frozen",
            "info",
            f"{len(still)} layers with {share:.0%} of the parameters are frozen.",
            evidence={"layers": still, "share": share},
            location=still[0],
            remedy="layer.trainable = True, then compile() again, if that is not intended",
            confidence=0.2,
            change={"kind": "unfreeze"},
        )
    ]


def norm_axis(evidence):
    """A batch normalization over rows or columns instead of channels."""
    found = []
    for layer in evidence.model.layers:
        if layer.kind not in ("BatchNormalization", "FusedBatchNormalization"):
            continue
        axis = layer.axis[0] if isinstance(layer.axis, list | tuple) else layer.axis
        if layer.channel_axis is None or axis is None:
            continue
        last = (-1, 3) if layer.channel_axis == -1 else (1,)
        if axis in last or (layer.channel_axis == -1 and axis not in (1, 2)):
            continue
        found.append(
            Finding(
                "arch.bn_axis",
                "warning",
                f"The convolution has its channels on axis {layer.channel_axis}, the normalization "
                f"works on axis {axis}.",
                evidence={"axis": axis, "expected_axis": layer.channel_axis},
                location=layer.name,
                remedy=f"BatchNormalization(axis={layer.channel_axis})",
                confidence=0.85,
                change={
                    "kind": "norm_axis",
                    "layers": [la.index for la in evidence.model.layers if la.axis == layer.axis],
                    "axis": layer.channel_axis,
                },
            )
        )
    return found[:1]


def norm_momentum(evidence):
    """Moving statistics that never move leave inference with those of the start."""
    stuck = [
        la.name
        for la in evidence.model.layers
        if la.kind in ("BatchNormalization", "FusedBatchNormalization")
        and la.trainable
        and la.momentum is not None
        and la.momentum >= 0.9999
    ]
    if not stuck:
        return []
    return [
        Finding(
            "arch.bn_momentum",
            "warning",
            "The moving statistics of the normalization are (almost) never updated: training and "
            "inference see different networks.",
            evidence={"layers": stuck, "momentum": 1.0, "expected_momentum": "0.9 to 0.99"},
            location=stuck[0],
            remedy="BatchNormalization(momentum=0.99)",
            confidence=0.9,
            change={
                "kind": "norm_momentum",
                "layers": evidence.model.positions(stuck),
                "momentum": 0.9,
            },
        )
    ]


def norm_of_single_rows(evidence):
    """Normalized over a batch of one row, every unit is 0 whatever the row says."""
    model = evidence.model
    alone = [
        la.name
        for la in model.layers
        if la.kind in ("BatchNormalization", "FusedBatchNormalization")
        and la.trainable
        and la.rank == 2
    ]
    if model.batch_size != 1 or not alone:
        return []
    return [
        Finding(
            "fit.batch",
            "error",
            "A batch has a single row: batch normalization makes it 0 in training, so nothing of "
            "the row gets through.",
            evidence={"batch_size": 1, "layers": alone},
            location="batch_size",
            remedy="batch_size=32, or LayerNormalization()",
            confidence=0.9,
            change={"kind": "fit", "batch_size": 32},
        )
    ]
