"""The page in a real browser, without a network: no error, no request, and sliders that give the model's own risk."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gc_ray.report.chart import calculator
from gc_ray.report.compute import evaluate_all
from gc_ray.report.drift_page import drift_page
from gc_ray.report.files import PAGE, Report, report_of
from gc_ray.report.inputs import from_store
from gc_ray.report.paper import read_paper
from gc_ray.report.reproduction import reproduction_of

pytestmark = pytest.mark.slow
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000",
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints,MediaRouter", "--disable-default-apps",
    "--disable-extensions", "--disable-domain-reliability", "--disable-client-side-phishing-detection",
)  # fmt: skip
OWN = ("google.com", "googleapis.com")  # the browser asks these for updates and the time, whatever the page


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser; CI has it installed."""
    found = shutil.which("chromium")
    if found is None:
        reason = "Chromium is not installed: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def inputs(run, quick):
    """What the page was made from."""
    return from_store(run.store, quick, None)


@pytest.fixture(scope="module")
def report(inputs) -> Report:
    """The report of the run."""
    return report_of(evaluate_all(inputs))


@pytest.fixture(scope="module")
def page(report) -> str:
    """The page of the run."""
    return report.files[PAGE].decode()


def opened(chromium: str, page: str, folder) -> tuple[str, str, list[str]]:
    """(the document after its scripts ran, what the console said, every host that was asked)."""
    path, log = folder / PAGE, folder / "net.json"
    path.write_text(page)
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [chromium, *FLAGS, profile, f"--log-net-log={log}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    asked = re.findall(r'"url":\s*"(?:https?|wss?)://([^/"]+)', log.read_text())
    return done.stdout, said, [host for host in asked if not host.endswith(OWN)]


def moved(page: str, model: str, values: list[float]) -> str:
    """The page with a script at its end that moves the inputs of a calculator as a hand would."""
    script = f"""
    const box = document.getElementById("calculator-{model}");
    {json.dumps(values)}.forEach((value, i) => {{
      const field = box.querySelector("[data-input='" + i + "']");
      field.value = String(value);
      field.dispatchEvent(new Event("input", {{ bubbles: true }}));
    }});"""
    return allowed(page, script).replace("</body>", f"<script>{script}</script></body>")


def allowed(page: str, script: str) -> str:
    """The page with one more script in its policy, as if it were its own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return page.replace("; img-src", f" 'sha256-{digest}'; img-src", 1)


def risk(document: str, model: str) -> float:
    """The risk that a calculator shows, to the last bit."""
    part = document[document.index(f'id="calculator-{model}"') :]
    return float(re.search(r'data-risk="([^"]+)"', part).group(1))


def test_the_page_opens_without_an_error_and_without_a_network(chromium, page, tmp_path):
    """The console stays empty, nothing is fetched, and every section is there."""
    document, said, asked = opened(chromium, page, tmp_path)
    assert said == ""
    assert asked == []
    for section in ("flags", "patients", "discrimination", "calibration", "survival", "checklists"):
        assert f'<section id="{section}"' in document


def test_the_page_of_a_reproduction_opens_without_an_error_and_without_a_network(chromium, inputs, report, tmp_path):
    """Figures stand in the page itself; every item of the paper has its place."""
    paper = read_paper("recurrence")
    made = reproduction_of(paper, inputs, report)
    document, said, asked = opened(chromium, made.files[PAGE].decode(), tmp_path)
    assert said == ""
    assert asked == []
    for item in paper.item:
        assert f'<section id="{item.label.lower().replace(" ", "-")}"' in document
    assert document.count("<svg") == sum(name.endswith(".svg") for name in made.files)


@pytest.mark.parametrize("patient", range(3))
def test_sliders_move_the_risk_to_the_value_of_the_model(chromium, page, inputs, run, tmp_path, patient):
    """For values within the sliders' ranges the page and the signature agree to rounding."""
    model = next(one for one in calculator(inputs) if one["model"] == "dlfs")
    rng = np.random.default_rng(patient)
    values = [
        float(rng.integers(len(one["levels"]))) if one["levels"] else float(rng.uniform(one["low"], one["high"]))
        for one in model["inputs"]
    ]
    document, said, _ = opened(chromium, moved(page, "dlfs", values), tmp_path)
    assert said == ""
    signature = run.signatures["dlfs"]
    expected = signature.score(pd.DataFrame([dict(zip(signature.predictors, values, strict=True))]))[0]
    assert risk(document, "dlfs") == pytest.approx(expected, rel=1e-12)


def test_before_a_slider_is_moved_the_risk_is_that_of_the_shown_values(chromium, page, inputs, run, tmp_path):
    """What stands in the fields is what is computed."""
    document, _, _ = opened(chromium, page, tmp_path)
    for model in calculator(inputs):
        signature = run.signatures[model["model"]]
        start = {one["name"]: float(one["start"]) for one in model["inputs"]}
        assert risk(document, model["model"]) == pytest.approx(signature.score(pd.DataFrame([start]))[0], rel=1e-12)


def test_an_error_of_a_script_would_be_seen(chromium, page, tmp_path):
    """The check of the console is not blind, and the page's policy stops a request even of an allowed script."""
    script = "fetch('https://example.org/x').catch(() => nothing());"
    broken = allowed(page, script).replace("</body>", f"<script>{script}</script></body>")
    _, said, asked = opened(chromium, broken, tmp_path)
    assert "connect-src" in said
    assert "nothing is not defined" in said
    assert asked == []


@pytest.mark.parametrize(
    "markup",
    [
        "<script>document.title = 'run'</script>",
        "<img src=x onerror=\"document.title = 'run'\">",
        "<p style='color: red'>red</p>",
        "<style>p { color: red }</style>",
    ],
)
def test_markup_that_got_into_a_page_is_neither_run_nor_styled(chromium, page, tmp_path, markup):
    """The policy is the second wall: it would hold if a name were not escaped."""
    document, said, _ = opened(chromium, page.replace("<main>", f"<main>{markup}", 1), tmp_path)
    assert "Content Security Policy" in said
    assert "<title>run</title>" not in document


@pytest.fixture(scope="module")
def hostile() -> dict[str, str]:
    """Names that try to leave their place."""
    return json.loads((Path(__file__).parents[1] / "data" / "hostile.json").read_text(encoding="utf-8"))


def test_a_page_of_hostile_names_runs_and_fetches_nothing(chromium, hostile, tmp_path):
    """In a real browser: every name is text, nothing is blocked since nothing tries."""
    columns = {"n": 1, "statistic": 0.1, "psi": None, "p_value": 0.5, "q_value": 0.5, "verdict": "alert"}
    document, said, asked = opened(
        chromium, drift_page([{"name": text, **columns} for text in hostile.values()], hostile), tmp_path
    )
    assert said == ""
    assert asked == []
    assert document.count("<td>1</td>") == len(hostile)
    assert "<img" not in document
