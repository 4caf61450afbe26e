#!/bin/sh
# DSPy 3.4.1: a signature with a field that is called `instructions` is refused with an error about something else.
#
# Guessed before it was run: the field works, or a ValueError says that the name is taken.
# Seen: never that. Of a string, input or output, "TypeError: 'NoneType' object is not subscriptable", which names neither
# the field nor the signature; of a class with a docstring, that the field "must be declared with InputField or
# OutputField", as it is. The same signatures work once the field is called `guidance`.
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


nothing, undeclared = "'NoneType' object is not subscriptable", "must be declared with InputField or OutputField"
ways = {
    "input": (lambda: dspy.Signature("text, instructions -> label"), nothing),
    "output": (lambda: dspy.Signature("text -> instructions"), nothing),
    "class": (of_class, undeclared),
}
for way, (make, words) in ways.items():
    try:
        make()
    except TypeError as exc:
        print(f"{way}: TypeError: {exc}")
        assert words in str(exc), exc
    else:
        raise AssertionError(f"{way}: a field may be called instructions")
assert list(dspy.Signature("text, guidance -> label").input_fields) == ["text", "guidance"]
PY
echo "as described: DSPy 3.4.1 refuses a field called instructions with an error about something else"
