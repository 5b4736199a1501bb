"""Constraints on the parameters of a mixture: fixed parameters, and equal weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances import Family
from emgmm.mixture import Mixture
from emgmm.noise import Noise
from emgmm.parameters import suggestion
from emgmm.tolerances import TINY
from emgmm.typing import Array, Integers

Mask = NDArray[np.bool_]

# Parameters that can be fixed, and the constructor parameters that give their values.
VALUES = {"weights": "weights_init", "means": "means_init", "covariances": "precisions_init"}

# Weight below which nothing is left for the components whose weights are free.
LEAST_REST = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 1e-6}


@dataclass(frozen=True, eq=False)
class Given:
    """Parameters that the user gave; None for those that were not given."""

    weights: Array | None = None
    means: Array | None = None
    covariances: Array | None = None
    precisions_cholesky: Array | None = None

    @classmethod
    def of(cls, mixture: Mixture) -> Given:
        """Return all parameters of a mixture."""
        return cls(mixture.weights, mixture.means, mixture.covariances, mixture.precisions_cholesky)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to the start."""
        return all(value is not None for value in vars(self).values())


@dataclass(frozen=True, eq=False)
class Constraints:
    """Constraints on the parameters of a mixture; by default, there are none.

    Parameters
    ----------
    weights, means, covariances : (K,) bool, optional
        Whether the parameter of each component is fixed; None if it is free in all of them.
    equal_weights : bool
        Whether the weights of all components, without noise, are equal.
    given : Given
        Values of the fixed parameters.
    """

    weights: Mask | None = None
    means: Mask | None = None
    covariances: Mask | None = None
    equal_weights: bool = False
    given: Given = Given()

    @classmethod
    def of_masks(cls, masks: Mapping[str, Mask], given: Given) -> Constraints:
        """Return the constraints with the given `masks` and values."""
        fixed = {name: masks.get(name) for name in VALUES}
        return cls(**fixed, equal_weights="equal_weights" in masks, given=given)

    @property
    def masks(self) -> dict[str, Mask]:
        """Masks of the parameters that are fixed, and one of all weights if they are equal."""
        masks = {name: getattr(self, name) for name in VALUES}
        if self.equal_weights:
            masks["equal_weights"] = np.array([True])
        return {name: mask for name, mask in masks.items() if mask is not None}

    @property
    def any_fixed(self) -> bool:
        """Whether any parameter is fixed."""
        return not (self.weights is None and self.means is None and self.covariances is None)

    @property
    def without_fixed(self) -> Constraints:
        """The same constraints except that no parameter is fixed."""
        return Constraints(equal_weights=self.equal_weights) if self.any_fixed else self

    @property
    def all_covariances(self) -> bool:
        """Whether the covariances of all components are fixed."""
        return self.covariances is not None and bool(self.covariances.all())

    # -- the M-step -------------------------------------------------------------------------------
    def constrained_weights(self, weights: Array, noise: float) -> tuple[Array, float]:
        """Return the weights and that of noise, given those that are optimal without constraints.

        The free weights keep their proportions: given the sum of some weights, the maximum of
        sum_k N_k log pi_k is proportional to the counts N_k.
        """
        if self.equal_weights:
            return np.full(len(weights), (1 - noise) / len(weights)), noise
        if self.weights is None:
            return weights, noise
        assert self.given.weights is not None
        rest = max(1.0 - float(self.given.weights[self.weights].sum(dtype=np.float64)), 0.0)
        if self.weights.all():
            return self.given.weights, rest
        free = float(weights[~self.weights].sum(dtype=np.float64)) + noise
        factor = rest / max(free, TINY)
        return np.where(self.weights, self.given.weights, weights * factor), noise * factor

    def constrained_means(self, means: Array) -> Array:
        """Return the means in which those that are fixed have their values."""
        return means if self.means is None else _replaced(means, self.given.means, self.means)

    def shifts(self, centres: Array, offsets: Array) -> Array:
        """Return the fixed means minus the means at offsets from the centres, (K, D); 0 if free."""
        assert self.means is not None
        assert self.given.means is not None
        return np.where(self.means[:, None], self.given.means - centres - offsets, 0.0)

    def constrained_covariances(
        self, estimate: Callable[[], Array], family: Family
    ) -> tuple[Array, Array | None]:
        """Return the covariances, of which those that are free are estimated.

        The second value is the factors of the precisions, or None if no covariance is fixed.
        """
        if self.covariances is None:
            return estimate(), None
        given = self.given
        assert given.covariances is not None
        if self.all_covariances:
            return given.covariances, given.precisions_cholesky
        covariances = _replaced(estimate(), given.covariances, self.covariances)
        factors = family.precisions_cholesky(covariances)
        return covariances, _replaced(factors, given.precisions_cholesky, self.covariances)

    def or_fixed(self, found: Mask) -> Mask:
        """Whether something was found for a covariance, (K,) or (1,), or it is fixed."""
        return found if self.covariances is None else found | self.covariances

    # -- mixtures ---------------------------------------------------------------------------------
    def applied_to(self, mixture: Mixture) -> Mixture:
        """Return the mixture with the constraints imposed; it is the same if it satisfies them."""
        if self.equal_weights:
            are_kept = bool((mixture.weights == mixture.weights[0]).all())
        else:
            are_kept = self.weights is None or _agree(
                mixture.weights, self.given.weights, self.weights
            )
        if not are_kept:
            noise = mixture.noise
            weight = 0.0 if noise is None else noise.weight
            weights, weight = self.constrained_weights(mixture.weights, weight)
            noise = None if noise is None else Noise(weight, noise.density)
            mixture = replace(mixture, weights=weights.astype(mixture.weights.dtype), noise=noise)
        if self.means is None and self.covariances is None:
            return mixture
        dtype, given = mixture.weights.dtype, self.given

        def held(array: Array, values: Array | None, fixed: Mask | None) -> Array:
            return array if fixed is None else _replaced(array, values, fixed).astype(dtype)

        return replace(
            mixture,
            means=held(mixture.means, given.means, self.means),
            covariances=held(mixture.covariances, given.covariances, self.covariances),
            precisions_cholesky=held(
                mixture.precisions_cholesky, given.precisions_cholesky, self.covariances
            ),
        )

    def n_parameters(self, mixture: Mixture) -> int:
        """Return the number of free parameters of a mixture."""
        K, D, n_densities = mixture.n_components, mixture.n_features, mixture.n_densities
        n_free = mixture.n_parameters
        if self.equal_weights:
            n_free -= K - 1
        if self.weights is not None:
            n_weights = n_densities - int(self.weights.sum())  # those that share the rest
            n_free -= n_densities - max(n_weights, 1)
        if self.means is not None:
            n_free -= D * int(self.means.sum())
        if self.covariances is not None:
            n_fixed = int(self.covariances.sum())
            n_free -= mixture.family.n_covariance_parameters(n_fixed, D)
        return n_free

    # -- findings about components ----------------------------------------------------------------
    def with_free_covariance(self, components: Iterable[int]) -> list[int]:
        """Return those of the components whose covariance is free."""
        fixed = self.covariances
        return [k for k in components if fixed is None or not fixed[k]]

    def with_free_density(self, components: Iterable[int]) -> list[int]:
        """Return those of the components whose mean or covariance is free."""
        free = None if self.means is None else ~self.means
        known = self.with_free_covariance
        return [k for k in components if free is None or free[k] or known([k])]

    def check_initial_weights(self, *, noise: bool) -> None:
        """Check that the initial weights that the user gave satisfy the constraints.

        Raises
        ------
        ValueError
            If they do not, or if fixed weights leave nothing for the others.
        """
        weights = self.given.weights
        if weights is None:
            return
        if self.equal_weights and (weights != weights[0]).any():
            raise ValueError(
                "equal_weights=True, but the weights in weights_init differ: leave it None, or "
                "give equal weights."
            )
        if self.weights is None or (self.weights.all() and not noise):
            return
        rest = 1.0 - float(weights[self.weights].sum())
        if rest < LEAST_REST[weights.dtype]:
            raise ValueError(
                "The fixed weights in weights_init sum to 1, so that nothing is left for "
                f"{'the noise' if self.weights.all() else 'the other components'}: give smaller "
                "weights, or do not fix them."
            )

    def check_labelled(self, components: Integers) -> None:
        """Check that no component with labelled rows has the fixed weight 0.

        Raises
        ------
        ValueError
            If one of them has, because the log-likelihood would be -inf.
        """
        if self.weights is None:
            return
        assert self.given.weights is not None
        for k in components:
            if self.weights[k] and self.given.weights[k] == 0:
                raise ValueError(
                    f"The weight of component {k} is fixed at 0, but rows belong to it by labels: "
                    "give it a positive weight in weights_init, or change the labels."
                )


FREE = Constraints()


def are_masks(masks: Mapping[str, Any], n_components: int) -> bool:
    """Whether these are `Constraints.masks` of a mixture with the given number of components."""
    shapes = dict.fromkeys(VALUES, (n_components,)) | {"equal_weights": (1,)}
    return all(
        mask.dtype == bool and mask.shape == shapes.get(name) for name, mask in masks.items()
    )


def _replaced(array: Array, values: Array | None, fixed: Mask) -> Array:
    """Return an array over components in which those that are fixed have their values."""
    assert values is not None
    if fixed.all():  # also if the components share a single element
        return values
    return np.where(fixed.reshape(-1, *[1] * (array.ndim - 1)), values, array)


def _agree(array: Array, values: Array | None, fixed: Mask) -> bool:
    """Whether an array has the fixed values, in its own type."""
    assert values is not None
    return bool((array == values.astype(array.dtype))[fixed].all())


def constraints_of(
    fixed: Any, given: Given, family: Family, n_components: int, *, equal_weights: bool, order: Any
) -> Constraints:
    """Validate the parameters of an estimator and return the constraints.

    Raises
    ------
    ValueError
        If a parameter is invalid, or if two of them contradict each other.
    """
    masks = _masks(fixed, n_components)
    for name in masks:
        if getattr(given, name) is None:
            raise ValueError(
                f"fixed contains {name!r}, but {VALUES[name]} is None: give their values by "
                f"{VALUES[name]}."
            )
    covariances = masks.get("covariances")
    if covariances is not None and not (family.independent or covariances.all()):
        raise ValueError(
            f"With covariance_type={family.name!r}, the covariances of the components depend on "
            "each other, so that fixed can contain all of them or none: a part of them can be "
            "fixed with 'full', 'diag' and 'spherical'."
        )
    if equal_weights and "weights" in masks:
        raise ValueError(
            "fixed contains 'weights', but equal_weights=True determines them: use one of the two."
        )
    if masks and order is not None:
        raise ValueError(
            f"order={order!r} would renumber the components, to whose numbers fixed refers: set "
            "order=None, and number the components in the parameters named *_init as they should "
            "be."
        )
    return Constraints(**masks, equal_weights=equal_weights, given=given)


def _masks(fixed: Any, n_components: int) -> dict[str, Mask]:
    """Return which components have a fixed parameter, for each parameter that any of them has."""
    entries = (
        fixed.items() if isinstance(fixed, Mapping) else [(name, True) for name in fixed or ()]
    )
    found = {}
    for name, value in entries:
        if not isinstance(name, str) or name not in VALUES:
            raise ValueError(
                f"fixed contains {name!r}, but only 'weights', 'means' and 'covariances' can be "
                f"fixed.{suggestion(name, VALUES)}"
            )
        mask = np.asarray(value)
        is_shaped = mask.dtype == bool and mask.shape in ((), (n_components,))
        if not is_shaped or np.ma.is_masked(value):
            raise ValueError(
                f"fixed[{name!r}] must be True, False or a boolean for each of the {n_components} "
                f"components, but is {value!r}."
            )
        if mask.any():
            found[name] = np.array(np.broadcast_to(mask, n_components))
    return found


def order_of(mixture: Mixture, order: str) -> Integers:
    """Return the numbers of the components in an order: by "mean" or by "weight".

    Those with equal weights are ordered by their means, and those whose means of the first feature
    are equal by the means of the following ones.
    """
    keys = [*mixture.means.T[::-1]]
    if order == "weight":
        keys.append(-mixture.weights)
    return np.lexsort(keys)
