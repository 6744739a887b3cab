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
from galdse_brain.ray_jobs import RETRIES, run_with_ray  # noqa: E402


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


def loader(exported, deaths):
    """Loads a model whose process dies of a file, so often as it is told.

    ``deaths``: file -> how often. Each leaves a line in ``FILE.deaths``.
    """
    exported, left = str(exported), {str(k): n for k, n in deaths.items()}

    def load():
        model = GALDSEEnhancement.from_hparams(exported)
        whole = model.enhance_blocks

        def enhance_blocks(source, **options):
            log = Path(source.name).with_suffix(".deaths")
            died = len(log.read_text()) if log.exists() else 0
            if died < left.get(source.name, 0):
                log.write_text("x" * (died + 1))
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(source, **options)

        model.enhance_blocks = enhance_blocks
        return model

    return load


def test_workers_that_are_killed_leave_no_file_out_and_none_twice(
    exported, tiny, folder
):
    """One is killed once; another kills whoever takes it, and is a failure."""
    given = folder / "in"
    jobs = planned([given], folder / "out")
    load = loader(exported, {given / "d.wav": 1, given / "a.wav": 1000})
    outcomes = run_with_ray(load, jobs, num_workers=2)
    assert (given / "d.deaths").read_text() == "x"
    assert (given / "a.deaths").read_text() == "x" * (RETRIES + 1)
    expected = run_jobs(tiny, planned([given], folder / "here"), progress=False)
    killed, *others = outcomes
    assert killed.source == expected[0].source
    assert "ended its worker 4 times" in killed.error
    assert [(o.source, o.seconds, o.error) for o in others] == [
        (o.source, o.seconds, o.error) for o in expected[1:]
    ]
    made = sorted(path.name for path in (folder / "out").iterdir())
    assert made == ["c.wav", "d.wav", "e.wav"]
    for name in made:
        paths = folder / "out" / name, folder / "here" / name
        assert paths[0].read_bytes() == paths[1].read_bytes()
    again = run_with_ray(loader(exported, {}), jobs, num_workers=1)
    assert [o.skipped for o in again] == [False, False, True, True, True]


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
