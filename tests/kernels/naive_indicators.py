"""What streams.kernels.indicators computes, from the list of all headways."""


def window(batches, route_dirs, places, after, until):
    """Sums by route direction of batches of (sign, rows), over the minutes in (after, until]."""
    held = {}  # (route direction, place): (minute, [(sign, row)])
    for sign, rows in batches:
        for row in rows:
            route_dir, minute = row[:2]
            at = (route_dir, minute % places)
            have = held.get(at, (-1, []))
            if sign > 0 and minute > have[0]:
                have = held[at] = (minute, [])
            if minute == have[0]:
                have[1].append((sign, row))
    out = [[0] * 15 for _ in range(route_dirs)]
    for (route_dir, _), (minute, entries) in held.items():
        if after < minute <= until:
            for sign, (_, _, h, p, said) in entries:
                plan = [1, h, h * h, p, p * p] if p >= 0 else [0] * 5
                row = [1, h, h * h, *plan, 1, *(said >> bit & 1 for bit in range(6))]
                row = row if h >= 0 else [0] * 8 + [1] + [0] * 6
                out[route_dir] = [a + sign * b for a, b in zip(out[route_dir], row, strict=True)]
    return out
