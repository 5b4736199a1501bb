"""Conversion of fitted estimators to ONNX graphs, by skl2onnx.

The import of this module registers the converters of the estimators with skl2onnx, which then also
converts pipelines that contain them. A graph computes log pi_k + log N(x; mu_k, Sigma_k) as the
definition does, from the difference of a row and each mean and from the Cholesky factors of the
precisions, and the logarithm of a sum of exponentials after their maximum has been subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from emgmm import validation
from emgmm.base import BaseMixture, fitted_mixture
from emgmm.classifier import GaussianMixtureClassifier
from emgmm.detector import GaussianMixtureOutlierDetector
from emgmm.estimator import GaussianMixture
from emgmm.mixture import Mixture
from emgmm.selection.estimator import GaussianMixtureIC
from emgmm.typing import Array
from emgmm.wrapping import gaussian_components

try:
    import skl2onnx
    from skl2onnx import update_registered_converter
    from skl2onnx.algebra import onnx_ops
    from skl2onnx.common import data_types
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    from skl2onnx.common.utils import check_input_and_output_numbers
    from skl2onnx.common.utils_classifier import get_label_classes
    from skl2onnx.proto import onnx_proto
except ImportError as error:
    raise ImportError(
        "emgmm.onnx makes graphs with skl2onnx: pip install skl2onnx, or emgmm's extra onnx."
    ) from error

# A node of a graph, or its input.
Node = Any


def to_onnx(
    model: Any,
    X: Any,
    *,
    score_samples: bool = False,
    options: Mapping[Any, Any] | None = None,
    **arguments: Any,
) -> Any:
    """Convert a fitted estimator, or a pipeline that ends with one, to an ONNX graph.

    The names, types and shapes of the outputs are those that skl2onnx gives scikit-learn's
    estimators of the same kind:

    `GaussianMixture` and `GaussianMixtureIC`
        ``label``, (n, 1), in which -1 means noise, and ``probabilities``, (n, K), or (n, K + 1)
        with noise, which are those of `predict` and `predict_proba`.
    `GaussianMixtureClassifier`
        ``label``, (n,), and ``probabilities``, (n, n_classes). Classes other than strings become
        integers.
    `GaussianMixtureOutlierDetector`
        ``label`` and ``scores``, those of `predict` and `decision_function`, (n, 1).

    Parameters
    ----------
    model : estimator or Pipeline
        Fitted estimator of one of these classes, or a pipeline that ends with one and of which
        skl2onnx can convert the other steps.
    X : array-like of shape (n_samples, n_features)
        Rows, of which one suffices. Their type determines that of the graph, whose input and
        computations are in float32 if X is in float32, and in float64 otherwise. The X of a
        pipeline is passed to skl2onnx, for which a DataFrame means one input for each column.
    score_samples : bool, default=False
        Whether the graph also has the output ``score_samples``, the log-densities, (n, 1). A
        classifier does not have it. The default is that of skl2onnx.
    options : dict, default=None
        Options of skl2onnx for the other steps of a pipeline.
    **arguments
        Further arguments of ``skl2onnx.to_onnx``, such as ``target_opset``.

    Returns
    -------
    onnx.ModelProto
        Graph; the bytes of ``SerializeToString()`` are the content of a file.

    Raises
    ------
    ImportError
        When this module is imported, if skl2onnx is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If X does not have the features of the fit, or if the noise of the model is a function,
        which a graph cannot contain.
    TypeError
        If the estimator is of another class, or does not have the output `score_samples`.

    Notes
    -----
    In float64, the results differ from those of the estimator by rounding errors. In float32, an
    error of a log-density is about 1e-7 of the squared Mahalanobis distance, and more if features
    are nearly collinear. The means are stored as sums of two numbers, so that the error does not
    grow with the distance of the rows from 0.

    A row with a missing value has the probabilities and the log-density NaN, and its label has no
    meaning: impute missing values before, by ``model.impute``. A row so far out that its density
    underflows in each component, for which ``predict_proba`` raises an error, has the probabilities
    NaN and the log-density -inf.

    `skl2onnx.to_onnx` converts the estimators too once ``emgmm.onnx`` has been imported, with the
    options ``score_samples`` and, for classifiers, ``zipmap``, which this function sets to False.

    Examples
    --------
    >>> import numpy as np
    >>> from emgmm import GaussianMixture
    >>> from emgmm.onnx import to_onnx
    >>> model = GaussianMixture.from_parameters(
    ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
    ... )
    >>> X = np.array([[1.0], [3.0]])
    >>> graph = to_onnx(model, X, score_samples=True)
    >>> [output.name for output in graph.graph.output]
    ['label', 'probabilities', 'score_samples']
    """
    last = model[-1] if isinstance(model, Pipeline) else model
    if type(last) not in KINDS:
        raise TypeError(
            f"to_onnx takes {', '.join(kind.__name__ for kind in KINDS)}, or a pipeline that ends "
            f"with one of them, but got a {type(last).__name__}: use skl2onnx.to_onnx."
        )
    known = KINDS[type(last)].options
    if score_samples and "score_samples" not in known:
        raise TypeError(
            f"The graph of a {type(last).__name__} has no output score_samples: set "
            "score_samples=False."
        )
    if last is model:
        check_is_fitted(model)
        source = validation.source(model, X, reset=False)
        X = np.zeros((1, source.n_features), source.dtype)
    wanted = {"score_samples": score_samples, "zipmap": False}
    own = {name: value for name, value in wanted.items() if name in known}
    return skl2onnx.to_onnx(model, X, options={id(last): own, **(options or {})}, **arguments)


# -- graphs ----------------------------------------------------------------------------------------
class Graph:
    """Constructor of the nodes of a graph, all of which compute in one floating-point type."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.scope = scope
        rows = operator.inputs[0]
        self.dtype = data_types.guess_numpy_type(rows.type)
        self.version = container.target_opset
        if self.dtype not in (np.float32, np.float64):  # skl2onnx then declares outputs as float32
            self.dtype = np.float32
            rows = self.node("Cast", rows, to=onnx_proto.TensorProto.FLOAT)
        self.rows = rows

    def node(self, kind: str, *inputs: Any, **attributes: Any) -> Node:
        """Return a node; arrays of floating-point numbers become constants of the graph's type."""
        constants = [
            each.astype(self.dtype) if getattr(each, "dtype", None) == np.float64 else each
            for each in inputs
        ]
        function = getattr(onnx_ops, f"Onnx{kind}")
        return function(*constants, op_version=self.version, **attributes)

    def log_joint(self, mixture: Mixture) -> Node:
        """Return the log-joint, (N, K), or (N, K + 1) with noise."""
        structure, D = mixture.family.structure, mixture.n_features
        factors = structure.dense(mixture.each_precision_cholesky, D) * np.sqrt(0.5)
        if not structure.has_covariances:
            factors = factors.diagonal(axis1=1, axis2=2)
        squares = [
            self.squared_norm(mean, factor)
            for mean, factor in zip(mixture.means.astype(np.float64), factors, strict=True)
        ]
        peaks, quadratic = mixture.log_peaks, self.node("Concat", *squares, axis=1)
        if mixture.noise is not None:
            peaks = np.append(peaks, mixture.noise.log_weight + _constant(mixture))
            quadratic = self.node("Pad", quadratic, np.array([0, 0, 0, 1]))
        return self.node("Sub", peaks, quadratic)

    def squared_norm(self, mean: Array, factor: Array) -> Node:
        """Return |U^T (x - mu)|^2, (N, 1)."""
        nearest = mean.astype(self.dtype).astype(np.float64)
        deviation = self.node("Sub", self.rows, nearest)
        if (mean != nearest).any():
            deviation = self.node("Sub", deviation, mean - nearest)
        whitened = self.node("MatMul" if factor.ndim == 2 else "Mul", deviation, factor)
        return self.node("ReduceSumSquareApi18", whitened, axes=[1])

    def softmax(self, log_joint: Node) -> tuple[Node, Node]:
        """Return the responsibilities, (N, K), and the log-densities, (N, 1)."""
        lowest = np.array(np.finfo(self.dtype).min, dtype=self.dtype)
        top = self.node("Max", self.node("ReduceMaxApi18", log_joint, axes=[1]), lowest)
        terms = self.node("Exp", self.node("Sub", log_joint, top))
        total = self.node("ReduceSumApi11", terms, axes=[1])
        return self.node("Div", terms, total), self.node("Add", self.node("Log", total), top)

    def label(self, log_joint: Node, labels: Any, **options: Any) -> Node:
        """Return the label of the largest entry of each row."""
        return self.node("Gather", labels, self.node("ArgMax", log_joint, axis=1, **options))


def _constant(mixture: Mixture) -> float:
    """Return the log-density of noise.

    Raises
    ------
    ValueError
        If it is not constant.
    """
    constant = None if mixture.noise is None else mixture.noise.density.constant
    if constant is None:
        raise ValueError(
            "The noise of this model is a function, which an ONNX graph cannot contain: fit a "
            "model with noise='uniform', a number or None."
        )
    return constant


# -- estimators ------------------------------------------------------------------------------------
def _outputs_of_mixture(graph: Graph, model: BaseMixture) -> list[Node]:
    mixture = fitted_mixture(model)
    log_joint = graph.log_joint(mixture)
    labels = np.arange(mixture.n_densities)
    labels[mixture.n_components :] = -1
    return [graph.label(log_joint, labels), *graph.softmax(log_joint)]


def _outputs_of_classifier(graph: Graph, model: GaussianMixtureClassifier) -> list[Node]:
    mixtures = [fitted_mixture(each) for each in model.mixtures_]
    densities = [graph.softmax(graph.log_joint(each))[1] for each in mixtures]
    with np.errstate(divide="ignore"):
        log_priors = np.log(model.class_prior_)
    log_joint = graph.node("Add", graph.node("Concat", *densities, axis=1), log_priors)
    classes = get_label_classes(graph.scope, model)
    if classes.dtype.kind != "U":  # skl2onnx declares all others as integers
        classes = classes.astype(np.int64)
    return [graph.label(log_joint, classes, keepdims=0), graph.softmax(log_joint)[0]]


def _outputs_of_detector(graph: Graph, model: GaussianMixtureOutlierDetector) -> list[Node]:
    _, log_density = graph.softmax(graph.log_joint(fitted_mixture(gaussian_components(model))))
    scores = graph.node("Sub", log_density, np.array([model.offset_]))
    inside = graph.node("Not", graph.node("Less", scores, np.zeros(1)))
    number = graph.node("Cast", inside, to=onnx_proto.TensorProto.INT64)
    return [graph.node("Gather", np.array([-1, 1]), number), scores, log_density]


# -- registration ----------------------------------------------------------------------------------
class Kind(NamedTuple):
    """How the estimators of a class are converted.

    Parameters
    ----------
    outputs : callable
        Returns the outputs of a graph.
    names : tuple of str
        Names of the outputs; graphs have the third one on request.
    options : dict
        Options of skl2onnx, with their values.
    """

    outputs: Callable[[Graph, Any], list[Node]]
    names: tuple[str, ...]
    options: dict[str, list[Any]]


ON_REQUEST = {"score_samples": [True, False]}
MIXTURE = Kind(_outputs_of_mixture, ("label", "probabilities", "score_samples"), ON_REQUEST)
KINDS: dict[type, Kind] = {
    GaussianMixture: MIXTURE,
    GaussianMixtureIC: MIXTURE,
    GaussianMixtureOutlierDetector: Kind(
        _outputs_of_detector, ("label", "scores", "score_samples"), ON_REQUEST
    ),
    GaussianMixtureClassifier: Kind(
        _outputs_of_classifier,
        ("label", "probabilities"),
        {
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            "output_class_labels": [True, False],
        },
    ),
}


def _parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:  # noqa: ARG001
    """Declare the outputs of an estimator, as skl2onnx requires of a parser."""
    operator = scope.declare_local_operator(_alias(type(model)), model)
    operator.inputs = inputs
    asked = scope.get_options(model, {"score_samples": False})["score_samples"]
    label, *others = KINDS[type(model)].names[: 3 if asked else 2]
    operator.outputs.append(scope.declare_local_variable(label, data_types.Int64TensorType()))
    for name in others:
        kind = data_types.guess_tensor_type(inputs[0].type)
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def _check_input(operator: Any) -> int | None:
    """Check the width of the input and return the number of rows, if it is known."""
    check_input_and_output_numbers(operator, input_count_range=1)
    check_is_fitted(operator.raw_operator)
    width = operator.inputs[0].type.shape[1]
    if width is not None:
        validation.check_width(operator.raw_operator, width)
    n_rows: int | None = operator.inputs[0].get_first_dimension()
    return n_rows


def _set_shapes(operator: Any) -> None:
    """Set the shapes of the outputs, all of which skl2onnx gives two axes."""
    n_rows, model = _check_input(operator), operator.raw_operator
    label, second, *third = operator.outputs
    label.type = data_types.Int64TensorType([n_rows, 1])
    has_components = isinstance(model, BaseMixture)
    second.type.shape = [n_rows, fitted_mixture(model).n_densities if has_components else 1]
    for each in third:
        each.type.shape = [n_rows, 1]


def _set_classifiers_shapes(operator: Any) -> None:
    _check_input(operator)
    calculate_linear_classifier_output_shapes(operator)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of an estimator to a graph."""
    graph, model = Graph(scope, operator, container), operator.raw_operator
    nodes = KINDS[type(model)].outputs(graph, model)
    for node, output in zip(nodes, operator.outputs, strict=False):
        named = graph.node("Identity", node, output_names=[output])
        named.add_to(scope, container)


def _alias(kind: type) -> str:
    """Return skl2onnx's name of the operator of an estimator."""
    return f"Emgmm{kind.__name__}"


def _register() -> None:
    for estimator, kind in KINDS.items():
        of_mixture = kind.options is ON_REQUEST
        update_registered_converter(
            estimator,
            _alias(estimator),
            _set_shapes if of_mixture else _set_classifiers_shapes,
            _convert,
            parser=_parse if of_mixture else None,
            options=kind.options,
        )


_register()
