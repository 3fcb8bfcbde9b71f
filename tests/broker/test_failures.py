"""The worker on the real broker, with steps that raise, processes that are killed and partitions that move."""

import asyncio
import os
import random
from contextlib import ExitStack
from dataclasses import replace

import orjson
import pytest

from streams import clients, topics
from streams.broker import Broker
from streams.settings import Settings, WrongSetting
from tests.broker.counting import Counting
from tests.broker.pipeline import Pipeline

SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)


@pytest.fixture(autouse=True)
def say_seed():
    print(f"KILL_SEED={SEED}")  # shown when the test fails


async def test_outputs_are_those_of_the_stage_and_a_clean_restart_repeats_nothing(settings: Settings, tmp_path):
    async with Pipeline.open(settings, tmp_path) as pipeline:
        worker = pipeline.start_worker()
        async with pipeline.feed(SEED):
            await pipeline.all_move(60)
            assert worker.terminate() == 0
            pipeline.start_worker()
            await pipeline.all_move(60)
        assert (await pipeline.check(Counting()))["repeats"] == 0
        assert not (await pipeline.read("rejects", settings.kafka.partitions))[0]


async def test_a_step_that_raises_once_loses_and_changes_nothing(settings: Settings, tmp_path):
    async with Pipeline.open(settings, tmp_path) as pipeline:
        worker = pipeline.start_worker()
        async with pipeline.feed(SEED):
            await pipeline.all_move(60)
            (pipeline.orders / "raise-once").write_text(str(pipeline.sent + 30))
            await pipeline.until(lambda: worker.said("to raise on"), "the step raised")
            await pipeline.all_move()
        await pipeline.check(Counting())
        assert not any((await pipeline.read("rejects", settings.kafka.partitions)).values())


async def test_a_record_that_raises_always_is_rejected_and_the_others_go_on(settings: Settings, tmp_path):
    async with Pipeline.open(settings, tmp_path) as pipeline:
        worker = pipeline.start_worker()
        async with pipeline.feed(SEED):
            await pipeline.all_move(60)
            bad = pipeline.sent + 30
            (pipeline.orders / "raise-always").write_text(str(bad))
            await pipeline.until(lambda: worker.said("is rejected as ENGINE_ERROR"), "the record was rejected")
            await pipeline.all_move()
        await pipeline.check(Counting())
        rejects = [r for p in (await pipeline.read("rejects", settings.kafka.partitions)).values() for r in p]
        assert len(rejects) == 1
        said = orjson.loads(rejects[0].value)
        assert said["reason"] == ["ENGINE_ERROR"]
        assert said["source_topic"] == ["pings"]
        records = (await pipeline.read("pings", settings.kafka.partitions))[said["source_partition"][0]]
        raw = records[said["source_offset"][0]].value
        assert bad in [n for _, n in orjson.loads(raw)]
        assert said["raw_length"] == [len(raw)]
        alerts = [orjson.loads(r.value) for r in (await pipeline.read("alerts", 1))[0]]
        assert [a["kind"] for a in alerts] == [["engine_error"]]
        assert worker.log.read_text().count("is rejected as ENGINE_ERROR") == 1


async def test_killed_at_random_moments_and_inside_a_snapshot(settings: Settings, tmp_path):
    rng = random.Random(SEED)
    async with Pipeline.open(settings, tmp_path) as pipeline:
        async with pipeline.feed(SEED):
            worker = pipeline.start_worker()
            await pipeline.all_move(60)
            for _ in range(3):
                await asyncio.sleep(rng.uniform(0.0, 1.5))  # the random moment, not a wait for something
                worker.kill()
                worker = pipeline.start_worker()
                await pipeline.all_move()
            (pipeline.orders / "hang-in-dump").touch()
            await pipeline.until((pipeline.orders / "hanging").exists, "a snapshot was being made")
            worker.kill()
            (pipeline.orders / "hang-in-dump").unlink()
            pipeline.start_worker()
            await pipeline.all_move()
        said = await pipeline.check(Counting())
        print(said)
        assert said["rows"] > 100


async def test_workers_join_leave_and_die(settings: Settings, tmp_path):
    async with Pipeline.open(settings, tmp_path) as pipeline:
        async with pipeline.feed(SEED):
            first = pipeline.start_worker()
            await pipeline.all_move(60)
            second = pipeline.start_worker()
            await pipeline.until(lambda: second.said("owns partitions ["), "the second worker got partitions")
            await pipeline.all_move()
            assert first.terminate() == 0
            await pipeline.all_move()
            third = pipeline.start_worker()
            await pipeline.until(lambda: third.said("owns partitions ["), "the third worker got partitions")
            await pipeline.all_move()
            second.kill()
            await pipeline.all_move()
        print(await pipeline.check(Counting()))


async def test_a_broker_that_goes_away_and_comes_back(settings: Settings, tmp_path):
    with Broker(tmp_path / "broker") as broker:
        kafka = replace(settings.kafka, brokers=broker.brokers)
        async with Pipeline.open(replace(settings, kafka=kafka), tmp_path) as pipeline:
            pipeline.start_worker()
            await pipeline.all_move(60)
            with ExitStack() as stack:
                async with pipeline.feed(SEED):
                    await asyncio.sleep(1.0)  # some records are on their way, whichever
                    broker.stop()
                    stack.enter_context(Broker(tmp_path / "broker", port=broker.port))
                    await pipeline.all_move(60)
                print(await pipeline.check(Counting()))
                assert pipeline.workers[0].terminate() == 0


async def test_topics_with_another_number_of_partitions_are_refused(settings: Settings):
    assert len(await clients.ensure_topics(settings)) == len(topics.ALL)
    assert await clients.ensure_topics(settings) == []
    other = replace(settings, kafka=replace(settings.kafka, partitions=8))
    with pytest.raises(WrongSetting, match=r"has 4 partitions\. Set KORIDOR_PARTITIONS=4; or, to change it: stop"):
        await clients.ensure_topics(other)


async def test_no_broker_there_is_said():
    settings = replace(Settings(), kafka=replace(Settings().kafka, brokers="127.0.0.1:9"))
    with pytest.raises(WrongSetting, match=r"KORIDOR_BROKERS='127\.0\.0\.1:9': no broker answered"):
        await clients.ensure_topics(settings, wait_s=0.1)
