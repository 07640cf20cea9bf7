"""How pages stand: the last thing that happened to each, taken back where it came to nothing."""

from pylitefs.lecture.history.page_states import MOST_PAGES, PageStates


def test_a_page_lights_up_each_time_and_its_state_changes_where_it_is_new() -> None:
    states = PageStates()
    lights, changes = states.light("n1", "a.db", [2, 3], "written", 5)
    assert lights == [("n1", "a.db", 2, "written"), ("n1", "a.db", 3, "written")]
    assert changes == {f"page/n1/a.db/{pgno}": {"how": "written", "txid": 5} for pgno in (2, 3)}
    lights, changes = states.light("n1", "a.db", [2], "written", 5)
    assert lights and not changes
    assert states.light("n2", "a.db", [2], "written", 5)[1], "another node's page is another"
    assert len(states.light("n1", "a.db", range(1, 9999), "shipped", 6)[0]) == MOST_PAGES


def test_what_came_to_nothing_shows_what_was_before_it() -> None:
    states = PageStates()
    states.light("n1", "a.db", [2], "captured", 4)
    states.light("n1", "a.db", [2, 3], "journalled", 5)
    states.light("n1", "a.db", [2], "written", 5)
    assert states.taken_back("n1", "a.db") == {
        "page/n1/a.db/2": {"how": "captured", "txid": 4},
        "page/n1/a.db/3": None,
    }
    assert states.taken_back("n1", "a.db") == {}
    assert states.light("n1", "a.db", [2], "captured", 4)[1] == {}, "it is shown so already"


def test_what_was_captured_is_not_taken_back() -> None:
    states = PageStates()
    states.light("n1", "a.db", [2], "written", 5)
    states.captured("n1", "a.db")
    states.light("n1", "a.db", [3], "written", 6)
    assert states.taken_back("n1", "a.db") == {"page/n1/a.db/3": None}


def test_a_page_past_the_end_is_none() -> None:
    states = PageStates()
    states.light("n1", "a.db", [1, 2, 3], "captured", 5)
    assert states.cut("n1", "a.db", 1) == {"page/n1/a.db/2": None, "page/n1/a.db/3": None}
    assert states.cut("n1", "a.db", 1) == {} == states.cut("n1", "b.db", 0)
