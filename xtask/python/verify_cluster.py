"""Job files of `kd cluster`, checked by the engines: Kubernetes' schemas, a Slurm and a Ray on this machine.

`cargo xtask verify-cluster` starts it: `verify_cluster.py KD`. On Slurm and Ray the jobs run: workers are preempted, told that
their time is over, and killed, and the table must be the one that a single process makes.
"""

import copy
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import kubernetes_validate

RECIPE = """
name = "tiny"
data = { name = "fashion_mnist_small", train_limit = 256, test_limit = 64, augment = "none" }
teacher.model = "resnet8"
student.model = "resnet8"
objective.cross_entropy.weight = 0.1
objective.kd.weight = 0.9
train = { epochs = 8, batch = 32, lr.peak = 0.05, log_every = 1 }
"""
STUDY = """
recipe = "../tiny.toml"
seeds = 2
[variants.kd]
[variants.at.objective]
cross_entropy = {}
at.weight = 10.0
"""
# Schemas of earlier versions want `onPodConditions` also in rules of exit codes.
OLDEST = (1, 29)
LIMITS = ["--cpus", "1", "--memory", "1G", "--lease", "5"]


def put(folder):
    """The study in a folder; its file."""
    (folder / "studies").mkdir(parents=True)
    (folder / "tiny.toml").write_text(RECIPE)
    (folder / "studies/small.toml").write_text(STUDY)
    return folder / "studies/small.toml"


def scores(out):
    """All test scores of a study."""
    results = json.loads((out / "study.json").read_text())
    return [network["score"]["values"] for network in [results["alone"], *results["variants"]]]


def until(what, seconds, true):
    """Waits for something."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.2)
    return value


def trains(folder):
    """Whether a worker that shares a folder has begun to train, and left a line of it."""
    lines = folder.glob("shared/runs/*/*/run/metrics.jsonl")
    return any(path.stat().st_size for path in lines)


# Kubernetes


def wrong(item):
    """Objects that a validator must refuse: a key that there is not, and a number that is none."""
    misspelt = copy.deepcopy(item)
    misspelt["spec"]["backofLimit"] = 1
    text = copy.deepcopy(item)
    text["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = "120"
    return [misspelt, text]


def check_kubernetes(kd, study, folder):
    schemas = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    versions = {tuple(map(int, path.name.lstrip("v").split("-")[0].split(".")[:2])) for path in schemas.iterdir()
                if path.name.startswith("v")}
    versions = [f"{a}.{b}" for a, b in sorted(versions) if (a, b) >= OLDEST]
    assert versions, "the validator has no schema"
    count = 0
    for number, sharing in enumerate((["--claim", "shared"], ["--store", "s3://bucket/small", "--secret", "s3", "--gpu"])):
        to = folder / f"kubernetes-{number}"
        command = [kd, "cluster", "k8s", study, "--image", "registry/kd:1", "--namespace", "lab", "--files", to]
        subprocess.run([*command, *sharing, *LIMITS], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["sh", "-n", to / "submit.sh"], check=True)
        items = [json.loads(path.read_text()) for path in sorted(to.glob("*.json"))]
        items = [item for value in items for item in value.get("items", [value])]
        for version in versions:
            for item in items:
                kubernetes_validate.validate(item, version, strict=True)
                count += 1
            for item in (bad for item in items if item["kind"] == "Job" for bad in wrong(item)):
                try:
                    kubernetes_validate.validate(item, version, strict=True)
                except kubernetes_validate.ValidationError:
                    continue
                raise SystemExit(f"the schema of {version} takes what is wrong")
    print(f"kubernetes: {count} objects fit the schemas of {versions[0]} to {versions[-1]}")


# Slurm


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Slurm:
    """A controller and a node of Slurm on this machine."""

    def __init__(self, folder):
        for program in ("slurmctld", "slurmd", "sbatch", "srun"):
            if shutil.which(program) is None:
                raise SystemExit(f"there is no `{program}`: install Slurm (Debian: apt-get install slurm-wlm)")
        host = socket.gethostname()
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        (folder / "slurm.conf").write_text(f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MpiDefault=none
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=INFINITE State=UP
""")
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.log = open(folder / "slurm.log", "w")
        self.daemons = [
            subprocess.Popen(command, env=self.environment, stdout=self.log, stderr=self.log)
            for command in (["slurmctld", "-D", "-i", "-c"], ["slurmd", "-D", "-c", "-N", host])
        ]
        until("the node", 60, lambda: "idle" in self.call("sinfo", "--noheader", "--format=%t", check=False))

    def call(self, *command, check=True):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def job(self, job):
        """What Slurm says of a job."""
        words = self.call("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait()
        self.log.close()


def check_slurm(kd, study, folder, expected):
    slurm = Slurm(folder / "slurm")
    try:
        out, files = folder / "slurm-out", folder / "slurm-files"
        command = [kd, "cluster", "slurm", study, "--files", files, "--out", out, "--kd", kd, "--workers", "2", *LIMITS]
        options = ["--partition", "short", "--time", "01:00:00", "--option=--nice=10", "--setup", "export IT=\"it's\""]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
        # An option that there is not, and a partition that is none, are refused.
        for change in (["--option=--partitoin=short"], ["--partition", "none"]):
            bad = folder / f"bad-{change[0].strip('-')}"
            subprocess.run([*command[:4], "--files", bad, *LIMITS, *change], check=True, stdout=subprocess.DEVNULL)
            refused = subprocess.run(["sbatch", "--test-only", bad / "workers.sh"], env=slurm.environment, capture_output=True)
            assert refused.returncode != 0, f"sbatch takes {change}"
        said = slurm.call(files / "submit.sh")
        workers, table = (files / "workers.id").read_text().strip(), (files / "table.id").read_text().strip()
        assert workers in said and table in said, said
        until("training", 120, lambda: trains(out))
        # As a job of a higher priority does it.
        slurm.call("scontrol", "requeue", f"{workers}_1")
        # As Slurm does it two minutes before the end of the job's time.
        slurm.call("scancel", "--signal=INT", f"{workers}_2")
        until("both go back into the queue", 180,
              lambda: all(int(slurm.job(f"{workers}_{n}").get("Restarts", 0)) for n in (1, 2)))
        # A requeued job waits for two minutes.
        for number in (1, 2):
            slurm.call("scontrol", "update", f"jobid={workers}_{number}", "starttime=now", check=False)
        ended = lambda: slurm.job(table)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING")
        until("the table", 600, ended)
        assert slurm.job(table)["JobState"] == "COMPLETED", "".join(p.read_text() for p in files.glob("*.log"))
        restarts = [slurm.job(f"{workers}_{n}")["Restarts"] for n in (1, 2)]
    finally:
        slurm.stop()
    assert scores(out) == expected, "the scores are others than those of one process"
    version = slurm.call("sbatch", "--version")
    print(f"{version}: two workers, restarted {' and '.join(restarts)} times, and the table: scores of one process")


# Ray


def kill_one(out):
    """Kills a worker with SIGKILL, by the place where it works."""
    for process in pathlib.Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--worker" in words and str(out).encode() in words:
            os.kill(int(process.name), signal.SIGKILL)
            return True
    return False


def check_ray(kd, study, folder, expected):
    import ray

    tool = pathlib.Path(sys.executable).with_name("ray")
    environment = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0"}
    port, dashboard = free_port(), free_port()
    start = [tool, "start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=2",
             f"--dashboard-port={dashboard}", "--memory=4294967296", "--object-store-memory=100000000",
             f"--temp-dir={tempfile.mkdtemp(prefix='kd-ray')}"]
    log = open(folder / "ray.log", "w")
    head = subprocess.Popen(start, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{dashboard}"
        out, files = folder / "ray-out", folder / "ray-files"
        command = [kd, "cluster", "ray", study, "--files", files, "--out", out, "--kd", kd, "--workers", "2", *LIMITS]
        subprocess.run([*command, "--address", address], check=True, stdout=subprocess.DEVNULL)
        listed = lambda: subprocess.run([tool, "job", "list", "--address", address], env=environment, capture_output=True)
        until("ray", 120, lambda: listed().returncode == 0)
        job = subprocess.Popen([files / "submit.sh"], env=environment, stdout=log, stderr=log)
        until("training", 240, lambda: trains(out))
        assert kill_one(out), "no worker was there to kill"
        assert job.wait(timeout=900) == 0, (folder / "ray.log").read_text()
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait()
        log.close()
    assert scores(out) == expected, "the scores are others than those of one process"
    print(f"ray {ray.__version__}: two workers, one of them killed, and the table: scores of one process")


def main():
    kd = os.path.abspath(sys.argv[1])
    scratch = pathlib.Path(tempfile.mkdtemp())
    study = put(scratch / "recipes")
    check_kubernetes(kd, study, scratch)
    alone = scratch / "alone"
    subprocess.run([kd, "study", study, "--out", alone, "--quiet"], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "RAYON_NUM_THREADS": "1"})
    expected = scores(alone)
    check_slurm(kd, study, scratch, expected)
    check_ray(kd, study, scratch, expected)
    shutil.rmtree(scratch)


main()
