"""Trains with all trackers, interrupts and resumes, and reads everything back with tensorboard, wandb and mlflow.

`cargo xtask verify-trackers` starts it: `verify_trackers.py KD`. What each tracker has must equal metrics.jsonl.
"""

import json
import math
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib

import numpy

RECIPE = "recipes/quickstart.toml"
SHORT = ["--set", "train.epochs=6", "--set", "train.log_every=1", "--set", "train.gradient_norms_every=4"]


def close(one, other):
    """Equal but for the last bit: serde_json reads some numbers with another than they were written with."""
    return math.isclose(one, other, rel_tol=2.3e-16) or math.isnan(one) and math.isnan(other)


def truth(kd, run):
    """Values by training, name and step, as the command tells them, checked against the lines themselves."""
    text = subprocess.run([kd, "metrics", run, "--json"], check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in text.splitlines()]
    values = {(r["training"], r["name"], r["step"]): r["value"] for r in rows}
    expected = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        training, step = f"{record['role'].replace(':', '-')}-seed{record['seed']}", record["step"]
        kind = "train" if record["kind"] == "step" else "epoch"

        def put(name, value):
            expected[training, name, step] = value

        put(f"{kind}/loss/total", record["loss"])
        put(f"{kind}/lr", record["lr"])
        put(f"{kind}/images_per_second", record["images_per_second"])
        for name, component in record["components"].items():
            if kind == "epoch":
                put(f"epoch/loss/{name}", component)
                continue
            put(f"train/loss/{name}", component["value"])
            put(f"train/weight/{name}", component["weight"])
            if "gradient_norm" in component:
                put(f"train/gradient/{name}", component["gradient_norm"])
        if kind == "train":
            put("train/gradient/total", record["gradient_norm"])
            continue
        put("epoch/number", record["epoch"])
        put("epoch/seconds", record["seconds"])
        for score in record.get("validation", []):
            put(f"eval/{score['key']}", score["value"])
        for name, count in (record.get("cache") or {}).items():
            put(f"cache/{name}", count)
    assert values.keys() == expected.keys(), "kd metrics differs from metrics.jsonl"
    for key, value in expected.items():
        assert close(values[key], value), f"kd metrics: {key} is {values[key]}, not {value}"
    return values


def tested(run):
    """Test scores by training and name."""
    scores = {}
    for network in json.loads((run / "summary.json").read_text())["networks"]:
        seed = "" if network["seed"] is None else f"-seed{network['seed']}"
        for score in network["test"]["list"]:
            scores[network["role"].replace(":", "-") + seed, f"test/{score['key']}"] = score["value"]
    return scores


def same(ours, theirs, what, single=False):
    """Every value of one is that of the other; with `single` as a number of 32 bits."""
    cut = (lambda v: float(numpy.float32(v))) if single else float
    missing, more = ours.keys() - theirs.keys(), theirs.keys() - ours.keys()
    assert not missing, f"{what} lacks {len(missing)} values, such as {min(missing)}"
    assert not more, f"{what} has {len(more)} values too many, such as {min(more)}"
    for key, value in ours.items():
        one, other = cut(value), theirs[key]
        assert close(one, other), f"{what}: {key} is {other}, not {one}"
    print(f"{what}: {len(ours)} values equal")


def split(values):
    """Metrics, and test scores without their step."""
    metrics = {key: value for key, value in values.items() if not key[1].startswith("test/")}
    return metrics, {key[:2]: value for key, value in values.items() if key[1].startswith("test/")}


def check_tensorboard(run, ours, scores):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.custom_scalar import layout_pb2
    from tensorboard.plugins.hparams import plugin_data_pb2

    values = {}
    for folder in sorted((run / "track/tensorboard").iterdir()):
        files = list(folder.iterdir())
        assert len(files) == 1, f"{folder} has {len(files)} files"
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            if tag.startswith("_hparams_/"):
                continue
            for event in events.Scalars(tag):
                key = folder.name, tag, event.step
                assert key not in values, f"{key} is there twice"
                values[key] = event.value
        text = events.Tensors("recipe")[0].tensor_proto.string_val[0].decode()
        lines = [line.removeprefix("    ") for line in text.splitlines()]
        assert lines == (run / "recipe.toml").read_text().splitlines(), "the recipe differs"
        layout = layout_pb2.Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
        assert [c.title for c in layout.category] == ["Loss", "Evaluation", "Optimiser"], layout
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        hparams = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
        assert hparams["objective.kd.temperature"].number_value == 4.0, hparams
        assert hparams["student.model"].string_value == "resnet8", hparams
        end = events.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
        assert plugin_data_pb2.HParamsPluginData.FromString(end).session_end_info.status == 1
    metrics, tests = split(values)
    same(ours, metrics, "tensorboard", single=True)
    same(scores, tests, "tensorboard, test scores", single=True)


def wandb_records(path):
    """Records of a .wandb file: LevelDB's log format after a header of 7 bytes, checksums included."""
    data, at, part = path.read_bytes(), 7, b""
    assert data[:7] == b":W&B\xe1\xbe\x00", data[:7]
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        crc, length, kind = struct.unpack("<IHB", data[at : at + 7])
        body = data[at + 7 : at + 7 + length]
        assert crc == zlib.crc32(bytes([kind]) + body), f"{path} at {at}: checksum"
        part += body
        if kind in (1, 4):
            yield part
            part = b""
        at += 7 + length


def check_wandb(run, ours, scores):
    from wandb.proto import wandb_internal_pb2

    values = {}
    for path in sorted((run / "track/wandb").glob("offline-run-*/run-*.wandb")):
        records = [wandb_internal_pb2.Record.FromString(r) for r in wandb_records(path)]
        assert [r.num for r in records] == list(range(1, len(records) + 1))
        header, first, *middle, summary, last = records
        assert header.header.version_info.min_consumer == "0.70.0"
        training = first.run.display_name.split(" ")[-1]
        config = {item.key: json.loads(item.value_json) for item in first.run.config.update}
        assert config["objective.kd.temperature"] == 4.0 and config["train.epochs"] == 6, config
        latest, before = {}, -1
        for record in middle:
            row = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            step = row.pop("_step")
            assert step == record.history.step.num and step > before, "steps do not increase"
            before = step
            for name, value in row.items():
                if name[0] != "_":
                    values[training, name, step] = value
                    latest[name] = value
        assert {i.key: json.loads(i.value_json) for i in summary.summary.update} == latest, "the summary differs"
        assert last.HasField("exit") and last.exit.exit_code == 0
    metrics, tests = split(values)
    same(ours, metrics, "wandb")
    same(scores, tests, "wandb, test scores")


def check_mlflow(uri, run, ours, scores):
    import mlflow
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("kd").experiment_id
    runs = client.search_runs([experiment])
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags and r.info.run_name == run.name]
    assert len(parents) == 1, f"{len(parents)} runs instead of one"
    parent = parents[0]
    assert parent.data.params["objective.kd.temperature"] == "4.0", parent.data.params
    values = {}
    nested = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    for one in nested:
        assert one.info.status == "FINISHED", one.info.status
        training = one.info.run_name.split(" ")[-1]
        for name in one.data.metrics:
            for metric in client.get_metric_history(one.info.run_id, name):
                key = training, name, metric.step
                assert key not in values, f"{key} is there twice"
                values[key] = metric.value
    metrics, tests = split(values)
    same(ours, metrics, "mlflow")
    same(scores, tests, "mlflow, test scores")
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    expected = {"recipe.toml", "summary.json", "metrics.jsonl", "report.html", "README.md", "student.safetensors"}
    assert files == expected, files
    mlflow.set_tracking_uri(uri)
    with tempfile.TemporaryDirectory() as scratch:
        for name in expected:
            got = client.download_artifacts(parent.info.run_id, name, scratch)
            assert pathlib.Path(got).read_bytes() == (run / name).read_bytes(), f"artifact {name} differs"
    print(f"mlflow: {len(nested)} nested runs, {len(files)} artifacts equal")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_server(folder):
    port = free_port()
    bin_folder = pathlib.Path(sys.executable).parent
    environment = dict(os.environ, PATH=f"{bin_folder}:{os.environ['PATH']}")
    log = open(folder / "mlflow.log", "w")
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")],
        stdout=log, stderr=log, env=environment, start_new_session=True,
    )
    uri = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=1)
            return server, uri
        except OSError:
            assert server.poll() is None, (folder / "mlflow.log").read_text()
            time.sleep(1)
    raise SystemExit("mlflow server does not answer")


def interrupted(command, run, lines):
    """Ends the command by Ctrl-C as soon as there are so many lines."""
    process = subprocess.Popen(command)
    metrics = run / "metrics.jsonl"
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130


def main():
    kd = os.path.abspath(sys.argv[1])
    scratch = pathlib.Path(tempfile.mkdtemp())
    server, uri = start_server(scratch)
    try:
        run = scratch / "resumed"
        to = f"tensorboard,wandb,mlflow={uri}"
        train = [kd, "train", RECIPE, *SHORT, "--quiet", "--out", run, "--track", to]
        interrupted(train, run, 60)
        again = truth(kd, run)
        interrupted(train, run, 150)
        assert len(truth(kd, run)) > len(again), "the run did not go on"
        subprocess.run(train, check=True)
        ours, scores = truth(kd, run), tested(run)
        print("a run that was interrupted twice:")
        check_tensorboard(run, ours, scores)
        check_wandb(run, ours, scores)
        check_mlflow(uri, run, ours, scores)

        later = scratch / "later"
        subprocess.run([kd, "train", RECIPE, *SHORT, "--quiet", "--fresh", "--out", later], check=True)
        for _ in range(2):
            subprocess.run([kd, "track", later, "--to", to], check=True)
        ours, scores = truth(kd, later), tested(later)
        print("a run that was told later, twice:")
        check_tensorboard(later, ours, scores)
        check_wandb(later, ours, scores)
        check_mlflow(uri, later, ours, {key: value for key, value in scores.items()})
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


main()
