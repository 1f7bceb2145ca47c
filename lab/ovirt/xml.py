"""Builds and reads the XML of oVirt's API."""

from __future__ import annotations

import datetime
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any

BASE = "/ovirt-engine/api"
Element = ET.Element


def tag(
    tag_name: str, *items: Element | None, id: str | None = None, href: str | None = None, **fields: Any
) -> Element:
    """Build an element: its id, its address, children by field name (None: left out) and further children."""
    made = Element(tag_name)
    if href:
        made.set("href", BASE + href)
    if id:
        made.set("id", id)
    for name, value in fields.items():
        _add(made, name, value)
    made.extend(item for item in items if item is not None)
    return made


def ref(tag_name: str, path: str, id: str | None) -> Element | None:
    """Point to something else: `path` is its collection."""
    return tag(tag_name, id=id, href=f"{path}/{id}") if id else None


def link(rel: str, href: str) -> Element:
    """Point to a collection below something."""
    made = Element("link")
    made.set("href", BASE + href)
    made.set("rel", rel)
    return made


def many(tag_name: str, items: Iterable[Element]) -> Element:
    """Build a list."""
    made = Element(tag_name)
    made.extend(items)
    return made


def date(seconds: float) -> str:
    """Write a time."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds")


def encode(element: Element) -> bytes:
    """Turn into what goes over the wire."""
    return b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + ET.tostring(element)


def text_of(body: Element, path: str, default: str | None = None) -> str | None:
    """Read a field; an empty one counts as not given."""
    found = body.findtext(path)
    return found.strip() if found and found.strip() else default


def int_of(body: Element, path: str, default: int = 0) -> int:
    """Read a number."""
    found = text_of(body, path)
    return int(found) if found else default


def flag_of(body: Element, path: str, default: bool = False) -> bool:
    """Read true or false."""
    found = text_of(body, path)
    return default if found is None else found.lower() == "true"


def id_of(body: Element, path: str) -> str | None:
    """Read the id of something pointed to."""
    found = body.find(path)
    return None if found is None else found.get("id")


def _add(parent: Element, name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, Element):
        parent.append(value)
        return
    child = ET.SubElement(parent, name)
    if isinstance(value, bool):
        child.text = "true" if value else "false"
    elif isinstance(value, list):
        child.extend(value)
    else:
        child.text = str(value)
