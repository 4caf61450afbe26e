"""What the dashboard has opened, as its page gets it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Listed(TypedDict):
    """What lies in what is opened: each row leads to a path."""

    title: str
    header: list[str]
    rows: list[dict[str, Any]]


class Act(TypedDict):
    """A button, and what is said to the kernel as it is pressed."""

    text: str
    message: dict[str, Any]


class Page(TypedDict):
    """What is opened: `crumbs` lead back up or aside, `use` is a name for the variable of a program.

    `form` asks for a text, which is put at the end of its path.
    """

    path: list[str]
    title: str
    crumbs: list[tuple[str, list[str]]]
    html: str
    list: Listed
    use: str
    acts: NotRequired[list[Act]]
    form: NotRequired[dict[str, Any]]


NOTHING = Listed(title="", header=[], rows=[])
