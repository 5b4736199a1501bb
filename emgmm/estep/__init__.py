"""The E-step of a block of rows: statistics of the rows under a mixture, in bounded memory."""

from emgmm.estep.base import EStep
from emgmm.estep.centred import CentredEStep, component_batches, fits_in_one_batch, moments
from emgmm.estep.constrained import constrained_softmax
from emgmm.estep.device import DeviceEStep
from emgmm.estep.device_blocks import EStepForDeviceBlock
from emgmm.estep.dispatch import EStepForBlock, EStepForPass, check_in_reach
from emgmm.estep.expanded import ExpandedEStep
from emgmm.estep.missing import MissingEStep
from emgmm.estep.scratch import Scratch
from emgmm.estep.softmax import softmax

__all__ = [
    "CentredEStep",
    "DeviceEStep",
    "EStep",
    "EStepForBlock",
    "EStepForDeviceBlock",
    "EStepForPass",
    "ExpandedEStep",
    "MissingEStep",
    "Scratch",
    "check_in_reach",
    "component_batches",
    "constrained_softmax",
    "fits_in_one_batch",
    "moments",
    "softmax",
]
