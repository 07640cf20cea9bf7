"""A finding is a line: what, and how to mend it."""

from pylitefs.doctor.finding import note, ok, wrong


def test_a_line_says_what_and_how_to_mend_it() -> None:
    assert (
        wrong("port", "8080 is taken", "end it").line()
        == "WRONG  port            8080 is taken. Mend it: end it"
    )
    assert wrong("fuse", "no device. Fix: modprobe").text == "no device. Fix: modprobe"
    assert [one("x", "y").is_wrong for one in (ok, note, wrong)] == [False, False, True]
