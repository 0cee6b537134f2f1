"""A badge: a label and a word on a coloured ground, as an SVG picture for a README or a wiki."""

from __future__ import annotations

import html

_HEIGHT = 20
_PADDING = 8
_WIDTHS = {**dict.fromkeys("fijlrtI.,:;|'!", 4.0), **dict.fromkeys("mwMW@", 10.5)}  # in pixels, at font size 11
_WIDTH = 6.9  # width of a character that is not in `_WIDTHS`
_MAX_LABEL = 60  # characters


def badge(label: str, word: str, colour: str) -> str:
    """Return the SVG of a badge. `colour` must be dark enough for white text."""
    short = label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"
    left, right = _width(short), _width(word)
    name, state = html.escape(short), html.escape(word)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{_HEIGHT}" role="img" '
        f'aria-label="{name}: {state}"><title>{name}: {state}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="{_HEIGHT}" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{_HEIGHT}" fill="#444c56"/>'
        f'<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="{colour}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14" textLength="{left - 2 * _PADDING}">{name}</text>'
        f'<text x="{left + right / 2:g}" y="14" textLength="{right - 2 * _PADDING}">{state}</text></g></svg>'
    )


def _width(text: str) -> int:
    return round(sum(_WIDTHS.get(character, _WIDTH) for character in text)) + 2 * _PADDING
