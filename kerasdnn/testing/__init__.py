"""A harness for layers, losses and models: kerasdnn's own, and yours.

    from kerasdnn.testing import check_layer

    def test_my_layer():
        check_layer(MyLayer, {"width": 8}, np.ones((2, 5, 3), "float32"))

One call checks the config, shapes, mask, training, three precisions, reloading in a new process
and equal results on every installed backend. The other processes are started once and serve the
whole test session; `KERASDNN_TEST_BACKENDS=none` leaves the other backends out.
"""

from kerasdnn.testing.layer import check_layer
from kerasdnn.testing.loss import check_loss
from kerasdnn.testing.model import check_model
from kerasdnn.testing.report import CheckError, Report

__all__ = ["CheckError", "Report", "check_layer", "check_loss", "check_model"]
