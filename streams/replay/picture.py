"""A score as a picture: SVG, written as text."""

from html import escape

import numpy as np

from streams.replay.rulers import BINS_S, MBTA, TRANSIT, Errors, Intervals

WIDTH, ROW, LEFT, BAR = 900, 20, 190, 240
COLORS = ("#0b6e4f", "#2e86ab", "#b0b0b0", "#c9a227", "#7a7a7a")
INK, PALE = "#222", "#e6e6e6"


def picture(by_predictor: dict[str, Errors], found: Intervals) -> str:
    """Scores and errors of every predictor as bars, and how often the 80 % interval held."""
    panels = [
        ("Transit, %", [e.overall(TRANSIT) for e in by_predictor.values()], 100.0),
        ("MBTA, %", [e.overall(MBTA) for e in by_predictor.values()], 100.0),
    ]
    errors = [e.mae_s for e in by_predictor.values()]
    panels.append(("mean absolute error, s", errors, max([v for v in errors if np.isfinite(v)], default=1.0)))
    parts: list[str] = []
    y = 34
    for title, values, most in panels:
        parts.append(_text(12, y, title, weight="bold"))
        y += 10
        for k, (name, value) in enumerate(zip(by_predictor, values, strict=True)):
            parts.append(_text(LEFT - 8, y + 14, name, anchor="end"))
            if np.isfinite(value):
                width = BAR * 2 * value / max(most, 1e-9)
                parts.append(_rect(LEFT, y + 3, width, ROW - 6, COLORS[k % len(COLORS)]))
                parts.append(_text(LEFT + width + 6, y + 14, f"{value:.1f}"))
            y += ROW
        y += 26
    parts.append(_text(12, y, "arrivals inside the 80 % interval, by predicted time left", weight="bold"))
    y += 10
    names = [f"{low / 60:g}-{high / 60:g} min" for low, high in BINS_S] + ["all"]
    for name, share, n in zip(names, found.coverage, found.n, strict=True):
        parts.append(_text(LEFT - 8, y + 14, name, anchor="end"))
        parts.append(_rect(LEFT, y + 3, 2 * BAR, ROW - 6, PALE))
        if np.isfinite(share):
            parts.append(_rect(LEFT, y + 3, BAR * 2 * share / 100.0, ROW - 6, COLORS[1]))
            parts.append(_text(LEFT + 2 * BAR + 6, y + 14, f"{share:.1f} % of {n:,}"))
        y += ROW
    goal = LEFT + BAR * 2 * 0.8
    parts.append(f'<line x1="{goal}" x2="{goal}" y1="{y - ROW * len(names)}" y2="{y}" stroke="{INK}"/>')
    height = y + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}"/>'
