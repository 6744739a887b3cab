#!/usr/bin/env python3
"""Enhance a 16 kHz file with ONNX Runtime and NumPy alone, no torch.

> galdse export RUN exported --onnx
> python onnx_enhance.py exported noisy.wav enhanced.wav [--steps 3]

Authors
 * The galdse developers
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile


def session(path, threads):
    """A network: named arrays -> array."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    found = onnxruntime.InferenceSession(str(path), options)
    return found, lambda **inputs: found.run(None, inputs)[0]


class Model:
    """The files that ``galdse export --onnx`` writes.

    Arguments
    ---------
    folder : str or pathlib.Path
        With ``guidance.onnx`` and ``denoiser.onnx``.
    threads : int
        Of ONNX Runtime; 0 is one for each core.
    """

    def __init__(self, folder, threads=0):
        _, self.guidance = session(Path(folder) / "guidance.onnx", threads)
        found, self.denoiser = session(Path(folder) / "denoiser.onnx", threads)
        metadata = found.get_modelmeta().custom_metadata_map
        self.numbers = json.loads(metadata["galdse"])
        n_fft = self.numbers["n_fft"]
        self.window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)

    def spectrogram(self, wav):
        """Compressed spectrogram (1, 2, F, T) of samples (N,)."""
        n_fft, hop = self.numbers["n_fft"], self.numbers["hop_length"]
        multiple = self.numbers["frame_multiple"]
        frames = -(-(-(-len(wav) // hop) + 1) // multiple) * multiple
        wav = np.pad(wav, (0, (frames - 1) * hop - len(wav)))
        wav = np.pad(wav, n_fft // 2, mode="reflect")
        at = hop * np.arange(frames)[:, None] + np.arange(n_fft)
        stft = np.fft.rfft(self.window * wav[at]).T
        gain = np.maximum(np.abs(stft), 1e-8) ** (self.numbers["alpha"] - 1)
        stft = self.numbers["beta"] * gain * stft
        return np.stack([stft.real, stft.imag])[None].astype(np.float32)

    def waveform(self, spec, num_samples):
        """Samples (num_samples,) of a compressed spectrogram."""
        n_fft, hop = self.numbers["n_fft"], self.numbers["hop_length"]
        stft = (spec[0, 0] + 1j * spec[0, 1]) / self.numbers["beta"]
        gain = np.maximum(np.abs(stft), 1e-8) ** (1 / self.numbers["alpha"] - 1)
        frames = np.fft.irfft((gain * stft).T, n_fft) * self.window
        wav = np.zeros(hop * (len(frames) - 1) + n_fft)
        weight = np.zeros_like(wav)
        for i, frame in enumerate(frames):
            wav[hop * i : hop * i + n_fft] += frame
            weight[hop * i : hop * i + n_fft] += self.window**2
        inside = slice(n_fft // 2, n_fft // 2 + num_samples)
        return wav[inside] / weight[inside]

    def enhance(self, wav, num_steps=None, normal=None):
        """Enhanced samples (N,) of a noisy waveform at the model's rate.

        Arguments
        ---------
        wav : numpy.ndarray
            Shape (N,). All of it at once: cut what is longer than a minute.
        num_steps : int, optional
            Calls of the denoiser, by default the model's own.
        normal : callable, optional
            Shape -> standard normal noise.
        """
        normal = normal or np.random.default_rng(0).standard_normal
        num_steps = num_steps or self.numbers["num_steps"]
        peak = max(np.abs(wav).max(), 1e-8)
        y = self.spectrogram(wav / peak)
        mask = self.guidance(y=y)
        x = y + self.numbers["start_std"] * mask * normal(y.shape)
        for t, *weights in self.numbers["steps"][str(num_steps)]:
            given = {"x_t": x.astype(np.float32), "y": y, "mask": mask}
            x_hat = self.denoiser(t=np.array([t]), **given)
            parts = x, x_hat, y, mask * normal(y.shape)
            x = sum(weight * part for weight, part in zip(weights, parts))
        return self.waveform(x, len(wav)) * peak


def main():
    """Enhance a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder with the .onnx files")
    parser.add_argument("noisy")
    parser.add_argument("enhanced")
    parser.add_argument("--steps", type=int, help="calls of the denoiser")
    args = parser.parse_args()
    noisy, rate = soundfile.read(args.noisy, dtype="float32")
    enhanced = Model(args.model).enhance(noisy, args.steps)
    soundfile.write(args.enhanced, enhanced, rate)


if __name__ == "__main__":
    main()
