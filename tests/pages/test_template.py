"""Templates of pages."""

import pytest

from tests.pages.helpers import numbers_of
from vae_graph.pages import explorer, graph, template

SCRIPTS = {"explorer.html": explorer.SCRIPTS, "graph.html": graph.SCRIPTS}


@pytest.mark.parametrize("name", SCRIPTS)
def test_data_is_inserted_as_it_is(name):
    """The name of a folder may be a mark of the template, too."""
    data = {"name": "{{dom.js}}/{{data}}", "other": "</script>", "colours": ["\\1", "\u2028"]}
    page = template.fill(name, SCRIPTS[name], data)
    assert numbers_of(page) == data
    assert page.count(b"{{") == 2
    for script in SCRIPTS[name]:
        assert (template.FOLDER / script).read_bytes() in page
