"""What the stages say is what the view reads, and is answered as documented."""

from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter

from api import schema
from api.app import create_app
from api.view import View
from streams import messages
from streams.engine.city import City
from streams.engine.stage import Record
from streams.engine.track import Track
from streams.gtfs.compile import load
from streams.gtfs.describe import describe
from streams.settings import Settings

DATA = Path(__file__).resolve().parents[2] / "fixtures" / "data"
SECONDS = 420.0  # of the small recording: some headways and one window of congestion


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> tuple[View, float]:
    """The view after some minutes of the small recording, a record a second, and when that was."""
    network = load(DATA / "city.zip", tmp_path_factory.mktemp("cache"))
    settings = replace(Settings(), kafka=replace(Settings().kafka, partitions=1))
    track, city = Track(network, settings), City(network, settings)
    track_state, city_state = track.fresh(0), city.fresh(0)
    view = View(settings.api)
    pings = pl.read_parquet(DATA / "small" / "pings.parquet").sort("timestamp")
    begin = float(np.floor(pings["timestamp"][0]))
    view.apply("network", describe(network), begin)
    offset = 0
    for second in range(int(SECONDS)):
        now = begin + second + 1.0
        rows = pings.filter((pl.col("timestamp") >= now - 1.0) & (pl.col("timestamp") < now))
        value = messages.HEARTBEAT
        if rows.height:
            unknown = [None] * rows.height
            value = messages.encode(
                messages.PING,
                {
                    name: messages.column(kind, rows[name].to_list() if name in rows.columns else unknown)
                    for name, kind in messages.PING.items()
                },
            )
        for found in track.step(track_state, [Record(second, now, value)]):
            if found.topic == "positions":
                view.apply("positions", found.value, now)
                for said in city.step(city_state, [Record(offset, now, found.value)]):
                    view.apply(said.topic, said.value, now)
                offset += 1
    view.loading(None)
    view.publish(begin + SECONDS)
    return view, begin + SECONDS


def test_every_record_of_the_stages_is_read(driven):
    view, _ = driven
    assert view.bad_records == {}
    assert view.foreign_records == 0
    assert set(view.rows_in) >= {"positions", "headways", "arrivals", "congestion", "segments", "indicators"}
    snapshot = view.snapshot
    assert snapshot.vehicles
    assert snapshot.arrivals
    assert snapshot.congestion
    assert snapshot.indicators
    assert any(e.data["headway_s"] is not None for e in snapshot.vehicles.values())
    assert any(e.data["congestion_level"] is not None for e in snapshot.vehicles.values())


async def test_what_they_say_is_answered_as_documented(driven):
    view, now = driven
    transport = httpx.ASGITransport(app=create_app(Settings(), view))
    routes = sorted({e.route_id for e in view.snapshot.vehicles.values() if e.route_id is not None})
    stop_id = max(view.snapshot.arrivals, key=lambda stop: len(view.snapshot.arrivals[stop]))
    contract = {
        "/v1/vehicles": schema.VehicleList,
        "/v1/congestion": schema.CongestionAnswer,
        "/v1/segments": schema.SegmentAnswer,
        "/v1/alerts?ended=true": schema.AlertList,
        f"/v1/stops/{stop_id}/arrivals": schema.ArrivalList,
        **{f"/v1/routes/{route}/headways": schema.HeadwayList for route in routes},
        **{f"/v1/routes/{route}/indicators": schema.IndicatorList for route in routes},
    }
    async with httpx.AsyncClient(transport=transport, base_url="http://koridor") as client:
        for path, model in contract.items():
            answer = await client.get(path)
            TypeAdapter(model).validate_json(answer.content, strict=True)
        arrivals = (await client.get(f"/v1/stops/{stop_id}/arrivals")).json()["data"]
    assert arrivals
    assert all(row["arrival_p10"] <= row["arrival_p50"] <= row["arrival_p90"] for row in arrivals)
    assert all(row["arrival_p90"] > now - 60.0 for row in arrivals)
