"""Time of a token by the number of answers that are decoded together, and whether they stay what they are alone.

    python -m sharpv_cli.benchmarks.batched_speed --profile llava-ov-7b --random
    python -m sharpv_cli.benchmarks.batched_speed --profile tiny --tokens 80 --new-tokens 16

Prompts are random tokens, most of them taken for visual ones, with M in the middle of the layers' similarities. Every
answer has all of its tokens; one row of the table is one round of so many answers that begin and end together, after
another that is not counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from time import perf_counter

import torch

from sharpv_cli.benchmarks.batched_answers import alike
from sharpv_cli.benchmarks.random_checkpoint import random_model
from sharpv_cli.engine.device import device_name, peak_bytes, reset_peak, synchronize
from sharpv_cli.engine.engine import Engine, Prefill
from sharpv_cli.engine.factory import make_engine
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.engine.together import Together
from sharpv_cli.models.capture import Prompt
from sharpv_cli.session import open_session
from sharpv_cli.settings import resolve

_TEXT = 12  # tokens before the visual ones, and behind them


class Load:
    """The same prompts for every engine."""

    def __init__(self, engine: Engine, tokens: int, new_tokens: int) -> None:
        self.engine, self._tokens, self.new_tokens = engine, tokens, new_tokens
        similarities = [s for s in self.read(engine, 0, -1.0).similarities if s is not None]
        self._m = sorted(similarities)[len(similarities) // 2]

    def read(self, engine: Engine, number: int, m: float | None = None) -> Prefill:
        model, draw = self.engine.model, torch.Generator().manual_seed(number)
        embed = model.get_input_embeddings()
        ids = torch.randint(len(embed.weight), (1, self._tokens), generator=draw).to(model.device)
        places = torch.arange(self._tokens, device=model.device)
        sections = "mrope_section" in (model.get_decoder().config.rope_parameters or {})
        prompt = Prompt(
            embeds=embed(ids).detach(),
            position_ids=places.expand(3, 1, -1) if sections else places[None],
            input_ids=ids,
            visual=places[_TEXT : self._tokens - _TEXT],
        )
        return engine.prefill(prompt, m=self._m if m is None else m)

    def begun(self, engine: Engine, number: int) -> Iterator[int | None]:
        return engine.decode(self.read(engine, number), max_new_tokens=self.new_tokens, stop_ids=())


def alone(load: Load, count: int, engine: Engine | None = None) -> tuple[list[list[int]], float]:
    """The answers one by one, and the seconds of a token."""
    engine = engine or load.engine
    answers, seconds = [], []
    for number in range(count):
        tokens = load.begun(engine, number)
        ids = [int(next(tokens) or 0)]
        begin = perf_counter()
        ids += [int(token or 0) for token in tokens]
        seconds.append((perf_counter() - begin) / (load.new_tokens - 1))
        answers.append(ids)
    return answers, sorted(seconds)[len(seconds) // 2]


def together(load: Load, engine: Together, count: int) -> tuple[list[list[int]], float]:
    """As `alone`, of so many at once."""
    answers: list[list[int]] = [[] for _ in range(count)]
    going = {number: load.begun(engine, number) for number in range(count)}
    _advance(going, answers)
    synchronize(load.engine.model.device)
    begin = perf_counter()
    while going:
        engine.step()
        _advance(going, answers)
    return answers, (perf_counter() - begin) / (load.new_tokens - 1)


def _advance(going: dict[int, Iterator[int | None]], answers: Sequence[list[int]]) -> None:
    for number, tokens in list(going.items()):
        for token in tokens:
            if token is None:
                break
            answers[number].append(token)
        else:
            del going[number]


def lines(
    load: Load, sizes: Sequence[int], compared: int, kernels: Sequence[int], stock: int
) -> Iterator[str]:
    model = load.engine.model
    alone(load, 1)
    want, single = alone(load, max(1, compared))
    kept = load.read(load.engine, 0).cache.nbytes / 2**20
    name = device_name(model.device)
    yield f"{name}, {model.dtype}, torch {torch.__version__}, {kept:.1f} MiB of KV an answer\n"
    yield "| answers | ms a token | of one alone | tokens a second | as alone | tokens before a difference | peak |"
    yield "|--:|--:|--:|--:|--:|--:|--:|"
    yield f"| by itself | {single * 1e3:.2f} | 1.00 | {1 / single:.0f} | | | |"
    if stock:
        got, seconds = alone(load, stock, ReferenceEngine(model))
        told = (
            f"{seconds * 1e3:.2f} | {seconds / single:.2f} | {1 / seconds:.0f} | {alike(got, want[:stock])}"
        )
        yield f"| by itself, reference | {told} | |"
    for size in sizes:
        engine = Together(load.engine, most=max(2, size))
        together(load, engine, size)
        reset_peak(model.device)
        got, seconds = together(load, engine, size)
        peak = peak_bytes(model.device) / 2**30
        yield (
            f"| {size} | {seconds * 1e3:.2f} | {seconds / single:.2f} | {size / seconds:.0f} | "
            f"{alike(got[: len(want)], want[: len(got)])} | {peak:.2f} GiB |"
        )
        if size in kernels:
            yield _kernels(load, engine, size)
        engine.release()


def _kernels(load: Load, engine: Together, size: int) -> str:
    """Where the time of some steps goes, by kernels."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        together(load, engine, size)
    table = seen.key_averages().table(sort_by="self_cuda_time_total", row_limit=16, max_name_column_width=90)
    rows = [row for row in table.splitlines() if "--" not in row]
    return "\n".join([row[:92] + row[-80:] for row in rows])


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    settings = resolve({"device": options.device}, {}, profile=options.profile).settings
    loaded = random_model(options.profile, settings) if options.random else open_session(settings).loaded
    if options.float32:
        loaded.model.float()
    engine = make_engine(loaded, "fast")
    engine.warm_up()
    load = Load(engine, options.tokens, options.new_tokens)
    sizes, kernels = ([int(n) for n in given.split(",") if n] for given in (options.sizes, options.kernels))
    for line in lines(load, sizes, options.compare, kernels, options.reference):
        print(line, flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--random", action="store_true", help="the profile's model, random weights")
    parser.add_argument("--float32", action="store_true", help="weights in float32")
    parser.add_argument("--tokens", type=int, default=780, help="of a prompt")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--sizes", default="1,2,4,8,16,32,64")
    parser.add_argument("--compare", type=int, default=16, help="so many answers with those alone")
    parser.add_argument(
        "--reference", type=int, default=0, help="so many answers of the reference engine, too"
    )
    parser.add_argument("--kernels", default="", help="sizes for which kernels are listed (CUDA)")
    parser.add_argument("--device")
    return parser


if __name__ == "__main__":
    sys.exit(main())
