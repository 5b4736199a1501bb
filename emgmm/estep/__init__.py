"""The E-step of a block of rows: statistics of the rows under a mixture, in bounded memory."""

from emgmm.estep.base import EStep
from emgmm.estep.centred import CentredEStep
from emgmm.estep.device import DeviceEStep
from emgmm.estep.device_blocks import EStepForDeviceBlock
from emgmm.estep.dispatch import EStepForBlock, EStepForPass
from emgmm.estep.expanded import ExpandedEStep
from emgmm.estep.missing import MissingEStep

__all__ = [
    "CentredEStep",
    "DeviceEStep",
    "EStep",
    "EStepForBlock",
    "EStepForDeviceBlock",
    "EStepForPass",
    "ExpandedEStep",
    "MissingEStep",
]
