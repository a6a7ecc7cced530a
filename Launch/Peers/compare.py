"""causalgen beside PyTorch, DistributedDataParallel, torch.compile, JAX, OpenBLAS and MKL on the
same work. Sides alternate within one run, medians are compared, ratios are quoted: above 1,
causalgen is faster (or smaller). Called by Launch/compare-peers, whose --help lists the rows.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import math
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import timing

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAM = ROOT / ".build/release/causalgen"
SMALL = {"layers": 4, "heads": 4, "width": 128, "length": 64, "batch": 12, "micro_batch": 3}
LARGE = {"layers": 6, "heads": 6, "width": 384, "length": 256, "batch": 16, "micro_batch": 2}
SHAPES = [
    (192, 128, 128), (192, 128, 512), (192, 512, 128), (192, 128, 65), (512, 384, 384),
    (512, 384, 1536), (512, 1536, 384), (512, 384, 65), (768, 384, 1536), (768, 1536, 384),
    (4096, 384, 1536), (4096, 1536, 384), (1024, 1024, 1024), (768, 128, 512), (768, 512, 128),
    (768, 128, 128), (16384, 384, 65),
]
GPT2_HEAD = [(1024, 768, 50257)]
LIMIT = 3600  # seconds for one command or one answer, after which it counts as hung
NANOGPT_STEPS = 2000  # of nanoGPT's CPU setting
# Of causalgen with the same setting and the causal activation: on tiny Shakespeare these reach the
# loss of nanoGPT's 2,000. On another text they may not; the row says so.
STEPS_TO_NANOGPT_LOSS = 740


def tail(text):
    return " | ".join(text.strip().splitlines()[-3:])


def end(process):
    """Ends what still runs: by SIGTERM, on which mpirun ends its ranks, else by force."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Server:
    """A peer in a process of its own that answers lines: see timing.serve_products."""

    def __init__(self, name, words, errors):
        self.name = name
        self.errors = errors  # a file: a pipe that nobody reads would fill up
        with open(errors, "w") as file:
            self.process = subprocess.Popen(
                [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=file, text=True,
            )  # fmt: skip

    def ask(self, *words):
        """The answer to one line; says so where there is none."""
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            print(*words, file=self.process.stdin, flush=True)
            if not select.select([self.process.stdout], [], [], LIMIT)[0]:
                raise SystemExit(f"compare-peers: peer {self.name} took longer than {LIMIT} s")
            answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(
                f"compare-peers: peer {self.name} ended: {tail(self.errors.read_text())}"
            )
        return json.loads(answer)

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        end(self.process)


class Comparison:
    def __init__(self, options, directory):
        self.options = options
        self.directory = Path(directory)
        self.environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1")
        self.environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
        self.runs = 0

    # The sides

    def command(self, words, limit=LIMIT):
        """Runs a command and gives its output; says so where it fails or takes too long."""
        words = [str(word) for word in words]
        if self.options.verbose:
            print("+", " ".join(words), file=sys.stderr, flush=True)
        process = subprocess.Popen(
            words, env=self.environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise SystemExit(
                f"compare-peers: '{' '.join(words)}' took longer than {limit} s"
            ) from None
        finally:
            end(process)
        if process.returncode != 0:
            raise SystemExit(
                f"compare-peers: '{' '.join(words)}' failed: {tail(errors or output)}"
            )
        return output

    def peer(self, script, *words, cores=None):
        prefix = ["taskset", "--cpu-list", cores] if cores else []
        arguments = [word if isinstance(word, str) else json.dumps(word) for word in words]
        output = self.command([*prefix, sys.executable, HERE / script, *arguments])
        return json.loads(output.strip().splitlines()[-1])

    def log(self, *words):
        """The log of a training run, one line a step. The last step is followed by the evaluation,
        then its line is written, and only then the checkpoint."""
        self.runs += 1
        name = f"run{self.runs}"
        self.command([
            *words, "--out-dir", self.directory, "--run-name", name, "--log-interval", 1,
            "--eval-interval", 0, "--save-interval", 0,
        ])  # fmt: skip
        with open(self.directory / name / "metrics.jsonl") as file:
            lines = [json.loads(line) for line in file]
        shutil.rmtree(self.directory / name)
        return lines

    def train(self, setting, steps, ranks=1, threads=1):
        """Median milliseconds of a step of `causalgen train`, by its own log."""
        lines = self.log(
            ROOT / "Launch/local", "--ranks", ranks, "--threads", threads, *self.shape(setting),
            "--data", self.data(), "--max-steps", steps + 5, "--eval-windows", 1,
        )  # fmt: skip
        return timing.median([line["perf/step_ms"] for line in lines[5:]])

    def bench(self, subject, *words):
        output = self.command([PROGRAM, "bench", subject, "--json", *words])
        return json.loads(output)

    @staticmethod
    def shape(setting):
        return [
            "--n-layer", setting["layers"], "--n-head", setting["heads"], "--n-embd",
            setting["width"], "--block-size", setting["length"], "--batch-size",
            setting["batch"], "--micro-batch-size", setting["micro_batch"],
        ]  # fmt: skip

    def data(self):
        """A text of 65 different characters, prepared once: what it says does not matter here."""
        data = self.directory / "data"
        if not data.exists():
            generator = random.Random(1)
            letters = [chr(48 + index) for index in range(65)]
            text = self.directory / "text.txt"
            text.write_text("".join(letters) + "".join(generator.choices(letters, k=200_000)))
            self.command([PROGRAM, "prepare", "--text", text, "--out", data])
        return data

    # The rows

    def alternate(self, sides):
        """Measures every side in turn, as many rounds as asked for; all results by side."""
        results = {name: [] for name in sides}
        for _ in range(self.options.rounds):
            for name, measure in sides.items():
                results[name].append(measure())
        return results

    def row(self, name, ours, theirs, unit, more_is_better=False, reached=True):
        """The medians of both sides, and that of the rounds' ratios: what both meet cancels.
        Where causalgen has not reached what the row is about, there is no ratio to quote."""
        pairs = zip(ours, theirs)
        ratio = timing.median([a / b if more_is_better else b / a for a, b in pairs])
        shown = f"{ratio:.2f}x" if reached else "-"
        a, b = timing.median(ours), timing.median(theirs)
        print(f"{name:<58} {a:>10.4g} {b:>10.4g} {unit:<8} {shown:>7}", flush=True)

    def heading(self, text):
        print(f"\n{text:<58} {'causalgen':>10} {'peer':>10} {'':<8} {'ratio':>7}", flush=True)

    def peer_setting(self, setting, **more):
        count = {"steps": 40, "warm_up": 5} if setting is SMALL else {"steps": 5, "warm_up": 1}
        return dict(setting, mixer="causal", **count, **more)

    def step(self):
        for label, setting in (("L4 C128 T64 B12", SMALL), ("L6 C384 T256 B16", LARGE)):
            steps = 40 if setting is SMALL else 5
            two = {"threads": 2}
            sides = {
                "1": lambda: self.train(setting, steps),
                "torch 1": lambda: self.torch_step(setting, threads=1),
                "1x2": lambda: self.train(setting, steps, threads=2),
                "2x1": lambda: self.train(setting, steps, ranks=2),
                "torch 2": lambda: self.torch_step(setting, **two),
                "ddp": lambda: self.peer(
                    "torch_peer.py", "ddp", self.peer_setting(setting, ranks=2)
                )["ms"],
            }
            if not self.options.quick:
                sides["compiled 1"] = lambda: self.torch_step(setting, threads=1, compile=True)
                sides["compiled 2"] = lambda: self.torch_step(setting, threads=2, compile=True)
                sides |= self.jax_sides(setting)
            found = self.alternate(sides)
            self.heading(f"step, {label}")
            for ours, theirs, name in (
                ("1", "torch 1", "1 thread, PyTorch 1 thread"),
                ("1x2", "torch 2", "1 rank x 2 threads, PyTorch 2 threads"),
                ("1x2", "ddp", "1 rank x 2 threads, PyTorch DDP 2 ranks (gloo)"),
                ("2x1", "torch 2", "2 ranks x 1 thread, PyTorch 2 threads"),
                ("2x1", "ddp", "2 ranks x 1 thread, PyTorch DDP 2 ranks (gloo)"),
                ("1", "compiled 1", "1 thread, torch.compile 1 thread"),
                ("1x2", "compiled 2", "1 rank x 2 threads, torch.compile 2 threads"),
                ("1", "jax 1", "1 thread, JAX 1 core"),
                ("1x2", "jax 2", "1 rank x 2 threads, JAX 2 cores"),
            ):
                if theirs in found:
                    self.row(name, found[ours], found[theirs], "ms")
            torch = [one / two for one, two in zip(found["torch 1"], found["torch 2"])]
            for workers in ("1x2", "2x1"):
                kind = "threads" if workers == "1x2" else "ranks"
                scaling = [one / two for one, two in zip(found["1"], found[workers])]
                self.row(f"speed-up by 2 {kind}; PyTorch's by 2 threads", scaling, torch, "", True)

    def torch_step(self, setting, **more):
        return self.peer("torch_peer.py", "step", self.peer_setting(setting, **more))["ms"]

    def jax_sides(self, setting):
        """JAX on one core and on two, where it is installed and there are as many. It alone is kept
        on its cores from outside: it has no reliable option for its number of threads."""
        if not importlib.util.find_spec("jax"):
            return {}
        cores = [str(core) for core in sorted(os.sched_getaffinity(0))]

        def ms(count):
            chosen = ",".join(cores[:count])
            return self.peer("jax_peer.py", self.peer_setting(setting), cores=chosen)["ms"]

        return {
            f"jax {count}": (lambda count=count: ms(count))
            for count in (1, 2) if count <= len(cores)
        }  # fmt: skip

    def products(self):
        peers = {}
        try:
            for name, script, *words in (
                ("OpenBLAS", "numpy_peer.py"), ("MKL", "torch_peer.py", "products")
            ):  # fmt: skip
                errors = self.directory / f"{name}.errors"
                peers[name] = Server(name, [HERE / script, *words], errors)
            self.heading("products on one thread, GFLOP/s")
            for shape in SHAPES if self.options.quick else SHAPES + GPT2_HEAD:
                self.product(shape, peers)
        finally:
            for peer in peers.values():
                peer.end()

    def product(self, shape, peers):
        """The rows of one shape: its three forms against every peer."""
        repetitions = 7
        text = "x".join(map(str, shape))

        def ours():
            table = self.bench("kernels", "--repetitions", repetitions, "--shape", text)
            return {row["kernel"].removeprefix("product "): row for row in table["kernels"]}

        found = self.alternate({
            "ours": ours,
            **{name: (lambda peer=peers[name]: peer.ask(*shape, repetitions)) for name in peers},
        })  # fmt: skip
        for form in ("forward", "by input", "by weight"):
            rates = [result[form]["median"] for result in found["ours"]]
            peak = timing.median([result[form]["% peak"] for result in found["ours"]])
            for name in peers:
                label = f"{text} {form}, {peak:.0f}% of peak; {name}"
                self.row(label, rates, [result[form] for result in found[name]], "", True)

    def decode(self):
        setting = dict(LARGE, mixer="attention", steps=20)
        words = [str(word) for word in self.shape(LARGE)]
        words += ["--repetitions", "5", "--warm-up", "1"]
        benches = []

        def ours():
            benches.append(self.bench("decode", *words)["decode"][0])
            return benches[-1]["median tokens/s"]

        found = self.alternate({
            "ours": ours,
            "torch": lambda: self.peer("torch_peer.py", "decode", setting)["tokens_per_second"],
        })  # fmt: skip
        self.heading("decoding one text, L6 C384 T256, 1 thread")
        name = "recurrent; nanoGPT's window with its attention model"
        self.row(name, found["ours"], found["torch"], "tokens/s", True)
        shares = timing.median([bench["% bandwidth"] for bench in benches])
        late = timing.median([bench["late/early"] for bench in benches])
        print(f"{shares:.0f}% of the core's read bandwidth; late tokens take {late:.2f} times as long")

    def memory(self):
        """Peak memory of a training process, MiB resident, at the second setting, one worker."""
        setting = self.peer_setting(LARGE, threads=1)
        steps = setting["warm_up"] + setting["steps"]

        def ours():
            lines = self.log(
                PROGRAM, "train", *self.shape(LARGE), "--threads", 1, "--data", self.data(),
                "--max-steps", steps + 1, "--eval-windows", 1,
            )  # fmt: skip
            # Not the last line, which counts the evaluation too; no line counts the checkpoint.
            return lines[-2]["mem/rss_mb_max_rank"] * 1e6 / 2**20

        found = self.alternate({
            "ours": ours, "torch": lambda: self.peer("torch_peer.py", "step", setting)["peak_mib"]
        })  # fmt: skip
        version = importlib.metadata.version("torch")
        if "+cpu" not in version:
            print(f"(torch {version} may be built for CUDA, whose libraries count too)")
        self.heading("peak memory of training, L6 C384 T256 B16, 1 worker")
        self.row("1 thread, PyTorch 1 thread", found["ours"], found["torch"], "MiB")

    def loss(self):
        """Seconds to the loss of nanoGPT's CPU setting: its own steps, and causalgen's fewer."""
        if not self.options.text:
            raise SystemExit("compare-peers: the row 'loss' needs --text FILE")
        data = self.directory / "text"
        self.command([PROGRAM, "prepare", "--text", self.options.text, "--out", data])
        setting = dict(
            SMALL, mixer="attention", steps=NANOGPT_STEPS, threads=2,
            text=os.path.abspath(self.options.text),
        )  # fmt: skip

        def ours():
            lines = self.log(
                ROOT / "Launch/local", "--threads", 2, "--ranks", 1,
                "Launch/Presets/shakespeare-cpu.yaml", "--activation", "causal", "--data", data,
                "--max-steps", STEPS_TO_NANOGPT_LOSS, "--eval-windows", "all",
            )  # fmt: skip
            seconds = sum(line["perf/step_ms"] for line in lines) / 1e3
            return {"seconds": seconds, "loss": lines[-1].get("val/loss", math.inf)}

        rounds = self.alternate({
            "ours": ours, "torch": lambda: self.peer("torch_peer.py", "loss", setting)
        })  # fmt: skip
        self.heading("training to nanoGPT's CPU loss, 2 threads")
        losses = {name: timing.median([r["loss"] for r in rounds[name]]) for name in rounds}
        label = f"{STEPS_TO_NANOGPT_LOSS} steps to {losses['ours']:.3f}; "
        label += f"{NANOGPT_STEPS:,} steps to {losses['torch']:.3f}"
        reached = losses["ours"] <= losses["torch"]
        self.row(
            label if reached else f"{label}: NOT REACHED",
            *([r["seconds"] for r in rounds[name]] for name in ("ours", "torch")), "s",
            reached=reached,
        )  # fmt: skip


    def checkpoint(self):
        """Saving and loading a state at the second setting, and what a save costs the steps between two."""
        repetitions = 5
        run = self.directory / "checkpoint"
        words = [*self.shape(LARGE), "--out-dir", self.directory]
        self.command([
            PROGRAM, "train", *words, "--run-name", run.name, "--data", self.data(),
            "--max-steps", 1, "--eval-windows", 1,
        ])  # fmt: skip
        steps = []

        def ours():
            steps.append(self.train(LARGE, 3, threads=2))
            table = self.bench("checkpoint", *words, "--repetitions", str(repetitions))
            return {row["checkpoint"]: row["median ms"] for row in table["checkpoint"]}

        found = self.alternate({
            "ours": ours,
            "h5py": lambda: self.peer(
                "h5py_peer.py", str(run / "step-00000001.h5"), str(repetitions)
            ),
        })  # fmt: skip
        self.heading("checkpoint, L6 C384 T256, on the disk of temporary files")
        ours_save = [result["copy"] + result["publish"] for result in found["ours"]]
        ours_load = [result["load"] for result in found["ours"]]
        self.row("save, digest and reading back included; h5py", ours_save,
                 [result["save"] for result in found["h5py"]], "ms")  # fmt: skip
        self.row("load, digest verified; h5py", ours_load,
                 [result["load"] for result in found["h5py"]], "ms")  # fmt: skip
        copy = timing.median([result["copy"] for result in found["ours"]])
        between = 250 * timing.median(steps)
        print(f"training waits {copy:.0f} ms for a save: {100 * copy / between:.3f}% of the time between "
              "two at the default interval")  # fmt: skip


ROWS = ["step", "products", "decode", "memory", "checkpoint", "loss"]


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--text")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    for row in options.rows:
        if row not in ROWS:
            raise SystemExit(f"compare-peers: unknown row '{row}'; choose from {', '.join(ROWS)}")
    if options.rounds < 1:
        raise SystemExit("compare-peers: --rounds must be at least 1")
    rows = options.rows or [row for row in ROWS if row != "loss" or options.text]
    # Not by importing them, which takes seconds and memory.
    names = [name for name in ("torch", "numpy", "jax") if importlib.util.find_spec(name)]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    print(f"{', '.join(versions)}; medians of {options.rounds} alternating rounds; "
          f"{len(os.sched_getaffinity(0))} cores")  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        comparison = Comparison(options, directory)
        for row in rows:
            getattr(comparison, row)()


if __name__ == "__main__":
    main()
