"""Lines as text: Google's encoded polylines, five decimals (about a metre), a fifth of the same in JSON numbers."""

from collections.abc import Iterable

SCALE = 100_000


def encode(points: Iterable[tuple[float, float]]) -> str:
    """The text of (lat, lon) points, degrees."""
    out: list[str] = []
    before = (0, 0)
    for point in points:
        now = (round(point[0] * SCALE), round(point[1] * SCALE))
        for step in (now[0] - before[0], now[1] - before[1]):
            left = ~(step << 1) if step < 0 else step << 1
            while left >= 0x20:
                out.append(chr((0x20 | left & 0x1F) + 63))
                left >>= 5
            out.append(chr(left + 63))
        before = now
    return "".join(out)


def decode(text: str) -> list[tuple[float, float]]:
    """The (lat, lon) points of a text of `encode`. Raises ValueError when it ends amid a point."""
    steps: list[int] = []
    value = shift = 0
    for char in text:
        five = ord(char) - 63
        value |= (five & 0x1F) << shift
        shift += 5
        if five < 0x20:
            steps.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    if shift or len(steps) % 2:
        raise ValueError("the polyline ends amid a point")
    points = []
    lat = lon = 0
    for i in range(0, len(steps), 2):
        lat, lon = lat + steps[i], lon + steps[i + 1]
        points.append((lat / SCALE, lon / SCALE))
    return points
