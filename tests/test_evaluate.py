"""Folders are scored and reported; what does not fit is an error."""

import csv
import math
import sys
from html.parser import HTMLParser

import pytest
import soundfile
import torch
from signals import noisy_pair

from galdse_brain.evaluate import (
    evaluate_folders,
    paired,
    read,
    write_report,
)
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.metrics import si_sdr
from galdse_brain.report import Report, suspicions, trained_on
from galdse_brain.results import Results, markdown, snr_bin
from galdse_brain.scoring import STANDARD, Scorer, all_metrics
from galdse_brain.systems.parts import mask_alone

NAMES = ("p232_001", "p232_002", "p257_001")
FACTS = {"seed": "3234", "checkpoint": "<0123456789ab>"}


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
    found, wavs = evaluate_folders(STANDARD, **folders)
    found = Report(found.results, FACTS, trained_on({"pesq"}))
    assert write_report(out, found, wavs) == out / "report.html"
    return found.results, out


@pytest.fixture
def changed(folders, tmp_path):
    """A function that writes another first enhanced file."""

    def change(wav, rate=16000, name=f"{NAMES[0]}.wav"):
        for path in folders["enhanced"].iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        soundfile.write(tmp_path / name, wav.numpy(), rate)
        return {"clean": folders["clean"], "enhanced": tmp_path}

    return change


def test_parallel_scores_are_the_serial_ones(report, folders):
    results, _ = report
    parallel, _ = evaluate_folders(STANDARD, **folders, num_jobs=2)
    assert len(parallel.results.rows) == 9
    for ours, serial in zip(parallel.results.rows, results.rows, strict=True):
        assert [ours.pop(k) for k in ("id", "signal")] == [
            serial[k] for k in ("id", "signal")
        ]
        for name, score in ours.items():
            assert score == pytest.approx(serial[name], abs=1e-6)


def test_the_controls_stand_beside_the_system(report, folders):
    results, _ = report
    assert results.signals == ["noisy", "enhanced", "clean"]
    assert results.mean("clean")["pesq"] == pytest.approx(4.644, abs=1e-3)
    assert results.mean("clean")["si_sdr"] == math.inf
    wavs = read({f: folders[f] / f"{NAMES[1]}.wav" for f in folders})
    for title in ("noisy", "enhanced"):
        score = si_sdr(wavs[title], wavs["clean"])
        found = results.of(title)[NAMES[1]]["si_sdr"]
        assert found == pytest.approx(score, abs=1e-12)
    assert results.of("enhanced")[NAMES[0]]["snr"] == pytest.approx(
        results.of("noisy")[NAMES[0]]["si_sdr"], abs=0.1
    )


def test_without_noisy_speech_there_is_no_snr(folders):
    pair = {title: folders[title] for title in ("clean", "enhanced")}
    found, _ = evaluate_folders({"si_sdr": si_sdr}, **pair)
    assert found.results.names == ["si_sdr"]
    assert list(found.tables) == ["Scores", "By speaker"]
    assert [*found.ends()] == ["Worst by SI-SDR, dB", "Best by SI-SDR, dB"]


def test_a_csv_gives_back_its_scores(report):
    results, out = report
    assert Results.read_csv(out / "results.csv").rows == results.rows
    assert Results.read_csv(out).rows == results.rows
    (out / "none.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="none.csv has no rows with id"):
        Results.read_csv(out / "none.csv")


@pytest.mark.parametrize(
    ("wav", "rate", "message"),
    [
        (torch.zeros(31999), 16000, "32000 samples but .*p232_001.* 31999"),
        (torch.zeros(32000), 8000, "p232_001.* has 8000 Hz and 1 channels"),
        (torch.zeros(32000, 2), 16000, "p232_001.* 16000 Hz and 2 channels"),
    ],
)
def test_files_that_differ_are_an_error(changed, wav, rate, message):
    with pytest.raises(ValueError, match=message):
        paired(changed(wav, rate))


def test_names_that_differ_are_an_error(changed):
    folders = changed(torch.zeros(9), name="p999_001.wav")
    with pytest.raises(ValueError, match=r"clean lacks 'p999_001' \(1 such"):
        paired(folders)
    (folders["enhanced"] / "p999_001.wav").unlink()
    (folders["enhanced"] / f"{NAMES[2]}.wav").unlink()
    with pytest.raises(ValueError, match=r"lacks 'p257_001'"):
        paired(folders)


def test_two_files_of_one_name_and_empty_folders_are_errors(changed, tmp_path):
    folders = changed(torch.zeros(9), name=f"{NAMES[0]}.flac")
    with pytest.raises(ValueError, match="p232_001.flac and .* one name"):
        paired(folders)
    with pytest.raises(FileNotFoundError, match="nowhere holds no audio"):
        paired({"clean": tmp_path / "nowhere"})


def test_a_metric_gives_as_many_scores_as_it_has_names():
    wav = {"x": torch.ones(2)}
    scorer = Scorer({"a, b": lambda *_: (1.0, 2.0), "c": lambda *_: 3.0}, 0)
    scorer.add(7, "p_1", wav, torch.ones(2))
    row = {"id": "p_1", "signal": "x", "a": 1, "b": 2, "c": 3}
    assert scorer.rows() == [(7, row)]
    with pytest.raises(ValueError, match="zip"):
        Scorer({"a, b": lambda *_: 1.0}, 0).add(0, "p_1", wav, torch.ones(2))


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
    for word in ("http:", "https:", "url(", "@import", "<script"):
        assert word not in text
    assert set(NAMES) <= set(page.texts)
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


def test_without_its_extra_a_report_has_no_page(
    report, tmp_path, monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in ("page", "pictures"):
        monkeypatch.delitem(sys.modules, f"galdse_brain.{name}", False)
    made = write_report(tmp_path, Report(report[0], FACTS), None)
    assert made == tmp_path / "report.md"
    assert 'pip install "galdse[plot]"' in caplog.text
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["report.md", "results.csv"]


def test_without_its_extra_dnsmos_is_left_out(monkeypatch, caplog):
    assert "dnsmos_ovrl" in " ".join(all_metrics())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "galdse_brain.dnsmos", False)
    assert all_metrics() == STANDARD
    assert 'pip install "galdse[dnsmos]"' in caplog.text


def test_best_and_worst_are_ranked_by_the_gain(report):
    results, _ = report
    gains = Report(results, {}, {"pesq", "estoi"}).ranking()
    for name, gain in gains.items():
        enhanced, noisy = (
            results.of("enhanced")[name],
            results.of("noisy")[name],
        )
        assert gain == enhanced["si_sdr"] - noisy["si_sdr"]
    assert list(gains.values()) == sorted(gains.values(), reverse=True)
    worst, best = Report(results, {}).ends().values()
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
    results = Results(
        {"id": f"p_{i}", "signal": signal, "pesq": score}
        for i, score in enumerate((1.0, math.nan, 3.0))
        for signal in ("noisy", "enhanced")
    )
    report = Report(results, {})
    assert (
        "enhanced: pesq is undefined for 1 of 3 utterances" in report.warnings()
    )
    assert list(report.ranking()) == ["p_0", "p_2"]
    assert "(1 undefined)" in report.overview()[1][0][1][0]
    assert report.ends()["Without gain in PESQ-WB over noisy"][0][0] == "p_1"
    wav = torch.sin(torch.arange(3000.0))
    write_report(tmp_path, report, lambda name: {"noisy": wav})
    assert "1 undefined" in (tmp_path / "report.html").read_text()


def test_a_system_is_compared_where_it_has_a_score():
    """Failing on what is hard does not make it better than the noisy input."""
    scores = {"noisy": (1.0, 3.0), "enhanced": (math.nan, 2.5)}
    results = Results(
        {"id": f"p_{i}", "signal": signal, "pesq": score}
        for signal, row in scores.items()
        for i, score in enumerate(row)
    )
    (header, rows) = Report(results, {}).tables["By speaker"]
    assert rows[0][1][0][-1] == "noisy 3.000"
    assert results.paired_means("enhanced", "noisy") == [
        {"pesq": 2.5},
        {"pesq": 3.0},
    ]
    assert results.floor_mean("pesq") == 2.5
    lost = Results({**row, "pesq": math.nan} for row in results.rows)
    assert lost.floor_mean("pesq") == -math.inf


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


def heard(signal="enhanced", **scores):
    """A report of utterances with scores, lists of one length each."""
    values = zip(*scores.values(), strict=True)
    return Report(
        Results(
            {"id": f"p_{i}", "signal": signal, **dict(zip(scores, row))}
            for i, row in enumerate(values)
        ),
        {},
    )


@pytest.mark.parametrize("sign, word", [(1, "louder"), (-1, "quieter")])
def test_a_wrong_level_is_a_warning_above_half_a_decibel(sign, word):
    (text,) = heard(level=[sign * 1.0, sign * 1.6]).warnings()
    assert f"is 1.3 dB {word} than clean speech" in text
    assert heard(level=[sign * 0.4, sign * 0.5]).warnings() == []
    assert heard(level=[1.0, -1.0]).warnings() == []
    assert heard("noisy", level=[sign * 1.0, sign * 1.6]).warnings() == []


def test_a_delay_of_any_utterance_is_a_warning():
    (text,) = heard(delay=[0.0, 16.0, 256.0, 16.0]).warnings()
    assert "3 of 4 enhanced utterances have a delay" in text
    assert "median in samples: 16)" in text
    assert heard(delay=[0.0, 0.0]).warnings() == []
    assert heard("noisy", delay=[1.0, 2.0]).warnings() == []
    (text,) = heard(delay=[0.0, math.nan]).warnings()
    assert text == "enhanced: delay is undefined for 1 of 2 utterances"


def test_the_level_of_late_speech_is_no_warning():
    (text,) = heard(level=[-20.0, 0.1], delay=[3.0, 0.0]).warnings()
    assert "1 of 2 enhanced utterances have a delay" in text


def test_the_nearer_to_0_level_and_delay_are_the_better():
    report = heard(level=[-2.0, 0.5, 3.0])
    assert list(report.ranking()) == ["p_1", "p_0", "p_2"]
    assert report.results.floor_mean("level") == pytest.approx(-5.5 / 3)
    assert any("0 is right for level (" in note for note in report.notes())
    assert not any("0 is" in note for note in heard(pesq=[2.0]).notes())


def test_quieter_and_late_files_are_found_and_told(changed):
    clean, _ = noisy_pair()
    folders = changed(0.5 * 0.9 * clean.roll(16))
    metrics = {name: STANDARD[name] for name in ("level", "delay")}
    found, _ = evaluate_folders(metrics, **folders)
    first = found.results.of("enhanced")[NAMES[0]]
    assert first["delay"] == 16
    (text,) = found.warnings()
    assert "1 of 3" in text
    folders = changed(0.45 * clean)
    found, _ = evaluate_folders(metrics, **folders)
    first = found.results.of("enhanced")[NAMES[0]]
    assert first["level"] == pytest.approx(-6.02, abs=0.01)
    (text,) = found.warnings()
    assert "is 2.0 dB quieter" in text


def test_losses_mark_the_metrics_that_they_train():
    assert "covl" in trained_on({"pesq"})
    assert "si_sdr" in trained_on({"neg_si_snr"})


def test_columns_of_a_table_stand_below_each_other():
    lines = markdown(["", "long"], [["a", "1"], ["bcd", "12345"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0] == "|     | long  |" and lines[3] == "| bcd | 12345 |"


def test_the_standard_scores_are_all_there(report):
    _, out = report
    with open(out / "results.csv", newline="") as file:
        header = next(csv.reader(file))
    assert header[:2] == ["id", "signal"]
    assert len(header) == 2 + 11 + 3


def test_a_model_s_controls_are_what_its_system_makes_of_the_noisy_speech(
    folders,
):
    """Beside the scores of the files: one step, and the mask alone."""
    found, _ = evaluate_folders({"si_sdr": si_sdr}, **folders, model="light")
    signals = ["noisy", "mask alone", "one step", "enhanced", "clean"]
    assert found.results.signals == signals
    model = GALDSEEnhancement.from_hparams()
    system = model.mods.enhance_model.system
    files = {title: folders[title] / f"{NAMES[0]}.wav" for title in folders}
    wavs = read(files)
    one = model.enhance_batch(wavs["noisy"][None], num_steps=1)[0]
    system.enhance = lambda y, *_: mask_alone(system, y)
    mask = model.enhance_batch(wavs["noisy"][None])[0]
    for title, wav in {"one step": one, "mask alone": mask}.items():
        score = found.results.of(title)[NAMES[0]]["si_sdr"]
        assert score == pytest.approx(si_sdr(wav, wavs["clean"]), abs=1e-4)
