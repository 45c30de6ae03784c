"""The image's recipe and the examples that run it; no Docker is needed.

What an interrupted run does is tested in `test_end_to_end.py`; here it is that the image lets a
signal reach it, and that who restarts it knows its exit code.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from videdit.cli.main import EXIT_CODES, VERBS
from videdit.errors import (
    InputError,
    Interrupted,
    NoFaceError,
    UsageError,
    VideditError,
    WeightsError,
)

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples" / "docker"
GUIDE = ROOT / "docs" / "docker.md"


class Instruction(NamedTuple):
    """One instruction of a Dockerfile, its continued lines joined."""

    word: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """A Dockerfile without comments; lines that end with a backslash are joined."""
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


DOCKERFILE = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))


def stages() -> list[list[Instruction]]:
    """The Dockerfile's stages, each beginning with its FROM."""
    found: list[list[Instruction]] = []
    for instruction in DOCKERFILE:
        if instruction.word == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


FINAL = stages()[-1]


def only(word: str, among: list[Instruction] = FINAL) -> str:
    """The text of an instruction that is there once."""
    (text,) = [instruction.rest for instruction in among if instruction.word == word]
    return text


def variables(among: list[Instruction]) -> dict[str, str]:
    """What a stage's ENV instructions set."""
    pairs = [shlex.split(i.rest) for i in among if i.word == "ENV"]
    return dict(pair.split("=", 1) for words in pairs for pair in words)


def test_lines_are_joined_and_comments_left_out() -> None:
    text = "# c\nFROM a\nRUN x \\\n    # c\n    && y\n\nUSER 1\n"
    assert instructions(text) == [("FROM", "a"), ("RUN", "x  && y"), ("USER", "1")]


def test_the_base_is_pinned_to_a_minor_version() -> None:
    names = {i.rest.split(" AS ")[1] for i in DOCKERFILE if i.word == "FROM" and " AS " in i.rest}
    bases = [i.rest.split()[0] for i in DOCKERFILE if i.word == "FROM"]
    assert names
    foreign = [base for base in bases if base not in names]
    assert foreign
    for base in foreign:
        assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base), base
    # It is a Python that the pins are for.
    (version,) = re.findall(r"python:3\.(\d+)-", " ".join(foreign))
    assert int(version) >= 11
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert f"Python :: 3.{version}" in config["metadata"]["classifiers"]


def test_it_does_not_run_as_root() -> None:
    words = [instruction.word for instruction in FINAL]
    assert words.count("USER") == 1
    assert words.index("USER") < words.index("ENTRYPOINT")
    # Nothing is run or copied as that user afterwards, or it would fail or be theirs to change.
    assert not {"RUN", "COPY"} & set(words[words.index("USER") :])
    # By number: Kubernetes' runAsNonRoot cannot look names up.
    user, group = only("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    made = " ".join(i.rest for i in FINAL if i.word == "RUN")
    assert f"--uid {user} " in made


def test_the_tool_is_process_one_and_is_asked_to_stop_by_sigterm() -> None:
    assert json.loads(only("ENTRYPOINT")) == ["videdit"]
    assert json.loads(only("CMD")) == ["--help"]
    assert only("STOPSIGNAL") == "SIGTERM"
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert "videdit = videdit.cli.main:entry" in config["options.entry_points"]["console_scripts"]


def test_what_is_written_goes_to_the_volume() -> None:
    environment = variables(FINAL)
    assert only("VOLUME") == environment["VIDEDIT_CACHE"] == "/cache"
    assert environment["XDG_CACHE_HOME"].startswith("/cache/")
    (made,) = [i.rest for i in FINAL if i.word == "RUN" and "/cache" in i.rest]
    assert "install -d -m 1777 /cache /work" in made  # whoever `--user` names
    words = [(i.word, i.rest) for i in FINAL]
    # What is made in a volume after it was declared is lost.
    assert words.index(("RUN", made)) < words.index(("VOLUME", "/cache"))


def test_the_weights_are_where_the_tool_looks() -> None:
    build = stages()[-2]
    place = variables(build)["VIDEDIT_WEIGHTS"]
    assert variables(FINAL)["VIDEDIT_WEIGHTS"] == place
    assert "--from=build /opt/videdit /opt/videdit" in [i.rest for i in FINAL if i.word == "COPY"]
    assert Path(place).is_relative_to("/opt/videdit")
    (fetch,) = [i.rest for i in build if i.word == "RUN" and "videdit weights" in i.rest]
    for verb in re.findall(r"videdit weights (\w+)", fetch):
        done = subprocess.run(
            [sys.executable, "-m", "videdit", "weights", verb, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"videdit weights {verb}" in done.stdout


def test_every_install_is_constrained_and_leaves_no_cache() -> None:
    installs = [
        command
        for i in DOCKERFILE
        if i.word == "RUN"
        for command in re.split(r"&&|;", i.rest)
        if re.search(r"\bpip3? (install|wheel|download)\b", command)
    ]
    assert len(installs) >= 3
    for command in installs:
        assert "-c constraints.txt" in command, command
    assert variables(stages()[-2])["PIP_NO_CACHE_DIR"] == "1"
    assert not [i for i in FINAL if i.word == "RUN" and "pip install" in i.rest]
    for instruction in DOCKERFILE:
        if "apt-get install" in instruction.rest:
            assert "--no-install-recommends" in instruction.rest
            assert "rm -rf /var/lib/apt/lists/*" in instruction.rest


def test_torch_comes_without_cuda_unless_it_is_asked_for() -> None:
    build = stages()[-2]
    arguments = dict(i.rest.split("=", 1) for i in build if i.word == "ARG" and "=" in i.rest)
    assert arguments["TORCH"] == "cpu"
    assert arguments["TORCH_INDEX"].endswith("/whl/${TORCH}")
    installs = [i.rest for i in build if i.word == "RUN" and "pip install" in i.rest]
    assert '--index-url "$TORCH_INDEX"' in installs[0]
    assert installs[0].split()[-1] == "torch"


def test_the_dependencies_step_names_what_setup_cfg_does(tmp_path: Path) -> None:
    (line,) = [i.rest for i in DOCKERFILE if i.word == "RUN" and "> requirements.txt" in i.rest]
    words = shlex.split(line.split(">")[0])
    assert words[:2] == ["python", "-c"]
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", words[2]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert done.stdout.split() == config["options"]["install_requires"].split()
    assert "torch>=2.4" in done.stdout.split()


def kept_out(path: str) -> bool:
    """Whether .dockerignore keeps a file out of the build: the last pattern that matches says."""
    out = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        pattern = line.lstrip("!").rstrip("/")
        parts = path.split("/")
        upto = ["/".join(parts[: n + 1]) for n in range(len(parts))]  # a folder takes all below it
        if pattern.startswith("**/"):
            matches = any(fnmatchcase(part, pattern[3:]) for part in parts)
        else:
            same_depth = [p for p in upto if p.count("/") == pattern.count("/")]
            matches = any(fnmatchcase(p, pattern) for p in same_depth)
        if matches:
            out = not line.startswith("!")
    return out


def test_what_the_image_does_not_need_stays_out_of_the_build() -> None:
    for path in (
        ".git/config",
        ".venv/bin/python",
        ".work/notes",
        "demo/result.mp4",
        "tests/conftest.py",
        "docs/docker.md",
        "examples/input.mp4",
        "training_data/encoder.json",
        "videdit/__pycache__/errors.cpython-311.pyc",
        "videdit/cli/__pycache__/main.cpython-311.pyc",
        "clip.mp4",
    ):
        assert kept_out(path), path
    for path in ("videdit/errors.py", "videdit/cli/main.py", "weights/mobile/encoder.safetensors"):
        assert not kept_out(path), path


def copied() -> list[str]:
    """What the Dockerfile copies from the repository."""
    lines = [i.rest.split() for i in DOCKERFILE if i.word in ("COPY", "ADD")]
    return [name for words in lines if not words[0].startswith("--from") for name in words[:-1]]


def test_what_is_copied_is_there_and_in_the_build() -> None:
    assert len(copied()) > 5
    for name in copied():
        assert (ROOT / name).exists(), name
        assert not kept_out(name), name


def test_what_is_copied_is_enough_for_the_wheel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    skipped = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.npz")
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=skipped)  # their size proves nothing
        else:
            shutil.copy(ROOT / name, source / name)
    # As the Dockerfile's last pip line does, but into a file.
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--disable-pip-version-check", "-w", str(tmp_path), "."]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "videdit").rglob("*.py")}
    assert modules <= names
    assert "videdit/_weights/mobile/bundle.json" in names
    assert [name for name in names if name.endswith("/NOTICE")]


def yaml_documents(path: Path) -> list[Any]:
    import yaml

    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def arguments_fit(words: list[str]) -> None:
    """Check that a command names a verb, and options that its help lists."""
    assert words[0] in VERBS
    done = subprocess.run(
        [sys.executable, "-m", "videdit", words[0], "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "TERM": "dumb"},
    )
    for word in words[1:]:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", done.stdout), word


def test_the_compose_file_runs_the_image_as_it_is_meant_to_be_run() -> None:
    (compose,) = yaml_documents(EXAMPLES / "compose.yaml")
    assert set(compose["services"]) == {"edit", "batch"}
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]
        assert "cache:/cache" in service["volumes"]
        assert [v for v in service["volumes"] if v.endswith(":/work")]
        assert service["stop_grace_period"] == "2m"
        assert (EXAMPLES / service["build"] / "Dockerfile").is_file()
        assert "entrypoint" not in service
        assert "init" not in service
        arguments_fit(service["command"])
    assert "cache" in compose["volumes"]


def job() -> dict[str, Any]:
    """The Job among the Kubernetes example's objects."""
    documents = yaml_documents(EXAMPLES / "job.yaml")
    (found,) = [document for document in documents if document["kind"] == "Job"]
    claims = {d["metadata"]["name"] for d in documents if d["kind"] == "PersistentVolumeClaim"}
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in found["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert used == claims
    spec: dict[str, Any] = found["spec"]
    return spec


def test_the_job_knows_the_exit_codes() -> None:
    spec = job()
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # or Kubernetes refuses the policy
    (container,) = pod["containers"]
    actions: dict[int, str] = {}
    for rule in spec["podFailurePolicy"]["rules"]:
        asked = rule.get("onExitCodes")
        if asked:
            assert asked["containerName"] == container["name"]
            assert asked["operator"] == "In"
            assert asked["values"] == sorted(set(asked["values"]))  # or Kubernetes refuses it
            actions |= {code: rule["action"] for code in asked["values"] if code not in actions}
    hopeless: list[type[VideditError]] = [UsageError, InputError, NoFaceError, WeightsError]
    assert actions == {
        Interrupted.exit_code: "Ignore",
        **{error.exit_code: "FailJob" for error in hopeless},
    }
    assert spec["backoffLimit"] > 0  # for the others
    assert spec["activeDeadlineSeconds"] > 0  # what is ignored has an end, too


def test_the_job_runs_the_image_as_it_is_meant_to_be_run() -> None:
    pod = job()["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    user, group = (int(number) for number in only("USER").split(":"))
    assert pod["securityContext"]["runAsUser"] == user
    assert pod["securityContext"]["fsGroup"] == group
    assert pod["terminationGracePeriodSeconds"] >= 60
    assert "command" not in container  # it would replace the entry point
    places = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(places) == {"/cache", "/tmp", only("WORKDIR")}
    assert set(places.values()) == {volume["name"] for volume in pod["volumes"]}
    assert "--overwrite" in container["args"]  # a pod that was killed late is run again
    arguments_fit(container["args"])


def test_the_guide_says_of_every_exit_code_whether_to_try_again() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| .+ \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(map(int, rows)) >= set(EXIT_CODES)


@pytest.mark.parametrize("name", ["TORCH", "TORCH_INDEX", "PIP_INDEX_URL", "WEIGHTS"])
def test_the_guide_names_each_build_argument(name: str) -> None:
    declared = {i.rest.split("=")[0] for i in DOCKERFILE if i.word == "ARG"}
    assert declared == {"TORCH", "TORCH_INDEX", "PIP_INDEX_URL", "WEIGHTS"}
    assert f"`{name}" in GUIDE.read_text(encoding="utf-8")


def test_what_the_guide_links_to_is_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/docker.md" in readme
    named = re.findall(r"`(examples/docker/\S+?)`", GUIDE.read_text(encoding="utf-8"))
    assert set(named) == {f"examples/docker/{path.name}" for path in EXAMPLES.iterdir()}
