"""The version of the package, in one place."""

__version__ = "0.1.0"


class InconsistentVersionWarning(UserWarning):
    """A pickled model was made by another version of emgmm than the one that loads it.

    Parameters
    ----------
    pickled : str
        The version that made the pickle.
    """

    def __init__(self, pickled: str) -> None:
        super().__init__(
            f"This model was pickled by emgmm {pickled} and is loaded by {__version__}, which may "
            "read it differently; use save() and load() to keep models across versions."
        )
        self.pickled = pickled
