"""Files for clusters and containers: their commands are ones that r1omni takes, their versions those of the package."""

import re
import shlex
import tomllib

import yaml

from command_check import REPOSITORY, check_command

DEPLOY = REPOSITORY / "deploy"
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
PINNED = dict(
    re.findall(r"^([\w.-]+)==(.*)$", (REPOSITORY / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
)


def test_the_rayjob_runs_a_command_of_ours_on_pods_that_mount_what_it_names():
    job = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    program, *words = shlex.split(job["spec"]["entrypoint"])
    assert program == "r1omni" and "--engine" in words
    check_command(words)
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == PINNED["ray"]
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for group in (cluster["headGroupSpec"], workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == f"r1omni:{VERSION}-ray"
        assert container["resources"]["requests"] == container["resources"]["limits"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted == {"archive": "/archive"} and [volume["name"] for volume in pod["volumes"]] == ["archive"]
        assert container["securityContext"]["runAsNonRoot"] is True
        assert f"--uid {pod['securityContext']['runAsUser']} " in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert all(word.startswith("/archive/") for word in words if word.startswith("/"))


def test_the_slurm_scripts_run_commands_of_ours():
    annotate = (DEPLOY / "slurm-annotate.sbatch").read_text(encoding="utf-8")
    (line,) = re.findall(r"^r1omni (.*)", annotate, re.MULTILINE)
    check_command([*shlex.split(line.replace('"$@"', ""))])
    train = (DEPLOY / "slurm-train.sbatch").read_text(encoding="utf-8")
    (line,) = re.findall(r"-m r1omni\.cli (.*)", train)
    (config,) = re.findall(r"set -- (configs/\S+)", train)
    check_command([*shlex.split(line.replace('"$@"', config))])


def test_the_image_has_the_pinned_ray():
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert f'"ray[data,default]=={PINNED["ray"]}"' in text
    assert re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE)[-3:] == ["cuda", "ray", "cpu"]
