"""Version of the package."""

__version__ = "0.1.0"


class InconsistentVersionWarning(UserWarning):
    """A model was pickled by another version of emgmm than the one that loads it.

    Parameters
    ----------
    pickled : str
        Version of emgmm that pickled the model.
    """

    def __init__(self, pickled: str) -> None:
        super().__init__(
            f"This model was pickled by emgmm {pickled} and is loaded by {__version__}, which may "
            "interpret it differently; use save() and load() to keep models across versions."
        )
        self.pickled = pickled
