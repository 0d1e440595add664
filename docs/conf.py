"""Settings of the documentation site: pages in MyST's Markdown, docstrings by numpydoc, the theme furo."""

import numclip

project = "numclip"
author = project_copyright = "numclip developers"
release = version = numclip.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx_copybutton"]
exclude_patterns = ["pictures"]

myst_heading_anchors = 3  # so that links to a heading are checked

default_role = "autolink"  # `name` in a docstring: a link if it is a public object, else emphasis
# A parameter may have the name of some installed module, to which there is no page.
nitpick_ignore_regex = [("py:obj", r"[a-z_]+")]
autodoc_typehints = "none"  # the docstrings say the types; with hints, each overload would be listed
autodoc_member_order = "bysource"
autosummary_generate = False  # the pages of docs/api list every object
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"numclip {release}"
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = ">>> |\\.\\.\\. |\\$ "
copybutton_prompt_is_regexp = True
