"""What streams.kernels.fleet computes, by sorting."""


def newest_rows(rows):
    """Places of the rows (vehicle, at, rank) that come last for their vehicle, ascending."""
    order = sorted(range(len(rows)), key=lambda i: rows[i][1:])
    return sorted({rows[i][0]: i for i in order}.values())


def raise_to(level, rows):
    """The levels after rows of (vehicle, value)."""
    return [max([have, *(float(value) for v, value in rows if v == vehicle)]) for vehicle, have in enumerate(level)]


def hear(rows):
    """How many vehicles were heard in each minute: rows of (vehicle, minute)."""
    return {m: len({v for v, at in rows if at == m}) for _, m in rows}
