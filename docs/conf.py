"""How the documentation is built: `python -m sphinx -W -b html docs build/docs`, without a network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for reference_pages
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # autodoc imports what may otherwise look for a hub

from raybert import __version__

project = "raybert"
author = "The raybert authors"
project_copyright = "The raybert authors, Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference_pages"]
exclude_patterns = ["reference_pages"]
templates_path: list[str] = []

html_theme = "furo"
html_title = "raybert"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
default_role = "code"  # docstrings quote code by single backticks
