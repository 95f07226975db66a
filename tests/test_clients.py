"""What `tests/clients/run.py` makes of two runs' results; the runs themselves are started by hand."""

import importlib
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).with_name("clients")


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    yield importlib.import_module("run")
    for name in ("run", "packages", "programs"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("keras, cornu, code, said", [
    ({"a": "passed", "b": "failed"}, {"a": "passed", "b": "failed"}, 0, "1 passed, 1 failed, 0 not"),
    ({"a": "passed", "b": "passed"}, {"a": "passed", "b": "failed"}, 1, "cornu: 1\n  b"),
    ({"a": "passed"}, {"a.py": "not collected"}, 1, "0 passed, 0 failed, 1 not run\n  not collected"),
    ({"a": "not run"}, {"a": "passed"}, 2, "Nothing passes under Keras"),
    ({}, {}, 2, "Nothing passes under Keras"),
])
def test_results_are_compared(run, capsys, keras, cornu, code, said):
    assert run.compare("it", {"Keras": keras, "cornu": cornu}) == code
    assert said in capsys.readouterr().out


def test_what_failed_once_stays_failed(run):
    events = [("a", "not run"), ("a", "passed"), ("a", "failed"), ("b", "not run"), ("a", "passed")]
    assert run.keep_worst(events) == {"a": "failed", "b": "not run"}


@pytest.mark.parametrize("wrong, said", [
    (["--checkout", "nowhere"], "is no folder"), (["--select", "x"], "are about the tests of a"),
    (["--checkout", ".", "--select", "nowhere.py::case"], "has no such file or folder"),
])
def test_wrong_arguments_are_reported(run, monkeypatch, tmp_path, capsys, wrong, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", "--client", "scikeras", "--env", "e", *wrong])
    with pytest.raises(SystemExit) as raised:
        run.main()
    assert raised.value.code == 2 and said in capsys.readouterr().err


def test_every_client_has_programs(run):
    assert set(run.CLIENTS) == set(run.PROGRAMS) and all(run.PROGRAMS.values())
