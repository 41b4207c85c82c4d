import itertools
import time

from dfm_flax.benchmarks.timing import take_turns


def test_contenders_take_turns_and_none_always_follows_the_same():
    calls = []
    contenders = {name: lambda name=name: calls.append(name) for name in "abc"}
    take_turns(contenders, rounds=6)
    rounds = [calls[i : i + 3] for i in range(6, len(calls), 3)]
    assert calls[:6] == list("aabbcc")  # to compile
    assert [first for first, *_ in rounds] == list("abcabc")
    assert all(sorted(names) == list("abc") for names in rounds)


def test_times_are_those_of_the_calls():
    waits = itertools.chain([0, 0], [0.01, 0.05, 0.02])
    (timing,) = take_turns({"sleep": lambda: time.sleep(next(waits))}, rounds=3).values()
    assert 0.01 <= timing.fastest <= timing.median <= timing.slowest
    assert timing.median >= 0.02
    assert timing.slowest >= 0.05


def test_it_stops_after_its_seconds_but_not_before_three_rounds():
    calls = []
    take_turns({"slow": lambda: calls.append(time.sleep(0.01))}, rounds=1000, seconds=0.0)
    assert len(calls) == 2 + 3
