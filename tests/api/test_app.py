"""The service as a whole: what stands in OpenAPI is what is answered, errors are problems, a moment is a moment."""

import asyncio
import contextlib
import gzip

import httpx
import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from api import answers, schema
from api.app import create_app, server
from api.view import View
from streams.settings import Api, Settings, WrongSetting
from tests.api.factory import NOW, bus, filled, positions

CONTRACT = {
    "/v1/vehicles": schema.VehicleList,
    "/v1/vehicles?route_id=1&max_age=30&bbox=106,-7,107,-6": schema.VehicleList,
    "/v1/vehicles/B2": schema.VehicleAnswer,
    "/v1/routes": schema.RouteList,
    "/v1/routes/1": schema.RouteAnswer,
    "/v1/routes/1/headways": schema.HeadwayList,
    "/v1/routes/1/indicators": schema.IndicatorList,
    "/v1/stops?q=cendana": schema.StopList,
    "/v1/stops/C/arrivals": schema.ArrivalList,
    "/v1/groups": schema.GroupList,
    "/v1/groups/1:0+2:0/headways": schema.GroupHeadwayList,
    "/v1/congestion": schema.CongestionAnswer,
    "/v1/congestion?resolution=8": schema.CongestionAnswer,
    "/v1/segments": schema.SegmentAnswer,
    "/v1/alerts": schema.AlertList,
    "/ready": schema.Readiness,
    "/health": schema.Health,
}


@pytest.mark.parametrize("path", CONTRACT)
async def test_an_answer_is_what_openapi_says(client, path):
    answer = await client.get(path)
    assert answer.status_code == 200
    TypeAdapter(CONTRACT[path]).validate_json(answer.content, strict=True)
    body = answer.json()
    if path.startswith("/v1"):
        assert body["at"] == NOW
        assert body.get("data") or body.get("features")


@pytest.mark.parametrize("model", schema.EXAMPLES, ids=lambda m: m.__name__)
def test_an_example_is_a_possible_answer(model):
    """It has every field, in the order of the model, and nothing in it is left to a default."""
    example = schema.EXAMPLES[model]
    assert TypeAdapter(model).validate_python(example, strict=True).model_dump_json() == orjson.dumps(example).decode()
    assert example.get("data") or example.get("features")
    with pytest.raises(ValidationError):
        TypeAdapter(model).validate_python({**example, "at": "now"}, strict=True)


@pytest.mark.parametrize("path", [path for path, model in CONTRACT.items() if model in schema.EXAMPLES])
async def test_an_example_has_the_fields_of_an_answer(client, path):
    def fields(value):
        """Names and nesting, without the values; of a list those of its first item."""
        if isinstance(value, dict):
            return {k: fields(v) for k, v in value.items() if k not in ("geometry", "route_candidates")}
        return [fields(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None

    found, example = fields((await client.get(path)).json()), fields(schema.EXAMPLES[CONTRACT[path]])
    if "stops" in found:  # an example of headways has no stops, for brevity
        del found["stops"], example["stops"]
    assert found == example


async def test_openapi_documents_every_path_with_its_errors(client):
    document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) >= {"/v1/vehicles", "/v1/stops/{stop_id}/arrivals", "/v1/live", "/metrics"}
    responses = document["paths"]["/v1/vehicles"]["get"]["responses"]
    assert "application/problem+json" in responses["422"]["content"]
    assert responses["200"]["content"]["application/json"]["example"]["data"]
    assert "ProblemDetails" in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/v1/vehicles/none", 404, "not-found"),
        ("/v1/routes/none", 404, "not-found"),
        ("/v1/routes/none/headways", 404, "not-found"),
        ("/v1/groups/none/headways", 404, "not-found"),
        ("/v1/stops/none/arrivals", 404, "not-found"),
        ("/v1/none", 404, "not-found"),
        ("/v1/vehicles?bbox=1,2,3", 422, "invalid-parameter"),
        ("/v1/vehicles?bbox=3,2,1,4", 422, "invalid-parameter"),
        ("/v1/vehicles?bbox=1,2,3,nan", 422, "invalid-parameter"),
        ("/v1/vehicles?max_age=-1", 422, "invalid-parameter"),
        ("/v1/vehicles?max_age=soon", 422, "invalid-parameter"),
        ("/v1/stops?near=91,0", 422, "invalid-parameter"),
        ("/v1/stops?limit=0", 422, "invalid-parameter"),
        ("/v1/congestion?lane=bicycle", 422, "invalid-parameter"),
        ("/v1/congestion?resolution=11", 422, "invalid-parameter"),
        ("/v1/congestion?heading=8", 422, "invalid-parameter"),
        ("/v1/live?types=vehicle,tram", 422, "invalid-parameter"),
    ],
)
async def test_an_error_is_a_problem_document(client, path, status, name):
    answer = await client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert problem["type"] == f"urn:koridor:problem:{name}"
    assert problem["status"] == status
    assert problem["instance"] == path.partition("?")[0]
    assert problem["detail"]
    if status == 422:
        assert problem["errors"][0]["parameter"] in path


async def test_another_method_is_a_problem_too(client):
    answer = await client.post("/v1/vehicles")
    assert answer.status_code == 405
    assert answer.json()["type"] == "urn:koridor:problem:method-not-allowed"
    assert answer.headers["allow"]


async def test_a_bug_is_a_problem_too(client, service):
    @service.api.get("/broken")
    async def broken():
        raise RuntimeError("secret")

    service.api.router.routes.insert(0, service.api.router.routes.pop())
    answer = await client.get("/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


async def test_until_it_is_whole_it_says_loading(client, view):
    view.loading("reading back arrivals")
    view.publish(NOW + 1)
    for path in ("/ready", "/v1/vehicles", "/v1/network", "/v1/live"):
        answer = await client.get(path)
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:koridor:problem:loading"
        assert "reading back arrivals" in answer.json()["detail"]
        assert answer.headers["retry-after"]
    assert (await client.get("/health")).status_code == 200


async def test_an_answer_is_one_moment_and_the_next_one_is_new(client, view):
    first = (await client.get("/v1/vehicles/B1")).json()
    view.apply("positions", positions(bus("B1", NOW + 5)), NOW + 5)
    assert (await client.get("/v1/vehicles/B1")).json() == first  # not published yet
    view.publish(NOW + 7)
    second = (await client.get("/v1/vehicles/B1")).json()
    assert second["data"]["timestamp"] == NOW + 5
    assert second["data"]["age_s"] == 2.0


async def test_while_the_view_is_written_every_answer_is_whole(client, view):
    """Two vehicles always move together; no request may ever see one without the other."""

    async def write():
        for i in range(1, 60):
            for vehicle_id in ("B1", "B2"):
                view.apply("positions", positions(bus(vehicle_id, NOW + i)), NOW + i)
                await asyncio.sleep(0)
            view.publish(NOW + i)

    async def read():
        seen = set()
        while not writing.done():
            rows = {v["vehicle_id"]: v for v in (await client.get("/v1/vehicles?route_id=1")).json()["data"]}
            assert rows["B1"]["timestamp"] == rows["B2"]["timestamp"]
            seen.add(rows["B1"]["timestamp"])
            await asyncio.sleep(0)
        return seen

    writing = asyncio.create_task(write())
    seen = await read()
    await writing
    assert len(seen) > 5


async def test_who_has_it_already_is_told_so(client, view):
    first = await client.get("/v1/routes/1")
    again = await client.get("/v1/routes/1", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    live = await client.get("/v1/vehicles")
    view.publish(NOW + 2)
    newer = await client.get("/v1/vehicles", headers={"if-none-match": live.headers["etag"]})
    assert newer.status_code == 200  # ages have changed


async def test_a_large_answer_is_zipped_for_who_can_read_it(client):
    async with client.stream("GET", "/v1/network", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        zipped = b"".join([chunk async for chunk in answer.aiter_raw()])
    plain = await client.get("/v1/network", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(zipped) == plain.content


async def test_a_very_large_answer_is_zipped_once_for_all_who_wait(client, view, monkeypatch):
    view.apply("positions", positions(*[bus(f"V{i}", NOW + 1) for i in range(200)]), NOW + 1)
    view.publish(NOW + 1)
    calls = []
    zipped = answers.zipped
    monkeypatch.setattr(answers, "zipped", lambda body: calls.append(len(body)) or zipped(body))
    await client.get("/v1/vehicles", headers={"accept-encoding": "identity"})  # the answer is kept from here on
    found = await asyncio.gather(*[client.get("/v1/vehicles", headers={"accept-encoding": "gzip"}) for _ in range(5)])
    assert {len(answer.json()["data"]) for answer in found} == {204}
    assert len(calls) == 1
    assert calls[0] > answers.ZIP_ASIDE


async def test_other_origins_may_call_only_when_set():
    async def allowed(origins):
        settings = Settings(api=Api(cors_origins=origins))
        transport = httpx.ASGITransport(app=create_app(settings, filled()))
        async with httpx.AsyncClient(transport=transport, base_url="http://koridor") as client:
            await client.get("/v1/vehicles")  # a kept answer must carry the header as well
            answer = await client.get("/v1/vehicles", headers={"origin": "https://plan.example"})
            return answer.headers.get("access-control-allow-origin")

    assert await allowed("") is None
    assert await allowed("*") == "*"
    assert await allowed("https://plan.example") == "https://plan.example"
    assert await allowed("https://other.example") is None


def test_a_setting_that_cannot_be_is_refused():
    with pytest.raises(WrongSetting, match="KORIDOR_API_DRIVES_ON"):
        create_app(Settings(api=Api(drives_on="middle")), filled())


async def test_metrics_count_by_resource_and_not_by_id(client):
    for path in ("/v1/vehicles/B1", "/v1/vehicles/B2", "/v1/stops/C/arrivals", "/v1/none/x", "/nothing"):
        await client.get(path)
    text = (await client.get("/metrics")).text
    assert 'koridor_api_requests_total{resource="vehicles",status="200"} 2.0' in text
    assert 'koridor_api_requests_total{resource="stops/arrivals",status="200"} 1.0' in text
    assert 'koridor_api_requests_total{resource="other",status="404"} 1.0' in text
    assert 'koridor_api_entities{kind="vehicle"} 4.0' in text
    assert 'koridor_api_rows_in_total{topic="arrivals"} 3.0' in text
    assert "koridor_api_ready 1.0" in text


@contextlib.asynccontextmanager
async def running(view: View):
    service = create_app(Settings(), view)
    uvicorn = server(service, "127.0.0.1", 0)
    serving = asyncio.create_task(uvicorn.serve())
    while not uvicorn.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{uvicorn.servers[0].sockets[0].getsockname()[1]}", uvicorn
    finally:
        uvicorn.should_exit = True
        service.hub.close()
        await serving


async def test_the_live_stream_over_http_and_an_orderly_end():
    view = filled()
    async with (
        running(view) as (url, uvicorn),
        httpx.AsyncClient(base_url=url) as client,
        client.stream("GET", "/v1/live?types=vehicle&route_id=1") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: reset"
        assert '"B1"' in await anext(lines)
        assert await anext(lines) == ""
        view.apply("positions", positions(bus("B1", NOW + 1)), NOW + 1)
        view.publish(NOW + 1)
        assert await anext(lines) == "event: update"
        assert "koridor_api_live_clients 1.0" in (await client.get("/metrics")).text
        uvicorn.handle_exit(2, None)  # as Ctrl-C does
        assert [line async for line in lines]  # the rest of the event, then the end
        uvicorn._captured_signals.clear()  # uvicorn would raise it again when it has stopped


@pytest.mark.parametrize(
    "path", [*CONTRACT, "/v1/network", "/", "/metrics", "/openapi.json", "/v1/vehicles/none", "/v1/live"]
)
async def test_head_is_get_without_its_body(client, path):
    head = await client.head(path)
    assert head.content == b""
    if path == "/v1/live":  # a GET would not end
        assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        return
    get = await client.get(path)
    assert head.status_code == get.status_code
    if path != "/metrics":  # it counts its own requests
        assert head.headers == get.headers
