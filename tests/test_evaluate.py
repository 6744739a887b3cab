"""Folders are scored and reported; what does not fit is an error."""

import csv
import math
from html.parser import HTMLParser

import pytest
import soundfile
import torch
from signals import noisy_pair

from galdse_brain.evaluate import STANDARD, evaluate_folders, read
from galdse_brain.metrics import si_sdr
from galdse_brain.page import write_report
from galdse_brain.report import Report, fingerprint, snr_bin, suspicions
from galdse_brain.results import Results

NAMES = ("p232_001", "p232_002", "p257_001")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Clean, enhanced and noisy files of two speakers; not to be changed."""
    top = tmp_path_factory.mktemp("folders")
    clean, noisy = noisy_pair()
    for i, name in enumerate(NAMES):
        noise = (noisy - clean).roll(1000 * i) * (1 - 0.4 * i)
        wavs = {
            "clean": 0.9 * clean,
            "noisy": 0.9 * clean + noise,
            "enhanced": 0.9 * clean + 0.3 * noise,
        }
        for title, wav in wavs.items():
            (top / title).mkdir(exist_ok=True)
            path = top / title / f"{name}.wav"
            soundfile.write(path, wav.numpy(), 16000, subtype="FLOAT")
    return {title: top / title for title in wavs}


@pytest.fixture(scope="module")
def report(folders, tmp_path_factory):
    """Results of the folders, and where their report is."""
    out = tmp_path_factory.mktemp("report")
    facts = {"seed": "3234", "checkpoint": "<0123456789ab>"}
    results = evaluate_folders(
        **folders, out=out, n_jobs=1, facts=facts, in_loss=["pesq"]
    )
    return results, out


@pytest.fixture
def changed(folders, tmp_path):
    """A function that writes another first enhanced file."""

    def change(wav, rate=16000, name=f"{NAMES[0]}.wav"):
        for path in folders["enhanced"].iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        soundfile.write(tmp_path / name, wav.numpy(), rate)
        return tmp_path

    return change


def test_parallel_scores_are_the_serial_ones_to_the_last_digit(report, folders):
    results, _ = report
    parallel = evaluate_folders(**folders, n_jobs=2)
    assert parallel.rows == results.rows
    assert len(parallel.rows) == 9


def test_the_controls_stand_beside_the_system(report, folders):
    results, _ = report
    assert results.signals == ["clean", "noisy", "enhanced"]
    assert results.mean("clean")["pesq"] == pytest.approx(4.644, abs=1e-3)
    assert results.mean("clean")["si_sdr"] == math.inf
    for title in ("noisy", "enhanced"):
        wavs = [read(folders[f] / f"{NAMES[1]}.wav") for f in (title, "clean")]
        row = results.of(title)[NAMES[1]]
        assert row["si_sdr"] == pytest.approx(si_sdr(*wavs), abs=1e-12)
    assert results.of("enhanced")[NAMES[0]]["snr"] == pytest.approx(
        results.of("noisy")[NAMES[0]]["si_sdr"], abs=0.1
    )


def test_without_noisy_speech_there_is_no_snr(folders):
    enhanced, clean = folders["enhanced"], folders["clean"]
    results = evaluate_folders(clean, enhanced, metrics={"si_sdr": si_sdr})
    assert results.names == ["si_sdr"]
    titles = Report(results, {}).tables()
    assert list(titles) == ["Scores", "By speaker"]


def test_a_csv_gives_back_its_scores(report):
    results, out = report
    assert Results.read_csv(out / "results.csv").rows == results.rows
    (out / "none.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="none.csv has no rows with id"):
        Results.read_csv(out / "none.csv")


@pytest.mark.parametrize(
    ("wav", "rate", "message"),
    [
        (torch.zeros(31999), 16000, "32000 samples but .*p232_001.* 31999"),
        (torch.zeros(32000), 8000, "16000 Hz but .*p232_001.* 8000"),
        (torch.zeros(32000, 2), 16000, "1 channels but .*p232_001.* 2"),
    ],
)
def test_files_that_differ_are_an_error(changed, folders, wav, rate, message):
    with pytest.raises(ValueError, match=message):
        evaluate_folders(folders["clean"], changed(wav, rate))


def test_names_that_differ_are_an_error(changed, folders):
    other = changed(torch.zeros(9), name="p999_001.wav")
    with pytest.raises(
        ValueError, match=r"p999_001.wav has no partner in .*cl"
    ):
        evaluate_folders(folders["clean"], other)
    (other / "p999_001.wav").unlink()
    (other / f"{NAMES[2]}.wav").unlink()
    with pytest.raises(ValueError, match=r"clean/p257_001.wav has no partner"):
        evaluate_folders(folders["clean"], other)


def test_two_files_of_one_name_and_other_rates_are_errors(changed, folders):
    other = changed(torch.zeros(9), name=f"{NAMES[0]}.flac")
    with pytest.raises(ValueError, match="p232_001.flac and .* one name"):
        evaluate_folders(folders["clean"], other)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        evaluate_folders(folders["clean"], other / "nowhere")


def test_a_rate_that_no_score_is_defined_for_is_an_error(tmp_path):
    soundfile.write(tmp_path / "a.wav", torch.zeros(9).numpy(), 48000)
    with pytest.raises(ValueError, match="48000 Hz .* mono at 16000"):
        evaluate_folders(tmp_path, tmp_path)


def test_a_metric_gives_as_many_scores_as_it_has_names():
    results = Results({"a, b": lambda *_: (1.0, 2.0), "c": lambda *_: 3.0})
    results.add("p_1", "x", torch.ones(2), torch.ones(2))
    assert results.rows == [{"id": "p_1", "signal": "x", **dict(a=1, b=2, c=3)}]
    results = Results({"a, b": lambda *_: 1.0})
    with pytest.raises(ValueError, match="zip"):
        results.add("p_1", "x", torch.ones(2), torch.ones(2))


class Page(HTMLParser):
    """Tags that are open, addresses, sounds, and text."""

    VOID = ("meta", "link", "img", "circle", "path", "polyline")

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Remember what opens and where it points."""
        if tag not in self.VOID:
            self.open.append(tag)
        names = ("src", "href", "action", "srcset", "data", "poster")
        self.addresses += [value for key, value in attrs if key in names]

    def handle_endtag(self, tag):
        """What closes was opened last."""
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        """Keep the text."""
        self.texts.append(data.strip())


def test_the_page_is_whole_and_asks_for_nothing(report):
    results, out = report
    text = (out / "report.html").read_text()
    page = Page(text)
    assert not page.open
    assert all(address.startswith("data:") for address in page.addresses)
    for word in ("http:", "https:", "url(", "@import", "fetch("):
        assert word not in text
    for name, row in results.of("enhanced").items():
        assert name in page.texts
        assert f"{row['estoi']:.3f}" in page.texts
    assert "<0123456789ab>" in page.texts  # Escaped, and unescaped once.
    assert text.count("<audio") == 9  # Three utterances, three signals.
    assert text.count("data:audio/flac") == text.count("data:image/webp") == 9
    assert text.count("<svg") == 2 * len(results.names)


def test_text_and_page_say_the_same(report):
    results, out = report
    text, page = (
        (out / name).read_text() for name in ("report.md", "report.html")
    )
    for part in (
        "PESQ-WB †",
        "CSIG †",
        "By input SNR",
        "p232 (2)",
        "Worst by gain in ESTOI",
        "3 utterances",
    ):
        assert part in text and part in page
    mean = results.mean("enhanced")["estoi"]
    assert f"{mean:.3f} ± " in text and f"{mean:.3f} ± " in page
    assert "ESTOI †" not in text and "- checkpoint: <0123456789ab>" in text


def test_best_and_worst_are_ranked_by_the_gain(report):
    results, _ = report
    gains = Report(results, {}, in_loss=["pesq", "estoi"]).ranking()
    for name, gain in gains.items():
        enhanced, noisy = (
            results.of("enhanced")[name],
            results.of("noisy")[name],
        )
        assert gain == enhanced["si_sdr"] - noisy["si_sdr"]
    assert list(gains.values()) == sorted(gains.values(), reverse=True)
    best, worst = Report(results, {}).ends().values()
    assert len(best) == 2 and len(worst) == 1


def test_groups_have_the_means_of_their_utterances(report):
    results, _ = report
    header, rows = Report(results, {}).grouped(snr_bin, lambda row: row["snr"])
    lows = [float(label.split()[0]) for label in header]
    assert lows == sorted(lows) and len(lows) == 3
    for label, cells in rows[:1]:
        assert label == "PESQ-WB"
        loudest = min(results.of("enhanced").values(), key=lambda r: r["snr"])
        assert cells[0][0].startswith(f"{loudest['pesq']:.3f} ± 0.000")


def test_failures_are_reported_and_not_ranked(tmp_path):
    results = Results({"pesq": lambda e, _: float(e[0])})
    for i, score in enumerate((1.0, math.nan, 3.0)):
        for signal in ("noisy", "enhanced"):
            results.add(f"p_{i}", signal, torch.tensor([score]), torch.ones(1))
    report = Report(results, {})
    assert "enhanced: pesq is undefined for 1 utterances" in report.warnings()
    assert list(report.ranking()) == ["p_0", "p_2"]
    assert "1 undefined" in report.overview()[1][0][1][0]
    wav = torch.sin(torch.arange(3000.0))
    write_report(tmp_path, results, lambda name: {"noisy": wav}, {})
    assert "p_1" in (tmp_path / "report.html").read_text()


def test_a_report_needs_its_system(report):
    with pytest.raises(ValueError, match="no 'other' among"):
        Report(report[0], {}, system="other")


def test_a_gain_in_pesq_alone_is_suspicious():
    noisy = {"pesq": 2.0, "si_sdr": 8.0, "dnsmos_ovrl": 3.0}
    cases = {
        (2.5, 7.0, 2.5): 1,
        (2.5, 9.0, 2.5): 0,
        (2.5, 7.0, 3.5): 0,
        (1.5, 7.0, 2.5): 0,
    }
    for scores, warnings in cases.items():
        means = dict(zip(noisy, scores))
        assert len(suspicions(means, noisy)) == warnings
    (text,) = suspicions({"pesq": 2.5, "si_sdr": 7.0}, noisy)
    assert "DNSMOS" not in text and "from 8.000 to 7.000" in text
    assert suspicions({"pesq": 2.5}, noisy) == []


def test_the_hash_of_a_checkpoint_is_that_of_its_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert fingerprint(tmp_path / "abc") == "ba7816bf8f01"


def test_the_standard_scores_are_all_there(report):
    _, out = report
    with open(out / "results.csv", newline="") as file:
        header = next(csv.reader(file))
    assert header[:3] == ["id", "signal", "snr"]
    assert len(STANDARD) == 5 and len(header) == 3 + 9 + 2
