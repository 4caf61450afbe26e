"""The process that draws: whatever ends it, the one that asked goes on.

Run as a file, so that nothing of the package is imported.  It reads requests from standard input, one JSON text a
line, and answers each with a line that says how many bytes follow, until its input ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys


def _made(vl_convert, kind, what):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  plain values of JSON
    if kind == "svg":
        return vl_convert.vegalite_to_svg(what["spec"], vl_version=what["version"]).encode()
    if kind == "png":
        return vl_convert.svg_to_png(what, scale=2)
    if kind == "pdf":
        return vl_convert.svg_to_pdf(what)
    if kind == "page":
        return vl_convert.vegalite_to_html(what, bundle=True, renderer="svg").encode()
    return vl_convert.javascript_bundle(what).encode()


def main() -> None:
    """Answer until there is nobody left who asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for whoever asked, who ends this process if need be
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the renderer prints is no answer
    import vl_convert

    for line in sys.stdin.buffer:
        try:
            kind, what = json.loads(line)
            word, answer = b"made", _made(vl_convert, kind, what)  # type: ignore[no-untyped-call]
        except Exception as exc:  # noqa: BLE001  told to whoever asked
            word, answer = b"not", str(exc).encode("utf-8", "backslashreplace")
        answers.write(b"%s %d\n" % (word, len(answer)))
        answers.write(answer)
        answers.flush()


if __name__ == "__main__":
    main()
