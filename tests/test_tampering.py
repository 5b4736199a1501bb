"""Files that somebody changed: each is a model that works, or an error of one sentence."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from copy import copy, deepcopy

import numpy as np
import pytest
from conftest import clusters, fit
from sklearn.base import clone

from emgmm import GaussianMixture, NormalInverseWishart
from emgmm.storage import checkpoint

X = clusters(120, 2, 3, spread=1.5)


def changed(value, path, new):
    """Set what stands at a path in nested lists and dictionaries."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def sentence(error, part=""):
    """The message of an error is one line, with such a part."""
    message = str(error.value if hasattr(error, "value") else error)
    assert part in message
    assert len(message.splitlines()) == 1


@pytest.fixture
def document(tmp_path):
    """A saved model, as JSON."""
    GaussianMixture(3, random_state=0).fit(X).save(tmp_path / "saved.json")
    return json.loads((tmp_path / "saved.json").read_text())


def load(document, folder):
    path = folder / "model.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return GaussianMixture.load(path)


WEIGHTS, MEANS, COVARIANCES, FACTORS, PRECISIONS, HISTORY = (
    ("fitted", name, "values")
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "precisions_", "h")
)
NAN = {"float": "nan"}
WRONG = {
    "weight nan": ((*WEIGHTS, 0), NAN, "weights contains NaN"),
    "weight negative": ((*WEIGHTS, 1), -0.5, r"range \[0, 1\].*component 1 has -0.5"),
    "weights' sum": ((*WEIGHTS, 1), 0.9, "'weights' should be normalized"),
    "mean infinite": ((*MEANS, 1), {"float": "inf"}, "means contains infinity"),
    "mean huge": ((*MEANS, 1), 1e200, "means_ has an entry whose square overflows"),
    "covariance nan": ((*COVARIANCES, 5), NAN, "different covariances of component 1"),
    "covariance": (
        (*COVARIANCES, 8),
        3.0,
        "covariances_ and precisions_cholesky_ describe different covariances of component 2",
    ),
    "covariance asymmetric": ((*COVARIANCES, 1), 0.0, "covariances_ and .* of component 0"),
    "factor": ((*FACTORS, 3), 0.1, "covariances_ and precisions_cholesky_ .* of component 0"),
    "factor huge": ((*FACTORS, 3), 1e200, "different covariances of component 0"),
    "factor tiny": ((*FACTORS, 3), 5e-324, "different covariances of component 0"),
    "factor not triangular": (
        (*FACTORS, 6),
        0.1,
        "upper triangular .* component 1 is not",
    ),
    "factor negative": ((*FACTORS, 8), -1.0, "a positive diagonal: that of component 2 is not"),
    "precision": (
        (*PRECISIONS, 11),
        9.0,
        "precisions_ and .* different covariances of component 2",
    ),
    "noise weight": (("fitted", "noise_weight_"), 0.2, "noise_weight_ is 0.2"),
    "n_components word": (("params", "n_components"), "3", "'n_components' parameter"),
    "tol": (("params", "tol"), -1, "'tol' parameter"),
    "n_features": (
        ("fitted", "n_features_in_"),
        3,
        "means_ has 2 columns, but n_features_in_ is 3",
    ),
    "feature names": (
        ("fitted", "feature_names_in_"),
        {"dtype": "|O", "shape": [1], "values": ["a"]},
        "feature_names must be 2 strings",
    ),
    "n_iter": (("fitted", "n_iter_"), 1.5, "n_iter_ is a float"),
    "converged": (("fitted", "converged_"), 1, "converged_ is a int"),
    "bounds": (("fitted", "lower_bounds_"), ["x"], "lower_bounds_ is a list"),
    "ending": (("fitted", "ending_"), [], "ending_ is a list"),
    "family": (("fitted", "_family_name"), "oval", "'oval'"),
    "waiting": (("fitted", "_waiting"), 1, "_waiting is a int"),
    "history": (("fitted", "history_", "items", "passes"), NAN, "history_ is a dict"),
    "history's length": (
        ("fitted", "history_", "items", "passes"),
        {"dtype": "<i8", "shape": [1], "values": [1]},
        "history_ is not a table of objective, passes, event",
    ),
    "stream": (
        ("fitted", "_stream", "items", "statistics", "items", "counts", "values", 0),
        -1.0,
        "statistics are of rows of a negative weight",
    ),
    "stream's shape": (
        ("fitted", "_stream", "items", "statistics", "items", "counts", "shape"),
        [3, 1],
        r"statistics' counts has the shape \(3, 1\)",
    ),
    "stream's fields": (("fitted", "_stream", "items", "a"), 1, "a Stream has no field 'a'"),
    "stream's calls": (("fitted", "_stream", "items", "calls"), "x", "calls of a Stream is a str"),
    "stream's weight": (
        ("fitted", "_stream", "items", "weight"),
        1e-320,
        "the weight of the stream is 1e-320",
    ),
    "stream's scatter": (
        ("fitted", "_stream", "items", "statistics", "items", "scatter", "values", 0),
        1e308,
        r"statistics' scatter is inf at \(0, 0, 0\)",
    ),
    "stream's number": (
        ("fitted", "_stream", "items", "calls"),
        10**400,
        "calls of a Stream is a int, which is not its type",
    ),
    "stream's sum": (
        ("fitted", "_stream", "items", "statistics", "items", "weight"),
        10**400,
        "weight of a Statistics is a int, which is not its type",
    ),
    "stream's noise": (
        ("fitted", "_stream", "items", "statistics", "items", "noise"),
        1e300,
        "statistics' counts do not sum to the weight of the rows",
    ),
    "stream's noise that is no number": (
        ("fitted", "_stream", "items", "statistics", "items", "noise"),
        NAN,
        "statistics' counts do not sum to the weight of the rows",
    ),
    "stream's unseen rows": (
        ("fitted", "_stream", "items", "statistics", "items", "unseen"),
        NAN,
        "statistics' counts do not sum to the weight of the rows",
    ),
    "stream's likelihood": (
        ("fitted", "_stream", "items", "statistics", "items", "log_likelihood"),
        NAN,
        "statistics' log-likelihood is nan",
    ),
    "stream's counts": (
        ("fitted", "_stream", "items", "statistics", "items", "counts", "values", 0),
        1e-3,
        "statistics' counts do not sum to the weight of the rows",
    ),
    "shape": (("fitted", "means_", "shape"), [10**12, 10**12], "but 6 values"),
    "negative shape": (("fitted", "means_", "shape"), [-3, -2], "but 6 values"),
    "object": (("fitted", "means_", "dtype"), "|O", "means_ is a ndarray"),
    "records": (("fitted", "means_", "dtype"), "f8,f8", "means_: an array has the type 'f8,f8'"),
    "text": (("fitted", "means_", "values", 0), "1.5", "means_: an array of type <f8 has other"),
    "no list": (("fitted", "means_", "values"), 5, "means_: an array has no list of values"),
    "list in a set": (("params", "fixed"), {"set": [["means"]]}, "fixed: a set contains other"),
    "keys": (("params", "order"), {"a": 1}, r"order: an object with the keys \['a'\]"),
    "column of the history": (
        ("fitted", "history_", "items", "passes", "values", 0),
        0.5,
        "history_: passes: an array of type <i8 has other values",
    ),
    "iterations": (("fitted", "n_iter_"), -2, "n_iter_ must not be negative, but there is -2"),
    "passes": (
        ("fitted", "history_", "items", "passes", "values", 1),
        -3,
        "history_'s passes must not be negative, but there is -3",
    ),
    "large": (("params", "n_init"), 10**5000, "limit"),
}


@pytest.mark.parametrize(("path", "new", "message"), WRONG.values(), ids=WRONG)
def test_what_no_fit_leaves_is_not_loaded(path, new, message, document, tmp_path):
    if message == "limit":
        text = json.dumps(document).replace('"n_init": 1', '"n_init": 1' + "0" * 5000)
        with pytest.raises(ValueError, match=r"model.json is a damaged model: .*limit"):
            load(text, tmp_path)
        return
    changed(document, path, new)
    with pytest.raises(ValueError, match=f"model.json is a damaged model: .*{message}") as error:
        load(document, tmp_path)
    sentence(error)


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        (("_noise_density", "items", "corner", "values", 0), 1e200, "corner has an entry whose sq"),
        (("_noise_density", "items", "edges", "values", 0), 1e200, "edges has an entry whose squa"),
        (("_noise_density", "items", "sides", "values", 1), 9.5, "volume is not that of its box"),
        (("_starts", "items", "n_iter", "values", 1), -1, "_starts' n_iter must not be negative"),
        (
            ("_starts", "items", "ending", "values", 0),
            "X",
            r"_starts has the endings \['X'\], which",
        ),
    ],
)
def test_noise_and_starts_that_no_fit_leaves_are_not_loaded(path, new, message, tmp_path):
    model = fit(GaussianMixture(2, noise="uniform", n_init=2, random_state=0), X)
    model.save(tmp_path / "saved.json")
    document = json.loads((tmp_path / "saved.json").read_text())
    load(document, tmp_path)
    changed(document["fitted"], path, new)
    with pytest.raises(ValueError, match=message) as error:
        load(document, tmp_path)
    sentence(error)


@pytest.mark.parametrize("bracket", ["[", '{"items": {"x":'])
@pytest.mark.parametrize("depth", [300, 100_000])
def test_a_deeply_nested_model_is_refused(depth, bracket, tmp_path):
    close = "]" if bracket == "[" else "}}"
    text = '{"format": "emgmm.GaussianMixture", "format_version": 1, "params": {"tol": '
    text += bracket * depth + "1" + close * depth + '}, "fitted": {}}'
    with pytest.raises(ValueError, match=r"is (a damaged|not a saved) model") as error:
        load(text, tmp_path)
    sentence(error)


def test_memory_does_not_grow_beyond_the_file(document, tmp_path):
    event = document["fitted"]["history_"]["items"]["event"]
    short = event["dtype"]
    event["dtype"] = "<U500000000"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="has shorter values"):
            load(document, tmp_path)
        event["dtype"] = short
        text = {"dtype": "<U100000", "shape": [10**4], "values": ["x" * 10**5] + [""] * 9999}
        document["params"]["means_init"] = text
        with pytest.raises(ValueError, match="has few values of that length"):
            load(document, tmp_path)
        document["params"]["means_init"] = None
        # (K, D, D) numbers of as many features as means has numbers would be terabytes.
        n_features = 10**5
        for name, shape, values in (
            ("weights_", [1], [1]),
            ("means_", [1, n_features], [0] * n_features),
        ):
            document["fitted"][name] = {"dtype": "<f8", "shape": shape, "values": values}
        with pytest.raises(ValueError, match=r"covariances_ has the shape \(3, 2, 2\)"):
            load(document, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 3e7
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EEE", "EII"])
def test_what_a_fit_leaves_is_loaded_however_the_features_are_scaled(
    covariance_type, dtype, tmp_path
):
    """Nearly collinear features lose digits of the factors, which is no contradiction."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 3))
    rows[:, 1] = rows[:, 0] + (1e-5 if dtype == np.float64 else 1e-2) * rows[:, 1]
    rows[:, 2] += 1e2 * (rows[:, 1] - rows[:, 0])  # so that rounding of the factors matters
    rows = (rows * [1, 1e-6, 1e4]).astype(dtype)
    model = fit(
        GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0), rows
    )
    model.save(tmp_path / "model.json")
    copy = GaussianMixture.load(tmp_path / "model.json")
    np.testing.assert_array_equal(copy.score_samples(rows), model.score_samples(rows))


# -- checkpoints ----------------------------------------------------------------------------------


class StoppedError(Exception):
    pass


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """Make a checkpoint of a fit that is stopped when it is written so many times."""

    def stop(number=2, **parameters):
        model = GaussianMixture(
            3, checkpoint=tmp_path / "fit.npz", checkpoint_every=0, random_state=0, **parameters
        )
        saved = checkpoint.Checkpoint.save
        calls = 0

        def save(self):
            nonlocal calls
            calls += 1
            saved(self)
            if calls == number:
                raise StoppedError

        monkeypatch.setattr(checkpoint.Checkpoint, "save", save)
        with pytest.raises(StoppedError):
            fit(model, X)
        monkeypatch.setattr(checkpoint.Checkpoint, "save", saved)
        return model

    return stop


def members(content):
    """The JSON and the arrays of a checkpoint."""
    with np.load(io.BytesIO(content)) as arrays:
        found = dict(arrays)
    return json.loads(str(found.pop("document"))), found


def packed(document, arrays):
    file = io.BytesIO()
    np.savez(file, document=np.array(json.dumps(document)), **arrays)
    return file.getvalue()


@pytest.mark.parametrize("declared", [50 * 2**20, 100])
def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(declared, stopped):
    model = stopped()
    with zipfile.ZipFile(model.checkpoint, "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("array_99.npy", "w") as entry:
            for _ in range(50):
                entry.write(bytes(2**20))
        archive.infolist()[-1].file_size = declared
    assert model.checkpoint.stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a damaged one \(its arrays are compressed"):
            fit(model, X)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10**12,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (), }",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }",
        "(" * 5000 + ")" * 5000,
    ],
)
def test_an_array_is_no_larger_than_its_bytes(header, stopped):
    model = stopped()
    text = (header + "\n").encode()
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(model.checkpoint, "a") as archive:
        archive.writestr("array_99.npy", content + bytes(8))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="or a damaged one") as error:
            fit(model, X)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    sentence(error)


def test_arrays_that_overlap_are_refused(stopped):
    """Many names for the same bytes would take many times the file's size."""
    model = stopped()
    with zipfile.ZipFile(model.checkpoint, "a") as archive:
        archive.writestr("array_99.npy", bytes(2**16))
        for number in range(100, 1000):
            entry = copy(archive.infolist()[-1])
            entry.filename = f"array_{number}.npy"
            archive.filelist.append(entry)
    with pytest.raises(ValueError, match="compressed, or overlap"):
        fit(model, X)


def find(value, kind):
    """Parts of the first object of a class in a checkpoint's JSON."""
    if isinstance(value, dict):
        if value.get("class") == kind:
            return value["parts"]
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        found = find(item, kind)
        if found is not None:
            return found
    return None


RECORDS = {
    "no record": ("Content", {"record": 1}, "the record of a Content is a int"),
    "a mixture": ("Content", {"record": {"constant": "full"}}, "the record of a Content"),
    "family": ("Mixture", {"family": {"constant": "VVV"}}, "another covariance_type"),
    "ending": ("Run", {"ending": {"constant": "diag"}}, "the ending of a Run"),
    "iterations": ("Progress", {"n_iter": 99}, "a Progress in it contradicts itself"),
    "history": ("Run", {"entries": []}, "a Run in it contradicts itself"),
    "failure": (
        "FinishedRun",
        {"failed": {"tuple": []}},
        "a FinishedRun in it contradicts itself|a FinishedStarts in it",
    ),
    "component": (
        "FinishedStarts",
        {"failed": {"tuple": [7]}},
        "a FinishedStarts in it contradicts itself",
    ),
    "nothing": ("FinishedStarts", {"best": None}, "a FinishedStarts in it contradicts itself"),
    "weight": ("Statistics", {"weight": -1.0}, "the weight of the statistics' rows is -1.0"),
    "passes": ("Record", {"passes": 2**63}, "a Record in it contradicts itself"),
    "passes of the history": (
        "HistoryEntry",
        {"passes": -1},
        "a HistoryEntry in it contradicts itself",
    ),
    "objective": ("HistoryEntry", {"objective": 10**400}, "the objective of a HistoryEntry"),
    "no objective": (
        "HistoryEntry",
        {"objective": float("nan")},
        "a HistoryEntry in it contradicts itself",
    ),
    "noise of the rows": ("Statistics", {"noise": 1.0}, "counts do not sum to the weight"),
    "a number for weights": ("Mixture", {"weights": 0.5}, "the weights of a Mixture|dimension"),
    "no class": ("Content", {"record": {"class": "os", "parts": {}}}, "it has no 'os'"),
    "no object": (
        "Content",
        {"record": {"items": True}},
        "its document does not describe objects",
    ),
    "no part": (
        "Content",
        {"record": {"class": "Record", "parts": {}}},
        "a Record has other fields",
    ),
    "noise": (
        "Mixture",
        {"noise": {"class": "Noise", "parts": {"weight": 0.1, "density": None}}},
        "den",
    ),
    "position": (
        "Record",
        {"random": {"items": {}}},
        "the state of its random number generator is not",
    ),
}


@pytest.mark.parametrize(("kind", "new", "message"), RECORDS.values(), ids=RECORDS)
def test_a_record_of_no_such_fit_is_refused(kind, new, message, stopped):
    model = stopped(14, n_init=3, init_params="random", max_iter=8)
    document, arrays = members(model.checkpoint.read_bytes())
    parts = find(document, kind)
    if parts is None:  # of what has ended in this start there is nothing yet
        assert kind == "FinishedRun"
        record = find(document, "Record")
        run = find(document, "FinishedStarts")["best"]
        record["finished"] = {
            "tuple": [{"class": "FinishedRun", "parts": {"run": run, "failed": None, "passes": 3}}]
        }
        parts = find(document, kind)
    parts.update(new)
    content = packed(document, arrays)
    model.checkpoint.write_bytes(content)
    with pytest.raises(ValueError, match=rf"or a damaged one \(.*({message}).*\); remove") as error:
        fit(model, X)
    sentence(error)
    assert model.checkpoint.read_bytes() == content


def test_random_numbers_are_not_read_from_elsewhere(stopped):
    model = stopped(14, n_init=3, init_params="random", max_iter=8)
    document, arrays = members(model.checkpoint.read_bytes())
    state = find(document, "Record")["random"]["items"]["state"]["items"]
    for position in (10**9, -1, 2**80):
        state["pos"] = position
        model.checkpoint.write_bytes(packed(document, arrays))
        with pytest.raises(ValueError, match="the pos of its random number generator is not"):
            fit(model, X)


# -- at random ------------------------------------------------------------------------------------

VALUES = (
    *(None, True, -1, 0, 1, 3, 10**30, 0.5, -2.5, 1e308, 1e-320, "", "x", "nan", "<U99999999"),
    *([], {}, [1, 2], [[]], {"float": "nan"}, {"float": "inf"}, {"items": {}}, {"tuple": []}),
    *({"constant": "diag"}, {"array": "array_0"}, {"array": "none"}, {"class": "Run", "parts": {}}),
    {"dtype": "<f8", "shape": [2], "values": [1.0, 2.0]},
    {"prior": {"shrinkage": "x"}},
)


def places(value, path=()):
    """Paths to all that is in nested lists and dictionaries."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def tampered(document, random):
    """One to three changes of a document."""
    document = json.loads(json.dumps(document))
    for _ in range(random.integers(1, 4)):
        paths = list(places(document))
        path = paths[random.integers(len(paths))]
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        old = parent[path[-1]]
        match random.integers(6):
            case 0:
                del parent[path[-1]]
            case 1:
                parent[path[-1]] = [old]
            case 2 if type(old) in (int, float):
                parent[path[-1]] = old * random.choice([-1, 2, 1e6, 1e-6, 0.5])
            case 3 if isinstance(parent, list):
                parent.append(deepcopy(old))
            case 4:
                other = paths[random.integers(len(paths))]
                copy = document
                for key in other:
                    copy = copy[key] if isinstance(copy, dict | list) else copy
                parent[path[-1]] = json.loads(json.dumps(copy))
            case _:
                parent[path[-1]] = deepcopy(VALUES[random.integers(len(VALUES))])
    return document


MODELS = {
    "full": {},
    "prior": {"prior": NormalInverseWishart(), "covariance_type": "tied"},
    "noise": {"noise": "uniform", "covariance_type": "EII", "n_init": 2},
}


@pytest.mark.parametrize("name", MODELS)
def test_models_tampered_with_at_random(name, tmp_path):
    fitted = fit(GaussianMixture(3, random_state=0, max_iter=8, **MODELS[name]), X)
    fitted.save(tmp_path / "saved.json")
    document = json.loads((tmp_path / "saved.json").read_text())
    random = np.random.default_rng(list(name.encode()))
    loaded = 0
    for _ in range(250):
        try:
            model = load(tampered(document, random), tmp_path)
        except ValueError as error:
            sentence(error, "model.json ")
            continue
        loaded += 1
        probabilities = model.predict_proba(X)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        assert np.isfinite(model.score_samples(X)).all()
        assert len(model.sample(5, random_state=0)[0]) == 5
        repr(model)
        model.set_params(checkpoint=None).save(tmp_path / "again.json")
        GaussianMixture.load(tmp_path / "again.json")
        try:
            model.partial_fit(X)
        except (TypeError, ValueError) as error:
            sentence(error)
    assert 5 < loaded < 200


CHECKPOINTS = {
    "starts": {"n_init": 3, "init_params": "random", "max_iter": 8},
    "anderson": {"acceleration": "anderson", "tol": 1e-9, "max_iter": 20},
    "escape": {
        "weights_init": [0.25, 0.25, 0.5],
        "means_init": [X[0], X[0], X[1]],
        "precisions_init": [np.eye(2)] * 3,
        "tol": 1e-2,
        "noise": "uniform",
    },
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_tampered_with_at_random(name, stopped):
    """By whoever knows the format: what the archive checks by itself is right again."""
    model = stopped(14, **CHECKPOINTS[name])
    document, arrays = members(model.checkpoint.read_bytes())
    content = document["value"]["parts"]["record"]
    random = np.random.default_rng(list(name.encode()))
    ended = 0
    for _ in range(150):
        document["value"]["parts"]["record"] = tampered(content, random)
        others = dict(arrays)
        if random.integers(2):
            key = list(arrays)[random.integers(len(arrays))]
            others[key] = [
                arrays[key][:-1] if arrays[key].ndim else arrays[key],
                arrays[key].astype(str),
                -arrays[key],
                np.zeros_like(arrays[key]),
                np.full(arrays[key].shape, np.nan),
                np.zeros((0, 10**12)),
            ][random.integers(6)]
        model.checkpoint.write_bytes(packed(document, others))
        resumed = clone(model)
        try:
            fit(resumed, X)
        except ValueError as error:
            sentence(error)
            continue
        ended += 1
        assert np.isfinite(resumed.score_samples(X)).all()
    assert ended < 100


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_bytes_of_checkpoints_changed_at_random(name, stopped):
    model = stopped(14, **CHECKPOINTS[name])
    content = model.checkpoint.read_bytes()
    random = np.random.default_rng(list(name.encode()))
    for _ in range(100):
        changed = bytearray(content)
        for place in random.integers(len(content), size=random.integers(1, 4)):
            changed[place] = random.integers(256)
        model.checkpoint.write_bytes(changed[: random.integers(len(changed))] or changed)
        if random.integers(2):
            model.checkpoint.write_bytes(changed)
        try:
            fit(clone(model), X)
        except ValueError as error:
            sentence(error)
