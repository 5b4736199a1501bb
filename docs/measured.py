"""Measure the figures on the page "Coming from scikit-learn".

Run it with ``python measured.py``. Each function belongs to one passage of the page and does the
same thing with both classes.
"""

import tracemalloc
import warnings

import numpy as np
import sklearn
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Theirs

import emgmm
from emgmm import GaussianMixture as Ours

BOTH = (("scikit-learn", Theirs), ("emgmm", Ours))
TYPES = ("full", "tied", "diag", "spherical")


def blobs(n_rows, apart=6.0):
    """Two round clusters of unit variance."""
    rows = np.random.RandomState(0).standard_normal((n_rows, 2))
    rows[n_rows // 2 :, 0] += apart
    return rows


def outcome(function, *arguments):
    """What a call returns, or the kind and first words of what it raises."""
    try:
        return function(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:60]}"


def say(name, *facts):
    print(f"  {name:<12}", *facts)


def numbers(model):
    return np.concatenate([model.means_.ravel(), model.covariances_.ravel()])


def same_fits():
    rows = load_iris().data
    for start in ("kmeans", "random", "k-means++", "random_from_data"):
        for kind in TYPES:
            apart, same, parted = [], 0, 0
            for seed in range(20):
                params = {"covariance_type": kind, "init_params": start, "random_state": seed}
                theirs = Theirs(3, **params).fit(rows)
                ours = Ours(3, **params, break_symmetry=False).fit(rows)
                apart.append(np.abs(numbers(theirs) / numbers(ours) - 1).max())
                same += theirs.n_iter_ == ours.n_iter_ and theirs.converged_ == ours.converged_
                default = Ours(3, **params).fit(rows)
                parted += not np.array_equal(numbers(default), numbers(ours))
            say(start, kind, f"median {np.median(apart):.1e}, largest {max(apart):.1e}; {same}/20")
            say("", f"break_symmetry changes {parted}/20")


def bounds():
    rows = blobs(500, apart=2.0)
    for name, cls in BOTH:
        model = cls(3, random_state=0).fit(rows)
        say(name, f"lower_bound_ {model.lower_bound_:.6f} score(X) {model.score(rows):.6f}")


def one_row_starts():
    rows = load_iris().data
    print("  variances of iris:", rows.var(axis=0).round(2))
    for start in ("k-means++", "random_from_data"):
        for name, cls in BOTH:
            params = {"covariance_type": "tied", "init_params": start}
            first = cls(3, max_iter=0, random_state=0, **params).fit(rows)
            fits = [cls(3, random_state=seed, **params).fit(rows) for seed in range(20)]
            scores = [fit.score(rows) for fit in fits]
            counts = [fit.n_iter_ for fit in fits]
            say(name, start, "first variances", np.diag(first.covariances_).round(2))
            say("", f"scores {min(scores):.4f} to {max(scores):.4f},", min(counts), max(counts))
    for name, cls in BOTH:
        first = cls(3, covariance_type="diag", init_params="k-means++", max_iter=0, random_state=0)
        say(name, "diag, first covariance less reg_covar", first.fit(rows).covariances_[0] - 1e-6)


def integer_rows():
    random = np.random.RandomState(0)
    centres = np.array([[40, 60, 200], [200, 120, 60]])
    pixels = centres[random.randint(2, size=400)] + random.normal(0, 15, (400, 3))
    pixels = pixels.clip(0, 255).astype(np.uint8)
    for kind, dtype in (("diag", np.uint8), ("full", np.uint8), ("full", np.int64)):
        for name, cls in BOTH:
            model = cls(2, covariance_type=kind, random_state=0).fit(pixels)
            whole, real = pixels.astype(dtype), pixels.astype(float)
            off = np.abs(model.score_samples(whole) - model.score_samples(real)).max()
            wrong = (model.predict(whole) != model.predict(real)).sum()
            say(name, kind, dtype.__name__, f"score {model.score(whole):.2f}")
            say("", f"as floats {model.score(real):.2f}; off by {off:.1f}; {wrong} labels differ")


def far_from_zero():
    rows = blobs(1000)
    for dtype, offset in ((np.float64, 1e7), (np.float64, 1e8), (np.float32, 1e3)):
        moved = (rows + offset).astype(dtype)
        back = moved.astype(np.float64) - offset  # the same rows, as they were rounded, around 0
        for kind in TYPES:
            for name, cls in BOTH:
                here = cls(2, covariance_type=kind, random_state=0).fit(back).score(back)
                model = cls(2, covariance_type=kind, random_state=0)
                fitted = outcome(model.fit, moved)
                if fitted is model:
                    fitted = f"score off by {abs(model.score(moved) - here):.1e}"
                say(name, dtype.__name__, f"{offset:.0e}", kind, fitted)


def starts_that_fail():
    random = np.random.RandomState(0)
    rows = np.repeat(random.standard_normal((10, 2)), 5, axis=0)
    rows[:25] = random.standard_normal((25, 2)) * 3
    for name, cls in BOTH:
        singles = [outcome(cls(3, reg_covar=0, random_state=s).fit, rows) for s in range(20)]
        model = cls(3, reg_covar=0, n_init=20, random_state=0)
        ended = outcome(model.fit, rows)
        say(
            name,
            sum(isinstance(single, str) for single in singles),
            "of 20 starts fail; n_init=20:",
        )
        say("", ended if isinstance(ended, str) else f"score {model.score(rows):.4f}")


def equal_rows_without_a_ridge():
    rows = np.vstack((np.random.RandomState(0).standard_normal((100, 2)), [[50, 50], [50, 50]]))
    for kind in TYPES:
        for name, cls in BOTH:
            model = cls(2, covariance_type=kind, reg_covar=0, random_state=0)
            ended = outcome(model.fit, rows)
            if ended is model:
                smallest = np.min(model.covariances_)
                ended = f"score {model.score(rows):.4f}, smallest entry {smallest:.1e}"
            say(name, kind, ended)


def components_of_one_row_without_a_ridge():
    rows = np.random.RandomState(0).uniform(size=(30, 3))
    given = {
        "weights_init": [1 / 30, 1 / 30, 28 / 30],
        "means_init": [rows[0], rows[1], rows[2:].mean(axis=0)],
        "precisions_init": [1e6, 1e6, 12.0],
    }
    for name, cls in BOTH:
        model = cls(3, covariance_type="spherical", reg_covar=0, max_iter=1, **given)
        ended = outcome(model.fit, rows)
        say(name, model.covariances_ if ended is model else ended)


def empty_components():
    rows = blobs(200)
    for kind in TYPES:
        for name, cls in BOTH:
            params = {"means_init": [[0, 0], [1e4, 1e4]], "random_state": 0}
            model = cls(2, covariance_type=kind, **params).fit(rows + 3)
            say(name, kind, "mean", model.means_[1], "weight", f"{model.weights_[1]:.1e}")


def after_a_failed_fit():
    rows = np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0)
    for name, cls in BOTH:
        model = cls(2, reg_covar=0, random_state=0, warm_start=True)
        say(name, "fit:", outcome(model.fit, rows))
        say("", "predict:", outcome(model.predict, rows))
        say("", "fit to other rows:", outcome(model.fit, blobs(200)))


def after_bad_input():
    rows = blobs(200)
    for name, cls in BOTH:
        model = cls(3, random_state=0).fit(rows)
        say(name, "fit to two rows:", outcome(model.fit, np.zeros((2, 5))))
        labels = outcome(model.predict, rows)
        say("", "predict:", labels if isinstance(labels, str) else labels.shape)


def no_iterations():
    rows = blobs(200)
    for name, cls in BOTH:
        model = cls(2, max_iter=0, precisions_init=[np.eye(2)] * 2, random_state=0)
        say(name, "precisions_init:", outcome(model.fit, rows))
        model = cls(2, max_iter=0, n_init=5, init_params="random", random_state=1).fit(rows)
        say("", f"n_init=5: lower_bound_ {model.lower_bound_}, score {model.score(rows):.6f}")
    random = np.random.RandomState(1)
    five = [Ours(2, max_iter=0, init_params="random", random_state=random) for _ in range(5)]
    print("  scores of the five:", *(f"{model.fit(rows).score(rows):.6f}" for model in five))


def other_number_of_components():
    rows = blobs(300)
    for name, cls in BOTH:
        model = cls(2, warm_start=True, random_state=0).fit(rows).set_params(n_components=3)
        ended = outcome(model.fit, rows)
        say(name, ended if isinstance(ended, str) else model.means_.shape)


def single_precision():
    rows = load_iris().data.astype(np.float32)
    for name, cls in BOTH:
        model = cls(3, random_state=0).fit(rows)
        bound = np.asarray(model.lower_bound_).dtype
        say(name, model.means_.dtype, model.score_samples(rows).dtype, bound)


def memory():
    for N, D, K, kind in (
        (50_000, 10, 10, "full"),
        (50_000, 10, 10, "diag"),
        (50_000, 50, 2, "full"),
        (500_000, 10, 10, "full"),
    ):
        random = np.random.RandomState(0)
        rows = random.standard_normal((N, D))
        start = {
            "weights_init": np.full(K, 1 / K),
            "means_init": random.standard_normal((K, D)),
            "precisions_init": [np.eye(D)] * K if kind == "full" else np.ones((K, D)),
        }
        for name, cls in BOTH:
            model = cls(K, covariance_type=kind, max_iter=3, tol=0, **start)
            peaks = []
            for call in (model.fit, model.predict):
                tracemalloc.start()
                call(rows)
                peaks.append(f"{tracemalloc.get_traced_memory()[1] / 1e6:.1f} MB")
                tracemalloc.stop()
            say(name, kind, f"N={N} D={D} K={K}", "fit", peaks[0], "predict", peaks[1])


def defaults_that_stay():
    iris = load_iris().data
    stretched = blobs(1000, apart=8.0) * (1.0, 1e3)
    close = blobs(500, apart=2.0)
    many = blobs(20_000)
    repeated = np.vstack((blobs(100), np.full((20, 2), 3.0)))
    truth = np.arange(1000) >= 500
    for name, cls in BOTH:
        one = cls(3, random_state=0).fit(iris).score(iris)
        other = cls(3, random_state=0).fit(iris * 1e-3).score(iris * 1e-3) + 4 * np.log(1e-3)
        say(name, f"reg_covar: iris {one:.4f}, in other units {other:.4f}")
        ends = [
            adjusted_rand_score(truth, cls(2, random_state=0).fit_predict(rows))
            for rows in (stretched, stretched / stretched.std(axis=0))
        ]
        say("", f"kmeans: rand index {ends[0]:.2f}, standardised {ends[1]:.2f}")
        loose = cls(3, random_state=0).fit(close)
        tight = cls(3, random_state=0, tol=1e-10, max_iter=10_000).fit(close)
        say("", f"tol: {loose.score(close):.4f} after {loose.n_iter_} iterations, at 1e-10")
        say("", f"{tight.score(close):.4f} after {tight.n_iter_}")
        params = {"break_symmetry": False} if cls is Ours else {}
        stuck = cls(2, init_params="random", random_state=0, **params).fit(many)
        sound = cls(2, random_state=0).fit(many)
        say(
            "",
            "random: converged_",
            stuck.converged_,
            stuck.n_iter_,
            stuck.means_.round(2).tolist(),
        )
        say("", f"score {stuck.score(many):.2f}, from k-means {sound.score(many):.2f}")
        if cls is Ours:
            parted = cls(2, init_params="random", random_state=0).fit(many)
            say("", f"with break_symmetry {parted.score(many):.2f} after {parted.n_iter_}")
            left = [f"{model.remaining_gain_:.1e}" for model in (loose, tight)]
            say("", "left at tol=1e-3 and 1e-10:", *left)
        model = cls(3, random_state=0).fit(repeated)
        smallest = np.linalg.eigvalsh(model.covariances_)[:, 0].min()
        without = cls(2, random_state=0).fit(repeated).score(repeated)
        say(
            "",
            f"20 equal rows: score {model.score(repeated):.2f}, smallest variance {smallest:.1e}",
        )
        say("", f"two components: score {without:.2f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("scikit-learn", sklearn.__version__, "emgmm", emgmm.__version__, "NumPy", np.__version__)
    for function in (
        same_fits,
        bounds,
        one_row_starts,
        integer_rows,
        far_from_zero,
        starts_that_fail,
        equal_rows_without_a_ridge,
        components_of_one_row_without_a_ridge,
        empty_components,
        after_a_failed_fit,
        after_bad_input,
        no_iterations,
        other_number_of_components,
        single_precision,
        memory,
        defaults_that_stay,
    ):
        print(function.__name__.replace("_", " "))
        function()
