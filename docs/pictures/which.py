"""Decision chart: questions about the data from top to bottom, and what each answer leads to."""

from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

from emgmm.drawing import COLOURS, GREY

# Each question, the answer that leads to the right, and what follows from it.
QUESTIONS = (
    (
        "Are the groups roughly elliptical,\nand the columns numbers?",
        "no",
        "not a Gaussian mixture:\nsee the last section",
    ),
    (
        "Do some rows count more than\nothers, or stand for several?",
        "yes",
        "fit(X, sample_weight=…)",
    ),
    ("Are values missing?", "yes", "leave them as NaN:\nnothing has to be set"),
    (
        "Do the columns have different\nunits or scales?",
        "yes",
        "StandardScaler in a pipeline,\nor --scale of the command line",
    ),
    ("Are there outliers, rows that\nbelong to no group?", "yes", 'noise="uniform"'),
    (
        "Are there few rows for each\ncomponent, or equal rows?",
        "yes",
        'prior="conjugate", or a family\nwith fewer parameters',
    ),
    (
        "Are the number of components\nand the family known?",
        "yes",
        'GaussianMixture(K, n_init=10,\ninit_params="whitened-kmeans")',
    ),
    (
        "Is something else to be selected,\nsuch as a step of a pipeline?",
        "yes",
        "GridSearchCV, which compares\nheld-out likelihoods",
    ),
)
LAST = "GaussianMixtureIC(range(1, 10))"

BOX, GAP = 0.74, 0.38  # heights of a box and of the arrow below it
LEFT, RIGHT, WIDTH = 0.0, 4.05, 3.15


def box(ax, x, top, text, colour, **style):
    """Draw a box with text whose upper left corner is at (x, top)."""
    rounded = "round,pad=0,rounding_size=0.08"
    patch = FancyBboxPatch((x, top - BOX), WIDTH, BOX, boxstyle=rounded, ec=colour, **style)
    ax.add_patch(patch)
    centre = (x + WIDTH / 2, top - BOX / 2)
    ax.text(*centre, text, ha="center", va="center", fontsize=10, linespacing=1.25)


def arrow(ax, start, end, label, offset):
    """Draw an arrow with a label in the middle."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.3})
    middle = ((start[0] + end[0]) / 2 + offset[0], (start[1] + end[1]) / 2 + offset[1])
    ax.text(*middle, label, ha="center", va="center", fontsize=10)


figure, ax = plt.subplots(figsize=(7.2, 9.0))
figure.subplots_adjust(0.005, 0.005, 0.995, 0.995)
for number, (question, answer, result) in enumerate(QUESTIONS):
    top = -number * (BOX + GAP)
    box(ax, LEFT, top, question, COLOURS[0], fc="#E8F1F8", lw=1.3)
    box(ax, RIGHT, top, result, COLOURS[2], fc="#E6F4EF", lw=1.3)
    middle = top - BOX / 2
    arrow(ax, (LEFT + WIDTH, middle), (RIGHT, middle), answer, (0, 0.14))
    # Some answers end the way; after the others the next question follows in either case.
    ends = result.startswith(("not", "GaussianMixture", "Grid"))
    other = {"no": "yes", "yes": "no"}[answer] if ends else "then"
    arrow(ax, (LEFT + WIDTH / 2, top - BOX), (LEFT + WIDTH / 2, top - BOX - GAP), other, (0.3, 0))
bottom = -len(QUESTIONS) * (BOX + GAP)
box(ax, LEFT, bottom, LAST, COLOURS[2], fc="#E6F4EF", lw=1.3)
ax.set(xlim=(-0.03, RIGHT + WIDTH + 0.03), ylim=(bottom - BOX - 0.03, 0.03))
ax.set_aspect("equal")
ax.axis("off")
