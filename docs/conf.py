"""How Sphinx builds these pages.

``python -m sphinx -W -b html docs docs/_build/html`` writes them, ``-b doctest`` runs their
examples and those of the docstrings.
"""

from emgmm import __version__

project = "emgmm"
author = "The emgmm developers"
copyright = "The emgmm developers, BSD 3-Clause licence"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say it
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # pages name the members themselves

# Examples write files: each page runs in a folder of its own.
doctest_global_setup = """
import os
import tempfile
import numpy as np
np.set_printoptions(suppress=True)
_before = os.getcwd()
_folder = tempfile.TemporaryDirectory()
os.chdir(_folder.name)
"""
doctest_global_cleanup = """
os.chdir(_before)
_folder.cleanup()
"""

plot_formats = [("png", 130)]
plot_html_show_formats = False
plot_html_show_source_link = False

toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "emgmm"
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"**": []}
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 9,
}
