"""Programs that are killed while they train, and run again until they end."""

import json
import os
import random
import signal
import subprocess
import sys
import time


def trained(script, tmp_path, kind, name, options, kills=0, dice=None):
    """Run a script `kind folder out *options` until it ends, and kill it after random times before that.

    The script says "ready" when it begins to train, goes on from the state in its folder, and writes JSON into `out`.

    Returns:
        What it has written, and how often it was killed.
    """
    path, out, done = tmp_path / "script.py", tmp_path / f"{name}.json", 0
    path.write_text(script)
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    told = [sys.executable, str(path), kind, str(tmp_path / name), str(out), *map(str, options)]
    while True:
        process = subprocess.Popen(told, env=env, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        if done < kills:
            time.sleep(dice.uniform(0.0, 2.0))
            done += process.poll() is None
            process.send_signal(signal.SIGKILL)
        assert process.wait() in (0, -signal.SIGKILL)
        if process.returncode == 0:
            return json.loads(out.read_text()), done


def ends_with_the_same_bits(script, tmp_path, kind, options, kills, at_once):
    """Assert that runs which are killed so often, up to `at_once` times each, end as one that was not.

    A run that ends before its kills are used up is followed by another one.
    """
    dice = random.Random(kind)
    whole, _ = trained(script, tmp_path, kind, "whole", options)
    for turn in range(kills):
        resumed, done = trained(script, tmp_path, kind, f"killed{turn}", options, min(kills, at_once), dice)
        assert resumed == whole
        kills -= done
        if kills <= 0:
            return
    raise AssertionError(f"{kills} kills are left: the runs end too soon")
