"""Many files through Ray: nothing is missing, nothing is made twice."""

import os
import signal
from pathlib import Path

import pytest
import soundfile
import torch

from galdse_brain.cli import main
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.jobs import planned, run_jobs

ray = pytest.importorskip("ray", reason="no ray: pip install .[ray]")
run_with_ray = pytest.importorskip("galdse_brain.ray_jobs").run_with_ray


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Ray on this machine."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def folder(tmp_path):
    """Five files, the second of which is none."""
    (tmp_path / "in").mkdir()
    for i, name in enumerate("abcde"):
        noise = 0.1 * torch.randn(500 + i).numpy()
        soundfile.write(tmp_path / "in" / f"{name}.wav", noise, 16000)
    (tmp_path / "in" / "b.wav").write_text("It is a text.")
    return tmp_path


def loader(exported, deadly, how_often):
    """Loads a model that kills its process on a file, a number of times."""
    exported, deadly = str(exported), str(deadly)

    def load():
        model = GALDSEEnhancement.from_hparams(exported)
        whole = model.enhance_blocks

        def enhance_blocks(source, **options):
            log = Path(deadly).with_suffix(".deaths")
            deaths = len(log.read_text()) if log.exists() else 0
            if source.name == deadly and deaths < how_often:
                log.write_text("x" * (deaths + 1))
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(source, **options)

        model.enhance_blocks = enhance_blocks
        return model

    return load


def test_a_worker_that_is_killed_leaves_no_file_out_and_none_twice(
    exported, tiny, folder
):
    jobs = planned([folder / "in"], folder / "out")
    deadly = folder / "in" / "d.wav"
    outcomes = run_with_ray(loader(exported, deadly, 1), jobs, num_workers=2)
    assert deadly.with_suffix(".deaths").read_text() == "x"
    expected = run_jobs(
        tiny, planned([folder / "in"], folder / "here"), progress=False
    )
    assert [(o.source, o.seconds, o.error) for o in outcomes] == [
        (o.source, o.seconds, o.error) for o in expected
    ]
    made = sorted(path.name for path in (folder / "out").iterdir())
    assert made == ["a.wav", "c.wav", "d.wav", "e.wav"]
    for name in made:
        paths = folder / "out" / name, folder / "here" / name
        assert paths[0].read_bytes() == paths[1].read_bytes()
    again = run_with_ray(loader(exported, deadly, 0), jobs, num_workers=1)
    assert [o.skipped for o in again] == [True, False, True, True, True]


def test_a_file_that_kills_every_worker_is_a_failure_and_the_rest_is_made(
    exported, folder
):
    jobs = planned([folder / "in"], folder / "out")
    deadly = folder / "in" / "a.wav"
    load = loader(exported, deadly, 1000)
    outcomes = run_with_ray(load, jobs, num_workers=2)
    assert "ended its worker 4 times" in outcomes[0].error
    assert [bool(o.error) for o in outcomes] == [True, True] + 3 * [False]
    assert len(list((folder / "out").iterdir())) == 3


def test_the_command_takes_the_pool_and_writes_the_same_table(
    exported, folder, capsys
):
    words = ["enhance", str(folder / "in"), f"--model={exported}", "--steps=1"]
    tables = []
    for engine in "ray", "process":
        out, table = folder / engine, folder / f"{engine}.csv"
        with pytest.raises(SystemExit) as ended:
            main([*words, f"-o{out}", f"--engine={engine}", f"--table={table}"])
        assert ended.value.code == 1  # b.wav
        assert (
            "4 enhanced, 0 there already, 1 failed" in capsys.readouterr().err
        )
        tables.append(table.read_text().replace(str(out), "OUT"))
    assert tables[0] == tables[1]
    for path in (folder / "process").iterdir():
        assert path.read_bytes() == (folder / "ray" / path.name).read_bytes()
