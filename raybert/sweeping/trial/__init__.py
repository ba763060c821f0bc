"""One run, in whatever process it is: its life, and where to look for each part of it.

1. The plan names it: a frozen `RunSpec` whose id is a hash of all that its numbers depend on (`plan/specs.py`).
2. It is pending until its folder has `result.json`, `error.txt` or `pruned.json` (`folder/trial_folder.py`).
3. Ray Tune gives it a warm actor (`cluster/tune_run.py`); `raybert train` and `reproduce` run it in their own process.
4. `run_trial` (`run.py`) waits until it is the folder's only writer, and until the process of an earlier owner is gone
   (`folder/fence.py`). If it began before, it says why in `restarts.jsonl` (`folder/restarts.py`).
5. From then on it sends heartbeats and looks whether to stop (`surroundings.py`, `folder/heartbeat.py`).
6. It reads its signals, chooses, trains on from `checkpoint/last` if that is there, and evaluates; with several workers
   inside Ray Train (`training/ddp.py`). What it chose in every pass is recorded (`records.py`).
7. It ends as
   - complete: `best` model and tables first, `result.json` last, once all of it is on disk;
   - failed: `failure.json`, `error.txt` and a line of `attempts.jsonl` say why (`folder/failures.py`); where its
     process died or was ended for hanging, the driver writes them (`cluster/deaths.py`, `cluster/hung_trials.py`);
   - stopped: Ctrl-C, `raybert stop` or `pause`, or a limit asked it to save (`driver/control.py`); still pending;
   - superseded: a newer owner has the folder, and this process must write nothing more; still pending;
   - pruned: a search has seen enough of it.
8. What is pending is run again from its last checkpoint: at once after a death or a hang (`limits.retries`), by the
   same command after a stop, by `--retry` after a failure of its own; `restarts.jsonl` and `raybert status` say why.
"""
