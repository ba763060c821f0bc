"""No pickle of somebody else's is loaded, wherever libraries would: studies of CMA-ES, errors of Tune, answers of workers."""

import ast
import os
import pickle
from types import SimpleNamespace

import pytest

from raybert.errors import SweepError
from raybert.sweeping.cluster.deaths import read_death
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.search.kept_optimizers import check_optimizers
from tests.e2e.commands import ROOT

MAY_UNPICKLE = {
    "tracking/child.py",  # over a pipe, of the process that has begun it
    "tracking/remote.py",  # likewise, of its child
    "sweeping/search/kept_optimizers.py",  # which is how the others are looked through
}


class _Loaded:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call):
    function = call.func
    return f"{getattr(function.value, 'id', '')}.{function.attr}" if isinstance(function, ast.Attribute) else ""


@pytest.mark.fault("pickles in a foreign folder")
def test_no_module_loads_pickles(fault):
    with fault.once():
        for path in sorted((ROOT / "raybert").rglob("*.py")):
            text, place = path.read_text(encoding="utf-8"), path.relative_to(ROOT / "raybert").as_posix()
            tree = ast.parse(text)
            imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            assert not imported & {"cloudpickle", "joblib", "dill", "shelve", "marshal"}, place
            for call in calls(tree):
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                if name_of(call) in ("pickle.load", "pickle.loads", "pickle.Unpickler"):
                    assert place in MAY_UNPICKLE, f"{place}:{call.lineno}"
                if name_of(call) == "torch.load":
                    assert given.get("weights_only") == "True", f"{place}:{call.lineno}"
                if name_of(call) == "np.load":
                    assert given.get("allow_pickle") == "False", f"{place}:{call.lineno}"
                if name_of(call) in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle"):
                    pytest.fail(f"{place}:{call.lineno}")


@pytest.mark.fault("pickles in a foreign folder")
def test_an_error_that_tune_has_pickled_is_read_in_words_alone(tmp_path, fault):
    (tmp_path / "error.pkl").write_bytes(pickle.dumps(_Loaded(tmp_path / "mark")))
    trial = SimpleNamespace(
        error_file=str(tmp_path / "error.txt"), pickled_error_file=str(tmp_path / "error.pkl"), local_path=str(tmp_path)
    )
    begin = "Failure # 1 (occurred at 2026-01-01_00-00-00)\n"
    task = "\x1b[36mray::ImplicitFunc.train()\x1b[39m (pid=1, ip=1)\n  File 'x', line 1, in f\n    f()\n    ^^^\n"
    found = {
        "The actor died unexpectedly before finishing this task.\n\tclass_name: A\n": (
            "lost",
            "TrialError: the trial's process died",
        ),
        "Task was killed due to the node running low on memory.\n": (
            "memory",
            "TrialError: the host ran out of memory, and Ray ended the trial's process",
        ),
        task + "OSError: [Errno 28] No space left on device: 'x'\n": (
            "disk",
            "OSError: [Errno 28] No space left on device: 'x'",
        ),
        task + "ValueError: one\nand two\n": ("error", "ValueError: one"),
        task + "torch.OutOfMemoryError: CUDA out of memory.\n": ("oom", "torch.OutOfMemoryError: CUDA out of memory."),
    }
    with fault.once():
        for words, (kind, reason) in found.items():
            (tmp_path / "error.txt").write_text(begin + "low on memory, the time before\n" + begin + words)
            death = read_death(trial, TrialFolder(tmp_path / "t"))
            assert (death.kind, death.reason) == (kind, reason)
        assert not (tmp_path / "mark").exists()


def of_cma_es(num_trials=12):
    optuna = pytest.importorskip("optuna")
    pytest.importorskip("cmaes")
    study = optuna.create_study(sampler=optuna.samplers.CmaEsSampler(seed=1, n_startup_trials=2))
    study.optimize(lambda trial: trial.suggest_float("a", 0, 1) + trial.suggest_float("b", 0, 1), n_trials=num_trials)
    return study


def test_what_cma_es_keeps_itself_is_loaded():
    checked = set()
    check_optimizers(of_cma_es(20).trials, "study", checked)
    assert len(checked) >= 2


@pytest.mark.fault("pickles in a foreign folder")
@pytest.mark.parametrize("damage", ["code", "torn", "words"])
def test_an_optimizer_of_a_foreign_study_runs_no_code(damage, tmp_path, fault):
    study = of_cma_es()
    import optuna

    bomb = pickle.dumps(_Loaded(tmp_path / "mark")).hex()
    state = {"code": bomb, "torn": bomb[:30], "words": "xyz"}[damage]
    study.add_trial(
        optuna.trial.create_trial(
            value=0.5,
            params=study.trials[-1].params,
            distributions=study.trials[-1].distributions,
            system_attrs={"cma:optimizer:0": state[:20], "cma:optimizer:1": state[20:], "cma:generation": 0},
        )
    )
    with fault.once():
        with pytest.raises(SweepError, match=r"^study: suggestion 12 must keep the state of CMA-ES alone, got "):
            check_optimizers(study.trials, "study", set())
        assert not (tmp_path / "mark").exists()
    if damage == "code":  # Optuna would have run it
        study.ask({"a": study.trials[0].distributions["a"], "b": study.trials[0].distributions["b"]})
        assert (tmp_path / "mark").exists()
