"""The E-step of one block: rows and a mixture in, statistics out; no array of N x K anywhere."""

from emgmm.expectation.choice import FormForBlock, FormForPass, check_in_reach
from emgmm.expectation.exact import Exact, in_one_call, moments, shared_out
from emgmm.expectation.form import Form
from emgmm.expectation.incomplete import Incomplete
from emgmm.expectation.packed import Packed
from emgmm.expectation.scratch import Scratch
from emgmm.expectation.softmax import softmax

__all__ = [
    "Exact",
    "Form",
    "FormForBlock",
    "FormForPass",
    "Incomplete",
    "Packed",
    "Scratch",
    "check_in_reach",
    "in_one_call",
    "moments",
    "shared_out",
    "softmax",
]
