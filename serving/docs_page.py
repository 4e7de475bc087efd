"""The operations of a service as one page of HTML, from its OpenAPI description. Asks nothing of any network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "code,pre{font-family:ui-monospace,monospace;background:#f2f2f2;padding:.1rem .3rem}"
    "pre{padding:.6rem;overflow-x:auto}td{padding:.15rem 1rem .15rem 0;vertical-align:top}h2{margin-top:2rem}"
)


def render_api(described: Mapping[str, Any], schema_url: str) -> str:
    """Return the page as HTML.

    Args:
        described: an OpenAPI 3 description.
        schema_url: where it is served itself.
    """
    info = described["info"]
    title = escape(f"{info['title']} {info['version']}")
    body = "".join(
        _operation(method, path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{escape(info.get('description', ''))}</p>{body}"
        f'<p>For machines: <a href="{escape(schema_url)}">{escape(schema_url)}</a></p></body></html>'
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(_rows(operation))
    locked = " (needs the token)" if operation.get("security") else ""
    paragraphs = "".join(f"<p>{escape(part)}</p>" for part in operation.get("description", "").split("\n\n") if part)
    fields = "".join(
        f"<p>Form field <code>{escape(name)}</code>: {escape(field.get('description', ''))}</p>"
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for name, field in content["schema"]["properties"].items()
    )
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code>{locked}</h2>"
        f"<p>{escape(operation.get('summary', ''))}</p>{paragraphs}{fields}<table>{rows}</table>"
    )


def _rows(operation: Mapping[str, Any]) -> Iterator[str]:
    for status, answer in sorted(operation["responses"].items()):
        yield f"<tr><td><code>{escape(status)}</code></td><td>{escape(answer['description'])}</td></tr>"
