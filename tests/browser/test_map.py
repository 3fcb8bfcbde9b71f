"""The map in a real browser, against the real service with a view that the test fills."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import orjson
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from api import schema
from api.app import create_app, server
from api.explain import Explainer, Explanation
from api.problems import Problem
from api.view import View
from streams import messages, polyline
from streams.settings import Settings
from tests.api import factory
from tests.browser.chromium import ARGS, chromium_env, chromium_path

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
PATIENCE_S = 60.0  # software rendering on a loaded machine


class Told(Explainer):
    """Explanations that are there without a tracker."""

    def __init__(self, explained: dict[str, Explanation]) -> None:
        super().__init__(None, 1.0)
        self.explained = explained

    async def explain(self, vehicle_id: str, minutes: int, gone: object) -> Explanation:
        if vehicle_id not in self.explained:
            raise Problem(404, "not-explained", f"There is no explanation of {vehicle_id!r}.")
        return self.explained[vehicle_id]


@dataclass
class Room:
    """A page, the view behind it, and what the browser complained about."""

    url: str
    page: Page
    view: View
    started: float
    explained: dict[str, Explanation]
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def tell(self, topic: str, value: bytes) -> None:
        now = time.time()
        self.view.apply(topic, value, now)
        self.view.publish(now)

    def bus(self, vehicle_id: str, **more: object) -> dict[str, object]:
        return factory.bus(vehicle_id, time.time(), **more)

    async def open(self, hash: str = "") -> None:
        """Load the page and wait until buses stand on the map."""
        await self.page.goto("about:blank")
        await self.page.goto(f"{self.url}/{hash}")
        await self.until("globalThis.koridor?.buses.fleet.size > 0 && koridor.map.areTilesLoaded()")

    async def until(self, condition: str) -> None:
        """Wait, frame by frame, until a JavaScript condition holds in the page."""
        wait = f"new Promise((done) => {{ const look = () => ({condition}) ? done() : setTimeout(look, 30); look(); }})"
        await asyncio.wait_for(self.page.evaluate(wait), PATIENCE_S)

    async def click_at(self, what: str) -> None:
        """Click on the canvas where `what` (JavaScript giving lon, lat) lies."""
        point = await self.page.evaluate(f"(() => {{ const p = koridor.map.project({what}); return [p.x, p.y]; }})()")
        box = await self.page.locator("#map").bounding_box()
        assert box is not None
        await self.page.mouse.click(box["x"] + point[0], box["y"] + point[1])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGS, env=chromium_env())
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="module")
async def room(browser: Browser) -> AsyncIterator[Room]:
    started = time.time()
    view = factory.filled(now=started)
    example = schema.EXAMPLES[schema.ExplanationAnswer]["data"]
    told = orjson.dumps({**example, "network": view.snapshot.network.hash})
    explained = {"B1": Explanation(told, b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')}
    service = create_app(Settings(), view, explainer=Told(explained))
    uvicorn = server(service, "127.0.0.1", 0)
    serving = asyncio.create_task(uvicorn.serve())
    while not uvicorn.started:
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{uvicorn.servers[0].sockets[0].getsockname()[1]}"
    context = await browser.new_context(viewport={"width": 1000, "height": 620})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    expect.set_options(timeout=PATIENCE_S * 1000)
    found = Room(url, page, view, started, explained)
    page.on("console", lambda m: found.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    try:
        yield found
    finally:
        await context.close()
        service.hub.close()
        uvicorn.should_exit = True
        await serving


def ours(complaints: list[str]) -> list[str]:
    # Software rendering makes Chromium complain about itself.
    return [c for c in complaints if "GL Driver Message" not in c and "WebGL" not in c and "SwiftShader" not in c]


async def test_it_loads_without_a_complaint_and_asks_nobody_else(room):
    await room.open()
    await expect(room.page.locator("#status-text")).to_contain_text("Live · data")
    await expect(room.page.locator("#n-vehicles")).to_have_text("4")
    await expect(room.page.locator("#n-bunched")).to_have_text("1")
    await expect(room.page.locator("#veil")).to_be_hidden()
    await expect(room.page.locator("[data-route]")).to_have_count(2)
    await expect(room.page.locator("[data-alert]")).to_contain_text("Buses bunched on 1")
    drawn = "koridor.map.queryRenderedFeatures({layers: ['routes']}).length"
    await room.until(f"{drawn} > 0")
    await room.until("koridor.map.queryRenderedFeatures({layers: ['cells']}).length > 0")
    outside = [u for u in room.requests if not u.startswith((room.url, "data:", "blob:", "about:"))]
    assert outside == []
    assert any("maplibre-gl-worker" in u for u in room.requests)
    assert ours(room.complaints) == []


async def test_a_bus_glides_to_its_newest_ping_and_not_beyond(room):
    await room.open()
    await room.until("koridor.buses.fleet.get('B1').shownDist === 1200")
    room.tell("positions", factory.positions(room.bus("B1", dist_m=1500.0)))
    await room.until("koridor.buses.fleet.get('B1').shownDist > 1200")
    await room.until("koridor.buses.fleet.get('B1').shownDist === 1500")
    lit = """(() => {
      const {canvas, fleet, ratio} = koridor.buses, b = fleet.get('B1');
      const [r, g, bl, a] = canvas.getContext('2d').getImageData(b.sx * ratio, b.sy * ratio, 1, 1).data;
      return `${r},${g},${bl},${a}`;
    })()"""
    assert await room.page.evaluate(lit) == "70,195,123,255"  # green: its headway is even
    room.tell("positions", factory.positions(room.bus("B7", dist_m=50.0)))
    await room.until("koridor.buses.fleet.has('B7')")


async def test_a_bus_without_pings_is_marked_stale_and_then_gone(room):
    await room.open()
    assert await room.page.evaluate("koridor.buses.fleet.get('B3').vehicle.stale") is True
    assert await room.page.evaluate("koridor.buses.fleet.get('B1').vehicle.stale") is False
    await expect(room.page.locator("#n-stale")).to_have_text("1")
    await room.page.locator('[data-route="1"]').click()
    await room.page.locator('[data-bus="B3"]').click()
    await expect(room.page.locator("#detail")).to_contain_text("stale")
    room.view.publish(room.started + 540.0)  # B3's ping is 90 s older than the others'
    await room.until("!koridor.buses.fleet.has('B3') && koridor.buses.fleet.has('B1')")
    await expect(room.page.locator("#detail")).to_contain_text("No ping of this bus")


async def test_a_click_on_a_stop_shows_when_the_next_bus_comes(room):
    await room.open(f"#map=15.00/{factory.LAT + 3 * factory.STEP_DEG}/{factory.LON}")
    await room.until("koridor.map.queryRenderedFeatures({layers: ['stops']}).length > 0")
    await room.click_at(f"[{factory.LON}, {factory.LAT + 3 * factory.STEP_DEG}]")
    detail = room.page.locator("#detail")
    await expect(detail.locator("h3")).to_have_text("Dukuh")
    await expect(detail.locator(".arrivals [data-trip]")).to_have_count(1)
    await expect(detail.locator(".minutes b")).to_have_text("4–7 min")
    await expect(detail.locator(".minutes small")).to_have_text(re.compile(r"^\d\d:\d\d–\d\d:\d\d$"))
    await expect(detail.locator(".scale")).to_contain_text("now102030 min")
    await expect(detail.get_by_role("img")).to_have_attribute("aria-label", re.compile("^Four in five come between"))
    await expect(detail.locator(".arrivals")).to_contain_text("Eboni")
    await expect(detail.locator(".lines li")).to_have_count(1)  # the way back has no bus in sight
    await expect(detail.locator(".lines li")).to_contain_text("Akasia")
    await expect(detail.locator(".lines b")).to_have_text(
        re.compile("every 5 min|first bus at 05:0|no more buses today")
    )
    assert "stop=D" in room.page.url
    row = factory.arrival("B2", "D", 4, 9.0, made_at=time.time(), arrival_p50=time.time() + 540.0)
    room.tell("arrivals", factory.record(messages.ARRIVAL, row))
    await expect(detail.locator(".arrivals [data-trip]")).to_have_count(2)  # asked for again by itself
    await room.page.keyboard.press("Escape")
    await expect(detail).to_be_hidden()
    assert "stop=" not in room.page.url


async def test_a_click_on_a_bus_shows_its_headway_and_leads_to_the_bus_ahead(room):
    await room.open(f"#map=14.50/{factory.LAT + 0.009}/{factory.LON}")
    await room.until("koridor.buses.fleet.get('B2').seen")
    box = await room.page.locator("#map").bounding_box()
    place = "(() => { const b = koridor.buses.fleet.get('B2'); return [b.sx, b.sy]; })()"
    x, y = await room.page.evaluate(place)
    await room.page.mouse.click(box["x"] + x, box["y"] + y)
    detail = room.page.locator("#detail")
    await expect(detail.locator("h3")).to_have_text("B2")
    await expect(detail.locator(".headline")).to_contain_text("45 s behind · bunched")
    await expect(detail).to_contain_text("planned 5 min 00 s")
    await detail.get_by_role("button", name="B1").click()
    await expect(detail.locator("h3")).to_have_text("B1")
    assert "vehicle=B1" in room.page.url


async def test_a_bus_off_its_route_or_out_of_service_is_so_since_a_time(room):
    await room.open("#vehicle=B1")
    since = datetime.fromtimestamp(room.started - 130.0, ZoneInfo("Asia/Jakarta")).strftime("%H:%M:%S")
    detail = room.page.locator("#detail")
    for said, words in (
        ({"off_route": True}, f"off route since {since}"),
        ({"trip_type": "Deadhead"}, f"Deadhead since {since}"),
    ):
        bus = room.bus("B1", phase_since=room.started - 130.0, **said)
        room.tell("positions", factory.positions(bus))
        await expect(detail.locator(".flag")).to_have_text([words])
    room.tell("positions", factory.positions(room.bus("B1", off_route=True)))  # not sure of it yet
    await expect(detail.locator(".flag")).to_have_text(["off route"])


async def test_segments_are_drawn_in_the_colour_of_their_traffic(room):
    middle = f"{factory.LAT + 0.5 * factory.STEP_DEG}/{factory.LON}"
    await room.open(f"#map=15.00/{middle}&layers=routes,segments,buses")
    drawn = "koridor.map.queryRenderedFeatures({layers: ['segments']})"
    await room.until(f"{drawn}.length > 0")
    assert await room.page.evaluate(f"{drawn}[0].properties.congestion_level") == "CONGESTION"
    box = await room.page.locator("#map").bounding_box()
    for dx in range(-8, 9, 2):  # it is drawn beside the middle of the street
        await room.page.mouse.move(box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + 20)
        if await room.page.locator("#tip").is_visible():
            break
    await expect(room.page.locator("#tip")).to_contain_text("Blok Akasia → Blok Beringin: 14 km/h of 32, 100 % of it")
    await room.page.locator('[data-layer="segments"]').click()
    assert await room.page.evaluate("koridor.map.getLayoutProperty('segments', 'visibility')") == "none"


async def test_a_route_shows_the_corridor_that_it_shares(room):
    group = {"route_group_id": "1:0+2:0"}
    at = time.time() - 5.0
    rows = [
        factory.headway("B2", "B9", 30.0, event_timestamp=at, **group),
        factory.headway("B9", "B1", 90.0, route_id="2", event_timestamp=at, **group),
    ]
    room.tell("group_headways", factory.record(messages.GROUP_HEADWAY, *rows))
    await room.open("#route=1")
    corridor = room.page.locator('[data-group="1:0+2:0"]')
    await expect(corridor.locator("summary")).to_have_text("→ Eboni, with 2 a bus every 30 s")
    await corridor.locator("summary").click()
    await expect(corridor.locator("tr")).to_have_count(2)
    room.tell("positions", factory.positions(room.bus("B1", dist_m=1500.0)))  # drawn again, it stays unfolded
    await corridor.get_by_role("button", name="B9").click()
    await expect(room.page.locator("#detail h3")).to_have_text("B9")


async def test_figures_of_few_headways_are_shown_as_such(room):
    now = time.time()
    times = {"made_at": now - 5.0, "window_start": now - 3600.0}
    rows = [factory.indicator(d, n_headways=n, **times) for d, n in ((0, 4), (1, 5))]
    room.tell("indicators", factory.record(messages.INDICATOR, *rows))
    await room.open("#route=1")
    cells = room.page.locator(".measures tr").nth(1).locator("td")
    await expect(cells).to_have_text(["Headway", "4:50", "4:50"])
    await expect(cells.nth(1)).to_have_class("few")
    await expect(cells.nth(2)).not_to_have_class("few")


async def test_advice_to_hold_and_the_way_of_a_detour_are_shown_as_such(room):
    row = factory.alert(
        "bunching:1:0:B2", vehicle_id="B2", active_from=time.time() - 60.0, revision=1, hold_stop_id="D", hold_s=90.0,
        hold_wait_change_s=-25.0, description="B2 is close. Advice: hold B2 at Dukuh for 90 s.",
    )  # fmt: skip
    room.tell("alerts", factory.record(messages.ALERT, row))
    await room.open("#vehicle=B2")
    for place in ("#alert-list", "#detail"):
        await expect(room.page.locator(f"{place} .advice")).to_have_text("Hold 1 min 30 s at Dukuh · mean wait −25 s")
    await expect(room.page.locator("#alert-list")).to_contain_text("B2 is close.")
    await expect(room.page.locator("#alert-list")).not_to_contain_text("hold B2 at")
    way = polyline.encode([(factory.LAT, factory.LON), (factory.LAT + 0.002, factory.LON + 0.002)])
    alert = f"{{alert_id: 'd', kind: 'detour', severity: 'INFO', route_id: '1', active_from: 0, path: {way!r}}}"
    await room.page.evaluate(f"koridor.live.put({{type: 'alert', id: 'd', attributes: {alert}}}, true)")
    await room.page.evaluate(f"koridor.map.jumpTo({{center: [{factory.LON}, {factory.LAT}], zoom: 14}})")
    await room.until("koridor.map.queryRenderedFeatures({layers: ['detours']}).length > 0")


async def test_why_a_bus_is_said_to_be_where_it_is(room):
    await room.open("#vehicle=B1")
    await room.page.get_by_role("button", name="Why does Koridor say so?").click()
    why = room.page.locator("#why")
    await expect(why.locator("tr")).to_have_count(2)
    await expect(why.locator("tr").nth(1)).to_contain_text("service 1 · to Eboni")
    await expect(why.locator("tr").nth(1)).to_contain_text("97 % service 1 · to Eboni, 3 % off route 1 · to Eboni")
    await room.until("document.querySelector('#why img').naturalWidth > 0")
    assert "why=B1" in room.page.url
    await room.page.keyboard.press("Escape")
    await expect(why).to_be_hidden()
    await expect(room.page.locator("#detail h3")).to_have_text("B1")  # one step back at a time
    await room.page.set_viewport_size({"width": 390, "height": 800})
    await expect(room.page.locator("#alerts-panel")).to_have_class("panel side")
    room.explained.clear()
    await room.open("#vehicle=B2&why=B2")
    await expect(why).to_contain_text("There is no explanation of 'B2'.")
    await why.get_by_role("button", name="Close").click()
    await expect(why).to_be_hidden()
    assert [c for c in ours(room.complaints) if "404" not in c] == []


async def test_what_is_looked_at_stands_in_the_address_and_comes_back(room):
    await room.open()
    await room.page.locator('[data-route="2"]').click()
    await expect(room.page.locator("#route-detail h3")).to_have_text("Waru - Jati")
    await room.page.locator('[data-layer="congestion"]').click()
    await room.until("!koridor.map.isMoving()")
    await room.page.evaluate("koridor.map.jumpTo({center: [106.815, -6.195], zoom: 13.25})")
    await room.until("location.hash.includes('map=13.25/-6.195')")
    address = room.page.url
    assert "route=2" in address
    assert "layers=routes,stops,buses" in address
    await room.open("#" + address.partition("#")[2])
    await expect(room.page.locator('[data-route="2"]')).to_have_attribute("aria-current", "true")
    await expect(room.page.locator('[data-layer="congestion"]')).to_have_attribute("aria-pressed", "false")
    zoom, lat, lon = await room.page.evaluate(
        "[koridor.map.getZoom(), koridor.map.getCenter().lat, koridor.map.getCenter().lng]"
    )
    assert (round(zoom, 2), round(lat, 4), round(lon, 4)) == (13.25, -6.195, 106.815)
    visibility = await room.page.evaluate("koridor.map.getLayoutProperty('cells', 'visibility')")
    assert visibility == "none"
    assert room.page.url == address


async def test_the_search_finds_buses_stops_and_routes_and_enter_opens_the_best(room):
    await room.open()
    search = room.page.locator("#search")
    await search.fill("b2")
    await expect(room.page.locator("[data-bus-hit]")).to_have_count(1)
    await search.press("Enter")
    await expect(room.page.locator("#detail h3")).to_have_text("B2")
    await search.fill("dukuh")
    await expect(room.page.locator("[data-stop] small")).to_have_text(re.compile("→ .+"))
    await search.press("Enter")
    await expect(room.page.locator("#detail h3")).to_have_text("Dukuh")
    await search.fill("1")
    await search.press("Enter")
    await expect(room.page.locator('[data-route="1"]')).to_have_attribute("aria-current", "true")
    await search.press("Enter")
    await expect(room.page.locator('[data-route="1"]')).to_have_attribute("aria-current", "true")
    await search.fill("nothing is called so")
    await search.press("Enter")
    await expect(room.page.locator("#detail h3")).to_have_text("Dukuh")
    assert ours(room.complaints) == []


async def test_everything_can_be_reached_by_keyboard(room):
    await room.open()
    await room.page.keyboard.press("/")
    await room.page.keyboard.type("dukuh")
    await expect(room.page.locator("[data-stop]")).to_have_count(1)
    await room.page.locator("[data-stop]").focus()
    await room.page.keyboard.press("Enter")
    await expect(room.page.locator("#detail h3")).to_have_text("Dukuh")
    await room.page.keyboard.press("Escape")
    await room.page.keyboard.press("/")
    await room.page.keyboard.press("Escape")
    await expect(room.page.locator("#stop-hits")).to_be_hidden()
    await room.page.locator("[data-alert]").focus()
    await room.page.keyboard.press("Enter")
    await expect(room.page.locator("#detail h3")).to_have_text("B2")
    await room.page.locator('[data-route="1"]').focus()
    await room.page.keyboard.press("Enter")
    await expect(room.page.locator("#route-detail .ladder [data-bus]")).to_have_count(3)


async def test_minutes_and_seconds_carry_over(room):
    await room.open()
    said = await room.page.evaluate(
        "import('/format.js').then(({short}) => [0, -0.2, 59.4, 59.6, 119.6, 1800, -888.2, null].map(short))"
    )
    assert said == ["0:00", "0:00", "0:59", "1:00", "2:00", "30:00", "−14:48", "–"]
    long = await room.page.evaluate(
        "import('/format.js').then(({duration}) => [-0.2, -59.6, 59.4, 3600].map(duration))"
    )
    assert long == ["0 s", "−1 min 00 s", "59 s", "1 h 00 min"]


async def test_a_service_that_goes_away_shows(room):
    await room.open()
    await expect(room.page.locator("#status")).to_have_attribute("data-state", "live")
    await room.page.context.set_offline(True)
    await room.page.evaluate("koridor.live.connect()")
    await expect(room.page.locator("#status")).to_have_attribute("data-state", "lost")
    await expect(room.page.locator("#status-text")).to_contain_text("No connection · data")
    await room.page.context.set_offline(False)
    await room.page.evaluate("koridor.live.connect()")
    await expect(room.page.locator("#status")).to_have_attribute("data-state", "live")


async def test_until_the_view_is_whole_the_page_says_what_it_waits_for(room):
    room.view.loading("reading back arrivals")
    room.view.publish(time.time() + 1)
    await room.page.goto(room.url)
    await expect(room.page.locator("#veil-text")).to_contain_text("reading back arrivals")
    room.view.loading(None)
    room.view.publish(time.time() + 2)
    await expect(room.page.locator("#veil")).to_be_hidden()
