"""Synthetic faults in a deep network with batch normalization, and steps that go uphill."""

from benchmarks.programs import case
from benchmarks.programs.parts import adam, dense, digits, program, sequential, sgd
from benchmarks.programs.seeds import SYN, base_b, base_r

import keras
from keras import layers


def base_d(seed, *, widths=(8, 16, 24), norm=True, rate=0.01, dropout=(0.2, 0.2, 0.3), **o):
    """Six convolutions on the digits, each with batch normalization, and Dropout by the block."""
    x, y = digits(images=True)
    momentum, kernel = o.get("momentum", 0.9), o.get("kernel", "he_normal")

    def block(width):
        found = []
        for _ in range(2):
            options = {"padding": "same", "kernel_initializer": kernel}
            found.append(layers.Conv2D(width, 3, **options))
            found += [layers.BatchNormalization(momentum=momentum)] if norm else []
            found.append(layers.Activation("relu"))
            found += [layers.Dropout(o["each"])] if "each" in o else []
        return found

    def stack():
        found = []
        for width, share in zip(widths, dropout, strict=True):
            found += [*block(width), layers.MaxPooling2D(), layers.Dropout(share)]
        found += [layers.Flatten(), dense(64, "relu", kernel_initializer=kernel)]
        return [*found, dense(10, o.get("last", "softmax"))]

    def loss():
        return keras.losses.SparseCategoricalCrossentropy(
            reduction=o.get("reduction", "sum_over_batch_size")
        )

    optimizer = o.get("optimizer") or sgd(rate, momentum=0.9)
    build = sequential((8, 8, 1), stack, optimizer, loss, ["accuracy"])
    return program(build, x, y, batch_size=64, epochs=o.get("epochs", 8))


@case("H1-D", family="healthy")
def _deep_base(seed):
    return base_d(seed)


@case("TDC-08a", "init.scale", "lr.low", "fit.epochs", family=SYN, also=("reg.strong",))
def _without_norm(seed):
    return base_d(seed, norm=False)


@case("TDC-04R", "lr.sign", family=SYN)
def _uphill(seed):
    return base_r(seed, rate=-1e-3)


@case("TDC-04B", "loss.sign", "lr.sign", family=SYN, also=("loss.nan", "grad.explode"))
def _uphill_by_the_loss(seed):
    def loss():
        def gain(y_true, y_pred):
            return -keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)

        return gain

    return base_b(seed, loss=loss)


@case("TDC-04D", "lr.sign", family=SYN)
def _uphill_deep(seed):
    return base_d(seed, rate=-0.01)


@case("TDC-05D", "lr.high", "loss.oscillation", "act.dead", family=SYN, also=("loss.nan",))
def _rate_high_deep(seed):
    return base_d(seed, rate=30.0)


@case("TDC-06D", "lr.low", "fit.epochs", family=SYN)
def _rate_low_deep(seed):
    return base_d(seed, rate=1e-5)


@case("TDC-07B", "lr.high", "act.dead", family=SYN, also=("loss.nan", "loss.oscillation"))
def _tiny_epsilon(seed):
    return base_b(seed, optimizer=adam(0.1, epsilon=1e-16))


@case("TDC-08b", "arch.bn_momentum", family=SYN)
def _frozen_statistics(seed):
    return base_d(seed, momentum=1.0)


@case("TDC-10D", "reg.strong", family=SYN, also=("lr.low", "fit.epochs"))
def _dropout_everywhere(seed):
    return base_d(seed, each=0.5, dropout=(0.5, 0.5, 0.5))


@case("TDC-11D", "loss.logits", family=SYN, also=("output.activation_loss",))
def _no_softmax_deep(seed):
    return base_d(seed, last=None)


@case("TDC-17B", "data.augment", "reg.strong", family=SYN)
def _too_much_noise(seed):
    made = base_b(seed, optimizer=adam(1e-3))
    x, y = made.x, made.y

    def stack():
        found = [layers.GaussianNoise(1.0), layers.RandomErasing(1.0, scale=(0.7, 0.9))]
        found += [layers.GaussianNoise(1.0), layers.RandomTranslation(0.5, 0.5)]
        found += [layers.Conv2D(16, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
        found += [layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
        return [*found, layers.Flatten(), dense(128, "relu"), dense(10, "softmax")]

    build = sequential((8, 8, 1), stack, adam(1e-3), "sparse_categorical_crossentropy")
    return program(build, x, y, batch_size=64, epochs=5)


@case("TDC-18D", "init.constant", family=SYN)
def _constant_weights_deep(seed):
    return base_d(seed, kernel=keras.initializers.Constant(0.01))


@case("TDC-21D", "loss.reduction", family=SYN, also=("lr.high",))
def _summed_deep(seed):
    return base_d(seed, reduction="sum", norm=False, rate=0.05)
