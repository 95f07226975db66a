"""Run as a program: opens the files that are named on standard input, under an audit hook, and says how each went.

For each line, a path, one line of JSON: what kind of error there was, its text, where it was raised, what was done that
no file may cause, the seconds of computing, and by how many MB the memory grew at most.
"""

import json
import os
import signal
import sys
import tempfile
import time

FORBIDDEN = ("import", "exec", "compile", "marshal.", "pickle.", "code.__new__", "subprocess.", "os.system", "os.exec", "os.fork",
             "os.posix_spawn", "os.spawn", "socket.", "urllib.", "ctypes.", "os.remove", "os.rename", "os.link", "os.symlink",
             "os.mkdir", "os.rmdir", "shutil.", "webbrowser.", "os.chmod", "os.putenv", "function.__new__", "builtins.input")
TEMPORARY = os.path.join(tempfile.gettempdir(), "")
done, watching, allowed = [], False, set()


class Hang(BaseException):
    """Ends what takes far too long."""


def stop(*_):
    raise Hang


def hook(event, args):
    if not watching:
        return
    if event == "open":
        path = os.path.abspath(os.fsdecode(args[0])) if isinstance(args[0], (str, bytes)) else ""
        if path and path not in allowed and not path.startswith(TEMPORARY):
            done.append(f"open {path}")
    elif event == "compile" and args[1] == "<unknown>":
        pass  # ast.parse, with which `inspect` reads signatures: no code comes of it
    elif event.startswith(FORBIDDEN):
        done.append(f"{event} {args[:1]!r:.100}" if event == "import" else f"{event} {args[1:2]!r:.100}")


def memory(field) -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) / 1024


def small():
    import cornu

    return cornu.Sequential([cornu.Input((3,), name="input"), cornu.layers.Dense(2, name="dense")])


def open_one(path):
    import cornu
    from cornu.models import model_from_json
    from cornu.saving.inspection import examine

    if not path.endswith(".json") or path.endswith(".weights.json"):
        found = examine(path)
        assert found.wrong or found.kind
    if path.endswith((".weights.h5", ".safetensors", ".weights.json")):
        return small().load_weights(path)
    if path.endswith(".json"):
        with open(path, "rb") as file:
            data = file.read()
        try:
            return model_from_json(data.decode("utf-8", "replace"))
        except ValueError:
            config = cornu.saving.read_config(data)
            return cornu.saving.deserialize_keras_object(config)
    return cornu.saving.load_model(path)


def attempt(path) -> dict:
    global watching
    done.clear()
    allowed.clear()
    allowed.add(os.path.abspath(path))
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before, start = memory("VmRSS"), time.process_time()
    error, watching = None, True
    signal.alarm(120)
    try:
        open_one(path)
    except BaseException as failure:
        error = failure
    watching = False
    signal.alarm(0)
    seconds, grown = time.process_time() - start, memory("VmHWM") - before
    trace = error and error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return {"path": path, "error": error and type(error).__name__, "text": str(error),
            "bases": [c.__name__ for c in type(error).__mro__],
            "where": trace and trace.tb_frame.f_code.co_filename, "done": list(done), "seconds": seconds, "grown": grown}


def warm_up(folder):
    import cornu
    import h5py  # noqa: F401

    model = small()
    model.compile("adam", "mse", metrics=["mae"])
    model.fit([[1.0, 2.0, 3.0]], [[1.0, 2.0]], verbose=0)
    path = os.path.join(folder, "m")
    model.save(path + ".keras")
    model.save_weights(path + ".weights.h5")
    with open(path + ".json", "w") as file:
        file.write(model.to_json())
    model.save(path + ".h5")
    for ending in (".keras", ".weights.h5", ".json", ".h5"):
        result = attempt(path + ending)
        assert not result["error"], result
    with open(path + ".json", "w") as file:
        file.write(json.dumps(cornu.saving.serialize_keras_object(cornu.layers.Embedding(2, 3))))
    attempt(path + ".json")


def main():
    import cornu

    cornu.config.disable_traceback_filtering()
    signal.signal(signal.SIGALRM, stop)
    sys.addaudithook(hook)
    with tempfile.TemporaryDirectory() as folder:  # what is imported and compiled once, is so here
        warm_up(folder)
    for line in sys.stdin:
        print("RESULT", json.dumps(attempt(line.rstrip("\n"))), flush=True)


if __name__ == "__main__":
    main()
