"""Moving code changes nothing that the program gives."""

import json

from snapshot import STORED, taken


def test_exports_answers_and_tables_are_what_they_were(tmp_path):
    before, now = json.loads(STORED.read_text()), taken(tmp_path)
    assert {name: value for name, value in now.items() if before.get(name) != value} == {}
    assert now.keys() == before.keys()
