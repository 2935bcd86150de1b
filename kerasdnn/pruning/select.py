"""Layers that a user wants left whole: by name, by class, or the layer itself."""

import keras


def check_ignored(model, ignored):
    """Raises unless every entry of `ignored` is a layer class, a layer or the name of one."""
    if isinstance(ignored, str):
        raise ValueError(
            f"ignored expects a sequence of layer names or classes; received the string "
            f"{ignored!r}. Write ignored=({ignored!r},)."
        )
    names = {layer.name for layer in model._flatten_layers(include_self=False)}
    for entry in ignored:
        if isinstance(entry, str):
            if entry not in names:
                close = sorted(names)[:8]
                raise ValueError(
                    f"ignored expects names of layers of the model; received {entry!r}. The model "
                    f"has {', '.join(close)}{' ...' if len(names) > 8 else ''}."
                )
        elif isinstance(entry, type) and issubclass(entry, keras.layers.Layer):
            continue
        elif not isinstance(entry, keras.layers.Layer):
            raise ValueError(
                f"ignored expects layer names, layer classes or layers; received {entry!r}. "
                'Write for instance ignored=("head", keras.layers.Embedding).'
            )


def is_ignored(layer, ignored):
    """Returns whether a layer is named by `ignored`."""
    return any(
        layer.name == entry
        if isinstance(entry, str)
        else isinstance(layer, entry)
        if isinstance(entry, type)
        else layer is entry
        for entry in ignored
    )
