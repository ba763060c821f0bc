"""What `ps` shows of a raybert with a password on its command line, and which names lead out of a folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from raybert.config import load_config
from raybert.config.pretraining import load_pretraining
from raybert.errors import ConfigError, SweepError
from raybert.sweeping.folder.layout import check_trial_id

SECRET = "geheim-Xy7"
_SCRIPT = """
import sys
from raybert.passwords import blank_arguments
blank_arguments()
print(open("/proc/self/cmdline").read().replace(chr(0), "\\n"), end="")
print(sys.argv[-1] == "a", *sys.argv[1:-1], sep="\\n", file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ps reads /proc on Linux alone")
@pytest.mark.fault("password on the command line")
@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        (f"sweep.tune.storage=postgresql://me:{SECRET}@h/d", "sweep.tune.storage=postgresql://me:**********@h/d"),
        (f"data.source=https://h/x.csv?token={SECRET}&n=3", "data.source=https://h/x.csv?token=**********&n=3"),
        ("sweep.tune.storage=mysql://u:pässwörd@h/d", "sweep.tune.storage=mysql://u:**********@h/d"),
        ("sweep.tune.storage=postgresql://me:${PW}@h/d", "sweep.tune.storage=postgresql://me:${PW}@h/d"),
        ("train.learning_rate=1e-4", "train.learning_rate=1e-4"),
    ],
)
def test_ps_shows_no_password(argument, shown, fault):
    with fault.once():
        done = subprocess.run([sys.executable, "-c", _SCRIPT, argument, "a"], capture_output=True, check=True)
        *_, middle, last = done.stdout.decode().splitlines()
        assert (middle, last) == (shown, "a")
        assert done.stderr.decode().splitlines() == ["True", argument]  # the program still has it


@pytest.mark.slow
@pytest.mark.fault("password on the command line")
def test_the_command_says_so(tmp_path, fault):
    file = tmp_path / "x.yaml"
    file.write_text("sweep: {strategies: [random]}\n")
    command = [sys.executable, "-m", "raybert", "validate", str(file), "--set", f"data.source=https://a:{SECRET}@h/x"]
    with fault.once():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "note: a password was on the command line" in done.stderr
        assert SECRET not in done.stdout + done.stderr


NAMES = ["..", ".", "../x", "/x", "a/b", "a\\b", "", "a\nb", "a\0b", ".hidden", "x/../../y"]


@pytest.mark.fault("name that leads out of a folder")
@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_file_leads_out_of_runs(name, fault):
    with fault.once():
        with pytest.raises(ConfigError, match="^name: "):
            load_config({"name": name})
        corpora = {"a": {"source": "docstrings"}}
        with pytest.raises(ConfigError, match="^name: "):
            load_pretraining({"name": name, "corpora": corpora})
        if "/" in name or "\\" in name or not name.isprintable() or not name:
            with pytest.raises(ConfigError, match=r"corpora: names must be letters, digits"):
                load_pretraining({"corpora": {name: corpora["a"]}})
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            with pytest.raises(SweepError, match="must name its trials by ids"):
                check_trial_id(name, Path("runs/x"))


@pytest.mark.fault("name that leads out of a folder")
@pytest.mark.parametrize("label", ["../../x", "/etc/passwd", "..", "a/b", "a\0b"])
def test_labels_become_names_of_files_without_slashes(label, fault):
    from raybert.analysis.results.strategy_texts import names_of_files

    with fault.once():
        for name in names_of_files([label, "random"]).values():
            assert Path(name).name == name
            assert name not in ("", ".", "..")
            assert "\0" not in name
