"""Workers of a study that share an S3 bucket of `moto`, and are killed at random moments.

`cargo xtask verify-store` starts it: `verify_store.py KD [KILLS]`. Every training must be there once, put once, and with the
weights and scores of a single process.
"""

import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

RECIPE = """
name = "tiny"
data = { name = "fashion_mnist_small", train_limit = 64, test_limit = 32, augment = "none" }
teacher.model = "resnet8"
student.model = "resnet8"
objective.cross_entropy.weight = 0.1
objective.kd.weight = 0.9
train = { epochs = 3, batch = 32, lr.peak = 0.05, log_every = 1 }
"""
STUDY = """
recipe = "tiny.toml"
seeds = 3
[variants.kd]
[variants.at.objective]
cross_entropy = {}
at.weight = 10.0
[variants.hot]
objective.kd.temperature = 8.0
objective.cross_entropy.weight = 0.1
"""
# Of three seeds the student alone, whose first is the teacher too, and three variants.
TRAININGS = 12
WORKERS = 3
BUCKET = "trainings"


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


def start_server():
    """A server that answers one request after another: moto looks at a condition and writes in two steps."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = make_server("127.0.0.1", port, DomainDispatcherApplication(create_backend_app), request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{port}"


def weights(folder):
    """A digest of the tensors of every finished training; seconds and the order of headers are others each time."""
    found = {}
    for path in sorted(folder.glob("finished/*/*.safetensors")):
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        digest = hashlib.sha256()
        for name in sorted(header.keys() - {"__metadata__"}):
            tensor = header[name]
            begin, end = tensor["data_offsets"]
            digest.update(f"{name} {tensor['dtype']} {tensor['shape']} ".encode())
            digest.update(data[8 + length + begin : 8 + length + end])
        found[f"{path.parent.name}/{path.name}"] = digest.hexdigest()
    return found


def scores(out):
    results = json.loads((out / "study.json").read_text())
    return [network["score"]["values"] for network in [results["alone"], *results["variants"]]]


def begun(log):
    """Trainings whose first epoch a worker told of."""
    return sum(1 for line in log.read_text().splitlines() if re.search(r"epoch 1/3(?!.*, step )", line))


def main():
    kd = os.path.abspath(sys.argv[1])
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    scratch = pathlib.Path(tempfile.mkdtemp())
    (scratch / "tiny.toml").write_text(RECIPE)
    (scratch / "study.toml").write_text(STUDY)
    uri = start_server()
    environment = {
        **os.environ, "AWS_ENDPOINT_URL": uri, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "RAYON_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1",
    }
    s3 = boto3.client("s3", endpoint_url=uri, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret")
    study = [kd, "study", "study.toml"]

    def call(*arguments, **more):
        return subprocess.run([*study, *arguments], cwd=scratch, env=environment, capture_output=True, text=True, **more)

    # What is wrong is said at once.
    missing = call("--store", f"s3://{BUCKET}/none", "--worker")
    assert missing.returncode == 1 and "NoSuchBucket" in missing.stderr, missing.stderr
    s3.create_bucket(Bucket=BUCKET)
    # So that an object that is put twice has two versions.
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    alone = call("--quiet", "--out", "alone", check=True)
    assert alone.returncode == 0
    chance = random.Random(1)
    total = {"kills": 0, "begun": 0, "rounds": 0}
    while total["kills"] < wanted:
        prefix = f"s3://{BUCKET}/round-{total['rounds']}"
        total["rounds"] += 1
        counts = {"workers": 0}

        def spawn():
            counts["workers"] += 1
            # Each a machine of its own.
            own = scratch / f"own-{total['rounds']}-{counts['workers']}"
            own.mkdir()
            with open(own / "log", "w") as log:
                command = [*study, "--worker", "--lease", "4", "--store", prefix, "--out", own / "out"]
                return subprocess.Popen(command, cwd=scratch, env=environment, stdout=log, stderr=log), own

        workers = [spawn() for _ in range(WORKERS)]
        ended, kills = [], 0
        deadline = time.monotonic() + 1800
        while workers:
            assert time.monotonic() < deadline, "it never ends"
            time.sleep(chance.uniform(0.2, 2.0))
            at = chance.randrange(len(workers))
            process, own = workers[at]
            if process.poll() is not None:
                assert process.returncode == 0, (own / "log").read_text()
                ended.append(workers.pop(at))
            elif kills < wanted / 2:
                process.kill()
                process.wait()
                kills += 1
                total["begun"] += begun(own / "log")
                workers[at] = spawn()
        total["kills"] += kills
        total["begun"] += sum(begun(own / "log") for _, own in ended)
        # A machine that has nothing makes the table.
        table = call("--store", prefix, "--out", f"table-{total['rounds']}", check=True)
        out = scratch / f"table-{total['rounds']}"
        assert "epoch 1/3" not in table.stderr, f"a training is lost: {table.stderr}"
        assert weights(out) == weights(scratch / "alone"), "weights are others than those of one process"
        assert scores(out) == scores(scratch / "alone"), "scores are others than those of one process"
        listed = s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=f"round-{total['rounds'] - 1}/finished/")
        versions = [version["Key"] for page in listed for version in page.get("Versions", [])]
        assert len(versions) == TRAININGS == len(set(versions)), versions
    print(
        f"S3 of moto, {total['rounds']} studies of {TRAININGS} trainings, {WORKERS} workers at a time: {total['kills']} kills, "
        f"{total['begun']} trainings begun; lost 0, put twice 0, weights and scores those of one process"
    )
    shutil.rmtree(scratch)


main()
