"""Registering with a Substra network: against a stand-in for its server, and with Substra's own local backends."""

import io
import json
import shutil
import socket
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from deepfake.checkpoints.checkpoint import load_model
from deepfake.cli.commandline import run_guarded
from federated.options import local_settings
from federated.plan.asset_keys import AssetKeys, read_keys, write_keys
from federated.plan.network import Network, explain, read_connection
from federated.plan.plan import OwnerAssets
from federated.plan.registering import Asked, register, run_plan
from federated.register import main, parse_args
from tests.data.substra_server import SubstraServer, substra_server

pytest.importorskip("substrafl")
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.federated, pytest.mark.slow]

TOKENS = {name: f"secret-token-of-{name}" for name in ("owner1", "owner2", "aggregator")}


@pytest.fixture
def servers(monkeypatch):
    """A network of two owners and an aggregator; their tokens are in the environment."""
    for name, token in TOKENS.items():
        monkeypatch.setenv(f"SUBSTRA_{name.upper()}_TOKEN", token)
    with (
        substra_server("Org1", TOKENS["owner1"]) as first,
        substra_server("Org2", TOKENS["owner2"]) as second,
        substra_server("Org3", TOKENS["aggregator"]) as third,
    ):
        yield dict(zip(TOKENS, (first, second, third)))


@pytest.fixture
def connection(servers, tmp_path) -> Path:
    return written(tmp_path, {name: {"backend_type": "remote", "url": s.url} for name, s in servers.items()})


def written(folder: Path, blocks: dict) -> Path:
    path = folder / "connection.yaml"
    path.write_text(yaml.safe_dump(blocks))
    return path


@pytest.fixture
def command(connection, owners, config_file, tmp_path, monkeypatch, run_main):
    """`command(option, ...)`: register.py in an empty folder; exit code, output, errors. Tokens are in neither."""
    monkeypatch.chdir(tmp_path)

    def call(*options: object, config: Path = connection, samples: Path = owners) -> tuple[int, str, str]:
        code, out, err = run_main(main, "--config", config, "--samples", samples, *options)
        assert not any(token in out + err for token in TOKENS.values())
        return code, out, err

    return call


def posted(server: SubstraServer) -> list[str]:
    return [path for method, path in server.requests if method == "POST"]


def test_everything_is_registered_once(command, servers, config_file, owners, project_root, tmp_path):
    options = ("--recipe", config_file, "--rounds", 2)
    code, out, err = command(*options)
    assert code == 0, err
    keys = json.loads((tmp_path / "assets_keys.json").read_text())
    for owner, organization in (("owner1", "Org1"), ("owner2", "Org2")):
        assets, server = keys["owners"][owner], servers[owner]
        assert assets["organization"] == organization
        (dataset,) = server.of_kind("data_manager")
        assert dataset["key"] == assets["dataset"] and f"{owner}: data set {dataset['key']}" in out
        assert set(dataset["permissions"]["authorized_ids"]) == {"Org1", "Org2", "Org3"}
        assert [s["key"] for s in server.of_kind("data_sample")] == assets["train"] + assets["test"]
        assert server.files["data_manager", "data_opener"] == [
            (project_root / "federated/owner/opener.py").read_bytes()
        ]
        assert server.files["data_manager", "description"] == [(owners / owner / "description.md").read_bytes()]
        sample = zipfile.ZipFile(io.BytesIO(server.files["data_sample", "file"][0]))
        assert {Path(name).name for name in sample.namelist()} == {"sample.json", "folds.csv"}
    (plan,) = servers["aggregator"].of_kind("compute_plan")
    tasks = servers["aggregator"].of_kind("task")
    # Two starts, three trainings and three tests at each of two owners, two averagings.
    assert len(tasks) == 2 + 2 * 3 + 2 * 3 + 2
    assert {task["worker"] for task in tasks} == {"Org1", "Org2", "Org3"}
    assert list(keys["plans"].values()) == [plan["key"]] and f"compute plan {plan['key']}: PLAN_STATUS_DOING" in out

    before = {name: list(posted(server)) for name, server in servers.items()}
    code, out, err = command(*options)
    assert code == 0, err
    assert {name: posted(server) for name, server in servers.items()} == before
    assert "registered before" in out and plan["key"] in out
    command("--recipe", config_file, "--rounds", 3)
    assert len(servers["aggregator"].of_kind("compute_plan")) == 2  # something else was asked for


def test_tasks_carry_the_project_and_the_start(command, servers, config_file):
    assert command("--recipe", config_file, "--rounds", 1)[0] == 0
    archives = servers["aggregator"].files["function", "file"]
    assert len(archives) >= 4  # start, train, average, test
    for archive in archives:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            names = tar.getnames()
            (wheel,) = [name for name in names if "deepfake_detection" in name and name.endswith(".whl")]
            content = zipfile.ZipFile(io.BytesIO(tar.extractfile(wheel).read())).namelist()
            dockerfile = tar.extractfile("Dockerfile").read().decode()
        assert {"start.pt", "function.py"} <= set(names)
        own = {"federated/owner/algorithm.py", "training/engine/trainer.py", "deepfake/models/networks/classifier.py"}
        assert own <= set(content)
        assert not any(name.startswith("tests/") for name in content)
        assert "start.pt" in dockerfile and "deepfake_detection" in dockerfile


def test_a_run_that_was_interrupted_goes_on(command, servers, tmp_path):
    assert command("--data-only")[0] == 0
    keys = read_keys(tmp_path / "assets_keys.json")
    known = keys.owners["owner1"]
    half = OwnerAssets(known.organization, known.dataset, known.train, [])
    write_keys(tmp_path / "assets_keys.json", AssetKeys({"owner1": half}, keys.fingerprints, keys.detections))
    before = len(posted(servers["owner1"])), len(posted(servers["owner2"]))
    code, out, _ = command("--data-only")
    assert code == 0 and "keys: assets_keys.json" in out
    after = len(posted(servers["owner1"])), len(posted(servers["owner2"]))
    assert (after[0] - before[0], after[1] - before[1]) == (1, 3)  # a sample; a data set and two samples
    keys = read_keys(tmp_path / "assets_keys.json")
    assert keys.owners["owner1"].train == known.train and keys.owners["owner1"].test


def test_an_owner_registers_alone_with_the_others_ids(servers, command, owners, tmp_path):
    samples = tmp_path / "own"
    shutil.copytree(owners / "owner1", samples / "owner1")
    blocks = {"owner1": {"url": servers["owner1"].url}}
    blocks |= {name: {"organization": id_} for name, id_ in (("owner2", "Org2"), ("aggregator", "Org3"))}
    config = written(tmp_path, blocks)
    code, _, err = command("--data-only", config=config, samples=samples)
    assert code == 0, err
    (dataset,) = servers["owner1"].of_kind("data_manager")
    assert set(dataset["permissions"]["authorized_ids"]) == {"Org1", "Org2", "Org3"}
    assert not servers["owner2"].requests and not servers["aggregator"].requests


def test_whoever_averages_needs_no_data(servers, command, config_file, tmp_path):
    assert command("--data-only")[0] == 0
    before = {owner: posted(servers[owner]) for owner in ("owner1", "owner2")}
    config = written(tmp_path, {"aggregator": {"url": servers["aggregator"].url}})
    code, out, err = command(
        "--plan-only", "--recipe", config_file, "--rounds", 1, config=config, samples=tmp_path / "none"
    )
    assert code == 0, err
    assert "starting 1 round(s) over owner1, owner2" in out
    assert {owner: posted(servers[owner]) for owner in before} == before
    assert servers["aggregator"].of_kind("task")


@pytest.mark.parametrize("status", ["PLAN_STATUS_FAILED", "PLAN_STATUS_CANCELED"])
def test_a_plan_that_failed_is_reported_and_can_be_started_anew(servers, command, config_file, tmp_path, status):
    options = ("--recipe", config_file, "--rounds", 1)
    servers["aggregator"].plan_status = status
    code, _, err = command(*options)
    assert code == 2 and status in err and 'delete its entry under "plans" in assets_keys.json' in err
    path = tmp_path / "assets_keys.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "plans": {}}))
    servers["aggregator"].plan_status = "PLAN_STATUS_DOING"
    assert command(*options)[0] == 0
    assert len(servers["aggregator"].of_kind("compute_plan")) == 2


def test_a_plan_needs_owners(command, config_file):
    code, _, err = command("--plan-only", "--recipe", config_file)
    assert code == 2 and "assets_keys.json: no owner's data; register some first" in err


def test_tokens_come_from_files_too(servers, command, tmp_path, monkeypatch):
    blocks = {}
    for name, server in servers.items():
        monkeypatch.delenv(f"SUBSTRA_{name.upper()}_TOKEN")
        (tmp_path / f"{name}.token").write_text(f"{TOKENS[name]}\n")
        blocks[name] = {"url": server.url, "token_file": f"{name}.token"}
    code, _, err = command("--data-only", config=written(tmp_path, blocks))
    assert code == 0, err


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, '{"detail": "Invalid token."}'), "refuses the token; make a new one on its web page"),
        ((403, '{"detail": "no"}'), "the token's account may not do this"),
        ((404, '{"detail": "Not found."}'), "there is no such thing there"),
        ((400, '{"detail": "name too long"}'), "refuses the request (name too long)"),
        ((500, "oops"), "failed; its administrator finds why in its log"),
        ((200, "<html>the web page</html>"), "answers, but not as Substra does"),
    ],
)
def test_what_a_server_refuses_is_explained(command, servers, answer, message, tmp_path):
    servers["owner2"].answer = answer
    code, _, err = command("--data-only")
    assert code == 2
    assert f"owner2 ({servers['owner2'].url}): asking who it is: {message}" in err
    assert not (tmp_path / "assets_keys.json").exists()


def test_a_server_that_is_not_there_is_reported(command, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        blocks = {name: {"url": url, "token": TOKENS[name]} for name in TOKENS}
        code, _, err = command("--data-only", config=written(tmp_path, blocks))
    assert code == 2 and f"aggregator ({url}): asking who it is: cannot be reached" in err


def test_a_failure_in_the_middle_keeps_what_is_done(command, servers, tmp_path):
    real = SubstraServer.keep

    def full(self, kind, content):
        if kind == "data_sample" and self is servers["owner2"]:
            self.answer = (500, "disk full")
        return real(self, kind, content)

    servers["owner2"].keep = full.__get__(servers["owner2"])
    command("--data-only")  # its first sample still gets an answer, the second does not
    keys = read_keys(tmp_path / "assets_keys.json").owners
    assert keys["owner1"].test and keys["owner2"].train and not keys["owner2"].test


def test_keys_of_another_network_are_reported(command, servers, tmp_path):
    assert command("--data-only")[0] == 0
    servers["owner1"].assets.clear()
    code, _, err = command("--data-only")
    assert code == 2 and "looking for data set" in err and "delete its entry" in err


def test_changed_samples_are_not_taken_for_the_registered_ones(command, owners, tmp_path):
    samples = Path(shutil.copytree(owners, tmp_path / "samples"))
    assert command("--data-only", samples=samples)[0] == 0
    shutil.rmtree(samples / "owner1" / "train")
    shutil.copytree(owners / "owner2" / "train", samples / "owner1" / "train")
    code, _, err = command("--data-only", samples=samples)
    assert code == 2 and "other data samples than those that were registered" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no readable connection file"),
        ("owner1: {url: http://a\ntoken: secret-token", "not YAML in line"),
        ("- a\n- b\n", "expected a block for each organisation"),
        ("owner1: {url: nowhere}\nowner2: {url: http://b}\naggregator: {}", "url 'nowhere'; expected the address"),
        ("owner1: {backend_type: cloud}\nowner2: {}\naggregator: {}", "backend_type 'cloud'; expected one of remote"),
        (
            "owner1: {url: http://a, token_file: missing}\nowner2: {}\naggregator: {}",
            "token_file .*: No such file",
        ),
        ("owner1: {url: http://a}\n", "no organisation owner2, whose samples are in"),
    ],
)
def test_a_connection_file_that_cannot_be_used_is_reported(command, tmp_path, text, message):
    path = tmp_path / "other.yaml"
    if text is not None:
        path.write_text(text)
    code, _, err = command("--data-only", config=path)
    assert code == 2 and "secret-token" not in err
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(err)


def test_an_aggregator_has_to_be_in_the_file(command, config_file):
    code, _, err = command("--recipe", config_file, "--aggregator", "nobody")
    assert code == 2 and "no organisation 'nobody'; it has aggregator, owner1, owner2" in err


def test_a_token_that_cannot_be_sent_is_not_shown(command, monkeypatch):
    monkeypatch.setenv("SUBSTRA_OWNER1_TOKEN", TOKENS["owner1"] + "\n")
    code, _, err = command("--data-only")
    assert code == 2 and "characters that no token has" in err


def test_a_backend_that_does_not_run_is_explained():
    from substra.sdk.exceptions import GatewayUnavailable

    # The client itself asks for five minutes again.
    assert "its backend does not run" in explain(GatewayUnavailable("502 Server Error", 502))
    assert explain(KeyError("a fault of ours")) is None


def test_the_shipped_connection_file_is_read(project_root):
    blocks = read_connection(project_root / "federated" / "connection.yaml")
    assert list(blocks) == ["owner1", "owner2", "aggregator"]
    assert not any("token" in block for block in blocks.values())


def test_a_plan_runs_on_substras_local_backends(owners, config_file, tmp_path, monkeypatch):
    """Through the same code as on a network, with everything that tasks carry: one owner, one round."""
    samples = tmp_path / "samples"
    shutil.copytree(owners / "owner2", samples / "owner2")
    monkeypatch.chdir(tmp_path)
    local = {"backend_type": "subprocess"}
    network = Network(written(tmp_path, {"owner2": local, "aggregator": local}))
    asked = Asked(network, samples, tmp_path / "assets_keys.json", tmp_path / "out")
    messages: list[str] = []
    keys = register(asked, messages.append)
    assert register(asked, messages.append).owners == keys.owners and "registered before" in messages[-1]
    args = parse_args(["--config", "unused", "--recipe", str(config_file), "--batch-norm", "local"])
    settings = local_settings(args, rounds=1)
    state = run_plan(asked, "aggregator", settings, None, False, False, messages.append)
    assert state.is_done and set(state.performances["round"]) == {0, 1}
    assert state.networks == [tmp_path / "out" / "federated_owner2.pt"]
    _, spec = load_model(state.networks[0])
    assert spec.training["federated"]["rounds"] == 1
    again = run_plan(asked, "aggregator", settings, None, False, False, messages.append)
    assert again.key == state.key and len(messages) == 5  # no second start
    # Another process' local backends know nothing of these keys.
    other = Asked(network, samples, tmp_path / "other_keys.json", tmp_path / "out")
    write_keys(other.keys, AssetKeys({"owner2": OwnerAssets("x", "8abe953c-5225-4c6a-b4e8-53249887ae10", [], [])}))
    errors: list[str] = []
    assert run_guarded(lambda: len(register(other, messages.append).owners), errors.append) == 2
    assert "there is no such thing there" in errors[0]
