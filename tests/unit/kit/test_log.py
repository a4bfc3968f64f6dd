"""What gets into the log, and what never does."""

import pytest
import structlog

from posthouse.kit import log


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_names_the_place_and_prints_no_values(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", form)
    secret = "am_5ecret"

    def fails(key: str) -> None:
        raise RuntimeError(f"failed with {len(key)} characters")

    try:
        fails(secret)
    except RuntimeError as error:
        log.get("test").error("it failed", exc_info=error)
    finally:
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert "failed with 9 characters" in written
    assert "test_log.py" in written
    assert secret not in written
