from app.engine.quarantine import Quarantine


def test_the_second_death_alone_keeps_a_picture_out() -> None:
    quarantine = Quarantine()

    assert not quarantine.strike(b"deadly", "here", alone=True)
    assert not quarantine.holds(b"deadly")
    assert quarantine.strike(b"deadly", "here", alone=True)
    assert quarantine.holds(b"deadly")
    assert not quarantine.holds(b"other")


def test_deaths_among_others_keep_nobody_out() -> None:
    quarantine = Quarantine()

    assert not quarantine.strike(b"unlucky", "here", alone=False)
    assert not quarantine.strike(b"unlucky", "here", alone=False)
    assert quarantine.suspects(b"unlucky")
    assert not quarantine.holds(b"unlucky")
    assert quarantine.strike(b"unlucky", "here", alone=True)
    assert quarantine.strike(b"unlucky", "here", alone=False)


def test_it_knows_where_the_last_death_was() -> None:
    quarantine = Quarantine()
    assert quarantine.died_at(b"unlucky") is None

    quarantine.strike(b"unlucky", "here", alone=False)
    quarantine.strike(b"unlucky", "there", alone=False)
    assert quarantine.died_at(b"unlucky") == "there"

    quarantine.clear(b"unlucky")
    assert quarantine.died_at(b"unlucky") is None


def test_a_picture_that_is_answered_is_innocent() -> None:
    quarantine = Quarantine()
    quarantine.strike(b"unlucky", "here", alone=True)

    quarantine.clear(b"unlucky")

    assert not quarantine.strike(b"unlucky", "here", alone=True)


def test_it_remembers_only_so_many_and_forgets_the_oldest() -> None:
    quarantine = Quarantine(capacity=2)
    for picture in (b"a", b"b", b"a", b"b"):
        quarantine.strike(picture, "here", alone=True)
    assert quarantine.holds(b"a")

    quarantine.strike(b"c", "here", alone=True)

    assert not quarantine.holds(b"a")
    assert quarantine.holds(b"b")


def test_a_suspicion_ends_after_an_hour() -> None:
    now = [0.0]
    quarantine = Quarantine(clock=lambda: now[0])
    quarantine.strike(b"slow", "here", alone=True)
    now[0] = 3000.0
    assert quarantine.strike(b"slow", "here", alone=True)

    now[0] = 3000.0 + 3599.0
    assert quarantine.holds(b"slow")
    now[0] = 3000.0 + 3600.0
    assert not quarantine.holds(b"slow")
    assert not quarantine.strike(b"slow", "here", alone=True)
