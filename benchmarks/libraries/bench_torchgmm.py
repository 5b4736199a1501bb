"""torchgmm, on PyTorch Lightning.

Its estimator takes no more of a start than means; its Lightning module takes all.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.covariances import dense
from benchmarks.libraries import Fitted, torches
from benchmarks.problems import Problem, Start

REQUIREMENTS = ("torchgmm",)


def version() -> str:
    import torchgmm.bayes  # noqa: F401

    return torches.version("torchgmm")


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    torches.on_our_threads()
    return fit_tensor(problem, X, start, "cpu")


def fit_tensor(problem: Problem, X: Any, start: Start, accelerator: str) -> Fitted:
    """Fit to an array, or to a tensor on the device of an accelerator."""
    import torch
    from pytorch_lightning import Trainer
    from torchgmm.base.data import DataLoader, collate_tensor, dataset_from_tensors
    from torchgmm.bayes.gmm.lightning_module import GaussianMixtureLightningModule
    from torchgmm.bayes.gmm.model import GaussianMixtureModel, GaussianMixtureModelConfig

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    kind = problem.covariance_type
    double = problem.dtype == "float64"
    dtype = torch.float64 if double else torch.float32
    model = GaussianMixtureModel(
        GaussianMixtureModelConfig(problem.n_components, problem.n_features, kind)
    ).to(dtype)
    model.component_probs.copy_(torch.tensor(start.weights))
    model.means.copy_(torch.tensor(start.means))
    precisions = start.precisions
    if kind in ("full", "tied"):
        # upper triangular U with precision = U U^T, as the library keeps it
        factors = np.swapaxes(np.linalg.cholesky(np.linalg.inv(precisions)), -1, -2)
        roots = np.linalg.inv(factors)
    else:
        roots = np.sqrt(precisions)
    model.precisions_cholesky.copy_(torch.tensor(roots))
    module = GaussianMixtureLightningModule(
        model, convergence_tolerance=0, covariance_regularization=problem.reg_covar
    )
    for sums in (module.prior_aggregator, module.mean_aggregator, module.covar_aggregator):
        sums.set_dtype(dtype)
    loader = DataLoader(dataset_from_tensors(X), batch_size=len(X), collate_fn=collate_tensor)
    Trainer(
        max_epochs=problem.iterations,
        accelerator=accelerator,
        precision="64-true" if double else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, loader)
    found = dense(torches.array(model.covariances), kind, *start.means.shape)
    return Fitted(torches.array(model.component_probs), torches.array(model.means), found)
