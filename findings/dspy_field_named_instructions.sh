#!/bin/sh
# DSPy 3.4.1: a signature with a field that is called `instructions` is refused with an error about something else.
#
# Guessed before it was run: the field works, or a ValueError says that the name is taken.
# Seen: pydantic warns that the field shadows an attribute, then "TypeError: 'NoneType' object is not subscriptable",
# which names neither the field nor the signature; for an input and an output, in a string as in a class. The same
# signature works once the field is called `guidance`.
#
# Fails if that changes. Needs Python 3.11 or newer and a package registry.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet dspy==3.4.1
export DSPY_CACHEDIR="$place/cache" LITELLM_LOCAL_MODEL_COST_MAP=True
"$place/venv/bin/python" -W ignore - <<'PY'
import dspy

assert dspy.__version__ == "3.4.1", dspy.__version__


def of_class():
    class Labels(dspy.Signature):
        """Label the text."""

        instructions: str = dspy.InputField()
        label: str = dspy.OutputField()

    return Labels


ways = {
    "input": lambda: dspy.Signature("text, instructions -> label"),
    "output": lambda: dspy.Signature("text -> instructions"),
    "class": of_class,
}
for way, make in ways.items():
    try:
        make()
    except TypeError as exc:
        print(f"{way}: TypeError: {exc}")
        assert str(exc) == "'NoneType' object is not subscriptable", exc
    else:
        raise AssertionError(f"{way}: a field may be called instructions")
assert list(dspy.Signature("text, guidance -> label").input_fields) == ["text", "guidance"]
PY
echo "as described: DSPy 3.4.1 refuses a field called instructions with an error about something else"
