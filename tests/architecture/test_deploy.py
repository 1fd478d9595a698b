"""What deploy/ names exists: metrics and their labels, addresses, ports, secrets, verbs, and the image's own user."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp import web

from bridge.cli import app
from bridge.cli.verbs import BAD_USAGE
from bridge.contract.role import Role
from bridge.edge.health import Health
from bridge.edge.telemetry import Telemetry
from bridge.registry import Registry
from config.load import Loaded, load
from config.settings import Dispatch, Server
from tests.architecture.plain_yaml import NotPlain, read
from tests.architecture.source import ROOT

DEPLOY = ROOT / "deploy"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = DEPLOY / "compose"
KUBERNETES = DEPLOY / "kubernetes"
DASHBOARD = DEPLOY / "grafana" / "registration-bridge.json"
RULES = DEPLOY / "prometheus" / "bridge.rules.yaml"
_OF_PROMETHEUS = {"up": {"job", "instance"}}
_OF_EVERY_SERIES = {"job", "instance"}
_DRAIN = Dispatch().deadline.total_seconds() + 10  # what is in flight, and the listeners' own patience


@cache
def kube(name: str) -> Any:
    return read(KUBERNETES / f"{name}.yaml")


@cache
def exported() -> dict[str, set[str]]:
    """Return every series that the bridge can export, with its labels, made by exporting one of each."""
    telemetry = Telemetry()
    series: dict[str, set[str]] = {}
    for collector in set(telemetry.registry._names_to_collectors.values()):
        labels = list(collector._labelnames)
        (collector.labels(*labels) if labels else collector).collect()
    for line in telemetry.text().decode().splitlines():
        if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            series.setdefault(match[1], set()).update(re.findall(r"(\w+)=", match[2] or ""))
    return series


def faults(expression: str) -> list[str]:
    """Return what is wrong with the names in an expression."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    known = exported() | _OF_PROMETHEUS
    named = [(name, inside) for name, inside in re.findall(r"\b(bridge_\w+|up)\b(?:\{([^}]*)\})?", bare)]
    wrong = [f"no metric {name}" for name, _ in named if name not in known]
    for name, inside in named:
        wrong += [
            f"{name} has no label {label}"
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside)
            if label not in known.get(name, set()) | _OF_EVERY_SERIES
        ]
    grouped = {label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", bare) for label in labels.split(",")}
    shared = set.intersection(*(known.get(name, set()) for name, _ in named)) if named else set()
    wrong += [f"cannot group by {label}" for label in sorted(grouped - shared - _OF_EVERY_SERIES)]
    if not named:
        wrong.append("no metric at all")
    if any(bare.count(left) != bare.count(right) for left, right in ("()", "{}", "[]")):
        wrong.append("unbalanced")
    return wrong


def expressions() -> list[tuple[str, str]]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    shown = [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
    return shown + [(rule["alert"], rule["expr"]) for rule in rules()]


def rules() -> list[dict[str, Any]]:
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_a_graph_or_an_alert_asks_for_what_is_exported(where: str, expression: str) -> None:
    """A name that nothing exports would be an alert that never comes."""
    assert faults(expression) == []


def test_the_check_of_names_can_fail() -> None:
    """A wrong metric, a wrong label, a wrong grouping, a bracket too few."""
    assert faults("rate(bridge_recieved_total[5m])") == ["no metric bridge_recieved_total"]
    assert faults('bridge_deliveries{source="a"}') == ["bridge_deliveries has no label source"]
    assert faults("sum by (source) (bridge_deliveries)") == ["cannot group by source"]
    assert faults("sum by (target) (bridge_deliveries") == ["unbalanced"]
    assert faults("bridge_attempt_seconds") == ["no metric bridge_attempt_seconds"]


def test_variables_of_the_dashboard_ask_for_what_is_exported() -> None:
    """Each is the label of a metric that has it."""
    for variable in json.loads(DASHBOARD.read_text(encoding="utf-8"))["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
            assert asked is not None
            assert asked[2] in exported()[asked[1]]


def test_what_is_worth_an_alarm_has_one() -> None:
    """Every metric of docs/operations.md whose last column names an alarm is asked for by a rule."""
    rows = re.findall(r"^\| `(bridge_\w+)` \|[^|]*\|.*\| ([^|]*) \|$", OPERATIONS, re.MULTILINE)
    worth = {name for name, alarm in rows if alarm.strip()}
    assert worth
    asked = " ".join(rule["expr"] for rule in rules())
    assert {name for name in worth if name not in asked} == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """In words, with verbs that exist and labels that the expression leaves."""
    assert rule["labels"]["severity"] in ("page", "ticket")
    told = rule["annotations"]["summary"] + " " + rule["annotations"]["do"]
    assert len(rule["annotations"]["do"]) > 40
    left = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in labels.split(",")}
    assert set(re.findall(r"\$labels\.(\w+)", told)) <= left | (_OF_EVERY_SERIES if "up{" in rule["expr"] else set())
    verbs = set(typer.main.get_command(app).commands)
    named = set(re.findall(r"(?<!the )(?<!a )\bbridge ([a-z]+)", told))  # "the bridge goes on" is no verb
    assert named <= verbs


def configuration(text: str, folder: str, tmp_path: Path) -> Loaded:
    """Load a configuration whose secrets stand in files."""
    for name in re.findall(rf'"{folder}/(\w+)"', text):
        secret = tmp_path / name
        secret.write_text("postgresql://bridge:pw@database/bridge" if name == "ledger_url" else f"made-up-{name}")
        secret.chmod(0o600)
    written = tmp_path / "bridge.toml"
    written.write_text(text.replace(f"{folder}/", f"{tmp_path}/"))
    return load(written, Registry(), env={})


def test_the_configuration_of_compose_is_valid(tmp_path: Path) -> None:
    """It starts without a warning, on the shared ledger, and each of its secrets is declared and handed over."""
    text = (COMPOSE / "bridge.toml").read_text(encoding="utf-8")
    found = configuration(text, "/run/secrets", tmp_path)
    assert found.warnings == ()
    assert found.settings.ledger.url.startswith("postgresql://")
    named = set(re.findall(r"/run/secrets/(\w+)", text))
    services = read(COMPOSE / "compose.yaml")
    assert named <= set(services["secrets"])
    for bridge in ("bridge-1", "bridge-2"):
        assert set(services["services"][bridge]["secrets"]) == named


def test_compose_fits_the_image() -> None:
    """The configuration lies where the image looks for it, the grace is longer than the drain, the database is not exposed."""
    services = read(COMPOSE / "compose.yaml")["services"]
    where = re.search(r"BRIDGE_CONFIG=(\S+)", DOCKERFILE)
    assert where is not None
    for name in ("bridge-1", "bridge-2"):
        assert f"./bridge.toml:{where[1]}:ro" in services[name]["volumes"]
        assert int(services[name]["stop_grace_period"].removesuffix("s")) > _DRAIN
        assert services[name]["read_only"] is True
        assert (COMPOSE / services[name]["build"]["context"]).resolve() == ROOT
    assert "ports" not in services["database"]
    assert [name for name, service in services.items() if "healthcheck" not in service] == ["bridge-1", "bridge-2"]
    assert "HEALTHCHECK" in DOCKERFILE


def test_the_proxy_logs_no_query_and_no_claim_code() -> None:
    """Nothing that holds a request line is logged, and what stands behind /claim/ is left out."""
    text = re.sub(r"#.*", "", (COMPOSE / "nginx.conf").read_text(encoding="utf-8"))
    form = re.search(r"log_format bridge (.*?);\n", text, re.DOTALL)
    assert form is not None
    logged = set(re.findall(r"\$(\w+)", form[1]))
    assert not logged & {"request", "request_uri", "uri", "args", "query_string", "http_referer", "request_body"}
    assert "logged_path" in logged
    masked = re.search(r'map \$uri \$logged_path \{\s*default +\$uri;\s*"~(\S+)" (\S+);', text)
    assert masked is not None
    assert re.match(masked[1], "/claim/ABCD-EFGH")
    assert masked[2] == "/claim/-"
    assert re.findall(r"access_log \S+ (\w+);", text) == ["bridge"]
    assert re.findall(r"error_log \S+ (\w+);", text) == ["crit"]


def test_the_proxy_leads_to_the_bridges() -> None:
    """By their names and their port; it takes no smaller body than they do; it does not show what is for the inside."""
    text = (COMPOSE / "nginx.conf").read_text(encoding="utf-8")
    services = read(COMPOSE / "compose.yaml")["services"]
    port = Server().port
    assert set(re.findall(r"server ([\w-]+:\d+)", text)) == {f"{name}:{port}" for name in services if "bridge" in name}
    taken = re.search(r"client_max_body_size (\d+)k;", text)
    assert taken is not None
    assert int(taken[1]) * 1024 > Server().max_body
    for hidden in ("/metrics", "/readyz"):
        assert re.search(rf"location = {hidden} {{\s*return 404;", text)


def routes() -> set[str]:
    router = web.Application().router
    health = Health.__new__(Health)
    health.add_probes_to(router)
    health.add_metrics_to(router)
    return {resource.canonical for resource in router.resources()}


DEPLOYMENTS = ("ingest", "dispatch")


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_pod_is_what_the_code_expects(name: str, tmp_path: Path) -> None:
    """Role, ports, probes, secrets and grace are those of the configuration beside it and of the image."""
    spec = kube(name)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["args"] == ["run", "--role", Role(name).value]
    text = kube("configmap")["data"]["bridge.toml"]
    found = configuration(text, "/run/secrets/bridge", tmp_path)
    assert found.warnings == ()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": found.settings.server.port, "metrics": found.settings.admin.port}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in routes()
        assert asked["port"] in ports
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    notes = kube(name)["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/path"] in routes()
    assert int(notes["prometheus.io/port"]) == ports["metrics"]
    named = set(re.findall(r"/run/secrets/bridge/(\w+)", text))
    assert named == set(read(KUBERNETES / "secret.example.yaml")["stringData"])
    waits = int(re.findall(r"sleep\((\d+)\)", container["lifecycle"]["preStop"]["exec"]["command"][2])[0])
    assert spec["terminationGracePeriodSeconds"] > _DRAIN + waits


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_pod_runs_as_the_image_s_user_and_may_do_nothing_else(name: str) -> None:
    """Not root, a root file system that it can't write, no capabilities, and every folder that it writes to is a volume."""
    spec = kube(name)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    user = re.search(r"--uid (\d+)", DOCKERFILE)
    assert user is not None
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == int(user[1])
    may = container["securityContext"]
    assert (may["readOnlyRootFilesystem"], may["allowPrivilegeEscalation"], may["capabilities"]) == (
        True,
        False,
        {"drop": ["ALL"]},
    )
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert set(mounted.values()) == volumes
    assert {"/tmp", re.findall(r"^WORKDIR (/var\S+)", DOCKERFILE, re.MULTILINE)[-1]} <= set(mounted)
    assert (
        container["env"][0]["value"]
        == f"{next(path for path, name in mounted.items() if name == 'config')}/bridge.toml"
    )
    assert {"requests", "limits"} <= set(container["resources"])


def test_the_manifests_point_at_each_other() -> None:
    """Selectors, names, ports; and everything but the example of the secret is applied."""
    deployment = kube("ingest")
    labels = {name: kube(name)["spec"]["template"]["metadata"]["labels"] for name in DEPLOYMENTS}
    shared = dict(labels["ingest"].items() & labels["dispatch"].items())
    ports = {
        port["name"]: port["containerPort"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    for name in DEPLOYMENTS:
        assert kube(name)["spec"]["selector"]["matchLabels"] == labels[name] != shared
    assert kube("service")["spec"]["selector"] == labels["ingest"]
    assert kube("service")["spec"]["ports"][0]["targetPort"] in ports
    assert kube("pdb")["spec"]["selector"]["matchLabels"] == shared
    assert kube("networkpolicy")["spec"]["podSelector"]["matchLabels"] == shared
    let_in = {port["port"] for rule in kube("networkpolicy")["spec"]["ingress"] for port in rule["ports"]}
    assert let_in == set(ports.values())
    scaled = kube("hpa")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert kube("hpa")["spec"]["minReplicas"] > kube("pdb")["spec"]["maxUnavailable"]
    applied = set(kube("kustomization")["resources"])
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert applied == there


def test_several_bridges_share_no_configuration_and_no_folder() -> None:
    """The unit for instances differs from the unit for one in its names alone: hardening and limits are the same."""
    one, many = (_unit(DEPLOY / name) for name in ("bridge.service", "bridge@.service"))
    differ = {line for line in one if line not in many} | {line for line in many if line not in one}
    assert {line.partition("=")[0] for line in differ} == {
        "Description",
        "StateDirectory",
        "WorkingDirectory",
        "EnvironmentFile",
        "Environment",
    }
    assert all("%i" in line for line in many if line not in one)


def _unit(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "["))]


def test_systemd_waits_for_the_drain_and_does_not_repeat_what_can_not_work() -> None:
    """The exit code for a bad configuration is the one that the command line gives."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(DEPLOY / "bridge.service")
    assert int(unit["Service"]["TimeoutStopSec"]) > _DRAIN
    assert int(unit["Service"]["RestartPreventExitStatus"]) == BAD_USAGE


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", ["bridge.service", "bridge@.service"])
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    """Every line is one that systemd knows; only the program itself is not installed here."""
    unit = tmp_path / name.replace("@.", "@1.")
    unit.write_text((DEPLOY / name).read_text(encoding="utf-8").replace("/opt/bridge/bin/bridge", "/bin/true"))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")


def test_the_image_is_built_from_what_is_there() -> None:
    """Everything that is copied exists, passes .dockerignore, and holds every package of the wheel."""
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.+) \./?\S*$", DOCKERFILE, re.MULTILINE) for name in line.split()
    }
    let_in = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    assert copied == let_in
    assert [name for name in copied if not (ROOT / name).exists()] == []
    packages = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert packages is not None
    assert set(re.findall(r'"(\w+)"', packages[1])) <= copied
    assert f"EXPOSE {Server().port}" in DOCKERFILE


@pytest.mark.parametrize("text", ["a: yes", "a: 'b'", "a: 1\na: 2", "a: >\n  b", "a: b: c", "- a\n b: c", "a: !x y"])
def test_what_is_not_plain_is_not_guessed_at(text: str, tmp_path: Path) -> None:
    """The reader of these files refuses what it does not know."""
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(NotPlain):
        read(tmp_path / "a.yaml")
