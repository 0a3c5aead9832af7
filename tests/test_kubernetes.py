"""The manifests for Kubernetes fit its schemas and each other, each rule finds a planted fault, what they run works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
import yaml
from alembic import command
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.backups import Backups
from tests.conftest import CRON_DATABASE, ROOT, alembic
from tests.support import Database, Server

HERE = Path(__file__).resolve().parent
LOCK = HERE / "kubernetes.lock"
KUBERNETES = ROOT / "db" / "kubernetes"
VERSION = "1.31.0"
CRON = "spec.jobTemplate.spec.template"
OPERATORS = ("Cluster", "ScheduledBackup", "ObjectStore")
PODS = ("Job", "CronJob", "Deployment")
Tree = dict[str, Any]


# ---------------------------------------------------------------------------------------------------------------------
# What there is
# ---------------------------------------------------------------------------------------------------------------------
def kustomization() -> Tree:
    """Return the kustomization of the whole."""
    tree: Tree = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))
    return tree


def manifests(directory: Path = KUBERNETES) -> list[Tree]:
    """Return every object that a kustomization names, and those of kustomizations that it names."""
    objects: list[Tree] = []
    for name in yaml.safe_load((directory / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]:
        path = directory / name
        if path.is_dir():
            objects += manifests(path)
        else:
            objects += filter(None, yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return objects


def changed(kind: str, path: str, value: object) -> list[Tree]:
    """Return the objects with a fault planted in the first of a kind."""
    objects = manifests()
    node: Any = next(each for each in objects if each["kind"] == kind)
    *parents, last = path.split(".")
    for name in parents:
        node = node[int(name)] if name.isdigit() else node[name]
    node[int(last) if last.isdigit() else last] = value
    return objects


def pods(objects: list[Tree]) -> Iterator[tuple[str, Tree]]:
    """Yield the pods that the objects make, each with its object's name."""
    for each in objects:
        if each["kind"] in PODS:
            spec = each["spec"]["jobTemplate"]["spec"] if each["kind"] == "CronJob" else each["spec"]
            yield each["metadata"]["name"], spec["template"]


# ---------------------------------------------------------------------------------------------------------------------
# Schemas
# ---------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def schemas() -> zipfile.ZipFile:
    """Return the archive with Kubernetes' own schemas, fetched by its hash; the next test run finds it there."""
    digest = LOCK.read_text(encoding="utf-8").rsplit("sha256:", 1)[1][:12]
    place = Path(sys.prefix) / "kubernetes" / digest  # goes with the virtual environment
    place.parent.mkdir(exist_ok=True)
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            new = Path(folder, "new")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
            pinned = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(LOCK)]
            done = subprocess.run([*pip, *pinned, "--dest", str(new)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            if not place.exists():  # another test process may have been faster
                new.rename(place)
    (archive,) = place.iterdir()
    return zipfile.ZipFile(archive)


def schema_findings(objects: list[Tree], archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield what does not fit: core kinds by Kubernetes' schemas, those of the operator by our list of its fields."""
    folder = f"kubernetes_validate/kubernetes-json-schema/v{VERSION}-local-strict"
    definitions = json.loads(archive.read(f"{folder}/_definitions.json"))
    registry: Registry[Any] = Registry().with_resource("/api/_definitions.json", DRAFT7.create_resource(definitions))
    operators = yaml.safe_load((HERE / "cloudnative_pg.yaml").read_text(encoding="utf-8"))
    for each in objects:
        *group, version = each["apiVersion"].split("/")
        name = f"{each['apiVersion']} {each['kind']}"
        if name in operators:
            schema, part = {**operators[name], "$defs": operators["$defs"]}, each["spec"]
        else:
            file = "-".join([each["kind"].lower(), *(text.partition(".")[0] for text in group), version])
            if f"{folder}/{file}.json" not in archive.namelist():
                yield f"{name} is no kind that is known"
                continue
            schema, part = json.loads(archive.read(f"{folder}/{file}.json")), each
        for error in jsonschema.Draft7Validator(schema, registry=registry).iter_errors(part):
            yield f"{each['kind']} {each['metadata']['name']}: {error.json_path}: {error.message}"


def test_manifests_fit_the_schemas(schemas: zipfile.ZipFile) -> None:
    assert list(schema_findings(manifests(), schemas)) == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "finding"),
    [
        ("Deployment", "spec.replica", 1, "'replica' was unexpected"),
        ("Deployment", "apiVersion", "apps/v2", "no kind that is known"),
        ("Service", "spec.ports.0.port", "http", "is not of type"),
        ("Job", "spec.template.spec.containers.0.volumeMount", [], "'volumeMount' was unexpected"),
        ("CronJob", "spec.jobTemplate.spec.template.spec.containers.0.image", 17, "is not of type"),
        ("CronJob", "spec.schedules", "17 2 * * *", "'schedules' was unexpected"),
        ("PersistentVolumeClaim", "spec.accessModes", "ReadWriteOnce", "is not of type"),
        ("NetworkPolicy", "spec.podSelectors", {}, "'podSelectors' was unexpected"),
        ("Cluster", "spec.instances", 0, "less than the minimum"),
        ("Cluster", "spec.postgresql.parameters.max_worker_processes", 32, "is not of type 'string'"),
        ("Cluster", "spec.bootstrap.initdb.sql", [], "'sql' was unexpected"),
        ("ScheduledBackup", "spec.schedule", "30 1 * * *", "does not match"),
        ("ObjectStore", "spec.configuration.data.compression", "lz4", "is not one of"),
    ],
)  # fmt: skip
def test_what_no_schema_has_is_found(
    kind: str, path: str, value: object, finding: str, schemas: zipfile.ZipFile
) -> None:
    assert finding in "\n".join(schema_findings(changed(kind, path, value), schemas))


# ---------------------------------------------------------------------------------------------------------------------
# What no schema says
# ---------------------------------------------------------------------------------------------------------------------
def manifest_findings(objects: list[Tree]) -> Iterator[str]:
    """Yield what is wrong with the objects."""
    kinds: dict[str, list[Tree]] = {}
    for each in objects:
        kinds.setdefault(each["kind"], []).append(each)
        if not each.get("apiVersion") or not each.get("metadata", {}).get("name"):
            yield f"{each['kind']} has no name or version"
    for kind in (*OPERATORS, *PODS, "Service", "NetworkPolicy", "PersistentVolumeClaim"):
        if kind not in kinds:
            yield f"no {kind}"
            return
    for name, template in pods(objects):
        found = [*pod_findings(template["spec"]), *reference_findings(template, kinds)]
        yield from (f"{name}: {finding}" for finding in found)
    yield from cluster_findings(kinds)


def cluster_findings(kinds: dict[str, list[Tree]]) -> Iterator[str]:
    """Yield what is wrong with the cluster, its backups and who reaches it."""
    (cluster,), (backup,), (store,) = kinds["Cluster"], kinds["ScheduledBackup"], kinds["ObjectStore"]
    plugins = {p["name"]: p for p in cluster["spec"].get("plugins", ())}
    plugin = plugins.get(backup["spec"].get("pluginConfiguration", {}).get("name"), {})
    server = cluster["spec"]["postgresql"]
    rules = {
        "what is backed up is not the cluster": backup["spec"]["cluster"]["name"] != cluster["metadata"]["name"],
        "WAL is not archived to the store": not plugin.get("isWALArchiver")
        or plugin.get("parameters", {}).get("barmanObjectName") != store["metadata"]["name"],
        "pg_cron is not loaded": "pg_cron" not in server.get("shared_preload_libraries", ()),
        "pg_cron lives in another database": server["parameters"].get("cron.database_name")
        != cluster["spec"]["bootstrap"]["initdb"]["database"],
        "what no policy names may be reached": not any(
            policy["spec"]["podSelector"] == {} and "Ingress" in policy["spec"]["policyTypes"]
            for policy in kinds["NetworkPolicy"]
            if not policy["spec"].get("ingress")
        ),
    }
    yield from (finding for finding, is_wrong in rules.items() if is_wrong)


def pod_findings(pod: Tree) -> Iterator[str]:
    """Yield what is wrong with a pod: Kubernetes' standard "restricted", limits, secrets as secrets."""
    context = pod.get("securityContext", {})
    if not context.get("runAsNonRoot") or pod.get("automountServiceAccountToken") is not False:
        yield "may be root, or speak to the API"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "may make any system call"
    volumes = {volume["name"] for volume in pod.get("volumes", ())}
    for container in pod["containers"]:
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
            yield "may gain privileges"
        if not container.get("resources", {}).get("limits", {}).get("memory"):
            yield "has no limit of memory"
        for variable in container.get("env", ()):
            if re.search("PASSWORD|DSN", variable["name"]) and "secretKeyRef" not in variable.get("valueFrom", {}):
                yield f"has {variable['name']} as text"
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in volumes:
                yield f"mounts {mount['name']}, which is no volume"


def reference_findings(template: Tree, kinds: dict[str, list[Tree]]) -> Iterator[str]:
    """Yield what a pod names of others, and is not so: images, claims, secrets, and who lets it in."""
    (cluster,) = (each["metadata"]["name"] for each in kinds["Cluster"])
    page = (ROOT / "docs" / "integrate.md").read_text(encoding="utf-8")
    images = {each["name"] for each in kustomization()["images"]}
    claims = {each["metadata"]["name"] for each in kinds["PersistentVolumeClaim"]}
    text = json.dumps(template["spec"])
    for container in template["spec"]["containers"]:
        if container["image"] not in images:
            yield f"runs {container['image']}, which the kustomization does not name"
        for variable in container.get("env", ()):
            if variable["name"] == "WAREHOUSE_HOST" and variable["value"] != f"{cluster}-rw":
                yield f"looks for the warehouse at {variable['value']}"
    yield from (f"claims {name}" for name in re.findall(r'"claimName": "([^"]+)"', text) if name not in claims)
    for name in re.findall(r'"secretName": "([^"]+)"', text) + re.findall(r'"secretKeyRef": {"name": "([^"]+)"', text):
        if name != f"{cluster}-app" and f"secret generic {name} " not in page:
            yield f"takes a secret {name} that docs/integrate.md does not make"
    label = template["metadata"]["labels"]["app.kubernetes.io/name"]
    (policy,) = [each for each in kinds["NetworkPolicy"] if each["metadata"]["name"] == "warehouse"]
    if label not in policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0]["values"]:
        yield "is not let in by the warehouse"


def test_manifests_are_right() -> None:
    assert list(manifest_findings(manifests())) == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "finding"),
    [
        ("ScheduledBackup", "spec.cluster.name", "other", "what is backed up is not the cluster"),
        ("Cluster", "spec.plugins", [], "WAL is not archived"),
        ("Cluster", "spec.postgresql.shared_preload_libraries", [], "pg_cron is not loaded"),
        ("Cluster", "spec.bootstrap.initdb.database", "other", "pg_cron lives in another database"),
        ("Job", "spec.template.spec.securityContext", {}, "deploy: may be root"),
        ("Job", "spec.template.spec.containers.0.env.0", {"name": "DSN", "value": "x"}, "has DSN as text"),
        ("Deployment", "spec.template.spec.containers.0.securityContext", {}, "dashboard: may gain privileges"),
        ("Deployment", "spec.template.spec.containers.0.resources", {}, "no limit of memory"),
        ("Deployment", "spec.template.spec.volumes", [], "which is no volume"),
        ("NetworkPolicy", "spec.podSelector", {"matchLabels": {}}, "may be reached"),
        ("Service", "kind", "Nothing", "no Service"),
        ("CronJob", f"{CRON}.spec.securityContext.seccompProfile", {}, "headrace-backup: may make any system call"),
        ("CronJob", f"{CRON}.spec.containers.0.image", "headrace/other", "which the kustomization does not name"),
        ("CronJob", f"{CRON}.spec.volumes.0.persistentVolumeClaim.claimName", "other", "headrace-backup: claims other"),
        ("CronJob", f"{CRON}.metadata.labels", {"app.kubernetes.io/name": "x"}, "is not let in by the warehouse"),
        ("CronJob", f"{CRON}.spec.containers.0.env.0.valueFrom.secretKeyRef.name", "other", "takes a secret other"),
        ("Deployment", "spec.template.spec.containers.0.env.0.value", "other-rw", "for the warehouse at other-rw"),
    ],
)  # fmt: skip
def test_faults_in_manifests_are_found(kind: str, path: str, value: object, finding: str) -> None:
    assert finding in "\n".join(manifest_findings(changed(kind, path, value)))


def test_kustomize_takes_the_manifests(schemas: zipfile.ZipFile) -> None:
    """Where kubectl is: all objects come out, right ones, in the namespace, their images with versions."""
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", KUBERNETES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    assert len(objects) == len(manifests())
    assert list(schema_findings(objects, schemas)) == []
    used = {pod["spec"]["containers"][0]["image"] for _, pod in pods(objects)}
    assert used == {f"{each['newName']}:{each['newTag']}" for each in kustomization()["images"]}
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"} == {"headrace"}


def test_what_the_cluster_prepares_lets_a_plain_administrator_deploy(
    warehouse_server: Server, blank: Database, tmp_path: Path
) -> None:
    """The statements run as CloudNativePG runs them, as superuser; then the database's owner deploys and backs up."""
    (cluster,) = [each for each in manifests() if each["kind"] == "Cluster"]
    initdb = cluster["spec"]["bootstrap"]["initdb"]
    admin, password = f"{initdb['owner']}_{os.getpid()}", "not-a-secret"
    blank.execute(f"create role {admin} login password '{password}'; alter database {blank.name} owner to {admin}")
    try:
        for statement in initdb["postInitApplicationSQL"]:
            if "cron" in statement:
                continue  # it lives in one database of a server, here in another one
            try:
                blank.execute(statement.replace(initdb["owner"], admin))
            except psycopg.errors.DuplicateObject:
                assert statement.startswith("create role")  # of another warehouse of this test run
        alembic(blank.dsn_of(admin, password), command.upgrade, "head")
        assert blank.value("select count(*) from etl.deployed_file") > 0
        backups = Backups(tmp_path / "backups", blank, {"WAREHOUSE_DSN": blank.dsn_of(admin, password)})
        said = backups.run("backup", "logical", "all") + backups.run("verify")
        assert "is good" in said
        assert password not in said
    finally:
        cron = warehouse_server.database(CRON_DATABASE)
        if cron.value("select to_regclass('cron.job') is not null"):
            cron.execute("select cron.unschedule(jobid) from cron.job where database = %s", [blank.name])
        cron.close()
        blank.execute(f"reassign owned by {admin} to {blank.server.user}; drop owned by {admin} cascade")
        blank.execute(f"drop role {admin}")
