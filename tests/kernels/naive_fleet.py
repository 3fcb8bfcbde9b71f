"""What streams.kernels.fleet computes, row by row and by looking back."""


def newest_yet(rows):
    """Whether each row (vehicle, at, rank) is at least as great as all before it of its vehicle."""
    return [all(row[1:] >= other[1:] for other in rows[:i] if other[0] == row[0]) for i, row in enumerate(rows)]


def raise_to(level, rows):
    """The levels after rows of (vehicle, value)."""
    return [max([have, *(float(value) for v, value in rows if v == vehicle)]) for vehicle, have in enumerate(level)]


def move(rows, least_m):
    """Of each vehicle the row (vehicle, at, dist, run) with which it moved last; dist None: not known."""
    last = {}
    for row in rows:
        vehicle, _, dist, run = row
        _, _, before, on = last.get(vehicle, (None, None, None, None))
        stood = None not in (dist, before) and abs(dist - before) < least_m and run == on
        if not stood:
            last[vehicle] = row
    return last


def hear(rows):
    """How many vehicles were heard in each minute: rows of (vehicle, minute)."""
    return {m: len({v for v, at in rows if at == m}) for _, m in rows}
