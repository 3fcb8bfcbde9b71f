"""What streams.kernels.arrivals computes, for one bus and one link, in the words of the formulas."""

import math

from streams.kernels import arrivals as k


def running_time(hour, link, links, net, near, weight):
    """Expected seconds of `link`; `links` are dicts of sums, `net` of the network's, `near` {neighbour: distance}."""
    m = links[link]["prior"]
    mean = sum(each["prior"] for each in links) / len(links)
    day, h = divmod(hour, 24)
    sides = [day * 24 + (h + d) % 24 for d in (-1, 1)]
    own = links[link]
    p = (own["sum"] + 0.7 * m) / (own["sum_prior"] + 0.7 * m)
    f, *sides_f = [(net["hour"][k] + 400 * mean) / (net["hour_expected"][k] + 400 * mean) for k in (hour, *sides)]
    # a neighbouring hour's seconds, as they would be in this one
    seen = own["hour"][hour] + sum(own["hour"][s] * f / g for s, g in zip(sides, sides_f, strict=True)) / 2
    planned = own["hour_prior"][hour] + sum(own["hour_prior"][s] for s in sides) / 2
    usual = m * (seen + 5 * m * p * f) / (planned + 5 * m)
    everywhere = (net["recent"] + 100 * mean) / (net["recent_expected"] + 100 * mean)
    a, b = 6 * m * everywhere, 6 * m
    for other, distance in near.items():
        a += links[other]["recent"] / (1 + distance)
        b += links[other]["recent_expected"] / (1 + distance)
    factor = (own["recent"] + 6 * m * a / b) / (own["recent_expected"] + 6 * m)
    return usual, factor, usual * (1 + weight * (factor - 1))


def own_pace(passages, expected, now):
    """Seconds taken over seconds expected, those of half an hour ago worth 1/e, and 1,200 s driven as expected."""
    weights = [math.exp(-(now - at) / 1800) for at, _ in passages]
    took = sum(w * seconds for w, (_, seconds) in zip(weights, passages, strict=True))
    return (took + 1200) / (sum(weights) * expected + 1200)


def left_of_link(running, length, gone):
    """Seconds left: 45 m in which the dwell passes, the rest evenly."""
    gone = min(max(gone, 0), length)
    dwell = min(15, 0.3 * running)
    return running - dwell * min(1, gone / min(45, length)) - (running - dwell) * gone / length


def quantile(centres, table, h):
    """Linear between the bins' centres, flat before the first, proportional to the horizon beyond the last."""
    if h >= centres[-1]:
        return table[-1] * h / centres[-1]
    if h <= centres[0]:
        return table[0]
    b = max(i for i, c in enumerate(centres) if c <= h)
    share = (h - centres[b]) / (centres[b + 1] - centres[b])
    return table[b] * (1 - share) + table[b + 1] * share


def estimate(now, bus, stops, centres, quantiles, hold=(0.0, 0.0), later=1.0):
    """[(base, p10, p50, p90, told) or None] of a bus for its stops from `next` on.

    bus    dict: dist, anchor, next, depart (None under way), stood, stray, plan (None or departures by stop),
           scale, timepoints (stops where it waits for the time)
    stops  [(dist_m, running_s to the next, jam_s on it)]
    hold   share of its earliness that it waits off at a stop, and at a timepoint
    later  by how much running times will have grown in an hour
    """
    waiting = bus["depart"] is not None
    kind = 1 if waiting else 2 if bus["stray"] or bus["stood"] > 120 else 0
    stood = 0 if waiting else min(max(bus["stood"] - 60, 0), 1200)
    at = max(bus["depart"], now) if waiting else max(bus["anchor"], now - 120)
    jams, out = 0.0, []
    low = mid = high = say = now
    for i in range(bus["next"], len(stops)):
        first = i == bus["next"]
        if i == 0:
            at += max(stops[0][0] - 20 - bus["dist"], 0) / 5
        else:
            dist, running, jam = stops[i - 1]
            running *= bus["scale"] * (1 + min(max(at - now, 0) / 3600, 1) * (later - 1))
            jam *= math.exp(-max(at - now, 0) / 1800)
            if first and not waiting:
                gone = bus["dist"] - dist + 20
                early = bus["plan"][i - 1] - at if bus["plan"] and i > 1 and i - 1 in bus["timepoints"] else 0
                if early > 0 and gone <= 40:
                    at += hold[1] * min(early, 300)
                    kind, stood = 2 if bus["stray"] else 0, 0
                left = left_of_link(running + jam, stops[i][0] - dist, gone)
                jams += jam * left / (running + jam)
                at += left + 0.3 * stood
            else:
                if bus["plan"] and not (first and i == 1):
                    at += hold[i - 1 in bus["timepoints"]] * min(max(bus["plan"][i - 1] - at, 0), 300)
                jams += jam
                at += running + jam
        base = max(at, now)
        q10, q50, q90 = (quantile(centres, [row[j] for row in quantiles[kind]], base - now) for j in range(3))
        mid = max(base + q50, mid + 1)
        low = max(min(base + q10 - 0.3 * jams, mid), low + 1)
        if min(low, base) > now + k.HORIZON_S:
            return out + [None] * (len(stops) - i)
        high = max(base + q90 + 0.7 * jams + 0.7 * stood, mid, high + 1)
        say = max(mid - min(0.12 * (mid - now), 120), low, say + 1)
        out.append((base, low, mid, high, say))
    return out
