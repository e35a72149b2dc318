"""The API's documentation as one page of HTML, made from its own schema; unlike Swagger's it asks no other site."""

import html
from typing import Any

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;
max-width:60rem;margin:0 auto;overflow-wrap:anywhere;padding:1rem;color:#1b1b1f;background:#fff}
h2{margin-top:2rem;border-top:1px solid #bbb;padding-top:1rem;overflow-wrap:anywhere}
code{background:#eee;padding:0 .2rem}
.wide{overflow-x:auto}table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.2rem .5rem;text-align:left}
@media(prefers-color-scheme:dark){body{color:#eee;background:#16161a}code{background:#333}a{color:#9cf}}"""


def documentation(schema: dict[str, Any]) -> str:
    """A page that lists every path of an OpenAPI schema with what it takes and gives."""
    info, parts = schema["info"], []
    for path, methods in schema["paths"].items():
        for method, call in methods.items():
            parts.append(f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>")
            parts.append(f"<p>{html.escape(call.get('description') or call.get('summary', ''))}</p>")
            rows = {p["name"]: p["schema"] | {"required": p.get("required")} for p in call.get("parameters", ())}
            for content in call.get("requestBody", {}).get("content", {}).values():
                rows |= _fields(schema, content["schema"])
            parts.append(_table("Takes", rows))
            for content in call["responses"].get("200", {}).get("content", {}).values():
                parts.append(_table("Gives", _fields(schema, content.get("schema", {}))))
    title = html.escape(info["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><main>'
        f"<h1>{title}</h1><p>{html.escape(info.get('description', ''))}</p>"
        '<p>The schema itself: <a href="/openapi.json">/openapi.json</a> (OpenAPI).</p>'
        f"{''.join(parts)}</main></body></html>"
    )


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    return schema["components"]["schemas"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def _fields(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Fields of an object with their schemas; those of an array's items in their place."""
    found: dict[str, dict[str, Any]] = {}
    part = _resolved(schema, part)
    for name, value in part.get("properties", {}).items():
        found[name] = value | {"required": name in part.get("required", ())}
        if "$ref" in value.get("items", {}):
            inner = _fields(schema, value["items"])
            found |= {f"{name}[].{own}": facts for own, facts in inner.items()}
    return found


def _table(title: str, rows: dict[str, dict[str, Any]]) -> str:
    if not rows:
        return ""
    lines = [
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(_kind(value))}</td>"
        f"<td>{html.escape(value.get('description', ''))}</td></tr>"
        for name, value in rows.items()
    ]
    head = "<tr><th>field</th><th>kind</th><th>meaning</th></tr>"
    return f'<h3>{title}</h3><div class="wide"><table>{head}{"".join(lines)}</table></div>'


def _kind(value: dict[str, Any]) -> str:
    """Type, limits and default of a field, for instance "integer, 1 to 4, default 1"."""
    choice = next((one for one in value.get("anyOf", ()) if one.get("type") != "null"), value)
    words = [str(choice.get("type", "object")).replace("array", "list")]
    limits = {key: choice.get(key) for key in ("minimum", "maximum", "minLength", "maxLength")}
    if limits["minimum"] is not None and limits["maximum"] is not None:
        words.append(f"{limits['minimum']:g} to {limits['maximum']:g}")
    if limits["maxLength"] is not None:
        words.append(f"{limits['minLength'] or 0} to {limits['maxLength']} characters")
    if value.get("required"):
        words.append("required")
    elif value.get("default") not in (None, [], ""):
        words.append(f"default {value['default']}")
    return ", ".join(words)
