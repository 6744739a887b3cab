"""Installation of galdse."""

from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent

setup(
    name="galdse",
    version="0.1.0",
    description="GALD-SE and its family: diffusion speech enhancement "
    "for SpeechBrain",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["galdse_brain", "galdse_brain.*"]),
    package_data={
        "galdse_brain": ["hparams/*.yaml", "*.jinja"],
        "galdse_brain.released": ["*/*"],
    },
    entry_points={"console_scripts": ["galdse = galdse_brain.cli:main"]},
    python_requires=">=3.10",
    install_requires=[
        # Builds of different releases refuse each other at import.
        "torch==2.11.*",
        "torchaudio==2.11.*",
        "speechbrain>=1.1.2,<1.2",
        "hyperpyyaml>=1.2.2",
        "huggingface-hub",
        "pesq>=0.0.4",
        "pystoi>=0.4",
        "safetensors>=0.4",
        "soundfile>=0.12",
        "soxr>=0.5",
        "threadpoolctl>=3",
        "tqdm",
    ],
    extras_require={
        "train": ["torch-pesq==0.1.2"],
        "plot": ["jinja2>=3", "matplotlib>=3.8"],
        "dnsmos": ["onnxruntime", "speechmos==0.0.1.1"],
        # Later releases have no number of retries any more.
        "ray": ["ray[data]>=2.48,<2.64"],
        "demo": ["espeakng-loader"],
        "onnx": ["onnx>=1.16", "onnxruntime>=1.18"],
        "dev": [
            "hypothesis",
            "pytest",
            "pytest-xdist",
            "ruff==0.12.4",
            "yamllint==1.35.1",
        ],
    },
)
