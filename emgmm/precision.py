"""How many digits we promise; everything that trades digits for speed is measured against it."""

from __future__ import annotations

import numpy as np

# The unit of rounding of the numbers that statistics are added in.
UNIT = float(np.finfo(np.float64).eps)

# The largest error, in nats, that the packed form may add to a row's log-density; and the largest
# relative error that a covariance may owe to the point about which its moments were taken.
PROMISE = 1e-9
