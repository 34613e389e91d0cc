"""Elements of HTML and SVG, escaped and well-formed because a library writes them."""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

Content = Element | str


def element(name: str, /, *content: Content, **attributes: object) -> Element:
    """Make one; `class_` and `aria_label` stand for `class` and `aria-label`."""
    made = Element(name, {_attribute(key): str(value) for key, value in attributes.items()})
    last: Element | None = None
    for part in content:
        if isinstance(part, Element):
            made.append(part)
            last = part
        elif last is None:
            made.text = (made.text or "") + part
        else:
            last.tail = (last.tail or "") + part
    return made


def html(root: Element) -> str:
    """The document as browsers read it."""
    return f"<!doctype html>\n{tostring(root, encoding='unicode', method='html')}\n"


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
