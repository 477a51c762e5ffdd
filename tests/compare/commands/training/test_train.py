import csv
import json
import os
import re
import signal
import socket
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from compare import cli, problems, terminal
from compare.commands import options
from compare.commands.training import train
from compare.commands.training.options import Cluster
from compare.experiments import run as training

QUICK = ("classification", "--epochs", "3", "--batch", "200")


def run(*argv):
    """The exit code of one command."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(list(map(str, argv)))
    return exit_.value.code


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_both_sides_are_trained_shown_and_kept(tmp_path, capsys):
    out, logs, chosen = tmp_path / "out", tmp_path / "logs", tmp_path / "xor.toml"
    chosen.write_text(f"problem = 'xor'\nmethod = 'both'\nepochs = 9\nlog-dir = '{logs}'\n")
    words = ("--config", chosen, "--epochs", "200", "--out", out)
    assert run("train", *words) == options.AGREE
    text, err = capsys.readouterr()
    assert err == ""
    *lines, trained, wrote = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert trained.startswith("TRAINED: xor mlp, 200 epochs in ")
    shown = [line.split()[:2] for line in lines if re.match(r" +\d+  (hand|grad) ", line)]
    assert shown == [[str(e), by] for e in range(20, 201, 20) for by in ("hand", "grad")]
    listed = wrote.removeprefix(f"WROTE: {out} (").removesuffix(f"), {logs}").split(", ")
    assert set(listed) == {path.name for path in out.iterdir()}
    assert "PARTED AS ROUNDING DOES" in text
    assert {path.name for path in out.iterdir()} == {
        "train.json", "curves.png", "parting.png",
        *(f"{name}-{side}.{end}" for side in ("manual", "autodiff") for name, end in (
            ("history", "csv"), ("params", "npz"), ("confusion", "png"), ("boundary", "png"),
            ("gradient-norms", "png"),
        )),
    }  # fmt: skip
    written = json.loads((out / "train.json").read_text())
    assert f"xor --epochs 200 --out {out} --method=both --log-dir" in written["reproduce"]
    manual, autodiff = written["results"]
    for own in (manual, autodiff):
        seen = scalars(logs, f"{own['method']}/test_loss")
        assert seen == {row["epoch"]: np.float32(row["test_loss"]) for row in own["history"]}
    assert (manual["method"], autodiff["method"]) == ("manual", "autodiff")
    assert [row["epoch"] for row in manual["history"]] == list(range(2, 201, 2))
    assert manual["history"][-1]["step"] == 200
    for own in (manual, autodiff):
        seconds = [row["seconds"] for row in own["history"]]
        assert np.allclose(np.diff(seconds), seconds[0]), "what its own epochs take"
        rates = [row["samples_per_second"] for row in own["history"]]
        assert np.allclose(rates, 2 * 4 / seconds[0])
    assert manual["seconds"] != autodiff["seconds"]
    assert manual["parting"]["verdict"] == "chaos"
    assert autodiff["parting"] is None
    assert np.sum(manual["confusion"]) == 4
    assert [row["leaf"] for row in manual["gradient_norms"]] == ["0/b", "0/w", "1/b", "1/w"]
    with (out / "history-manual.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["test_loss"]) == manual["history"][-1]["test_loss"]
    with np.load(out / "params-manual.npz") as arrays:
        assert arrays["params/0/w"].shape == (2, 4)


def scalars(folder, tag):
    """What TensorBoard shows under one name, by epoch."""
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    [file] = folder.iterdir()
    content, found = file.read_bytes(), {}
    while content:
        length = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + length])
        for value in event.summary.value:
            if value.tag == tag:
                found[event.step] = value.simple_value
        content = content[16 + length :]
    return found


def test_event_files_need_a_library(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert run("train", "xor", "--log-dir", tmp_path / "logs") == options.USAGE
    assert "needs tensorboardX; pip install 'handgrad[tensorboard]'\n" in capsys.readouterr().err


def test_a_wrong_gradient_parts_like_a_defect(monkeypatch, capsys):
    def wrong(*args):
        value, grads = right(*args)
        return value, [{**grads[0], "w": -grads[0]["w"]}, *grads[1:]]

    definition = problems.PROBLEMS["xor"]
    [(model, recipe)] = definition.trained
    right = model.manual
    changed = definition._replace(trained=[(model._replace(manual=wrong), recipe)])
    monkeypatch.setitem(problems.PROBLEMS, "xor", changed)
    code = run("train", "xor", "--method", "both", "--dtype", "float64", "--epochs", "20")
    assert code == options.DISAGREE
    assert "DEFECT: they part faster than rounding" in capsys.readouterr().out


def history_of(folder, method="manual"):
    """What must be the same in two runs: everything but the time it took."""
    results = json.loads((folder / "train.json").read_text())["results"]
    return [
        [{k: v for k, v in row.items() if "second" not in k} for row in result["history"]]
        for result in results
    ], [result["parting"] for result in results]


def params_of(folder):
    found = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            found |= {(path.name, name): array.tobytes() for name, array in arrays.items()}
    return found


def require_goes_on(command, kept, folder):
    """Resumes the command from its checkpoints, and holds its end against a run without a kill."""
    out, whole = folder / "out", folder / "whole"
    assert run(*command, "--checkpoint", kept, "--resume", "--out", out) == options.AGREE
    assert run(*command, "--out", whole) == options.AGREE
    assert params_of(out) == params_of(whole)
    assert history_of(out) == history_of(whole)


@pytest.mark.long
def test_a_run_killed_while_it_writes_goes_on_as_if_it_had_not_been(tmp_path, start, capsys):
    """Stopped with half of a checkpoint written, killed there, and resumed with more patience."""
    command = ("train", "xor", "--method", "both", "--epochs", "30")
    kept = tmp_path / "kept"
    killed = start(*command, "--checkpoint", kept)

    def is_stopped_in_a_write():
        if not (steps_in(kept) and drafts_in(kept)):
            return False
        killed.send_signal(signal.SIGSTOP)
        if drafts_in(kept):
            return True
        killed.send_signal(signal.SIGCONT)
        return False

    wait_for(is_stopped_in_a_write, killed, pause=0.0005)
    killed.kill()
    killed.communicate()
    assert drafts_in(kept)
    assert 0 < max(steps_in(kept)) < 30
    require_goes_on(command, kept, tmp_path)
    assert not drafts_in(kept)
    assert len(steps_in(kept)) == 3, "the last three are kept"
    capsys.readouterr()


def drafts_in(folder):
    """Checkpoints of which only a part is written."""
    return list(folder.glob("*.orbax-checkpoint-tmp*"))


def steps_in(folder):
    return {int(path.name) for path in folder.glob("*") if path.name.isdigit()}


def wait_for(condition, process, seconds=90, pause=0.005):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(pause)


def test_interruption_writes_a_checkpoint_and_exits_130(tmp_path, start):
    kept = tmp_path / "kept"
    process = start("train", "xor", "--epochs", "100000", "--checkpoint", kept)
    wait_for(lambda: steps_in(kept), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == options.INTERRUPTED
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("handgrad: interrupted; go on with --resume")
    assert (kept / str(max(steps_in(kept)))).is_dir()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The checkpoints of one short run."""
    folder = tmp_path_factory.mktemp("kept")
    assert run("train", *QUICK, "--checkpoint", folder) == options.AGREE
    return folder


@pytest.mark.parametrize(
    ("change", "argv", "message"),
    [
        (lambda last: None, (), "holds the checkpoints of an earlier run"),
        (lambda last: None, ("--resume", "--seed", "1"), "of a run with seed 0, and this one has"),
        (lambda last: (last / "run/metadata").write_text("{"), ("--resume",), "is damaged: run/m"),
        (lambda last: (last / "_CHECKPOINT_METADATA").unlink(), ("--resume",), "is damaged: _CHE"),
        (lambda last: (last.parent / "thesis.tex").write_text(""), ("--resume",), "no checkpoint"),
    ],
    ids=["of another run", "other settings", "damaged", "incomplete", "foreign"],
)
def test_a_checkpoint_that_will_not_do_exits_3(kept, change, argv, message, tmp_path, capsys):
    folder = copy(kept, tmp_path / "kept")
    change(folder / str(max(steps_in(folder))))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run("train", *QUICK, "--checkpoint", folder, *argv) == options.DATA
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert message in err
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_has_ended_says_so_first_and_compiles_nothing(kept, monkeypatch, capsys):
    monkeypatch.setattr(training, "compiled", lambda experiment: pytest.fail("compiled"))
    real, said = problems.load, []
    monkeypatch.setattr(
        problems, "load", lambda *a, **s: said.append(capsys.readouterr().out) or real(*a, **s)
    )
    assert run("train", *QUICK, "--checkpoint", kept, "--resume") == options.AGREE
    assert said == [f"FINISHED: 3 epochs are in {kept}, and there is no further to train\n"]
    assert "TRAINED: classification mlp, 3 epochs" in capsys.readouterr().out


def test_further_epochs_on_a_schedule_are_refused_before_anything_is_loaded(
    tmp_path, monkeypatch, capsys
):
    command = ("train", *QUICK, "--schedule", "cosine", "--checkpoint", tmp_path)
    assert run(*command) == options.AGREE
    capsys.readouterr()
    monkeypatch.setattr(problems, "load", lambda *args, **settings: pytest.fail("loaded"))
    assert run(*command, "--resume", "--epochs", "5") == options.DATA
    out, err = capsys.readouterr()
    assert out == ""
    assert "a cosine schedule made for 3 epochs, which cannot be 5 now; resume it with" in err
    assert len(err.splitlines()) == 1


def test_the_subset_is_named_in_the_last_line():
    found = {
        "problem": "mnist", "model": "mlp", "dataset": "mnist5k", "method": "manual",
        "seconds": 1.0, "history": [{"epoch": 2, "test_accuracy": 0.9}],
    }  # fmt: skip
    said = "TRAINED: mnist mlp on mnist5k, 2 epochs in 1.0 s; test accuracy 90.00% by hand"
    assert str(terminal.training.summary([found])) == said


def copy(source, target):
    import shutil

    return shutil.copytree(source, target)


def test_going_non_finite_names_the_step_and_keeps_the_state_before_it(tmp_path, capsys):
    argv = ("--optimizer", "sgd", "--learning-rate", "1e38", "--hidden", "4", "--epochs", "9")
    kept, out = tmp_path / "kept", tmp_path / "out"
    code = run("train", "xor", *argv, "--checkpoint", kept, "--out", out)
    assert code == options.NONFINITE
    err = capsys.readouterr().err
    found = re.match(
        r"handgrad: manual went non-finite at step (\d+), learning rate 1e\+38: (\S+): ", err
    )
    assert found, err
    assert len(err.splitlines()) == 1
    with np.load(out / "params-manual.npz") as arrays:
        assert all(np.isfinite(array).all() for array in arrays.values())
    assert (kept / "last_good").is_dir()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("xor", "--model", "cnn"), "xor has no model 'cnn'; choose from mlp"),
        (("xor", "--epochs", "0"), "epochs must be a positive number, got 0"),
        (("xor", "--batch", "-1"), "batch must be a positive number of rows, got -1"),
        (("xor", "--batch", "5"), "batch must be at most the 4 rows of the data, got 5"),
        (("xor", "--log-dir", "README.md"), "--log-dir README.md: is a file"),
        (("xor", "--learning-rate", "0"), "learning_rate must be positive, got 0"),
        (("xor", "--hidden", "0"), "widths must be positive, got 0"),
        (("xor", "--resume"), "--resume needs --checkpoint DIR"),
        (("xor", "--out", "README.md"), "--out README.md: is a file"),
        (("xor", "--distributed", "--devices", "2"), "takes all of their devices"),
        (("xor", "--distributed", "--bind", "x"), "--bind must be HOST:PORT"),
        (("xor", "--process", "1"), "--coordinator, --processes and --process belong together"),
        (("xor", "--coordinator", "x", "--processes", "2", "--process", "0"), "must be HOST:PORT"),
        (("xor", "--coordinator", "x:1", "--processes", "2", "--process", "2"), "from 0 to 1"),
        (("xor", "--devices", "0"), "--devices must be a positive multiple"),
    ],
)
def test_wrong_usage_exits_2(argv, message, capsys):
    assert run("train", *argv) == options.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err


@pytest.mark.parametrize("option", ["--out", "--log-dir"])
def test_a_folder_that_cannot_be_written_is_named(option, capsys):
    assert run("train", "xor", option, "README.md/runs") == options.DATA
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{option} README.md/runs: cannot be written: Not a directory; choose another" in line


@pytest.mark.long
def test_devices_share_a_batch(start):
    shared = start("train", "xor", "--epochs", "3", "--method", "both", "--devices", "4")
    out, err = shared.communicate(timeout=120)
    assert shared.returncode == options.AGREE, err
    assert out.splitlines()[-1].startswith("TRAINED: xor mlp, 3 epochs")


def test_devices_that_do_not_divide_a_batch_are_told_in_one_line(monkeypatch, capsys):
    """Nothing but their number is asked for, which this process could not change any more."""
    monkeypatch.setattr(Cluster, "request_devices", lambda _: None)
    monkeypatch.setattr(train, "make_mesh", lambda count: SimpleNamespace(size=count))
    assert run("train", *QUICK, "--devices", "3") == options.USAGE
    assert capsys.readouterr().err == (
        "handgrad: 3 devices do not divide a batch of 200 rows; choose --batch 201 or another "
        "multiple of 3, or other --devices\n"
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def of_a_cluster(rank, port):
    """What SLURM tells the processes of a job; JAX takes its port from the job's number."""
    return {
        "SLURM_JOB_ID": str(port - 61440), "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": "0",
        "SLURM_STEP_NUM_NODES": "2",
    }  # fmt: skip


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def start_two(start, kept, *further):
    """Two processes of one training, which are told where they meet."""
    where = ("--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2")
    command = ("train", "xor", "--checkpoint", kept, *where, *further)
    return [start(*command, "--process", rank) for rank in (0, 1)]


def start_cluster(start, kept, *further):
    """The same in a cluster that JAX knows, where they need no address."""
    port = next(port for port in range(61440 + os.getpid() % 4000, 65536) if is_free(port))
    where = ("--distributed", "--bind", f"127.0.0.1:{port}")
    command = ("train", "xor", "--checkpoint", kept, *where, *further)
    return [start(*command, **of_a_cluster(rank, port)) for rank in (0, 1)]


@pytest.mark.long
def test_a_lost_peer_ends_the_run_which_can_be_resumed(tmp_path, start):
    """The peers find each other by an address, and later as processes of a cluster."""
    kept = tmp_path / "kept"
    first, second = start_two(start, kept, "--epochs", "100000")
    wait_for(lambda: steps_in(kept), first)
    second.send_signal(signal.SIGKILL)
    began = time.monotonic()
    _, err = first.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert first.returncode == options.PEER_LOST
    assert len(err.splitlines()) == 1
    assert "another process was lost" in err
    assert "--resume" in err

    done = max(steps_in(kept))
    again = start_cluster(start, kept, "--epochs", str(done + 2), "--resume")
    texts = [process.communicate(timeout=120) for process in again]
    assert [process.returncode for process in again] == [0, 0], texts
    assert f"TRAINED: xor mlp, {done + 2} epochs" in texts[0][0]
    assert texts[1] == ("", ""), "the first process speaks for all"


def test_no_cluster_is_told_in_one_line(start):
    process = start("train", "xor", "--distributed")
    _, err = process.communicate(timeout=120)
    assert process.returncode == options.USAGE
    assert len(err.splitlines()) == 1
    assert "JAX recognises no cluster here" in err


def test_a_problem_without_an_mlp_has_a_plainest_model_all_the_same(capsys):
    assert run("train", "parity", "--epochs", "0") == options.USAGE
    assert "epochs must be a positive number, got 0" in capsys.readouterr().err
