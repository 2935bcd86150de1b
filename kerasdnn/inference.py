"""A trained model as it is used to predict: float32, without the state of its training."""


def for_inference(model):
    """Returns the model as it is used to predict, on any machine: float32 and no optimizer state.

    Optimizer state would triple the file, and bfloat16 is slow where the CPU only emulates it.
    """
    if type(model).__module__.startswith("kerasdnn."):
        return model  # a model class of our own also knows how to go on training
    config = model.get_config()
    if getattr(model, "optimizer", None) is None and not _half(config):
        return model
    fresh = type(model).from_config(_in_float32(config))  # cloning would compile it again
    fresh.set_weights(model.get_weights())
    return fresh


def _half(config):
    return _in_float32(config) != config


def _in_float32(config):
    """Returns a configuration in which every mixed-precision policy is float32."""
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(entry) for entry in config)
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy" and "mixed" in config["config"]["name"]:
        return {**config, "config": {**config["config"], "name": "float32"}}
    return {key: _in_float32(value) for key, value in config.items()}
