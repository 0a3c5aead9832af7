"""The files for containers hold what they promise, each rule finds a planted fault, the scripts run.

No engine is needed: the scripts that the containers start run here against the servers of the test run.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from db.instance import free_port
from tests.conftest import CRON_DATABASE, ROOT, SOURCE_ROLE, database
from tests.support import Database, Server

CONTAINERS = ROOT / "db" / "containers"
ONE_SHOT = {"deploy"}
SERVICES = {"operational", "warehouse", "deploy", "dashboard"}
Tree = dict[str, Any]


def compose_findings(compose: Tree) -> Iterator[str]:
    """Yield what is wrong with a compose file."""
    if set(compose["services"]) != SERVICES:
        yield f"services are {sorted(compose['services'])}"
    targets = re.findall(r"^FROM .* AS (\w+)$", (CONTAINERS / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for name, service in compose["services"].items():
        yield from (f"{name}: {finding}" for finding in service_findings(name, service, compose, targets))
    for name, secret in compose["secrets"].items():
        if not str(secret.get("file", "")).startswith("./secrets/"):
            yield f"secret {name} is no file below secrets"


def service_findings(name: str, service: Tree, compose: Tree, targets: list[str]) -> Iterator[str]:
    """Yield what is wrong with one service."""
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    build = service.get("build", {}).get("target")
    data = f"{name}:/var/lib/postgresql/data"
    rules = {
        "has no limits of cpus and memory": not {"cpus", "memory"} <= set(limits),
        "has no health check": name not in ONE_SHOT and "test" not in service.get("healthcheck", {}),
        "is built from no stage of the Dockerfile": build not in targets,
        "has an image without a version": not re.search(r":(?!latest$)[\w.-]+$", service.get("image", "")),
        "may gain privileges": service.get("privileged", False)
        or "no-new-privileges:true" not in service.get("security_opt", ()),
        "keeps capabilities": service.get("cap_drop") != ["ALL"],
        "publishes a port beyond loopback": any(
            not str(port).startswith("127.0.0.1:") for port in service.get("ports", ())
        ),
        "keeps its data in no volume of its own": build == "postgres" and data not in service.get("volumes", ()),
    }
    yield from (finding for finding, is_wrong in rules.items() if is_wrong)
    yield from reference_findings(service, compose)


def reference_findings(service: Tree, compose: Tree) -> Iterator[str]:
    """Yield what a service says of secrets, networks and other services, and is not so."""
    for variable, value in service.get("environment", {}).items():
        if re.search("PASSWORD|TRUST|AUTH_METHOD", variable) and not str(value).startswith("/run/secrets/"):
            yield f"has {variable} in its environment"
    for kind in ("secrets", "networks"):
        for name in service.get(kind, ()):
            if name not in compose[kind]:
                yield f"wants {name} of {kind}, which is not declared"
    for other, wait in service.get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        if wait.get("condition") != wanted:
            yield f"does not wait until {other} is ready"


def dockerfile_findings(text: str) -> Iterator[str]:
    """Yield what is wrong with a Dockerfile, by the rules of hadolint that matter here and by our own."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    stages: list[list[str]] = []
    for line in filter(None, map(str.strip, lines)):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
            rest = re.sub(r"\$\{(\w+)\}", lambda match: defaults.get(match[1], ""), rest)
        elif stages:
            stages[-1].append(line)
        yield from instruction_findings(word, rest)
    for stage in stages:
        users = [line.split()[1] for line in stage if line.startswith("USER ")]
        if not users or users[-1] in {"root", "0"}:
            yield "runs as root (DL3002)"
        if not any(line.startswith("HEALTHCHECK ") for line in stage):
            yield "says nothing of its health (DL3057)"


def instruction_findings(word: str, rest: str) -> Iterator[str]:
    """Yield what is wrong with one instruction."""
    apt, pip = "apt-get install" in rest, "pip install" in rest
    sources = rest.split()[:-1] if word == "COPY" else []
    rules = {
        "an image without a version (DL3006, DL3007)": word == "FROM"
        and not re.search(r":(?!latest$)[\w.-]+$", rest.split()[0]),
        "ADD instead of COPY (DL3020)": word == "ADD",
        "apt-get without --no-install-recommends (DL3015)": apt and "--no-install-recommends" not in rest,
        "apt's lists stay in the layer (DL3009)": apt and "rm -rf /var/lib/apt/lists/*" not in rest,
        "pip without hashes or with its cache (DL3042)": pip
        and not all(flag in rest for flag in ("--require-hashes", "--no-cache-dir")),
        "a secret in the image": word in {"ENV", "ARG"} and bool(re.search("PASSWORD|SECRET|TOKEN", rest)),
        "COPY of what is not there, or of all": any(name == "." or not (ROOT / name).exists() for name in sources),
    }
    yield from (finding for finding, is_wrong in rules.items() if is_wrong)


def read_compose() -> Tree:
    """Return the compose file."""
    compose: Tree = yaml.safe_load((CONTAINERS / "compose.yaml").read_text(encoding="utf-8"))
    return compose


def test_compose_file_is_right() -> None:
    assert list(compose_findings(read_compose())) == []


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        ("warehouse.deploy.resources.limits", {}, "warehouse: has no limits"),
        ("warehouse.healthcheck", {}, "warehouse: has no health check"),
        ("warehouse.ports", ["54322:5432"], "beyond loopback"),
        ("warehouse.volumes", [], "in no volume of its own"),
        ("warehouse.environment.POSTGRES_PASSWORD", "postgres", "has POSTGRES_PASSWORD in its environment"),
        ("warehouse.environment.POSTGRES_HOST_AUTH_METHOD", "trust", "has POSTGRES_HOST_AUTH_METHOD"),
        ("warehouse.image", "headrace/postgres:latest", "without a version"),
        ("dashboard.privileged", True, "may gain privileges"),
        ("dashboard.cap_drop", [], "keeps capabilities"),
        ("dashboard.secrets", ["other"], "which is not declared"),
        ("dashboard.networks", ["other"], "which is not declared"),
        ("dashboard.depends_on.deploy.condition", "service_started", "does not wait until deploy is ready"),
        ("deploy.build.target", "other", "no stage of the Dockerfile"),
    ],
)
def test_faults_in_the_compose_file_are_found(path: str, value: object, finding: str) -> None:
    compose = copy.deepcopy(read_compose())
    *parents, last = path.split(".")
    node = compose["services"]
    for name in parents:
        node = node[name]
    node[last] = value
    assert finding in "\n".join(compose_findings(compose))


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    """Where Docker's client has the plugin."""
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    done = subprocess.run(
        [docker, "compose", "--file", CONTAINERS / "compose.yaml", "config", "--quiet"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_dockerfile_is_right() -> None:
    """And nothing but what it copies is sent to the engine."""
    text = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
    assert list(dockerfile_findings(text)) == []
    ignored = (CONTAINERS / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
    assert "*" in ignored
    assert "db/containers/secrets" in ignored
    copied = {
        source.split("/")[0] for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for source in line.split()[:-1]
    }
    assert copied == {line[1:] for line in ignored if line.startswith("!")}


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("postgres:17-bookworm", "postgres", "DL3006"),
        ("python:3.12-slim-bookworm", "python:latest", "DL3007"),
        (" --no-install-recommends postgresql-client", " postgresql-client", "DL3015"),
        ("    && rm -rf /var/lib/apt/lists/* \\\n    && useradd", "    && useradd", "DL3009"),
        ("--require-hashes", "", "DL3042"),
        ("USER 10001", "USER root", "DL3002"),
        ("HEALTHCHECK NONE\n", "", "DL3057"),
        ("COPY alembic.ini ./", "COPY . ./", "COPY of what is not there, or of all"),
        ("COPY alembic.ini ./", "ADD alembic.ini ./", "DL3020"),
        ("ENV PYTHONPATH", "ENV PGPASSWORD=x PYTHONPATH", "a secret in the image"),
    ],
)
def test_faults_in_the_dockerfile_are_found(old: str, new: str, finding: str) -> None:
    text = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
    assert old in text
    assert finding in "\n".join(dockerfile_findings(text.replace(old, new)))


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """One for each that the compose file names, random, in a directory that keeps others out; never made anew."""
    make = ["sh", str(CONTAINERS / "make_secrets.sh"), str(tmp_path / "secrets")]
    subprocess.run(make, check=True)
    first = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert set(first) == set(read_compose()["secrets"])
    assert len(set(first.values())) == len(first)
    assert all(re.fullmatch(r"[\w-]{32}", text) for text in first.values())
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    subprocess.run(make, check=True)
    assert {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()} == first


def unpack_tools(image: Path) -> None:
    """Put into a directory what the image of the tools copies from the checkout, and nothing else."""
    stage = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8").split(" AS tools\n")[1].split("\nFROM ")[0]
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", stage, re.MULTILINE):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, image / target, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
        else:
            (image / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, image / target)


@pytest.fixture
def started(
    tmp_path: Path, operational_server: Server, warehouse_template: Database, blank: Database
) -> Iterator[tuple[Database, Database, Callable[..., subprocess.CompletedProcess[str]], dict[str, str]]]:
    """Yield an empty operational database, an empty warehouse, and what runs a script as its container does."""
    warehouse_server = warehouse_template.server
    secrets, image = tmp_path / "secrets", tmp_path / "image"
    secrets.mkdir()
    unpack_tools(image)
    with database(operational_server, f"compose_{os.getpid()}") as operational:
        for name, password in {
            "operational_password": operational_server.password,
            "warehouse_password": warehouse_server.password,
            "source_password": operational_server.passwords[SOURCE_ROLE],
            "reader_password": warehouse_server.passwords["headrace_reader"],
        }.items():
            (secrets / name).write_text(password)
        environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(image),
            "SECRETS": str(secrets),
            "WAREHOUSE_HOST": warehouse_server.host,
            "WAREHOUSE_PORT": str(warehouse_server.port),
            "WAREHOUSE_DB": blank.name,
            "OPERATIONAL_HOST": operational_server.host,
            "OPERATIONAL_PORT": str(operational_server.port),
            "OPERATIONAL_DB": operational.name,
        }

        def script(name: str, **more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["sh", image / "db/containers" / name],
                env=environment | more,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )

        yield operational, blank, script, environment
        if blank.query("select from pg_catalog.pg_namespace where nspname = 'etl'"):
            blank.execute("call etl.drop_slots()")
        cron = warehouse_server.database(CRON_DATABASE)
        if cron.value("select to_regclass('cron.job') is not null"):
            cron.execute("select cron.unschedule(jobid) from cron.job where database = %s", [blank.name])
        cron.close()


def test_scripts_of_the_containers(
    started: tuple[Database, Database, Callable[..., subprocess.CompletedProcess[str]], dict[str, str]],
) -> None:
    """They make the shop, deploy, register, serve the dashboard; again they change nothing; no password is said."""
    operational, warehouse, script, environment = started
    server = operational.server
    made = script(
        "make_operational.sh",
        HEADRACE_OPERATIONAL=str(ROOT / "db/operational"), HEADRACE_ROWS="200", POSTGRES_DB=operational.name,
        PGHOST=server.host, PGPORT=str(server.port), PGPASSWORD=server.password, POSTGRES_USER=server.user,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert operational.value("select count(*) from public.sales") == 200

    for _ in range(2):
        done = script("deploy.sh")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.endswith("deploy: done\n")
        assert not any(file.read_text() in done.stdout + done.stderr for file in Path(environment["SECRETS"]).iterdir())
    assert warehouse.query("select source_name, capture, key_columns from etl.source_table order by 1") == [
        ("customers", "log", ["id"]), ("products", "log", ["id"]), ("sales", "log", None)
    ]  # fmt: skip
    warehouse.execute("call etl.run('sales')")
    in_quarantine = warehouse.value("select count(*) from stg.quarantine where mirror = 'sales'")
    assert warehouse.value("select count(*) from dwh.fact_sales") + in_quarantine == 200

    port = free_port()
    serve = Path(environment["PYTHONPATH"]) / "db/containers/dashboard.sh"
    serving = subprocess.Popen(["sh", serve], env=environment | {"DASHBOARD_PORT": str(port)})
    try:
        assert "<html" in page(port)
    finally:
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(20) == 0


def page(port: int) -> str:
    """Return the dashboard's page, once it is served."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                text: str = answer.read().decode()
                return text
        except ConnectionError:
            time.sleep(0.1)
        except OSError as error:
            if not isinstance(getattr(error, "reason", None), ConnectionError):
                raise
            time.sleep(0.1)
    pytest.fail("the dashboard did not start")


def test_deploy_fails_with_its_reason(
    started: tuple[Database, Database, Callable[..., subprocess.CompletedProcess[str]], dict[str, str]],
) -> None:
    """A warehouse that does not let it in: the container ends with an error, and compose starts it again."""
    _, _, script, environment = started
    secrets = Path(environment["SECRETS"])
    (secrets / "warehouse_password").write_text("wrong-password")
    done = script("deploy.sh")
    assert done.returncode != 0
    assert "password authentication failed" in done.stdout + done.stderr
    assert "wrong-password" not in done.stdout + done.stderr
