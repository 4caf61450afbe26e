"""The OpenAPI 3.1 document, read off the routes."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from skillfleet_nb.server.problems import TYPE, Problem
from skillfleet_nb.server.route import LARGEST, PREFIX, Nothing, Route, Rows
from skillfleet_nb.server.routes import routes

if TYPE_CHECKING:
    from pydantic import BaseModel

_REF = "#/components/schemas/{model}"


def document(base_url: str = "/") -> dict[str, Any]:
    """Describe every route: what it takes, what it answers, and who may ask.

    Examples
    --------
    >>> document()["openapi"]
    '3.1.0'
    """
    every = routes()
    used = {one.takes for one in every if not one.reads_query and one.takes is not Nothing}
    answers = {one.gives for one in every if one.gives is not None}
    models: set[type[BaseModel]] = {*used, *answers, Problem, Rows}
    modes: list[Any] = [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)]
    names, schemas = models_json_schema(modes, ref_template=_REF, schema_generator=GenerateJsonSchema)
    paths: dict[str, Any] = {}
    for one in every:
        paths.setdefault(f"/{one.path}", {})[one.method.lower()] = _operation(one, names)
    health: dict[str, Any] = {"summary": "whether the server answers", "operationId": "get_health", "security": []}
    health["responses"] = {"200": {"description": "it does", "content": _json({"type": "object"})}}
    paths["/jobs/{job}/stream"] = {"get": _stream(names)}
    paths["/stream"] = {"get": _home_stream(names)}
    described: dict[str, Any] = _bounded({
        "openapi": "3.1.0",
        "info": {"title": "Skillfleet NB", "version": version("skillfleet-nb"), "description": (__doc__ or "").strip()},
        "servers": [{"url": f"{base_url}{PREFIX}"}],
        "security": [{"token": []}],
        "paths": {"/health": {"get": health}, **dict(sorted(paths.items()))},
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "token": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "`token TOKEN`, with the token of the Jupyter server",
                }
            },
        },
    })  # fmt: skip
    return described


def _bounded(part: Any) -> Any:
    """Say of each whole number how large it may be."""
    if isinstance(part, list):
        return [_bounded(one) for one in part]
    if not isinstance(part, dict):
        return part
    bounds = {"minimum": -LARGEST, "maximum": LARGEST} if part.get("type") == "integer" else {}
    inside = {name: _bounded(one) for name, one in part.items()}
    return {**{name: most for name, most in bounds.items() if f"exclusiveM{name[1:]}" not in part}, **inside}


def _operation(one: Route, names: dict[Any, Any]) -> dict[str, Any]:
    gives = {"type": "object"} if one.gives is None else names[one.gives, "validation"]
    operation: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [one.path.partition("/")[0]],
        "x-permission": one.permission,
        "parameters": [_in_path(name) for name in one.parameters],
        "responses": {str(one.status): {"description": "done", "content": _json(gives)}, "default": _problem(names)},
    }
    if one.kept is not None:
        operation["responses"]["304"] = {"description": "it is as the client has it"}
    if one.reads_query:
        schema = one.takes.model_json_schema(ref_template=_REF)
        required = schema.get("required", ())
        operation["parameters"] += [
            {"name": name, "in": "query", "required": name in required, "schema": _without_null(part)}
            for name, part in schema.get("properties", {}).items()
        ]
    elif one.takes is not Nothing:
        operation["requestBody"] = {"required": _is_needed(one.takes), "content": _json(names[one.takes, "validation"])}
    return operation


def _is_needed(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _stream(names: dict[Any, Any]) -> dict[str, Any]:
    """Describe the one route whose answer is no JSON."""
    last = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer", "minimum": 0}}
    after = {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}}
    response = {"description": "milestones and states, as they come", "content": {"text/event-stream": {"schema": {}}}}
    return {
        "operationId": "get_jobs_job_stream",
        "summary": "follow a job until it ends",
        "tags": ["jobs"],
        "x-permission": "read",
        "parameters": [_in_path("job"), last, after],
        "responses": {
            "200": response,
            "204": {"description": "it has ended, and all is known"},
            "default": _problem(names),
        },
    }


def _home_stream(names: dict[Any, Any]) -> dict[str, Any]:
    one = _stream(names)
    return {
        **one,
        "operationId": "get_stream",
        "summary": "follow the list of jobs, and what calls have cost since the server started",
        "parameters": [part for part in one["parameters"] if part["in"] != "path"],
        "responses": {name: part for name, part in one["responses"].items() if name != "204"},
    }


def _problem(names: dict[Any, Any]) -> dict[str, Any]:
    return {"description": "why not", "content": {TYPE: {"schema": names[Problem, "validation"]}}}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _json(schema: object) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out that a parameter may be null, which an address cannot say."""
    kinds = [part for part in schema.get("anyOf", ()) if part.get("type") != "null"]
    rest = {name: part for name, part in schema.items() if name not in {"anyOf", "default", "title"}}
    return {**kinds[0], **rest} if len(kinds) == 1 else rest
