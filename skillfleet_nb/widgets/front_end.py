"""Who looks at the output of a cell: a page that runs widgets, or nobody who would."""

from __future__ import annotations

import os


def has_widgets() -> bool:
    """Tell whether a person looks at a page that can run widgets.

    A notebook that is executed as a whole, by nbclient, nbconvert or nbmake, is known by asking for no
    input: nobody is there to answer, and its outputs are kept as they are.  Voilà asks for none either, and
    has a page with a kernel behind it.
    """
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False)) or (kernel is not None and "VOILA_BASE_URL" in os.environ)
