"""What is right for each case of unusual tables, as commands to run and what their exit codes and words must be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from pathlib import Path

Run = Callable[..., tuple[int, str]]
GAVE_RESULT = (0, 3)
INDEX_WORDS = "index|row name|row number|no name|nameless|without a name|unnamed"


@dataclass
class Case:
    """The folder of one case, its own store, and the commands that a user would run."""

    folder: Path
    store: Path
    run: Run
    output: str = ""

    def ingest(self, features: str = "features.csv", feature_set: str = "f") -> int:
        """Exit code of `gc-ray ingest`."""
        table = self.folder / features
        return self._ran("ingest", "--features", table, "--feature-set", feature_set)

    def split(self, clinical: str = "clinical.csv") -> int:
        """Exit code of `gc-ray split`."""
        return self._ran("split", *self._study(), "--clinical", self.folder / clinical)

    def tune(self, *options: str) -> int:
        """Exit code of `gc-ray tune`."""
        return self._ran("tune", *self._study(), "--workers", 0, *options)

    def evaluate(self, *options: object) -> int:
        """Exit code of `gc-ray evaluate`."""
        return self._ran("evaluate", *(options or self._study()))

    def flow(self, *, clinical: str = "clinical.csv", evaluate: bool = False) -> int:
        """Ingest, split, tune and perhaps evaluate; the exit code of the first that gives no result, else 0."""
        steps = [self.ingest, lambda: self.split(clinical), self.tune, *([self.evaluate] if evaluate else [])]
        for step in steps:
            code = step()
            if code not in GAVE_RESULT:
                return code
        return 0

    def says(self, pattern: str) -> bool:
        """Whether the commands' output has these words."""
        return re.search(pattern, self.output, re.IGNORECASE | re.DOTALL) is not None

    def report(self) -> str:
        """The words of all reports in the store, without markup."""
        pages = [path.read_text() for path in self.store.glob("reports/*/index.html")]
        visible = [re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL) for page in pages]
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)) for page in visible)

    def all_words(self) -> str:
        """What the commands printed and what the reports say."""
        return self.output + self.report()

    def features(self) -> list[str]:
        """The names of the features in the store."""
        settings = [json.loads(path.read_text()) for path in self.store.glob("radiomics/*/*/settings.json")]
        return [name for one in settings for name in one["names"]]

    def _study(self) -> tuple[object, ...]:
        return "--study", self.folder / "study.toml"

    def _ran(self, command: str, *options: object) -> int:
        code, output = self.run(command, *options, "--store", self.store)
        self.output += f"{command} (exit {code}): {output}\n"
        return code


def judge_table(case: str, tables: Path, store: Path, run: Run) -> tuple[bool, str]:
    """(whether the case behaves as it should, the last words of its commands)."""
    if case.startswith("scores_file/"):
        one = Case(tables, store, run)
        code = one.evaluate("--scores", tables / f"{case}.csv", "--set", "evaluate.bootstrap=100")
        passed = SCORES[case.removeprefix("scores_file/")](one, code)
    else:
        one = Case(tables / case, store, run)
        passed = JUDGES[case](one)
    lines = [line for line in one.output.splitlines() if not re.match(r"(drew|trials) +\d+/", line)]
    return passed and "Traceback" not in one.output, " / ".join(lines)[-600:]


def _refused_by_ingest(words: str) -> Callable[[Case], bool]:
    return lambda case: case.ingest() == 2 and case.says(words)


def _no_index(case: Case) -> bool:
    code = case.ingest()
    return case.says(INDEX_WORDS) and (code == 2 or (code == 0 and len(case.features()) == 12))


def _read_with_note(words: str) -> Callable[[Case], bool]:
    return lambda case: case.ingest() == 0 and case.split() == 0 and case.says(words)


def _refused_or_read(words: str, *steps: tuple[str, str]) -> Callable[[Case], bool]:
    """Each step on its own is read or refused with words; steps: command and file name."""

    def judge(case: Case) -> bool:
        codes = [getattr(case, command)(file) for command, file in steps if (case.folder / file).exists()]
        return set(codes) <= {0, 2} and case.says(words)

    return judge


def _pyradiomics_batch(case: Case) -> bool:
    codes = case.ingest(), case.ingest("features_num.csv", "g")
    foreign = [n for n in case.features() if n in ("Image", "Mask") or n.startswith("diagnostics")]
    return codes == (0, 0) and not foreign and case.says("Image") and case.says("diagnostics")


def _ids_do_not_meet(case: Case) -> bool:
    code = case.flow()
    return (code == 2 and case.says(r"meet|match|common|both")) or (code == 0 and case.says("match"))


def _all_analysed(case: Case) -> bool:
    return case.flow(evaluate=True) == 0 and not case.says("left out|without a score")


def _exact_feature_set(case: Case) -> bool:
    case.ingest("features.csv", "feat.v2")
    case.ingest("noise.csv", "feat")
    case.split()
    code = case.tune("--set", "tune.feature_set=feat.v2")
    auc = re.search(r"radiomics +(0\.\d+)", case.output)
    return code == 0 and auc is not None and abs(float(auc[1]) - 0.935) < 0.02


def _icc(case: Case) -> bool:
    return case.flow() == 0


def _reader_names(case: Case) -> bool:
    return case.flow() == 2 and case.says("R1.*reader1.*reader2|reader1.*reader2.*R1")


def _missing_feature(case: Case) -> bool:
    code = case.flow()
    said = case.says(r"25 of 50.{0,80}external|external.{0,80}25 of 50|25 (external )?patients|external.{0,60}\b25\b")
    evaluated = case.evaluate()
    text = case.report()
    return code == 0 and evaluated == 0 and said and "no usable scan" not in text and "25" in text


def _perfect_marker(case: Case) -> bool:
    code = case.flow(evaluate=True)
    return code == 0 and "marker" in case.report() and "separat" in (case.all_words()).lower()


def _site_disagrees(case: Case) -> bool:
    return case.flow() == 2 and case.says("site")


def _stale(case: Case) -> bool:
    if case.flow() != 0 or case.ingest("features2.csv") not in (0, 2):
        return False
    code = case.evaluate()
    words = "older than|changed since|other (feature )?values|tune again"
    return re.search(words, case.all_words()) is not None and code in (0, 2)


def _runs(case: Case) -> bool:
    # what its report may claim belongs to the statistics and is judged there
    return case.flow(evaluate=True) == 0


def _reversed(case: Case, code: int) -> bool:
    text = case.all_words()
    return code == 0 and re.search("revers|direction", text) is not None and "too extreme" not in text


ENCODED = r"UTF-8|encod|UTF-16|GB18030"
JUDGES: dict[str, Callable[[Case], bool]] = {
    "doubled_id": _refused_by_ingest("patient_id"),
    "unnamed_index": _no_index,
    "r_rownames": _no_index,
    "excel_blank_cols": _read_with_note("empty.{0,20}column|column.{0,30}empty"),
    "excel_blank_cols_feat": lambda case: case.ingest() == 0 and len(case.features()) == 12,
    "excel_blank_rows": _read_with_note("empty.{0,20}row|row.{0,30}empty"),
    "trailing_comma": _refused_by_ingest(r"(line|row) \d"),
    "pyradiomics_batch": _pyradiomics_batch,
    "gap_n_a": lambda case: case.ingest() == 0 and not case.says(" 0 values missing"),
    "gbk": _refused_or_read(ENCODED, ("ingest", "features_gbk.csv"), ("split", "clinical.csv")),
    "utf16": _refused_or_read(ENCODED, ("ingest", "features.csv"), ("split", "clinical.csv")),
    "xlsx": _refused_or_read("Excel|xlsx|patients in the", ("split", "clinical.xlsx"), ("split", "clinical.csv")),
    "semicolon": _refused_or_read("semicolon|12 features", ("ingest", "features.csv")),
    "semicolon_clin": _refused_or_read("semicolon|patients in the", ("split", "clinical.csv")),
    "toml_bom": lambda case: case.split() == 0,
    "id_float": _ids_do_not_meet,
    "id_zeros": _ids_do_not_meet,
    "id_spaces_features": _all_analysed,
    "featureset_dot": _exact_feature_set,
    "icc_reader_names": _reader_names,
    "icc_two_readers_no_repeat": _icc,
    "icc_one_reader_repeat": _icc,
    "external_missing_feature": _missing_feature,
    "perfect_marker_strongest": _perfect_marker,
    "perfect_marker_ttest": _perfect_marker,
    "site_disagrees": _site_disagrees,
    "stale_after_reingest": _stale,
    "rich": _runs,
}
SCORES: dict[str, Callable[[Case, int], bool]] = {
    "reversed": _reversed,
    "cohort_names": lambda case, code: (code == 2 and case.says("train")) or "in-sample" in case.all_words(),
    "days": lambda case, code: code in (0, 2) and re.search("days", case.all_words()) is not None,
    "score_missing": lambda case, code: code == 2 and case.says(r"score") and case.says(r"patient"),
    "semicolon": lambda case, code: code == 0 or (code == 2 and case.says("semicolon")),
    "trailing": lambda case, code: code == 2 and case.says(r"(line|row) \d"),
}
