#!/usr/bin/env python3
"""Enhance a mono file at the model's rate with ONNX Runtime, without torch.

> galdse export light model --onnx
> python onnx_enhance.py model noisy.wav enhanced.wav
"""

import json
import sys

import numpy as np
import onnxruntime as ort
import soundfile


class Model:
    """The networks of a folder, and the numbers around them as attributes."""

    def __init__(self, folder, threads=1):
        how = ort.SessionOptions()
        how.intra_op_num_threads, how.enable_cpu_mem_arena = threads, False
        how.enable_mem_pattern = False  # Less memory, as fast.
        paths = (f"{folder}/{name}.onnx" for name in ("guidance", "denoiser"))
        self.guidance, self.net = (ort.InferenceSession(p, how) for p in paths)
        meta = self.net.get_modelmeta().custom_metadata_map
        vars(self).update(json.loads(meta["galdse"]))
        self.window = np.sin(np.pi * np.arange(self.n_fft) / self.n_fft) ** 2
        self.half = self.n_fft // 2

    def spectrogram(self, wav):
        """Samples (N,) to a compressed spectrogram (1, 2, F, T)."""
        hop, multiple = self.hop_length, self.frame_multiple
        frames = max(-(-len(wav) // hop), self.half // hop + 1) + 1
        frames = -(-frames // multiple) * multiple
        wav = np.pad(wav, (0, (frames - 1) * hop - len(wav)))
        wav = np.pad(wav, self.half, mode="reflect")
        at = hop * np.arange(frames)[:, None] + np.arange(self.n_fft)
        z = np.fft.rfft(self.window * wav[at]).T
        z = self.beta * np.maximum(np.abs(z), 1e-8) ** (self.alpha - 1) * z
        return np.stack([z.real, z.imag])[None].astype("float32")

    def waveform(self, spec, num_samples):
        """Compressed spectrogram (1, 2, F, T) to samples (N,)."""
        z = (spec[0, 0] + 1j * spec[0, 1]) / self.beta
        z = np.maximum(np.abs(z), 1e-8) ** (1 / self.alpha - 1) * z
        frames = np.fft.irfft(z.T, self.n_fft) * self.window
        wav, weight = np.zeros((2, len(frames) * self.hop_length + self.n_fft))
        for i, frame in enumerate(frames):
            at = slice(i * self.hop_length, i * self.hop_length + self.n_fft)
            wav[at] += frame
            weight[at] += self.window**2
        return (wav / weight.clip(1e-11))[self.half : self.half + num_samples]

    def enhance_piece(self, wav, num_steps=None, normal=None):
        """Samples (N,) of a few seconds, all heard at once."""
        normal = normal or np.random.default_rng(0).standard_normal
        num_steps = self.num_steps if num_steps is None else num_steps
        peak = max(np.abs(wav).max(), 1e-8) if self.by_peak else 1
        y = self.spectrogram(wav / peak)
        mask, estimate, *cond = self.guidance.run(None, {"y": y})
        x = y + self.start_std * mask * normal(y.shape)
        for t, *weights in self.steps[str(num_steps)] if num_steps else ():
            names = (given.name for given in self.net.get_inputs())
            given = x.astype("float32"), np.array([t], "int64"), *cond
            (x_hat,) = self.net.run(None, dict(zip(names, given)))
            parts = x, x_hat, y, mask * normal(y.shape)
            x = sum(weight * part for weight, part in zip(weights, parts))
        return self.waveform(x if num_steps else estimate, len(wav)) * peak

    def enhance(self, wav, num_steps=None):
        """Samples (N,) in pieces that fade into each other, with context."""
        size, shared, context = self.num_samples, self.overlap, self.context
        made = np.zeros(len(wav))
        for start in range(0, max(len(wav) - shared, 1), size - shared):
            first = max(start - context, 0)
            heard = wav[first : start + size + context]
            piece = self.enhance_piece(heard, num_steps)[start - first :][:size]
            fade = np.linspace(0, 1, shared)[: len(piece)] if start else 1
            made[start : start + shared] *= 1 - fade
            piece[:shared] *= fade
            made[start : start + size] += piece
        return made


if __name__ == "__main__":
    folder, noisy, enhanced = sys.argv[1:]
    wav, rate = soundfile.read(noisy, dtype="float32")
    soundfile.write(enhanced, Model(folder).enhance(wav), rate)
