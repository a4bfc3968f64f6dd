"""Whether an OpenAPI 3.0 document accepts answers: `accepts.py DOCUMENT ANSWERS`, out of an environment of its own.

Prints one JSON list: for each answer the reason why not, or null.
"""

import json
import sys
from pathlib import Path

from openapi_schema_validator import OAS30ReadValidator
from referencing import Registry, Resource
from referencing.jsonschema import SchemaRegistry, specification_with

document, answers = (json.loads(Path(name).read_text("utf-8")) for name in sys.argv[1:])
DRAFT = specification_with("http://json-schema.org/draft-04/schema#")
registry: SchemaRegistry = Registry().with_resource("urn:document", Resource(contents=document, specification=DRAFT))


def pointer(*parts):
    """A reference into the document."""
    return "urn:document#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


def why_not(answer):
    """The first reason why the document does not have this answer."""
    method, path, status = answer["method"].lower(), answer["path"], str(answer["status"])
    known = document["paths"][path][method]["responses"]
    if status not in known:
        return f"status {status} is not among {', '.join(sorted(known))}"
    content = known[status].get("content")
    if content is None:
        return None if not answer["body"] else "a body where the document has none"
    kind = answer["type"].split(";")[0].strip()
    if kind not in content:
        return f"type {kind!r} is not among {', '.join(content)}"
    schema = {"$ref": pointer("paths", path, method, "responses", status, "content", kind, "schema")}
    found = OAS30ReadValidator(schema, registry=registry).iter_errors(json.loads(answer["body"]))
    first = min(found, key=lambda error: error.json_path, default=None)
    return None if first is None else f"{first.json_path}: {first.message}"[:300]


print(json.dumps([why_not(answer) for answer in answers]))
