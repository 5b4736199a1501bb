"""Configuration of Sphinx.

``python -m sphinx -W -b html docs docs/_build/html`` builds the pages and runs the examples of the
gallery; ``-D plot_gallery=0`` builds the pages only, and ``-b doctest`` runs the examples in the
pages and in the docstrings.
"""

import ast
import re
from pathlib import Path

from emgmm import __file__ as package
from emgmm import __version__

project = "emgmm"
author = "The emgmm developers"
copyright = "The emgmm developers, BSD 3-Clause licence"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "gallery/*.ipynb", "gallery/*.py", "gallery/**/README.*"]
templates_path = ["_templates"]
default_role = "literal"

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings contain the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the pages list the members

# Examples write files, so each page runs in a temporary folder.
doctest_global_setup = """
import os
import tempfile
_before = os.getcwd()
_folder = tempfile.TemporaryDirectory()
os.chdir(_folder.name)
"""
doctest_global_cleanup = """
os.chdir(_before)
_folder.cleanup()
"""

# Where a site cannot be reached, a list of the objects that the pages link to serves instead.
SITES = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "sklearn": "https://scikit-learn.org/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
}
FOLDER = Path(__file__).parent
intersphinx_mapping = {
    name: (site, (None, str(FOLDER / "inventories" / f"{name}.inv")))
    for name, site in SITES.items()
}
intersphinx_timeout = 5
linkcheck_ignore = [r"https?://"]  # links between pages are checked, not other people's sites

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "matplotlib_animations": False,
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib",),
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
}

plot_basedir = str(FOLDER)
plot_formats = [("png", 130)]
plot_html_show_formats = False
plot_html_show_source_link = False

toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "emgmm"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["emgmm.css"]
html_sidebars = {"index": [], "**": ["sidebar-nav-bs"]}
html_math_renderer = "mathml"
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def visit_math(translator, node):
    """Write a formula as MathML, which browsers draw without a script from a server."""
    from docutils import nodes
    from docutils.utils.math.latex2mathml import tex2mathml

    block = isinstance(node, nodes.math_block)
    text = re.sub(r"(?<=[\w}])\s*(?=\\(?:log|exp)\b)", r"\\, ", node.astext())  # as TeX spaces them
    text = re.sub(r"\\(log|exp)\b(?!\s*([(|\[_^]|\\[bB]ig|\\left))", r"\\\1\\,", text)
    text = re.sub(r"(\\operatorname\{tr\})\s+(?=\w)", r"\1\\, ", text)
    formula = tex2mathml(text, as_block=block)
    translator.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def first_line(path):
    """First line of a module's docstring."""
    return ast.get_docstring(ast.parse(path.read_text())).partition("\n")[0]


def module_table(entry):
    """Table of the modules of an entry of the package, with the first lines of their docstrings."""
    path = Path(package).parent / entry
    paths = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    rows = {module.relative_to(path.parent): first_line(module) for module in paths}
    table = [".. list-table::", "   :widths: 36 64", ""]
    for name, line in rows.items():
        folder = name.parent.as_posix() + "/" if name.name == "__init__.py" else name.as_posix()
        table += [f"   * - ``{folder}``", f"     - {line}"]
    return "\n".join(table)


def insert_module_tables(app, docname, source):
    """Replace each line ``.. modules:: entry`` of the page about the architecture by its table."""
    if docname == "reference/architecture":
        app.env.note_reread()
        pattern = re.compile(r"^\.\. modules:: (\w+)$", flags=re.MULTILINE)
        source[0] = pattern.sub(lambda match: module_table(match[1]), source[0])


def without_private_fields(_app, what, _name, _obj, _options, signature, returns):
    """Leave out the private fields of a dataclass from the signature that its page shows."""
    if what == "class" and signature:
        signature = re.sub(r", _\w+", "", signature)
    return signature, returns


def setup(app):
    app.connect("autodoc-process-signature", without_private_fields)
    app.connect("source-read", insert_module_tables)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
