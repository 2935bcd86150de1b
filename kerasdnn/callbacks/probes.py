"""What an encoder's features are good for, measured on labelled data that it is not trained on."""

import warnings

from kerasdnn import console

import keras
import numpy as np


class _Probe(keras.callbacks.Callback):
    """Features of two labelled sets, and one number in the logs after every `every` epochs."""

    label = "probe"

    def __init__(self, x_train, y_train, x_test, y_test, *, encoder=None, every=1, name=None):
        super().__init__()
        kind = type(self).__name__
        for part, x, y in (("training", x_train, y_train), ("test", x_test, y_test)):
            if len(x) != len(y) or not len(x):
                raise ValueError(
                    f"{kind} expects a label for each sample; received {len(x)} {part} samples and "
                    f"{len(y)} labels. Pass (x_train, y_train, x_test, y_test)."
                )
        if x_train is x_test:
            raise ValueError(
                f"{kind} expects a test set apart from the training set; received the same array "
                "twice. Hold some labelled samples out."
            )
        if len(np.unique(y_train)) < 2:
            raise ValueError(
                f"{kind} expects labels of at least two classes; received one. Check y_train."
            )
        self.data = (x_train, np.asarray(y_train).ravel(), x_test, np.asarray(y_test).ravel())
        self.encoder, self.every = encoder, every
        self.metric = name or self.label

    def measure(self, encoder):
        """Returns the test accuracy of the probe on the features of `encoder`.

        Args:
            encoder: `keras.Model`, or a function from a batch of samples to NumPy features. Feature
                maps are averaged over their places.
        """
        x_train, y_train, x_test, y_test = self.data
        return self.accuracy(
            _features(encoder, x_train), y_train, _features(encoder, x_test), y_test
        )

    def accuracy(self, train, y_train, test, y_test):
        """Returns the test accuracy on given features."""
        raise NotImplementedError

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params.get("epochs"):
            return
        encoder = self.encoder or getattr(self.model, "encoder", self.model)
        value = self.measure(encoder)
        if logs is not None:
            logs[self.metric] = value


class LinearProbe(_Probe):
    """Test accuracy of a linear classifier on frozen features, after every epoch.

    The classifier is a logistic regression on standardized features, trained on the probe's own
    labelled set; its test set is used for the number alone. The encoder is not changed.

    Args:
        x_train, y_train: labelled samples to train the classifier on.
        x_test, y_test: other labelled samples to count on.
        encoder: `keras.Model` to probe. Default None: `model.encoder`, or the model itself.
        l2: float above 0, the weight of the penalty on the squared coefficients, relative to the
            mean loss. Default 1e-3.
        every: int, epochs from one measurement to the next; the last epoch is always measured.
            Default 1.
        name: str, the key in the logs. Default `"linear_accuracy"`.

    Raises:
        ValueError: labels that do not match, a single class, or the same array twice.

    Example:
    >>> x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    >>> y = (x[:, 0] > 0).astype(int)
    >>> encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    >>> LinearProbe(x[:100], y[:100], x[100:], y[100:]).measure(encoder) > 0.9
    True

    References:
        Alain and Bengio (2016), Understanding intermediate layers using linear classifier probes,
        arXiv:1610.01644
    """

    label = "linear_accuracy"

    def __init__(
        self, x_train, y_train, x_test, y_test, *, encoder=None, l2=1e-3, every=1, name=None
    ):
        super().__init__(x_train, y_train, x_test, y_test, encoder=encoder, every=every, name=name)
        if not l2 > 0:
            raise ValueError(f"LinearProbe expects l2 above 0; received {l2}. 1e-3 is usual.")
        self.l2 = l2

    def accuracy(self, train, y_train, test, y_test):
        from sklearn.linear_model import LogisticRegression

        mean, deviation = train.mean(0), train.std(0)
        deviation = np.where(deviation > 1e-6 * max(deviation.max(), 1e-12), deviation, np.inf)
        train, test = (train - mean) / deviation, (test - mean) / deviation
        # scikit-learn's C weighs the sum of the losses against half the squared coefficients.
        classifier = LogisticRegression(C=1.0 / (2 * self.l2 * len(train)), max_iter=300, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 300 steps are enough for the number
            classifier.fit(train, y_train)
        return float(np.mean(classifier.predict(test) == y_test))


class KNNProbe(_Probe):
    """Test accuracy of the nearest neighbours in feature space, after every epoch.

    Features are brought to length 1; each of the k nearest training samples votes for its class
    with weight `exp(cosine / temperature)`. Nothing is trained, so it is cheap and cannot hide a
    weak representation behind a good classifier.

    Args:
        x_train, y_train: labelled samples, the neighbours.
        x_test, y_test: other labelled samples to count on.
        encoder: `keras.Model` to probe. Default None: `model.encoder`, or the model itself.
        k: int of 1 or more, neighbours that vote. Default 20.
        temperature: float above 0. Default 0.07.
        every: int, epochs from one measurement to the next; the last epoch is always measured.
            Default 1.
        name: str, the key in the logs. Default `"knn_accuracy"`.

    Raises:
        ValueError: labels that do not match, a single class, the same array twice, or k below 1.

    Example:
    >>> x = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    >>> y = (x[:, 0] > 0).astype(int)
    >>> KNNProbe(x[:100], y[:100], x[100:], y[100:], k=5).measure(lambda batch: batch) > 0.9
    True

    References:
        Wu et al. (2018), Unsupervised Feature Learning via Non-Parametric Instance Discrimination,
        arXiv:1805.01978
    """

    label = "knn_accuracy"

    def __init__(
        self,
        x_train,
        y_train,
        x_test,
        y_test,
        *,
        encoder=None,
        k=20,
        temperature=0.07,
        every=1,
        name=None,
    ):
        super().__init__(x_train, y_train, x_test, y_test, encoder=encoder, every=every, name=name)
        if not isinstance(k, int) or k < 1 or not temperature > 0:
            raise ValueError(
                f"KNNProbe expects k of 1 or more and a temperature above 0; received k={k} and "
                f"temperature={temperature}. 20 and 0.07 are usual."
            )
        self.k, self.temperature = k, temperature

    def accuracy(self, train, y_train, test, y_test):
        classes, votes_for = np.unique(y_train, return_inverse=True)
        train, test = _unit(train), _unit(test)
        k, right = min(self.k, len(train)), 0
        for start in range(0, len(test), 1000):  # 1,000 rows of the matrix at a time
            cosines = test[start : start + 1000] @ train.T
            nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
            weight = np.exp((np.take_along_axis(cosines, nearest, 1) - 1) / self.temperature)
            votes = np.zeros((len(cosines), len(classes)))
            for j in range(k):
                votes[np.arange(len(votes)), votes_for[nearest[:, j]]] += weight[:, j]
            right += np.sum(classes[votes.argmax(1)] == y_test[start : start + 1000])
        return float(right / len(test))


class CollapseMeter(keras.callbacks.Callback):
    """Tells whether all samples get the same embedding, which a low loss can hide.

    After every epoch, on fixed samples whose embeddings are brought to length 1:
    `embedding_std`, the mean over the dimensions of the standard deviation, times sqrt(D): 1 for
    embeddings that point everywhere, 0 when all are alike; `effective_rank`, exp of the entropy of
    the normalized singular values of the centred embeddings: how many dimensions are in use. A
    training that ends below `threshold` is warned about.

    Args:
        x: samples, some hundred are enough; kept from training or not.
        threshold: float in (0, 1), the `embedding_std` below which it is a collapse. Default 0.1.
        every: int, epochs from one measurement to the next; the last epoch is always measured.
            Default 1.

    Attributes:
        std: float, the last `embedding_std`, None before the first epoch.
        rank: float, the last `effective_rank`.
        collapsed: bool, whether the last `embedding_std` is below the threshold.

    Example:
    >>> meter = CollapseMeter(np.zeros((8, 4)))
    >>> meter.update(np.eye(4)).collapsed, meter.update(np.ones((8, 4))).collapsed
    (False, True)

    References:
        Chen and He (2021), Exploring Simple Siamese Representation Learning, arXiv:2011.10566
        Roy and Vetterli (2007), The effective rank: a measure of effective dimensionality
    """

    def __init__(self, x, *, threshold=0.1, every=1):
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(
                f"CollapseMeter expects threshold in (0, 1); received {threshold}. It is compared "
                "with a deviation that is 1 for embeddings that point everywhere; 0.1 is usual."
            )
        if len(x) < 2:
            raise ValueError(
                f"CollapseMeter expects at least 2 samples to compare; received {len(x)}. Some "
                "hundred are good."
            )
        self.x, self.threshold, self.every = x, threshold, every
        self.std = self.rank = None

    @property
    def collapsed(self):
        return self.std is not None and self.std < self.threshold

    def update(self, embeddings):
        """Measures embeddings `(N, D)`; returns the meter itself."""
        z = _unit(np.asarray(embeddings, "float64"))
        self.std = float(z.std(axis=0).mean() * np.sqrt(z.shape[1]))
        values = np.linalg.svd(z - z.mean(0), compute_uv=False)
        share = values / max(values.sum(), 1e-12)
        share = share[share > 1e-12]
        self.rank = float(np.exp(-np.sum(share * np.log(share)))) if self.std > 1e-6 else 0.0
        return self

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params.get("epochs"):
            return
        embed = getattr(self.model, "embed", None)
        self.update(_features(self.model, self.x) if embed is None else _flat(embed(self.x)))
        if logs is not None:
            logs["embedding_std"], logs["effective_rank"] = self.std, self.rank

    def on_train_end(self, logs=None):
        if self.collapsed:
            console.console().print(
                f"CollapseMeter: collapsed: the embeddings deviate by {self.std:.3f} "
                f"(healthy: near 1, threshold {self.threshold:g}), so all samples look alike. Give "
                "the loss negatives, or a larger batch.",
                markup=False,
                soft_wrap=True,
            )


def _features(encoder, x):
    if isinstance(encoder, keras.Model):
        return _flat(encoder.predict(x, batch_size=500, verbose=0))
    return _flat(encoder(x))


def _flat(features):
    """Feature maps averaged over their places; float32, since half precision cannot be fitted."""
    features = np.asarray(features).astype("float32")
    return features.reshape(len(features), -1, features.shape[-1]).mean(1)


def _unit(z):
    return z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-12)
