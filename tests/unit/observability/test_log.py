"""What the log leaves out, and that it says so."""

import logging

from observability.log import KINDS, SECONDS, OneOfMany


def record(text: str, *arguments: object, level: int = logging.WARNING, name: str = "kafka") -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, text, arguments, None)


def test_of_warnings_alike_one_is_shown_and_the_next_tells_how_many_were_not() -> None:
    now = [100.0]
    only = OneOfMany(clock=lambda: now[0])
    assert only.filter(record("refused after %d ms", 1))
    assert not only.filter(record("refused after %d ms", 2))
    assert not only.filter(record("refused after 3 ms"))
    now[0] += SECONDS
    later = record("refused after %d ms", 4)
    assert only.filter(later)
    assert later.getMessage() == "refused after 4 ms (2 alike were left out)"
    now[0] += SECONDS
    again = record("refused after %d ms", 5)
    assert only.filter(again)
    assert again.getMessage() == "refused after 5 ms"


def test_what_differs_in_words_logger_or_level_is_shown() -> None:
    only = OneOfMany(clock=lambda: 0.0)
    assert only.filter(record("refused"))
    assert only.filter(record("timed out"))
    assert only.filter(record("refused", name="other"))
    for level in (logging.ERROR, logging.ERROR, logging.INFO, logging.INFO):
        assert only.filter(record("refused", level=level))


def test_its_memory_is_bounded() -> None:
    only = OneOfMany(clock=lambda: 0.0)
    for number in range(KINDS * 2):
        only.filter(record("kind " + "x" * number))
    assert len(only._shown) <= KINDS
