"""Made-up skills of known quality, and ways to make them worse."""

import re
from collections.abc import Sequence

TRIGGER = " Use when a form has to be filled or a table has to be read."

SECTIONS = {
    "Overview": "This skill reads and fills forms. It works on single files and on whole folders of them.",
    "When to Use": "- A form has empty fields.\n- A table is locked in a scan.\n- Many files need the same change.",
    "Quick Start": """\
1. Open the file.
2. Read the fields.
3. Write the values.
4. Look at the result.

```bash
fill form.pdf data.json
```""",
    "Core Principle": "**Core principle**: read before you write, and keep the first copy of every file you touch.",
    "Patterns": """\
### One file

Read it, fill it, save it.

### Many files

Loop, and collect what failed.

```python
for file in files:
    fill(file, data)
```""",
    "Rules": """\
- Always keep the source.
- Never write in place.
- You must check the result.
- Avoid guessing a value.
- Ensure the font is there.""",
    "Good and Bad": """\
✅ Good: `fill(copy(file))` leaves the source as it was.

❌ Bad: `fill(file)` loses the source.""",
    "Anti-patterns": "Do not fill by position on the page: a new version of the form moves every field.",
    "Key Insights": """\
- Remember that a field has a name and a label, and that only the name is stable.

```text
name=date label=Date of birth
```""",
    "Common Mistakes": "- Dates in the wrong order: give the year first.\n- Empty boxes: set the state, not the text.",
    "Red Flags": "Stop if the file is signed: a change would break the signature.",
    "References": """\
See [fields](references/fields.md) for each kind of field.

```json
{"name": "Ada"}
```""",
}

FILLER = "Read each page with care and write down what you see.\n\nKeep a list of the fields and of their values.\n\n"


def good_skill(titles: Sequence[str] = tuple(SECTIONS), words: int = 300) -> str:
    """Build a skill from some of the sections, with at least that many words of plain prose."""
    body = "\n\n".join(f"## {title}\n\n{SECTIONS[title]}" for title in titles)
    filler = FILLER * (1 + words // len(FILLER.split()))
    return (
        "---\nname: form-filling\ndescription: Fill forms and read tables of documents on disk, one or many."
        f"{TRIGGER}\n---\n\n# Form filling\n\n{body}\n\n## Practice\n\n{filler}"
    )


def section_titles(text: str) -> list[str]:
    """Second-level headings outside code."""
    return [m[1] for m in re.finditer(r"^## (.+)$", _without_code(text), re.MULTILINE)]


def without_section(text: str, number: int) -> str:
    """Take the second-level section of this number, from 0, away."""
    starts = [m.start() for m in re.finditer(r"^## ", _without_code(text), re.MULTILINE)]
    end = starts[number + 1] if number + 1 < len(starts) else len(text)
    return text[: starts[number]] + text[end:]


def without_language(text: str, number: int) -> str:
    """Take the language off the code block of this number, counted among those that have one."""
    seen, opened, lines = -1, False, []
    for line in text.split("\n"):
        opened ^= line.startswith("```")
        seen += line.startswith("```") and opened and line != "```"
        lines.append("```" if line.startswith("```") and opened and seen == number else line)
    return "\n".join(lines)


def without_trigger(text: str) -> str:
    """Take the sentence with the trigger off the description."""
    return re.sub(r"^(description:.*?) *\bUse (?:this skill )?when\b[^\n]*", r"\1", text, count=1, flags=re.MULTILINE)


def degraded(text: str) -> list[tuple[str, str]]:
    """Every single degradation of a skill that changes it, with its name."""
    worse = [(f"section {n}", without_section(text, n)) for n in range(len(section_titles(text)))]
    worse += [(f"language {n}", without_language(text, n)) for n in range(text.count("\n```"))]
    worse.append(("trigger", without_trigger(text)))
    return [(what, bad) for what, bad in worse if bad != text]


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.MULTILINE | re.DOTALL)
