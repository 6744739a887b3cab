"""Makes a small corpus in the layout of VoiceBank-DEMAND, without a download.

    pip install espeakng-loader
    python tools/make_demo_corpus.py OUT [--minutes 12] [--seed 0]

writes 16 kHz mono 16-bit wav files, p226_001.wav and so on, to

    OUT/clean_trainset_28spk_wav   OUT/noisy_trainset_28spk_wav
    OUT/clean_testset_wav          OUT/noisy_testset_wav

and OUT/demo_corpus.csv, which says who says what in which noise. The speech is
real sentences spoken by a synthesiser, the noise is made with numpy. It is
enough to see a recipe run and a loss fall; its scores say nothing about people.

The customary validation speakers, p226 and p287, and the test speakers, p232
and p257, have voices and sentences of their own. ``--minutes`` counts the
training speakers alone: validation and test are the same however long it is.
The same arguments give the same files on the same platform.

espeak-ng is GPL-3.0; it is a tool used at run time, no part of this project.
"""

import argparse
import csv
import ctypes
import os
import shutil
import tempfile
import time
from functools import partial
from itertools import chain, count, cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

RATE = 16000
PEAK = 0.99


class Voice(NamedTuple):
    """An espeak-ng voice, "accent+variant", with its pace and pitch."""

    name: str
    words_per_minute: int = 170
    pitch: int = 50  # 0 to 99


class Cast(NamedTuple):
    """Who speaks what in one part of the corpus, and how loud the noise is."""

    split: str
    speakers: dict
    babblers: tuple
    sentences: list
    snrs_db: tuple


class Pair(NamedTuple):
    """An utterance without and with noise, (N,) each, and what is in it."""

    stem: str
    split: str
    voice: str
    noise: str
    snr_db: float
    sentence: str
    clean: np.ndarray
    noisy: np.ndarray


# ---------------------------------------------------------------- speech


class Espeak:
    """The espeak-ng library, called directly.

    It carries its state (phases, echoes, a random generator seeded with the
    clock) from one utterance to the next and cannot be reset, so each instance
    loads a copy of its own: the same calls then give the same samples.

    Arguments
    ---------
    seed : int
        Of the breath and the flutter of the voices.
    """

    SYNCHRONOUS, DONT_EXIT, UTF8 = 2, 0x8000, 1
    WORDS_PER_MINUTE, VOLUME, PITCH = 1, 2, 3
    Callback = ctypes.CFUNCTYPE(
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_short),
        ctypes.c_int,
        ctypes.c_void_p,
    )

    def __init__(self, seed):
        loader = import_loader()
        self.library = load_copy(loader.get_library_path())
        data = loader.get_data_path()
        self.rate = self.library.espeak_Initialize(
            self.SYNCHRONOUS, 0, os.fsencode(data), self.DONT_EXIT
        )
        if self.rate <= 0:
            raise RuntimeError(f"espeak-ng cannot use its data in {data}")
        self.chunks = []
        # Kept on the instance: ctypes would free it while C still calls it.
        self.callback = self.Callback(self._collect)
        self.library.espeak_SetSynthCallback(self.callback)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        # Some voices clip inside the synthesiser at its default of 100.
        self.library.espeak_SetParameter(self.VOLUME, 50, 0)

    def _collect(self, samples, num_samples, events):
        if samples and num_samples:
            chunk = np.ctypeslib.as_array(samples, (num_samples,))
            self.chunks.append(chunk.copy())
        return 0

    def say(self, sentence, voice):
        """Speaks one sentence.

        Arguments
        ---------
        sentence : str
            English text.
        voice : Voice
            Who speaks. Raises ValueError if espeak-ng does not know it.

        Returns
        -------
        np.ndarray
            Waveform at 16 kHz, shape (N,), within about -1 to 1.
        """
        if self.library.espeak_SetVoiceByName(voice.name.encode()):
            raise ValueError(f"espeak-ng has no voice {voice.name}")
        self.library.espeak_SetParameter(
            self.WORDS_PER_MINUTE, voice.words_per_minute, 0
        )
        self.library.espeak_SetParameter(self.PITCH, voice.pitch, 0)
        text = sentence.encode()
        size = ctypes.c_size_t(len(text) + 1)
        self.chunks.clear()
        self.library.espeak_Synth(text, size, 0, 1, 0, self.UTF8, None, None)
        return resample_poly(
            np.concatenate(self.chunks) / 2**15, RATE, self.rate
        )


def import_loader():
    """The module that knows where espeak-ng lies, or how to install it."""
    try:
        import espeakng_loader
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The speech needs espeak-ng: pip install espeakng-loader"
        ) from error
    return espeakng_loader


def load_copy(path):
    """Loads a shared library anew, though it may be loaded already."""
    # Windows keeps the file of a loaded library from being deleted.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return ctypes.CDLL(shutil.copy(path, folder))


def varied(voice, rng):
    """The voice a little faster or slower, higher or lower."""
    pace = round(voice.words_per_minute * rng.uniform(0.92, 1.08))
    pitch = voice.pitch + int(rng.integers(-5, 6))
    return Voice(voice.name, pace, pitch)


def recorded(wav, rng):
    """The utterance with 0.1 to 0.3 s before and after, and a faint hiss."""
    wav = np.pad(wav, rng.integers(RATE // 10, 3 * RATE // 10, 2))
    # No recording is digitally silent. This is three steps of 16 bits.
    return wav + 1e-4 * rng.standard_normal(wav.size)


# ----------------------------------------------------------------- noise


def coloured(num_samples, rng, exponent):
    """Gaussian noise whose power falls as frequency ** -exponent."""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    frequency = np.fft.rfftfreq(num_samples, 1 / RATE)
    # Flat below 20 Hz, or brown noise would be nearly all inaudible.
    spectrum *= np.maximum(frequency, 20) ** (-exponent / 2)
    return np.fft.irfft(spectrum, num_samples)


def hum(num_samples, rng):
    """Mains hum of 50 or 60 Hz with its harmonics below 1 kHz."""
    mains = rng.choice([50, 60])
    harmonics = np.arange(1, 1000 // mains)[:, None]
    weights = rng.uniform(0.2, 1, harmonics.shape) / np.sqrt(harmonics)
    phases = rng.uniform(0, 2 * np.pi, harmonics.shape)
    seconds = np.arange(num_samples) / RATE
    angles = 2 * np.pi * mains * harmonics * seconds + phases
    return (weights * np.sin(angles)).sum(0)


def clicks(num_samples, rng):
    """Two to ten clicks a second, each a burst that dies within 20 ms."""
    clicks_per_second = rng.uniform(2, 10)
    how_many = round(num_samples / RATE * clicks_per_second)
    impulses = np.zeros(num_samples)
    where = rng.integers(num_samples, size=max(1, how_many))
    impulses[where] = rng.uniform(0.3, 1, where.size)
    decay = np.exp(-np.arange(RATE // 50) / (RATE // 250))
    burst = rng.standard_normal(decay.size) * decay
    return fftconvolve(impulses, burst)[:num_samples]


def pulsing_band(num_samples, rng):
    """Noise in an octave between 0.3 and 6 kHz that swells 1 to 8 times a s."""
    low = rng.uniform(300, 3000)
    octave = butter(4, [low, 2 * low], "bandpass", fs=RATE, output="sos")
    band = sosfilt(octave, rng.standard_normal(num_samples))
    turns = rng.uniform(1, 8) * np.arange(num_samples) / RATE + rng.uniform()
    return band * (1 + rng.uniform(0.5, 1) * np.sin(2 * np.pi * turns))


def babble(num_samples, rng, espeak, cast):
    """Four to six utterances of other voices at once, over and over."""
    total = np.zeros(num_samples)
    for babbler in rng.permutation(len(cast.babblers))[: rng.integers(4, 7)]:
        voice = varied(cast.babblers[babbler], rng)
        wav = espeak.say(rng.choice(cast.sentences), voice)
        shifted = np.roll(wav, rng.integers(wav.size))
        total += np.resize(shifted / speech_level(shifted), num_samples)
    return total


NOISES = {
    "white": partial(coloured, exponent=0),
    "pink": partial(coloured, exponent=1),
    "brown": partial(coloured, exponent=2),
    "hum": hum,
    "clicks": clicks,
    "band": pulsing_band,
}


# ------------------------------------------------------------------ pairs


def speech_level(wav):
    """RMS of the speech without its pauses.

    Arguments
    ---------
    wav : np.ndarray
        Waveform, shape (N,), at least 25 ms of it.

    Returns
    -------
    float
        RMS over the 25 ms frames within 30 dB of the loudest one.
    """
    frame = RATE // 40
    frames = wav[: wav.size // frame * frame].reshape(-1, frame)
    power = np.square(frames).mean(1)
    return np.sqrt(power[power > 1e-3 * power.max()].mean())


def mix(clean, noise, snr_db):
    """Adds noise to speech, and scales both alike so that neither clips.

    Arguments
    ---------
    clean : np.ndarray
        Speech, shape (N,).
    noise : np.ndarray
        Noise of any level, shape (N,).
    snr_db : float
        Level of the speech, without its pauses, over that of the noise.

    Returns
    -------
    tuple of np.ndarray
        Clean and noisy speech, shape (N,) each.
    """
    noise_level = np.sqrt(np.square(noise).mean())
    gain = speech_level(clean) / noise_level * 10 ** (-snr_db / 20)
    pair = np.stack([clean, clean + gain * noise])
    return tuple(pair * min(1, PEAK / np.abs(pair).max()))


def shuffled_forever(items, rng):
    """All items in random order, then all of them in another, without end."""
    while True:
        for index in rng.permutation(len(items)):
            yield items[index]


def make_pairs(cast, espeak, rng):
    """Pairs of one cast, whose speakers take turns, without end."""
    noises = NOISES | {"babble": partial(babble, espeak=espeak, cast=cast)}
    conditions = [(name, snr) for name in noises for snr in cast.snrs_db]
    conditions = shuffled_forever(conditions, rng)
    sentences = shuffled_forever(cast.sentences, rng)
    numbers = {speaker: count(1) for speaker in cast.speakers}
    for speaker, voice in cycle(cast.speakers.items()):
        stem = f"{speaker}_{next(numbers[speaker]):03d}"
        (noise, snr_db), sentence = next(conditions), next(sentences)
        wav = recorded(espeak.say(sentence, varied(voice, rng)), rng)
        clean, noisy = mix(wav, noises[noise](wav.size, rng), snr_db)
        yield Pair(
            stem, cast.split, voice.name, noise, snr_db, sentence, clean, noisy
        )


def take_minutes(pairs, minutes):
    """The first pairs, until they last that long."""
    missing = minutes * 60 * RATE
    for pair in pairs:
        yield pair
        missing -= pair.clean.size
        if missing <= 0:
            return


# ------------------------------------------------------------------ files


def write(pair, folder):
    """Writes both waveforms of a pair."""
    for kind, wav in (("clean", pair.clean), ("noisy", pair.noisy)):
        path = folder / f"{kind}_{pair.split}_wav" / f"{pair.stem}.wav"
        path.parent.mkdir(exist_ok=True)
        sf.write(path, wav, RATE, subtype="PCM_16")


def write_all(pairs, folder):
    """Writes pairs and the table of them.

    Arguments
    ---------
    pairs : iterable of Pair
        What to write, one at a time.
    folder : Path
        Existing folder.

    Returns
    -------
    dict
        For each split the lengths of its utterances, in samples.
    """
    *columns, _, _ = Pair._fields
    lengths = {}
    with open(folder / "demo_corpus.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for pair in pairs:
            write(pair, folder)
            table.writerow(pair[: len(columns)])
            lengths.setdefault(pair.split, []).append(pair.clean.size)
    return lengths


def refuse_if_filled(folder):
    """Raises FileExistsError, with the name, for a folder with files in it."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} is not empty: remove it or choose another folder"
        )


def make_corpus(out, minutes, seed):
    """Makes the whole corpus, in a folder named OUT.part until it is whole.

    Arguments
    ---------
    out : str or Path
        Folder to make. Raises FileExistsError if it, or what an interrupted
        run left in OUT.part, is not empty.
    minutes : float
        Of the training speakers. Raises ValueError unless positive.
    seed : int
        Of everything random.

    Returns
    -------
    dict
        For each split the lengths of its utterances, in samples.
    """
    if not 0 < minutes < np.inf:
        raise ValueError(f"minutes must be positive, got {minutes}")
    out = Path(out).resolve()
    part = out.with_name(out.name + ".part")
    refuse_if_filled(out)
    refuse_if_filled(part)
    espeak, rng = Espeak(seed), np.random.default_rng(seed)
    part.mkdir(parents=True, exist_ok=True)
    # In this order, so that more minutes only add training pairs.
    test = islice(make_pairs(TEST, espeak, rng), 12)
    validation = islice(make_pairs(VALIDATION, espeak, rng), 10)
    train = take_minutes(make_pairs(TRAIN, espeak, rng), minutes)
    lengths = write_all(chain(test, validation, train), part)
    if out.exists():
        out.rmdir()
    part.rename(out)
    return lengths


def main():
    """Reads the command line, makes the corpus and prints what it made."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument(
        "--minutes", type=float, default=12, help="of training speech"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of everything random"
    )
    args = parser.parse_args()
    start = time.perf_counter()
    try:
        lengths = make_corpus(**vars(args))
    except (FileExistsError, ModuleNotFoundError) as error:
        parser.error(str(error))
    parts = ", ".join(
        f"{len(split)} pairs ({sum(split) / RATE / 60:.1f} min) in {name}"
        for name, split in lengths.items()
    )
    seconds = time.perf_counter() - start
    print(f"{args.out}: {parts}, made in {seconds:.1f} s")


# --------------------------------------------------------- who says what

# The speakers of the three casts share no sentence and no variant, which is
# what follows the + and makes the timbre. The test set babbles on its own, too.

TEST_SENTENCES = """\
A cheerful ghost visited our school last Thursday.
Please measure the width of this zinc pipe.
Both judges thought that the young violinist was brave, if a little loud.
Nobody enjoys waiting for a delayed bus in the rain.
The chef added ginger, thyme and a pinch of sugar.
Five foxes vanished yesterday.
Why would anyone choose to live on such a windy hill?
Her father usually polishes the brass on Sundays.
The yacht drifted through fog toward the harbour light.
Treasure maps are rarely as useful as they look.
Could you push that trolley over to the lounge?
An old engineer fixed the clock with a hairpin.
""".splitlines()

VALIDATION_SENTENCES = """\
Two badgers were digging under the garden wall.
I would rather have toast and honey for breakfast.
The judge raised an eyebrow but said nothing at all.
Our cousins moved to a cottage beside the canal.
Fresh paint gives the kitchen a brighter feel.
Which key fits here?
The ferry to the island leaves at quarter past four unless there is fog.
She whistled softly and the horse came closer.
Eighty people joined the choir within a year.
Thick smoke curled up from the blacksmith's chimney.
""".splitlines()

TRAIN_SENTENCES = """\
The baker closes early when the flour runs out.
Seven geese marched across the frozen playing field.
My sister keeps her maps in a green tin box.
A gentle breeze moved the curtains in the hall.
He found a silver coin between the floorboards.
The train was crowded, so we stood by the door.
Do you remember the name of that tall pianist?
Rivers rise quickly after three days of heavy rain.
They painted the fence yellow to annoy the neighbours.
Nothing tastes better than soup on a cold evening.
The youngest child asked a very good question.
Put the ladder against the north side of the barn.
Moths gathered around the single lamp on the porch.
We shall meet again under the railway bridge.
The doctor wrote a short note and folded it twice.
Six brown hens escaped through a gap in the hedge.
This jacket is warm enough for a mountain walk.
The orchestra tuned for what seemed like an hour.
Every shelf in the library had been dusted.
Her answer was brief, honest and rather surprising.
The cat slept on a pile of clean towels.
Did the plumber say when he would be back?
A loud bang woke the whole street at midnight.
Old photographs fade if you leave them in the sun.
The farmer sold his sheep at the spring market.
Thanks for the oranges.
Turn left at the church and follow the stream.
The museum keeps a whale's jaw above the entrance.
Joy filled the room as the letters were read aloud.
Their boat needs a new rudder and two fresh sails.
Some mushrooms glow faintly in the dark.
The mayor opened the bridge with a pair of scissors.
It takes patience to teach a parrot to speak.
Cold water rushed over the smooth grey stones.
The tailor measured his shoulders with great care.
Winter evenings are best spent close to a fire.
We lost the match, but the crowd sang anyway.
An owl watched us from the top of the post.
The cheese was hidden behind a jar of pickles.
Please write your address at the bottom of the page.
The road winds through a forest of tall pines and ends at a mill.
Several chairs had been stacked beside the stage.
What time does the night market usually begin?
Her bicycle bell rang twice at the corner.
The shy boy gave his teacher a bunch of violets and ran off.
Snow covered every roof in the village by morning.
He cut the rope with a blunt kitchen knife.
A thousand starlings turned above the marsh.
The lawyer spoke slowly and chose each word.
Fill the jug with water and leave it in the shade.
They built a small oven out of clay and bricks.
The goat chewed happily on the end of my scarf.
Most of the visitors came from across the valley.
Where is my other glove?
Should we wash the apples before we peel them?
The lighthouse keeper baked his bread at dawn.
A broken mirror leaned against the garage door.
Thunder rolled over the hills for half the night and frightened the horses.
The choir practised in a room above the bakery.
Choose a sharp pencil and draw a straight line.
Wash your hands first.
The puppy chased its shadow along the beach.
There is a strange echo under the old tunnel.
Nobody heard the doorbell.
The captain ordered everybody off the lower deck.
Ripe plums dropped one by one into the long grass behind the empty house.
She hung a lantern from the lowest branch.
I doubt that the shop sells candles in August.
The carpenter shaved a thin curl from the oak.
The bread smells wonderful.
The coach was late because of fog on the pass.
Both windows face the courtyard and the fountain.
How many spoons are left in the top drawer?
The poet borrowed a pen and never returned it.
Heavy boots left muddy prints across the carpet.
A kind stranger pointed us towards the station.
The soup needs pepper and perhaps a little lemon.
Bees visit the lavender from early June onwards.
The guard checked each ticket with a tiny torch.
We measured the field with a piece of string.
Her speech earned a warm round of applause.
The old mill wheel has not turned in years.
Jam jars rattled in the back of the van.
He dreams of crossing the desert on foot.
We usually walk home.
Leave your wet umbrellas by the front desk.
The violin case was lined with purple velvet.
Choose whichever you prefer.
A row of poplars hides the factory from view.
The joke was funnier the second time round.
They argued about the price of a used tractor.
Steam hissed from the pipe beneath the sink.
Have you fed the fish since yesterday?
The potter shapes each bowl with wet thumbs.
A pale light crept under the bedroom door while the others were still asleep.
The mechanic tightened four bolts and shrugged.
Our neighbours grow beans, onions and huge pumpkins.
An honest mistake cost the team two points.
The valley was once covered by a sheet of ice.
Keep the receipt in case the kettle breaks.
The queen nodded and the music started again.
A sudden gust blew the papers off his desk.
The path is steep, but the view is worth it.
Children raced paper boats along the gutter.
She solved the puzzle while the tea was brewing.
The dentist hummed a tune from an old film.
Very few trains stop here after nine o'clock.
The cook sharpened her knives on a flat stone.
Long queues formed outside the ticket office.
Is that your brother standing beside the statue?
The moon rose slowly behind the water tower.
He poured the batter into a shallow tray.
Nine sailors shared a single loaf of bread.
The cloth was dyed with beetroot and walnut shells.
Rust had eaten a hole through the bucket.
The audience laughed before the clown had moved.
You can hear the waterfall from the campsite.
A wooden spoon will not scratch the pan.
The sculptor threw his first attempt away.
Dry leaves crunched beneath our shoes.
The gardener trimmed the hedge into a peacock.
Ask the nurse whether the ward is open yet.
Beyond the orchard lies a field of barley.
The drummer arrived without his sticks.
If the weather is good enough, we will measure the other field too.
The little shop smelled of leather and wax.
Three judges tasted every pie on the table.
A steady hand is useful for threading needles.
""".splitlines()

TRAIN = Cast(
    split="trainset_28spk",
    speakers={
        "p227": Voice("gmw/en-US+m1", 165, 45),
        "p228": Voice("gmw/en+f1", 170, 50),
        "p230": Voice("gmw/en-GB-x-rp+f2", 160, 55),
        "p231": Voice("gmw/en-US+f3", 175, 45),
        "p233": Voice("gmw/en-GB-scotland+f2", 180, 40),
        "p236": Voice("gmw/en-029+f1", 155, 60),
        "p243": Voice("gmw/en-GB-x-gbclan+m2", 170, 50),
        "p254": Voice("gmw/en-GB-scotland+m3", 160, 40),
        "p256": Voice("gmw/en-GB-x-gbcwmd+m5", 175, 55),
        "p258": Voice("gmw/en+m6", 180, 45),
    },
    babblers=(
        Voice("gmw/en-US+m2"),
        Voice("gmw/en+m3"),
        Voice("gmw/en-GB-x-rp+m1"),
        Voice("gmw/en-GB-scotland+f1"),
        Voice("gmw/en-US+f2"),
        Voice("gmw/en-GB-x-gbclan+f3"),
        Voice("gmw/en-029+m6"),
    ),
    sentences=TRAIN_SENTENCES,
    snrs_db=(0, 5, 10, 15),
)

VALIDATION = TRAIN._replace(
    speakers={
        "p226": Voice("gmw/en-GB-x-rp+m7", 170, 50),
        "p287": Voice("gmw/en-US+m8", 165, 50),
    },
    sentences=VALIDATION_SENTENCES,
)

TEST = Cast(
    split="testset",
    speakers={
        "p232": Voice("gmw/en+m4", 170, 50),
        "p257": Voice("gmw/en-GB-x-rp+f4", 165, 50),
    },
    babblers=(
        Voice("gmw/en-US+Andy"),
        Voice("gmw/en-GB-scotland+Annie"),
        Voice("gmw/en-US+f5"),
        Voice("gmw/en-029+Alex"),
        Voice("gmw/en+linda"),
        Voice("gmw/en-GB-x-gbclan+Denis"),
        Voice("gmw/en-GB-x-gbcwmd+steph"),
    ),
    sentences=TEST_SENTENCES,
    snrs_db=(2.5, 7.5, 12.5, 17.5),
)


if __name__ == "__main__":
    main()
