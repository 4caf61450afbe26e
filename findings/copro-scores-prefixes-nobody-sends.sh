#!/bin/sh
# DSPy 3.4.1: COPRO asks its model for a prefix of the output field with every instruction, and scores candidates that
# differ in nothing but that prefix. No adapter of this version puts prefixes into a prompt (declaring one warns that it
# has no effect), so such candidates are asked the very same questions.
#
# Guessed before it was run: the prefix stands before the answer in the prompt, so that each candidate is another prompt.
# Seen: of 4 candidates (3 proposals of one instruction with three prefixes, and the program as it was) on 4 examples,
# 16 questions are asked and 8 of them are different; none holds a proposed prefix, with ChatAdapter, JSONAdapter and
# XMLAdapter alike. With a cache the repeats cost nothing but time; without one, half of the money.
#
# Fails if that changes. Needs Python 3.11 or newer and a package registry.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet dspy==3.4.1
export DSPY_CACHEDIR="$place/cache" LITELLM_LOCAL_MODEL_COST_MAP=True
"$place/venv/bin/python" - <<'PY'
import logging
from types import SimpleNamespace as Part

import dspy

assert dspy.__version__ == "3.4.1", dspy.__version__
logging.disable(logging.CRITICAL)
PREFIXES = ["The label is", "Chosen label:", "So it is"]


class Scripted(dspy.BaseLM):
    """Proposes one instruction with three prefixes, and answers every question alike, in each adapter's form."""

    def __init__(self):
        super().__init__(model="scripted/one", cache=False)
        self.questions = []

    def forward(self, prompt=None, messages=None, **options):
        text = "\n".join(str(message["content"]) for message in messages)
        if "proposed_instruction" in text:
            answers = [
                {"proposed_instruction": "Say the label.", "proposed_prefix_for_output_field": prefix}
                for prefix in PREFIXES[: options.get("n", 1)]
            ]
        else:
            self.questions.append(text)
            answers = [{"label": "a"}]
        choices = [Part(message=Part(content=self.written(a), tool_calls=None), finish_reason="stop") for a in answers]
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return Part(choices=choices, usage=usage, model=self.model)

    def written(self, fields):
        adapter = dspy.settings.adapter
        signature = dspy.Signature("text -> " + ", ".join(fields))
        return adapter.format_assistant_message_content(signature, fields)


examples = [dspy.Example(text=str(n), label="a").with_inputs("text") for n in range(4)]
for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()):
    lm = Scripted()
    with dspy.context(lm=lm, adapter=adapter):
        search = dspy.COPRO(
            metric=lambda example, answer, trace=None: example.label == answer.label,
            breadth=4,
            depth=1,
            prompt_model=lm,
        )
        best = search.compile(
            dspy.Predict(dspy.Signature("text -> label", "Label it.")),
            trainset=examples,
            eval_kwargs={"num_threads": 1, "display_progress": False},
        )
    scored = {(c["instruction"], c["prefix"]) for c in best.candidate_programs}
    with_prefix = [q for q in lm.questions if any(prefix in q for prefix in PREFIXES)]
    name = type(adapter).__name__
    print(f"{name}: {len(scored)} candidates, {len(lm.questions)} questions, {len(set(lm.questions))} of them different")
    assert len({instruction for instruction, _ in scored}) == 2, scored
    assert not with_prefix, "a proposed prefix has reached the model"
    assert len(scored) == 4 and len(lm.questions) == 16 and len(set(lm.questions)) == 8, "other candidates are scored"
PY
echo "as described: DSPy 3.4.1 scores prefixes that it sends to nobody"
