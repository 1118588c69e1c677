"""Tasks on both databases: one per event, lent to one worker at a time, taken over from the dead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tidewheel.clock import DAY, HOUR, MINUTE, SECOND, Micros
from tidewheel.database.connect import parse_url
from tidewheel.database.open import Database
from tidewheel.errors import Conflict, Invalid, NotFound
from tidewheel.monitors.alert import Alert
from tidewheel.triggers.definition import Missed, alert, schedule, trigger
from tidewheel.triggers.fire import Armed, Eyes, Watch
from tidewheel.triggers.record import DEATHS, Tasks
from tidewheel.triggers.task import Order, Outcome, Task
from tidewheel.triggers.work import Worker


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = Micros(1_767_225_600_000_000)  # 2026-01-01T00:00:00Z

    def __call__(self) -> Micros:
        return self.now

    def move(self, span: int) -> None:
        self.now = Micros(self.now + span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tasks(database: Database, clock: Clock) -> Tasks:
    return Tasks(database, clock)


def order(key: str = "k", *, lane: str = "model:eta", retries: int = 0, due_at: int = 0, replaces: bool = False) -> Order:
    return Order(
        trigger="nightly",
        key=key,
        target="model:eta",
        environment="dev",
        lane=lane,
        due_at=Micros(due_at),
        reason="because",
        actor="ann",
        retries=retries,
        replaces=replaces,
    )


def claim(tasks: Tasks, worker: str = "w1") -> Task:
    found = tasks.claim(worker, environment="dev")
    assert found is not None
    return found


def test_an_event_has_one_task_however_often_it_is_seen(tasks: Tasks) -> None:
    assert tasks.add(order()) is not None
    assert tasks.add(order()) is None
    assert tasks.add(msgspec.structs.replace(order(), environment="prod")) is not None


def test_a_task_is_lent_to_one_worker_and_not_before_it_is_due(tasks: Tasks, clock: Clock) -> None:
    tasks.add(order(due_at=clock.now + HOUR))
    assert tasks.claim("w1", environment="dev") is None
    clock.move(HOUR)
    assert tasks.claim("w1", environment="prod") is None
    assert claim(tasks).owner == "w1"
    assert tasks.claim("w2", environment="dev") is None


def test_tasks_of_one_lane_run_one_after_the_other(tasks: Tasks) -> None:
    for key, lane in (("1", "a"), ("2", "a"), ("3", "b")):
        tasks.add(order(key, lane=lane))
    first = claim(tasks)
    assert claim(tasks).lane != first.lane
    assert tasks.claim("w3", environment="dev") is None
    tasks.finish(first, Outcome("ok"))
    assert claim(tasks).lane == first.lane


def test_many_workers_at_once_start_each_task_once(database: Database, clock: Clock) -> None:
    tasks = Tasks(database, clock)
    for number in range(20):
        tasks.add(order(str(number), lane=str(number)))
    ran: list[str] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        while (held := tasks.claim(name, environment="dev")) is not None:
            with lock:
                ran.append(held.key)
            tasks.finish(held, Outcome("ok"))

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran, key=int) == [str(number) for number in range(20)]


def test_a_lease_that_ended_is_taken_over_and_the_earlier_holder_is_refused(tasks: Tasks, clock: Clock) -> None:
    tasks.add(order())
    late = claim(tasks, "late")
    clock.move(MINUTE - SECOND)
    late = tasks.renew(late)
    clock.move(MINUTE - SECOND)
    assert tasks.claim("other", environment="dev") is None
    clock.move(SECOND)
    other = claim(tasks, "other")
    assert other.token == late.token + 1
    refused: list[Callable[[], Task]] = [
        partial(tasks.finish, late, Outcome("mine")),
        partial(tasks.fail, late, "mine"),
        partial(tasks.renew, late),
        partial(tasks.give_back, late),
    ]
    for say in refused:
        with pytest.raises(Conflict, match="held by other"):
            say()
    assert tasks.finish(other, Outcome("ok", "dev version 2")).run == "dev version 2"
    assert [(a.owner, a.ending) for a in tasks.attempts(other.id)] == [("late", "lost"), ("other", "done")]


def test_what_was_cut_off_goes_before_what_has_not_begun(tasks: Tasks, clock: Clock) -> None:
    tasks.add(order("1"))
    cut = claim(tasks, "dies")
    tasks.add(order("0", due_at=-1))
    clock.move(HOUR)
    assert claim(tasks, "other").id == cut.id


def test_a_task_that_kills_its_workers_is_given_up(tasks: Tasks, clock: Clock) -> None:
    tasks.add(order())
    for number in range(DEATHS):
        claim(tasks, f"w{number}")
        clock.move(HOUR)
    assert tasks.claim("last", environment="dev") is None
    (task,) = tasks.list()
    assert (task.state, task.deaths) == ("failed", DEATHS)
    assert f"died {DEATHS} times" in task.error


def test_failures_are_tried_again_later_and_later_as_often_as_was_said(tasks: Tasks, clock: Clock) -> None:
    tasks.add(order(retries=2))
    for wait in (30 * SECOND, 60 * SECOND):
        failed = tasks.fail(claim(tasks), "no luck")
        assert (failed.state, failed.due_at) == ("waiting", clock.now + wait)
        clock.move(wait - 1)
        assert tasks.claim("w1", environment="dev") is None
        clock.move(1)
    assert tasks.fail(claim(tasks), "no luck").state == "failed"
    again = tasks.try_again(tasks.list()[0].id)
    with pytest.raises(Conflict, match="is waiting"):
        tasks.try_again(again.id)
    assert tasks.finish(claim(tasks), Outcome("ok")).id == again.id
    with pytest.raises(NotFound, match="no task 'x'"):
        tasks.get("x")


def test_what_is_given_back_is_taken_at_once_and_counts_as_no_failure(tasks: Tasks) -> None:
    tasks.add(order())
    assert tasks.give_back(claim(tasks)).state == "waiting"
    again = claim(tasks, "w2")
    assert (again.failures, again.deaths) == (0, 0)


def test_a_newer_task_takes_the_place_of_those_that_have_not_begun(tasks: Tasks) -> None:
    tasks.add(order("1"))
    begun = claim(tasks)
    tasks.add(order("2"))
    tasks.add(order("3", replaces=True))
    assert {task.key: task.state for task in tasks.list()} == {"1": "running", "2": "skipped", "3": "waiting"}
    assert tasks.finish(begun, Outcome("ok")).state == "done"


def watch(tasks: Tasks, missed: Missed = "once", cron: str = "0 * * * *") -> Watch:
    armed = Armed(trigger("eta", on=schedule(cron, missed=missed), name="nightly"), "model:eta")
    return Watch(tasks, [armed], environment="dev")


def test_two_watches_of_one_schedule_make_one_task_of_each_time(tasks: Tasks, clock: Clock) -> None:
    one, other = watch(tasks), watch(tasks)
    assert one.fire() + other.fire() == 0
    for _ in range(3):
        clock.move(HOUR)
        assert one.fire() + other.fire() == 1
    assert len(tasks.list()) == 3


@pytest.mark.parametrize(("missed", "keys"), [("once", [5]), ("all", [1, 2, 3, 4, 5]), ("skip", [])])
def test_times_missed_in_a_downtime_run_as_the_user_says(tasks: Tasks, clock: Clock, missed: Missed, keys: list[int]) -> None:
    watch(tasks, missed).fire()
    clock.move(5 * HOUR + 30 * MINUTE)
    assert watch(tasks, missed).fire() == len(keys)
    assert sorted(task.key for task in tasks.list()) == [f"2026-01-01T0{hour}:00:00Z" for hour in keys]
    if missed == "once":
        assert tasks.list()[0].reason == "schedule, 2026-01-01T05:00:00Z and 4 missed before it"
    clock.move(30 * MINUTE)
    assert watch(tasks, missed).fire() == 1, "the next time is on time again"


def test_a_schedule_that_is_edited_begins_anew(tasks: Tasks, clock: Clock) -> None:
    watch(tasks, "all").fire()
    clock.move(DAY)
    assert watch(tasks, "all", cron="30 * * * *").fire() == 0
    clock.move(30 * MINUTE)
    assert watch(tasks, "all", cron="30 * * * *").fire() == 1


def test_a_clock_that_was_wrong_and_is_put_back_keeps_no_schedule_and_no_lane_waiting(tasks: Tasks, clock: Clock) -> None:
    watch(tasks).fire()
    clock.move(HOUR)
    assert watch(tasks).fire() == 1
    clock.move(365 * DAY)
    assert watch(tasks).fire() == 1
    claim(tasks, "dead")
    clock.move(-365 * DAY)
    assert watch(tasks).fire() == 0
    clock.move(HOUR)
    assert watch(tasks).fire() == 1, "it does not wait for a year"
    assert claim(tasks, "w2").deaths == 1, "nor does the lane of who died meanwhile"


def test_alerts_are_seen_whatever_the_clocks_of_those_who_open_them(tasks: Tasks, clock: Clock) -> None:
    opened = [Alert("a0", "eta", "drift", "drift", "open", 1, *(Micros(clock.now - HOUR),) * 4, 1, ())]
    eyes = Eyes(content=str, alerts=lambda _: list(opened), build=str)
    armed = Armed(trigger("eta", on=alert("eta"), name="again"), "model:eta")
    one, other = (Watch(tasks, [armed], environment="dev", eyes=eyes) for _ in range(2))
    assert one.fire() + other.fire() == 0, "what is there is no news"
    for name, ahead in (("a1", HOUR), ("a2", -HOUR)):
        opened.insert(0, msgspec.structs.replace(opened[0], id=name, opened_at=Micros(clock.now + ahead)))
        assert one.fire() + other.fire() == 1
    assert {task.key for task in tasks.list()} == {"a1", "a2"}


def test_a_database_that_is_away_when_a_task_ends_does_not_undo_it(tmp_path: Path, clock: Clock) -> None:
    tasks = Tasks(Database.open(f"sqlite:///{tmp_path}/a.db"), clock)
    task = tasks.add(order())
    assert task is not None
    there = tasks.database

    def execute(_: Task) -> Outcome:
        tasks.database = Database(parse_url(f"sqlite:///{tmp_path}/nowhere/a.db"))
        threading.Timer(0.7, lambda: setattr(tasks, "database", there)).start()
        return Outcome("trained")

    assert Worker(tasks, execute, name="w1", environment="dev").run_due() == 1
    assert (tasks.get(task.id).outcome, tasks.get(task.id).deaths) == ("trained", 0)
    there.close()


def test_a_worker_keeps_how_each_task_ended(tasks: Tasks) -> None:
    def execute(task: Task) -> Outcome:
        if task.key == "1":
            raise Invalid("bad rows", fix="mend them")
        if task.key == "2":
            raise ZeroDivisionError("a / b")
        if task.key == "3":
            raise KeyboardInterrupt
        return Outcome("ok", "r1")

    for number in range(4):
        tasks.add(order(str(number), due_at=number))
    with pytest.raises(KeyboardInterrupt):
        Worker(tasks, execute, name="w1", environment="dev").run_due()
    ended = {task.key: (task.state, task.outcome or task.error) for task in tasks.list()}
    assert ended == {
        "0": ("done", "ok"),
        "1": ("failed", "bad rows. Fix: mend them"),
        "2": ("failed", "ZeroDivisionError: a / b"),
        "3": ("waiting", ""),
    }


def test_a_worker_that_lost_its_lease_does_not_say_how_the_task_ended(tasks: Tasks, clock: Clock) -> None:
    tasks.add(order())

    def execute(task: Task) -> Outcome:
        if task.owner == "slow":
            clock.move(HOUR)
            assert quick.run_due() == 1
        return Outcome(f"by {task.owner}")

    quick = Worker(tasks, execute, name="quick", environment="dev")
    told: list[Task] = []
    Worker(tasks, execute, name="slow", environment="dev", told=told.append).run_due()
    assert [task.outcome for task in (*told, *tasks.list())] == ["by quick", "by quick"]


def test_somebody_else_moving_the_environment_is_no_failure(tasks: Tasks) -> None:
    tries: list[int] = []

    def execute(task: Task) -> Outcome:
        tries.append(1)
        if len(tries) < 3:
            raise Conflict("dev moved")
        return Outcome("ok")

    tasks.add(order())
    Worker(tasks, execute, name="w", environment="dev").run_due()
    assert tasks.list()[0].state == "done"
