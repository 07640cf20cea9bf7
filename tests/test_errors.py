"""Every error that is raised on purpose is told in one line, and is named after whose fault it is."""

import inspect

import pytest

from pylitefs import errors
from pylitefs.cli.main import cli, run

ERRORS = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, BaseException)]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_says_what_it_is_for_and_ends_a_command_in_one_line(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert issubclass(error, errors.PylitefsError) and error.__doc__

    def fail(**options: object) -> None:
        raise error("the thing: the remedy")

    monkeypatch.setattr(cli, "main", fail)
    assert run([]) == (2 if error is errors.ConfigError else 1)
    assert capsys.readouterr().err == "pylitefs: the thing: the remedy\n"


def test_who_takes_a_kind_takes_its_special_cases() -> None:
    """A torn file is a bad file; a replica that takes bad files for the wire's fault takes torn ones so."""
    assert issubclass(errors.TornLtxError, errors.LtxError)
    assert issubclass(errors.LtxChecksumError, errors.LtxError)
    assert issubclass(errors.UnsupportedLtxError, errors.LtxError)
    assert issubclass(errors.UntouchedError, errors.ApplierError)
    assert issubclass(errors.ExpectError, errors.LessonError)
