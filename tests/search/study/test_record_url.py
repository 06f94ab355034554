"""The URL of a shared record: what is understood, and a password that is shown to nobody."""

from __future__ import annotations

import pytest

from actsearch.errors import InvalidValueError
from actsearch.run_options import RunOptions
from actsearch.search.study.record_url import (
    connection_options,
    masked,
    shown_url,
    without_passwords,
)
from actsearch.search.study.store import Store

URLS = {
    "postgresql://me@h/d": ("me@h/d", {"host": "h", "user": "me", "dbname": "d"}),
    "postgresql+psycopg://me:secret@h:5433/d": (
        "me@h:5433/d",
        {"host": "h", "port": "5433", "user": "me", "password": "secret", "dbname": "d"},
    ),
    "postgresql://me:s%40ecret@[::1]:5433/d": (
        "me@[::1]:5433/d",
        {"host": "::1", "port": "5433", "user": "me", "password": "s@ecret", "dbname": "d"},
    ),
    "postgresql://me:a/secret#:@b@h/d": (
        "me@h/d",
        {"host": "h", "user": "me", "password": "a/secret#:@b", "dbname": "d"},
    ),
    "postgresql:///d?host=/run/postgresql&password=secret": (
        "/d?host=/run/postgresql",
        {"dbname": "d", "host": "/run/postgresql", "password": "secret"},
    ),
    "postgresql:///?service=studies": ("/?service=studies", {"service": "studies"}),
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_shown_without_its_password_and_connects_with_it(url):
    place, options = URLS[url]
    shown = shown_url(url)
    assert shown == f"postgresql+psycopg://{place}"
    assert connection_options(shown) == options
    assert shown_url(shown) == shown
    assert connection_options(shown) == options, "what is shown connects with the password"


@pytest.mark.parametrize(
    "url",
    [
        *("secret", "mysql://me:secret@h/d", "sqlite:///secret.db", "postgres://me:secret@h/d"),
        *("postgresql+psycopg2://me:secret@h/d", "host=h password=secret", "/folder/secret"),
        *("postgresql://h:secret/d", "postgresql://me:x@h:0/secret", "postgresql://secret\0@h/d"),
    ],
)
def test_any_other_is_told_without_what_may_be_a_password(url):
    with pytest.raises(InvalidValueError, match="the record must be postgresql") as told:
        Store("mlruns", url)
    assert "secret" not in str(told.value)


def test_options_have_no_password_and_the_environment_is_the_default(monkeypatch):
    assert RunOptions().record == ""
    assert RunOptions(record="postgresql://me:secret@h/d").record == "postgresql+psycopg://me@h/d"
    monkeypatch.setenv("ACTSEARCH_RECORD", "postgresql://you:secret@h/d")
    assert RunOptions().record == "postgresql+psycopg://you@h/d"
    assert str(Store("mlruns")) == "postgresql+psycopg://you@h/d"
    assert Store("mlruns").record_option == ""
    assert str(Store("mlruns", "postgresql://me@h/d")) == "postgresql+psycopg://me@h/d"


def test_words_of_a_command_have_no_password():
    words = ["search", "--record", "postgresql://me:secret@h/d", "--task.url", "http://a:b@c"]
    assert without_passwords(words)[:3] == ["search", "--record", "postgresql+psycopg://me@h/d"]
    assert masked(words[-1]) == "http://a:***@c"
    with pytest.raises(InvalidValueError, match="no URL of that kind"):
        without_passwords(["--record", ""])
