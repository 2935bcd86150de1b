"""Dropout and penalties in the wrong place or too strong."""

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.plan import augmentations


def dropout_behind_head(evidence):
    """Dropout on the outputs deletes answers."""
    found = []
    for out in evidence.model.outputs:
        if out.dropout_after is None:
            continue
        found.append(
            Finding(
                "reg.dropout_out",
                "error",
                "Dropout behind the last layer with weights sets outputs themselves to zero.",
                evidence={"head": out.head, "dropout": out.dropout_after},
                location=out.dropout_after,
                remedy=f"remove the layer '{out.dropout_after}'",
                confidence=0.95,
                change={
                    "kind": "remove",
                    "layers": evidence.model.positions([out.dropout_after]),
                },
            )
        )
    return found


def strong(evidence):
    """A training that works once dropout or penalties are gone."""
    found = []
    layers = evidence.model.layers
    rates = [la.dropout for la in layers if la.dropout]
    base = evidence.trials.get("base")
    without = judgement.gain(evidence, "no dropout")
    if without is not None and without >= 0.1:
        found.append(
            _finding(
                "Without dropout the same training learns.",
                {"rates": rates, "skill": base["skill"], "skill_without": base["skill"] + without},
                next(la.name for la in layers if la.dropout),
                f"Dropout({max(0.1, min(rates) / 2):.2g})",
                min(0.9, 0.5 + without),
                {"kind": "dropout", "rate": 0.1},
                judgement.severity(evidence, without),
                without,
            )
        )
    elif rates and max(rates) >= 0.75 and judgement.unwell(evidence):
        found.append(
            _finding(
                f"Dropout of {max(rates):g} leaves few units to learn with.",
                {"rates": rates, "threshold": 0.75},
                next(la.name for la in layers if la.dropout == max(rates)),
                "Dropout(0.2)",
                0.5,
                {"kind": "dropout", "rate": 0.2},
            )
        )
    without = judgement.gain(evidence, "no penalty")
    penalties = [(la.name, la.l1, la.l2) for la in layers if la.l1 or la.l2]
    if penalties and without is not None and without >= 0.1:
        name, l1, l2 = max(penalties, key=lambda p: max(p[1:]))
        facts = {
            "l1": l1,
            "l2": l2,
            "skill": base["skill"],
            "skill_without": base["skill"] + without,
        }
        if evidence.batch is not None:
            facts["penalty"], facts["loss"] = evidence.batch.penalty, evidence.batch.loss
        found.append(
            _finding(
                "Without the penalty on the weights the same training learns.",
                facts,
                name,
                "kernel_regularizer=keras.regularizers.L2(1e-4)",
                min(0.95, 0.6 + without),
                {"kind": "penalty", "factor": 0.01},
                judgement.severity(evidence, without),
                without,
            )
        )
    return found


def augmented(evidence):
    """Rows changed so strongly in training that they no longer are what they are to be told by."""
    layers = augmentations(evidence.model)
    without = judgement.gain(evidence, "no augmentation")
    if not layers or without is None or without < judgement.HELPS:
        return []
    base = evidence.trials["base"]
    found = _finding(
        "Without the random changes of the inputs the same training learns.",
        {
            "layers": [la.name for la in layers],
            "skill": base["skill"],
            "skill_without": base["skill"] + without,
        },
        layers[0].name,
        "weaker augmentation",
        min(0.95, 0.6 + without),
        {"kind": "remove", "layers": [la.index for la in layers]},
        judgement.severity(evidence, without),
        without,
    )
    found.id = "data.augment"
    return [found]


def _finding(text, facts, location, line, confidence, change, severity="warning", proved=None):
    return Finding(
        "reg.strong",
        severity,
        text,
        evidence=facts,
        location=location,
        remedy=line,
        confidence=confidence,
        stage="dynamics",
        change=change,
        proved=proved,
        recipe="loss_not_converging",
    )
