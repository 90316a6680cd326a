"""PostgreSQL URLs: what is filled in, what is shown, and what is never shown."""

from __future__ import annotations

import pytest

from tallystick import InputError
from tallystick.stores.postgres_url import parse

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://h/db", "postgresql://h/db"),
        ("postgres://me:hunter2@h:5433/db", "postgres://me@h:5433/db"),
        ("postgresql://me:hunter2@h1:1,h2:2/db?application_name=x", "postgresql://me@h1:1,h2:2/db?application_name=x"),
        ("postgresql://me:hunter2%40%2F@h/db", "postgresql://me@h/db"),
        ("postgresql://h/db?user=me&password=hunter2", "postgresql://h/db?user=me"),
        ("postgresql://h/db?sslpassword=hunter2&user=a%40b&password=hunter2", "postgresql://h/db?user=a%40b"),
        ("postgresql://h/db?p%61ssword=hunter2&user=me", "postgresql://h/db?user=me"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
        ("postgresql://me:hunter2@[::1]:5432/db", "postgresql://me@[::1]:5432/db"),
        ("postgresql://[::1]/db", "postgresql://[::1]/db"),
        ("postgresql://", "postgresql://"),
        ("postgresql://me:hunter2@", "postgresql://me@"),
    ],
)
def test_what_is_shown_has_no_password(url: str, shown: str) -> None:
    target = parse(url, read_only=False)
    assert target.shown == shown
    if SECRET in url:
        said = f"could not log in with {SECRET}{'@/' if '%40%2F' in url else ''}"
        assert target.redact(said) == "could not log in with ***"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@more@h/db",
        "postgresql://me:hunter2/more@h/db",
        "postgresql://me:hunter2?more@h/db",
        "postgresql://me:hunter2?more@h/db?x=y",
        "postgresql://me:hunter2%zz@h/db",
        "postgresql://me:hunter2%@h/db",
        "postgresql://me:12?hunter2@h/db",
        "postgresql://h:hunter2/db",
        "postgresql://me:hunter2@h/db?nonsense=1",
        "postgresql://me:hunter2@h/db?password",
        "postgresql://me:hunter2@[::1/db",
        "postgresql://me:hunter2@h/db%00",
    ],
)
def test_a_url_that_cannot_be_read_is_not_shown_at_all(url: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(url, read_only=False)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "write postgresql://USER@HOST:PORT/DATABASE" in str(caught.value)


def test_what_survives_the_loss_of_a_server_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = parse("postgresql://h1,h2/db", read_only=False).parameters
    assert parameters["target_session_attrs"] == "read-write"
    assert parameters["tcp_user_timeout"] == "30000"
    assert parameters["connect_timeout"] == "10"
    reading = parse("postgresql://h1,h2/db?connect_timeout=3", read_only=True).parameters
    assert "target_session_attrs" not in reading
    assert reading["connect_timeout"] == "3"
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "any")
    assert "target_session_attrs" not in parse("postgresql://h1,h2/db", read_only=False).parameters


def test_whether_another_server_may_take_over() -> None:
    assert parse("postgresql://h1,h2/db", read_only=False).several
    assert parse("postgresql:///db?host=h1,h2", read_only=False).several
    assert not parse("postgresql://h1/db", read_only=False).several


def test_a_password_from_the_environment_is_not_shown_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert parse("postgresql://h/db", read_only=False).redact(f"no {SECRET} here") == "no *** here"
